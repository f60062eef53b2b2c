package store

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/embedded/docstore"
)

// Documents that gather while a command is under way go with the next one, and
// each has its own outcome.
func TestGathering(t *testing.T) {
	ctx := t.Context()
	engine, err := docstore.Open(ctx, docstore.Options{Path: filepath.Join(t.TempDir(), "eider.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = engine.Close() }()
	const n = 3*gatherMost + 1
	var g *gathering
	commands, largest := 0, 0
	var mu sync.Mutex
	client, err := mongo.Connect(options.Client().ApplyURI(docstore.URI).SetDialer(engine).SetMonitor(&event.CommandMonitor{
		Started: func(_ context.Context, e *event.CommandStartedEvent) {
			if e.CommandName != "insert" {
				return
			}
			mu.Lock()
			commands++
			first := commands == 1
			docs, _ := e.Command.Lookup("documents").Array().Values()
			largest = max(largest, len(docs))
			mu.Unlock()
			for first {
				// The first one waits until the others have come.
				g.mu.Lock()
				first = len(g.waiting) < n-1
				g.mu.Unlock()
			}
		},
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.WithoutCancel(ctx)) }()
	g = &gathering{c: client.Database("d").Collection("c")}
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			// Every tenth comes twice.
			id := i
			if i%10 == 9 {
				id--
			}
			errs[i] = g.insert(ctx, bson.D{{Key: "_id", Value: id}})
		})
	}
	all.Wait()
	for i, err := range errs {
		twin := i
		switch {
		case i%10 == 9:
			twin--
		case i%10 == 8 && i+1 < n:
			twin++
		}
		switch {
		case err != nil && !mongo.IsDuplicateKeyError(err):
			t.Errorf("%d: %v", i, err)
		case twin == i && err != nil, twin != i && (err == nil) == (errs[twin] == nil):
			t.Errorf("%d: %v, %d: %v", i, err, twin, errs[twin])
		}
	}
	if commands < 4 || commands > 6 || largest != gatherMost {
		t.Errorf("%d commands, at most %d documents", commands, largest)
	}
	if g.busy || g.waiting != nil {
		t.Error("it did not come to rest")
	}
	count, err := g.c.CountDocuments(ctx, bson.D{})
	if err != nil || count != n-n/10 {
		t.Errorf("%d documents (%v)", count, err)
	}
	// What has no form disturbs nobody.
	if err := g.insert(ctx, bson.D{{Key: "x", Value: func() {}}}); err == nil {
		t.Error("a function was stored")
	}
}
