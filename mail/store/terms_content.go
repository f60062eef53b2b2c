package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/search"
)

// maxAttachedText is how many bytes of text attachments of one message are
// searched, as they stand in the message.
const maxAttachedText = 8 << 20

// searchable is what the searchable content of a message is read from: of one
// that has just been parsed, or of a stored one.
type searchable struct {
	root     *message.Node
	text     string
	html     []string
	files    []string
	attached bool
	open     message.Opener
}

// newContent is a parsed message's content.
func newContent(m *message.Message) (search.Content, error) {
	r := searchable{root: m.Root, text: m.Text, html: m.HTML, attached: m.HasAttachments, open: m.Opener()}
	for i := range m.Attachments {
		r.files = append(r.files, m.Attachments[i].Filename+" "+m.Attachments[i].ContentType)
	}
	return r.content()
}

// content collects what can be searched. Nobody here can read an encrypted
// message, so it is found by its headers.
func (r *searchable) content() (search.Content, error) {
	c := search.Content{Headers: headerFields(r.root), Attached: r.attached, Encrypted: isEncrypted(r.root)}
	for _, h := range c.Headers {
		if f, ok := headerPlaces[strings.ToLower(h.Key)]; ok {
			c.Set(f, strings.TrimPrefix(c.Get(f)+"\n"+h.Value, "\n"))
		}
	}
	if c.Encrypted {
		return c, nil
	}
	c.Set(search.InFile, strings.Join(r.files, "\n"))
	body := []string{r.text}
	if plain, html := textKinds(r.root); plain && html {
		// The two forms of a body need not say the same.
		for _, s := range r.html {
			body = append(body, message.HTMLToText(s))
		}
	}
	attached, err := r.attachedTexts()
	c.Set(search.InBody, strings.Join(append(body, attached...), "\n"))
	return c, err
}

// headerPlaces are the headers that have a field of their own.
var headerPlaces = map[string]search.Fields{
	"from": search.InFrom, "to": search.InTo, "cc": search.InCc, "bcc": search.InBcc, "subject": search.InSubject, "list-id": search.InList,
}

// isEncrypted: RFC 3156 4, RFC 8551 3.3.
func isEncrypted(root *message.Node) bool {
	ct := root.ContentType()
	return ct.FullType() == "multipart/encrypted" ||
		(strings.HasSuffix(ct.FullType(), "pkcs7-mime") && !strings.EqualFold(ct.Param("smime-type"), "signed-data"))
}

func textKinds(root *message.Node) (plain, html bool) {
	root.Parts(func(n *message.Node) {
		plain = plain || (n.MediaType() == "text/plain" && !n.IsMultipart())
		html = html || n.MediaType() == "text/html"
	})
	return plain, html
}

// attachedTexts reads the text attachments, within the limit.
func (r *searchable) attachedTexts() (out []string, err error) {
	room := int64(maxAttachedText)
	r.root.Parts(func(n *message.Node) {
		if n.AttachmentID == "" || !isTextual(n.MediaType()) || err != nil || room <= 0 {
			return
		}
		var data []byte
		data, err = readPart(r.open, n.AttachmentID, room)
		room -= int64(len(data))
		if len(data) > 0 {
			out = append(out, n.DecodeText(data))
		}
	})
	return out, err
}

func readPart(open message.Opener, id string, limit int64) ([]byte, error) {
	rc, err := open(id, 0, limit)
	if err != nil {
		if mail.IsCode(err, mail.CodeNotFound) {
			return nil, nil // lost content is Verify's to report
		}
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(rc, limit))
	return data, errors.Join(err, rc.Close())
}

func isTextual(mediaType string) bool {
	switch mediaType {
	case "application/json", "application/xml", "application/x-yaml", "application/yaml", "application/csv":
		return true
	}
	return strings.HasPrefix(mediaType, "text/")
}

// storedContent reads a stored message's content. Where the document holds only
// the start of long texts, the message is read anew from its parts.
func (s *Store) storedContent(ctx context.Context, d *detailRecord) (search.Content, error) {
	const op = "read message for search"
	r := d.searchable()
	r.open = s.opener(ctx, d)
	if !d.cut() {
		c, err := r.content()
		return c, fail(op, err)
	}
	var raw bytes.Buffer
	if err := message.Rebuild(&raw, d.tree, d.Eider.Patch, s.opener(ctx, d)); err != nil {
		return search.Content{}, fail(op, err)
	}
	c, err := newContent(message.Parse(raw.Bytes()))
	return c, fail(op, err)
}

// searchable is what a document says, without a way to parts that lie elsewhere.
func (d *detailRecord) searchable() searchable {
	r := searchable{root: d.tree, text: d.Text + d.TextFooter, html: d.HTML, attached: d.Row.HA}
	for i := range d.Row.Attachments {
		a := &d.Row.Attachments[i]
		r.files = append(r.files, rawString(a.Filename)+" "+a.ContentType)
	}
	return r
}

// cut tells whether the document's texts may be shorter than the message's.
func (d *detailRecord) cut() bool {
	html := 0
	for _, s := range d.HTML {
		html += len(s)
	}
	return html > maxHTML-utf8.UTFMax || (len(d.Text)+len(d.TextFooter) >= maxText && utf8.RuneCountInString(d.Text)+utf8.RuneCountInString(d.TextFooter) >= maxText)
}
