package storebench

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.mongodb.org/mongo-driver/v2/bson"
	_ "modernc.org/sqlite" // the driver that the engine uses, through database/sql

	"github.com/eidermail/eider/embedded/docstore/index"
)

// bare is a copy of the store's file, read and written with prepared statements
// that know the rows' keys: what the same work costs without documents, queries,
// plans and the driver's protocol.
type bare struct {
	db      *sql.DB
	conn    *sql.Conn
	stmts   map[string]*sql.Stmt
	ctx     context.Context //nolint:containedctx // a session for one measurement
	indexes []int64         // of the messages: _id, then as in indexKeys
	counter int64           // the record of the counter
	next    int64           // the next record to insert
}

// openBare copies the store, which nobody writes to now, and opens the copy.
func openBare(path, dir string) (*bare, error) {
	to := filepath.Join(dir, "bare.db")
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(path+suffix, to+suffix); err != nil {
			return nil, err
		}
	}
	db, err := sql.Open("sqlite", "file:"+to+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(12000)&_pragma=cache_size(-16384)")
	if err != nil {
		return nil, fmt.Errorf("opening the copy: %w", err)
	}
	b := &bare{db: db, stmts: map[string]*sql.Stmt{}, ctx: context.Background()}
	if b.conn, err = db.Conn(b.ctx); err != nil {
		return nil, fmt.Errorf("opening the copy: %w", err)
	}
	return b, b.learn()
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from) //nolint:gosec // in our own folder
	if err != nil {
		return fmt.Errorf("copying the store: %w", err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.Create(to) //nolint:gosec // in our own folder
	if err != nil {
		return fmt.Errorf("copying the store: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err = io.Copy(out, in); err != nil {
		return fmt.Errorf("copying the store: %w", err)
	}
	return nil
}

func (b *bare) close() error {
	for _, s := range b.stmts {
		_ = s.Close()
	}
	return errors.Join(b.conn.Close(), b.db.Close())
}

// learn reads which number each index has.
func (b *bare) learn() error {
	rows, err := b.conn.QueryContext(b.ctx, "SELECT i.id, c.name FROM indexes i JOIN colls c ON c.id = i.coll ORDER BY i.id")
	if err != nil {
		return fmt.Errorf("reading the indexes: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var counter int64
	for rows.Next() {
		var id int64
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			return fmt.Errorf("reading the indexes: %w", err)
		}
		if name == "messages" {
			b.indexes = append(b.indexes, id)
		} else {
			counter = id
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the indexes: %w", err)
	}
	key := binary.BigEndian.AppendUint32(nil, uint32(counter))
	if err := b.conn.QueryRowContext(b.ctx, "SELECT r FROM ix WHERE k > ? AND k < ?", key, index.Successor(key)).Scan(&b.counter); err != nil {
		return fmt.Errorf("reading the counter: %w", err)
	}
	// The counter's collection is the younger one: its records lie behind.
	if err := b.conn.QueryRowContext(b.ctx, "SELECT max(r) + 1 FROM docs").Scan(&b.next); err != nil {
		return fmt.Errorf("reading the last record: %w", err)
	}
	return nil
}

func (b *bare) stmt(text string) (*sql.Stmt, error) {
	if s := b.stmts[text]; s != nil {
		return s, nil
	}
	s, err := b.conn.PrepareContext(b.ctx, text)
	if err != nil {
		return nil, fmt.Errorf("preparing: %w", err)
	}
	b.stmts[text] = s
	return s, nil
}

// key is the key of an index (0: _id) that begins with the given values.
func (b *bare) key(ix int, values ...any) []byte {
	key := binary.BigEndian.AppendUint32(nil, uint32(b.indexes[ix])) //nolint:gosec // counted up from one
	for _, v := range values {
		t, data, err := bson.MarshalValue(v)
		if err == nil {
			key = index.Append(key, bson.RawValue{Type: t, Value: data})
		}
	}
	return key
}

// rows runs a query, reads all its rows and wants so many.
func (b *bare) rows(want int, text string, args ...any) error {
	s, err := b.stmt(text)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(b.ctx, args...)
	if err != nil {
		return fmt.Errorf("querying: %w", err)
	}
	defer func() { _ = rows.Close() }()
	n := 0
	var v []byte
	for rows.Next() {
		if err := rows.Scan(&v); err != nil {
			return fmt.Errorf("reading a row: %w", err)
		}
		n++
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the rows: %w", err)
	}
	return wanted(n, want)
}

const (
	bareOne   = "SELECT docs.v FROM ix CROSS JOIN docs ON docs.r = ix.r WHERE ix.k = ? LIMIT 1"
	bareRange = "SELECT docs.v FROM ix CROSS JOIN docs ON docs.r = ix.r WHERE ix.k >= ? AND ix.k < ? ORDER BY ix.k, ix.r LIMIT ?"
	bareKeys  = "SELECT ix.k FROM ix WHERE ix.k >= ? AND ix.k < ? ORDER BY ix.k, ix.r"
	bareCount = "SELECT count(*) FROM ix WHERE ix.k >= ? AND ix.k < ?"
)

func (b *bare) byID(id bson.ObjectID) error { return b.rows(1, bareOne, b.key(0, id)) }

func (b *bare) byThread(user, thread bson.ObjectID) error {
	return b.rows(1, bareOne, b.key(5, user, thread))
}

func (b *bare) uidRange(mailbox bson.ObjectID, after, n int) error {
	return b.rows(n, bareRange, b.key(1, mailbox, after+1), index.Successor(b.key(1, mailbox)), n)
}

func (b *bare) newest(mailbox bson.ObjectID, n int) error {
	k := b.key(2, mailbox)
	return b.rows(n, bareRange, k, index.Successor(k), n)
}

func (b *bare) flags(mailbox bson.ObjectID, n int) error {
	k := b.key(1, mailbox)
	return b.rows(n, bareKeys, k, index.Successor(k))
}

func (b *bare) unseen(mailbox bson.ObjectID, want int) error {
	s, err := b.stmt(bareCount)
	if err != nil {
		return err
	}
	k := b.key(3, mailbox, true)
	var n int
	if err := s.QueryRowContext(b.ctx, k, index.Successor(k)).Scan(&n); err != nil {
		return fmt.Errorf("counting: %w", err)
	}
	return wanted(n, want)
}

// transaction runs f in a transaction that is on the disk when it returns.
func (b *bare) transaction(f func() error) error {
	if err := b.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := f(); err != nil {
		return errors.Join(err, b.exec("ROLLBACK"))
	}
	return b.exec("COMMIT")
}

func (b *bare) exec(text string, args ...any) error {
	s, err := b.stmt(text)
	if err != nil {
		return err
	}
	if _, err := s.ExecContext(b.ctx, args...); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

// read gives the document of a record.
func (b *bare) read(r int64) (v []byte, err error) {
	s, err := b.stmt("SELECT v FROM docs WHERE r = ?")
	if err != nil {
		return nil, err
	}
	if err := s.QueryRowContext(b.ctx, r).Scan(&v); err != nil {
		return nil, fmt.Errorf("reading a record: %w", err)
	}
	return v, nil
}

// increment writes the counter's row anew.
func (b *bare) increment() error {
	return b.transaction(func() error {
		v, err := b.read(b.counter)
		if err != nil {
			return err
		}
		v[len(v)-2]++
		return b.exec("UPDATE docs SET v = ? WHERE r = ?", v, b.counter)
	})
}

// update changes a message and the two index entries that hold what changed.
func (b *bare) update(n, mailbox, uid, modseq int, answered bool) error {
	return b.transaction(func() error {
		s, err := b.stmt("SELECT r FROM ix WHERE k = ?")
		if err != nil {
			return err
		}
		var r int64
		if err := s.QueryRowContext(b.ctx, b.key(0, messageID(n))).Scan(&r); err != nil {
			return fmt.Errorf("finding the message: %w", err)
		}
		v, err := b.read(r)
		if err != nil {
			return err
		}
		if err := b.exec("UPDATE docs SET v = ? WHERE r = ?", v, r); err != nil {
			return err
		}
		was, now := message(n, mailbox, uid), message(n, mailbox, uid)
		set(now, "modseq", int64(modseq))
		set(now, "answered", answered)
		for _, i := range []int{1, 4} {
			if err := b.exec("DELETE FROM ix WHERE k = ? AND r = ?", b.entry(i, was), r); err != nil {
				return err
			}
			if err := b.exec("INSERT INTO ix(k, r, t) VALUES(?, ?, ?)", b.entry(i, now), r, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

func set(d bson.D, name string, v any) {
	for i := range d {
		if d[i].Key == name {
			d[i].Value = v
		}
	}
}

// entry is the key of a message in an index.
func (b *bare) entry(ix int, d bson.D) []byte {
	if ix == 0 {
		return b.key(0, d[0].Value)
	}
	key := b.key(ix)
	for _, f := range indexKeys[ix-1] {
		for _, e := range d {
			if e.Key != f.Key {
				continue
			}
			start := len(key)
			t, data, err := bson.MarshalValue(e.Value)
			if err == nil {
				key = index.Append(key, bson.RawValue{Type: t, Value: data})
			}
			if f.Value == -1 {
				index.Invert(key[start:])
			}
		}
	}
	return key
}

// insert adds a message and its index entries. It is in a transaction.
func (b *bare) insert(d bson.D) error {
	doc, err := bson.Marshal(d)
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	r := b.next
	b.next++
	if err := b.exec("INSERT INTO docs(r, v) VALUES(?, ?)", r, doc); err != nil {
		return err
	}
	for i := range b.indexes {
		if err := b.exec("INSERT INTO ix(k, r, t) VALUES(?, ?, ?)", b.entry(i, d), r, nil); err != nil {
			return err
		}
	}
	return nil
}
