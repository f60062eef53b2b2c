// Package transfertest has a MongoDB to move from, for tests of the commands.
package transfertest

import (
	"context"
	"path/filepath"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/embedded/docstore"
)

// Database is the database of the source.
const Database = "wildduck"

// Source serves two collections of 1,500 documents at a port, until the test ends:
// addresses and messages. change changes a document of the first one.
func Source(t testing.TB) (uri string, change func()) {
	t.Helper()
	ctx := t.Context()
	e, err := docstore.Open(ctx, docstore.Options{Path: filepath.Join(t.TempDir(), "source.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	l, err := e.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	uri = "mongodb://" + l.Addr().String() + "/"
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	db := client.Database(Database)
	for _, name := range []string{"addresses", "messages"} {
		docs := make([]any, 1500)
		for i := range docs {
			docs[i] = bson.D{{Key: "_id", Value: i}, {Key: "n", Value: 0}}
		}
		if _, err := db.Collection(name).InsertMany(ctx, docs); err != nil {
			t.Fatal(err)
		}
	}
	return uri, func() {
		t.Helper()
		if _, err := db.Collection("addresses").UpdateOne(ctx, bson.D{{Key: "_id", Value: 7}}, bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: 1}}}}); err != nil {
			t.Fatal(err)
		}
	}
}
