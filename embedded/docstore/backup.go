package docstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A backup is copied in portions, so that one can be ended, and synced now and
// then, so that the sync at its end does not keep the store's own waiting.
const (
	backupPages = 256 // a megabyte
	backupSync  = 4   // portions
)

// Errors of Backup and Restore beside those of Open.
var (
	// ErrExists refuses to write over something.
	ErrExists = errors.New("it is there already")
	// ErrNoStore tells that there is nothing to copy.
	ErrNoStore = errors.New("there is no such file")
)

// Backup writes a consistent copy of the store to a new file, beside everything
// else: it is the store as it was when the copy began, with all that was
// acknowledged until then. Readers and the writer go on; the log grows by what is
// written meanwhile. The file gets its name when it is whole and on the disk.
// It gives the copy's size in bytes. progress may be nil.
func (e *Engine) Backup(ctx context.Context, file string, progress func(done, all int64)) (int64, error) {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return 0, errClosed
	}
	e.serving.Add(1) // Close waits
	e.mu.Unlock()
	defer e.serving.Done()
	return inPlace(file, func(part string) error { return e.copyTo(ctx, part, progress) })
}

func (e *Engine) copyTo(ctx context.Context, part string, progress func(done, all int64)) (err error) {
	from, err := openReader(e.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.close()) }()
	if err := from.exec("BEGIN"); err != nil {
		return err
	}
	size, _, err := from.number("PRAGMA page_size") // and the snapshot is taken with the first read
	if err == nil {
		_, _, err = from.number("SELECT count(*) FROM colls")
	}
	if err != nil {
		return err
	}
	to, err := openConn(part, "journal_mode = OFF", "synchronous = OFF")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.close()) }()
	portions := 0
	err = from.Copy(to.Conn, backupPages, func(done, all int) error {
		if progress != nil {
			progress(int64(done)*size, int64(all)*size)
		}
		if portions++; portions%backupSync == 0 {
			if err := syncFile(part); err != nil { // a copy has no locks to lose
				return err
			}
		}
		select {
		case <-e.closing:
			return errClosed
		case <-ctx.Done():
			return ctx.Err()
		default:
			return nil
		}
	})
	if err != nil {
		return err
	}
	row, err := to.one("PRAGMA quick_check(1)")
	if err != nil {
		return err
	}
	if said, _ := row[0].(string); said != "ok" {
		return fmt.Errorf("%s: %w (%s)", e.path, ErrDamaged, said)
	}
	return nil
}

// inPlace lets f fill a new file beside the one that is wanted, makes it durable
// and gives it its name. Nothing is written over, and a failure leaves nothing.
func inPlace(file string, f func(part string) error) (size int64, err error) {
	if _, err := os.Lstat(file); err == nil {
		return 0, fmt.Errorf("%s: %w", file, ErrExists)
	}
	part, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".partial-*")
	if err != nil {
		return 0, fmt.Errorf("writing %s: %w", file, err)
	}
	name := part.Name()
	defer removePart(name)
	if err := part.Close(); err != nil {
		return 0, fmt.Errorf("writing %s: %w", file, err)
	}
	if err := f(name); err != nil {
		return 0, fmt.Errorf("writing %s: %w", file, err)
	}
	if err := syncFile(name); err != nil {
		return 0, fmt.Errorf("writing %s: %w", file, err)
	}
	info, err := os.Stat(name)
	if err != nil {
		return 0, fmt.Errorf("writing %s: %w", file, err)
	}
	return info.Size(), Publish(name, file)
}

// removePart removes an unfinished copy and what SQLite made beside it.
func removePart(name string) {
	for _, part := range []string{"", "-wal", "-shm", "-journal"} {
		_ = os.Remove(name + part)
	}
}

// Publish gives a finished file its final name in the same folder, durably, unless
// something has that name: by a link, which is one step, or by a rename where the
// file system knows no links.
func Publish(from, to string) error {
	err := os.Link(from, to)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		if _, err = os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			err = os.Rename(from, to)
		} else if err == nil {
			err = fs.ErrExist
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", to, ErrExists)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", to, err)
	}
	_ = os.Remove(from) // its second name, where it was a link
	return syncFolders(to)
}

// Restore makes the store at path a copy of a backup, which is checked throughout
// before anything is touched. A store that is there is refused, or with force
// moved aside; aside is its new name, or empty. No process may have the store open.
func Restore(backup, path string, force bool) (aside string, err error) {
	if _, err := os.Stat(backup); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s: %w", backup, ErrNoStore)
	}
	if log, err := os.Stat(backup + "-wal"); err == nil && log.Size() > 0 {
		return "", fmt.Errorf("%s is no backup but a store, with a part of it in %s-wal: make a backup of it", backup, backup)
	}
	lock, err := lockStore(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.close()) }()
	if info, err := os.Stat(path); err == nil && info.Size() > 0 && !force {
		return "", fmt.Errorf("%s: %w", path, ErrExists)
	}
	part, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".partial-*")
	if err != nil {
		return "", fmt.Errorf("restoring %s: %w", path, err)
	}
	name := part.Name()
	defer removePart(name)
	if err := errors.Join(fill(part, backup), part.Close()); err != nil {
		return "", fmt.Errorf("restoring %s: %w", path, err)
	}
	// The copy is looked at, since SQLite makes files beside the one it opens.
	if err := Verify(name); err != nil {
		return "", fmt.Errorf("%s cannot be restored: %w", backup, err)
	}
	if err := syncFile(name); err != nil {
		return "", fmt.Errorf("restoring %s: %w", path, err)
	}
	emptyLog(path)
	if aside, err = moveAside(path); err != nil {
		return "", err
	}
	if err := os.Rename(name, path); err != nil {
		return aside, fmt.Errorf("restoring %s: %w", path, err)
	}
	return aside, syncFolders(path)
}

func fill(to *os.File, from string) error {
	f, err := os.Open(from) //nolint:gosec // the operator's own path
	if err != nil {
		return err
	}
	_, err = io.Copy(to, f)
	return errors.Join(err, f.Close())
}

// emptyLog brings what is in a store's log into its file, so that the two need not
// move in one step. One that cannot be opened any more is left as it is.
func emptyLog(path string) {
	if checkFile(path) != nil {
		return
	}
	if c, err := openConn(path, "busy_timeout = 0"); err == nil {
		_, _ = c.one("PRAGMA wal_checkpoint(TRUNCATE)")
		_ = c.close()
	}
}

// moveAside renames a store, with its log where there still is one.
func moveAside(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("moving %s aside: %w", path, err)
	}
	aside := path + ".before-" + time.Now().UTC().Format("20060102T150405.000")
	for _, part := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(path+part, aside+part); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("moving %s aside: %w", path, err)
		}
	}
	if info.Size() == 0 {
		return "", os.Remove(aside)
	}
	return aside, nil
}
