package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

func TestEditUser(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	users, id := env.Collection(t, "users"), bson.D{{Key: "_id", Value: bson.ObjectID(u.ID)}}
	if _, err := users.UpdateOne(ctx, id, bson.D{{Key: "$set", Value: bson.D{
		{Key: "later", Value: "WildDuck's next version"}, {Key: "featureFlags.beta", Value: true}, {Key: "lastPwnedCheck", Value: time.Now()},
	}}}); err != nil {
		t.Fatal(err)
	}
	a := must(s.EditUser(ctx, u.ID, func(a *store.Account) error {
		a.Name, a.OwnQuota, a.Tags, a.MTARelay = "Ann B", 5000, []string{"Gold"}, "smtp://relay.example.com"
		a.Targets = []store.Target{{Type: "mail", Value: "x@example.com"}}
		a.Suspended = true
		return nil
	}))(t)
	got := must(s.Account(ctx, u.ID))(t)
	if got.Name != "Ann B" || got.Quota != 5000 || !slices.Equal(got.Tags, []string{"Gold"}) || got.MTARelay == "" || !got.Suspended ||
		len(got.Targets) != 1 || got.Targets[0].ID != a.Targets[0].ID || got.AuthVersion != u.AuthVersion+1 || !got.FeatureFlags["beta"] {
		t.Errorf("account %+v", got)
	}
	must(s.EditUser(ctx, u.ID, func(a *store.Account) error { a.Tags, a.MTARelay = nil, ""; return nil }))(t)
	var doc bson.M
	if err := users.FindOne(ctx, id).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{"tags", "tagsview", "mtaRelay"} {
		if _, there := doc[gone]; there {
			t.Errorf("%s stays", gone)
		}
	}
	if doc["later"] == nil || doc["lastPwnedCheck"] == nil || doc["unameview"] != "ann" {
		t.Errorf("fields were lost: %v", doc)
	}
	_, err := s.EditUser(ctx, mail.NewID(), func(*store.Account) error { return nil })
	wantCode(t, err, mail.CodeNoUser)
	list, c, err := s.Users(ctx, store.UserFilter{Query: "AN"}, store.Paging{})
	if err != nil || len(list) != 1 || c.Total != 1 || c.Next != "" {
		t.Errorf("users %+v %+v %v", list, c, err)
	}
}

func TestPaging(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	var names []string
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		newUser(t, s, n)
		names = append(names, n+"@example.com")
	}
	read := func(p store.Paging) ([]string, store.Cursors) {
		t.Helper()
		p.Limit = 2
		list, c, err := s.AllAddresses(ctx, store.AddressFilter{}, p)
		if err != nil || c.Total != 5 {
			t.Fatal(c, err)
		}
		var out []string
		for _, a := range list {
			out = append(out, a.Address)
		}
		return out, c
	}
	one, c1 := read(store.Paging{})
	two, c2 := read(store.Paging{After: c1.Next})
	three, c3 := read(store.Paging{After: c2.Next})
	if !slices.Equal(slices.Concat(one, two, three), names) || c1.Previous != "" || c3.Next != "" {
		t.Errorf("%v %v %v", one, two, three)
	}
	back, c := read(store.Paging{Before: c3.Previous})
	if !slices.Equal(back, two) || c.Next == "" || c.Previous == "" {
		t.Errorf("back: %v %+v", back, c)
	}
	if back, c = read(store.Paging{Before: c.Previous}); !slices.Equal(back, one) || c.Previous != "" {
		t.Errorf("back again: %v %+v", back, c)
	}
	_, _, err := s.Users(ctx, store.UserFilter{}, store.Paging{After: "nonsense"})
	wantCode(t, err, mail.CodeInvalid)
}

func TestDeleteUser(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s, now := withClock(env)
	u, other := newUser(t, s, "ann"), newUser(t, s, "bob")
	must(s.AddAddress(ctx, u.ID, mustAddress(t, "second@example.com"), "", false))(t)
	fill(t, s, u.ID, mail.ID{}, 40)
	appendTo(t, s, other.ID, mail.ID{}, fileMessage(1, "content"))
	must(s.AddFilter(ctx, store.Filter{User: u.ID, Name: "f"}))(t)

	// Later, and brought back.
	d := must(s.DeleteUser(ctx, u.ID, now.now().Add(time.Hour)))(t)
	_, err := s.User(ctx, u.ID)
	wantCode(t, err, mail.CodeNoUser)
	_, err = s.ResolveAddress(ctx, mustAddress(t, "ann@example.com"), store.ResolveOptions{})
	wantCode(t, err, mail.CodeNoUser)
	if again := must(s.DeleteUser(ctx, u.ID, now.now().Add(2*time.Hour)))(t); again.Task != d.Task {
		t.Errorf("a second task: %v, %v", again, d)
	}
	must(s.AddAddress(ctx, other.ID, mustAddress(t, "second@example.com"), "", false))(t)
	if info := must(s.DeletedUser(ctx, u.ID))(t); !slices.Equal(info.Addresses, []string{"ann@example.com"}) || info.Username != "ann" {
		t.Errorf("info %+v", info)
	}
	if back := must(s.RestoreUser(ctx, u.ID))(t); !slices.Equal(back, []string{"ann@example.com"}) {
		t.Errorf("back %v", back)
	}
	if got := must(s.User(ctx, u.ID))(t); got.Address != "ann@example.com" {
		t.Errorf("user %+v", got)
	}
	if must(s.TaskWaits(ctx, d.Task))(t) {
		t.Error("the task stays")
	}
	wantClean(t, s, u.ID)

	// Now, for good.
	d = must(s.DeleteUser(ctx, u.ID, time.Time{}))(t)
	_, err = s.RestoreUser(ctx, u.ID)
	wantCode(t, err, mail.CodeConflict)
	works(t, s)
	eventually(t, "the end of the task", func() bool { return !must(s.TaskWaits(ctx, d.Task))(t) })
	for _, c := range []string{"mailboxes", "filters"} {
		if n := must(env.Collection(t, c).CountDocuments(ctx, bson.D{{Key: "user", Value: bson.ObjectID(u.ID)}}))(t); n != 0 {
			t.Errorf("%d %s stay", n, c)
		}
	}
	now.add(15 * 24 * time.Hour)
	if got := must(s.Sweep(ctx))(t); got.Expired != 40 {
		t.Errorf("%+v", got)
	}
	if n := count(t, env, "messages") + count(t, env, "archived") + count(t, env, "deletedusers"); n != 1 {
		t.Errorf("%d documents, want bob's message", n)
	}
	wantClean(t, s, other.ID)
}

// A crash between the account and its task: Work finishes the deletion.
func TestDeletionCutShort(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s, now := withClock(env)
	u := newUser(t, s, "ann")
	d := must(s.DeleteUser(ctx, u.ID, now.now().Add(time.Hour)))(t)
	if _, err := env.Collection(t, "tasks").DeleteMany(ctx, bson.D{}); err != nil {
		t.Fatal(err)
	}
	now.add(2 * time.Hour)
	works(t, s)
	eventually(t, "the end of the account", func() bool { return count(t, env, "deletedusers") == 0 })
	_, err := s.RestoreUser(ctx, u.ID)
	wantCode(t, err, mail.CodeNoUser)
	_ = d
}

// A crash in the middle of a creation: the name is free again.
func TestHalfMadeAccount(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s, now := withClock(env)
	u, whole := newUser(t, s, "ann"), newUser(t, s, "bob")
	half := bson.D{{Key: "$set", Value: bson.D{{Key: "activated", Value: false}, {Key: "disabled", Value: true}, {Key: "address", Value: ""}, {Key: "password", Value: ""}}}}
	if _, err := env.Collection(t, "users").UpdateOne(ctx, bson.D{{Key: "_id", Value: bson.ObjectID(u.ID)}}, half); err != nil {
		t.Fatal(err)
	}
	now.add(time.Hour)
	works(t, s)
	eventually(t, "the end of the half-made account", func() bool {
		_, err := s.FindUser(ctx, "ann")
		return mail.IsCode(err, mail.CodeNoUser)
	})
	must(s.User(ctx, whole.ID))(t)
	newUser(t, s, "ann")
}

func TestAddresses(t *testing.T) {
	ctx, s := context.Background(), storetest.Open(t)
	u := newUser(t, s, "ann")
	second := must(s.AddAddress(ctx, u.ID, mustAddress(t, "second@example.com"), "S", false))(t)
	first := must(s.Addresses(ctx, u.ID))(t)[0]
	wantCode(t, s.RemoveAddress(ctx, u.ID, first.ID), mail.CodeForbidden)
	if err := s.MakeMain(ctx, u.ID, second.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveAddress(ctx, u.ID, first.ID); err != nil {
		t.Fatal(err)
	}
	must(s.RenameAddress(ctx, u.ID, second.ID, mustAddress(t, "Third@example.com")))(t)
	if got := must(s.User(ctx, u.ID))(t).Address; got != "third@example.com" {
		t.Errorf("main address %q", got)
	}
	wild := must(s.AddAddress(ctx, u.ID, mustWildcard(t, "*@example.org"), "", false))(t)
	wantCode(t, s.MakeMain(ctx, u.ID, wild.ID), mail.CodeInvalid)

	fw := must(s.AddForwarded(ctx, mustAddress(t, "list@example.com"), store.AddressRecord{
		Targets: []store.Target{{Type: "mail", Value: "x@example.net"}}, Forwards: 10, Autoreply: &store.ForwardedAutoreply{Status: true, Text: "away"},
	}))(t)
	_, err := s.AddForwarded(ctx, mustAddress(t, "l.ist@example.com"), store.AddressRecord{})
	wantCode(t, err, mail.CodeExists)
	must(s.EditAddress(ctx, mail.ID{}, fw.ID, func(a *store.AddressRecord) error { a.ForwardedDisabled = true; a.Autoreply.Subject = "s"; return nil }))(t)
	got := must(s.ResolveAddress(ctx, mustAddress(t, "list@example.com"), store.ResolveOptions{}))(t)
	if !got.ForwardedDisabled || got.Forwards != 10 || got.Autoreply == nil || got.Autoreply.Text != "away" || got.Autoreply.Subject != "s" || got.Targets[0].ID != fw.Targets[0].ID {
		t.Errorf("forwarded %+v", got)
	}

	done := must(s.RenameDomain(ctx, "example.com", "example.net"))(t)
	if done.Addresses != 2 || done.Users != 1 {
		t.Errorf("renamed %+v", done)
	}
	if got := must(s.ResolveAddress(ctx, mustAddress(t, "th.ird@example.net"), store.ResolveOptions{}))(t); got.User != u.ID {
		t.Errorf("resolved %+v", got)
	}
	if err := s.AddDomainAlias(ctx, "alias.example", "example.net"); err != nil {
		t.Fatal(err)
	}
	aliases, _, err := s.DomainAliases(ctx, "alias", store.Paging{})
	if err != nil || len(aliases) != 1 {
		t.Fatal(aliases, err)
	}
	_, err = s.RenameDomain(ctx, "example.net", "alias.example")
	wantCode(t, err, mail.CodeExists)
	if err := s.RemoveDomainAlias(ctx, must(s.ResolveDomainAlias(ctx, "ALIAS.example"))(t).ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.DomainAlias(ctx, aliases[0].ID)
	wantCode(t, err, mail.CodeNotFound)
}
