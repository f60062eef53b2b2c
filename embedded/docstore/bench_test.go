package docstore_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// message is a document of the size of a message's row.
func message(i, mailbox int) bson.D {
	return bson.D{
		{Key: "_id", Value: i},
		{Key: "mailbox", Value: mailbox},
		{Key: "uid", Value: i},
		{Key: "modseq", Value: int64(i)},
		{Key: "idate", Value: bson.DateTime(1_700_000_000_000 + int64(i)*1000)},
		{Key: "unseen", Value: i%10 == 0},
		{Key: "thread", Value: i / 3},
		{Key: "flags", Value: bson.A{"\\Seen"}},
		{Key: "subject", Value: "A subject of a usual length"},
		{Key: "mimeTree", Value: bson.Binary{Data: bytes.Repeat([]byte("x"), 3000)}},
	}
}

func messages(b testing.TB, n int) *mongo.Collection {
	b.Helper()
	_, client := open(b, filepath.Join(b.TempDir(), "store.db"))
	c := client.Database("d").Collection("messages")
	for _, keys := range []bson.D{
		{{Key: "mailbox", Value: 1}, {Key: "uid", Value: 1}, {Key: "modseq", Value: 1}},
		{{Key: "mailbox", Value: 1}, {Key: "idate", Value: 1}, {Key: "uid", Value: 1}},
		{{Key: "mailbox", Value: 1}, {Key: "unseen", Value: 1}},
		{{Key: "thread", Value: 1}},
	} {
		must(c.Indexes().CreateOne(b.Context(), mongo.IndexModel{Keys: keys}))(b)
	}
	var docs []any
	for i := range n {
		if docs = append(docs, message(i, 1)); len(docs) == 1000 || i == n-1 {
			must(c.InsertMany(b.Context(), docs))(b)
			docs = docs[:0]
		}
	}
	return c
}

func BenchmarkReads(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		c := messages(b, n)
		ctx := b.Context()
		all := func(b *testing.B, f bson.D, o *options.FindOptionsBuilder, want int) {
			var docs []bson.Raw
			cur, err := c.Find(ctx, f, o)
			if err == nil {
				err = cur.All(ctx, &docs)
			}
			if err != nil || len(docs) != want {
				b.Fatalf("%d documents, want %d: %v", len(docs), want, err)
			}
		}
		for name, f := range map[string]func(b *testing.B, i int){
			"id": func(b *testing.B, i int) {
				all(b, bson.D{{Key: "_id", Value: i % n}}, options.Find(), 1)
			},
			"page": func(b *testing.B, _ int) {
				all(b, bson.D{{Key: "mailbox", Value: 1}}, options.Find().SetSort(bson.D{{Key: "idate", Value: -1}, {Key: "uid", Value: -1}}).SetLimit(50).SetProjection(bson.D{{Key: "mimeTree", Value: 0}}), 50)
			},
			"uids": func(b *testing.B, i int) {
				all(b, bson.D{{Key: "mailbox", Value: 1}, {Key: "uid", Value: bson.D{{Key: "$gt", Value: i % (n - 60)}}}}, options.Find().SetSort(bson.D{{Key: "uid", Value: 1}}).SetLimit(50), 50)
			},
			"unseen": func(b *testing.B, _ int) {
				must(c.CountDocuments(ctx, bson.D{{Key: "mailbox", Value: 1}, {Key: "unseen", Value: true}}))(b)
			},
			"covered": func(b *testing.B, _ int) {
				all(b, bson.D{{Key: "mailbox", Value: 1}}, options.Find().SetSort(bson.D{{Key: "uid", Value: 1}}).SetLimit(1000).SetProjection(bson.D{{Key: "_id", Value: 0}, {Key: "uid", Value: 1}, {Key: "modseq", Value: 1}}), 1000)
			},
		} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for i := range b.N {
					f(b, i)
				}
			})
		}
	}
}

func BenchmarkWrites(b *testing.B) {
	ctx := b.Context()
	c := messages(b, 1000)
	var id atomic.Int64
	id.Store(1000)
	insert := func(b *testing.B) {
		i := int(id.Add(1))
		if _, err := c.InsertOne(ctx, message(i, i%10)); err != nil {
			b.Error(err)
		}
	}
	b.Run("insert", func(b *testing.B) {
		for range b.N {
			insert(b)
		}
	})
	b.Run("insert16", func(b *testing.B) {
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				insert(b)
			}
		})
	})
	b.Run("counter", func(b *testing.B) {
		for range b.N {
			if err := c.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: 1}}, bson.D{{Key: "$inc", Value: bson.D{{Key: "modseq", Value: 1}}}}).Err(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
