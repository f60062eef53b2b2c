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
	body, err := bodyParams(r, maxBody)
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
	var body io.Reader = r.Body
	switch strings.ToLower(r.Header.Get("Content-Encoding")) {
	case "", "identity":
	case "gzip":
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			return nil, invalidContent(err)
		}
		// What is packed small must not unpack to more than may come plain.
		body = http.MaxBytesReader(nil, unpacked, limit)
	default:
		return nil, errEncoding
	}
	switch {
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		return readJSON(body)
	case kind == "application/x-www-form-urlencoded":
		return readForm(body)
	case kind == "multipart/form-data":
		return readMultipart(body, attributes["boundary"])
	}
	return nil, nil
}

func invalidContent(err error) error {
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return err
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
