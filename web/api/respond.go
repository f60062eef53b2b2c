package api

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/labstack/echo/v4"
)

// respond writes JSON as WildDuck does: two spaces, a final line end, charset.
func respond(c echo.Context, status int, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	return c.Blob(status, "application/json; charset=utf-8", b.Bytes())
}

// stamp is a date as JavaScript writes it: UTC with milliseconds.
func stamp(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// stampOrNil is stamp, or null for the zero time.
func stampOrNil(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := stamp(t)
	return &s
}
