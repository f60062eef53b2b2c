package api

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

// A cursor as clients see it is base64url of a JSON array: the text of the
// inner cursor and the page's number. The inner cursor of a message list is
// extended JSON of [idate, _id].

type ejsonDate struct {
	Date json.RawMessage `json:"$date"`
}

type ejsonID struct {
	OID string `json:"$oid"`
}

// formatCursor writes the position before or after which a page begins.
func formatCursor(k store.Key, page int) string {
	// Extended JSON leaves out milliseconds that are zero.
	date, _ := json.Marshal(strings.Replace(stamp(k.Date), ".000Z", "Z", 1))
	inner, _ := json.Marshal([]any{ejsonDate{date}, ejsonID{k.ID.String()}})
	outer, _ := json.Marshal([]any{string(inner), page})
	return base64.RawURLEncoding.EncodeToString(outer)
}

// errCursor answers a cursor of another kind of list, as WildDuck does.
var errCursor = &apiError{
	status: http.StatusInternalServerError, code: "InternalDatabaseError", expected: true,
	text: "MongoDB Error: the cursor does not belong to this list",
}

var cursorPattern = regexp.MustCompile(`^[A-Za-z0-9_-]*$`)

// cursor reads a cursor's text: base64url of JSON.
func (p *params) cursor(key string) string {
	s := strings.TrimSpace(p.text(key, false, 1024))
	if s == "" {
		return ""
	}
	raw, err := base64.RawURLEncoding.DecodeString(s)
	switch {
	case !cursorPattern.MatchString(s):
		p.blame(key, "with value %q fails to match the required pattern: /%s/", s, "^[a-z0-9_-]*$")
	case err != nil || !json.Valid(raw):
		p.blame(key, "is not a valid cursor")
	}
	return s
}

// parseCursor reads one. A cursor that cannot be unwrapped counts as absent;
// one whose position is not of a message list is refused.
func parseCursor(s string) (k *store.Key, page int, err error) {
	text, page, ok := unwrap(s)
	if !ok {
		return nil, 0, nil
	}
	var inner []json.RawMessage
	var date ejsonDate
	var id ejsonID
	if json.Unmarshal([]byte(text), &inner) != nil || len(inner) != 2 ||
		json.Unmarshal(inner[0], &date) != nil || json.Unmarshal(inner[1], &id) != nil {
		return nil, 0, errCursor
	}
	k = &store.Key{}
	if k.ID, err = mail.ParseID(id.OID); err != nil {
		return nil, 0, errCursor
	}
	if k.Date, err = parseEJSONDate(date.Date); err != nil {
		return nil, 0, errCursor
	}
	return k, page, nil
}

// unwrap takes the inner cursor and the page's number out of the outer one.
func unwrap(s string) (text string, page int, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	var outer []json.RawMessage
	ok = err == nil && json.Unmarshal(raw, &outer) == nil && len(outer) == 2 &&
		json.Unmarshal(outer[0], &text) == nil && json.Unmarshal(outer[1], &page) == nil
	return text, page, ok
}

// parseEJSONDate reads ISO text, milliseconds, or {"$numberLong": "…"}.
func parseEJSONDate(raw json.RawMessage) (time.Time, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		t, err := time.Parse(time.RFC3339Nano, text)
		return t.UTC(), err
	}
	var long struct {
		N *int64 `json:"$numberLong,string"`
	}
	if json.Unmarshal(raw, &long) == nil && long.N != nil && plausible(*long.N) {
		return time.UnixMilli(*long.N).UTC(), nil
	}
	var ms *int64
	if json.Unmarshal(raw, &ms) != nil || ms == nil || !plausible(*ms) {
		return time.Time{}, errCursor
	}
	return time.UnixMilli(*ms).UTC(), nil
}

// plausible reports milliseconds within JavaScript's range of dates.
func plausible(ms int64) bool {
	return ms >= -maxTime && ms <= maxTime
}
