package api

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
)

func itoa(uid mail.UID) string { return strconv.FormatUint(uint64(uid), 10) }

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func newRequest(path string) *http.Request { return httptest.NewRequest(http.MethodGet, path, nil) }

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	must(t, err)
	must(t, z.Close())
	return b.String()
}

// paramsOfRequest reads a request's parameters as a handler would.
func paramsOfRequest(path, query, kind, body string) (*params, error) {
	r := httptest.NewRequest(http.MethodPost, "/x?"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	c := echo.New().NewContext(r, httptest.NewRecorder())
	if path != "" {
		c.SetParamNames("user")
		c.SetParamValues(path)
	}
	return readParams(c)
}

func TestPrecedence(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		path, query, kind, body string
		want                    map[string]any
	}{
		"path first":               {"a", "user=b", "application/json", `{"user":"c"}`, map[string]any{"user": "a"}},
		"query before body":        {"", "x=1", "application/json", `{"x":"2","y":"3"}`, map[string]any{"x": "1", "y": "3"}},
		"empty is overwritten":     {"", "x=", "application/json", `{"x":"2"}`, map[string]any{"x": "2"}},
		"form":                     {"", "x=", form, "x=2&y=a+b", map[string]any{"x": "2", "y": "a b"}},
		"repeated":                 {"", "x=1&x=2", "", "", map[string]any{"x": []any{"1", "2"}}},
		"brackets":                 {"", "x[]=1", "", "", map[string]any{"x": []any{"1"}}},
		"brackets twice":           {"", "x[]=1&x[]=2", "", "", map[string]any{"x": []any{"1", "2"}}},
		"dots":                     {"", "or.from=x&or.to=y", "", "", map[string]any{"or": map[string]any{"from": "x", "to": "y"}}},
		"members":                  {"", "or[from]=x", "", "", map[string]any{"or": map[string]any{"from": "x"}}},
		"list of objects":          {"", "", form, "to[1][address]=b&to[0][address]=a&to[0][name]=n", map[string]any{"to": []any{map[string]any{"address": "a", "name": "n"}, map[string]any{"address": "b"}}}},
		"gaps close":               {"", "x[1]=a&x[20]=b", "", "", map[string]any{"x": []any{"a", "b"}}},
		"beyond the array's limit": {"", "x[21]=a", "", "", map[string]any{"x": map[string]any{"21": "a"}}},
		"unmatched bracket":        {"", "x[a=1", "", "", map[string]any{"x[a": "1"}},
		"deep": {"", "a[b][c][d][e][f][g][h]=1", "", "", map[string]any{"a": map[string]any{"b": map[string]any{
			"c": map[string]any{"d": map[string]any{"e": map[string]any{"f": map[string]any{"[g][h]": "1"}}}},
		}}}},
		"multipart": {"", "", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"draft.id\"\r\n\r\n5\r\n" +
			"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.txt\"\r\n\r\ntext\r\n--b--\r\n", map[string]any{"draft": map[string]any{"id": "5"}, "f": "text"}},
		"another type": {"", "", "text/plain", "x=1", map[string]any{}},
	} {
		p, err := paramsOfRequest(c.path, c.query, c.kind, c.body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(p.values, c.want) {
			t.Errorf("%s: %v, want %v", name, p.values, c.want)
		}
	}
}

func withValue(v any) *params {
	return &params{values: map[string]any{"x": v}, used: map[string]bool{}}
}

func TestReaders(t *testing.T) {
	for text, want := range map[string]any{
		"true": true, "Y": true, "yes": true, "ON": true, "1": true, "false": false, "n": false, "No": false, "off": false, "0": false,
		"": nil, "maybe": "wrong", "2": "wrong",
	} {
		p := withValue(text)
		b := p.maybe("x")
		var got any
		switch {
		case len(p.wrong) > 0:
			got = "wrong"
		case b != nil:
			got = *b
		}
		if got != want {
			t.Errorf("boolean %q is %v, want %v", text, got, want)
		}
	}
	for _, c := range []struct {
		v    any
		n    int64
		want string
	}{
		{"5", 5, ""},
		{json.Number("5"), 5, ""},
		{"5.0", 5, ""},
		{" 7 ", 7, ""},
		{"", 3, ""},
		{nil, 3, ""},
		{"0", 3, "greater"},
		{"11", 3, "less"},
		{"1e300", 3, "less"},
		{"-1e300", 3, "greater"},
		{"99999999999999999999", 3, "less"},
		{"NaN", 3, "number"},
		{"Infinity", 3, "number"},
		{"0x5", 3, "number"},
		{"x", 3, "number"},
		{true, 3, "number"},
		{[]any{"5"}, 3, "number"},
	} {
		p := withValue(c.v)
		n := p.number("x", false, 1, 10, 3)
		wrong := ""
		if len(p.wrong) > 0 {
			wrong = p.wrong[0].text
		}
		if n != c.n || (c.want == "") != (wrong == "") || !strings.Contains(wrong, c.want) {
			t.Errorf("number %v is %d %q, want %d %q", c.v, n, wrong, c.n, c.want)
		}
	}
	day := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		v  any
		at time.Time
		ok bool
	}{
		{"2026-11-24", day, true},
		{"2026-11-24T00:00:00.000Z", day, true},
		{"2026-11-24T02:00:00+02:00", day, true},
		{strconv.FormatInt(day.UnixMilli(), 10), day, true},
		{json.Number(strconv.FormatInt(day.UnixMilli(), 10)), day, true},
		{"", time.Time{}, true},
		{"99999999999999999999", time.Time{}, false},
		{"8640000000000001", time.Time{}, false},
		{"today", time.Time{}, false},
	} {
		p := withValue(c.v)
		if at := p.date("x"); !at.Equal(c.at) || (len(p.wrong) == 0) != c.ok {
			t.Errorf("date %v is %v %v", c.v, at, p.wrong)
		}
	}
	for _, c := range []struct {
		v    any
		want string
		ok   bool
	}{
		{map[string]any{"a": json.Number("1")}, `{"a":1}`, true},
		{`{"a":1}`, `{"a":1}`, true},
		{"", "", true},
		{"null", "", false},
		{"[1]", "", false},
		{"x", "", false},
		{[]any{}, "", false},
		{`{"a":"` + strings.Repeat("x", 1<<20) + `"}`, "", false},
	} {
		p := withValue(c.v)
		got := p.metaData("x")
		if (len(p.wrong) == 0) != c.ok || c.ok && got != c.want {
			t.Errorf("metaData %.40v is %.40q %v", c.v, got, p.wrong)
		}
	}
	for _, text := range []string{"abc", strings.Repeat("g", 24), strings.Repeat("a", 25)} {
		if p := withValue(text); !p.id("x", true).IsZero() || len(p.wrong) == 0 {
			t.Errorf("id %q is taken", text)
		}
	}
	if id := withValue("ABCDEFABCDEFABCDEFABCDEF").id("x", true); id.String() != "abcdefabcdefabcdefabcdef" {
		t.Errorf("id in capitals is %s", id)
	}
}

func TestFinish(t *testing.T) {
	p := &params{values: map[string]any{"b": "1", "a": "2", "to": []any{map[string]any{"address": "no"}}}, used: map[string]bool{}}
	p.addresses("to", true)
	p.text("name", true, 5)
	var e *apiError
	if !errors.As(p.finish(), &e) {
		t.Fatal("nothing is wrong")
	}
	want := map[string]any{
		"to,0,address": `"to[0].address" must be a valid email`, "name": `"name" is required`,
		"a": `"a" is not allowed`, "b": `"b" is not allowed`,
	}
	if !reflect.DeepEqual(e.details["details"], any(want)) {
		t.Errorf("details %v", e.details)
	}
	if e.text != `"to[0].address" must be a valid email. "name" is required. "a" is not allowed. "b" is not allowed` || e.status != 400 {
		t.Errorf("text %q", e.text)
	}
}

func FuzzNest(f *testing.F) {
	for _, s := range []string{"a=1&a=2", "a[]=1&a[][b]=2", "a.b.c=1", "a[0][b]=1&a[x]=2", "a=1&a[b]=2", "[=1", "a[[]]=1", "a..b=1", "=x", "a[5][5][5][5][5][5][5]=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		form, err := url.ParseQuery(s)
		if err != nil {
			return
		}
		out, err := nest(form)
		if err != nil {
			return
		}
		// Whatever comes out is JSON, and no deeper than allowed.
		b, err := json.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		if depth := depthOf(out); depth > maxDepth+3 {
			t.Fatalf("depth %d: %s", depth, b)
		}
	})
}

func depthOf(v any) int {
	deepest := 0
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			deepest = max(deepest, depthOf(inner))
		}
	case []any:
		for _, inner := range v {
			deepest = max(deepest, depthOf(inner))
		}
	default:
		return 0
	}
	return deepest + 1
}

func FuzzBody(f *testing.F) {
	f.Add("application/json", `{"to":[{"address":"a@b.example"}],"text":"x","draft":{"id":1}}`)
	f.Add("application/json", `{"attachments":[{"content":"AA==","encoding":"base64"}],"headers":[{"key":"X","value":"y"}]}`)
	f.Add("application/x-www-form-urlencoded", "to[0].address=a@b.example&sendTime=1")
	f.Add("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--")
	f.Fuzz(func(t *testing.T, kind, body string) {
		p, err := paramsOfRequest("", "", kind, body)
		if err != nil {
			var e *apiError
			if !errors.As(err, &e) || e.status != 400 {
				t.Fatalf("%v", err)
			}
			return
		}
		o := (&server{}).submission(p)
		for _, a := range o.send.Compose.To {
			if !validAddress(a.Address) {
				t.Fatalf("address %q", a.Address)
			}
		}
		_ = p.finish()
	})
}

func echoContext(r *http.Request, w http.ResponseWriter) echo.Context {
	return echo.New().NewContext(r, w)
}
