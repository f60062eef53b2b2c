package api

import (
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
)

// formatted is an address without label and dots, as WildDuck shows recipients.
func formatted(s string) string {
	a, err := address.Parse(s)
	if err != nil {
		return s
	}
	return a.View()
}

func paramsOf(ct *message.ContentValue) map[string]string {
	if len(ct.Params) == 0 {
		return nil
	}
	out := make(map[string]string, len(ct.Params))
	for _, p := range ct.Params {
		out[p.Key] = p.Value
	}
	return out
}

var attachmentPattern = regexp.MustCompile(`^(ATT\d+|(ATT\d+|P[\d.]+)-\d+)$`)

// messages is GET …/messages.
func (s *server) messages(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	p.open = true
	l, o := listOrder(p)
	if err := p.finish(); err != nil {
		return err
	}
	if err := s.may(c, "read", "messages", l.User); err != nil {
		return err
	}
	mailbox, err := s.Store.Mailbox(ctxOf(c), l.User, l.Mailbox)
	if err != nil {
		return err
	}
	page, err := turnTo(&l, o)
	if err != nil {
		return err
	}
	rows, err := s.Store.Messages(ctxOf(c), l)
	if err != nil {
		return err
	}
	results, err := s.rows(c, rows.Messages, l.ThreadCounts, o)
	if err != nil {
		return err
	}
	body := map[string]any{
		"success": true, "total": totalOf(mailbox, l.Filter.Unseen), "page": page,
		"previousCursor": false, "nextCursor": false, "specialUse": nil, "results": results,
	}
	if mailbox.SpecialUse != "" {
		body["specialUse"] = string(mailbox.SpecialUse)
	}
	before, after := rows.Newer, rows.Older
	if l.OldestFirst {
		before, after = after, before
	}
	n := len(rows.Messages)
	if n == 0 || !before {
		page = 1
		body["page"] = page
	}
	if n > 0 && after {
		body["nextCursor"] = formatCursor(store.KeyOf(&rows.Messages[n-1]), page+1)
	}
	if n > 0 && before {
		body["previousCursor"] = formatCursor(store.KeyOf(&rows.Messages[0]), page-1)
	}
	return respond(c, http.StatusOK, body)
}

// listOptions are what a list is asked for beside the rows.
type listOptions struct {
	metaData bool
	// headers names header fields, separated by commas.
	headers        string
	next, previous string
}

func listOrder(p *params) (store.List, listOptions) {
	l := store.List{
		User: p.id("user", true), Mailbox: p.id("mailbox", true),
		Limit:        int(p.number("limit", false, 1, store.MaxPage, 20)),
		ThreadCounts: p.yes("threadCounters", false),
	}
	l.Filter.Unseen = p.yes("unseen", false)
	order, _ := p.get("order")
	l.OldestFirst = order == "asc"
	o := listOptions{metaData: p.yes("metaData", false), next: p.cursor("next"), previous: p.cursor("previous")}
	if names, ok := p.get("includeHeaders"); ok {
		o.headers, _ = names.(string)
	}
	if utf8.RuneCountInString(o.headers) > 1024 {
		p.blame("includeHeaders", "length must be less than or equal to 1024 characters long")
	}
	p.session()
	return l, o
}

// turnTo sets the list's position from the cursors and gives the page's number.
func turnTo(l *store.List, o listOptions) (int, error) {
	forward, cursor := true, o.next
	if cursor == "" {
		forward, cursor = false, o.previous
	}
	key, page, err := parseCursor(cursor)
	if key == nil || err != nil {
		return 1, err
	}
	// "next" is older in the usual order, and newer when the oldest come first.
	if forward != l.OldestFirst {
		l.Before = key
	} else {
		l.After = key
	}
	return max(page, 1), nil
}

func totalOf(b mail.Mailbox, unseen bool) int {
	if unseen {
		return b.Unseen
	}
	return b.Total
}

// rows writes a list; metaData and includeHeaders need each message itself.
func (s *server) rows(c echo.Context, list []mail.Message, counts bool, o listOptions) ([]any, error) {
	out := make([]any, 0, len(list))
	for i := range list {
		row := rowOf(&list[i])
		if counts {
			row.ThreadMessageCount = &list[i].ThreadCount
		}
		// A row without From takes the sender from elsewhere in the message.
		if !o.metaData && o.headers == "" && hasSender(&list[i]) {
			out = append(out, row)
			continue
		}
		d, err := s.Store.Message(ctxOf(c), list[i].User, list[i].Mailbox, list[i].UID)
		if mail.IsCode(err, mail.CodeNoMessage) {
			continue
		}
		if err != nil {
			return nil, err
		}
		row.From = senderOf(&d)
		if o.metaData {
			row.MetaData = jsonObject(d.Meta.Custom)
		}
		row.Headers = headersOf(&d, o.headers)
		out = append(out, row)
	}
	return out, nil
}

func hasSender(m *mail.Message) bool {
	return m.From.Address != "" || m.From.Name != "" || m.From.Group != nil
}

// headersOf picks the named header fields, in lower case and as they are
// stored parsed: text, a list, addresses, or a type with its parameters.
func headersOf(d *store.Detail, names string) map[string]any {
	if names == "" || d.Root == nil {
		return nil
	}
	out := map[string]any{}
	for name := range strings.SplitSeq(strings.ToLower(names), ",") {
		name = strings.TrimSpace(name)
		for _, f := range d.Root.Parsed {
			if f.Key != name {
				continue
			}
			switch v := f.Value.(type) {
			case []message.Address:
				out[name] = addressesOf(v)
			case *message.ContentValue:
				out[name] = contentJSON{v.Value, v.Type, v.Subtype, paramsOf(v)}
			default:
				out[name] = v
			}
		}
	}
	return out
}

// one reads user, mailbox and UID of the path and checks the caller's role.
func (s *server) one(c echo.Context, p *params, action, resource string) (user, box mail.ID, uid mail.UID, err error) {
	user, box = p.id("user", true), p.id("mailbox", true)
	if resource == "messages" {
		p.session()
	}
	uid = mail.UID(p.number("message", true, 1, 1<<32-1, 0)) //nolint:gosec // bounded by the reader
	if err := p.finish(); err != nil {
		return user, box, uid, err
	}
	return user, box, uid, s.may(c, action, resource, user)
}

// message is GET …/messages/:message.
func (s *server) message(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	seen := p.yes("markAsSeen", false)
	p.yes("replaceCidLinks", false)
	user, box, uid, err := s.one(c, p, "read", "messages")
	if err != nil {
		return err
	}
	d, err := s.Store.Message(ctxOf(c), user, box, uid)
	if err != nil {
		return asNoMessage(err)
	}
	if seen && d.Unseen() {
		if _, err := s.Store.StoreFlags(ctxOf(c), store.Selection{User: user, Mailbox: box, UIDs: []mail.UID{uid}},
			store.FlagChange{Add: []mail.Flag{mail.FlagSeen}}); err != nil {
			return err
		}
		d.Flags = mail.WithFlag(d.Flags, mail.FlagSeen)
	}
	out := detailOf(&d)
	if out.Outbound, err = s.outbound(c, d.Outbound); err != nil {
		return err
	}
	return respond(c, http.StatusOK, out)
}

// asNoMessage: in a mailbox that does not exist there is no message either.
func asNoMessage(err error) error {
	if mail.IsCode(err, mail.CodeNoMailbox) {
		return errNoMessage
	}
	return err
}

// outbound lists the queue entries that still wait.
func (s *server) outbound(c echo.Context, ids []string) ([]outboundJSON, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	entries, err := s.Store.QueueEntries(ctxOf(c), store.QueueFilter{IDs: ids})
	if err != nil {
		return nil, err
	}
	var out []outboundJSON
	for _, id := range ids {
		row := outboundJSON{QueueID: id}
		for _, e := range entries {
			if e.ID == id {
				row.Entries = append(row.Entries, queueRowJSON{e.Seq, e.Recipient, e.Zone, stampOrNil(e.Queued)})
			}
		}
		if row.Entries != nil {
			out = append(out, row)
		}
	}
	return out, nil
}

// source is GET …/message.eml: the bytes as they came.
func (s *server) source(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	user, box, uid, err := s.one(c, p, "read", "messages")
	if err != nil {
		return err
	}
	r, _, err := s.Store.Raw(ctxOf(c), user, box, uid)
	if err != nil {
		return asNoMessage(err)
	}
	defer func() { _ = r.Close() }()
	return s.send(c, "message/rfc822", r)
}

// attachment is GET …/attachments/:attachment: decoded bytes.
func (s *server) attachment(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	id := strings.ToUpper(p.text("attachment", true, 256))
	if !attachmentPattern.MatchString(id) {
		p.blame("attachment", "with value %q fails to match the required pattern: /^ATT\\d+$/i", id)
	}
	if p.yes("sendAsString", false) {
		p.blame("sendAsString", "is not supported by this version")
	}
	user, box, uid, err := s.one(c, p, "read", "attachments")
	if err != nil {
		return err
	}
	a, err := s.Store.Attachment(ctxOf(c), user, box, uid, id)
	if mail.IsCode(err, mail.CodeNotFound) {
		return errNoAttachment
	}
	if err != nil {
		return asNoMessage(err)
	}
	defer func() { _ = a.Decoded.Close() }()
	// An API listener may share its host with other things: nothing that a
	// stranger sent may run there.
	c.Response().Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	kind := a.ContentType
	if kind == "" {
		kind = "application/octet-stream"
	}
	return s.send(c, kind, a.Decoded)
}
