package docstore_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/embedded/docstore"
)

const childPath = "DOCSTORE_TEST_CHILD"

// child inserts until it is killed, and prints each acknowledged number.
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
	_, err = coll.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "n", Value: 1}}})
	if err != nil {
		panic(err)
	}
	for w := range 4 {
		go func() {
			for i := w; ; i += 4 {
				if _, err := coll.InsertOne(ctx, bson.D{{Key: "n", Value: i}}); err != nil {
					panic(err)
				}
				_, _ = os.Stdout.WriteString(strconv.Itoa(i) + "\n")
			}
		}()
	}
	select {}
}

func TestKillKeepsWhatWasAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childPath+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var acknowledged []int
	for lines.Scan() {
		n, err := strconv.Atoi(strings.TrimSpace(lines.Text()))
		if err != nil {
			t.Fatal(err)
		}
		if acknowledged = append(acknowledged, n); len(acknowledged) == 300 {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait()
	if len(acknowledged) < 300 {
		t.Fatalf("the child gave up after %d inserts", len(acknowledged))
	}
	ctx := t.Context()
	_, client := open(t, path)
	c := client.Database("d").Collection("c")
	for _, n := range acknowledged {
		if err := c.FindOne(ctx, bson.D{{Key: "n", Value: n}}).Err(); err != nil {
			t.Fatalf("%d was acknowledged: %v", n, err)
		}
	}
	scanned := must(c.CountDocuments(ctx, bson.D{{Key: "n", Value: bson.D{{Key: "$type", Value: "number"}}}}))(t)
	estimated := must(c.EstimatedDocumentCount(ctx))(t)
	if scanned != estimated || scanned < int64(len(acknowledged)) {
		t.Fatalf("%d documents, counted %d", scanned, estimated)
	}
}
