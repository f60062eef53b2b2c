package store

import (
	"context"
	"errors"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const (
	// gatherMost documents, and about gatherBytes, go into one command.
	gatherMost  = 64
	gatherBytes = 1 << 20
)

// gathering inserts small documents that nobody waits for on the disk. While one
// command is under way, the documents of others gather, and go with the next one:
// on the embedded store what a command costs beside its documents is most of it.
// Each is inserted, or fails, by itself.
type gathering struct {
	c *mongo.Collection
	// off sends each at once: to a server on the network waiting costs more than
	// commands do.
	off     bool
	mu      sync.Mutex
	waiting []*gathered
	busy    bool
}

// gathered is one document on its way.
type gathered struct {
	doc []byte
	// turn wakes its goroutine: done, with err, or leading, to send what waits.
	turn    chan struct{}
	leading bool
	err     error
}

// insert returns when the document is stored, or is known not to be. It does not
// end with ctx once the document is on its way.
func (g *gathering) insert(ctx context.Context, d bson.D) error {
	if g.off {
		return insertEncoded(ctx, g.c, d)
	}
	doc, err := encode(make([]byte, 0, 512), d)
	if err != nil {
		return err
	}
	own := &gathered{doc: doc, turn: make(chan struct{}, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, own)
	lead := !g.busy
	g.busy = true
	g.mu.Unlock()
	if !lead {
		<-own.turn
		lead = own.leading
	}
	if lead {
		g.send(ctx)
	}
	return own.err
}

// send inserts what waits, which begins with the caller's own, and hands the lead
// on to the first of those that came meanwhile.
func (g *gathering) send(ctx context.Context) {
	g.mu.Lock()
	n, size := 0, 0
	for n < len(g.waiting) && n < gatherMost && (n == 0 || size+len(g.waiting[n].doc) <= gatherBytes) {
		size += len(g.waiting[n].doc)
		n++
	}
	batch := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	g.mu.Unlock()
	g.insertAll(ctx, batch)
	g.mu.Lock()
	if g.busy = len(g.waiting) > 0; g.busy {
		g.waiting[0].leading = true
		g.waiting[0].turn <- struct{}{}
	} else {
		g.waiting = nil
	}
	g.mu.Unlock()
	for _, other := range batch[1:] {
		other.turn <- struct{}{}
	}
}

func (g *gathering) insertAll(ctx context.Context, batch []*gathered) {
	if len(batch) == 1 {
		_, batch[0].err = g.c.InsertOne(ctx, bson.Raw(batch[0].doc))
		return
	}
	docs := make([]any, len(batch))
	for i := range batch {
		docs[i] = bson.Raw(batch[i].doc)
	}
	// The others' documents must not end with this one's client.
	all, cancel := after(ctx)
	defer cancel()
	_, err := g.c.InsertMany(all, docs, options.InsertMany().SetOrdered(false))
	var some mongo.BulkWriteException
	if !errors.As(err, &some) || len(some.WriteErrors) == 0 {
		for _, x := range batch {
			x.err = err
		}
		return
	}
	for i := range some.WriteErrors {
		if at := some.WriteErrors[i].Index; at >= 0 && at < len(batch) {
			batch[at].err = some.WriteErrors[i].WriteError
		}
	}
}
