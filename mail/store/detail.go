package store

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
)

// detailRecord is a whole message document as it is read.
type detailRecord struct {
	Row          rowRecord      `bson:",inline"`
	Text         string         `bson:"text"`
	TextFooter   string         `bson:"textFooter"`
	HTML         []string       `bson:"html"`
	Meta         bson.RawValue  `bson:"meta"`
	Verification bson.RawValue  `bson:"verificationResults"`
	Targets      []targetRecord `bson:"forwardTargets"`
	Exp          bool           `bson:"exp"`
	RDate        bson.RawValue  `bson:"rdate"`
	Eider        struct {
		Patch []byte       `bson:"patch"`
		Draft *draftRecord `bson:"draft"`

		Defects []message.Defect `bson:"defects"`
	} `bson:"eider"`
	tree   *message.Node
	hashes map[string][]byte
}

// errPart says that the message has no such part.
var errPart = errors.New("no such part")

func decodeDetail(raw bson.Raw) (*detailRecord, error) {
	const op = "decode message"
	var d detailRecord
	if err := bson.Unmarshal(raw, &d); err != nil {
		return nil, fail(op, err)
	}
	tree, ok := raw.Lookup("mimeTree").DocumentOK()
	if !ok {
		return nil, &mail.Error{Code: mail.CodeInternal, Op: op, Err: errTree}
	}
	var err error
	if d.tree, d.hashes, err = readTree(tree, 0); err != nil {
		return nil, fail(op, err)
	}
	return &d, nil
}

func (s *Store) findDetail(ctx context.Context, op string, filter bson.D, o *options.FindOneOptionsBuilder) (*detailRecord, error) {
	raw, err := s.messages.FindOne(ctx, filter, o).Raw()
	if err != nil {
		return nil, missing(op, mail.CodeNoMessage, err)
	}
	return decodeDetail(raw)
}

func byUID(user, mailbox mail.ID, uid mail.UID) bson.D {
	return key("mailbox", oid(mailbox), "uid", number(int64(uid)), "user", oid(user))
}

// Message reads a whole message but for what lies in attachment storage.
func (s *Store) Message(ctx context.Context, user, mailbox mail.ID, uid mail.UID) (Detail, error) {
	d, err := s.findDetail(ctx, "read message", byUID(user, mailbox, uid), options.FindOne())
	if err != nil {
		return Detail{}, err
	}
	return s.detail(ctx, d), nil
}

// MessageByID reads a message by its id, wherever it is now.
func (s *Store) MessageByID(ctx context.Context, user, id mail.ID) (Detail, error) {
	d, err := s.findDetail(ctx, "read message", key("_id", oid(id), "user", oid(user)), options.FindOne())
	if err != nil {
		return Detail{}, err
	}
	return s.detail(ctx, d), nil
}

// DraftByKey finds the newest saving of a draft. CodeNoMessage.
func (s *Store) DraftByKey(ctx context.Context, user mail.ID, draftKey string) (Detail, error) {
	const op = "find draft"
	if draftKey == "" {
		return Detail{}, &mail.Error{Code: mail.CodeNoMessage, Op: op}
	}
	box, err := s.mailboxRecord(ctx, op, key("user", oid(user), "specialUse", string(mail.UseDrafts)))
	if err != nil {
		if mail.IsCode(err, mail.CodeNoMailbox) {
			return Detail{}, &mail.Error{Code: mail.CodeNoMessage, Op: op}
		}
		return Detail{}, err
	}
	d, err := s.findDetail(ctx, op, key("mailbox", box.ID, "draft", true, "eider.draft.key", draftKey),
		options.FindOne().SetSort(key("uid", -1)).SetHint(indexUID))
	if err != nil {
		return Detail{}, err
	}
	return s.detail(ctx, d), nil
}

// detail is the message with a way to its stored parts, which lasts as long as ctx.
func (s *Store) detail(ctx context.Context, d *detailRecord) Detail {
	out := d.detail()
	out.Open = s.opener(ctx, d)
	return out
}

func (d *detailRecord) detail() Detail {
	out := Detail{
		Message: d.Row.row(), Text: d.Text + d.TextFooter, HTML: d.HTML, Header: headerFields(d.tree), Root: d.tree,
		Meta: readMeta(d.Meta), Verification: readVerification(d.Verification), ForwardTargets: targets(d.Targets),
	}
	env := readEnvelopeArray(d.Row.Envelope)
	if len(env.sender) > 0 {
		sender := env.sender[0]
		out.Sender = &sender
	}
	if d.Eider.Draft != nil {
		out.Draft = &Draft{Key: d.Eider.Draft.Key, Revision: d.Eider.Draft.Revision, Data: d.Eider.Draft.Data}
	}
	if d.Exp {
		out.Expires = time.UnixMilli(rawNumber(d.RDate)).UTC()
	}
	out.Defects = d.Eider.Defects
	ct := d.tree.ContentType()
	// RFC 3156 4, RFC 8551 3.3: what only the reader's key opens.
	out.Encrypted = ct.FullType() == "multipart/encrypted" ||
		(strings.HasSuffix(ct.FullType(), "pkcs7-mime") && !strings.EqualFold(ct.Param("smime-type"), "signed-data"))
	return out
}

// headerFields lists the root's header lines in order, decoded.
func headerFields(root *message.Node) []message.HeaderField {
	out := make([]message.HeaderField, 0, len(root.Header))
	for _, line := range root.Header {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		value = strings.NewReplacer("\r\n", "", "\n", "").Replace(value)
		out = append(out, message.HeaderField{
			Key: text(strings.TrimSpace(name)), Value: text(message.DecodeHeader(strings.TrimSpace(value))),
		})
	}
	return out
}

func readVerification(v bson.RawValue) *Verification {
	doc, ok := v.DocumentOK()
	if !ok {
		return nil
	}
	out := &Verification{
		SPF: rawString(doc.Lookup("spf")), DKIM: rawString(doc.Lookup("dkim")), ARC: rawString(doc.Lookup("arc")),
	}
	if tls, ok := doc.Lookup("tls").DocumentOK(); ok {
		out.TLSCipher, out.TLSVersion = rawString(tls.Lookup("name")), rawString(tls.Lookup("version"))
	}
	return out
}

// opener opens the message's stored parts, encoded as in the message.
func (s *Store) opener(ctx context.Context, d *detailRecord) message.Opener {
	return func(id string, from, count int64) (io.ReadCloser, error) {
		hash, ok := d.hashes[id]
		if !ok {
			return nil, &mail.Error{Code: mail.CodeNotFound, Op: "open part", Err: errPart}
		}
		return s.openEncoded(ctx, hash, from, count)
	}
}

// sectionFields are what a section is made of, without text and HTML.
var sectionFields = key("mimeTree", 1, "eider.patch", 1, "size", 1)

// Raw opens the message, byte for byte as it was received, and gives its size.
func (s *Store) Raw(ctx context.Context, user, mailbox mail.ID, uid mail.UID) (io.ReadCloser, int64, error) {
	d, err := s.findDetail(ctx, "read raw message", byUID(user, mailbox, uid), options.FindOne().SetProjection(sectionFields))
	if err != nil {
		return nil, 0, err
	}
	r, err := s.section(ctx, d, message.Section{})
	return r, d.Row.Size, err
}

// Section opens a section of a message (RFC 9051 6.4.5.1), exactly the bytes
// received. CodeNotFound when the message has no such section.
func (s *Store) Section(ctx context.Context, user, mailbox mail.ID, uid mail.UID, spec message.Section) (io.ReadCloser, error) {
	fields := sectionFields
	if some := spec.Kind == message.SectionHeaderFields || spec.Kind == message.SectionHeaderFieldsNot; some && len(spec.Path) == 0 {
		fields = key("mimeTree.header", 1)
	}
	d, err := s.findDetail(ctx, "read section", byUID(user, mailbox, uid), options.FindOne().SetProjection(fields))
	if err != nil {
		return nil, err
	}
	return s.section(ctx, d, spec)
}

func (s *Store) section(ctx context.Context, d *detailRecord, spec message.Section) (io.ReadCloser, error) {
	const op = "read section"
	r, err := message.SectionReader(d.tree, d.Eider.Patch, s.opener(ctx, d), spec)
	if errors.Is(err, message.ErrSection) {
		return nil, &mail.Error{Code: mail.CodeNotFound, Op: op, Err: err}
	}
	if err != nil {
		return nil, fail(op, err)
	}
	if rc, ok := r.(io.ReadCloser); ok {
		return rc, nil
	}
	return io.NopCloser(r), nil
}

// Attachment opens an attachment, decoded. CodeNotFound when the message has
// none of that id. An inline part that was moved out for its size has an id,
// too, though no list shows it.
func (s *Store) Attachment(ctx context.Context, user, mailbox mail.ID, uid mail.UID, id string) (AttachmentContent, error) {
	const op = "open attachment"
	d, err := s.findDetail(ctx, op, byUID(user, mailbox, uid), options.FindOne())
	if err != nil {
		return AttachmentContent{}, err
	}
	if message.IsInside(id) {
		return s.insideAttachment(ctx, d, id)
	}
	hash, ok := d.hashes[id]
	if !ok {
		return AttachmentContent{}, &mail.Error{Code: mail.CodeNotFound, Op: op, Err: errPart}
	}
	f, err := s.findBlob(ctx, hash)
	if err != nil {
		return AttachmentContent{}, err
	}
	r := s.chunks(ctx, hash, f, 0, f.Length)
	out := AttachmentContent{Attachment: mail.Attachment{
		ID: id, ContentType: f.ContentType, TransferEncoding: rawString(f.Metadata.TransferEncoding), Size: f.Metadata.ESize,
	}}
	for i := range d.Row.Attachments {
		if d.Row.Attachments[i].ID == id {
			out.Attachment = d.Row.Attachments[i].attachment()
		}
	}
	copy(out.Hash[:], hash)
	out.DecodedSize = f.Length
	out.Decoded = r
	if !f.Metadata.Decoded {
		encoding := out.TransferEncoding
		out.Decoded = readCloser{message.Decode(r, encoding), r}
		if !identity(encoding) {
			out.DecodedSize = -1
		}
	}
	return out, nil
}

// insideAttachment opens a file that lies inside a part, in TNEF or uuencode.
func (s *Store) insideAttachment(ctx context.Context, d *detailRecord, id string) (AttachmentContent, error) {
	const op = "open file inside a part"
	for i := range d.Row.Attachments {
		if d.Row.Attachments[i].ID != id {
			continue
		}
		r, err := message.OpenInside(d.tree, s.opener(ctx, d), id)
		if errors.Is(err, message.ErrSection) {
			break
		}
		if err != nil {
			return AttachmentContent{}, fail(op, err)
		}
		out := AttachmentContent{Attachment: d.Row.Attachments[i].attachment(), Decoded: r}
		out.DecodedSize = -1 // the list has it, but a broken file may give less
		return out, nil
	}
	return AttachmentContent{}, &mail.Error{Code: mail.CodeNotFound, Op: op, Err: errPart}
}

// identity reports encodings that leave the content as it is (RFC 2045 6.2).
func identity(encoding string) bool {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "7bit", "8bit", "binary":
		return true
	}
	return false
}

type readCloser struct {
	io.Reader
	io.Closer
}

// SetOutbound adds the queue ids under which a message went out.
func (s *Store) SetOutbound(ctx context.Context, user, mailbox mail.ID, uid mail.UID, ids []string) error {
	const op = "note queue ids"
	res, err := s.messages.UpdateOne(ctx, byUID(user, mailbox, uid), key("$addToSet", key("outbound", key("$each", stringArray(ids)))))
	if err != nil {
		return fail(op, err)
	}
	if res.MatchedCount == 0 {
		return &mail.Error{Code: mail.CodeNoMessage, Op: op}
	}
	return nil
}
