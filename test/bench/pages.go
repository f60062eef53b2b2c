package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/test/harness"
)

const (
	password = "seven calm eiders drift north"
	rounds   = 200
)

// pages times the list and the message page in mailboxes of growing size.
func pages(ctx context.Context, r report, most int) error {
	r.section("Pages, time to the whole answer on loopback")
	dir, err := os.MkdirTemp("", "eider-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var sizes []int
	for n := 1000; n <= most; n *= 10 {
		sizes = append(sizes, n)
	}
	if err := seed(ctx, r, dir, sizes); err != nil {
		return err
	}
	s, err := harness.Launch(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { _ = s.Stop() }()
	var first, last sample
	for i, n := range sizes {
		c, err := signIn(ctx, s, fmt.Sprintf("size%d", n))
		if err != nil {
			return err
		}
		lists, err := c.time(ctx, "/mail/inbox", rounds)
		if err != nil {
			return err
		}
		link, err := c.firstMessage(ctx)
		if err != nil {
			return err
		}
		reads, err := c.time(ctx, link, rounds)
		if err != nil {
			return err
		}
		r.line(fmt.Sprintf("list page, %d messages", n), lists.String(), "goal p95 ≤ 10 ms")
		r.line(fmt.Sprintf("message page, %d messages", n), reads.String(), "")
		if i == 0 {
			first = lists
		}
		last = lists
	}
	ratio := float64(last.percentile(.95)) / float64(first.percentile(.95))
	r.line("list page p95, largest beside smallest", fmt.Sprintf("%.2f ×", ratio), "goal ≤ 1.5 ×")
	return nil
}

// seed fills one account for each size, through the store and not the wire.
func seed(ctx context.Context, r report, dir string, sizes []int) error {
	// The server makes the accounts; the store then appends beside it.
	s, err := harness.Launch(ctx, dir)
	if err != nil {
		return err
	}
	for _, n := range sizes {
		if err := addUser(ctx, s, fmt.Sprintf("size%d", n)); err != nil {
			return errors.Join(err, s.Stop())
		}
	}
	if err := s.Stop(); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	engine, err := docstore.Open(ctx, docstore.Options{Path: filepath.Join(dir, "eider.db"), Log: log})
	if err != nil {
		return err
	}
	defer func() { _ = engine.Close() }()
	sig := signal.NewMemory(signal.MemoryOptions{})
	defer func() { _ = sig.Close() }()
	st, err := store.Open(ctx, store.Options{URI: "mongodb://embedded/?directConnection=true", Dialer: engine, Signal: sig, Log: log})
	if err != nil {
		return err
	}
	defer func() { _ = st.Close(ctx) }()
	for _, n := range sizes {
		start := time.Now()
		if err := fill(ctx, st, fmt.Sprintf("size%d", n), n); err != nil {
			return err
		}
		r.line(fmt.Sprintf("seeding %d messages", n), fmt.Sprintf("%.0f/s", float64(n)/time.Since(start).Seconds()), "")
	}
	return nil
}

// fill appends n messages of 4 kB with 16 writers.
func fill(ctx context.Context, st *store.Store, name string, n int) error {
	u, err := st.FindUser(ctx, name)
	if err != nil {
		return err
	}
	numbers := make(chan int)
	errs := make(chan error, connections)
	var wg sync.WaitGroup
	begin := time.Now().Add(-time.Duration(n) * time.Minute)
	for range connections {
		wg.Go(func() {
			for i := range numbers {
				if err := put(ctx, st, u.ID, i, begin.Add(time.Duration(i)*time.Minute)); err != nil {
					errs <- err
					for range numbers {
						continue
					}
				}
			}
		})
	}
	for i := range n {
		numbers <- i
	}
	close(numbers)
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

func put(ctx context.Context, st *store.Store, user mail.ID, i int, at time.Time) error {
	raw := fmt.Appendf(nil, "From: Sender %d <s%d@elsewhere.example>\r\nTo: me@eider.localhost\r\nSubject: Report %d of the harbour office\r\n"+
		"Message-ID: <%d.%d@bench.example>\r\nDate: %s\r\n\r\n%s", i%50, i%50, i, i, at.UnixNano(), at.Format(time.RFC1123Z),
		strings.Repeat("The eider gives the softest down there is. ", 90))
	_, err := st.Append(ctx, store.Append{User: user, Message: message.Parse(raw), InternalDate: at})
	return err
}

func addUser(ctx context.Context, s *harness.Server, name string) error {
	var out struct{ ID, Error string }
	code, err := s.Call(ctx, http.MethodPost, "/users", map[string]any{
		"username": name, "address": name + "@eider.localhost", "password": password,
	}, &out)
	if err == nil && (code != http.StatusOK || out.ID == "") {
		err = fmt.Errorf("add user %s: %d %s", name, code, out.Error)
	}
	return err
}

// visitor is a signed-in browser without scripts.
type visitor struct {
	base   string
	client *http.Client
}

var (
	csrfField   = regexp.MustCompile(`name="csrf"[^>]*value="([^"]+)"|value="([^"]+)"[^>]*name="csrf"`)
	messageLink = regexp.MustCompile(`href="(/mail/[0-9a-f]{24}/\d+)`)
)

func signIn(ctx context.Context, s *harness.Server, name string) (*visitor, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	v := &visitor{base: "http://" + s.Web, client: &http.Client{Jar: jar}}
	page, err := v.get(ctx, "/signin")
	if err != nil {
		return nil, err
	}
	m := csrfField.FindStringSubmatch(page)
	if m == nil {
		return nil, errors.New("no form token on the sign-in page")
	}
	form := url.Values{"csrf": {m[1] + m[2]}, "username": {name}, "password": {password}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.base+"/signin", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := v.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if !strings.HasPrefix(res.Request.URL.Path, "/mail/") {
		return nil, fmt.Errorf("sign-in of %s ended on %s", name, res.Request.URL)
	}
	return v, nil
}

func (v *visitor) get(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.base+path, nil)
	if err != nil {
		return "", err
	}
	res, err := v.client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, res.Status)
	}
	return string(body), err
}

// time fetches a page again and again.
func (v *visitor) time(ctx context.Context, path string, n int) (sample, error) {
	var out sample
	for i := range n + 5 {
		start := time.Now()
		if _, err := v.get(ctx, path); err != nil {
			return nil, err
		}
		// The first few fill caches.
		if i >= 5 {
			out = append(out, time.Since(start))
		}
	}
	return out, nil
}

func (v *visitor) firstMessage(ctx context.Context) (string, error) {
	page, err := v.get(ctx, "/mail/inbox")
	if err != nil {
		return "", err
	}
	m := messageLink.FindStringSubmatch(page)
	if m == nil {
		return "", errors.New("no message in the list")
	}
	return m[1], nil
}
