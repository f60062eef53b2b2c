package submit

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
)

// wholeMessage is the id of the attachment that is the original itself, until
// a stored draft holds it.
const wholeMessage = "original"

// attach starts a draft that carries the original, byte for byte. It continues
// the conversation as a forward does.
func attach(d *store.Detail, r Ref, from string) Draft {
	return Draft{
		Action: ActionAttach, Reference: r, From: from, Subject: prefixed(d.Subject, ActionForward), References: references(d),
		Attachments: []mail.Attachment{{ID: wholeMessage, Filename: emlName(d.Subject), ContentType: "message/rfc822", DecodedSize: d.Size, Size: d.Size}},
	}
}

// rewrite starts a new message with the recipients, text and files of another:
// sent by the person again or by somebody else, it continues no conversation.
func (s *Submitter) rewrite(ctx context.Context, u mail.User, d *store.Detail, r Ref, list []store.AddressRecord) (Draft, error) {
	text, err := s.wholeText(ctx, u.ID, r)
	if err != nil {
		return Draft{}, err
	}
	out := Draft{
		Action: ActionRewrite, Reference: r, Subject: d.Subject, Text: text,
		To: Typed(d.To), Cc: Typed(d.Cc), Bcc: Typed(d.Bcc), Attachments: forwarded(outer(d)),
	}
	if isOwn(d.From.Address, list) {
		out.From = d.From.Address
	}
	return out, nil
}

// emlName is the file name of an attached message.
func emlName(subject string) string {
	const most = 80 // characters; file systems take 255 bytes
	name := []rune(strings.Trim(strings.NewReplacer("/", "_", `\`, "_").Replace(subject), ". "))
	if len(name) > most {
		name = name[:most]
	}
	if len(name) == 0 {
		name = []rune("message")
	}
	return string(name) + ".eml"
}

// whole is the original that is attached, unless it was taken off.
func (s *Submitter) whole(ctx context.Context, user mail.ID, r Ref, remove []string) ([]message.ComposeAttachment, error) {
	if slices.Contains(remove, wholeMessage) {
		return nil, nil
	}
	row, err := s.Store.Row(ctx, user, r.Mailbox, r.UID)
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) {
		raw, _, err := s.Store.Raw(ctx, user, r.Mailbox, r.UID)
		return raw, err
	}
	return []message.ComposeAttachment{{Filename: emlName(row.Subject), ContentType: "message/rfc822", Open: open}}, nil
}

// referenceAction is what an action makes of the message that it is about, in
// the store's words; "" for nothing.
func referenceAction(action string) string {
	switch action {
	case ActionAttach:
		return ActionForward
	case ActionRewrite:
		return ""
	}
	return action
}
