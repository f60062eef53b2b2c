package docstore

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// TestHalfDoneJob lets jobs without a savepoint fail after they changed something,
// by an error and by a panic, among others of the same transaction: they are undone,
// the others are done once.
func TestHalfDoneJob(t *testing.T) {
	e, coll, _ := start(t, filepath.Join(t.TempDir(), "store.db"), nil, nil)
	if _, err := coll.InsertOne(t.Context(), bson.D{{Key: "_id", Value: 0}}); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	insert := func(tx *tx, id int32) error {
		b, err := bson.Marshal(bson.D{{Key: "_id", Value: id}})
		if err != nil {
			return err
		}
		return tx.insert(tx.cat.colls[namespace{"d", "c"}], insertion{doc: b})
	}
	release := e.HoldWriter()
	errs := make([]error, 8)
	var jobs sync.WaitGroup
	for i := range errs {
		jobs.Go(func() {
			errs[i] = e.writer.writePlain(i%2 == 0, func(tx *tx) error {
				err := insert(tx, int32(10+i))
				switch {
				case err != nil:
					return err
				case i == 2:
					return broken
				case i == 5:
					panic("a test")
				default:
					return nil
				}
			})
		})
	}
	e.WaitWriterQueue(t, len(errs))
	release()
	jobs.Wait()
	for i, err := range errs {
		if failed := i == 2 || i == 5; failed != (err != nil) {
			t.Errorf("job %d: %v", i, err)
		}
		if n, err := coll.CountDocuments(t.Context(), bson.D{{Key: "_id", Value: 10 + i}}); err != nil || (n == 1) == (i == 2 || i == 5) {
			t.Errorf("%d documents of job %d: %v", n, i, err)
		}
	}
	if n, err := coll.EstimatedDocumentCount(t.Context()); err != nil || n != 7 {
		t.Errorf("%d documents: %v", n, err)
	}
}

// TestGroupWaitsForTheDisk: while the disk is busy, durable commands gather in one
// transaction; one that asks for less is answered meanwhile.
func TestGroupWaitsForTheDisk(t *testing.T) {
	syncs, let := make(chan struct{}, 100), make(chan struct{})
	e, _, _ := start(t, filepath.Join(t.TempDir(), "store.db"), func(f *os.File) error {
		syncs <- struct{}{}
		<-let
		return f.Sync()
	}, nil)
	nothing := func(t *tx) error { return t.c.exec("UPDATE colls SET n = n") }
	var jobs sync.WaitGroup
	durable := func() { jobs.Go(func() { _ = e.writer.write(true, nothing) }) }
	durable()
	<-syncs
	for range 10 {
		durable()
	}
	if err := e.writer.write(false, nothing); err != nil {
		t.Fatal(err)
	}
	close(let)
	jobs.Wait()
	if n := len(syncs); n > 4 {
		t.Errorf("%d syncs for ten commands that came while the disk was busy", n)
	}
}

// TestLogBeginsAnew keeps writing much more than the log takes: it is brought into
// the file beside the writes, and does not grow.
func TestLogBeginsAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	const pages = 200
	_, coll, stop := startLog(t, path, pages, nil, nil)
	most, written := int64(0), int64(0)
	no := false
	quick := coll.Database().Collection("c", options.Collection().SetWriteConcern(&writeconcern.WriteConcern{W: 1, Journal: &no}))
	docs := make([]any, 20)
	for range 200 {
		for i := range docs {
			docs[i] = bson.D{{Key: "pad", Value: make([]byte, 3500)}}
			written += 4096
		}
		if _, err := quick.InsertMany(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path + "-wal"); err == nil {
			most = max(most, info.Size())
		}
	}
	if most > written/2 {
		t.Errorf("the log has %d bytes of %d, and was to have %d pages", most, written, pages)
	}
	stop()
	if err := Verify(path); err != nil {
		t.Error(err)
	}
}
