package store

import (
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
)

// rowRecord is what a list shows of a message.
type rowRecord struct {
	ID          bson.ObjectID      `bson:"_id"`
	User        bson.ObjectID      `bson:"user"`
	Mailbox     bson.ObjectID      `bson:"mailbox"`
	Thread      bson.ObjectID      `bson:"thread"`
	UID         int64              `bson:"uid"`
	ModSeq      int64              `bson:"modseq"`
	Flags       []string           `bson:"flags"`
	IDate       time.Time          `bson:"idate"`
	HDate       time.Time          `bson:"hdate"`
	Size        int64              `bson:"size"`
	MsgID       string             `bson:"msgid"`
	Subject     string             `bson:"subject"`
	Intro       string             `bson:"intro"`
	HA          bool               `bson:"ha"`
	Attachments []attachmentRecord `bson:"attachments"`
	Envelope    bson.RawValue      `bson:"envelope"`
	Outbound    []string           `bson:"outbound"`
	MimeTree    struct {
		ParsedHeader  bson.RawValue `bson:"parsedHeader"`
		AttachmentMap bson.RawValue `bson:"attachmentMap"`
	} `bson:"mimeTree"`
}

// rowProjection is what rowRecord needs: neither bodies nor MIME tree.
var rowProjection = bson.D{
	{Key: "user", Value: 1},
	{Key: "mailbox", Value: 1},
	{Key: "thread", Value: 1},
	{Key: "uid", Value: 1},
	{Key: "modseq", Value: 1},
	{Key: "flags", Value: 1},
	{Key: "idate", Value: 1},
	{Key: "hdate", Value: 1},
	{Key: "size", Value: 1},
	{Key: "msgid", Value: 1},
	{Key: "subject", Value: 1},
	{Key: "intro", Value: 1},
	{Key: "ha", Value: 1},
	{Key: "attachments", Value: 1},
	{Key: "envelope", Value: 1},
	{Key: "outbound", Value: 1},
	{Key: "mimeTree.parsedHeader.content-type", Value: 1},
	{Key: "mimeTree.parsedHeader.references", Value: 1},
	{Key: "mimeTree.attachmentMap", Value: 1},
}

type attachmentRecord struct {
	ID               string        `bson:"id"`
	Filename         bson.RawValue `bson:"filename"`
	ContentType      string        `bson:"contentType"`
	Disposition      bson.RawValue `bson:"disposition"`
	TransferEncoding bson.RawValue `bson:"transferEncoding"`
	CID              bson.RawValue `bson:"cid"`
	Related          bool          `bson:"related"`
	SizeKb           float64       `bson:"sizeKb"`
	Size             int64         `bson:"size"`
	Detected         string        `bson:"detected"`
}

func (a *attachmentRecord) attachment() mail.Attachment {
	return mail.Attachment{
		ID: a.ID, Filename: rawString(a.Filename), ContentType: a.ContentType, Disposition: rawString(a.Disposition),
		TransferEncoding: rawString(a.TransferEncoding), ContentID: rawString(a.CID), Related: a.Related,
		Size: a.Size, Detected: a.Detected, DecodedSize: int64(a.SizeKb * 1024),
	}
}

func (r *rowRecord) row() mail.Message {
	m := mail.Message{
		ID: mail.ID(r.ID), User: mail.ID(r.User), Mailbox: mail.ID(r.Mailbox), Thread: mail.ID(r.Thread),
		UID: mail.UID(r.UID), ModSeq: mail.ModSeq(r.ModSeq), Flags: flagsOf(r.Flags), //nolint:gosec // 32 and 63 bits by RFC
		Subject: r.Subject, Intro: r.Intro, MessageID: r.MsgID, Date: r.HDate.UTC(), InternalDate: r.IDate.UTC(),
		HasAttachments: r.HA, Size: r.Size, Outbound: r.Outbound,
	}
	hashes := readHashes(r.MimeTree.AttachmentMap)
	for i := range r.Attachments {
		a := r.Attachments[i].attachment()
		copy(a.Hash[:], hashes[a.ID])
		m.Attachments = append(m.Attachments, a)
	}
	env := readEnvelopeArray(r.Envelope)
	m.To, m.Cc, m.Bcc, m.ReplyTo = env.to, env.cc, env.bcc, env.replyTo
	if len(env.from) > 0 {
		m.From = env.from[0]
	}
	if header, ok := r.MimeTree.ParsedHeader.DocumentOK(); ok {
		if ct, ok := header.Lookup("content-type").DocumentOK(); ok {
			m.ContentType = strings.TrimSuffix(rawString(ct.Lookup("type"))+"/"+rawString(ct.Lookup("subtype")), "/")
		}
		m.References = strings.Fields(strings.Join(rawStrings(header.Lookup("references")), " "))
	}
	return m
}

// envelopeArray is the people of a stored ENVELOPE, names decoded.
type envelopeArray struct {
	from, sender, replyTo, to, cc, bcc []message.Address
}

func readEnvelopeArray(v bson.RawValue) (e envelopeArray) {
	list, ok := v.ArrayOK()
	if !ok {
		return e
	}
	values, err := list.Values()
	if err != nil || len(values) < 8 {
		return e
	}
	for i, to := range []*[]message.Address{&e.from, &e.sender, &e.replyTo, &e.to, &e.cc, &e.bcc} {
		*to = readEnvelopePeople(values[2+i])
	}
	return e
}

// readEnvelopePeople reads [name, null, local, domain] entries; RFC 9051
// 7.5.2: an entry without a domain starts a group, one without both ends it.
func readEnvelopePeople(v bson.RawValue) []message.Address {
	list, ok := v.ArrayOK()
	if !ok {
		return nil
	}
	values, err := list.Values()
	if err != nil {
		return nil
	}
	var out []message.Address
	var group *message.Address
	for _, entry := range values {
		parts, ok := entry.ArrayOK()
		if !ok {
			continue
		}
		fields, err := parts.Values()
		if err != nil || len(fields) < 4 {
			continue
		}
		name, local, domain := envelopeText(fields[0]), envelopeText(fields[2]), envelopeText(fields[3])
		switch {
		case domain == "" && fields[3].Type == bson.TypeNull && local != "":
			group = &message.Address{Name: message.DecodeHeader(local), Group: []message.Address{}}
		case domain == "" && local == "":
			if group != nil {
				out = append(out, *group)
				group = nil
			}
		default:
			a := message.Address{Name: message.DecodeHeader(name), Address: strings.TrimSuffix(local+"@"+domain, "@")}
			if group != nil {
				group.Group = append(group.Group, a)
				continue
			}
			out = append(out, a)
		}
	}
	if group != nil {
		out = append(out, *group)
	}
	return out
}

// envelopeText reads binary and string values alike.
func envelopeText(v bson.RawValue) string {
	if _, data, ok := v.BinaryOK(); ok {
		return text(string(data))
	}
	return rawString(v)
}
