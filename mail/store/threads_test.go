package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

func letter(id, subject string, references string) *message.Message {
	raw := fmt.Sprintf("From: a@example.com\r\nSubject: %s\r\nMessage-ID: <%s>\r\n", subject, id)
	if references != "" {
		raw += "References: " + references + "\r\n"
	}
	return message.Parse([]byte(raw + "\r\nx\r\n"))
}

// WildDuck's thread documents live 180 days. A reply that comes later finds its
// conversation by the messages.
func TestReplyAfterAYearJoinsItsConversation(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	first := appendTo(t, s, u.ID, mail.ID{}, letter("1@x", "Plan", ""))
	threads := env.Collection(t, "threads")
	must(threads.DeleteMany(ctx, bson.M{}))(t)
	reply := appendTo(t, s, u.ID, mail.ID{}, letter("2@x", "Re: [list] plan", "<0@x> <1@x>"))
	if reply.Thread == first.Thread {
		t.Error("another subject joined the conversation")
	}
	reply = appendTo(t, s, u.ID, mail.ID{}, letter("3@x", "Re: [list] Plan", "<0@x> <1@x>"))
	if reply.Thread != first.Thread {
		t.Error("the reply founded a conversation")
	}
	// The document is there again, with all that it needs.
	next := appendTo(t, s, u.ID, mail.ID{}, letter("4@x", "Plan", "<3@x>"))
	if next.Thread != first.Thread {
		t.Error("the second reply founded a conversation")
	}
	var doc bson.M
	if err := threads.FindOne(ctx, bson.M{"_id": bson.ObjectID(first.Thread)}).Decode(&doc); err != nil || doc["subject"] != "Plan" || doc["user"] != bson.ObjectID(u.ID) {
		t.Errorf("document %v (%v)", doc, err)
	}
	wantClean(t, s, u.ID)
}

// A parent that arrives after its children makes their conversations one, over
// all folders.
func TestLateParentMergesConversations(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	finds := 0
	s := env.Open(func(o *store.Options) {
		o.Monitor = storetest.Watch(func(e *event.CommandStartedEvent) {
			if e.CommandName == "find" && e.Command.Lookup("find").StringValue() == "messages" {
				finds++
			}
		})
	})
	u := newUser(t, s, "ann")
	sent := byUse(t, s, u.ID, mail.UseSent).ID
	one := appendTo(t, s, u.ID, mail.ID{}, letter("1@x", "Plan", "<root@x>"))
	before := must(s.Snapshot(ctx, u.ID, sent))(t)
	two := appendTo(t, s, u.ID, sent, letter("2@x", "Re: Plan", "<other@x>"), mail.FlagSeen, "$kw")
	start := must(s.LastChange(ctx, u.ID))(t)
	if one.Thread == two.Thread {
		t.Fatal("no two conversations")
	}
	parent := appendTo(t, s, u.ID, mail.ID{}, letter("root@x", "Plan", "<other@x>"))
	if parent.Thread != one.Thread {
		t.Errorf("the parent went to %v, not to the oldest, %v", parent.Thread, one.Thread)
	}
	finds = 0
	rows := must(s.Thread(ctx, u.ID, one.Thread, store.ThreadOptions{TrashAndJunk: true}))(t)
	if len(rows) != 3 || finds != 1 {
		t.Errorf("%d messages in %d queries", len(rows), finds)
	}
	if rows := must(s.Thread(ctx, u.ID, two.Thread, store.ThreadOptions{}))(t); len(rows) != 0 {
		t.Errorf("%d messages stayed behind", len(rows))
	}
	changes, _, err := s.Changes(ctx, u.ID, start, 0)
	if err != nil || len(changes) != 2 || changes[0].Command != mail.CommandFetch || changes[0].Thread != one.Thread || len(changes[0].Flags) != 2 {
		t.Errorf("changes %+v (%v)", changes, err)
	}
	row := must(s.Snapshot(ctx, u.ID, sent))(t).Row(0)
	if before.Len() != 0 || row.Thread != one.Thread || !mail.HasFlag(row.Flags, "$kw") {
		t.Errorf("the snapshot says %+v", row)
	}
	wantClean(t, s, u.ID)
}

// A merge that a crash cut short is seen and finished.
func TestFsckMergesSplitConversations(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	one := appendTo(t, s, u.ID, mail.ID{}, letter("1@x", "Plan", "<root@x>"))
	appendTo(t, s, u.ID, mail.ID{}, letter("2@x", "Plan", "<other@x>"))
	var two bson.M
	threads := env.Collection(t, "threads")
	if err := threads.FindOne(ctx, bson.M{"_id": bson.M{"$ne": bson.ObjectID(one.Thread)}}).Decode(&two); err != nil {
		t.Fatal(err)
	}
	mustUpdate(t, threads, bson.M{"_id": bson.ObjectID(one.Thread)}, bson.M{"$addToSet": bson.M{"ids": bson.M{"$each": two["ids"]}}})
	for _, repair := range []bool{false, true} {
		if kinds := check(t, s, store.Fsck{Repair: repair}); kinds[store.ProblemThreads] != 1 || len(kinds) != 1 {
			t.Errorf("repair %v: %v", repair, kinds)
		}
	}
	if rows := must(s.Thread(ctx, u.ID, one.Thread, store.ThreadOptions{}))(t); len(rows) != 2 {
		t.Errorf("%d messages", len(rows))
	}
	wantClean(t, s, u.ID)
}

// Two processes that found one conversation at the same moment end with one.
func TestTwoProcessesFoundOneConversation(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	var looked sync.WaitGroup
	looked.Add(2)
	var stores []*store.Store
	for range 2 {
		var once sync.Once
		stores = append(stores, env.Open(func(o *store.Options) {
			o.Monitor = storetest.Watch(func(e *event.CommandStartedEvent) {
				if e.CommandName == "insert" && e.Command.Lookup("insert").StringValue() == "threads" {
					once.Do(looked.Done)
					looked.Wait()
				}
			})
		}))
	}
	u := newUser(t, stores[0], "ann")
	var both sync.WaitGroup
	for i, s := range stores {
		both.Go(func() {
			if _, err := s.Append(ctx, store.Append{User: u.ID, Message: letter(fmt.Sprintf("%d@x", i), "Plan", "<root@x>")}); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	wantOneThread(t, stores[0], u.ID, 2)
	wantClean(t, stores[1], u.ID)
}

// A message whose conversation is merged away, after it found it and before it
// is stored, goes along.
func TestDeliveryDuringMergeFollows(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	one := env.Open(nil)
	u := newUser(t, one, "ann")
	appendTo(t, one, u.ID, mail.ID{}, letter("1@x", "Plan", "<root@x>"))
	appendTo(t, one, u.ID, mail.ID{}, letter("2@x", "Plan", "<other@x>"))
	merged := false
	two := env.Open(func(o *store.Options) {
		o.Monitor = storetest.Watch(func(e *event.CommandStartedEvent) {
			if !merged && e.CommandName == "insert" && e.Command.Lookup("insert").StringValue() == "messages" {
				merged = true
				appendTo(t, one, u.ID, mail.ID{}, letter("root@x", "Plan", "<other@x>"))
			}
		})
	})
	if _, err := two.Append(ctx, store.Append{User: u.ID, Message: letter("3@x", "Plan", "<other@x>")}); err != nil || !merged {
		t.Fatal(merged, err)
	}
	wantOneThread(t, one, u.ID, 4)
	wantClean(t, two, u.ID)
}

// The same in a process that is alone, which looks only where it has merged
// something meanwhile.
func TestDeliveryDuringOwnMergeFollows(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	var s *store.Store
	var u mail.User
	third := letter("3@x", "Plan", "<other@x>")
	merging, looks := false, 0
	s = env.Open(func(o *store.Options) {
		o.Alone = true
		o.Monitor = storetest.Watch(func(e *event.CommandStartedEvent) {
			switch {
			case e.CommandName == "find" && e.Command.Lookup("find").StringValue() == "threads":
				looks++
			case merging && e.CommandName == "insert" && e.Command.Lookup("insert").StringValue() == "messages":
				merging = false
				appendTo(t, s, u.ID, mail.ID{}, letter("root@x", "Plan", "<other@x>"))
			}
		})
	})
	u = newUser(t, s, "ann")
	appendTo(t, s, u.ID, mail.ID{}, letter("1@x", "Plan", "<root@x>"))
	appendTo(t, s, u.ID, mail.ID{}, letter("2@x", "Plan", "<other@x>"))
	if looks != 2 {
		t.Errorf("%d looks for the conversations of two messages", looks)
	}
	merging = true
	got, err := s.Append(ctx, store.Append{User: u.ID, Message: third})
	if err != nil || merging {
		t.Fatal(merging, err)
	}
	wantOneThread(t, s, u.ID, 4)
	if row := must(s.Message(ctx, u.ID, got.Mailbox, got.UID))(t); row.Thread != got.Thread {
		t.Errorf("the message is in %v, and %v was said", row.Thread, got.Thread)
	}
	wantClean(t, s, u.ID)
}

// wantOneThread wants all messages of INBOX in one conversation.
func wantOneThread(t *testing.T, s *store.Store, user mail.ID, messages int) {
	t.Helper()
	snap := must(s.Snapshot(context.Background(), user, inbox(t, s, user).ID))(t)
	threads := map[mail.ID]int{}
	for _, r := range snap.Rows(0, snap.Len()) {
		threads[r.Thread]++
	}
	if len(threads) != 1 || snap.Len() != messages {
		t.Errorf("%d messages, by conversation: %v", snap.Len(), threads)
	}
}

// A copy whose source's conversation is merged away, after the source was read
// and before the copy is stored, goes along; so does one whose source is gone by
// then, and a message that lay in the archive meanwhile.
func TestCopyAndRestoreDuringMergeFollow(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	one := env.Open(nil)
	for _, vanish := range []bool{false, true} {
		u := newUser(t, one, fmt.Sprintf("ann%v", vanish))
		box, trash := inbox(t, one, u.ID).ID, byUse(t, one, u.ID, mail.UseTrash).ID
		first := appendTo(t, one, u.ID, box, letter("1@x", "Plan", "<root@x>"))
		source := appendTo(t, one, u.ID, box, letter("2@x", "Plan", "<other@x>"))
		archived := appendTo(t, one, u.ID, box, letter("3@x", "Plan", "<other@x>"))
		sel := func(uid mail.UID) store.Selection {
			return store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{uid}}
		}
		must(one.Expunge(ctx, sel(archived.UID), store.ExpungeOptions{Archive: true}))(t)
		merged := false
		two := env.Open(func(o *store.Options) {
			o.Monitor = storetest.Watch(func(e *event.CommandStartedEvent) {
				if !merged && e.CommandName == "insert" && e.Command.Lookup("insert").StringValue() == "messages" {
					merged = true
					appendTo(t, one, u.ID, box, letter("root@x", "Plan", "<other@x>"))
					if vanish {
						must(one.Expunge(ctx, sel(source.UID), store.ExpungeOptions{}))(t)
					}
				}
			})
		})
		if _, err := two.Copy(ctx, sel(source.UID), trash); err != nil || !merged {
			t.Fatal(merged, err)
		}
		want := 4
		if vanish {
			want--
		}
		if rows := must(one.Thread(ctx, u.ID, first.Thread, store.ThreadOptions{TrashAndJunk: true}))(t); len(rows) != want {
			t.Errorf("%d of %d messages in the conversation", len(rows), want)
		}
		if got := must(two.Restore(ctx, u.ID, archived.ID, mail.ID{}))(t); got.Thread != first.Thread {
			t.Errorf("the restored message went to %v", got.Thread)
		}
		want++
		if rows := must(one.Thread(ctx, u.ID, first.Thread, store.ThreadOptions{TrashAndJunk: true}))(t); len(rows) != want {
			t.Errorf("%d of %d messages in the conversation", len(rows), want)
		}
		wantClean(t, two, u.ID)
	}
}

// A process that dies between storing a message and looking for its conversation
// again, while another merges that away, leaves a message of no conversation.
// fsck sees it, and a conversation whose document is missing, and mends both.
func TestFsckMendsLostConversations(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s, clock := withClock(env)
	u := newUser(t, s, "ann")
	one := appendTo(t, s, u.ID, mail.ID{}, letter("1@x", "Plan", "<root@x>"))
	late := appendTo(t, s, u.ID, mail.ID{}, letter("2@x", "Plan", "<root@x>"))
	alone := appendTo(t, s, u.ID, mail.ID{}, letter("3@x", "Other", "<a@x>"))
	appendTo(t, s, u.ID, mail.ID{}, letter("4@x", "Re: Other", "<3@x>"))
	threads, messages := env.Collection(t, "threads"), env.Collection(t, "messages")
	mustUpdate(t, messages, bson.M{"_id": bson.ObjectID(late.ID)}, bson.M{"$set": bson.M{"thread": bson.ObjectID(mail.NewIDAt(time.Now().Add(time.Hour)))}})
	must(threads.DeleteOne(ctx, bson.M{"_id": bson.ObjectID(alone.Thread)}))(t)
	for _, repair := range []bool{false, true} {
		if kinds := check(t, s, store.Fsck{Repair: repair}); kinds[store.ProblemThreads] != 1 || kinds[store.ProblemThreadLost] != 1 || len(kinds) != 2 {
			t.Errorf("repair %v: %v", repair, kinds)
		}
	}
	wantClean(t, s, u.ID)
	if rows := must(s.Thread(ctx, u.ID, one.Thread, store.ThreadOptions{}))(t); len(rows) != 2 {
		t.Errorf("%d messages in the conversation", len(rows))
	}
	var doc struct {
		IDs     []string `bson:"ids"`
		Subject string   `bson:"subject"`
	}
	if err := threads.FindOne(ctx, bson.M{"_id": bson.ObjectID(alone.Thread)}).Decode(&doc); err != nil || len(doc.IDs) != 3 || doc.Subject != "Other" {
		t.Errorf("document %+v (%v)", doc, err)
	}
	// What WildDuck's 180 days have removed is no loss.
	must(threads.DeleteMany(ctx, bson.M{}))(t)
	clock.add(181 * 24 * time.Hour)
	wantClean(t, s, u.ID)
}
