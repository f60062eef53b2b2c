package docstore_test

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/embedded/docstore"
)

const builderPath = "DOCSTORE_TEST_BUILDER"

// builder makes indexes of a collection that is built in steps, drops them, and goes
// on, beside writers and a reader, until it is killed. It says what it does.
func builder(path string) {
	ctx := context.Background()
	e, err := docstore.Open(ctx, docstore.Options{Path: path})
	if err != nil {
		panic(err)
	}
	c, err := mongo.Connect(options.Client().ApplyURI(docstore.URI).SetDialer(e))
	if err != nil {
		panic(err)
	}
	coll := c.Database("d").Collection("c")
	for w := range 2 {
		go func() { panic(addRows(ctx, coll, w)) }()
	}
	go func() {
		for {
			if err := coll.FindOne(ctx, bson.D{{Key: "a", Value: rand.IntN(100)}}).Err(); err != nil {
				panic(err)
			}
			say("read")
		}
	}()
	for {
		say("making")
		if _, err := coll.Indexes().CreateMany(ctx, []mongo.IndexModel{
			{Keys: bson.D{{Key: "a", Value: 1}, {Key: "pad", Value: 1}}, Options: options.Index().SetName("plain")},
			{Keys: bson.D{{Key: "u", Value: 1}}, Options: options.Index().SetName("unique").SetUnique(true)},
		}); err != nil {
			panic(err)
		}
		say("made")
		for _, name := range []string{"plain", "unique"} {
			if err := coll.Indexes().DropOne(ctx, name); err != nil {
				panic(err)
			}
		}
	}
}

// addRows inserts documents and says which are there, and changes them.
func addRows(ctx context.Context, coll *mongo.Collection, worker int) error {
	first := int(time.Now().UnixNano()&0xFFFF_FFFF_FFFF)*4 + worker
	for i := 0; ; i++ {
		id := first + 4*i
		if _, err := coll.InsertOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "a", Value: bson.A{i % 100, "x"}}, {Key: "u", Value: id}, {Key: "pad", Value: "p"}}); err != nil {
			return err
		}
		say("there", id)
		if _, err := coll.UpdateOne(ctx, bson.D{{Key: "_id", Value: id}}, bson.D{{Key: "$set", Value: bson.D{{Key: "a", Value: i}}}}); err != nil {
			return err
		}
	}
}

// killedBuilding runs the builder and kills it in the midst of a build. It gives the
// documents that were acknowledged, and how many lines came during builds.
func killedBuilding(t *testing.T, path string) (there []int, during int) {
	t.Helper()
	builds, making, wanted := 0, false, 1+rand.IntN(3)
	said := runUntilKilled(t, builderPath, path, func(line string, kill func(time.Duration)) {
		words := strings.Fields(line)
		switch words[0] {
		case "making":
			making = true
			if builds++; builds == wanted {
				kill(time.Duration(rand.IntN(60)) * time.Millisecond)
			}
		case "made":
			making = false
		case "there":
			there = append(there, must(strconv.Atoi(words[1]))(t))
			fallthrough
		default:
			if making {
				during++
			}
		}
	})
	if builds < wanted {
		t.Fatalf("the builder ended by itself: %s", said)
	}
	return there, during
}

// TestKillDuringIndexBuild kills the program while indexes of a filled collection
// are made in steps: afterwards each is there and whole or not there at all, with
// nothing left of it, and what was acknowledged meanwhile is there.
func TestKillDuringIndexBuild(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "store.db")
	e, client := open(t, path)
	fill(t, client.Database("d").Collection("c"), 5000)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	during, unmade := 0, 0
	for range max(3, crashRounds()/3) {
		there, n := killedBuilding(t, path)
		during += n
		e, client := open(t, path)
		c := client.Database("d").Collection("c")
		until(t, "nothing left over", func() bool { n, err := e.LeftOver(); return n == 0 && err == nil })
		if err := e.CheckIndexes(); err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, s := range must(c.Indexes().ListSpecifications(ctx))(t) {
			names[s.Name] = true
		}
		if names["plain"] != names["unique"] && names["plain"] { // they come together, and go in this order
			t.Fatalf("indexes %v", names)
		}
		if !names["unique"] {
			unmade++
		}
		for _, id := range there {
			if countOf(t, c, bson.D{{Key: "_id", Value: id}}) != 1 {
				t.Fatalf("%d was acknowledged and is gone", id)
			}
		}
		twice := bson.D{{Key: "_id", Value: "twice"}, {Key: "u", Value: 4000}}
		if _, err := c.InsertOne(ctx, twice); mongo.IsDuplicateKeyError(err) != names["unique"] {
			t.Fatalf("with indexes %v a key twice is %v", names, err)
		}
		if !names["unique"] {
			if err := createIndex(c, bson.D{{Key: "u", Value: 1}}, options.Index().SetUnique(true)); !mongo.IsDuplicateKeyError(err) {
				t.Fatalf("a unique index of keys that are there twice: %v", err)
			}
			must(c.DeleteOne(ctx, twice[:1]))(t)
		}
		if err := c.Indexes().DropAll(ctx); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if err := docstore.Verify(path); err != nil {
			t.Fatal(err)
		}
	}
	if during == 0 {
		t.Error("nothing was read or written during a build")
	}
	t.Logf("%d reads and writes during builds, %d rounds without the indexes afterwards", during, unmade)
}
