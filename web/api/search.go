package api

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/search"
	"github.com/eidermail/eider/mail/store"
)

// searchCalls bounds how far one request searches for a page. A page that is short
// even then has a cursor.
const searchCalls = 20

// search is GET /users/:user/search.
func (s *server) search(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	p.open = true
	user := p.id("user", true)
	o := store.Search{
		User: user, Query: s.searchQuery(p), Limit: int(p.number("limit", false, 1, store.MaxPage, 20)),
		ThreadCounts: p.yes("threadCounters", false), Count: true,
	}
	order, _ := p.get("order")
	o.OldestFirst = order == "asc"
	l := listOptions{next: p.cursor("next"), previous: p.cursor("previous"), headers: p.text("includeHeaders", false, 1024)}
	p.session()
	if err := p.finish(); err != nil {
		return err
	}
	if err := s.may(c, "read", "messages", user); err != nil {
		return err
	}
	if _, err := s.Store.Account(ctxOf(c), user); err != nil {
		return err
	}
	page, err := turnSearch(&o, l)
	if err != nil {
		return err
	}
	found, err := s.Store.SearchThrough(ctxOf(c), o, searchCalls)
	if err != nil {
		return err
	}
	results, err := s.rows(c, found.Messages, o.ThreadCounts, l)
	if err != nil {
		return err
	}
	before, after := found.Newer, found.Older
	if o.OldestFirst {
		before, after = after, before
	}
	if before == nil {
		page = 1
	}
	query := p.text("q", false, 1024)
	if query == "" {
		query = p.text("query", false, 255)
	}
	body := map[string]any{
		"success": true, "query": query, "total": found.Total, "page": page, "previousCursor": false, "nextCursor": false, "results": results,
	}
	if after != nil {
		body["nextCursor"] = searchCursor(*after, page+1)
	}
	if before != nil {
		body["previousCursor"] = searchCursor(*before, page-1)
	}
	return respond(c, http.StatusOK, body)
}

// searchQuery reads q, or where there is none the parameters one by one.
func (s *server) searchQuery(p *params) search.Query {
	q := strings.TrimSpace(p.text("q", false, 1024))
	a := search.API{
		Mailbox: p.id("mailbox", false), Thread: p.id("thread", false), Query: p.text("query", false, 255),
		From: p.text("from", false, 255), To: p.text("to", false, 255), Subject: p.text("subject", false, 255),
		DateStart: p.date("datestart"), DateEnd: p.date("dateend"),
		MinSize: p.number("minSize", false, 0, 1<<53, 0), MaxSize: p.number("maxSize", false, 0, 1<<53, 0),
		Attachments: p.yes("attachments", false), Flagged: p.yes("flagged", false), Unseen: p.yes("unseen", false), Seen: p.yes("seen", false),
		Searchable: p.yes("searchable", false),
	}
	if id := strings.TrimSpace(p.text("id", false, 1024)); id != "" {
		if !selectorPattern.MatchString(id) {
			p.blame("id", "fails to match the required pattern: /%s/i", `^\d+(,\d+)*$|^\d+:(\d+|\*)$`)
		} else if uids, err := search.ParseUIDs(id); err == nil {
			a.UIDs = uids
		}
	}
	s.searchEither(p, &a)
	if q == "" {
		return a.Tree()
	}
	parsed := search.People{Now: s.Now()}.Parse(q)
	if !parsed.Text {
		return parsed.Query
	}
	// WildDuck: words are not looked for in what is marked deleted.
	return search.And{parsed.Query, search.Not{Query: search.Flag{Flag: mail.FlagDeleted}}}
}

// searchEither reads or[from] and or.from alike.
func (s *server) searchEither(p *params, a *search.API) {
	inner, _ := p.object("or")
	read := func(name string) string {
		if v, ok := inner[name].(string); ok {
			return strings.TrimSpace(v)
		}
		return strings.TrimSpace(p.text("or."+name, false, 255))
	}
	a.Or.Query, a.Or.From, a.Or.To, a.Or.Subject = read("query"), read("from"), read("to"), read("subject")
}

// searchCursor writes a position of a search: date, id, and the id of the first
// storing.
func searchCursor(k store.SearchKey, page int) string {
	date, _ := json.Marshal(k.Date.UnixMilli())
	inner, _ := json.Marshal([]any{ejsonDate{date}, ejsonID{k.ID.String()}, ejsonID{k.Root.String()}})
	outer, _ := json.Marshal([]any{string(inner), page})
	return base64.RawURLEncoding.EncodeToString(outer)
}

func parseSearchCursor(s string) (k *store.SearchKey, page int, err error) {
	text, page, ok := unwrap(s)
	if !ok {
		return nil, 0, nil
	}
	var inner []json.RawMessage
	var date ejsonDate
	var id, root ejsonID
	if json.Unmarshal([]byte(text), &inner) != nil || len(inner) != 3 || json.Unmarshal(inner[0], &date) != nil ||
		json.Unmarshal(inner[1], &id) != nil || json.Unmarshal(inner[2], &root) != nil {
		return nil, 0, errCursor
	}
	k = &store.SearchKey{}
	var err1, err2, err3 error
	k.Date, err1 = parseEJSONDate(date.Date)
	k.ID, err2 = mail.ParseID(id.OID)
	k.Root, err3 = mail.ParseID(root.OID)
	if err1 != nil || err2 != nil || err3 != nil {
		return nil, 0, errCursor
	}
	return k, page, nil
}

// turnSearch sets the search's position from the cursors and gives the page's number.
func turnSearch(o *store.Search, l listOptions) (int, error) {
	forward, cursor := true, l.next
	if cursor == "" {
		forward, cursor = false, l.previous
	}
	key, page, err := parseSearchCursor(cursor)
	if key == nil || err != nil {
		return 1, err
	}
	if forward != o.OldestFirst {
		o.Before = key
	} else {
		o.After = key
	}
	return max(page, 1), nil
}
