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
// it; then a small one, to see what grows with the size.
func Run(ctx context.Context, messages int, line Line) error {
	large, err := measure(ctx, max(messages, small), line)
	if err != nil {
		return err
	}
	if messages <= small {
		return nil
	}
	ref, err := measure(ctx, small, func(string, string, string) {})
	if err != nil {
		return err
	}
	for i, f := range large {
		line(fmt.Sprintf("%s: %d / %d messages", f.name, messages, small), fmt.Sprintf("x %.2f", ratio(f.engine, ref[i].engine)), "goal ≤ 1.5")
	}
	return nil
}

// figure is what one operation took, in the middle.
type figure struct {
	name         string
	engine, bare time.Duration
}

// store is a filled store, open as an engine and bare.
type store struct {
	path   string
	n      int
	engine *docstore.Engine
	client *mongo.Client
	c      *mongo.Collection
	bare   *bare
}

func measure(ctx context.Context, n int, line Line) (out []figure, err error) {
	dir, err := os.MkdirTemp("", "eider-docstore-")
	if err != nil {
		return nil, fmt.Errorf("a folder for the store: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &store{path: filepath.Join(dir, "store.db"), n: n}
	if s.engine, err = docstore.Open(ctx, docstore.Options{Path: s.path}); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.engine.Close()) }()
	s.client, err = mongo.Connect(options.Client().ApplyURI(docstore.URI).SetDialer(s.engine).SetDirect(true).SetServerMonitoringMode("poll").SetMaxPoolSize(64))
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	defer func() { err = errors.Join(err, s.client.Disconnect(ctx)) }()
	s.c = s.client.Database("mail").Collection("messages")
	began := time.Now()
	if err := s.fill(ctx); err != nil {
		return nil, err
	}
	line(fmt.Sprintf("fill with %d messages", s.total()), fmt.Sprintf("%.0f/s", float64(s.total())/time.Since(began).Seconds()), s.size())
	if s.bare, err = openBare(s.path, dir); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.bare.close()) }()
	for _, op := range operations {
		f, err := s.time(ctx, op)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op.name, err)
		}
		goal := op.goal
		if op.times > 0 {
			goal = fmt.Sprintf("goal ≤ %.1f", op.times)
		}
		line(op.name, fmt.Sprintf("%s  bare %s  x %.2f", short(f.engine), short(f.bare), ratio(f.engine, f.bare)), goal)
		out = append(out, f)
	}
	return out, s.parallelInserts(ctx, line)
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

// time does both ways in turn, so that a noisy machine is noisy to both.
func (s *store) time(ctx context.Context, op operation) (figure, error) {
	var a, b []time.Duration
	for i := range op.rounds + op.rounds/4 {
		began := time.Now()
		if err := op.engine(ctx, s, i); err != nil {
			return figure{}, err
		}
		between := time.Now()
		if err := op.bare(s, i); err != nil {
			return figure{}, fmt.Errorf("bare: %w", err)
		}
		if i >= op.rounds/4 {
			a, b = append(a, between.Sub(began)), append(b, time.Since(between))
		}
	}
	return figure{op.name, middle(a), middle(b)}, nil
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
