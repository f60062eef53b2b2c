package web

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sink is a log that may be written from several goroutines.
type sink struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newTestEcho is an Echo whose errors are plain text.
func newTestEcho(ready error) (*echo.Echo, *Metrics, *sink) {
	log, m := &sink{}, NewMetrics()
	e := NewEcho(Base{
		Log:     slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics: m, Surface: "test", Ready: func(context.Context) error { return ready },
	})
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		if c.Response().Committed {
			return
		}
		status := http.StatusTeapot
		var he *echo.HTTPError
		if errors.As(err, &he) {
			status = he.Code
		}
		_ = c.String(status, "failed")
	}
	return e, m, log
}

func ask(e *echo.Echo, path string, headers ...string) *httptest.ResponseRecorder {
	rec, req := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	e.ServeHTTP(rec, req)
	return rec
}

func figures(m *Metrics) string {
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return rec.Body.String()
}

func TestHealth(t *testing.T) {
	e, _, _ := newTestEcho(nil)
	for _, path := range []string{"/healthz", "/readyz"} {
		if rec := ask(e, path); rec.Code != 200 {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
	e, _, _ = newTestEcho(errors.New("the database at 10.0.0.1 is away"))
	if rec := ask(e, "/healthz"); rec.Code != 200 {
		t.Errorf("alive: %d", rec.Code)
	}
	if rec := ask(e, "/readyz"); rec.Code != 503 || strings.Contains(rec.Body.String(), "10.0.0.1") {
		t.Errorf("ready: %d %q", rec.Code, rec.Body)
	}
}

// Errors that only the error handler can word count with the status that the
// client sees, in the figures and in the log.
func TestStatusOfErrors(t *testing.T) {
	e, m, log := newTestEcho(nil)
	e.GET("/own/:id", func(echo.Context) error { return errors.New("an error of the surface") })
	e.GET("/fine", func(c echo.Context) error { return c.String(http.StatusOK, "fine") })
	for path, want := range map[string]int{"/own/secret": 418, "/fine?q=secret": 200, "/none": 404} {
		if rec := ask(e, path); rec.Code != want {
			t.Errorf("%s: %d, want %d", path, rec.Code, want)
		}
	}
	text := figures(m)
	for _, series := range []string{
		`eider_http_request_seconds_count{route="/own/:id",status="418",surface="test"} 1`,
		`eider_http_request_seconds_count{route="/fine",status="200",surface="test"} 1`,
		`status="404"`, "go_goroutines",
	} {
		if !strings.Contains(text, series) {
			t.Errorf("no %s", series)
		}
	}
	if strings.Contains(text, "secret") || strings.Contains(log.String(), "secret") {
		t.Error("a path or a query is in figures or log")
	}
	if !strings.Contains(log.String(), "status=418") {
		t.Errorf("log %s", log)
	}
}

func TestPanic(t *testing.T) {
	e, m, log := newTestEcho(nil)
	e.GET("/bad", func(echo.Context) error { panic("boom") })
	rec := ask(e, "/bad")
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "boom") {
		t.Errorf("%d %q", rec.Code, rec.Body)
	}
	id := rec.Header().Get(echo.HeaderXRequestID)
	if text := log.String(); !strings.Contains(text, "panic=boom") || !strings.Contains(text, "request_id="+id) || !strings.Contains(text, "web_test.go") {
		t.Errorf("log %s", text)
	}
	if text := figures(m); !strings.Contains(text, "eider_panics_total 1") || !strings.Contains(text, `status="500"`) {
		t.Error("the panic is not counted")
	}
	// This one is meant to cut the connection.
	e.GET("/abort", func(echo.Context) error { panic(http.ErrAbortHandler) })
	func() {
		defer func() {
			if r := recover(); r != http.ErrAbortHandler { //nolint:errorlint // the very value
				t.Errorf("recovered %v", r)
			}
		}()
		ask(e, "/abort")
	}()
}

func TestRequestID(t *testing.T) {
	e, _, _ := newTestEcho(nil)
	a := ask(e, "/healthz", echo.HeaderXRequestID, "chosen by a stranger").Header().Get(echo.HeaderXRequestID)
	b := ask(e, "/healthz").Header().Get(echo.HeaderXRequestID)
	if form := regexp.MustCompile(`^[0-9a-f]{12}$`); !form.MatchString(a) || !form.MatchString(b) || a == b {
		t.Errorf("ids %q and %q", a, b)
	}
}

func TestClientAddress(t *testing.T) {
	for _, c := range []struct {
		proxy bool
		want  string
	}{{false, "192.0.2.1"}, {true, "192.0.2.1"}} {
		e := NewEcho(Base{Log: slog.New(slog.DiscardHandler), Metrics: NewMetrics(), BehindProxy: c.proxy, Ready: func(context.Context) error { return nil }})
		e.GET("/ip", func(c echo.Context) error { return c.String(http.StatusOK, c.RealIP()) })
		// The test's peer is 192.0.2.1, which is no private address: what it
		// forwards is not believed.
		if got := ask(e, "/ip", "X-Forwarded-For", "198.51.100.9").Body.String(); got != c.want {
			t.Errorf("proxy %v: %s", c.proxy, got)
		}
		req := httptest.NewRequest(http.MethodGet, "/ip", nil)
		req.RemoteAddr = "127.0.0.1:5"
		req.Header.Set("X-Forwarded-For", "203.0.113.5, 198.51.100.9")
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, req)
		want := "127.0.0.1"
		if c.proxy {
			want = "198.51.100.9"
		}
		if got := rec.Body.String(); got != want {
			t.Errorf("proxy %v: %s, want %s", c.proxy, got, want)
		}
	}
}

func listen(t *testing.T, h http.Handler) *Server {
	t.Helper()
	s, err := Listen(context.Background(), "web", "127.0.0.1:0", h, nil, slog.New(slog.DiscardHandler))
	must(t, err)
	return s
}

func TestListenAndStop(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s := listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "done")
	}))
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	got := make(chan string, 1)
	go func() {
		res, err := client.Get("http://" + s.Addr().String())
		if err != nil {
			got <- err.Error()
			return
		}
		defer func() { _ = res.Body.Close() }()
		b, _ := io.ReadAll(res.Body)
		got <- string(b)
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(context.Background()) }()
	close(release)
	if text := <-got; text != "done" {
		t.Errorf("a request in hand got %q", text)
	}
	must(t, <-stopped)
}

func TestStopDoesNotWaitForEver(t *testing.T) {
	entered := make(chan struct{})
	s := listen(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}))
	c, err := net.Dial("tcp", s.Addr().String())
	must(t, err)
	defer func() { _ = c.Close() }()
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	must(t, err)
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("stop: %v", err)
	}
}

func TestListenTwice(t *testing.T) {
	s := listen(t, http.NotFoundHandler())
	_, err := Listen(context.Background(), "api", s.Addr().String(), nil, nil, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "--api "+s.Addr().String()) {
		t.Errorf("error %v", err)
	}
	must(t, s.Stop(context.Background()))
}

// A body that stops coming ends the request; a slow one that comes on does not.
func TestStalledBody(t *testing.T) {
	read := make(chan error, 1)
	srv := httptest.NewServer(bodyInTime(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		read <- err
	}), 100*time.Millisecond))
	defer srv.Close()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	must(t, err)
	defer func() { _ = c.Close() }()
	_, err = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome")
	must(t, err)
	var timeout net.Error
	if err := <-read; !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("read: %v", err)
	}
}

// The deadline is gone with the body's end, so that an answer may take its time.
func TestStreamAfterBody(t *testing.T) {
	srv := httptest.NewServer(bodyInTime(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
			_, _ = io.WriteString(w, "cut")
		case <-time.After(150 * time.Millisecond):
			_, _ = io.WriteString(w, "whole")
		}
	}), 50*time.Millisecond))
	defer srv.Close()
	res, err := srv.Client().Post(srv.URL, "text/plain", strings.NewReader("x"))
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	if b, _ := io.ReadAll(res.Body); string(b) != "whole" {
		t.Errorf("got %q", b)
	}
}

// A peer that takes nothing loses the connection; a deadline of the handler's
// own is kept.
func TestStalledWrite(t *testing.T) {
	inner, peer := net.Pipe()
	defer func() { _ = peer.Close() }()
	c := &guardedConn{Conn: inner, stall: 20 * time.Millisecond}
	var timeout net.Error
	if _, err := c.Write(make([]byte, 10)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("write: %v", err)
	}
	must(t, c.SetWriteDeadline(time.Now().Add(time.Hour)))
	got := make(chan byte, 1)
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write([]byte("x"))
		wrote <- err
	}()
	select {
	case err := <-wrote:
		t.Fatalf("the guard's deadline went before the handler's: %v", err)
	case <-time.After(60 * time.Millisecond):
	}
	go func() {
		b, _ := bufio.NewReader(peer).ReadByte()
		got <- b
	}()
	must(t, <-wrote)
	if b := <-got; b != 'x' {
		t.Errorf("got %q", b)
	}
	// Without one, the guard's is there again, for each piece.
	must(t, c.SetDeadline(time.Time{}))
	go func() { _, _ = io.Copy(io.Discard, peer) }()
	if n, err := c.Write(make([]byte, 5*writePiece+3)); n != 5*writePiece+3 || err != nil {
		t.Errorf("wrote %d %v", n, err)
	}
	_ = c.Close()
}
