package api

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

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
	// prefix stands before the names of an object inside another: "draft,".
	prefix string
}

type problem struct{ path, text string }

// add takes the values of a further source.
func (p *params) add(source map[string]any) {
	for key, v := range source {
		p.set(key, v)
	}
}

// set keeps the first value that is not empty.
func (p *params) set(key string, v any) {
	if old, ok := p.values[key]; ok && old != nil && old != "" {
		return
	}
	p.values[key] = v
}

// numbers are the list positions in a path.
var numbers = regexp.MustCompile(`,(\d+)`)

func (p *params) blame(path, format string, args ...any) {
	path = p.prefix + path
	// Details join names with commas; texts write them as JavaScript does.
	label := strings.ReplaceAll(numbers.ReplaceAllString(path, "[$1]"), ",", ".")
	p.wrong = append(p.wrong, problem{path, `"` + label + `" ` + fmt.Sprintf(format, args...)})
}

// get gives a value; ok is false when it is missing or null.
func (p *params) get(key string) (any, bool) {
	p.used[key] = true
	v, ok := p.values[key]
	return v, ok && v != nil
}

// session reads the parameters for logs that most routes take: the client's
// session and its IP address.
func (p *params) session() (sess, ip string) {
	sess, ip = p.text("sess", false, 255), p.text("ip", false, 64)
	if _, err := netip.ParseAddr(ip); ip != "" && err != nil {
		p.blame("ip", "must be a valid ip address of one of the following versions [ipv4, ipv6] with a forbidden CIDR")
	}
	return sess, ip
}

// invalid is the answer for one parameter that is found wrong later.
func invalid(path, text string) error {
	p := &params{}
	p.blame(path, "%s", text)
	return p.finish()
}

// finish reports everything that was wrong, unknown keys included.
func (p *params) finish() error {
	if !p.open {
		for _, key := range slices.Sorted(maps.Keys(p.values)) {
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
	s, ok := p.short(v, limit)
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

// short reads a string, which may wait in the spool: what is too long for the
// limit in characters is not read, and comes as more than that.
func (p *params) short(v any, limit int) (string, bool) {
	held, ok := v.(spooled)
	if !ok {
		s, ok := v.(string)
		return s, ok
	}
	b, err := io.ReadAll(io.LimitReader(held.reader(), int64(limit+1)*utf8.UTFMax))
	return strings.ToValidUTF8(string(b), "\uFFFD"), err == nil
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
	text := strings.TrimSpace(fmt.Sprint(v))
	if !numberPattern.MatchString(text) {
		p.blame(key, "must be a number")
		return byDefault
	}
	// Fractions count as whole numbers below; a float of an integer beyond
	// 2^53 would be another number.
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		f, _ := strconv.ParseFloat(text, 64) // infinite when it is too large
		n = int64(max(min(f, math.MaxInt64/2), math.MinInt64/2))
	}
	switch {
	case n < least:
		p.blame(key, "must be greater than or equal to %d", least)
		return byDefault
	case n > most:
		p.blame(key, "must be less than or equal to %d", most)
		return byDefault
	}
	return n
}

var numberPattern = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$`)

const maxTime = 8.64e15

// date reads ISO 8601 text or milliseconds.
func (p *params) date(key string) time.Time {
	v, ok := p.get(key)
	if !ok || v == "" {
		return time.Time{}
	}
	s := fmt.Sprint(v)
	// JavaScript's dates end 100,000,000 days from 1970 (ECMA-262 21.4.1.1).
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil && ms >= -maxTime && ms <= maxTime {
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
	if len(text) > 1<<20 || json.Unmarshal([]byte(text), &obj) != nil || obj == nil {
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
