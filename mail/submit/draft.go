package submit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
)

// Draft is a message being written, as the composer's form has it.
type Draft struct {
	// Ref is the stored draft that this one replaces; zero for a new one.
	Ref Ref
	// From is one of the account's addresses, "" for the main one.
	From string
	// To, Cc and Bcc are as typed, complete or not.
	To, Cc, Bcc   string
	Subject, Text string
	// Action is one of the Action constants with Reference, or "".
	Action    string
	Reference Ref
	// Quote is the original behind the text; KeepQuote sends it along.
	Quote     Quote
	KeepQuote bool
	// InReplyTo and References go into the header.
	InReplyTo  string
	References []string
	// Attachments are those that the stored draft (or the forwarded message)
	// holds; filled by loading.
	Attachments []mail.Attachment
	Saved       time.Time
}

// Quote is the original of an answer.
type Quote struct {
	// Intro is the line above, Text the plain text without prefixes.
	Intro, Text string
}

// Files are what a form adds to a draft and takes from it.
type Files struct {
	Add []message.ComposeAttachment
	// Remove are ids of Draft.Attachments.
	Remove []string
}

// draftData is kept beside the stored draft: what its text does not show.
type draftData struct {
	To         string   `json:"to"`
	Cc         string   `json:"cc"`
	Bcc        string   `json:"bcc"`
	Action     string   `json:"action,omitempty"`
	Mailbox    mail.ID  `json:"mailbox,omitzero"`
	UID        mail.UID `json:"uid,omitempty"`
	InReplyTo  string   `json:"inReplyTo,omitempty"`
	References []string `json:"references,omitempty"`
	QuoteIntro string   `json:"quoteIntro,omitempty"`
	Quoted     bool     `json:"quoted,omitempty"`
	KeepQuote  bool     `json:"keepQuote,omitempty"`
}

// SaveDraft stores the draft as a new message in Drafts and removes the one
// that it replaces, in this order, so that a crash leaves two and never none.
// When the replaced one has gone meanwhile (another tab sent or saved it) the
// error is CodeConflict and nothing is stored.
func (s *Submitter) SaveDraft(ctx context.Context, u mail.User, d Draft, f Files) (Ref, error) {
	release, err := s.hand.take(ctx, d.Ref)
	if err != nil {
		return Ref{}, err
	}
	defer release()
	if err := s.stillDraft(ctx, u.ID, d.Ref); err != nil {
		return Ref{}, err
	}
	files, err := s.files(ctx, u.ID, d, f)
	if err != nil {
		return Ref{}, err
	}
	c := s.compose(u, d, files)
	c.KeepBcc = true
	built, err := s.Build(c)
	if err != nil {
		return Ref{}, err
	}
	defer built.Close()
	data, err := json.Marshal(draftData{
		To: d.To, Cc: d.Cc, Bcc: d.Bcc, Action: d.Action, Mailbox: d.Reference.Mailbox, UID: d.Reference.UID,
		InReplyTo: d.InReplyTo, References: d.References,
		QuoteIntro: d.Quote.Intro, Quoted: d.Quote.Text != "" || d.Quote.Intro != "", KeepQuote: d.KeepQuote,
	})
	if err != nil {
		return Ref{}, err
	}
	drafts, err := s.Store.MailboxByUse(ctx, u.ID, mail.UseDrafts, true)
	if err != nil {
		return Ref{}, err
	}
	done, err := s.Store.Append(ctx, store.Append{
		User: u.ID, Mailbox: drafts.ID, Message: built.Message, CheckQuota: true, SkipAddressRegister: true,
		Flags: []mail.Flag{mail.FlagDraft, mail.FlagSeen},
		Draft: &store.Draft{Key: "webmail", Data: string(data)},
		Meta:  store.Meta{Source: "API", TransType: "UPLOAD", Time: s.Now()},
	})
	if err != nil {
		return Ref{}, err
	}
	if !d.Ref.IsZero() {
		s.drop(context.WithoutCancel(ctx), u.ID, d.Ref)
	}
	return Ref{Mailbox: done.Mailbox, UID: done.UID}, nil
}

// stillDraft is CodeConflict when the stored draft has gone or is no draft.
func (s *Submitter) stillDraft(ctx context.Context, user mail.ID, r Ref) error {
	if r.IsZero() {
		return nil
	}
	row, err := s.Store.Row(ctx, user, r.Mailbox, r.UID)
	if mail.IsCode(err, mail.CodeNoMessage) || mail.IsCode(err, mail.CodeNoMailbox) || err == nil && !row.Has(mail.FlagDraft) {
		return &mail.Error{Code: mail.CodeConflict, Op: "find draft", Err: err}
	}
	return err
}

// SendDraft sends what the form has. Errors are Send's, and CodeInvalid with
// Field to, cc or bcc and Reason format for an entry that is no address, and
// CodeConflict when the stored draft has gone: another tab sent it.
func (s *Submitter) SendDraft(ctx context.Context, u mail.User, d Draft, f Files, origin string) (Sent, error) {
	if err := checkTyped(d); err != nil {
		return Sent{}, err
	}
	release, err := s.hand.take(ctx, d.Ref)
	if err != nil {
		return Sent{}, err
	}
	defer release()
	if err := s.stillDraft(ctx, u.ID, d.Ref); err != nil {
		return Sent{}, err
	}
	files, err := s.files(ctx, u.ID, d, f)
	if err != nil {
		return Sent{}, err
	}
	o := Send{User: u, Compose: s.compose(u, d, files), Origin: origin, Draft: d.Ref}
	o.Compose.Flowed = true
	if action := referenceAction(d.Action); action != "" && !d.Reference.IsZero() {
		o.Reference = &store.Reference{Mailbox: d.Reference.Mailbox, UID: d.Reference.UID, Action: action}
	}
	return s.Send(ctx, o)
}

// DiscardDraft removes a stored draft. One that is gone already is no error.
func (s *Submitter) DiscardDraft(ctx context.Context, user mail.ID, r Ref) error {
	if r.IsZero() {
		return nil
	}
	row, err := s.Store.Row(ctx, user, r.Mailbox, r.UID)
	if mail.IsCode(err, mail.CodeNoMessage) || mail.IsCode(err, mail.CodeNoMailbox) {
		return nil
	}
	if err != nil {
		return err
	}
	if !row.Has(mail.FlagDraft) {
		return &mail.Error{Code: mail.CodeForbidden, Op: "discard draft"}
	}
	_, err = s.Store.Expunge(ctx, store.Selection{User: user, Mailbox: r.Mailbox, UIDs: []mail.UID{r.UID}}, store.ExpungeOptions{})
	return err
}

// LoadDraft reads a stored draft back into the form. A draft that another
// client wrote has no data beside it and is read from its header.
func (s *Submitter) LoadDraft(ctx context.Context, user mail.ID, r Ref) (Draft, error) {
	detail, err := s.Store.Message(ctx, user, r.Mailbox, r.UID)
	if err != nil {
		return Draft{}, err
	}
	if !detail.Has(mail.FlagDraft) {
		return Draft{}, &mail.Error{Code: mail.CodeForbidden, Op: "edit draft"}
	}
	text, err := s.wholeText(ctx, user, r)
	if err != nil {
		return Draft{}, err
	}
	d := Draft{
		Ref: r, From: detail.From.Address, Subject: detail.Subject, Text: text,
		To: Typed(detail.To), Cc: Typed(detail.Cc), Bcc: Typed(detail.Bcc),
		InReplyTo: inReplyTo(&detail), References: detail.References,
		Attachments: outer(&detail), Saved: detail.InternalDate,
	}
	var data draftData
	if detail.Draft == nil {
		return d, nil
	}
	if err := json.Unmarshal([]byte(detail.Draft.Data), &data); err != nil {
		s.Log.LogAttrs(ctx, slog.LevelWarn, "draft read from its header", slog.String("user", user.String()), slog.Any("error", err))
		return d, nil
	}
	d.To, d.Cc, d.Bcc = data.To, data.Cc, data.Bcc
	d.Action, d.Reference = data.Action, Ref{data.Mailbox, data.UID}
	d.InReplyTo, d.References, d.KeepQuote = data.InReplyTo, data.References, data.KeepQuote
	if !data.Quoted {
		return d, nil
	}
	d.Quote.Intro = data.QuoteIntro
	if d.KeepQuote {
		own, quote, found := cutQuote(d)
		if !found {
			// Somebody else wrote this text; it is all the person's own.
			d.Quote, d.KeepQuote = Quote{}, false
			return d, nil
		}
		d.Text, d.Quote.Text = own, quote
		return d, nil
	}
	// The text has no quote in it, but the person may want it again.
	d.Quote.Text, err = s.wholeText(ctx, user, d.Reference)
	if mail.IsCode(err, mail.CodeNoMessage) || mail.IsCode(err, mail.CodeNoMailbox) {
		err = nil
	}
	return d, err
}

// cutQuote takes the quoted original from the end of a stored draft's text. It
// is read from there, and not from the original, which may have gone.
func cutQuote(d Draft) (text, quote string, found bool) {
	mark := "\n\n" + strings.TrimRight(d.Quote.Intro, "\n") + "\n"
	at := strings.Index("\n\n"+d.Text+"\n", mark)
	if at < 0 {
		return "", "", false
	}
	text = d.Text[:max(at-2, 0)]
	quote = strings.Trim(d.Text[min(at-2+len(mark), len(d.Text)):], "\n")
	if d.Action == ActionForward {
		return text, quote, true
	}
	lines := strings.Split(quote, "\n")
	for i, line := range lines {
		// The opposite of quoted.
		if rest, ok := strings.CutPrefix(line, "> "); ok {
			lines[i] = rest
		} else {
			lines[i] = strings.TrimPrefix(line, ">")
		}
	}
	return text, strings.Join(lines, "\n"), true
}

func inReplyTo(d *store.Detail) string {
	for _, f := range d.Header {
		if strings.EqualFold(f.Key, "In-Reply-To") {
			return strings.TrimSpace(f.Value)
		}
	}
	return ""
}

// wholeText is the message's plain text, uncut, from its bytes.
func (s *Submitter) wholeText(ctx context.Context, user mail.ID, r Ref) (string, error) {
	raw, _, err := s.Store.Raw(ctx, user, r.Mailbox, r.UID)
	if err != nil {
		return "", err
	}
	defer func() { _ = raw.Close() }()
	held := s.Spool.New()
	defer held.Close()
	if _, err := io.Copy(held, raw); err != nil {
		return "", fmt.Errorf("read message: %w", err)
	}
	parsed, err := message.ParseSource(held.Source())
	if err != nil {
		return "", fmt.Errorf("read message: %w", err)
	}
	return plain(parsed), nil
}

// plain is a message's text with the line ends of a form.
func plain(m *message.Message) string {
	return strings.TrimRight(strings.ReplaceAll(m.Text, "\r\n", "\n"), "\n")
}

// compose is the message of a draft.
func (s *Submitter) compose(u mail.User, d Draft, files []message.ComposeAttachment) message.Compose {
	from := message.Address{Name: u.Name, Address: d.From}
	if from.Address == "" {
		from.Address = u.Address
	}
	text := strings.ReplaceAll(d.Text, "\r\n", "\n")
	if d.KeepQuote && (d.Quote.Text != "" || d.Quote.Intro != "") {
		text = strings.TrimRight(text, "\n") + quoted(d)
	}
	return message.Compose{
		From: from, To: Parsed(d.To), Cc: Parsed(d.Cc), Bcc: Parsed(d.Bcc), Subject: d.Subject, Text: text,
		InReplyTo: d.InReplyTo, References: d.References, Date: s.Now(), Domain: s.Hostname, Attachments: files,
	}
}

// quoted is the original behind the text: each line prefixed for an answer,
// as it is for a forward.
func quoted(d Draft) string {
	text := strings.TrimRight(d.Quote.Text, "\n")
	if d.Action != ActionForward {
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			if line == "" || strings.HasPrefix(line, ">") {
				lines[i] = ">" + line
			} else {
				lines[i] = "> " + line
			}
		}
		text = strings.Join(lines, "\n")
	}
	return "\n\n" + d.Quote.Intro + "\n" + text + "\n"
}
