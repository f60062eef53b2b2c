package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// shardKeys are the first fields of the shard keys in docs/scaling.md. The
// collections that are not here stay on one shard.
var shardKeys = map[string]string{
	"messages": "mailbox", "archived": "user", "threads": "user", "journal": "user", "mailboxes": "user",
	"addressregister": "user", "authlog": "user", "attachments.files": "_id", "attachments.chunks": "files_id",
}

// scattered are filters without the shard key, by collection and field names,
// with the reason why they may ask all shards.
var scattered = []struct{ filter, reason string }{
	{"messages user thread", "a conversation lies in several folders; 20 rows of one index"},
	{"messages user msgid", "a reply whose conversation is forgotten; once in 180 days and conversation"},
	{"messages _id user", "a message by its id alone: undo, audit, repair"},
	{"messages _id", "the count of references, and a message's twin in the archive: fsck"},
	{"messages user", "the check of an account: fsck"},
	{"messages user mailbox thread", "a conversation but for Trash and Junk"},
	{"archived _id", "the archived document of one message, and the count of references"},
	{"attachments.files _id metadata.c", "by _id"},
	{"journal mailbox modseq", "the entry before another: the gap rule, when a writer is late"},
	{"mailboxes _id", "by _id, for bookkeeping beside an operation"},
	{"messages user thread userDeleted", "an account that is deleted, message by message"},
	{"messages user root", "the rows of what a search of the account found"},
	{"messages user thread idate", "a page of a long conversation"},
	{"messages exp rdate", "the sweep of expired messages, every 15 minutes"},
	{"archived exp rdate", "the sweep of the archive, every 15 minutes"},
	{"archived _id exp rdate", "one document of that sweep"},
	{"archived _id eiderBy", "the archived document of one message"},
	{"attachments.files metadata.c metadata.m metadata.cu", "the sweep of contents that nobody needs"},
	{"attachments.chunks _id", "a chunk of an upload that failed"},
	{"addressregister _id", "entries too many of one account"},
	{"mailboxes", "which accounts were written to last: recovery of the embedded store, which has no shards"},
}

// explainAll has the database explain each query and looks for its shard key.
func explainAll(ctx context.Context, t testing.TB, seen *shapes) {
	t.Helper()
	env := storetest.New(t)
	env.Open(func(o *store.Options) { o.Monitor = nil })
	seen.mu.Lock()
	defer seen.mu.Unlock()
	made := map[string]bool{}
	for name, c := range seen.seen {
		if collection, _ := filterFields(c.command); !made[collection] {
			// A collection that does not exist yet has no plan worth the name.
			made[collection] = true
			create(ctx, t, env.Collection(t, collection))
		}
		plan, err := env.Explain(ctx, c.database, c.command)
		if err != nil {
			t.Errorf("explain %s: %v", name, err)
			continue
		}
		if c.pipeline != nil {
			explainPipeline(ctx, t, env, name, c)
		}
		collection, fields := filterFields(c.command)
		if strings.Contains(plan.String(), "COLLSCAN") && !readsWhole(c.command) {
			t.Errorf("reads the whole collection: %s\n%v", name, c.command)
		}
		want := shardKeys[collection]
		if want == "" || slices.Contains(fields, want) {
			continue
		}
		filter := strings.TrimSpace(collection + " " + strings.Join(fields, " "))
		if !slices.ContainsFunc(scattered, func(x struct{ filter, reason string }) bool { return x.filter == filter }) {
			t.Errorf("asks all shards, without %q: %s %v\n%v", want, collection, fields, name)
		}
	}
}

func create(ctx context.Context, t testing.TB, c *mongo.Collection) {
	t.Helper()
	var command mongo.CommandError
	err := c.Database().CreateCollection(ctx, c.Name())
	if err != nil && (!errors.As(err, &command) || command.Code != 48) { // 48 NamespaceExists
		t.Errorf("create %s: %v", c.Name(), err)
	}
}

// whole are the queries that read a whole collection on purpose.
var whole = map[string]bool{
	// The administrator's lists filter by a part of a name.
	"users": true, "addresses": true, "domainaliases": true, "certs": true,
	// Some dozens at most.
	"tasks locked lockedUntil": true,
}

// readsWhole reports a query that reads a whole collection on purpose.
func readsWhole(command bson.D) bool {
	collection, fields := filterFields(command)
	return whole[strings.TrimSpace(collection+" "+strings.Join(fields, " "))]
}

// filterFields are the names that a filter asks for, also below $and, sorted as
// they stand.
func filterFields(command bson.D) (collection string, fields []string) {
	raw, err := bson.Marshal(command)
	if err != nil {
		return "", nil
	}
	collection, _ = bson.Raw(raw).Index(0).Value().StringValueOK()
	filter, _ := bson.Raw(raw).Lookup("filter").DocumentOK()
	elements, err := filter.Elements()
	if err != nil {
		return collection, nil
	}
	for _, e := range elements {
		if !strings.HasPrefix(e.Key(), "$") {
			fields = append(fields, e.Key())
		}
	}
	return collection, fields
}

// complaints collects what explainPipeline says.
type complaints struct {
	testing.TB
	list []string
}

// Errorf implements testing.TB.
func (c *complaints) Errorf(format string, args ...any) {
	c.list = append(c.list, fmt.Sprintf(format, args...))
}

// Helper implements testing.TB.
func (c *complaints) Helper() {}

// A pipeline that reads beside its $match is found.
func TestPipelinesAreHeldToTheirMatch(t *testing.T) {
	env := storetest.New(t)
	env.Open(nil)
	match := bson.D{{Key: "$match", Value: bson.D{{Key: "mailbox", Value: bson.NewObjectID()}}}}
	group := bson.D{{Key: "$group", Value: bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: bson.D{{Key: "$sum", Value: 1}}}}}}
	for _, c := range []struct {
		pipeline bson.A
		fine     bool
	}{
		{bson.A{match, group}, true},
		{bson.A{group}, false},
		{bson.A{match, bson.D{{Key: "$unionWith", Value: "users"}}}, false},
		{bson.A{match, bson.D{{Key: "$out", Value: "x"}}}, false},
	} {
		got := &complaints{TB: t}
		command := bson.D{{Key: "aggregate", Value: "messages"}, {Key: "pipeline", Value: c.pipeline}, {Key: "cursor", Value: bson.D{}}}
		explainPipeline(context.Background(), got, env, "test", shape{database: env.Database(), pipeline: command})
		if (len(got.list) == 0) != c.fine {
			t.Errorf("%v: %v", c.pipeline, got.list)
		}
	}
}
