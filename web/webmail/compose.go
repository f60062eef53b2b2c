package webmail

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/submit"
	"github.com/eidermail/eider/templates"
	"github.com/eidermail/eider/web/session"
)

// maxFiles bounds the files of one message.
const maxFiles = 100

// actionWords turns the templates' words for an action into the domain's.
var actionWords = map[string]string{
	templates.ActionReply: submit.ActionReply, templates.ActionReplyAll: submit.ActionReplyAll,
	templates.ActionForward: submit.ActionForward,
}

// formAction is the templates' word for a draft's action.
func formAction(action string) string {
	for word, domain := range actionWords {
		if domain == action {
			return word
		}
	}
	return ""
}

// composePage opens the composer: new, an answer, or a stored draft.
func (p *pages) composePage(c echo.Context) error {
	d, err := p.startDraft(c)
	if err != nil {
		return err
	}
	back := session.LocalPath(c.QueryParam("back"), p.cameFrom(c))
	return p.showComposer(c, http.StatusOK, d, back, nil)
}

// cameFrom is where closing the composer leads when the link does not say.
func (p *pages) cameFrom(c echo.Context) string {
	if box, uid, err := parseRef(c.QueryParam("ref")); err == nil && c.QueryParam("action") != templates.ActionEdit {
		return templates.MessageURL(box.String(), uint32(uid))
	}
	return templates.MailboxURL("inbox")
}

// startDraft makes the draft that the address asks for.
func (p *pages) startDraft(c echo.Context) (submit.Draft, error) {
	action := c.QueryParam("action")
	if action == "" {
		return submit.Draft{
			To: c.QueryParam("to"), Cc: c.QueryParam("cc"), Bcc: c.QueryParam("bcc"),
			Subject: c.QueryParam("subject"), Text: c.QueryParam("body"),
		}, nil
	}
	box, uid, err := parseRef(c.QueryParam("ref"))
	if err != nil {
		return submit.Draft{}, err
	}
	ref := submit.Ref{Mailbox: box, UID: uid}
	if action == templates.ActionEdit {
		return p.Submit.LoadDraft(ctxOf(c), userOf(c).ID, ref)
	}
	word, ok := actionWords[action]
	if !ok {
		return submit.Draft{}, &mail.Error{Code: mail.CodeInvalid, Op: "compose", Field: "action"}
	}
	return p.Submit.Answer(ctxOf(c), userOf(c), ref, word, p.page(c, "").Now.Location())
}

// showComposer renders the form with what it holds and what was wrong with it.
func (p *pages) showComposer(c echo.Context, status int, d submit.Draft, back string, wrong map[string]string) error {
	form, err := p.composeView(c, d, back, wrong)
	if err != nil {
		return err
	}
	if fragment(c) != "" {
		page := p.page(c, composeTitle(d))
		title(c, page)
		if fragment(c) == templates.FragmentDraft {
			return render(c, status, templates.DraftFragment(page, form))
		}
		return render(c, status, templates.ComposeFragment(page, form))
	}
	shell, err := p.shellOf(ctxOf(c), c, composeTitle(d))
	if err != nil {
		return err
	}
	return render(c, status, templates.ComposeDoc(templates.ComposePage{Shell: shell, Compose: form}))
}

func composeTitle(d submit.Draft) string { return d.Subject }

func (p *pages) composeView(c echo.Context, d submit.Draft, back string, wrong map[string]string) (templates.Compose, error) {
	addresses, err := p.Store.Addresses(ctxOf(c), userOf(c).ID)
	if err != nil {
		return templates.Compose{}, err
	}
	form := templates.Compose{
		Draft: refWord(d.Ref), Action: formAction(d.Action), Ref: refWord(d.Reference), Back: back,
		To: d.To, Cc: d.Cc, Bcc: d.Bcc, Subject: d.Subject, Text: d.Text,
		Saved: d.Saved, Errors: wrong, MaxSize: p.MaxMessage,
	}
	form.Version = form.Draft
	for _, a := range addresses {
		if strings.Contains(a.Address, "*") {
			continue
		}
		label := a.Address
		if name := userOf(c).Name; name != "" {
			label = name + " <" + a.Address + ">"
		}
		form.From = append(form.From, templates.Option{
			Value: a.Address, Label: label, Selected: a.Address == d.From || d.From == "" && a.Main,
		})
	}
	for _, a := range d.Attachments {
		form.Attachments = append(form.Attachments, templates.ComposeAttachment{
			ID: a.ID, Name: a.Filename, Type: a.ContentType, Size: a.DecodedSize,
		})
	}
	if d.Quote.Text != "" || d.Quote.Intro != "" {
		form.Quote = &templates.Quote{Intro: d.Quote.Intro, Text: d.Quote.Text, Keep: d.KeepQuote}
	}
	return form, nil
}

func refWord(r submit.Ref) string {
	if r.IsZero() {
		return ""
	}
	return templates.Ref(r.Mailbox.String(), uint32(r.UID))
}

func readRef(word string) submit.Ref {
	box, uid, err := parseRef(word)
	if err != nil {
		return submit.Ref{}
	}
	return submit.Ref{Mailbox: box, UID: uid}
}

// compose saves, attaches, sends or discards.
func (p *pages) compose(c echo.Context) error {
	d, files, err := p.readCompose(c)
	if err != nil {
		return err
	}
	back := session.LocalPath(c.FormValue("back"), templates.MailboxURL("inbox"))
	switch c.FormValue("do") {
	case "send":
		return p.send(c, d, files, back)
	case "discard":
		return p.discard(c, d, back)
	default:
		return p.saveDraft(c, d, files, back)
	}
}

// readCompose reads the form. The quoted original stays on the server: it is
// read from the message that the draft answers.
func (p *pages) readCompose(c echo.Context) (submit.Draft, submit.Files, error) {
	value := func(name string) string { return strings.ReplaceAll(c.FormValue(name), "\r\n", "\n") }
	d := submit.Draft{
		Ref: readRef(value("draft")), From: value("from"), To: value("to"), Cc: value("cc"), Bcc: value("bcc"),
		Subject: value("subject"), Text: value("text"),
		Action: actionWords[value("action")], Reference: readRef(value("ref")), KeepQuote: value("quote") == "1",
	}
	if err := p.original(c, &d); err != nil {
		return d, submit.Files{}, err
	}
	files, err := readFiles(c)
	return d, files, err
}

// original fills what the form does not carry: the quoted text, the chain of
// references, the attachments that are there already.
func (p *pages) original(c echo.Context, d *submit.Draft) error {
	if !d.Reference.IsZero() && d.Action != "" {
		o, err := p.Submit.Answer(ctxOf(c), userOf(c), d.Reference, d.Action, p.page(c, "").Now.Location())
		if mail.IsCode(err, mail.CodeNoMessage) || mail.IsCode(err, mail.CodeNoMailbox) {
			// The original was removed meanwhile; the answer stands without it.
			d.Action, d.Reference = "", submit.Ref{}
		} else if err != nil {
			return err
		} else {
			d.Quote, d.InReplyTo, d.References = o.Quote, o.InReplyTo, o.References
			if d.Ref.IsZero() {
				d.Attachments = o.Attachments
			}
		}
	}
	if d.Ref.IsZero() {
		return nil
	}
	row, err := p.Store.Row(ctxOf(c), userOf(c).ID, d.Ref.Mailbox, d.Ref.UID)
	if err == nil {
		d.Attachments = row.Attachments
	}
	if mail.IsCode(err, mail.CodeNoMessage) {
		return nil
	}
	return err
}

// readFiles reads the uploaded files. The request's size is bounded already.
func readFiles(c echo.Context) (submit.Files, error) {
	var out submit.Files
	if params, err := c.FormParams(); err == nil {
		out.Remove = params["remove"]
	}
	form, err := c.MultipartForm()
	if errors.Is(err, http.ErrNotMultipart) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	for _, f := range form.File["files"] {
		if len(out.Add) == maxFiles {
			return out, &mail.Error{Code: mail.CodeInvalid, Op: "read files", Field: "files", Reason: "long"}
		}
		if f.Filename == "" && f.Size == 0 {
			continue
		}
		a, err := readFile(f)
		if err != nil {
			return out, err
		}
		out.Add = append(out.Add, a)
	}
	return out, nil
}

func readFile(f *multipart.FileHeader) (message.ComposeAttachment, error) {
	r, err := f.Open()
	if err != nil {
		return message.ComposeAttachment{}, err
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	return message.ComposeAttachment{
		Filename: f.Filename, ContentType: mediaType(f.Header.Get("Content-Type"), f.Filename, data), Data: data,
	}, err
}

// saveDraft stores the form and shows it again, with its new reference.
func (p *pages) saveDraft(c echo.Context, d submit.Draft, files submit.Files, back string) error {
	if isBlank(d, files) {
		return p.showComposer(c, http.StatusOK, d, back, nil)
	}
	ref, err := p.Submit.SaveDraft(ctxOf(c), userOf(c), d, files)
	if err != nil {
		return p.composeFailed(c, d, back, err)
	}
	row, err := p.Store.Row(ctxOf(c), userOf(c).ID, ref.Mailbox, ref.UID)
	if err != nil {
		return err
	}
	d.Ref, d.Attachments, d.Saved = ref, row.Attachments, p.Now()
	return p.showComposer(c, http.StatusOK, d, back, nil)
}

// isBlank is a form in which nobody has written anything yet.
func isBlank(d submit.Draft, f submit.Files) bool {
	return d.Ref.IsZero() && d.Action == "" && len(f.Add) == 0 &&
		strings.TrimSpace(d.To+d.Cc+d.Bcc+d.Subject+d.Text) == ""
}

// send sends and says what became of it.
func (p *pages) send(c echo.Context, d submit.Draft, files submit.Files, back string) error {
	sent, err := p.Submit.SendDraft(ctxOf(c), userOf(c), d, files, c.RealIP())
	if err != nil {
		return p.composeFailed(c, p.keepFiles(c, d, files), back, err)
	}
	lang := p.page(c, "").Lang
	toast := templates.Toast{Text: templates.SentText(lang, sent.Queued), Sticky: len(sent.Queued) > 0, Back: back}
	if sent.OverQuota {
		toast.Text += " " + templates.T(lang, "sent.nocopy")
		toast.Sticky = true
	}
	p.putToast(c, toast)
	return seeOther(c, back)
}

// keepFiles saves the draft with the files that came with a form that cannot
// be sent, so that nobody has to choose them twice.
func (p *pages) keepFiles(c echo.Context, d submit.Draft, files submit.Files) submit.Draft {
	if len(files.Add) == 0 && len(files.Remove) == 0 {
		return d
	}
	ref, err := p.Submit.SaveDraft(ctxOf(c), userOf(c), d, files)
	if err != nil {
		return d
	}
	if row, err := p.Store.Row(ctxOf(c), userOf(c).ID, ref.Mailbox, ref.UID); err == nil {
		d.Ref, d.Attachments, d.Saved = ref, row.Attachments, p.Now()
	}
	return d
}

// discard removes the draft for good.
func (p *pages) discard(c echo.Context, d submit.Draft, back string) error {
	if err := p.Submit.DiscardDraft(ctxOf(c), userOf(c).ID, d.Ref); err != nil {
		return err
	}
	p.putToast(c, templates.Toast{Text: templates.T(p.page(c, "").Lang, "done.discarded")})
	return seeOther(c, back)
}

// composeFailed shows the form again with what was typed and what to do.
func (p *pages) composeFailed(c echo.Context, d submit.Draft, back string, err error) error {
	lang := p.page(c, "").Lang
	field, reason := fieldOf(err)
	var bad submit.BadRecipient
	wrong := map[string]string{}
	switch mail.CodeOf(err) {
	case mail.CodeInvalid:
		if field == "" {
			field = "to"
		}
		wrong[field] = templates.ErrorText(lang, field, reason)
		if errors.As(err, &bad) {
			wrong[field] = bad.Address + ": " + wrong[field]
		}
	case mail.CodeConflict:
		wrong[""] = templates.ErrorText(lang, "draft", "conflict")
	case mail.CodeLimited:
		wrong[""] = templates.ErrorText(lang, "draft", "limited")
	case mail.CodeOverQuota:
		wrong[""] = templates.ErrorText(lang, "draft", "quota")
		if errors.As(err, &bad) {
			wrong = map[string]string{"to": bad.Address + ": " + templates.ErrorText(lang, "to", "full")}
		}
	case mail.CodeTooBig:
		wrong["files"] = templates.ErrorText(lang, "files", "big")
	default:
		return err
	}
	return p.showComposer(c, http.StatusUnprocessableEntity, d, back, wrong)
}
