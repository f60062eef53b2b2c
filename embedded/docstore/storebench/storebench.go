// Package storebench measures the embedded store: the look-ups and writes that a
// mail server lives on, through the driver, each beside the bare SQLite statements
// that fetch the same rows from the same file in the same run.
package storebench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/embedded/docstore"
)

// Line prints one figure: its name, its value, and the goal or what it is
// compared with.
type Line func(name, value, goal string)

// small is the size whose figures those of the whole store are compared with.
const small = 10_000

// Run fills a store with so many messages of 3.4 kB in ten accounts and measures
// it, beside a small one, to see what grows with the size.
func Run(ctx context.Context, messages int, line Line) (err error) {
	var large, ref *store
	defer func() { err = errors.Join(err, large.close(ctx), ref.close(ctx)) }()
	if ref, err = fillStore(ctx, small, func(string, string, string) {}); err != nil {
		return err
	}
	if large, err = fillStore(ctx, max(messages, small), line); err != nil {
		return err
	}
	for _, op := range operations {
		f, err := compare(ctx, op, large, ref)
		if err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
		goal := op.goal
		if op.times > 0 {
			goal = fmt.Sprintf("goal ≤ %.1f", op.times)
		}
		line(op.name, fmt.Sprintf("%s  bare %s  x %.2f", short(f.engine), short(f.bare), ratio(f.engine, f.bare)), goal)
		line("", fmt.Sprintf("with %d messages %s  x %.2f", small, short(f.small), ratio(f.engine, f.small)), "goal ≤ 1.5")
	}
	if err := large.parallelInserts(ctx, line); err != nil {
		return err
	}
	return large.delays(ctx, line)
}

// figure is what one operation took, in the middle: with the engine, bare, and
// with the engine in the small store.
type figure struct{ engine, bare, small time.Duration }

// store is a filled store, open as an engine and bare.
type store struct {
	dir, path string
	n         int
	engine    *docstore.Engine
	client    *mongo.Client
	c         *mongo.Collection
	bare      *bare
}

// fillStore makes a store of n messages.
func fillStore(ctx context.Context, n int, line Line) (s *store, err error) {
	s = &store{n: n}
	if s.dir, err = os.MkdirTemp("", "eider-docstore-"); err != nil {
		return s, fmt.Errorf("a folder for the store: %w", err)
	}
	s.path = filepath.Join(s.dir, "store.db")
	if s.engine, err = docstore.Open(ctx, docstore.Options{Path: s.path}); err != nil {
		return s, err
	}
	s.client, err = mongo.Connect(options.Client().ApplyURI(docstore.URI).SetDialer(s.engine).SetDirect(true).SetServerMonitoringMode("poll").SetMaxPoolSize(64))
	if err != nil {
		return s, fmt.Errorf("connecting: %w", err)
	}
	s.c = s.client.Database("mail").Collection("messages")
	began := time.Now()
	if err := s.fill(ctx); err != nil {
		return s, err
	}
	line(fmt.Sprintf("fill with %d messages", s.total()), fmt.Sprintf("%.0f/s", float64(s.total())/time.Since(began).Seconds()), s.size())
	s.bare, err = openBare(s.path, s.dir)
	return s, err
}

func (s *store) close(ctx context.Context) (err error) {
	if s == nil {
		return nil
	}
	if s.client != nil {
		err = s.client.Disconnect(ctx)
	}
	if s.engine != nil {
		err = errors.Join(err, s.engine.Close())
	}
	if s.bare != nil {
		err = errors.Join(err, s.bare.close())
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

func (s *store) size() string {
	var sum int64
	for _, name := range []string{s.path, s.path + "-wal"} {
		if info, err := os.Stat(name); err == nil {
			sum += info.Size()
		}
	}
	return fmt.Sprintf("%d MB on disk", sum>>20)
}

// operation is one look-up or write, done in two ways.
type operation struct {
	name   string
	rounds int
	times  float64 // at most so many times the bare one; 0: goal says it
	goal   string
	engine func(ctx context.Context, s *store, i int) error
	bare   func(s *store, i int) error
}

// compare does an operation in all ways in turn, so that a noisy machine is noisy
// to all. The first quarter of the rounds warms up.
func compare(ctx context.Context, op operation, large, ref *store) (figure, error) {
	var took [3][]time.Duration
	for i := range op.rounds + op.rounds/4 {
		for n, f := range []func() error{
			func() error { return op.engine(ctx, large, i) },
			func() error { return op.bare(large, i) },
			func() error { return op.engine(ctx, ref, i) },
		} {
			began := time.Now()
			if err := f(); err != nil {
				return figure{}, err
			}
			if i >= op.rounds/4 {
				took[n] = append(took[n], time.Since(began))
			}
		}
	}
	return figure{middle(took[0]), middle(took[1]), middle(took[2])}, nil
}

func middle(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(max(b, 1)) }

func short(d time.Duration) string {
	if d >= 10*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(100 * time.Nanosecond).String()
}

// find reads all documents of a find and wants so many.
func (s *store) find(ctx context.Context, want int, filter bson.D, o *options.FindOptionsBuilder) error {
	cur, err := s.c.Find(ctx, filter, o)
	if err != nil {
		return fmt.Errorf("find: %w", err)
	}
	n := 0
	for cur.Next(ctx) {
		n += min(len(cur.Current), 1)
	}
	if err := errors.Join(cur.Err(), cur.Close(ctx)); err != nil {
		return fmt.Errorf("reading the cursor: %w", err)
	}
	return wanted(n, want)
}

func wanted(n, want int) error {
	if n != want {
		return fmt.Errorf("%d rows, not %d", n, want)
	}
	return nil
}
