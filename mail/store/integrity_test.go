package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// Many store the same new content at the same moment: it is kept once, and its
// count is the number of messages.
func TestConcurrentFirstStores(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	one, two := env.Open(nil), env.Open(nil)
	u := newUser(t, one, "ann")
	const writers = 12
	for round, content := range []string{"small", strings.Repeat("0123456789abcdef\r\n", 40_000)} {
		var wg sync.WaitGroup
		errs := make([]error, writers)
		for i := range writers {
			s := []*store.Store{one, two}[i%2]
			wg.Go(func() {
				_, errs[i] = s.Append(ctx, store.Append{User: u.ID, Message: fileMessage(i, content)})
			})
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := count(t, env, "attachments.files"); got != round+1 {
			t.Errorf("%d contents, want %d", got, round+1)
		}
	}
	wantClean(t, one, u.ID)
	box := inbox(t, one, u.ID)
	uids := must(one.UIDs(ctx, u.ID, box.ID, 0, store.ListFilter{}, 0))(t)
	if len(uids) != 2*writers || uids[len(uids)-1] != 2*writers {
		t.Errorf("uids %v", uids)
	}
	must(one.Expunge(ctx, store.Selection{User: u.ID, Mailbox: box.ID, UIDs: uids}, store.ExpungeOptions{}))(t)
	wantClean(t, one, u.ID)
	var file struct {
		Metadata struct{ C, M int64 } `bson:"metadata"`
	}
	if err := env.Collection(t, "attachments.files").FindOne(ctx, bson.D{}).Decode(&file); err != nil || file.Metadata.C != 0 || file.Metadata.M != 0 {
		t.Errorf("references %+v, %v; want none", file.Metadata, err)
	}
}

func count(t *testing.T, env *storetest.Env, collection string) int {
	t.Helper()
	return int(must(env.Collection(t, collection).CountDocuments(context.Background(), bson.D{}))(t))
}

// Two equal parts of one message are one reference.
func TestEqualPartsCountOnce(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	part := "--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment\r\n\r\niVBORw0KGgo=\r\n"
	m := message.Parse([]byte("From: a@b\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + part + part + "--b--\r\n"))
	if len(m.Attachments) != 2 {
		t.Fatalf("%d attachments", len(m.Attachments))
	}
	got := appendTo(t, s, u.ID, mail.ID{}, m)
	wantClean(t, s, u.ID)
	for _, id := range []string{"ATT00001", "ATT00002"} {
		if text := readAll(t, must(s.Attachment(ctx, u.ID, got.Mailbox, got.UID, id))(t).Decoded); text != "\x89PNG\r\n\x1a\n" {
			t.Errorf("%s = %q", id, text)
		}
	}
}

// A crash in the middle of an upload leaves chunks without a files document:
// the next message with that content is stored all the same.
func TestUploadLeftByCrash(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	m := fileMessage(1, "left over")
	blob := m.Blobs()[0]
	_, err := env.Collection(t, "attachments.chunks").InsertOne(ctx, bson.D{
		{Key: "_id", Value: bson.ObjectID(mail.NewIDAt(time.Now().Add(-time.Hour)))},
		{Key: "files_id", Value: bson.Binary{Data: blob.Hash[:]}},
		{Key: "n", Value: 0},
		{Key: "data", Value: bson.Binary{Data: []byte("half")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := appendTo(t, s, u.ID, mail.ID{}, m)
	if text := readAll(t, must(s.Attachment(ctx, u.ID, got.Mailbox, got.UID, blob.ID))(t).Decoded); text != "left over" {
		t.Errorf("content = %q", text)
	}
	wantClean(t, s, u.ID)
}

// A large message: bodies move out, the document stays small, bytes return.
func TestLargeMessage(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	raw := "From: a@b\r\nSubject: large\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/html\r\n\r\n<p>" + strings.Repeat("<b>é</b>\r\n", 100_000) + "\r\n" +
		"--b\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 120_000) + "--b--\r\n"
	m := message.Parse([]byte(raw))
	got := appendTo(t, s, u.ID, mail.ID{}, m)
	r, size, err := s.Raw(ctx, u.ID, got.Mailbox, got.UID)
	if err != nil || size != int64(len(raw)) {
		t.Fatalf("size %d of %d, %v", size, len(raw), err)
	}
	if readAll(t, r) != raw {
		t.Error("bytes differ")
	}
	big := message.Parse([]byte("From: a@b\r\n\r\nx"))
	big.Size = store.MaxMessageSize + 1
	_, err = s.Append(ctx, store.Append{User: u.ID, Message: big})
	wantCode(t, err, mail.CodeTooBig)
	// A reader that stops half way leaves nothing running (goleak would tell).
	r, _, err = s.Raw(ctx, u.ID, got.Mailbox, got.UID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	wantClean(t, s, u.ID)
}

// What Verify finds, Repair mends.
func TestRepair(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	var last store.Appended
	for i := range 4 {
		last = appendTo(t, s, u.ID, mail.ID{}, fileMessage(i, "x"))
	}
	must(s.Mailboxes(ctx, u.ID))(t)
	id := func(k string, v any) bson.D { return bson.D{{Key: k, Value: v}} }
	for _, c := range []struct {
		collection    string
		filter, value bson.D
	}{
		{"users", id("_id", bson.ObjectID(u.ID)), id("storageUsed", 1)},
		{"messages", id("uid", 1), id("unseen", false)},
		{"messages", id("uid", 2), id("uid", 3)},
		{"messages", id("uid", 4), id("mailbox", bson.ObjectID(mail.NewID()))},
		{"mailboxes", id("_id", bson.ObjectID(last.Mailbox)), id("modifyIndex", 2)},
		{"attachments.files", bson.D{}, id("metadata.c", 99)},
	} {
		if _, err := env.Collection(t, c.collection).UpdateOne(ctx, c.filter, bson.D{{Key: "$set", Value: c.value}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := env.Collection(t, "journal").DeleteMany(ctx, id("uid", 1)); err != nil {
		t.Fatal(err)
	}
	if err := env.Signal.Set(ctx, "total:"+last.Mailbox.String(), "77", time.Hour); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, p := range must(s.Repair(ctx, u.ID))(t).Problems {
		kinds[p.Kind] = true
	}
	// Filing a message anew raises the mailbox's numbers and drops its counters.
	for _, k := range []string{
		store.ProblemQuota, store.ProblemBooleans, store.ProblemDuplicateUID, store.ProblemOrphan, store.ProblemJournal,
	} {
		if !kinds[k] {
			t.Errorf("%s was not found: %v", k, kinds)
		}
	}
	if r := must(s.VerifyAttachments(ctx, true))(t); len(r.Problems) != 1 || r.Problems[0].Kind != store.ProblemReferences {
		t.Errorf("attachments: %+v", r.Problems)
	}
	// Moving a message gave its old entry's place away; the second pass settles it.
	must(s.Repair(ctx, u.ID))(t)
	wantClean(t, s, u.ID)
	if n := must(s.Mailbox(ctx, u.ID, last.Mailbox))(t).Total; n != 4 {
		t.Errorf("%d messages after repair", n)
	}
}

func TestCountersSurviveAStorm(t *testing.T) {
	ctx := context.Background()
	one, two := storetest.OpenPair(t)
	u := newUser(t, one, "ann")
	box := inbox(t, one, u.ID).ID
	var wg sync.WaitGroup
	for i := range 3 {
		s := []*store.Store{one, two}[i%2]
		wg.Go(func() {
			for n := range 8 {
				if _, err := s.Append(ctx, store.Append{User: u.ID, Mailbox: box, Message: textMessage(n)}); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 8 {
				// Reading counts anew and may fill the cache at the wrong moment.
				if _, err := s.Mailbox(ctx, u.ID, box); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if b := must(one.Mailbox(ctx, u.ID, box))(t); b.Total != 24 || b.Unseen != 24 {
		t.Errorf("mailbox = %+v", b)
	}
	wantClean(t, one, u.ID)
}

func TestChanges(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	now := time.Now()
	s := env.Open(func(o *store.Options) { o.Now = func() time.Time { return now } })
	u := newUser(t, s, "ann")
	if _, complete, err := s.Changes(ctx, u.ID, mail.ID{}, 0); err != nil || complete {
		t.Errorf("from nothing: complete %v, %v", complete, err)
	}
	if _, complete, err := s.Changes(ctx, u.ID, mail.NewIDAt(now.Add(-4*time.Hour)), 0); err != nil || complete {
		t.Errorf("from long ago: complete %v, %v", complete, err)
	}
	start := must(s.LastChange(ctx, u.ID))(t)
	got := appendTo(t, s, u.ID, mail.ID{}, textMessage(1))
	must(s.StoreFlags(ctx, store.Selection{User: u.ID, Mailbox: got.Mailbox, UIDs: []mail.UID{1}, Ignore: "sess"}, store.FlagChange{Add: []mail.Flag{mail.FlagSeen}}))(t)
	must(s.Move(ctx, store.Selection{User: u.ID, Mailbox: got.Mailbox, UIDs: []mail.UID{1}}, byUse(t, s, u.ID, mail.UseJunk).ID, store.MoveOptions{}))(t)
	changes, complete, err := s.Changes(ctx, u.ID, start, 0)
	var text []string
	for _, c := range changes {
		text = append(text, fmt.Sprintf("%s %d %v %s %d", c.Command, c.UID, c.UnseenChange, c.Ignore, c.Junk))
	}
	const want = "EXISTS 1 false  0, FETCH 1 true sess 0, EXPUNGE 1 false  0, EXISTS 1 false  1"
	if got := strings.Join(text, ", "); err != nil || !complete || got != want {
		t.Errorf("changes %s, complete %v, %v; want %s", got, complete, err, want)
	}
	if rest, _, err := s.Changes(ctx, u.ID, changes[1].ID, 1); err != nil || len(rest) != 1 || rest[0].ID != changes[2].ID {
		t.Errorf("from the middle: %+v, %v", rest, err)
	}
	if last := must(s.LastChange(ctx, u.ID))(t); last != changes[3].ID {
		t.Errorf("last change %v, want %v", last, changes[3].ID)
	}
}

// An entry that becomes visible late, with a lower id than one already read,
// is told by the feed all the same.
func TestFeedFindsLateEntries(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	feed := s.Follow(u.ID, must(s.LastChange(ctx, u.ID))(t))
	late := mail.NewID()
	appendTo(t, s, u.ID, mail.ID{}, textMessage(1))
	if got, _, err := feed.Next(ctx); err != nil || len(got) != 1 {
		t.Fatalf("changes %+v, %v", got, err)
	}
	_, err := env.Collection(t, "journal").InsertOne(ctx, bson.D{
		{Key: "_id", Value: bson.ObjectID(late)},
		{Key: "user", Value: bson.ObjectID(u.ID)},
		{Key: "mailbox", Value: bson.ObjectID(mail.NewID())},
		{Key: "command", Value: "CREATE"},
		{Key: "created", Value: time.Now()},
		{Key: "path", Value: "Late"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := feed.Next(ctx); err != nil || len(got) != 1 || got[0].Path != "Late" {
		t.Errorf("changes %+v, %v", got, err)
	}
	if got, complete, err := feed.Next(ctx); err != nil || !complete || len(got) != 0 {
		t.Errorf("told again: %+v, %v", got, err)
	}
}

// After a crash Recover mends the accounts that were busy.
func TestRecover(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	first := env.Open(nil)
	if got := must(first.Recover(ctx))(t); got != (store.Recovery{}) {
		t.Errorf("a new store: %+v", got)
	}
	now := time.Now()
	quiet := newUser(t, first, "quiet")
	appendTo(t, first, quiet.ID, mail.ID{}, fileMessage(0, "x"))
	later := env.Open(func(o *store.Options) { o.Now = func() time.Time { return now.Add(time.Hour) } })
	busy := newUser(t, later, "busy")
	appendTo(t, later, busy.ID, mail.ID{}, fileMessage(1, "x"))
	// The process dies between the first and the deciding step of an Append.
	for collection, field := range map[string]string{"users": "storageUsed", "attachments.files": "metadata.c"} {
		filter := bson.D{}
		if collection == "users" {
			filter = bson.D{{Key: "_id", Value: bson.ObjectID(busy.ID)}}
		}
		if _, err := env.Collection(t, collection).UpdateOne(ctx, filter, bson.D{{Key: "$inc", Value: bson.D{{Key: field, Value: 5}}}}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := must(env.Open(nil).Recover(ctx))(t), (store.Recovery{Users: 1, Messages: 2, Problems: 2}); got != want {
		t.Errorf("recovered %+v, want %+v", got, want)
	}
	wantClean(t, first, busy.ID, quiet.ID)
}

// Clients that go away at any moment: what was acknowledged is there, whole,
// and what an interrupted operation took is never too little.
func TestInterrupted(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	box, trash := inbox(t, s, u.ID).ID, byUse(t, s, u.ID, mail.UseTrash).ID
	stored := 0
	for i := range 60 {
		short, cancel := context.WithTimeout(ctx, time.Duration(i)*150*time.Microsecond)
		if _, err := s.Append(short, store.Append{User: u.ID, Mailbox: box, Message: fileMessage(i, fmt.Sprint("content ", i%4))}); err == nil {
			stored++
		}
		_, _ = s.Copy(short, store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{mail.UID(i)}}, trash)
		_, _ = s.Expunge(short, store.Selection{User: u.ID, Mailbox: trash, UIDs: []mail.UID{mail.UID(i / 2)}}, store.ExpungeOptions{})
		cancel()
	}
	if got := must(s.Mailbox(ctx, u.ID, box))(t).Total; got < stored {
		t.Errorf("%d messages, %d were acknowledged", got, stored)
	}
	for _, uid := range must(s.UIDs(ctx, u.ID, box, 0, store.ListFilter{}, 0))(t) {
		r, size, err := s.Raw(ctx, u.ID, box, uid)
		if err != nil {
			t.Fatal(err)
		}
		if text := readAll(t, r); int64(len(text)) != size {
			t.Errorf("message %d: %d bytes of %d", uid, len(text), size)
		}
	}
	for _, p := range must(s.Verify(ctx, u.ID))(t).Problems {
		if p.Kind != store.ProblemQuota && p.Kind != store.ProblemTotal && p.Kind != store.ProblemUnseen {
			t.Errorf("left behind: %+v", p)
		}
	}
	must(s.Recover(ctx))(t)
	wantClean(t, s, u.ID)
}
