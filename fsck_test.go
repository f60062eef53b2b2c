package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/eidermail/eider/config"
	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
)

// damaged is a data folder whose one account holds a message and has a wrong
// counter in the process's own memory, or a field that says another thing than
// the flags.
func damaged(t *testing.T) (config.Config, *backend, mail.User) {
	t.Helper()
	c, b := installation(t)
	u, err := b.store.CreateUser(t.Context(), store.NewUser{Username: "ann", NoAddress: true})
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.store.Append(t.Context(), store.Append{User: u.ID, Message: message.Parse([]byte("Subject: x\r\n\r\ny"))})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.signals.Delete(t.Context(), "eider_writing:"+got.Mailbox.String()); err != nil {
		t.Fatal(err)
	}
	if err := b.signals.Set(t.Context(), "total:"+got.Mailbox.String(), "7", 0); err != nil {
		t.Fatal(err)
	}
	return c, b, u
}

// The running server checks what only it knows: its counters.
func TestFsckInTheRunningServer(t *testing.T) {
	c, b, u := damaged(t)
	k, err := startControl(t.Context(), t.Context(), c, b, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.stop(context.WithoutCancel(t.Context())) }()
	run := func(args ...string) (int, string, string) {
		var out, said bytes.Buffer
		code := execute(t.Context(), terminal{in: strings.NewReader(""), out: &out, err: &said}, append([]string{"fsck", "--data", c.Data}, args...))
		return code, out.String(), said.String()
	}
	code, out, said := run()
	if code != fsckProblems || !strings.Contains(out, "total user "+u.ID.String()) || !strings.Contains(out, "is 7 should be 1\n") {
		t.Errorf("code %d, %q, %q", code, out, said)
	}
	code, out, said = run("--repair", "--json", "--user", "ann")
	lines := reportLines(t, out)
	last := lines[len(lines)-1]
	if code != fsckProblems || last.Result == nil || *last.Result != (fsckSum{Accounts: 1, Messages: 1, Bytes: last.Result.Bytes, Problems: 1, Mended: 1}) {
		t.Errorf("code %d, %q, %q", code, out, said)
	}
	for _, l := range lines {
		if l.Event == "problem" && (l.Kind != store.ProblemTotal || !l.Mended || l.Have != "7" || l.Want != "1") {
			t.Errorf("line %+v", l)
		}
	}
	if code, out, said = run(); code != fsckClean || !strings.Contains(out, " 0 problems, 0 mended") {
		t.Errorf("code %d, %q, %q", code, out, said)
	}
	if code, out, said = run("--user", "nobody"); code != fsckFailed || out != "" || !strings.Contains(said, "no user nobody") {
		t.Errorf("code %d, %q, %q", code, out, said)
	}
	if code, out, said = run("--user"); code != fsckFailed || out != "" || said == "" {
		t.Errorf("code %d, %q, %q", code, out, said)
	}
}

func reportLines(t *testing.T, out string) (lines []fsckLine) {
	t.Helper()
	in := json.NewDecoder(strings.NewReader(out))
	in.DisallowUnknownFields()
	for {
		var l fsckLine
		if err := in.Decode(&l); err == io.EOF {
			return lines
		} else if err != nil {
			t.Fatalf("report %q: %v", out, err)
		}
		lines = append(lines, l)
	}
}

// Without a server the command opens the folder itself.
func TestFsckOnTheFolder(t *testing.T) {
	c := config.Default()
	c.Data = t.TempDir()
	var out, said bytes.Buffer
	code := execute(t.Context(), terminal{out: &out, err: &said}, []string{"fsck", "--data", c.Data, "--json"})
	if lines := reportLines(t, out.String()); code != fsckClean || lines[len(lines)-1].Event != "end" {
		t.Errorf("code %d, %q, %q", code, &out, &said)
	}
}

// A server that stops ends the check in a sentence.
func TestFsckEndsWithTheServer(t *testing.T) {
	c, b, _ := damaged(t)
	stopping, stop := context.WithCancel(t.Context())
	k, err := startControl(t.Context(), stopping, c, b, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.stop(context.WithoutCancel(t.Context())) }()
	stop()
	_, ok, err := fsckRunning(t.Context(), c, fsckOrder{}, func(fsckLine) error { return nil })
	if !ok || err == nil || !strings.Contains(err.Error(), "the server stops") {
		t.Errorf("%v, %v", ok, err)
	}
}
