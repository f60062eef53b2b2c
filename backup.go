package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/eidermail/eider/config"
	"github.com/eidermail/eider/embedded/docstore"
)

// storeFile is the embedded store inside the data folder.
const storeFile = "eider.db"

// newBackup is the order of `eider backup`. It travels to a running server as
// JSON. File is absolute: the server stands in another folder.
type newBackup struct{ File string }

// backup copies the embedded store to a new file: through the server where one
// runs, and from the data folder itself otherwise.
func backup(ctx context.Context, t terminal, c config.Config, words []string) error {
	if err := needFile(c, "backup", words); err != nil {
		return err
	}
	file, err := filepath.Abs(words[0])
	if err != nil {
		return fmt.Errorf("the backup's name: %w", err)
	}
	order := newBackup{File: file}
	store := filepath.Join(c.Data, storeFile)
	if _, err := os.Stat(store); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: there is no store in this folder: name the folder with --data", c.Data)
	}
	e, err := docstore.Open(ctx, docstore.Options{Path: store, Log: newLogger(t.err, quiet(c))})
	var made string
	switch {
	case errors.Is(err, docstore.ErrInUse):
		answer, ok, askErr := askRunning(ctx, c, "backup", order)
		if !ok {
			return fmt.Errorf("--data %s: %w", c.Data, err)
		}
		made, err = answer, askErr
	case err != nil:
		return fmt.Errorf("--data %s: %w", c.Data, err)
	default:
		made, err = backUp(ctx, e, order)
		err = errors.Join(err, e.Close())
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(t.out, made)
	return err
}

// backUp does the order and gives the line to print.
func backUp(ctx context.Context, e *docstore.Engine, o newBackup) (string, error) {
	size, err := e.Backup(ctx, o.File, nil)
	switch {
	case errors.Is(err, docstore.ErrExists):
		return "", fmt.Errorf("%w: give another name", err)
	case err != nil:
		return "", err
	default:
		return fmt.Sprintf("%s %d bytes", o.File, size), nil
	}
}

// restoreCommand makes the data folder's store a copy of a backup.
func restoreCommand(t terminal, args []string) error {
	var force bool
	flags := func(fs *flag.FlagSet) { fs.BoolVar(&force, "force", false, "") }
	return withConfig(t, "restore", args, 1, func(c config.Config, words []string) error {
		if err := needFile(c, "restore", words); err != nil {
			return err
		}
		return restore(t, c, words[0], force)
	}, flags)
}

func restore(t terminal, c config.Config, file string, force bool) error {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("--data %s cannot be made: %w: give another folder", c.Data, err)
	}
	aside, err := docstore.Restore(file, filepath.Join(c.Data, storeFile), force)
	switch {
	case errors.Is(err, docstore.ErrExists):
		return fmt.Errorf("--data %s holds a store: give an empty folder, or --force to move that store aside", c.Data)
	case errors.Is(err, docstore.ErrInUse):
		return fmt.Errorf("--data %s: %w: stop the server first", c.Data, err)
	case err != nil:
		return err
	}
	if err := markUnclean(c); err != nil {
		return err
	}
	said := "restored " + file
	if aside != "" {
		said += ", the store that was there is now " + aside
	}
	_, err = fmt.Fprintln(t.out, said)
	return err
}

// markUnclean lets the next start mend counters and references, as it does after a
// crash: what came into the folder is a moment in the middle of somebody's work.
func markUnclean(c config.Config) error {
	if err := os.WriteFile(filepath.Join(c.Data, controlFile), nil, 0o600); err != nil {
		return fmt.Errorf("mark the folder for the next start: %w", err)
	}
	return nil
}

// needFile checks the command line of backup and restore.
func needFile(c config.Config, name string, words []string) error {
	switch {
	case c.Mongo != "":
		return usageError{fmt.Errorf("eider %s is for the embedded store: use MongoDB's own tools, or `eider dump`", name)}
	case len(words) == 0:
		return usageError{fmt.Errorf("a file is missing: eider %s FILE", name)}
	default:
		return nil
	}
}

// serveBackup makes a backup for `eider backup`; a stop of the server ends it.
func serveBackup(stopping context.Context, w http.ResponseWriter, r *http.Request, key string, b *backend) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(stopping, cancel)()
	answer[newBackup](w, r.WithContext(ctx), key, b)
}
