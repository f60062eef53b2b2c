package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/eidermail/eider/config"
	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail"
)

func TestExitCodes(t *testing.T) {
	for _, tc := range []struct {
		args      []string
		code      int
		out, said string
	}{
		{[]string{"version"}, 0, "eider ", ""},
		{[]string{"help"}, 0, "--tls-cert FILE", ""},
		{nil, 0, "eider serve", ""},
		{[]string{"check", "-h"}, 0, "--data DIR", ""},
		{[]string{"sing"}, 2, "", `"sing" is no command`},
		{[]string{"serve", "--colour"}, 2, "", "colour"},
		{[]string{"serve", "now"}, 2, "", `"now"`},
		{[]string{"check", "--domains", "a b"}, 2, "", `--domains "a b"`},
		{[]string{"backup"}, 2, "", "eider backup FILE"},
		{[]string{"restore", "a", "b"}, 2, "", `"b"`},
		{[]string{"restore", "a", "--mongo", "mongodb://x"}, 2, "", "eider dump"},
		{[]string{"dump"}, 2, "", "--to"},
		{[]string{"load"}, 2, "", "--from"},
		{[]string{"user"}, 2, "", "eider user add"},
		{[]string{"user", "add", "ann"}, 2, "", "--password-stdin"},
		{[]string{"token", "add", "--role", "king"}, 2, "", "king"},
		{[]string{"user", "add", "a b", "--password-stdin"}, 2, "", "a b is not accepted"},
		{[]string{"user", "add", "ann", "--password-stdin"}, 1, "", "empty"},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			var out, said bytes.Buffer
			code := execute(t.Context(), terminal{in: strings.NewReader(""), out: &out, err: &said}, tc.args)
			if code != tc.code || !strings.Contains(out.String(), tc.out) || !strings.Contains(said.String(), tc.said) {
				t.Errorf("code %d, out %q, err %q", code, &out, &said)
			}
			if (tc.said == "") != (said.Len() == 0) || strings.Count(said.String(), "\n") > 1 {
				t.Errorf("standard error: %q", &said)
			}
		})
	}
}

// A signal before the ready line is no failure, whenever it comes.
func TestStopBeforeReady(t *testing.T) {
	c := config.Default()
	c.Data = filepath.Join(t.TempDir(), "data")
	c.Web, c.API, c.LMTP, c.SMTP = "127.0.0.1:0", "", "", ""
	c.Redis = "redis://127.0.0.1:1"
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	if err := serve(ctx, terminal{out: &out, err: io.Discard}, c); err != nil || out.Len() > 0 {
		t.Errorf("%v, %q", err, &out)
	}
	c.Redis = ""
	if err := serve(ctx, terminal{out: &out, err: io.Discard}, c); err != nil || leftControl(c) {
		t.Errorf("%v, %q", err, &out)
	}
	// The other failure stays one.
	if err := unlessAsked(ctx, docstore.ErrInUse); !errors.Is(err, docstore.ErrInUse) {
		t.Errorf("got %v", err)
	}
}

func TestReport(t *testing.T) {
	for _, tc := range []struct {
		err  error
		code int
	}{
		{nil, 0},
		{flag.ErrHelp, 0},
		{errors.Join(errors.New("one"), errors.New("two")), 1},
		{fmt.Errorf("wrapped: %w", usageError{errors.New("option")}), 2},
	} {
		var said bytes.Buffer
		if code := report(terminal{err: &said}, tc.err); code != tc.code {
			t.Errorf("%v: code %d", tc.err, code)
		}
		if lines := strings.Count(said.String(), "\n"); lines != min(tc.code, 1) {
			t.Errorf("%v: said %q", tc.err, &said)
		}
	}
}

func TestAdvice(t *testing.T) {
	listen := func(err error) error {
		return fmt.Errorf("--web: %w", &net.OpError{Op: "listen", Net: "tcp", Err: err})
	}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("x: %w", docstore.ErrInUse), "another folder"},
		{fmt.Errorf("x: %w", docstore.ErrForeign), "another folder"},
		{listen(syscall.EADDRINUSE), "another port"},
		{listen(syscall.EACCES), "above 1023"},
		{listen(syscall.EADDRNOTAVAIL), "of this machine"},
		{&net.OpError{Op: "dial", Err: syscall.EACCES}, ""},
		{errors.New("x"), ""},
	} {
		if got := advice(tc.err); (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%v: %q", tc.err, got)
		}
	}
}

func TestReadPassword(t *testing.T) {
	for in, want := range map[string]string{
		"secret":                         "secret",
		"secret\nmore\n":                 "secret",
		"secret\r\n":                     "secret",
		" with spaces \n":                " with spaces ",
		strings.Repeat("x", maxPassword): strings.Repeat("x", maxPassword),
	} {
		if got, err := readPassword(strings.NewReader(in)); err != nil || got != want {
			t.Errorf("%.20q: %.20q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "\n", strings.Repeat("x", maxPassword+1)} {
		if got, err := readPassword(strings.NewReader(in)); err == nil {
			t.Errorf("%.20q: %.20q", in, got)
		}
	}
	if _, err := readPassword(failing{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a broken input: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestExplain(t *testing.T) {
	order := newAccount{Username: "ann", Password: "sesame", Address: "ann@a.test"}
	other := errors.New("other")
	for _, tc := range []struct {
		err  error
		want string
	}{
		{&mail.Error{Code: mail.CodeExists, Field: "username"}, "the user name ann is taken: choose another"},
		{&mail.Error{Code: mail.CodeExists, Field: "address"}, "the address ann@a.test is taken: choose another"},
		{&mail.Error{Code: mail.CodeInvalid, Field: "password", Reason: "weak"}, "the password is not accepted (weak): choose another"},
		{other, "other"},
	} {
		if got := explain(order, tc.err); got.Error() != tc.want {
			t.Errorf("%v: %q", tc.err, got)
		}
	}
	if got := explain(order, other); !errors.Is(got, other) {
		t.Errorf("the cause is lost: %v", got)
	}
}

func TestUserNames(t *testing.T) {
	for _, name := range []string{"ann", "ann.b", "Zoë", "ann@a.test", "анна"} {
		if err := (newAccount{Username: name}).check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "a b", "ann+x", `"a b"`, ".ann", "a@b@c", "ann@", strings.Repeat("x", 65)} {
		if (newAccount{Username: name}).check() == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

func TestTokenOrders(t *testing.T) {
	for _, o := range []newToken{{Role: "root"}, {Role: "user", User: "ann"}, {Role: "audit"}} {
		if err := o.check(); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
	for _, o := range []newToken{{Role: ""}, {Role: "ROOT"}, {Role: "user"}} {
		if o.check() == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func TestLogger(t *testing.T) {
	var text, structured, silent bytes.Buffer
	newLogger(&text, config.Config{LogLevel: "info", LogFormat: "text"}).LogAttrs(t.Context(), slog.LevelInfo, "hello", slog.Int("n", 1))
	if !strings.Contains(text.String(), "level=INFO msg=hello n=1") {
		t.Errorf("text: %q", &text)
	}
	// A buffer is no terminal.
	newLogger(&structured, config.Config{LogLevel: "debug", LogFormat: "auto"}).LogAttrs(t.Context(), slog.LevelDebug, "hello", slog.Int("n", 1))
	var line struct {
		Level, Msg string
		N          int
	}
	if err := json.Unmarshal(structured.Bytes(), &line); err != nil || line.Level != "DEBUG" || line.Msg != "hello" || line.N != 1 {
		t.Errorf("JSON: %q, %v", &structured, err)
	}
	newLogger(&silent, quiet(config.Config{LogLevel: "debug", LogFormat: "text"})).LogAttrs(context.Background(), slog.LevelWarn, "hello")
	if silent.Len() > 0 {
		t.Errorf("a short command logs %q", &silent)
	}
}

func TestDeriveKey(t *testing.T) {
	one, again, other := deriveKey([]byte("secret"), "visit"), deriveKey([]byte("secret"), "visit"), deriveKey([]byte("secret"), "image")
	if len(one) != 32 || !bytes.Equal(one, again) {
		t.Errorf("a purpose's key is not one: %x, %x", one, again)
	}
	if bytes.Equal(one, other) || bytes.Equal(one, deriveKey([]byte("another"), "visit")) {
		t.Error("two purposes or two installations have the same key")
	}
}

func TestStoreErrorNamesTheOption(t *testing.T) {
	away, bad := &mail.Error{Code: mail.CodeUnavailable}, &mail.Error{Code: mail.CodeInvalid}
	for _, tc := range []struct {
		c    config.Config
		err  error
		want string
	}{
		{config.Config{Data: "here"}, away, "--data here"},
		{config.Config{Mongo: "mongodb://u:sesame@x"}, away, "--mongo cannot be reached"},
		{config.Config{Mongo: "mongodb://u:sesame@x"}, bad, "--mongo is not understood"},
	} {
		got := storeError(tc.c, tc.err)
		if !strings.HasPrefix(got.Error(), tc.want) || !errors.Is(got, tc.err) || strings.Contains(got.Error(), "sesame") {
			t.Errorf("%q", got)
		}
	}
}
