package crash

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store"
)

// childVariable tells the test program that it is the process to be killed.
const childVariable = "EIDER_TEST_CRASH_DATA"

// TestKillDuringOperations kills a process that does every operation of the
// store at once. After each restart and repair nothing differs, and what was
// acknowledged is there.
func TestKillDuringOperations(t *testing.T) {
	if data := os.Getenv(childVariable); data != "" {
		operate(data)
		return
	}
	if os.Getenv("EIDER_TEST_MONGO") != "" {
		t.Skip("the database is another process there, and is not killed")
	}
	data := t.TempDir()
	rng := rand.New(rand.NewPCG(3, uint64(time.Now().UnixNano())))
	kept := map[mail.ID]bool{}
	for round := range rounds(t) {
		for _, id := range killed(t, data, 500+rng.IntN(2000)) {
			kept[id] = true
		}
		checkOperations(t, data, round, kept)
	}
	if len(kept) < 10 {
		t.Errorf("only %d messages were kept: the load did not run", len(kept))
	}
	t.Logf("%d messages kept", len(kept))
}

// killed runs the child until it has acknowledged so many operations, kills it,
// and gives the messages that it acknowledged to be kept.
func killed(t *testing.T, data string, operations int) (kept []mail.ID) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKillDuringOperations$")
	cmd.Env = append(os.Environ(), childVariable+"="+data)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "kept":
			if id, err := mail.ParseID(rest); err == nil {
				kept = append(kept, id)
			}
		case "failed":
			t.Error(rest)
		}
		if n++; n == operations {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait()
	return kept
}

// opened is the store of a data folder.
type opened struct {
	*store.Store
	close func()
}

func openData(ctx context.Context, data string) (*opened, error) {
	log := slog.New(slog.DiscardHandler)
	engine, err := docstore.Open(ctx, docstore.Options{Path: filepath.Join(data, "eider.db"), Log: log})
	if err != nil {
		return nil, err
	}
	sig := signal.NewMemory(signal.MemoryOptions{})
	st, err := store.Open(ctx, store.Options{URI: docstore.URI, Dialer: engine, Signal: sig, Log: log})
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	return &opened{st, func() {
		_ = st.Close(context.WithoutCancel(ctx))
		_ = sig.Close()
		_ = engine.Close()
	}}, nil
}

// checkOperations repairs as a start does, and looks.
func checkOperations(t *testing.T, data string, round int, kept map[mail.ID]bool) {
	t.Helper()
	ctx := context.Background()
	s, err := openData(ctx, data)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if _, err := s.Recover(ctx); err != nil {
		t.Fatal(err)
	}
	have := map[mail.ID]bool{}
	users, _, err := s.Users(ctx, store.UserFilter{}, store.Paging{Limit: store.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		report, err := s.Verify(ctx, u.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range report.Problems {
			t.Errorf("round %d: %s: %+v", round, u.Username, p)
		}
		if u.Username == keeper {
			collect(t, s.Store, u.ID, have)
		}
	}
	report, err := s.VerifyAttachments(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Errorf("round %d: attachments: %+v", round, p)
	}
	for id := range kept {
		if !have[id] {
			t.Errorf("round %d: an acknowledged message is gone: %v", round, id)
		}
	}
}

func collect(t *testing.T, s *store.Store, user mail.ID, have map[mail.ID]bool) {
	t.Helper()
	ctx := context.Background()
	boxes, err := s.Mailboxes(ctx, user)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range boxes {
		uids, err := s.UIDs(ctx, user, b.ID, 0, store.ListFilter{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, uid := range uids {
			row, err := s.Row(ctx, user, b.ID, uid)
			if err != nil {
				t.Fatal(err)
			}
			have[row.ID] = true
		}
	}
}

// keeper is the account whose messages are never removed, chaos the one where
// anything happens.
const (
	keeper = "keeper"
	chaos  = "chaos"
)

// operate is the child: several actors, until it is killed.
func operate(data string) {
	ctx := context.Background()
	s, err := openData(ctx, data)
	if err == nil {
		_, err = s.Recover(ctx)
	}
	if err != nil {
		fmt.Println("failed", err)
		return
	}
	for _, name := range []string{keeper, chaos} {
		// A kill in the middle of a creation leaves an account that Work would
		// remove after ten minutes only.
		if u, err := s.FindUser(ctx, name); err == nil && !u.Activated {
			_, err = s.DeleteUser(ctx, u.ID, time.Time{})
			say("delete", err)
		}
	}
	go s.Work(ctx)
	for i := range 6 {
		a := &operator{s: s.Store, rng: rand.New(rand.NewPCG(uint64(i), uint64(time.Now().UnixNano())))}
		go func() {
			for {
				a.once(ctx, i)
			}
		}()
	}
	select {}
}

// operator is one actor of the child.
type operator struct {
	s   *store.Store
	rng *rand.Rand
	n   int
}

// say tells the parent. Conflicts and what others removed meanwhile are no
// failures.
func say(what string, err error) bool {
	if mail.IsCode(err, mail.CodeInternal) || mail.IsCode(err, mail.CodeUnavailable) {
		fmt.Println("failed", what, err)
		return false
	}
	fmt.Println("done", what)
	return err == nil
}

func (o *operator) once(ctx context.Context, actor int) {
	if actor%2 == 0 {
		o.keep(ctx)
		return
	}
	o.wreck(ctx)
}

func (o *operator) account(ctx context.Context, name string) (mail.ID, bool) {
	u, err := o.s.FindUser(ctx, name)
	if err == nil && !u.Activated {
		return u.ID, false // another actor is making it
	}
	if mail.IsCode(err, mail.CodeNoUser) {
		u, err = o.s.CreateUser(ctx, store.NewUser{Username: name, Address: name + "@example.com"})
	}
	return u.ID, say("account", err)
}

func (o *operator) letter() *message.Message {
	o.n++
	return message.Parse([]byte(letter("x@example.com", fmt.Sprintf("%d %d", o.n, o.rng.IntN(20)))))
}

// keep stores, marks, moves and copies: nothing is ever removed.
func (o *operator) keep(ctx context.Context) {
	user, ok := o.account(ctx, keeper)
	if !ok {
		return
	}
	got, err := o.s.Append(ctx, store.Append{User: user, Message: o.letter()})
	if !say("append", err) {
		return
	}
	fmt.Println("kept", got.ID)
	sel := store.Selection{User: user, Mailbox: got.Mailbox, UIDs: []mail.UID{got.UID}}
	_, err = o.s.StoreFlags(ctx, sel, store.FlagChange{Add: []mail.Flag{mail.FlagSeen}})
	say("flags", err)
	trash, err := o.s.MailboxByUse(ctx, user, mail.UseTrash, true)
	if !say("mailbox", err) {
		return
	}
	switch o.rng.IntN(3) {
	case 0:
		_, err = o.s.Move(ctx, sel, trash.ID, store.MoveOptions{})
	case 1:
		_, err = o.s.Copy(ctx, sel, trash.ID)
	default:
		_, err = o.s.StartBulk(ctx, store.Bulk{User: user, Mailbox: got.Mailbox, Kind: store.BulkMove, Target: trash.ID})
	}
	say("move", err)
}

// wreck does anything to an account, and at times removes it.
func (o *operator) wreck(ctx context.Context) {
	user, ok := o.account(ctx, chaos)
	if !ok {
		return
	}
	boxes, err := o.s.Mailboxes(ctx, user)
	if !say("mailboxes", err) {
		return
	}
	if len(boxes) == 0 {
		// It was killed while it was made, or is on its way out.
		_, err := o.s.DeleteUser(ctx, user, time.Time{})
		say("delete", err)
		return
	}
	box, other := boxes[o.rng.IntN(len(boxes))], boxes[o.rng.IntN(len(boxes))]
	uids, err := o.s.UIDs(ctx, user, box.ID, 0, store.ListFilter{}, 0)
	say("uids", err)
	if len(uids) > 0 {
		first := o.rng.IntN(len(uids))
		uids = uids[first:min(first+5, len(uids))]
	}
	sel := store.Selection{User: user, Mailbox: box.ID, UIDs: uids}
	switch o.rng.IntN(14) {
	case 0, 1, 2:
		_, err = o.s.Append(ctx, store.Append{User: user, Mailbox: box.ID, Message: o.letter()})
	case 3:
		_, err = o.s.Move(ctx, sel, other.ID, store.MoveOptions{Add: []mail.Flag{"$moved"}})
	case 4:
		_, err = o.s.Copy(ctx, sel, other.ID)
	case 5:
		_, err = o.s.Expunge(ctx, sel, store.ExpungeOptions{Archive: true})
	case 6:
		_, err = o.s.Expunge(ctx, sel, store.ExpungeOptions{})
	case 7:
		err = o.restore(ctx, user)
	case 8:
		_, err = o.s.CreateMailbox(ctx, user, fmt.Sprintf("Box %d/In", o.rng.IntN(5)), mail.UseNone)
	case 9:
		_, err = o.s.RenameMailbox(ctx, user, box.ID, fmt.Sprintf("Box %d", o.rng.IntN(5)))
	case 10:
		err = o.s.DeleteMailbox(ctx, user, box.ID)
	case 11:
		kinds := []store.Bulk{
			{Kind: store.BulkCopy, Target: other.ID},
			{Kind: store.BulkMove, Target: other.ID},
			{Kind: store.BulkExpunge, Archive: true},
			{Kind: store.BulkDelete},
			{Kind: store.BulkFlags, Change: store.FlagChange{Add: []mail.Flag{mail.FlagFlagged}}},
		}
		b := kinds[o.rng.IntN(len(kinds))]
		b.User, b.Mailbox = user, box.ID
		if b.Kind == store.BulkCopy && box.Total > 50 {
			b.Kind = store.BulkExpunge
		}
		_, err = o.s.StartBulk(ctx, b)
	case 12:
		_, err = o.s.EditUser(ctx, user, func(a *store.Account) error { a.Name = strconv.Itoa(o.n); return nil })
	default:
		if o.rng.IntN(6) == 0 {
			_, err = o.s.DeleteUser(ctx, user, time.Time{})
		}
	}
	say("operation", err)
}

func (o *operator) restore(ctx context.Context, user mail.ID) error {
	list, err := o.s.Archived(ctx, user, mail.ID{}, 0)
	if err != nil || len(list) == 0 {
		return err
	}
	_, err = o.s.Restore(ctx, user, list[o.rng.IntN(len(list))].ID, mail.ID{})
	return err
}
