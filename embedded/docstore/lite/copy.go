package lite

import (
	"fmt"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Copy writes the whole database of c over that of to, some pages at a time. Where
// c has a transaction open the copy is of its snapshot, whatever others write
// meanwhile; without one SQLite begins anew after every change. step is called
// after each portion with the pages that are done and those there are; its error
// ends the copy.
func (c *Conn) Copy(to *Conn, pages int, step func(done, all int) error) (err error) {
	name, err := libc.CString("main")
	if err != nil {
		return fmt.Errorf("copying a database: %w", err)
	}
	defer libc.Xfree(c.tls, name)
	b := sqlite3.Xsqlite3_backup_init(c.tls, to.db, name, c.db, name)
	if b == 0 {
		return fmt.Errorf("copying a database: %w", to.failed(sqlite3.Xsqlite3_extended_errcode(to.tls, to.db)))
	}
	defer func() {
		if rc := sqlite3.Xsqlite3_backup_finish(c.tls, b); rc != sqlite3.SQLITE_OK && err == nil {
			err = fmt.Errorf("copying a database: %w", to.failed(rc))
		}
	}()
	for {
		rc := sqlite3.Xsqlite3_backup_step(c.tls, b, int32(pages)) //nolint:gosec // few
		if rc != sqlite3.SQLITE_OK && rc != sqlite3.SQLITE_DONE {
			return fmt.Errorf("copying a database: %w", to.failed(rc))
		}
		all := int(sqlite3.Xsqlite3_backup_pagecount(c.tls, b))
		if err := step(all-int(sqlite3.Xsqlite3_backup_remaining(c.tls, b)), all); err != nil {
			return err
		}
		if rc == sqlite3.SQLITE_DONE {
			return nil
		}
	}
}
