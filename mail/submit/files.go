package submit

import (
	"context"
	"io"
	"slices"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
)

// Attachments lists the files that a stored message was given, without those
// inside an attached message: they come with it.
func (s *Submitter) Attachments(ctx context.Context, user mail.ID, r Ref) ([]mail.Attachment, error) {
	d, err := s.Store.Message(ctx, user, r.Mailbox, r.UID)
	if err != nil {
		return nil, err
	}
	return outer(&d), nil
}

// outer leaves out the parts of attached messages, which WildDuck's list of
// attachments has too.
func outer(d *store.Detail) []mail.Attachment {
	own := map[string]bool{}
	var walk func(n *message.Node)
	walk = func(n *message.Node) {
		own[n.AttachmentID] = true
		for _, child := range n.Children {
			walk(child)
		}
	}
	walk(d.Root)
	return slices.DeleteFunc(slices.Clone(d.Attachments), func(a mail.Attachment) bool { return !own[a.ID] })
}

// forwarded leaves out the parts that only the HTML shows.
func forwarded(list []mail.Attachment) (out []mail.Attachment) {
	for _, a := range list {
		if !a.Related {
			out = append(out, a)
		}
	}
	return out
}

// files gathers the attachments: those kept of the stored draft or, before the
// first saving, of the original, then the new ones.
func (s *Submitter) files(ctx context.Context, user mail.ID, d Draft, f Files) ([]message.ComposeAttachment, error) {
	kept, err := s.kept(ctx, user, d, f.Remove)
	if err != nil {
		return nil, err
	}
	return append(kept, f.Add...), nil
}

func (s *Submitter) kept(ctx context.Context, user mail.ID, d Draft, remove []string) ([]message.ComposeAttachment, error) {
	from := d.Ref
	if from.IsZero() {
		switch d.Action {
		case ActionForward, ActionRewrite:
			from = d.Reference
		case ActionAttach:
			return s.whole(ctx, user, d.Reference, remove)
		}
	}
	if from.IsZero() {
		return nil, nil
	}
	list, err := s.Attachments(ctx, user, from)
	if err != nil {
		return nil, err
	}
	if d.Ref.IsZero() {
		list = forwarded(list)
	}
	var out []message.ComposeAttachment
	for _, a := range list {
		if slices.Contains(remove, a.ID) {
			continue
		}
		file, err := s.file(ctx, user, from, a)
		if err != nil {
			return nil, err
		}
		out = append(out, file)
	}
	return out, nil
}

// file is one stored attachment, which is read when the message is built.
func (s *Submitter) file(ctx context.Context, user mail.ID, r Ref, a mail.Attachment) (message.ComposeAttachment, error) {
	open := func() (io.ReadCloser, error) {
		content, err := s.Store.Attachment(ctx, user, r.Mailbox, r.UID, a.ID)
		return content.Decoded, err
	}
	content, err := open() // one that is gone is told before anything is built
	if err != nil {
		return message.ComposeAttachment{}, err
	}
	return message.ComposeAttachment{Filename: a.Filename, ContentType: a.ContentType, Open: open}, content.Close()
}
