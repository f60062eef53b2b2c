package api

import (
	"encoding/base64"
	"encoding/json"
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
	date, _ := json.Marshal(stamp(k.Date))
	inner, _ := json.Marshal([]any{ejsonDate{date}, ejsonID{k.ID.String()}})
	outer, _ := json.Marshal([]any{string(inner), page})
	return base64.RawURLEncoding.EncodeToString(outer)
}

// parseCursor reads one. A cursor that cannot be unwrapped counts as absent.
func parseCursor(s string) (k *store.Key, page int) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil, 0
	}
	var outer []json.RawMessage
	var text string
	if json.Unmarshal(raw, &outer) != nil || len(outer) != 2 ||
		json.Unmarshal(outer[0], &text) != nil || json.Unmarshal(outer[1], &page) != nil {
		return nil, 0
	}
	var inner []json.RawMessage
	var date ejsonDate
	var id ejsonID
	if json.Unmarshal([]byte(text), &inner) != nil || len(inner) != 2 ||
		json.Unmarshal(inner[0], &date) != nil || json.Unmarshal(inner[1], &id) != nil {
		return nil, 0
	}
	k = &store.Key{}
	if k.ID, err = mail.ParseID(id.OID); err != nil {
		return nil, 0
	}
	if k.Date, err = parseEJSONDate(date.Date); err != nil {
		return nil, 0
	}
	return k, page
}

// parseEJSONDate reads ISO text, milliseconds, or {"$numberLong": "…"}.
func parseEJSONDate(raw json.RawMessage) (time.Time, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		t, err := time.Parse(time.RFC3339Nano, text)
		return t.UTC(), err
	}
	var long struct {
		N int64 `json:"$numberLong,string"`
	}
	if json.Unmarshal(raw, &long) == nil && long.N != 0 {
		return time.UnixMilli(long.N).UTC(), nil
	}
	var ms int64
	err := json.Unmarshal(raw, &ms)
	return time.UnixMilli(ms).UTC(), err
}
