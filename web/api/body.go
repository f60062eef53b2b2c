package api

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"
)

// readParams reads the request's parameters: the path first, then the query,
// then the body. The error is a malformed body.
func readParams(c echo.Context) (*params, error) {
	return readBody(c, func(r *http.Request) (map[string]any, error) { return bodyParams(r, maxBody) })
}

// readLarge is readParams for a body that may hold messages and files: long
// strings of it, and a body that is a message itself, wait in the spool.
func (s *server) readLarge(c echo.Context) (*params, error) {
	return readBody(c, func(r *http.Request) (map[string]any, error) {
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		body, err2 := unpacked(r, maxBody)
		if err2 != nil {
			return nil, err2
		}
		switch {
		case isJSON(kind):
			spill := newSpiller(body, func() spooled { return s.spoolFor(c) })
			doc, err := readJSON(spill)
			if err != nil {
				return nil, err
			}
			for key := range doc {
				doc[key] = spill.restore(doc[key])
			}
			return doc, nil
		case err != nil, kind == "application/x-www-form-urlencoded", kind == "multipart/form-data":
			return bodyParams(r, maxBody)
		}
		// Whatever else a client calls it: a body of any other type is a message.
		held := s.spoolFor(c)
		if _, err := io.Copy(held, body); err != nil {
			return nil, invalidContent(err)
		}
		return map[string]any{"raw": held}, nil
	})
}

func isJSON(kind string) bool { return kind == "application/json" || strings.HasSuffix(kind, "+json") }

// readBody reads path and query, and the body by a reader of the caller's.
func readBody(c echo.Context, read func(*http.Request) (map[string]any, error)) (*params, error) {
	p := &params{values: map[string]any{}, used: map[string]bool{"accessToken": true}}
	for _, name := range c.ParamNames() {
		p.set(name, c.Param(name))
	}
	// WildDuck: "me" is the account of the token.
	if who := callerOf(c); c.Param("user") == "me" && !who.user.IsZero() {
		p.values["user"] = who.user.String()
	}
	query, err := nest(c.QueryParams())
	if err != nil {
		return nil, invalidContent(err)
	}
	p.add(query)
	r := c.Request()
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.ContentLength == 0 {
		return p, nil
	}
	body, err := read(r)
	if err != nil {
		return nil, err
	}
	p.add(body)
	return p, nil
}

// errEncoding answers a body in a coding that is not known (RFC 9110 15.5.16).
var errEncoding = &apiError{
	status: http.StatusUnsupportedMediaType, code: "UnsupportedMediaType", text: "The Content-Encoding is not supported", router: true,
}

// bodyParams reads the body by its type. Other types give nothing. A packed
// body may unpack to limit bytes.
func bodyParams(r *http.Request, limit int64) (map[string]any, error) {
	kind, attributes, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	body, err := unpacked(r, limit)
	if err != nil {
		return nil, err
	}
	switch {
	case isJSON(kind):
		return readJSON(body)
	case kind == "application/x-www-form-urlencoded":
		return readForm(body)
	case kind == "multipart/form-data":
		return readMultipart(body, attributes["boundary"])
	}
	return nil, nil
}

// unpacked is the body without its Content-Encoding, at most limit bytes of it
// when it was packed.
func unpacked(r *http.Request, limit int64) (io.Reader, error) {
	switch strings.ToLower(r.Header.Get("Content-Encoding")) {
	case "", "identity":
		return r.Body, nil
	case "gzip":
		plain, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, invalidContent(err)
		}
		// What is packed small must not unpack to more than may come plain.
		return http.MaxBytesReader(nil, io.NopCloser(plain), limit), nil
	}
	return nil, errEncoding
}

func invalidContent(err error) error {
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return err
	}
	if full := orFull(err); full != err { //nolint:errorlint // the same one
		return full
	}
	return &apiError{status: http.StatusBadRequest, code: "InvalidContent", text: "Invalid content: " + err.Error(), router: true}
}

var errTrailing = errors.New("something follows the JSON value")

func readJSON(body io.Reader) (map[string]any, error) {
	var doc map[string]any
	dec := json.NewDecoder(body)
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, invalidContent(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errTrailing
		}
		return nil, invalidContent(err)
	}
	return doc, nil
}

func readForm(body io.Reader) (map[string]any, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, invalidContent(err)
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return nil, invalidContent(err)
	}
	return nestBody(form)
}

// readMultipart takes each part's content as text; files are values, too.
func readMultipart(body io.Reader, boundary string) (map[string]any, error) {
	form, parts := url.Values{}, multipart.NewReader(body, boundary)
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		if err == io.EOF { //nolint:errorlint // a wrapped one is an end too early
			return nestBody(form)
		}
		if err == nil && n >= maxPairs {
			err = errTooMany
		}
		if err != nil {
			return nil, invalidContent(err)
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return nil, invalidContent(err)
		}
		if name := part.FormName(); name != "" {
			form.Add(name, string(text))
		}
	}
}

func nestBody(form url.Values) (map[string]any, error) {
	out, err := nest(form)
	if err != nil {
		return nil, invalidContent(err)
	}
	return out, nil
}
