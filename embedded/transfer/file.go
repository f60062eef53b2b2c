package transfer

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore"
)

// A dump file is gzip over frames: a byte that says what it is, and a BSON
// document. First the head; then each collection, its documents, and their sum;
// at the end the number of collections, without which the file is a part.
const (
	frameHead       = 'h'
	frameCollection = 'c'
	frameDocument   = 'd'
	frameSum        = 's'
	frameEnd        = 'e'

	dumpFormat  = 1
	maxDocument = 16<<20 + 16<<10 // MongoDB's own documents may be a little larger than 16 MB
)

type dumpHead struct {
	Eider  string `bson:"eider"`
	Format int    `bson:"format"`
}

type dumpSum struct {
	Documents int64  `bson:"documents"`
	Sum       string `bson:"sum"`
}

type dumpEnd struct {
	Collections int `bson:"collections"`
}

// dumpTarget writes a dump beside its final name.
type dumpTarget struct {
	file        string
	part        *os.File
	zip         *gzip.Writer
	out         *bufio.Writer
	collections int
}

func (t *dumpTarget) begin(context.Context) (err error) {
	if _, err := os.Lstat(t.file); err == nil {
		return fmt.Errorf("%s: %w", t.file, docstore.ErrExists)
	}
	// A part that a cut has left is written over.
	if t.part, err = os.OpenFile(t.file+".partial", os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", t.file, err)
	}
	t.zip, _ = gzip.NewWriterLevel(t.part, gzip.BestSpeed) // the level is one
	t.out = bufio.NewWriterSize(t.zip, 1<<16)
	return t.frame(frameHead, dumpHead{"dump", dumpFormat})
}

func (t *dumpTarget) frame(kind byte, v any) error {
	doc, ok := v.(bson.Raw)
	if !ok {
		var err error
		if doc, err = bson.Marshal(v); err != nil {
			return fmt.Errorf("writing %s: %w", t.file, err)
		}
	}
	_ = t.out.WriteByte(kind) // the error stays with the writer
	if _, err := t.out.Write(doc); err != nil {
		return fmt.Errorf("writing %s: %w", t.file, err)
	}
	return nil
}

func (t *dumpTarget) arrived(context.Context, collection) (string, bool, error) {
	return "", false, nil
}

func (t *dumpTarget) create(_ context.Context, c collection, _ func(string)) error {
	t.collections++
	return t.frame(frameCollection, c)
}

func (t *dumpTarget) add(_ context.Context, doc bson.Raw) error { return t.frame(frameDocument, doc) }

func (t *dumpTarget) finish(_ context.Context, _ collection, sent *sum, _ func(string), _ func(int64)) error {
	return t.frame(frameSum, dumpSum{sent.count, sent.String()})
}

// end reads the file back before it gets its name.
func (t *dumpTarget) end(ctx context.Context) error {
	if err := t.frame(frameEnd, dumpEnd{t.collections}); err != nil {
		return err
	}
	if err := errors.Join(t.out.Flush(), t.zip.Close(), t.part.Sync()); err != nil {
		return fmt.Errorf("writing %s: %w", t.file, err)
	}
	if err := checkDump(ctx, t.file+".partial"); err != nil {
		return err
	}
	return docstore.Publish(t.file+".partial", t.file)
}

// close removes what did not become a dump.
func (t *dumpTarget) close() error {
	if t.part == nil {
		return nil
	}
	err := t.part.Close()
	_ = os.Remove(t.file + ".partial")
	return err
}

// dumpSource is the name of a dump file.
type dumpSource string

// checkDump reads a whole dump and compares every sum in it.
func checkDump(ctx context.Context, file string) error {
	return dumpSource(file).each(ctx, func(_ collection, documents func(func(bson.Raw) error) error) error {
		return documents(func(bson.Raw) error { return ctx.Err() })
	})
}

func (s dumpSource) each(_ context.Context, f func(collection, func(func(bson.Raw) error) error) error) (err error) {
	file, err := os.Open(string(s))
	if err != nil {
		return fmt.Errorf("reading the dump: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	zip, err := gzip.NewReader(bufio.NewReaderSize(file, 1<<16))
	if err != nil {
		return fmt.Errorf("%s: %w", file.Name(), ErrNoDump)
	}
	return (&dumpReader{name: file.Name(), r: bufio.NewReaderSize(zip, 1<<16)}).each(f)
}

type dumpReader struct {
	name string
	r    *bufio.Reader
}

func (r *dumpReader) each(f func(collection, func(func(bson.Raw) error) error) error) error {
	var head dumpHead
	if err := r.expect(frameHead, &head); err != nil {
		return err
	}
	if head.Eider != "dump" || head.Format < 1 {
		return fmt.Errorf("%s: %w", r.name, ErrNoDump)
	}
	if head.Format > dumpFormat {
		return fmt.Errorf("%s was written by a newer version of Eider: load it with that one", r.name)
	}
	for n := 0; ; n++ {
		kind, doc, err := r.next()
		if err != nil {
			return err
		}
		if kind == frameEnd {
			return r.checkEnd(doc, n)
		}
		var c collection
		if kind != frameCollection || bson.Unmarshal(doc, &c) != nil {
			return fmt.Errorf("%s: %w", r.name, ErrNoDump)
		}
		read := false
		err = f(c, func(yield func(bson.Raw) error) error {
			read = true
			return r.documents(yield)
		})
		if err == nil && !read {
			err = r.documents(func(bson.Raw) error { return nil })
		}
		if err != nil {
			return err
		}
	}
}

// next reads a frame; its document is the caller's to keep.
func (r *dumpReader) next() (kind byte, doc bson.Raw, err error) {
	var head [5]byte
	if _, err = io.ReadFull(r.r, head[:]); err != nil {
		return 0, nil, fmt.Errorf("%s: %w (%w)", r.name, ErrNoDump, err)
	}
	size := binary.LittleEndian.Uint32(head[1:])
	if size < 5 || size > maxDocument {
		return 0, nil, fmt.Errorf("%s: %w", r.name, ErrNoDump)
	}
	doc = make(bson.Raw, size)
	copy(doc, head[1:])
	if _, err = io.ReadFull(r.r, doc[4:]); err != nil {
		return 0, nil, fmt.Errorf("%s: %w (%w)", r.name, ErrNoDump, err)
	}
	return head[0], doc, nil
}

func (r *dumpReader) expect(kind byte, v any) error {
	got, doc, err := r.next()
	if err != nil {
		return err
	}
	if got != kind || bson.Unmarshal(doc, v) != nil {
		return fmt.Errorf("%s: %w", r.name, ErrNoDump)
	}
	return nil
}

// documents reads those of one collection and checks their sum.
func (r *dumpReader) documents(yield func(bson.Raw) error) error {
	got := &sum{}
	for {
		kind, doc, err := r.next()
		if err != nil {
			return err
		}
		if kind == frameDocument {
			if err := doc.Validate(); err != nil {
				return fmt.Errorf("%s: %w (%w)", r.name, ErrNoDump, err)
			}
			got.add(doc)
			if err := yield(doc); err != nil {
				return err
			}
			continue
		}
		var want dumpSum
		if kind != frameSum || bson.Unmarshal(doc, &want) != nil {
			return fmt.Errorf("%s: %w", r.name, ErrNoDump)
		}
		if want.Documents != got.count || want.Sum != got.String() {
			return fmt.Errorf("%s: %w: a checksum does not fit", r.name, ErrNoDump)
		}
		return nil
	}
}

// checkEnd wants all collections, and nothing behind them.
func (r *dumpReader) checkEnd(doc bson.Raw, collections int) error {
	var end dumpEnd
	if bson.Unmarshal(doc, &end) != nil || end.Collections != collections {
		return fmt.Errorf("%s: %w", r.name, ErrNoDump)
	}
	if _, err := r.r.ReadByte(); !errors.Is(err, io.EOF) { // gzip's own checksum is looked at here
		return fmt.Errorf("%s: %w", r.name, ErrNoDump)
	}
	return nil
}
