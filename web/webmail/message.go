package webmail

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/templates"
)

// conversationRows is how many messages of a conversation the reader lists.
const conversationRows = 100

// uidParam reads a UID of the path.
func uidParam(c echo.Context) (mail.UID, error) {
	n, err := strconv.ParseUint(c.Param("uid"), 10, 32)
	if err != nil || n == 0 {
		return 0, &mail.Error{Code: mail.CodeNoMessage, Op: "read uid", Err: err}
	}
	return mail.UID(n), nil
}

// opened is a message with its conversation and the list beside it.
type opened struct {
	*listing
	detail store.Detail
	thread []mail.Message
	// newer and older are the neighbours in the list, 0 at the ends.
	newer, older mail.UID
}

// message shows one message beside its list. Opening marks it read, but for a
// prefetch and for the script, which says so itself once the page is shown.
func (p *pages) message(c echo.Context) error {
	if onlyToast(c) {
		return p.toast(c)
	}
	uid, err := uidParam(c)
	if err != nil {
		return err
	}
	v := viewOf(c)
	if v.search = questionOf(c); v.search.text != "" {
		return p.foundMessage(c, v, uid)
	}
	o, err := p.open(ctxOf(c), userOf(c).ID, v, uid, fragment(c) == templates.FragmentReader)
	if err != nil {
		return err
	}
	return p.show(c, o, func() templates.Mailbox { return p.mailboxView(c, o.listing, uid) })
}

// show answers with a message beside its list, which is made once the message is
// marked as read.
func (p *pages) show(c echo.Context, o *opened, list func() templates.Mailbox) error {
	wasUnseen := o.detail.Unseen()
	if wasUnseen && marks(c) {
		if err := p.markSeen(c, o); err != nil {
			return err
		}
	}
	vm := list()
	reader := p.readerView(c, o, vm.Page)
	reader.Unread = wasUnseen
	reader.MarkRead = wasUnseen && !marks(c)
	if o.view.search.text != "" {
		reader.Newer, reader.Older = besideFound(vm.List.Rows)
	}
	vm.Reader = &reader
	vm.Title = o.detail.Subject
	return renderMailbox(c, vm)
}

// marks: the message is really shown, and no script will say so itself.
func marks(c echo.Context) bool { return fragment(c) == "" && !prefetch(c) }

// open reads a message. alone leaves out the rows of the list, which the
// script already shows.
func (p *pages) open(ctx context.Context, user mail.ID, v view, uid mail.UID, alone bool) (*opened, error) {
	o := &opened{}
	var err error
	if alone {
		o.listing = &listing{view: v}
		if o.boxes, err = p.Store.Mailboxes(ctx, user); err == nil {
			o.box, err = findBox(o.boxes, v.mailbox)
		}
	} else {
		o.listing, err = p.load(ctx, user, v)
	}
	if err != nil {
		return nil, err
	}
	if o.detail, err = p.Store.Message(ctx, user, o.box.ID, uid); err != nil {
		return nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		o.thread, err = p.Store.Thread(gctx, user, o.detail.Thread, store.ThreadOptions{
			Limit: conversationRows, Include: o.box.ID,
		})
		return err
	})
	if !o.besideRows() {
		g.Go(func() (err error) { o.newer, err = p.beside(gctx, user, o, true); return err })
		g.Go(func() (err error) { o.older, err = p.beside(gctx, user, o, false); return err })
	}
	return o, g.Wait()
}

// besideRows finds the neighbours among the rows, false when the message is
// not one of them.
func (o *opened) besideRows() bool {
	rows := o.page.Messages
	i := slices.IndexFunc(rows, func(m mail.Message) bool { return m.UID == o.detail.UID })
	if i < 0 {
		return false
	}
	if i > 0 {
		o.newer = rows[i-1].UID
	}
	if i+1 < len(rows) {
		o.older = rows[i+1].UID
	}
	return true
}

// beside asks the store for the next message on one side.
func (p *pages) beside(ctx context.Context, user mail.ID, o *opened, newer bool) (mail.UID, error) {
	question, err := o.view.at("", "").list(user, o.box.ID)
	if err != nil {
		return 0, err
	}
	question.Limit, question.ThreadCounts = 1, false
	key := store.KeyOf(&o.detail.Message)
	if newer {
		question.After = &key
	} else {
		question.Before = &key
	}
	page, err := p.Store.Messages(ctx, question)
	if err != nil || len(page.Messages) == 0 {
		return 0, err
	}
	return page.Messages[0].UID, nil
}

// markSeen sets \Seen and shows it in the rows and counters read before.
func (p *pages) markSeen(c echo.Context, o *opened) error {
	_, err := p.Store.StoreFlags(ctxOf(c), store.Selection{
		User: userOf(c).ID, Mailbox: o.box.ID, UIDs: []mail.UID{o.detail.UID},
	}, store.FlagChange{Add: []mail.Flag{mail.FlagSeen}})
	if err != nil {
		return err
	}
	o.box.Unseen = max(o.box.Unseen-1, 0)
	for i := range o.boxes {
		if o.boxes[i].ID == o.box.ID {
			o.boxes[i].Unseen = o.box.Unseen
		}
	}
	for i := range o.page.Messages {
		if m := &o.page.Messages[i]; m.UID == o.detail.UID {
			m.Flags = mail.WithFlag(m.Flags, mail.FlagSeen)
		}
	}
	return nil
}

// readerView fills the reader.
func (p *pages) readerView(c echo.Context, o *opened, page templates.Page) templates.Reader {
	d := &o.detail
	box := o.box.ID.String()
	r := templates.Reader{
		Mailbox: box, UID: uint32(d.UID), Use: useWord(o.box), MailboxName: lastPart(o.box.Path),
		Subject: d.Subject, Starred: d.Has(mail.FlagFlagged),
		Back: o.view.url(box), MoveTo: targets(o.boxes, o.box.ID),
	}
	if o.newer > 0 {
		r.Newer = templates.MessageURL(box, uint32(o.newer)) + o.view.query()
	}
	if o.older > 0 {
		r.Older = templates.MessageURL(box, uint32(o.older)) + o.view.query()
	}
	own := p.ownAddress(c)
	seen := false
	for i := range o.thread {
		m := &o.thread[i]
		if m.Mailbox == d.Mailbox && m.UID == d.UID {
			r.Messages, seen = append(r.Messages, p.messageView(c, o, page, own)), true
			continue
		}
		r.Messages = append(r.Messages, foldedView(m, own))
	}
	if !seen {
		r.Messages = append(r.Messages, p.messageView(c, o, page, own))
	}
	return r
}

// ownAddress tells whether an address is the reader's own.
func (p *pages) ownAddress(c echo.Context) func(string) bool {
	main := userOf(c).Address
	return func(a string) bool { return a != "" && strings.EqualFold(a, main) }
}

// foldedView is one line of the conversation.
func foldedView(m *mail.Message, own func(string) bool) templates.Message {
	box := m.Mailbox.String()
	date := m.Date
	if date.IsZero() {
		date = m.InternalDate
	}
	return templates.Message{
		Mailbox: box, UID: uint32(m.UID), From: person(m.From), Own: own(m.From.Address),
		Date: date, Received: m.InternalDate, Size: m.Size,
		Folded: true, Intro: m.Intro, Draft: m.Has(mail.FlagDraft),
		Href: templates.MessageURL(box, uint32(m.UID)),
	}
}

// messageView is the open message. ?text=1 chooses the plain text, ?images=1
// shows remote images through the proxy.
func (p *pages) messageView(c echo.Context, o *opened, page templates.Page, own func(string) bool) templates.Message {
	d := &o.detail
	box, uid := d.Mailbox.String(), uint32(d.UID)
	here := templates.MessageURL(box, uid)
	m := templates.Message{
		Mailbox: box, UID: uid, From: person(d.From), Own: own(d.From.Address),
		To: people(d.To), Cc: people(d.Cc), Bcc: people(d.Bcc), ReplyTo: people(d.ReplyTo),
		Date: d.Date, Received: d.InternalDate, Size: d.Size, Intro: d.Intro,
		Href: here, Draft: d.Has(mail.FlagDraft), Text: d.Text, Lang: message.LanguageOf(d.Root, d.Text),
		Attachments: attachmentTiles(d), Insight: p.insightOf(c, d),
	}
	if m.Date.IsZero() {
		m.Date = d.InternalDate
	}
	p.chooseBody(c, o, &m, page)
	return m
}

// chooseBody puts the HTML in its frame, or leaves the text.
func (p *pages) chooseBody(c echo.Context, o *opened, m *templates.Message, page templates.Page) {
	d := &o.detail
	if len(d.HTML) == 0 || !hasHTMLPart(d.Root) && !isFromTNEF(d) {
		return
	}
	here := templates.MessageURL(m.Mailbox, m.UID)
	if c.QueryParam("text") == "1" {
		m.HTMLHref = here + o.view.query()
		return
	}
	if d.Text != "" {
		m.TextHref = withQuery(here+o.view.query(), "text=1")
	}
	images := c.QueryParam("images") == "1"
	safe := p.sanitised(c, d, images)
	if safe.TooBig {
		m.Notes = append(m.Notes, templates.T(page.Lang, "note.toobig"))
		return
	}
	src := templates.FrameURL(m.Mailbox, m.UID)
	if images {
		src = withQuery(src, "images=1")
	}
	m.Frame = &templates.Frame{Src: src}
	if !images && (safe.Blocked > 0 || safe.Trackers > 0) {
		m.Images = &templates.Images{
			Blocked: safe.Blocked, Trackers: safe.Trackers, Show: withQuery(here+o.view.query(), "images=1"),
		}
	}
}

// isFromTNEF reports HTML that the sender wrote in winmail.dat. Of text come
// paragraphs and line breaks only, and no other sign of a tag.
func isFromTNEF(d *store.Detail) bool {
	found := false
	if d.Root != nil {
		d.Root.Parts(func(n *message.Node) { found = found || n.IsTNEF() })
	}
	made := strings.NewReplacer("<p>", "", "</p>", "", "<br/>", "")
	return found && slices.ContainsFunc(d.HTML, func(s string) bool { return strings.Contains(made.Replace(s), "<") })
}

// hasHTMLPart tells HTML that the sender wrote from HTML that was made of text.
// An attached file is neither; of a message inside the parts count.
func hasHTMLPart(n *message.Node) bool {
	if n == nil {
		return false
	}
	if n.Message != nil {
		return slices.ContainsFunc(n.Message.Children, hasHTMLPart)
	}
	if len(n.Children) == 0 {
		return isHTML(n)
	}
	return slices.ContainsFunc(n.Children, hasHTMLPart)
}

func withQuery(path, pair string) string {
	if strings.Contains(path, "?") {
		return path + "&" + pair
	}
	return path + "?" + pair
}

// attachmentTiles lists what the text does not show itself.
func attachmentTiles(d *store.Detail) []templates.Attachment {
	var out []templates.Attachment
	for _, a := range d.Attachments {
		if a.Related && len(d.HTML) > 0 && strings.HasPrefix(a.ContentType, "image/") {
			continue
		}
		kind := a.ContentType
		if a.Detected != "" {
			kind = a.Detected // what it is counts, not what it is called
		}
		out = append(out, templates.Attachment{
			Name: a.Filename, Type: kind, Size: a.DecodedSize,
			Href: templates.AttachmentURL(d.Mailbox.String(), uint32(d.UID), a.ID),
		})
	}
	return out
}

func person(a message.Address) templates.Person {
	return templates.Person{Name: a.Name, Address: a.Address}
}

// people flattens groups: their members are the recipients.
func people(list []message.Address) []templates.Person {
	var out []templates.Person
	for _, a := range list {
		if a.Group != nil {
			out = append(out, people(a.Group)...)
			continue
		}
		out = append(out, person(a))
	}
	return out
}
