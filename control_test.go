package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidermail/eider/config"
)

// installation is a data folder of its own, with its backend open.
func installation(t *testing.T) (config.Config, *backend) {
	t.Helper()
	c := config.Default()
	c.Data = t.TempDir()
	b, err := openBackend(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(t.Context()); err != nil {
			t.Logf("close: %v", err)
		}
	})
	return c, b
}

const password = "seven calm eiders drift north"

func TestControlCarriesOrders(t *testing.T) {
	c, b := installation(t)
	k, err := startControl(t.Context(), t.Context(), c, b, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(k.file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("control file: %v, %v", info, err)
	}
	if !answersControl(t.Context(), c) {
		t.Error("it does not answer")
	}
	order := newAccount{Username: "ann", Password: password, Address: "ann@eider.localhost"}
	made, ok, err := askRunning(t.Context(), c, "user", order)
	if !ok || err != nil || !strings.HasSuffix(made, " ann@eider.localhost") {
		t.Errorf("made %q, %v, %v", made, ok, err)
	}
	if _, ok, err = askRunning(t.Context(), c, "user", order); !ok || err == nil || !strings.Contains(err.Error(), "is taken") {
		t.Errorf("a taken name: %v, %v", ok, err)
	}
	token, ok, err := askRunning(t.Context(), c, "token", newToken{Role: "user", User: "ann"})
	if !ok || err != nil {
		t.Fatalf("token: %v, %v", ok, err)
	}
	if got, err := b.accounts.Token(t.Context(), token); err != nil || got.Role != "user" {
		t.Errorf("token: %+v, %v", got, err)
	}
	if _, ok, err := askRunning(t.Context(), c, "sing", order); ok {
		t.Errorf("an unknown order is carried out: %v", err)
	}
	stopControl(t, c, k)
}

func stopControl(t *testing.T, c config.Config, k *control) {
	t.Helper()
	if err := k.stop(t.Context()); err != nil {
		t.Error(err)
	}
	if answersControl(t.Context(), c) {
		t.Error("it answers after its end")
	}
	if _, ok, _ := askRunning(t.Context(), c, "token", newToken{Role: "root"}); ok {
		t.Error("a dead server took an order")
	}
	if !leftControl(c) {
		t.Error("the file went before the data was closed")
	}
	for range 2 {
		if err := k.remove(); err != nil {
			t.Error(err)
		}
	}
	if leftControl(c) {
		t.Error("the file is still there")
	}
}

func TestControlWantsItsKey(t *testing.T) {
	_, b := installation(t)
	h := controlHandler(t.Context(), "key", b)
	for _, tc := range []struct {
		key, body string
		status    int
	}{
		{"", `{}`, http.StatusForbidden},
		{"Bearer wrong", `{}`, http.StatusForbidden},
		{"Bearer key", `no JSON`, http.StatusBadRequest},
		{"Bearer key", `{"Username":"` + strings.Repeat("x", maxOrder) + `"}`, http.StatusBadRequest},
		{"Bearer key", `{}`, http.StatusUnprocessableEntity},
	} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/user", strings.NewReader(tc.body))
		req.Header.Set("Authorization", tc.key)
		res := httptest.NewRecorder()
		h.ServeHTTP(res, req)
		if res.Code != tc.status {
			t.Errorf("%q %.20q: %d %s", tc.key, tc.body, res.Code, res.Body)
		}
	}
}

func TestDamagedControlFile(t *testing.T) {
	c := config.Config{Data: t.TempDir()}
	for _, text := range []string{"", "no", "no address at all", "127.0.0.1:1 key", "\x00 \x00", "[::1 key"} {
		if err := os.WriteFile(filepath.Join(c.Data, controlFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := askRunning(t.Context(), c, "token", newToken{Role: "root"}); ok || err != nil {
			t.Errorf("%q: %v, %v", text, ok, err)
		}
		if answersControl(t.Context(), c) {
			t.Errorf("%q answers", text)
		}
	}
}

// A port that somebody else has by now must not be taken for the server.
func TestForeignServerIsNotAsked(t *testing.T) {
	foreign := httptest.NewServer(http.NotFoundHandler())
	defer foreign.Close()
	c := config.Config{Data: t.TempDir()}
	line := strings.TrimPrefix(foreign.URL, "http://") + " key\n"
	if err := os.WriteFile(filepath.Join(c.Data, controlFile), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := askRunning(t.Context(), c, "token", newToken{Role: "root"}); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	if answersControl(t.Context(), c) {
		t.Error("a foreign server answers")
	}
}

func TestRecoverOnlyAfterAnUncleanStop(t *testing.T) {
	c, b := installation(t)
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	if err := b.recover(t.Context(), c, log); err != nil || said.Len() > 0 {
		t.Errorf("%v, %q", err, &said)
	}
	if err := os.WriteFile(filepath.Join(c.Data, controlFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.recover(t.Context(), c, log); err != nil || !strings.Contains(said.String(), "recovered after an unclean stop") {
		t.Errorf("%v, %q", err, &said)
	}
	if leftControl(c) {
		t.Error("the file stays after all is mended")
	}
}

func TestCheckTellsEachServerBySelf(t *testing.T) {
	c := config.Default()
	c.Data, c.Redis = filepath.Join(t.TempDir(), "data"), "redis://127.0.0.1:1"
	var out bytes.Buffer
	err := check(t.Context(), terminal{out: &out, err: &bytes.Buffer{}}, c)
	if err == nil || !strings.Contains(err.Error(), "1 of the checks") {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"options      ok\n", "certificate  ok\n", "data         ok\n", "redis        --redis cannot be reached"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
}
