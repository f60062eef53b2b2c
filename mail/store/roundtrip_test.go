package store_test

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// strange are fields that no version of Eider knows, of every kind of value.
func strange() bson.D {
	return bson.D{
		{Key: "later", Value: bson.D{{Key: "list", Value: bson.A{int32(1), int64(2), 3.5, nil, true}}, {Key: "deep", Value: bson.D{{Key: "x", Value: "y"}}}}},
		{Key: "laterDate", Value: time.Unix(1700000000, 123e6).UTC()},
		{Key: "laterDecimal", Value: bson.NewDecimal128(1, 2)},
		{Key: "laterBytes", Value: bson.Binary{Subtype: 0x80, Data: []byte{0, 1, 2}}},
		{Key: "laterPattern", Value: bson.Regex{Pattern: "^a", Options: "i"}},
		{Key: "laterDouble", Value: float64(7)},
		{Key: "laterNull", Value: nil},
	}
}

// roundTrip is a document as WildDuck 1.51.1 writes it, and what Eider does to it.
type roundTrip struct {
	collection string
	doc        bson.D
	// changes are the top-level fields that Eider's updates may change.
	changes []string
	update  func() error
}

// What a document of WildDuck's holds that Eider does not know comes through
// each of Eider's updates byte for byte.
func TestUnknownFieldsSurviveUpdates(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(func(o *store.Options) { o.Secrets.Settings = "a secret" })
	u := newUser(t, s, "ann")
	user, now := bson.ObjectID(u.ID), time.Now().UTC().Truncate(time.Millisecond)
	ids := map[string]mail.ID{}
	for _, name := range []string{"address", "forwarded", "alias", "asp", "webhook", "audit", "setting", "rule"} {
		ids[name] = mail.NewID()
	}
	id := func(name string) bson.E { return bson.E{Key: "_id", Value: bson.ObjectID(ids[name])} }
	for name, c := range map[string]roundTrip{
		"address": {
			"addresses",
			bson.D{
				id("address"),
				{Key: "user", Value: user},
				{Key: "name", Value: "Bee"},
				{Key: "address", Value: "b.c@round.example"},
				{Key: "addrview", Value: "bc@round.example"},
				{Key: "created", Value: now},
				{Key: "metaData", Value: ""},
				{Key: "internalData", Value: `{"a":1}`},
			},
			[]string{"address", "addrview", "name", "tags", "tagsview"},
			func() error {
				_, err := s.RenameAddress(ctx, u.ID, ids["address"], mustAddress(t, "d.e@round.example"))
				if err == nil {
					err = s.MakeMain(ctx, u.ID, ids["address"])
				}
				if err == nil {
					_, err = s.EditAddress(ctx, u.ID, ids["address"], func(a *store.AddressRecord) error { a.Name, a.Tags = "B", []string{"X"}; return nil })
				}
				if err == nil {
					_, err = s.RenameDomain(ctx, "round.example", "round.test")
				}
				return err
			},
		},
		"forwarded": {
			"addresses",
			bson.D{
				id("forwarded"),
				{Key: "address", Value: "list@fwd.example"},
				{Key: "addrview", Value: "list@fwd.example"},
				{Key: "targets", Value: bson.A{bson.D{{Key: "id", Value: bson.NewObjectID()}, {Key: "type", Value: "mail"}, {Key: "value", Value: "x@example.net"}, {Key: "user", Value: user}}}},
				{Key: "forwards", Value: float64(10)},
				{Key: "created", Value: now},
				{Key: "forwardedDisabled", Value: false},
			},
			[]string{"forwards", "name"},
			func() error {
				_, err := s.EditAddress(ctx, mail.ID{}, ids["forwarded"], func(a *store.AddressRecord) error { a.Name, a.Forwards = "List", 20; return nil })
				return err
			},
		},
		"domain alias": {
			"domainaliases",
			bson.D{id("alias"), {Key: "alias", Value: "alias.example"}, {Key: "domain", Value: "old.example"}, {Key: "created", Value: now}},
			[]string{"domain"},
			func() error { _, err := s.RenameDomain(ctx, "old.example", "new.example"); return err },
		},
		"application password": {
			"asps",
			bson.D{
				id("asp"),
				{Key: "user", Value: user},
				{Key: "description", Value: "phone"},
				{Key: "scopes", Value: bson.A{"*"}},
				{Key: "password", Value: "$pbkdf2-sha256$i=1$a$b"},
				{Key: "selector", Value: "1f"},
				{Key: "used", Value: false},
				{Key: "authEvent", Value: false},
				{Key: "authIp", Value: false},
				{Key: "ttl", Value: int32(3600)},
				{Key: "expires", Value: now.Add(time.Hour)},
				{Key: "created", Value: now},
			},
			[]string{"used", "authEvent", "authIp", "expires"},
			func() error { return s.UseAppPassword(ctx, u.ID, ids["asp"], mail.NewID(), "192.0.2.1") },
		},
		"webhook": {
			"webhooks",
			bson.D{id("webhook"), {Key: "type", Value: bson.A{"user.*"}}, {Key: "user", Value: nil}, {Key: "url", Value: "http://a.example"}, {Key: "created", Value: now}},
			nil, func() error {
				list, err := s.WebhooksFor(ctx, "user.created", u.ID)
				if len(list) != 1 {
					t.Errorf("webhooks %+v", list)
				}
				return err
			},
		},
		"audit": {
			"audits",
			bson.D{
				id("audit"),
				{Key: "user", Value: user},
				{Key: "start", Value: nil},
				{Key: "end", Value: nil},
				{Key: "expires", Value: now.Add(time.Hour)},
				{Key: "deleted", Value: false},
				{Key: "deletedTime", Value: nil},
				{Key: "notes", Value: "n"},
				{Key: "meta", Value: bson.D{{Key: "case", Value: "7"}}},
				{Key: "import", Value: bson.D{{Key: "status", Value: "imported"}, {Key: "failed", Value: int32(0)}, {Key: "copied", Value: int32(3)}}},
				{Key: "audited", Value: int32(3)},
				{Key: "lastAuditedMessage", Value: now},
			},
			nil, func() error {
				list, err := s.ActiveAudits(ctx, u.ID, now)
				if len(list) != 1 || list[0].Copied != 3 {
					t.Errorf("audits %+v", list)
				}
				return err
			},
		},
		"setting": {
			"settings",
			bson.D{id("setting"), {Key: "key", Value: "const:round"}, {Key: "value", Value: "1"}, {Key: "encrypted", Value: false}, {Key: "enumerable", Value: true}, {Key: "created", Value: now}},
			[]string{"value", "encrypted"},
			func() error {
				return s.SetSetting(ctx, "const:round", "2", store.SettingOptions{Encrypt: true})
			},
		},
		"domain rule": {
			"domainaccess",
			bson.D{id("rule"), {Key: "tag", Value: "Gold"}, {Key: "tagview", Value: "gold"}, {Key: "domain", Value: "x.example"}, {Key: "action", Value: "allow"}},
			[]string{"action"},
			func() error { _, err := s.AddDomainRule(ctx, "gold", "x.example", store.DomainBlock); return err },
		},
	} {
		collection := env.Collection(t, c.collection)
		before := must(bson.Marshal(append(c.doc, strange()...)))(t)
		must(collection.InsertOne(ctx, bson.Raw(before)))(t)
		if err := c.update(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wantSame(t, name, collection, before, c.changes)
	}
}

// wantSame compares a document with what it was, byte for byte and in order,
// but for some fields and those that are new.
func wantSame(t *testing.T, name string, c *mongo.Collection, before bson.Raw, changes []string) {
	t.Helper()
	after, err := c.FindOne(context.Background(), bson.D{{Key: "_id", Value: before.Lookup("_id")}}).Raw()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	changed := 0
	var order []string
	for _, e := range must(before.Elements())(t) {
		v := after.Lookup(e.Key())
		same := v.Type == e.Value().Type && bytes.Equal(v.Value, e.Value().Value)
		if !same && !slices.Contains(changes, e.Key()) {
			t.Errorf("%s: %s was %v and is %v", name, e.Key(), e.Value(), v)
		}
		changed += count01(!same)
		order = append(order, e.Key())
	}
	if len(changes) > 0 && changed == 0 {
		t.Errorf("%s: nothing was changed", name)
	}
	at := 0
	for _, e := range must(after.Elements())(t) {
		if at < len(order) && e.Key() == order[at] {
			at++
		}
	}
	if at != len(order) {
		t.Errorf("%s: the order of fields changed at %s: %v", name, order[at], after)
	}
}

func count01(b bool) int {
	if b {
		return 1
	}
	return 0
}
