package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/eidermail/eider/config"
	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/mail/limit"
	"github.com/eidermail/eider/mail/notify"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store"
)

// backend is what every command needs of the data: the engine (when embedded),
// the signals, the store and the accounts.
type backend struct {
	engine   *docstore.Engine
	signals  signal.Signal
	hub      *notify.Hub
	store    *store.Store
	limit    *limit.Limiter
	accounts *account.Accounts
	// secret is the installation's, from which keys are derived.
	secret []byte

	hubDone sync.WaitGroup
	hubStop context.CancelFunc
}

// embeddedURI is what the driver is told; the dialer makes the address moot.
const embeddedURI = "mongodb://embedded/?directConnection=true"

// openBackend opens the data. On failure nothing stays open.
func openBackend(ctx context.Context, c config.Config, log *slog.Logger) (b *backend, err error) {
	b = &backend{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(context.WithoutCancel(ctx)))
			b = nil
		}
	}()
	if err := b.openSignals(ctx, c, log); err != nil {
		return b, err
	}
	opts := store.Options{
		URI: c.Mongo, Database: c.MongoDatabase, UsersDatabase: c.MongoUsers,
		GridFSDatabase: c.MongoGridFS, SenderDatabase: c.MongoSender,
		Signal: b.signals, Notify: b.hub, Log: log, DefaultQuota: c.Quota,
		Secrets: store.Secrets{DKIM: c.DKIMSecret, Certs: c.CertsSecret, Settings: c.CertsSecret, TOTP: c.TOTPSecret, Cipher: c.SecretCipher},
	}
	if c.Mongo == "" {
		if err := b.openEngine(ctx, c, log); err != nil {
			return b, err
		}
		opts.URI, opts.Dialer = embeddedURI, b.engine
		opts.Alone = c.DocstoreListen == "" // else tools may write as well
	}
	if b.store, err = store.Open(ctx, opts); err != nil {
		return b, storeError(c, err)
	}
	if b.secret, err = b.store.Secret(ctx, "installation"); err != nil {
		return b, fmt.Errorf("read the installation's secret: %w", err)
	}
	b.limit = limit.New(b.signals)
	b.accounts, err = account.New(account.Options{
		Store: b.store, Limit: b.limit, Signal: b.signals, Log: log,
		Domains: c.Domains, Registration: c.Registration, Secret: deriveKey(b.secret, "session"),
	})
	return b, err
}

// storeError says which option is at fault.
func storeError(c config.Config, err error) error {
	switch {
	case c.Mongo == "":
		return fmt.Errorf("--data %s: the store cannot be opened: %w", c.Data, err)
	case fieldOf(err) == "cipher":
		return fmt.Errorf("--secret-cipher is not understood: %w", err)
	case mail.IsCode(err, mail.CodeInvalid):
		return fmt.Errorf("--%s is not understood: %w", cmp.Or(fieldOf(err), "mongo"), err)
	default:
		return fmt.Errorf("--mongo cannot be reached: %w: start it, or correct the address", err)
	}
}

// fieldOf names the option that an error is about, "" for none.
func fieldOf(err error) string {
	var e *mail.Error
	if errors.As(err, &e) {
		return e.Field
	}
	return ""
}

func (b *backend) openSignals(ctx context.Context, c config.Config, log *slog.Logger) (err error) {
	if c.Redis == "" {
		b.signals = signal.NewMemory(signal.MemoryOptions{})
	} else if b.signals, err = signal.NewRedis(ctx, c.Redis, log); err != nil {
		return fmt.Errorf("--redis cannot be reached: %w: start it, or correct the address", err)
	}
	b.hub = notify.New(b.signals, log)
	hubCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.hubStop = stop
	b.hubDone.Go(func() {
		if err := b.hub.Run(hubCtx); err != nil && hubCtx.Err() == nil {
			log.LogAttrs(hubCtx, slog.LevelError, "change fan-out ended", slog.Any("error", err))
		}
	})
	return nil
}

func (b *backend) openEngine(ctx context.Context, c config.Config, log *slog.Logger) (err error) {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("--data %s cannot be made: %w: give another folder", c.Data, err)
	}
	path := filepath.Join(c.Data, storeFile)
	// The engine makes the files beside this one with the same rights. The
	// folder may be one that others can read.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator's own folder
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		return fmt.Errorf("--data %s cannot be written: %w: give another folder, or the right to write there", c.Data, err)
	}
	if b.engine, err = docstore.Open(ctx, docstore.Options{Path: path, Log: log}); err != nil {
		return fmt.Errorf("--data %s: %w", c.Data, err)
	}
	return nil
}

// recover mends what a crash left open, before anything else is written. Only
// the embedded store does so, where no other process can be writing; the last
// server's control file is still there after a crash, and stays until all is
// mended.
func (b *backend) recover(ctx context.Context, c config.Config, log *slog.Logger) error {
	if !leftControl(c) {
		return nil
	}
	start := time.Now()
	done, err := b.store.Recover(ctx)
	if err != nil {
		return fmt.Errorf("recover after an unclean stop: %w", err)
	}
	log.LogAttrs(ctx, slog.LevelInfo, "recovered after an unclean stop",
		slog.Int("users", done.Users), slog.Int("messages", done.Messages),
		slog.Int("mended", done.Problems), slog.Duration("took", time.Since(start)))
	return removeControl(filepath.Join(c.Data, controlFile))
}

// close ends what was opened, in the reverse order.
func (b *backend) close(ctx context.Context) error {
	var errs []error
	if b.store != nil {
		errs = append(errs, b.store.Close(ctx))
	}
	if b.hubStop != nil {
		b.hubStop()
		b.hubDone.Wait()
	}
	if b.signals != nil {
		errs = append(errs, b.signals.Close())
	}
	if b.engine != nil {
		errs = append(errs, b.engine.Close())
	}
	return errors.Join(errs...)
}
