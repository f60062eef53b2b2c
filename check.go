package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/eidermail/eider/config"
	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail/store"
)

// checkTimeout bounds the reach of one server, beyond the time in which the
// driver of the database gives up and says why.
const checkTimeout = 15 * time.Second

// check validates the configuration (Load has) and reaches every server that
// it names, each with a line of its own.
func check(ctx context.Context, t terminal, c config.Config) error {
	log := newLogger(t.err, quiet(c))
	failed := 0
	step := func(name string, run func(context.Context) error) {
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		if err := run(ctx); err != nil {
			failed++
			_, _ = fmt.Fprintf(t.out, "%-12s %s\n", name, oneLine(err))
			return
		}
		_, _ = fmt.Fprintf(t.out, "%-12s ok\n", name)
	}
	step("options", func(context.Context) error { return nil })
	step("certificate", func(context.Context) error {
		if c.TLSCert == "" {
			return nil
		}
		_, err := loadTLS(c)
		return err
	})
	// The store is opened without Redis, so that each is told of by itself.
	alone := c
	alone.Redis = ""
	if c.Redis != "" {
		step("redis", func(ctx context.Context) error { return reachSignals(ctx, c, log) })
	}
	servers := c.MongoServers()
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		step(name, func(ctx context.Context) error { return store.Reach(ctx, servers[name]) })
	}
	if c.Mongo != "" {
		step("mongo", func(ctx context.Context) error { return reachStore(ctx, alone, log) })
	} else {
		step("data", func(ctx context.Context) error { return reachStore(ctx, alone, log) })
	}
	if failed > 0 {
		return fmt.Errorf("%d of the checks failed: standard output says which", failed)
	}
	return nil
}

// reachSignals connects to Redis.
func reachSignals(ctx context.Context, c config.Config, log *slog.Logger) error {
	b := &backend{}
	if err := b.openSignals(ctx, c, log); err != nil {
		return err
	}
	return errors.Join(b.signals.Ping(ctx), b.close(context.WithoutCancel(ctx)))
}

// reachStore opens the data as a start would. That of a running server is in
// use, and that server answers for it.
func reachStore(ctx context.Context, c config.Config, log *slog.Logger) error {
	b, err := openBackend(ctx, c, log)
	if errors.Is(err, docstore.ErrInUse) && answersControl(ctx, c) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(b.store.Ping(ctx), b.close(context.WithoutCancel(ctx)))
}
