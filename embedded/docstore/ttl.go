package docstore

import (
	"context"
	"database/sql/driver"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/index"
	"github.com/eidermail/eider/embedded/docstore/value"
)

const (
	sweepEvery = 60 * time.Second
	sweepBatch = 50 // documents per job, so that writers do not wait long
)

// sweep removes expired documents and forgotten cursors until the store closes.
func (e *Engine) sweep() {
	defer e.serving.Done()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-e.closing:
			return
		case <-tick.C:
			e.cursors.expire(e.now())
			if err := e.expire(); err != nil {
				e.log.LogAttrs(context.Background(), slog.LevelError, "store_ttl_failed", slog.String("error", err.Error()))
			}
		}
	}
}

// expire removes what the TTL indexes say has had its time.
func (e *Engine) expire() error {
	for _, coll := range e.collections("") {
		for _, ix := range coll.indexes {
			if ix.ttl < 0 {
				continue
			}
			for {
				n, err := e.expireSome(coll.ns, ix)
				if err != nil {
					return err
				}
				if n < sweepBatch {
					break
				}
				select {
				case <-e.closing:
					return nil
				default:
				}
			}
		}
	}
	return e.expireSessions()
}

// expireSome removes up to sweepBatch documents whose date is old. Of an array the
// oldest date counts; a value that is no date never expires.
func (e *Engine) expireSome(ns namespace, ix *indexDef) (n int, err error) {
	limit := value.OfDate(e.now().Add(-time.Duration(ix.ttl) * time.Second).UnixMilli())
	iv := index.Below(limit, true)
	if ix.fields[0].Descending {
		iv = index.Descending(iv)
	}
	low, high := append(ix.prefix(), iv[0].Low...), append(ix.prefix(), iv[0].High...)
	err = e.writer.write(false, func(t *tx) error {
		n = 0
		coll := t.cat.colls[ns]
		if coll == nil || coll.index(ix.name) == nil || coll.index(ix.name).id != ix.id {
			return nil
		}
		old := map[int64]bson.Raw{}
		err := t.c.each("SELECT ix.r, docs.v FROM ix CROSS JOIN docs ON docs.r = ix.r WHERE ix.k >= ? AND ix.k < ? LIMIT 50", func(row []driver.Value) (bool, error) {
			old[integer(row[0])] = blob(row[1])
			n++
			return true, nil
		}, low, high)
		for r, doc := range old {
			if err == nil {
				err = t.remove(coll, r, doc)
			}
		}
		return err
	})
	return n, err
}
