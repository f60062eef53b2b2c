package docstore

import "testing"

// Expire runs the sweeper's work once.
func (e *Engine) Expire() error { return e.expire() }

// ExecSQL runs a statement on a file that is not open as a store.
func ExecSQL(t testing.TB, path, sql string) {
	t.Helper()
	c, err := openConn(path)
	if err == nil {
		err = c.exec(sql)
		_ = c.close()
	}
	if err != nil {
		t.Fatal(err)
	}
}
