package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
)

// params is the one flat object that WildDuck builds from path, query and body:
// an earlier source wins while its value is not empty. Each reader converts,
// checks and remembers what is wrong; finish answers with all of it at once.
type params struct {
	values map[string]any
	used   map[string]bool
	wrong  []problem
	// open accepts keys that no reader asked for.
	open bool
}

type problem struct{ path, text string }

// readParams reads the request's parameters. The error is a malformed body.
func readParams(c echo.Context) (*params, error) {
	p := &params{values: map[string]any{}, used: map[string]bool{"accessToken": true, "sess": true, "ip": true}}
	for _, name := range c.ParamNames() {
		p.set(name, c.Param(name))
	}
	p.addForm(c.QueryParams())
	r := c.Request()
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.ContentLength == 0 {
		return p, nil
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		return p, p.addJSON(r.Body)
	case kind == "application/x-www-form-urlencoded", kind == "multipart/form-data":
		form, err := c.FormParams()
		if err != nil {
			return nil, invalidContent(err)
		}
		p.addForm(form)
	}
	return p, nil
}

func invalidContent(err error) error {
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return err
	}
	return &apiError{status: http.StatusBadRequest, code: "InvalidContent", text: "Invalid content: " + err.Error(), router: true}
}

func (p *params) addJSON(body io.Reader) error {
	var doc map[string]any
	dec := json.NewDecoder(body)
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return invalidContent(err)
	}
	for k, v := range doc {
		p.set(k, v)
	}
	return nil
}

// addForm takes text values; a[b]=c and a.b=c become nested objects, a[]=x lists.
func (p *params) addForm(form url.Values) {
	for key, values := range form {
		if len(values) == 0 {
			continue
		}
		var v any = values[0]
		if name, ok := strings.CutSuffix(key, "[]"); ok || len(values) > 1 {
			list := make([]any, len(values))
			for i := range values {
				list[i] = values[i]
			}
			key, v = name, list
		}
		if outer, inner, ok := strings.Cut(strings.TrimSuffix(strings.Replace(key, "[", ".", 1), "]"), "."); ok {
			m, _ := p.values[outer].(map[string]any)
			if m == nil {
				m = map[string]any{}
			}
			m[inner] = v
			p.values[outer] = m
			continue
		}
		p.set(key, v)
	}
}

// set keeps the first value that is not empty.
func (p *params) set(key string, v any) {
	if old, ok := p.values[key]; ok && old != nil && old != "" && old != false {
		return
	}
	p.values[key] = v
}

func (p *params) blame(path, format string, args ...any) {
	p.wrong = append(p.wrong, problem{path, `"` + path + `" ` + fmt.Sprintf(format, args...)})
}

// get gives a value; ok is false when it is missing or null.
func (p *params) get(key string) (any, bool) {
	p.used[key] = true
	v, ok := p.values[key]
	return v, ok && v != nil
}

// finish reports everything that was wrong, unknown keys included.
func (p *params) finish() error {
	if !p.open {
		for key := range p.values {
			if !p.used[key] {
				p.blame(key, "is not allowed")
			}
		}
	}
	if len(p.wrong) == 0 {
		return nil
	}
	texts := make([]string, len(p.wrong))
	details := map[string]any{}
	for i, w := range p.wrong {
		texts[i] = w.text
		if _, ok := details[w.path]; !ok {
			details[w.path] = w.text
		}
	}
	return &apiError{
		status: http.StatusBadRequest, code: "InputValidationError", text: strings.Join(texts, ". "),
		details: map[string]any{"details": details},
	}
}

// text reads a string of at most limit characters.
func (p *params) text(key string, required bool, limit int) string {
	v, ok := p.get(key)
	if !ok {
		if required {
			p.blame(key, "is required")
		}
		return ""
	}
	s, ok := v.(string)
	switch {
	case !ok:
		p.blame(key, "must be a string")
	case s == "" && required:
		p.blame(key, "is not allowed to be empty")
	case utf8.RuneCountInString(s) > limit:
		p.blame(key, "length must be less than or equal to %d characters long", limit)
	}
	return s
}

// id reads 24 hexadecimal digits.
func (p *params) id(key string, required bool) mail.ID {
	s := strings.ToLower(p.text(key, required, 64))
	if s == "" {
		return mail.ID{}
	}
	if len(s) != 24 {
		p.blame(key, "length must be 24 characters long")
		return mail.ID{}
	}
	id, err := mail.ParseID(s)
	if err != nil {
		p.blame(key, "must only contain hexadecimal characters")
	}
	return id
}

// yes reads a boolean in any of the words that are accepted; missing and empty
// give the default.
func (p *params) yes(key string, byDefault bool) bool {
	if b := p.maybe(key); b != nil {
		return *b
	}
	return byDefault
}

// maybe reads a boolean that may be missing.
func (p *params) maybe(key string) *bool {
	v, ok := p.get(key)
	if !ok || v == "" {
		return nil
	}
	b := false
	switch w := strings.ToLower(fmt.Sprint(v)); w {
	case "true", "y", "yes", "on", "1":
		b = true
	case "false", "n", "no", "off", "0":
	default:
		p.blame(key, "must be a boolean")
	}
	return &b
}

// number reads an integer within bounds.
func (p *params) number(key string, required bool, least, most, byDefault int64) int64 {
	v, ok := p.get(key)
	if !ok || v == "" {
		if required {
			p.blame(key, "is required")
		}
		return byDefault
	}
	f, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	n := int64(f)
	switch {
	case err != nil:
		p.blame(key, "must be a number")
	case n < least:
		p.blame(key, "must be greater than or equal to %d", least)
	case n > most:
		p.blame(key, "must be less than or equal to %d", most)
	}
	return n
}

// date reads ISO 8601 text or milliseconds.
func (p *params) date(key string) time.Time {
	v, ok := p.get(key)
	if !ok || v == "" {
		return time.Time{}
	}
	s := fmt.Sprint(v)
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.UnixMilli(ms).UTC()
	}
	for _, layout := range []string{time.RFC3339Nano, time.RFC1123Z, "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	p.blame(key, "must be a valid date")
	return time.Time{}
}

// list reads an array; a single value counts as an array of one.
func (p *params) list(key string) []any {
	v, ok := p.get(key)
	if !ok {
		return nil
	}
	if l, ok := v.([]any); ok {
		return l
	}
	if v == "" {
		return nil
	}
	return []any{v}
}

// texts reads an array of strings.
func (p *params) texts(key string, limit int) []string {
	var out []string
	for i, v := range p.list(key) {
		s, ok := v.(string)
		if s = strings.TrimSpace(s); !ok || utf8.RuneCountInString(s) > limit {
			p.blame(fmt.Sprintf("%s,%d", key, i), "must be a string of at most %d characters", limit)
			continue
		}
		out = append(out, s)
	}
	return out
}

// object reads a nested object; its own readers blame "key,inner".
func (p *params) object(key string) (map[string]any, bool) {
	v, ok := p.get(key)
	if !ok {
		return nil, false
	}
	m, ok := v.(map[string]any)
	if !ok {
		p.blame(key, "must be of type object")
	}
	return m, ok
}

// metaData reads an object or its JSON text and gives the text that is stored.
func (p *params) metaData(key string) string {
	v, ok := p.get(key)
	if !ok || v == "" {
		return ""
	}
	text, isText := v.(string)
	if !isText {
		b, err := json.Marshal(v)
		if err != nil {
			p.blame(key, "must be a valid JSON")
		}
		text = string(b)
	}
	var obj map[string]any
	if json.Unmarshal([]byte(text), &obj) != nil || len(text) > 1<<20 {
		p.blame(key, "must be a valid JSON object of at most 1 MB")
	}
	return text
}

// usernamePattern is WildDuck's, with letters of every script.
var usernamePattern = regexp.MustCompile(`^[\p{L}\p{M}\p{N}-]+(?:[._=:][\p{L}\p{M}\p{N}-]+)*(?:@[\p{L}\p{M}\p{N}-]+(?:[._=:][\p{L}\p{M}\p{N}-]+)*)?$`)

// username reads a login name, lower-cased.
func (p *params) username(key string) string {
	s := strings.ToLower(p.text(key, true, 128))
	if s != "" && !usernamePattern.MatchString(s) && !validAddress(s) {
		p.blame(key, "with value %q fails to match the required pattern", s)
	}
	return s
}

func validAddress(s string) bool {
	_, err := address.Parse(s)
	return err == nil
}
