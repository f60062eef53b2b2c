package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eidermail/eider/config"
)

// checkTimeout bounds the reach of one server.
const checkTimeout = 10 * time.Second

// check validates the configuration (Load has) and reaches every server that
// it names, each with a line of its own. The data folder of a running server
// is not opened; that server answers for it.
func check(ctx context.Context, t terminal, c config.Config) error {
	log := newLogger(t.err, quiet(c))
	failed := 0
	step := func(name string, run func(context.Context) error) {
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		if err := run(ctx); err != nil {
			failed++
			_, _ = fmt.Fprintf(t.out, "%-12s %v\n", name, err)
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
	step("data", func(ctx context.Context) error {
		if c.Mongo == "" && answersControl(ctx, c) {
			return nil
		}
		b, err := openBackend(ctx, c, log)
		if err != nil {
			return err
		}
		return errors.Join(b.store.Ping(ctx), b.signals.Ping(ctx), b.close(context.WithoutCancel(ctx)))
	})
	if failed > 0 {
		return fmt.Errorf("%d of the checks failed", failed)
	}
	return nil
}
