package store

import (
	"crypto/rand"
	"encoding/hex"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
)

// Limits of the text fields of a message (schema 3.2). Characters, but for
// HTML, which is bytes.
const (
	maxIndexedText = 1024
	maxText        = 102400
	maxHTML        = 655360
	maxDraftData   = 64 << 10
)

// newMessage is what the document of a message is made of.
type newMessage struct {
	id, root, user, mailbox, thread mail.ID
	uid                             mail.UID
	modseq                          mail.ModSeq
	flags                           []mail.Flag
	idate                           time.Time
	retention                       time.Duration
	junk                            bool
	magic                           int
	hashes                          map[string][32]byte
	contentHashes                   map[string]string
	now                             time.Time
	// merges is what mergesNow said before the conversation was looked for.
	merges mergeMark
	// terms is the writing of the words for search; indexed: it is done.
	terms   *termsUnderWay
	indexed bool
}

// placed takes over what the mailbox says of the message.
func (n *newMessage) placed(got *allocation, now time.Time) {
	n.mailbox, n.uid, n.modseq, n.now = mail.ID(got.mailbox.ID), got.uid, got.modseq, now
	n.retention, n.junk = time.Duration(got.mailbox.Retention)*time.Millisecond, got.mailbox.use() == mail.UseJunk
}

// messageDoc writes a document of messages (schema 3.2).
func messageDoc(n *newMessage, a *Append) bson.D {
	m := a.Message
	hdate := m.Date
	if hdate.IsZero() {
		hdate = n.idate
	}
	d := bson.D{
		{Key: "_id", Value: oid(n.id)},
		{Key: "root", Value: oid(n.root)},
		{Key: "v", Value: "1.0"},
		{Key: "idate", Value: n.idate},
		{Key: "hdate", Value: hdate},
	}
	d = append(d, retentionFields(n.retention.Milliseconds(), n.now.UnixMilli())...)
	d = append(d, flagFields(n.flags)...)
	d = append(d,
		bson.E{Key: "size", Value: number(m.Size)},
		bson.E{Key: "meta", Value: metaDoc(a.Meta, n.now)},
		bson.E{Key: "filters", Value: idArray(a.Filters)},
		bson.E{Key: "headers", Value: headerDocs(m.Headers)},
		bson.E{Key: "mimeTree", Value: treeDoc(m.Root, n.hashes)},
		bson.E{Key: "envelope", Value: nested(m.Root.Envelope())},
		bson.E{Key: "bodystructure", Value: nested(m.Root.BodyStructure())},
		bson.E{Key: "msgid", Value: messageID(m)},
		bson.E{Key: "subject", Value: text(m.Subject)},
		bson.E{Key: "thread", Value: oid(n.thread)},
		bson.E{Key: "magic", Value: n.magic},
	)
	d = append(d, attachmentFields(m, n.contentHashes)...)
	d = append(d, textFields(m)...)
	d = append(d, outcomeFields(a)...)
	if n.junk {
		d = append(d, bson.E{Key: "junk", Value: true})
	}
	if own := ownFields(n, a); len(own) > 0 {
		d = append(d, bson.E{Key: "eider", Value: own})
	}
	return append(d,
		stateSet(n.mailbox, n.modseq, n.flags),
		bson.E{Key: "user", Value: oid(n.user)},
		bson.E{Key: "mailbox", Value: oid(n.mailbox)},
		bson.E{Key: "uid", Value: number(int64(n.uid))},
		bson.E{Key: "modseq", Value: number(int64(n.modseq))}, //nolint:gosec // below 2^53 by WildDuck's rules
	)
}

// flagFields are the flags and the fields that WildDuck keeps beside them.
// searchable is absent while \Deleted is set.
func flagFields(flags []mail.Flag) bson.D {
	deleted := mail.HasFlag(flags, mail.FlagDeleted)
	d := bson.D{
		{Key: "flags", Value: flagArray(flags)},
		{Key: "unseen", Value: !mail.HasFlag(flags, mail.FlagSeen)},
		{Key: "flagged", Value: mail.HasFlag(flags, mail.FlagFlagged)},
		{Key: "undeleted", Value: !deleted},
		{Key: "draft", Value: mail.HasFlag(flags, mail.FlagDraft)},
	}
	if !deleted {
		d = append(d, bson.E{Key: "searchable", Value: true})
	}
	return d
}

func flagArray(flags []mail.Flag) bson.A {
	out := make(bson.A, len(flags))
	for i, f := range flags {
		out[i] = text(string(f))
	}
	return out
}

func idArray(ids []mail.ID) bson.A {
	out := make(bson.A, len(ids))
	for i, id := range ids {
		out[i] = oid(id)
	}
	return out
}

func headerDocs(list []message.HeaderField) bson.A {
	out := make(bson.A, len(list))
	for i, h := range list {
		out[i] = bson.D{{Key: "key", Value: text(h.Key)}, {Key: "value", Value: text(h.Value)}}
	}
	return out
}

// messageID is the header, or a made one: WildDuck's threads need some.
func messageID(m *message.Message) string {
	if m.MessageID != "" {
		return text(m.MessageID)
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return "<" + hex.EncodeToString(b[:]) + "@eider.invalid>"
}

func attachmentFields(m *message.Message, contentHashes map[string]string) bson.D {
	d := bson.D{{Key: "ha", Value: m.HasAttachments}}
	if len(m.Attachments) == 0 {
		return d
	}
	list := make(bson.A, len(m.Attachments))
	for i := range m.Attachments {
		a := &m.Attachments[i]
		e := bson.D{
			{Key: "id", Value: a.ID},
			{Key: "filename", Value: text(a.Filename)},
			{Key: "contentType", Value: text(a.ContentType)},
			{Key: "disposition", Value: stringOrFalse(a.Disposition, a.Disposition != "")},
			{Key: "transferEncoding", Value: text(a.TransferEncoding)},
		}
		if a.ContentID != "" {
			e = append(e, bson.E{Key: "cid", Value: text(a.ContentID)})
		} else {
			e = append(e, bson.E{Key: "cid", Value: nil})
		}
		e = append(e,
			bson.E{Key: "related", Value: a.Related},
			bson.E{Key: "sizeKb", Value: a.SizeKb},
			bson.E{Key: "size", Value: number(a.Size)},
		)
		if a.Detected != "" {
			e = append(e, bson.E{Key: "detected", Value: a.Detected})
		}
		if h := contentHashes[a.ID]; h != "" {
			e = append(e, bson.E{Key: "fileContentHash", Value: h})
		}
		list[i] = e
	}
	return append(d, bson.E{Key: "attachments", Value: list})
}

// textFields cut text and HTML to WildDuck's limits.
func textFields(m *message.Message) bson.D {
	d := bson.D{{Key: "intro", Value: text(m.Intro)}}
	if all := text(m.Text); all != "" {
		head, tail := cutRunes(all, maxIndexedText)
		d = append(d, bson.E{Key: "text", Value: head})
		if tail != "" {
			tail, _ = cutRunes(tail, maxText-maxIndexedText)
			d = append(d, bson.E{Key: "textFooter", Value: tail})
		}
	}
	html, room := bson.A{}, maxHTML
	for _, part := range m.HTML {
		if part = text(part); len(part) > room {
			for room > 0 && !utf8.RuneStart(part[room]) {
				room--
			}
			part = part[:room]
		}
		if part != "" {
			html = append(html, part)
		}
		if room -= len(part); room <= 0 {
			break
		}
	}
	if len(html) > 0 {
		d = append(d, bson.E{Key: "html", Value: html})
	}
	return d
}

func outcomeFields(a *Append) bson.D {
	var d bson.D
	if v := a.Verification; v != nil {
		tls := any(false)
		if v.TLSVersion != "" || v.TLSCipher != "" {
			tls = bson.D{{Key: "name", Value: v.TLSCipher}, {Key: "version", Value: v.TLSVersion}}
		}
		d = append(d, bson.E{Key: "verificationResults", Value: bson.D{
			{Key: "tls", Value: tls},
			{Key: "spf", Value: stringOrFalse(v.SPF, v.SPF != "")},
			{Key: "dkim", Value: stringOrFalse(v.DKIM, v.DKIM != "")},
			{Key: "arc", Value: stringOrFalse(v.ARC, v.ARC != "")},
			{Key: "bimi", Value: false},
		}})
	}
	if len(a.Outbound) > 0 {
		d = append(d, bson.E{Key: "outbound", Value: stringArray(a.Outbound)})
	}
	if len(a.ForwardTargets) > 0 {
		list := make(bson.A, len(a.ForwardTargets))
		for i, t := range a.ForwardTargets {
			list[i] = bson.D{{Key: "type", Value: t.Type}, {Key: "value", Value: t.Value}}
		}
		d = append(d, bson.E{Key: "forwardTargets", Value: list})
	}
	return d
}

// ownFields is the field eider, which WildDuck ignores.
func ownFields(n *newMessage, a *Append) bson.D {
	d := wireFields(a.Message.Root)
	if n.indexed {
		d = append(d, termMark)
	}
	if len(a.Message.Patch) > 0 {
		d = append(d, bson.E{Key: "patch", Value: bson.Binary{Data: a.Message.Patch}})
	}
	if len(a.Message.Defects) > 0 {
		codes := make(bson.A, len(a.Message.Defects))
		for i, code := range a.Message.Defects {
			codes[i] = string(code)
		}
		d = append(d, bson.E{Key: "defects", Value: codes})
	}
	if a.Draft != nil {
		d = append(d, bson.E{Key: "draft", Value: draftRecord{Key: a.Draft.Key, Revision: a.Draft.Revision, Data: a.Draft.Data}})
	}
	return d
}

type draftRecord struct {
	Key      string `bson:"key"`
	Revision int64  `bson:"rev"`
	Data     string `bson:"data"`
}

// metaDoc writes where a message came from; what is empty is left out, but
// for the fields that every source has.
func metaDoc(m Meta, now time.Time) bson.D {
	if m.Time.IsZero() {
		m.Time = now
	}
	d := bson.D{
		{Key: "source", Value: or(m.Source, "API")},
		{Key: "from", Value: text(m.From)},
		{Key: "to", Value: textArray(m.To)},
	}
	for _, f := range []struct{ name, value string }{
		{"transactionId", m.TransactionID},
		{"origin", m.Origin},
		{"originhost", m.OriginHost},
		{"transhost", m.TransHost},
		{"transtype", m.TransType},
		{"queueId", m.QueueID},
		{"sess", m.Session},
	} {
		if f.value != "" {
			d = append(d, bson.E{Key: f.name, Value: text(f.value)})
		}
	}
	d = append(d, bson.E{Key: "time", Value: m.Time})
	if m.Custom != "" {
		d = append(d, bson.E{Key: "custom", Value: text(m.Custom)})
	}
	if m.SpamScore != 0 {
		d = append(d, bson.E{Key: "spamScore", Value: m.SpamScore})
	}
	if r := m.Reference; r != nil {
		ref := bson.D{{Key: "mailbox", Value: oid(r.Mailbox)}, {Key: "id", Value: number(int64(r.UID))}, {Key: "action", Value: r.Action}}
		switch {
		case r.All:
			ref = append(ref, bson.E{Key: "attachments", Value: true})
		case len(r.Attachments) > 0:
			ref = append(ref, bson.E{Key: "attachments", Value: stringArray(r.Attachments)})
		}
		d = append(d, bson.E{Key: "reference", Value: ref})
	}
	if e := m.Envelope; e != nil {
		to := make(bson.A, len(e.To))
		for i, rcpt := range e.To {
			to[i] = bson.D{{Key: "address", Value: text(rcpt)}}
		}
		d = append(d, bson.E{Key: "envelope", Value: bson.D{
			{Key: "from", Value: bson.D{{Key: "address", Value: text(e.From)}}}, {Key: "to", Value: to},
		}})
	}
	return d
}

func textArray(list []string) bson.A {
	out := make(bson.A, len(list))
	for i, s := range list {
		out[i] = text(s)
	}
	return out
}

// readMeta reads meta; sources differ in their types, so every value is raw.
func readMeta(v bson.RawValue) Meta {
	doc, ok := v.DocumentOK()
	if !ok {
		return Meta{}
	}
	at := func(name string) bson.RawValue { return doc.Lookup(name) }
	m := Meta{
		Source: rawString(at("source")), From: rawString(at("from")), To: rawStrings(at("to")),
		Origin: rawString(at("origin")), OriginHost: rawString(at("originhost")), TransHost: rawString(at("transhost")),
		TransType: rawString(at("transtype")), QueueID: rawString(at("queueId")), TransactionID: rawString(at("transactionId")),
		Time: rawTime(at("time")), Custom: rawString(at("custom")), Session: rawString(at("sess")),
	}
	if id := rawID(at("transactionId")); !id.IsZero() {
		m.TransactionID = id.String()
	}
	if f, ok := at("spamScore").AsFloat64OK(); ok {
		m.SpamScore = f
	}
	if ref, ok := at("reference").DocumentOK(); ok {
		r := &Reference{
			Mailbox: rawID(ref.Lookup("mailbox")), UID: mail.UID(rawNumber(ref.Lookup("id"))), //nolint:gosec // 32 bits by RFC
			Action: rawString(ref.Lookup("action")), Attachments: rawStrings(ref.Lookup("attachments")),
		}
		r.All, _ = ref.Lookup("attachments").BooleanOK()
		m.Reference = r
	}
	if env, ok := at("envelope").DocumentOK(); ok {
		m.Envelope = readEnvelope(env)
	}
	return m
}

func readEnvelope(env bson.Raw) *Envelope {
	e := &Envelope{From: rawString(env.Lookup("from"))}
	if from, ok := env.Lookup("from").DocumentOK(); ok {
		e.From = rawString(from.Lookup("address"))
	}
	list, ok := env.Lookup("to").ArrayOK()
	if !ok {
		return e
	}
	values, err := list.Values()
	if err != nil {
		return e
	}
	for _, v := range values {
		rcpt := rawString(v)
		if doc, ok := v.DocumentOK(); ok {
			rcpt = rawString(doc.Lookup("address"))
		}
		if rcpt != "" {
			e.To = append(e.To, rcpt)
		}
	}
	return e
}
