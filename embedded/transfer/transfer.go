// Package transfer moves everything between the embedded store, MongoDB and a
// dump file, and proves that it arrived: of every collection the number of
// documents and a sum over their bytes are compared, read back from where they
// went, and the indexes as well.
//
// A transfer that was cut can be run again: into a store it goes on behind the
// last collection that had arrived, and a file gets its name when it is whole.
package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore"
)

// Place is one end of a transfer; exactly one field is set.
type Place struct {
	URI    string           // MongoDB
	Engine *docstore.Engine // an embedded store
	File   string           // a dump file
}

// Options of a transfer.
type Options struct {
	// Databases are those to move, each once.
	Databases []string
	// Progress is told now and then; nil for nobody.
	Progress func(Progress)
}

// Progress is how far a collection is. Total is an estimate.
type Progress struct {
	Collection  string
	Done, Total int64
	Verifying   bool
}

// Report is what was moved.
type Report struct {
	Collections []Moved
	// Notes are sentences about what the target could not take: options and
	// indexes, never documents.
	Notes []string
}

// Moved is one collection that has arrived.
type Moved struct {
	Collection string
	Documents  int64
	Sum        string // over the documents, whatever their order
	Indexes    int    // without that of _id
	Before     bool   // it had arrived before the transfer was cut
}

// Errors that a person can do something about.
var (
	// ErrNotEmpty refuses to mix.
	ErrNotEmpty = errors.New("the target has documents already")
	// ErrDiffers tells that what arrived is not what was sent.
	ErrDiffers = errors.New("what arrived differs from what was sent")
	// ErrNoDump is a file that is no dump, or a part of one.
	ErrNoDump = errors.New("the file is not a whole dump of Eider")
)

// collection is what is moved beside the documents.
type collection struct {
	DB      string     `bson:"db"`
	Name    string     `bson:"name"`
	Options bson.Raw   `bson:"options"`
	Indexes []bson.Raw `bson:"indexes"` // as listIndexes shows them, without that of _id
	Total   int64      `bson:"total"`   // an estimate
}

func (c collection) String() string { return c.DB + "." + c.Name }

// sum is a checksum of a set of documents: their number, and the sum of their
// hashes, so that the order does not matter.
type sum struct {
	count int64
	lanes [4]uint64
}

func (s *sum) add(doc bson.Raw) {
	h := sha256.Sum256(doc)
	s.count++
	for i := range s.lanes {
		s.lanes[i] += binary.BigEndian.Uint64(h[8*i:])
	}
}

func (s *sum) String() string {
	var b []byte
	for _, l := range s.lanes {
		b = binary.BigEndian.AppendUint64(b, l)
	}
	return hex.EncodeToString(b)
}

// source is where documents come from: a store or a file.
type source interface {
	// each calls f for every collection, with a function that reads its documents;
	// f calls that once.
	each(ctx context.Context, f func(c collection, documents func(func(bson.Raw) error) error) error) error
}

// target is where they go: a store or a file.
type target interface {
	// begin refuses a target that is in use.
	begin(ctx context.Context) error
	// arrived tells whether the collection is there from a transfer that was cut,
	// and with which sum.
	arrived(ctx context.Context, c collection) (s string, ok bool, err error)
	// create makes the collection, without anything that is left of it.
	create(ctx context.Context, c collection, note func(string)) error
	// add stores a document; doc is the target's to keep.
	add(ctx context.Context, doc bson.Raw) error
	// finish stores the rest, reads everything back, and makes the indexes.
	finish(ctx context.Context, c collection, sent *sum, note func(string), read func(int64)) error
	// end makes the whole final.
	end(ctx context.Context) error
}

// Run moves everything from one place to another.
func Run(ctx context.Context, from, to Place, o Options) (r *Report, err error) {
	src, closeSource, err := openSource(from, o.Databases)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeSource()) }()
	dst, closeTarget, err := openTarget(to, o.Databases)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeTarget()) }()
	if from.File != "" {
		if err := checkDump(ctx, from.File); err != nil {
			return nil, err
		}
	}
	if err := dst.begin(ctx); err != nil {
		return nil, err
	}
	m := &mover{dst: dst, report: &Report{}, progress: o.Progress}
	if m.progress == nil {
		m.progress = func(Progress) {}
	}
	err = src.each(ctx, func(c collection, documents func(func(bson.Raw) error) error) error {
		if err := m.move(ctx, c, documents); err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		return nil
	})
	if err != nil {
		return m.report, err
	}
	return m.report, dst.end(ctx)
}

func openSource(p Place, databases []string) (source, func() error, error) {
	if p.File != "" {
		return dumpSource(p.File), func() error { return nil }, nil
	}
	s, err := connect(p, databases)
	if err != nil {
		return nil, nil, err
	}
	return s, s.close, nil
}

func openTarget(p Place, databases []string) (target, func() error, error) {
	if p.File != "" {
		t := &dumpTarget{file: p.File}
		return t, t.close, nil
	}
	s, err := connect(p, databases)
	if err != nil {
		return nil, nil, err
	}
	return s, s.close, nil
}

// mover carries one transfer.
type mover struct {
	dst      target
	report   *Report
	progress func(Progress)
}

// progressStep is how many documents go between two reports.
const progressStep = 500

func (m *mover) move(ctx context.Context, c collection, documents func(func(bson.Raw) error) error) error {
	had, ok, err := m.dst.arrived(ctx, c)
	if err != nil {
		return err
	}
	if ok {
		same, err := m.skip(c, had, documents)
		if err != nil || same {
			return err
		}
		return fmt.Errorf("%w: the source has changed since the first part was moved: empty the target and begin anew", ErrDiffers)
	}
	note := func(text string) { m.report.Notes = append(m.report.Notes, c.String()+": "+text) }
	if err := m.dst.create(ctx, c, note); err != nil {
		return err
	}
	sent := &sum{}
	err = documents(func(doc bson.Raw) error {
		sent.add(doc)
		if sent.count%progressStep == 0 {
			m.progress(Progress{Collection: c.String(), Done: sent.count, Total: max(c.Total, sent.count)})
		}
		return m.dst.add(ctx, doc)
	})
	if err != nil {
		return err
	}
	err = m.dst.finish(ctx, c, sent, note, func(n int64) {
		m.progress(Progress{Collection: c.String(), Done: n, Total: sent.count, Verifying: true})
	})
	if err != nil {
		return err
	}
	m.report.Collections = append(m.report.Collections, Moved{c.String(), sent.count, sent.String(), len(c.Indexes), false})
	return nil
}

// skip passes over a collection that had arrived, if it still is the same.
func (m *mover) skip(c collection, had string, documents func(func(bson.Raw) error) error) (bool, error) {
	now := &sum{}
	err := documents(func(doc bson.Raw) error {
		now.add(doc)
		return nil
	})
	if err != nil || now.String() != had {
		return false, err
	}
	m.report.Collections = append(m.report.Collections, Moved{c.String(), now.count, had, len(c.Indexes), true})
	return true, nil
}
