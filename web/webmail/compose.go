package webmail

import (
	"errors"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"strings"
	"time"
	"unicode"

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
	templates.ActionForward: submit.ActionForward, templates.ActionAttach: submit.ActionAttach, templates.ActionRewrite: submit.ActionRewrite,
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
// The script that saves wants the draft's state alone; after a refused sending
// it wants the whole form with its errors.
func (p *pages) showComposer(c echo.Context, status int, d submit.Draft, back string, wrong map[string]string) error {
	form, err := p.composeView(c, d, back, wrong)
	if err != nil {
		return err
	}
	if fragment(c) != "" {
		page := p.page(c, d.Subject)
		title(c, page)
		if fragment(c) == templates.FragmentDraft && c.FormValue("do") != doSend {
			return render(c, status, templates.DraftFragment(page, form))
		}
		return render(c, status, templates.ComposeFragment(page, form))
	}
	shell, err := p.shellOf(ctxOf(c), c, d.Subject)
	if err != nil {
		return err
	}
	return render(c, status, templates.ComposeDoc(templates.ComposePage{Shell: shell, Compose: form}))
}

// Values of the composer's field "do"; anything else saves.
const (
	doSend    = "send"
	doDiscard = "discard"
)

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
	if form.Action == "" && form.Draft != "" {
		form.Action = templates.ActionEdit
	}
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
	back := session.LocalPath(c.FormValue("back"), templates.MailboxURL("inbox"))
	d, err := p.readCompose(c)
	if err != nil {
		return err
	}
	files, err := readFiles(c)
	if err != nil {
		return p.composeFailed(c, d, back, err)
	}
	switch c.FormValue("do") {
	case doSend:
		return p.send(c, d, files, back)
	case doDiscard:
		return p.discard(c, d, back)
	default:
		return p.saveDraft(c, d, files, back)
	}
}

// readCompose reads the form but for its files. The quoted original stays on
// the server.
func (p *pages) readCompose(c echo.Context) (submit.Draft, error) {
	d := submit.Draft{
		Ref: readRef(c.FormValue("draft")), From: line(c, "from"),
		To: line(c, "to"), Cc: line(c, "cc"), Bcc: line(c, "bcc"), Subject: line(c, "subject"),
		Text:   strings.ReplaceAll(c.FormValue("text"), "\r\n", "\n"),
		Action: actionWords[c.FormValue("action")], Reference: readRef(c.FormValue("ref")),
		KeepQuote: c.FormValue("quote") == "1",
	}
	return d, p.original(c, &d)
}

// line is the value of an input of one line.
func line(c echo.Context, name string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, c.FormValue(name)))
}

// original fills what the form does not carry: the quoted text, the chain of
// references, the attachments that are there already. A stored draft has them
// all, also when the answered message has gone.
func (p *pages) original(c echo.Context, d *submit.Draft) error {
	var from submit.Draft
	var err error
	switch {
	case !d.Ref.IsZero():
		from, err = p.Submit.LoadDraft(ctxOf(c), userOf(c).ID, d.Ref)
		if mail.IsCode(err, mail.CodeForbidden) {
			// It is a draft no longer: saving and sending say so.
			return nil
		}
	case !d.Reference.IsZero() && d.Action != "":
		from, err = p.Submit.Answer(ctxOf(c), userOf(c), d.Reference, d.Action, p.plainPage(c).Now.Location())
	default:
		return nil
	}
	switch {
	case gone(err) && d.Ref.IsZero():
		// The original was removed meanwhile; the answer stands without it.
		d.Action, d.Reference = "", submit.Ref{}
		return nil
	case gone(err):
		return nil
	case err != nil:
		return err
	}
	d.Quote, d.InReplyTo, d.References, d.Attachments = from.Quote, from.InReplyTo, from.References, from.Attachments
	d.Action, d.Reference = from.Action, from.Reference
	return nil
}

// gone reports an error about a message that is not there.
func gone(err error) bool {
	return mail.IsCode(err, mail.CodeNoMessage) || mail.IsCode(err, mail.CodeNoMailbox)
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
	start, err := io.ReadAll(io.LimitReader(r, 1<<10)) // its type shows there
	return message.ComposeAttachment{
		Filename: f.Filename, ContentType: mediaType(f.Header.Get("Content-Type"), f.Filename, start),
		Open: func() (io.ReadCloser, error) { return f.Open() },
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
	if fragment(c) == "" {
		// A page of its own, so that loading it again does not save again.
		return seeOther(c, templates.ComposeURL(templates.ActionEdit, refWord(ref))+"&back="+queryEscape(back))
	}
	if err := p.stored(c, &d, ref); err != nil {
		return err
	}
	return p.showComposer(c, http.StatusOK, d, back, nil)
}

// stored puts into the form what the saving made.
func (p *pages) stored(c echo.Context, d *submit.Draft, ref submit.Ref) error {
	list, err := p.Submit.Attachments(ctxOf(c), userOf(c).ID, ref)
	if err != nil {
		return err
	}
	d.Ref, d.Attachments, d.Saved = ref, list, p.Now()
	return nil
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
		if mail.IsCode(err, mail.CodeConflict) {
			d = unstored(d)
		}
		return p.composeFailed(c, p.keepFiles(c, d, files), back, err)
	}
	lang := p.lang(c)
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
	if err == nil {
		err = p.stored(c, &d, ref)
	}
	if err != nil {
		p.Log.LogAttrs(ctxOf(c), slog.LevelInfo, "files of a refused message not kept", slog.Any("error", err))
	}
	return d
}

// unstored is the form without the draft that it came from, which has gone:
// another window sent, saved or discarded it. Its attachments went with it.
func unstored(d submit.Draft) submit.Draft {
	d.Ref, d.Attachments, d.Saved = submit.Ref{}, nil, time.Time{}
	return d
}

// discard removes the draft for good.
func (p *pages) discard(c echo.Context, d submit.Draft, back string) error {
	if err := p.Submit.DiscardDraft(ctxOf(c), userOf(c).ID, d.Ref); err != nil {
		return err
	}
	p.putToast(c, templates.Toast{Text: templates.T(p.lang(c), "done.discarded")})
	return seeOther(c, back)
}

// composeFailed shows the form again with what was typed and what to do.
func (p *pages) composeFailed(c echo.Context, d submit.Draft, back string, err error) error {
	wrong, ok := composeErrors(p.lang(c), err)
	if !ok {
		return err
	}
	if mail.IsCode(err, mail.CodeConflict) {
		d = unstored(d)
	}
	if mail.IsCode(err, mail.CodeUnavailable) {
		p.Log.LogAttrs(ctxOf(c), slog.LevelError, "draft neither saved nor sent",
			slog.String("request_id", p.RequestID(c)), slog.Any("error", err))
	}
	return p.showComposer(c, http.StatusUnprocessableEntity, d, back, wrong)
}

// composeErrors words an error by the field that it belongs to. It is not ok
// for what needs a page of its own.
func composeErrors(lang string, err error) (map[string]string, bool) {
	field, reason := fieldOf(err)
	whole := func(reason string) (map[string]string, bool) {
		return map[string]string{"": templates.ErrorText(lang, "draft", reason)}, true
	}
	var bad submit.BadRecipient
	named := errors.As(err, &bad)
	switch mail.CodeOf(err) {
	case mail.CodeInvalid:
		if field == "" {
			return whole("unknown")
		}
		return map[string]string{field: fieldText(lang, field, reason, bad.Address)}, true
	case mail.CodeOverQuota:
		if named {
			return map[string]string{"to": fieldText(lang, "to", "full", bad.Address)}, true
		}
		return whole("quota")
	case mail.CodeTooBig:
		return map[string]string{"files": templates.ErrorText(lang, "files", "long")}, true
	case mail.CodeConflict:
		return whole("conflict")
	case mail.CodeLimited:
		return whole("limited")
	case mail.CodeDisabled, mail.CodeForbidden:
		return whole("forbidden")
	case mail.CodeUnavailable:
		return whole("away")
	case mail.CodeInternal, mail.CodeNoUser, mail.CodeNoMailbox, mail.CodeNoMessage, mail.CodeNotFound,
		mail.CodeExists, mail.CodeAuth:
		return nil, false
	}
	return nil, false
}

// fieldText is ErrorText, with the address at fault in its place.
func fieldText(lang, field, reason, address string) string {
	if address != "" && reason == "format" {
		reason = "address"
	}
	text := templates.ErrorText(lang, field, reason)
	switch {
	case strings.Contains(text, "%s"):
		return strings.Replace(text, "%s", address, 1)
	case address != "":
		return address + ": " + text
	}
	return text
}
