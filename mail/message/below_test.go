package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// sameBelow checks that a message with fields on top is as it is when it is
// parsed so. It reports whether Below could tell.
func sameBelow(tb tester, head, raw []byte) bool {
	tb.Helper()
	m := Parse(raw)
	before, err := json.Marshal(goldenOf(m))
	if err != nil {
		tb.Fatalf("%v", err)
	}
	below, ok := m.Below(head)
	if !ok {
		return false
	}
	whole := slices.Concat(head, raw)
	want := Parse(whole)
	got, err := json.Marshal(goldenOf(below))
	expect, err2 := json.Marshal(goldenOf(want))
	if err := errors.Join(err, err2); err != nil {
		tb.Fatalf("%v", err)
	}
	if n := differAt(got, expect); n >= 0 {
		tb.Fatalf("%q below\n%.1000q\ngives\n%.600s\nand not\n%.600s", head, raw, got[max(0, n-200):], expect[max(0, n-200):])
	}
	if !bytes.Equal(below.Patch, want.Patch) || below.Size != want.Size {
		tb.Fatalf("%q below %.1000q: patch %x, want %x; size %d, want %d", head, raw, below.Patch, want.Patch, below.Size, want.Size)
	}
	if back := rebuilt(tb, below); !bytes.Equal(back, whole) {
		tb.Fatalf("rebuilt\n%q\nwant\n%q", back, whole)
	}
	if after, err := json.Marshal(goldenOf(m)); err != nil || !bytes.Equal(after, before) {
		tb.Fatalf("the message below changed: %v", err)
	}
	return true
}

const (
	traceHead = "Delivered-To: bob@example.org\r\nReturn-Path: <ann@example.com>\r\n"
	received  = "Received: from a\r\n\tby b; Tue, 3 Mar 2026 10:20:30 +0100\r\n"
)

// As mail comes in, our own Received field on top and line ends CRLF, it is
// never parsed twice.
func TestBelow(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sameBelow(t, []byte(traceHead), raw)
		came := slices.Concat([]byte(received), raw)
		isCRLF := bytes.Count(came, crlf[1:]) == bytes.Count(came, crlf)
		if !sameBelow(t, []byte(traceHead), came) && isCRLF && !strings.Contains(file, "long-header") && len(raw) < 200<<10 {
			t.Errorf("%s would be parsed again", file)
		}
	}
}

func TestBelowProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := genMessage().Draw(t, "raw")
		if rapid.Bool().Draw(t, "received") {
			raw = slices.Concat([]byte(received), raw)
		}
		head := rapid.SampledFrom([]string{traceHead, received, "Return-Path: <>\r\n", "Delivered-To: a@b\r\nDelivered-To: c@d\r\n"}).Draw(t, "head")
		sameBelow(t, []byte(head), raw)
	})
}

// Fields that say more than where a message came from, and heads that are not
// whole, are left to the parser.
func TestBelowRefuses(t *testing.T) {
	t.Parallel()
	m := Parse([]byte(received + "From: a@b\r\n\r\ntext\r\n"))
	for _, head := range []string{
		"", "\r\n", "Subject: x\r\n", "Content-Type: text/html\r\n", "Delivered-To: a@b", "Delivered-To: a@b\n", " Delivered-To: a@b\r\n", "Delivered-To: a@b\r\n\r\n",
		"Delivered-To: é@b\r\n", "junk\r\nDelivered-To: a@b\r\n",
	} {
		if _, ok := m.Below([]byte(head)); ok {
			t.Errorf("%q was taken", head)
		}
	}
	for _, raw := range []string{"", "\r\ntext", " folded: x\r\n\r\n", "text without header", "From: a@b\n\ntext\n", "From: a@b\r\rtext\r", strings.Repeat("X: y\r\n", maxHeaderLines) + "\r\n"} {
		if _, ok := Parse([]byte(raw)).Below([]byte(traceHead)); ok {
			t.Errorf("taken above %.40q", raw)
		}
	}
}
