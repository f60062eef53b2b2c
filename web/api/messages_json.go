package api

import (
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
)

// addressJSON is a mailbox, or a group with its members instead of an address.
type addressJSON struct {
	Name    string        `json:"name"`
	Address *string       `json:"address,omitempty"`
	Group   []addressJSON `json:"group,omitempty"`
}

type attachmentJSON struct {
	ID               string  `json:"id"`
	Hash             string  `json:"hash,omitempty"`
	Filename         string  `json:"filename"`
	ContentType      string  `json:"contentType"`
	Disposition      any     `json:"disposition"`
	TransferEncoding string  `json:"transferEncoding"`
	CID              *string `json:"cid"`
	Related          bool    `json:"related"`
	SizeKb           int64   `json:"sizeKb"`
	Size             int64   `json:"size"`
}

type contentTypeJSON struct {
	Value  string            `json:"value"`
	Params map[string]string `json:"params,omitempty"`
}

// rowJSON is a message in a list.
type rowJSON struct {
	ID                 uint32           `json:"id"`
	Mailbox            string           `json:"mailbox"`
	Thread             string           `json:"thread"`
	ThreadMessageCount *int             `json:"threadMessageCount,omitempty"`
	From               addressJSON      `json:"from"`
	To                 []addressJSON    `json:"to"`
	Cc                 []addressJSON    `json:"cc"`
	Bcc                []addressJSON    `json:"bcc"`
	MessageID          string           `json:"messageId"`
	Subject            string           `json:"subject"`
	Date               *string          `json:"date"`
	IDate              *string          `json:"idate"`
	Intro              string           `json:"intro"`
	Attachments        bool             `json:"attachments"`
	AttachmentsList    []attachmentJSON `json:"attachmentsList,omitempty"`
	Size               int64            `json:"size"`
	Seen               bool             `json:"seen"`
	Deleted            bool             `json:"deleted"`
	Flagged            bool             `json:"flagged"`
	Draft              bool             `json:"draft"`
	Answered           bool             `json:"answered"`
	Forwarded          bool             `json:"forwarded"`
	References         []string         `json:"references"`
	ContentType        contentTypeJSON  `json:"contentType"`
	Encrypted          bool             `json:"encrypted,omitempty"`
	MetaData           json.RawMessage  `json:"metaData,omitempty"`
	Headers            map[string]any   `json:"headers,omitempty"`
}

// contentJSON is a header field like Content-Type, parsed.
type contentJSON struct {
	Value   string            `json:"value"`
	Type    string            `json:"type"`
	Subtype string            `json:"subtype,omitempty"`
	Params  map[string]string `json:"params,omitempty"`
}

// detailJSON is GET …/messages/:message.
type detailJSON struct {
	Success     bool             `json:"success"`
	ID          uint32           `json:"id"`
	Mailbox     string           `json:"mailbox"`
	User        string           `json:"user"`
	Envelope    envelopeJSON     `json:"envelope"`
	Thread      string           `json:"thread"`
	From        addressJSON      `json:"from"`
	ReplyTo     []addressJSON    `json:"replyTo,omitempty"`
	To          []addressJSON    `json:"to,omitempty"`
	Cc          []addressJSON    `json:"cc,omitempty"`
	Bcc         []addressJSON    `json:"bcc,omitempty"`
	Subject     string           `json:"subject"`
	MessageID   string           `json:"messageId"`
	Date        *string          `json:"date"`
	IDate       *string          `json:"idate"`
	List        *listJSON        `json:"list,omitempty"`
	Size        int64            `json:"size"`
	Expires     *string          `json:"expires,omitempty"`
	Seen        bool             `json:"seen"`
	Deleted     bool             `json:"deleted"`
	Flagged     bool             `json:"flagged"`
	Draft       bool             `json:"draft"`
	Answered    bool             `json:"answered"`
	Forwarded   bool             `json:"forwarded"`
	HTML        []string         `json:"html,omitempty"`
	Text        string           `json:"text"`
	Attachments []attachmentJSON `json:"attachments"`
	References  []string         `json:"references"`
	ContentType contentTypeJSON  `json:"contentType"`
	Encrypted   bool             `json:"encrypted,omitempty"`
	MetaData    json.RawMessage  `json:"metaData"`
	Reference   map[string]any   `json:"reference,omitempty"`
	Outbound    []outboundJSON   `json:"outbound,omitempty"`
	Targets     []targetJSON     `json:"forwardTargets,omitempty"`
	Results     map[string]any   `json:"verificationResults,omitempty"`
	// Defects are ours: codes of docs/defects.md.
	Defects []message.Defect `json:"defects,omitempty"`
}

type envelopeJSON struct {
	From string     `json:"from"`
	Rcpt []rcptJSON `json:"rcpt"`
}

type rcptJSON struct {
	Value     string `json:"value"`
	Formatted string `json:"formatted"`
}

type listJSON struct {
	ID          *addressJSON  `json:"id,omitempty"`
	Unsubscribe []addressJSON `json:"unsubscribe,omitempty"`
}

type targetJSON struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type outboundJSON struct {
	QueueID string         `json:"queueId"`
	Entries []queueRowJSON `json:"entries"`
}

type queueRowJSON struct {
	Seq         string  `json:"seq"`
	Recipient   string  `json:"recipient"`
	SendingZone string  `json:"sendingZone"`
	Queued      *string `json:"queued"`
}

func addressOf(a message.Address) addressJSON {
	if a.Group != nil {
		return addressJSON{Name: a.Name, Group: addressesOf(a.Group)}
	}
	return addressJSON{Name: a.Name, Address: &a.Address}
}

func addressesOf(list []message.Address) []addressJSON {
	out := make([]addressJSON, len(list))
	for i, a := range list {
		out[i] = addressOf(a)
	}
	return out
}

func attachmentsOf(list []mail.Attachment) []attachmentJSON {
	out := make([]attachmentJSON, len(list))
	for i, a := range list {
		out[i] = attachmentJSON{
			ID: a.ID, Filename: a.Filename, ContentType: a.ContentType,
			Disposition: false, TransferEncoding: a.TransferEncoding, Related: a.Related,
			SizeKb: (a.DecodedSize + 1023) / 1024, Size: a.Size,
		}
		if a.Hash != [32]byte{} {
			out[i].Hash = hex.EncodeToString(a.Hash[:])
		}
		if a.Disposition != "" {
			out[i].Disposition = a.Disposition
		}
		if a.ContentID != "" {
			out[i].CID = &a.ContentID
		}
	}
	return out
}

func rowOf(m *mail.Message) rowJSON {
	forwarded := m.Has(mail.FlagForwarded)
	return rowJSON{
		ID: uint32(m.UID), Mailbox: m.Mailbox.String(), Thread: m.Thread.String(),
		From: addressOf(m.From), To: addressesOf(m.To), Cc: addressesOf(m.Cc), Bcc: addressesOf(m.Bcc),
		MessageID: m.MessageID, Subject: m.Subject, Date: stampOrNil(m.Date), IDate: stampOrNil(m.InternalDate),
		Intro: m.Intro, Attachments: m.HasAttachments, AttachmentsList: attachmentsOf(m.Attachments), Size: m.Size,
		Seen: !m.Unseen(), Deleted: m.Has(mail.FlagDeleted), Flagged: m.Has(mail.FlagFlagged), Draft: m.Has(mail.FlagDraft),
		Answered: m.Has(mail.FlagAnswered) && !forwarded, Forwarded: forwarded,
		References: orEmpty(m.References), ContentType: contentTypeJSON{Value: m.ContentType},
		Encrypted: strings.HasSuffix(m.ContentType, "/encrypted"),
	}
}

// senderOf is From, else Sender, else the reverse-path.
func senderOf(d *store.Detail) addressJSON {
	switch {
	case hasSender(&d.Message):
		return addressOf(d.From)
	case d.Sender != nil && d.Sender.Address != "":
		return addressOf(*d.Sender)
	default:
		return addressJSON{Address: &d.Meta.From}
	}
}

func detailOf(d *store.Detail) detailJSON {
	row := rowOf(&d.Message)
	out := detailJSON{
		Success: true, ID: row.ID, Mailbox: row.Mailbox, User: d.User.String(), Thread: row.Thread,
		Envelope: envelopeJSON{From: d.Meta.From, Rcpt: []rcptJSON{}},
		From:     senderOf(d), ReplyTo: addressesOf(d.ReplyTo), To: row.To, Cc: row.Cc, Bcc: row.Bcc,
		Subject: d.Subject, MessageID: d.MessageID, Date: row.Date, IDate: row.IDate, Size: d.Size,
		Expires: stampOrNil(d.Expires), Seen: row.Seen, Deleted: row.Deleted, Flagged: row.Flagged, Draft: row.Draft,
		Answered: row.Answered, Forwarded: row.Forwarded, HTML: d.HTML, Text: d.Text,
		Attachments: row.AttachmentsList, References: row.References, ContentType: row.ContentType,
		Encrypted: row.Encrypted || d.Encrypted, MetaData: jsonObject(d.Meta.Custom), List: listOf(d), Defects: d.Defects,
	}
	for _, to := range d.Meta.To {
		out.Envelope.Rcpt = append(out.Envelope.Rcpt, rcptJSON{Value: to, Formatted: formatted(to)})
	}
	for _, t := range d.ForwardTargets {
		out.Targets = append(out.Targets, targetJSON{t.Type, t.Value})
	}
	if r := d.Meta.Reference; r != nil {
		out.Reference = map[string]any{"action": r.Action, "mailbox": r.Mailbox.String(), "id": r.UID}
		if r.All {
			out.Reference["attachments"] = true
		} else if len(r.Attachments) > 0 {
			out.Reference["attachments"] = r.Attachments
		}
	}
	if v := d.Verification; v != nil {
		out.Results = verificationOf(v)
	}
	if d.Root != nil {
		ct := d.Root.ContentType()
		out.ContentType = contentTypeJSON{Value: ct.Type + "/" + ct.Subtype, Params: paramsOf(ct)}
	}
	return out
}

// verificationOf gives false where nothing passed, as WildDuck does.
func verificationOf(v *store.Verification) map[string]any {
	orFalse := func(s string) any {
		if s == "" {
			return false
		}
		return s
	}
	out := map[string]any{"tls": false, "spf": orFalse(v.SPF), "dkim": orFalse(v.DKIM), "arc": orFalse(v.ARC)}
	if v.TLSCipher != "" {
		out["tls"] = map[string]string{"name": v.TLSCipher, "version": v.TLSVersion}
	}
	return out
}

// listOf reads List-Id and List-Unsubscribe.
func listOf(d *store.Detail) *listJSON {
	if d.Root == nil {
		return nil
	}
	l := d.Root.List()
	if l == nil {
		return nil
	}
	out := &listJSON{}
	if l.ID.Name != "" || l.ID.Address != "" {
		out.ID = &addressJSON{Name: l.ID.Name, Address: &l.ID.Address}
	}
	for i := range l.Unsubscribe {
		out.Unsubscribe = append(out.Unsubscribe, addressJSON{Name: l.Unsubscribe[i].Name, Address: &l.Unsubscribe[i].Address})
	}
	return out
}
