// Package storetest gives tests a fresh store each: on the embedded engine
// with signals in memory, or, where the environment names them, on a real
// MongoDB (EIDER_TEST_MONGO=mongodb://…) and a real Redis
// (EIDER_TEST_REDIS=redis://…).
package storetest

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/notify"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store"
)

// Env is what a test's stores stand on, for tests that need more than a store.
type Env struct {
	t       testing.TB
	Signal  signal.Signal
	Log     *slog.Logger
	options store.Options
}

// Shared names the one database that all tests use, those of other processes
// too, where EIDER_TEST_DATABASE says so. A test then has an account to itself,
// and no more.
func Shared() string { return os.Getenv("EIDER_TEST_DATABASE") }

// Open returns a store on an empty database, closed when the test ends.
func Open(t testing.TB) *store.Store { return New(t).Open(nil) }

// OpenPair returns two stores on one empty database, as two processes would
// have them: each with connections and signals client of its own where those
// are real servers.
func OpenPair(t testing.TB) (*store.Store, *store.Store) {
	env := New(t)
	return env.Open(nil), env.Open(nil)
}

// New prepares an empty database and signals.
func New(t testing.TB) *Env {
	t.Helper()
	return NewIn(t, "")
}

// NewIn is New with the embedded engine's file in a folder of the test's; empty
// for a new one.
func NewIn(t testing.TB, dir string) *Env {
	t.Helper()
	env := &Env{t: t, Log: slog.New(slog.NewTextHandler(writer{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	env.options = store.Options{Log: env.Log}
	if see := observer.Load(); see != nil {
		env.options.Monitor = Watch(*see)
	}
	env.openSignals()
	if uri := os.Getenv("EIDER_TEST_MONGO"); uri != "" {
		// A name of its own keeps concurrent test processes apart. The server
		// of a test run is thrown away, so the database may stay.
		name := "eidertest_" + mail.NewID().String()
		if shared := Shared(); shared != "" {
			name = shared
		}
		env.options.URI, env.options.Database, env.options.SenderDatabase = uri, name, name+"_sender"
		return env
	}
	if dir == "" {
		dir = t.TempDir()
	}
	engine, err := docstore.Open(context.Background(), docstore.Options{Path: filepath.Join(dir, "eider.db"), Log: env.Log})
	if err != nil {
		t.Fatalf("open embedded store: %v", err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Errorf("close embedded store: %v", err)
		}
	})
	env.options.URI, env.options.Dialer = docstore.URI, engine
	return env
}

func (e *Env) openSignals() {
	if uri := os.Getenv("EIDER_TEST_REDIS"); uri != "" {
		sig, err := signal.NewRedis(context.Background(), uri, e.Log)
		if err != nil {
			e.t.Fatalf("connect to Redis: %v", err)
		}
		name := mail.NewID().String()
		if shared := Shared(); shared != "" {
			name = shared
		}
		e.Signal = prefixed{sig, "test:" + name + ":"}
	} else {
		e.Signal = signal.NewMemory(signal.MemoryOptions{})
	}
	e.t.Cleanup(func() {
		if err := e.Signal.Close(); err != nil {
			e.t.Errorf("close signals: %v", err)
		}
	})
}

// Open opens one more store on the database. change, when not nil, may alter
// its options.
func (e *Env) Open(change func(*store.Options)) *store.Store {
	e.t.Helper()
	o := e.options
	o.Signal = e.Signal
	o.Notify = notify.New(e.Signal, e.Log)
	if change != nil {
		change(&o)
	}
	s, err := store.Open(context.Background(), o)
	if err != nil {
		e.t.Fatalf("open store: %v", err)
	}
	e.t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			e.t.Errorf("close store: %v", err)
		}
	})
	return s
}

// observer sees the commands of all stores without a monitor of their own.
var observer atomic.Pointer[func(*event.CommandStartedEvent)]

// Observe has see called for each command of the stores that tests open from
// now on, for a TestMain that looks at the whole suite.
func Observe(see func(*event.CommandStartedEvent)) { observer.Store(&see) }

// Watch is a command monitor that calls see for each command.
func Watch(see func(*event.CommandStartedEvent)) *event.CommandMonitor {
	return &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) { see(e) }}
}

// WatchEach calls see with each command that goes to the database.
func WatchEach(see func()) *event.CommandMonitor {
	return Watch(func(*event.CommandStartedEvent) { see() })
}

// WatchText shows the commands as extended JSON.
func WatchText(see func(command string)) *event.CommandMonitor {
	return Watch(func(e *event.CommandStartedEvent) { see(e.Command.String()) })
}

// writer sends log lines to the test.
type writer struct{ t testing.TB }

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) {
	w.t.Log(string(p[:max(len(p)-1, 0)]))
	return len(p), nil
}

// Explain asks the database how it would run a find command.
func (e *Env) Explain(ctx context.Context, database string, command bson.D) (bson.Raw, error) {
	e.t.Helper()
	client, err := e.connect()
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Disconnect(context.WithoutCancel(ctx)) }()
	return client.Database(database).RunCommand(ctx, bson.D{
		{Key: "explain", Value: command}, {Key: "verbosity", Value: "queryPlanner"},
	}).Raw()
}

// Collection opens a collection of the test's database beside the store, for
// tests that look at documents or break them on purpose.
func (e *Env) Collection(t testing.TB, name string) *mongo.Collection {
	t.Helper()
	client, err := e.connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	database := e.options.Database
	if database == "" {
		database = "wildduck"
	}
	return client.Database(database).Collection(name)
}

func (e *Env) connect() (*mongo.Client, error) {
	o := options.Client().ApplyURI(e.options.URI)
	if e.options.Dialer != nil {
		o.SetDialer(e.options.Dialer)
	}
	return mongo.Connect(o)
}
