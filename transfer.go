package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/eidermail/eider/config"
	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/embedded/transfer"
)

// loadingSuffix names a store that `eider load` has not finished.
const loadingSuffix = ".loading"

// barEvery is how often the bar on a terminal moves.
const barEvery = 200 * time.Millisecond

// dumpCommand moves everything from this installation's store to MongoDB or to a
// file.
func dumpCommand(ctx context.Context, t terminal, args []string) error {
	var to string
	flags := func(fs *flag.FlagSet) { fs.StringVar(&to, "to", "", "") }
	return withConfig(t, "dump", args, 0, func(c config.Config, _ []string) error {
		if to == "" {
			return usageError{errors.New("give --to and a MongoDB URI or the name of a new file")}
		}
		if c.Mongo != "" {
			return move(ctx, t, c, transfer.Place{URI: c.Mongo}, place(to))
		}
		path := filepath.Join(c.Data, storeFile)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: there is no store in this folder: name the folder with --data", c.Data)
		}
		e, err := openForMove(ctx, t, c, path)
		if errors.Is(err, docstore.ErrInUse) && place(to).File != "" {
			return dumpRunning(ctx, t, c, to)
		}
		if err != nil {
			return err
		}
		return errors.Join(move(ctx, t, c, transfer.Place{Engine: e}, place(to)), e.Close())
	}, flags)
}

// snapshotSuffix names the copy of a running server's store from which a dump is
// made. It lies beside the dump while that is being written.
const snapshotSuffix = ".store"

// dumpRunning dumps the store of a running server into a file: from a copy that the
// server makes, which is its store at one moment.
func dumpRunning(ctx context.Context, t terminal, c config.Config, to string) (err error) {
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("%s: %w: give another name", to, docstore.ErrExists)
	}
	copied, err := filepath.Abs(to + snapshotSuffix)
	if err != nil {
		return fmt.Errorf("the dump's name: %w", err)
	}
	_, ok, err := askRunning(ctx, c, "backup", newBackup{File: copied})
	if err == nil && !ok {
		err = fmt.Errorf("--data %s: %w, which cannot be asked for a copy: stop it first", c.Data, docstore.ErrInUse)
	}
	if err != nil {
		return err
	}
	defer func() {
		for _, part := range []string{"", "-wal", "-shm", ".lock"} {
			if gone := os.Remove(copied + part); !errors.Is(gone, fs.ErrNotExist) {
				err = errors.Join(err, gone)
			}
		}
	}()
	e, err := openForMove(ctx, t, c, copied)
	if err != nil {
		return err
	}
	if err := errors.Join(move(ctx, t, c, transfer.Place{Engine: e}, place(to)), e.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintln(t.out, "the server is running: what it takes from now on is not in the dump")
	return err
}

// loadCommand moves everything from MongoDB or a file into this installation's
// store, which must be empty.
func loadCommand(ctx context.Context, t terminal, args []string) error {
	var from string
	flags := func(fs *flag.FlagSet) { fs.StringVar(&from, "from", "", "") }
	return withConfig(t, "load", args, 0, func(c config.Config, _ []string) error {
		if from == "" {
			return usageError{errors.New("give --from and a MongoDB URI or the name of a dump")}
		}
		if c.Mongo != "" {
			return move(ctx, t, c, place(from), transfer.Place{URI: c.Mongo})
		}
		return loadEmbedded(ctx, t, c, place(from))
	}, flags)
}

// loadEmbedded fills a store beside the place where the server looks for it: one
// that is not whole is never served.
func loadEmbedded(ctx context.Context, t terminal, c config.Config, from transfer.Place) error {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("--data %s cannot be made: %w: give another folder", c.Data, err)
	}
	path := filepath.Join(c.Data, storeFile)
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("--data %s holds a store: give an empty folder", c.Data)
	}
	loading := path + loadingSuffix
	// Nobody else reads it, whatever the folder allows.
	file, err := os.OpenFile(loading, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator's own folder
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		return fmt.Errorf("--data %s cannot be written: %w: give another folder, or the right to write there", c.Data, err)
	}
	e, err := openForMove(ctx, t, c, loading)
	if err != nil {
		return err
	}
	err = errors.Join(move(ctx, t, c, from, transfer.Place{Engine: e}), e.Close())
	if errors.Is(err, transfer.ErrDiffers) {
		// Nobody else has this half: the next try begins anew.
		return errors.Join(err, os.Remove(loading))
	}
	if err != nil {
		return err
	}
	if err := docstore.Verify(loading); err != nil {
		return err
	}
	if err := docstore.Publish(loading, path); err != nil {
		return err
	}
	_ = os.Remove(loading + ".lock") // an empty file
	return markUnclean(c)
}

func openForMove(ctx context.Context, t terminal, c config.Config, path string) (*docstore.Engine, error) {
	e, err := docstore.Open(ctx, docstore.Options{Path: path, Log: newLogger(t.err, quiet(c))})
	if errors.Is(err, docstore.ErrInUse) {
		return nil, fmt.Errorf("%w: stop it first: what it takes meanwhile would be missing on the other side (a dump into a file can be made beside it)", err)
	}
	return e, err
}

// place tells a MongoDB from a file.
func place(name string) transfer.Place {
	if strings.HasPrefix(name, "mongodb://") || strings.HasPrefix(name, "mongodb+srv://") {
		return transfer.Place{URI: name}
	}
	return transfer.Place{File: name}
}

// move carries everything over and prints a line for each collection.
func move(ctx context.Context, t terminal, c config.Config, from, to transfer.Place) error {
	bar := &moveBar{t: t, on: isTerminal(t.err)}
	r, err := transfer.Run(ctx, from, to, transfer.Options{Databases: databasesOf(c), Progress: bar.show})
	bar.clear()
	if r != nil {
		printReport(t, r)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, transfer.ErrNotEmpty):
		return fmt.Errorf("%w: give one that is empty", err)
	case errors.Is(err, docstore.ErrExists):
		return fmt.Errorf("%w: give another name", err)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return errors.New("stopped: the same command goes on")
	default:
		return err
	}
}

func printReport(t terminal, r *transfer.Report) {
	var documents int64
	for _, m := range r.Collections {
		documents += m.Documents
		had := ""
		if m.Before {
			had = ", there already"
		}
		_, _ = fmt.Fprintf(t.out, "%s %d documents, %d indexes, sum %.16s%s\n", m.Collection, m.Documents, m.Indexes, m.Sum, had)
	}
	for _, n := range r.Notes {
		_, _ = fmt.Fprintln(t.out, "note: "+n)
	}
	_, _ = fmt.Fprintf(t.out, "%d collections, %d documents, compared with what arrived\n", len(r.Collections), documents)
}

// databasesOf are those of WildDuck's layout, each once.
func databasesOf(c config.Config) []string {
	var out []string
	for _, name := range []string{c.MongoDatabase, c.MongoUsers, c.MongoGridFS, c.MongoSender} {
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// moveBar shows how far it is, on a terminal only.
type moveBar struct {
	t     terminal
	on    bool
	shown time.Time
}

func (b *moveBar) show(p transfer.Progress) {
	if !b.on || time.Since(b.shown) < barEvery {
		return
	}
	b.shown = time.Now()
	what := "moving"
	if p.Verifying {
		what = "comparing"
	}
	_, _ = fmt.Fprintf(b.t.err, "\r\x1b[K%s %s %d of %d", what, p.Collection, p.Done, p.Total)
}

func (b *moveBar) clear() {
	if b.on && !b.shown.IsZero() {
		_, _ = fmt.Fprint(b.t.err, "\r\x1b[K")
	}
}
