package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// A disk that is really full: writes say "try again", reading goes on, what was
// acknowledged stays, and with room again all is as before. Mounting one needs
// rights that not every machine gives; the engine has a test with a disk of its own.
func TestFullDisk(t *testing.T) {
	if os.Getenv("EIDER_TEST_MONGO") != "" {
		t.Skip("the disk of a MongoDB is not the test's")
	}
	ctx := context.Background()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skip("no small disk can be mounted: ", err)
	}
	// It goes once the store and the engine are closed, which are made later.
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	env := storetest.NewIn(t, dir)
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	in := inbox(t, s, u.ID).ID
	stored := map[mail.ID]bool{}
	put := func(n int) error {
		got, err := s.Append(ctx, store.Append{User: u.ID, Mailbox: in, Message: fileMessage(n, "content")})
		if err == nil {
			stored[got.ID] = true
		}
		return err
	}
	for n := range 5 {
		if err := put(n); err != nil {
			t.Fatal(err)
		}
	}
	ballast := filepath.Join(dir, "ballast")
	fillDisk(t, ballast)
	refused := 0
	for n := 5; refused < 3 && n < 2000; n++ {
		if err := put(n); err != nil {
			wantCode(t, err, mail.CodeUnavailable)
			refused++
		}
	}
	if refused < 3 {
		t.Fatalf("%d refusals by a full disk", refused)
	}
	look := func(when string) {
		t.Helper()
		for id := range stored {
			if _, err := s.MessageByID(ctx, u.ID, id); err != nil {
				t.Errorf("%s: message %v: %v", when, id, err)
			}
		}
	}
	look("full")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "room", func() bool { return put(len(stored)) == nil })
	look("with room")
	must(s.Recover(ctx))(t)
	wantClean(t, s, u.ID)
}

// fillDisk writes a file until there is no room.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	chunk := make([]byte, 4096)
	for {
		if _, err := f.Write(chunk); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			return
		}
	}
}
