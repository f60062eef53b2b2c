package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/embedded/transfer"
	"github.com/eidermail/eider/embedded/transfer/transfertest"
)

// TestLoadGoesOnOrBeginsAnew cuts a load into a data folder: the same command goes
// on, unless the source has changed, of which it tells; then the next one begins
// anew, and the folder never holds a mixture.
func TestLoadGoesOnOrBeginsAnew(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	uri, change := transfertest.Source(t)
	cut := func(data string) {
		t.Helper()
		if err := os.MkdirAll(data, 0o700); err != nil {
			t.Fatal(err)
		}
		e, err := docstore.Open(ctx, docstore.Options{Path: filepath.Join(data, storeFile+loadingSuffix)})
		if err != nil {
			t.Fatal(err)
		}
		part, cancel := context.WithCancel(ctx)
		_, err = transfer.Run(part, transfer.Place{URI: uri}, transfer.Place{Engine: e}, transfer.Options{
			Databases: []string{transfertest.Database},
			Progress: func(p transfer.Progress) {
				if strings.HasSuffix(p.Collection, ".messages") {
					cancel()
				}
			},
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	load := func(data string) (code int, out, said string) {
		var o, s bytes.Buffer
		code = execute(ctx, terminal{in: strings.NewReader(""), out: &o, err: &s}, []string{"load", "--from", uri, "--data", data})
		return code, o.String(), s.String()
	}
	same, changed := filepath.Join(dir, "same"), filepath.Join(dir, "changed")
	cut(same)
	cut(changed)
	if code, out, said := load(same); code != 0 || !strings.Contains(out, "3000 documents") {
		t.Fatalf("going on: %d, %s%s", code, out, said)
	}
	change()
	code, _, said := load(changed)
	if code != 1 || !strings.Contains(said, "the source has changed") {
		t.Fatalf("after a change: %d, %s", code, said)
	}
	for _, name := range []string{storeFile, storeFile + loadingSuffix} {
		if _, err := os.Stat(filepath.Join(changed, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
	if code, out, said := load(changed); code != 0 || !strings.Contains(out, "3000 documents") {
		t.Fatalf("anew: %d, %s%s", code, out, said)
	}
	if err := docstore.Verify(filepath.Join(changed, storeFile)); err != nil {
		t.Error(err)
	}
}
