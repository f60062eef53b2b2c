package docstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
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

const (
	childPath = "DOCSTORE_TEST_CHILD"
	workers   = 4
	perWorker = 40 // documents
	gone      = -1 // the version of a document that is not there
	indexName = "pad_1"
)

// version is a document as it must be in one piece: every field follows from v.
func version(id, v int) bson.D {
	return bson.D{
		{Key: "_id", Value: id},
		{Key: "v", Value: v},
		{Key: "tags", Value: bson.A{v, v % 7, "t" + strconv.Itoa(v%11)}},
		{Key: "pad", Value: strings.Repeat(strconv.Itoa(v)+" ", 1+v%300)},
	}
}

// child changes documents at random until it is killed. Before each command it
// prints what it is about to do, and after the answer that it is done.
func child(path string) {
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
	if _, err := coll.Indexes().CreateMany(ctx, []mongo.IndexModel{
		{Keys: bson.D{{Key: "v", Value: -1}}}, {Keys: bson.D{{Key: "tags", Value: 1}, {Key: "_id", Value: 1}}},
	}); err != nil {
		panic(err)
	}
	for w := range workers {
		go func() { panic(disturb(ctx, coll, w)) }()
	}
	go func() { panic(buildAndDrop(ctx, coll)) }()
	select {}
}

func say(words ...any) { _, _ = fmt.Fprintln(os.Stdout, words...) }

// disturb inserts, updates, replaces by findAndModify and deletes.
func disturb(ctx context.Context, coll *mongo.Collection, worker int) error {
	for {
		id, v := worker*perWorker+rand.IntN(perWorker), rand.IntN(1_000_000)
		n, err := coll.CountDocuments(ctx, bson.D{{Key: "_id", Value: id}})
		if err != nil {
			return err
		}
		self := bson.D{{Key: "_id", Value: id}}
		action := rand.IntN(4)
		if action == 0 {
			v = gone
		}
		say("begin", id, v)
		switch {
		case n == 0 && v == gone:
		case n == 0:
			_, err = coll.InsertOne(ctx, version(id, v))
		case action == 0:
			_, err = coll.DeleteOne(ctx, self)
		case action == 1:
			_, err = coll.UpdateMany(ctx, self, bson.D{{Key: "$set", Value: version(id, v)[1:]}})
		default:
			err = coll.FindOneAndReplace(ctx, self, version(id, v)).Err()
		}
		if err != nil {
			return err
		}
		say("end", id)
	}
}

// buildAndDrop makes an index over and over; it is document "index" in the
// protocol, with version 0 when it is there.
func buildAndDrop(ctx context.Context, coll *mongo.Collection) error {
	for {
		say("begin index 0")
		if _, err := coll.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "pad", Value: 1}}}); err != nil {
			return err
		}
		say("end index")
		say("begin index", gone)
		if err := coll.Indexes().DropOne(ctx, indexName); err != nil {
			return err
		}
		say("end index")
	}
}

// promises are what the child has said: what is acknowledged, and what it had
// begun when it was killed.
type promises struct {
	sure, begun map[string]int
	commands    int
}

func (p *promises) hear(line string) error {
	words := strings.Fields(line)
	if len(words) == 3 && words[0] == "begin" {
		v, err := strconv.Atoi(words[2])
		p.begun[words[1]] = v
		return err
	}
	if len(words) != 2 || words[0] != "end" {
		return errors.New("the child said " + strconv.Quote(line))
	}
	p.sure[words[1]] = p.begun[words[1]]
	delete(p.begun, words[1])
	p.commands++
	return nil
}

// settle compares what was found with what may be, and takes it over.
func (p *promises) settle(t *testing.T, found map[string]int) {
	t.Helper()
	names := maps.Clone(p.sure)
	maps.Copy(names, p.begun)
	maps.Copy(names, found)
	for name := range names {
		have, ok := found[name]
		if !ok {
			have = gone
		}
		want, ok := p.sure[name]
		if !ok {
			want = gone
		}
		if maybe, ok := p.begun[name]; have != want && (!ok || have != maybe) {
			t.Errorf("%s is %d; acknowledged was %d, begun %d (%v)", name, have, want, maybe, ok)
		}
		p.sure[name] = have
	}
	p.begun = map[string]int{}
}

// crashRounds is 10 in CI and what EIDER_TEST_CRASH_ROUNDS says in `make crash`.
func crashRounds() int {
	n, err := strconv.Atoi(os.Getenv("EIDER_TEST_CRASH_ROUNDS"))
	if err != nil {
		return 10
	}
	return n
}

// TestKillKeepsWhatWasAcknowledged: after kill -9 in the middle of everything, all
// acknowledged is there, what was begun is whole or absent, and the file, its
// indexes and its counters fit each other.
func TestKillKeepsWhatWasAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	p := &promises{sure: map[string]int{}, begun: map[string]int{}}
	n := crashRounds()
	for round := range n {
		p.killed(t, path, 30+rand.IntN(400))
		found := contents(t, path)
		p.settle(t, found)
		if err := docstore.Verify(path); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Fatalf("in round %d of %d", round+1, n)
		}
	}
	t.Logf("%d rounds, %d acknowledged commands", n, p.commands)
}

// killed runs the child and kills it after so many lines and some more.
func (p *promises) killed(t *testing.T, path string, after int) {
	t.Helper()
	heard := 0
	said := runUntilKilled(t, childPath, path, func(line string, kill func(time.Duration)) {
		if err := p.hear(line); err != nil {
			t.Fatal(err)
		}
		if heard++; heard == after {
			// Not in step with the lines: at any point of a command.
			kill(time.Duration(rand.IntN(3000)) * time.Microsecond)
		}
	})
	if heard < after {
		t.Fatalf("the child ended after %d lines: %s", heard, said)
	}
}

// runUntilKilled runs this program anew, as what the variable makes of it, and hands on its
// lines until it ends; kill ends it after a while. The result is what it complained
// of.
func runUntilKilled(t *testing.T, variable, path string, hear func(line string, kill func(time.Duration))) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), variable+"="+path)
	var said strings.Builder
	cmd.Stderr = &said
	out := must(cmd.StdoutPipe())(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func(after time.Duration) { time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) }
	for lines := bufio.NewScanner(out); lines.Scan(); {
		hear(lines.Text(), kill)
	}
	_ = cmd.Wait()
	return said.String()
}

// contents opens what was left and reads it, each document checked to be in one
// piece.
func contents(t *testing.T, path string) map[string]int {
	t.Helper()
	ctx := t.Context()
	e := must(docstore.Open(ctx, docstore.Options{Path: path}))(t)
	c := connect(t, e)
	coll := c.Database("d").Collection("c")
	found := map[string]int{}
	cur := must(coll.Find(ctx, bson.D{}))(t)
	for cur.Next(ctx) {
		id, v := cur.Current.Lookup("_id").AsInt64(), cur.Current.Lookup("v").AsInt64()
		want := must(bson.Marshal(version(int(id), int(v))))(t)
		if string(want) != string(cur.Current) {
			t.Errorf("%d is not in one piece: %v", id, cur.Current)
		}
		found[strconv.Itoa(int(id))] = int(v)
	}
	if cur.Err() != nil {
		t.Fatal(cur.Err())
	}
	specs := must(coll.Indexes().ListSpecifications(ctx))(t)
	for _, s := range specs {
		if s.Name == indexName {
			found["index"] = 0
		}
	}
	_ = c.Disconnect(ctx)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return found
}
