package api

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strconv"
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
	c.Response().Header().Set(echo.HeaderContentLength, strconv.Itoa(b.Len()))
	return c.Blob(status, "application/json; charset=utf-8", b.Bytes())
}

// send streams bytes. When they cannot be read to their end the connection is
// cut, so that the client does not take a part for the whole.
func (s *server) send(c echo.Context, kind string, r io.Reader) error {
	c.Response().Header().Set(echo.HeaderContentType, kind)
	c.Response().WriteHeader(http.StatusOK)
	if _, err := io.Copy(c.Response(), r); err != nil {
		s.Log.LogAttrs(ctxOf(c), slog.LevelWarn, "answer cut short",
			slog.String("request_id", s.RequestID(c)), slog.String("route", c.Path()), slog.Any("error", err))
		panic(http.ErrAbortHandler)
	}
	return nil
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
