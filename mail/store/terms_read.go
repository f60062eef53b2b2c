package store

import (
	"context"
	"errors"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// errMoved says that a segment was merged into another while it was read: the
// list of segments has to be read anew.
var errMoved = errors.New("segment is gone")

// segment reads one segment of an account.
type segment struct {
	s    *Store
	user bson.ObjectID
	segmentRecord
	tables map[int][]termDoc
}

func (s *Store) openSegment(user mail.ID, r segmentRecord) *segment {
	return &segment{s: s, user: oid(user), segmentRecord: r, tables: map[int][]termDoc{}}
}

// index reads the list of segments; an account without one has an empty list.
func (s *Store) readIndex(ctx context.Context, user mail.ID) (*indexRecord, error) {
	var r indexRecord
	err := s.terms.FindOne(ctx, key("_id", oid(user), "user", oid(user))).Decode(&r)
	if isNone(err) {
		return &indexRecord{ID: oid(user), User: oid(user), Kind: kindIndex}, nil
	}
	return &r, fail("read term index", err)
}

// entry is a term of a dictionary: where its postings lie.
type termEntry struct {
	count          int
	offset, length uint64
}

// block reads the last dictionary block that begins at or before a term; nil if
// none does.
func (g *segment) block(ctx context.Context, term string, strictly bool) (*termRecord, error) {
	base := g.key('d')
	edge := "$lte"
	if strictly {
		edge = "$lt"
	}
	var r termRecord
	err := g.s.terms.FindOne(ctx, key("user", g.user, "k", key("$gte", base, edge, base+term)),
		options.FindOne().SetSort(key("k", -1)).SetHint(indexTerms)).Decode(&r)
	if isNone(err) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err == nil {
		r.Data, err = unpack(r.Data)
	}
	return &r, fail("read dictionary", err)
}

// entries calls f for every term from low on and before high. Mostly one block has
// them all; else the others are the one that low is in, and those between.
func (g *segment) entries(ctx context.Context, low, high string, f func(term []byte, e termEntry) error) error {
	last, err := g.block(ctx, high, true)
	if err != nil || last == nil {
		return err
	}
	if err := eachEntry(last.Data, low, high, f); err != nil {
		return err
	}
	base := g.key('d')
	if last.Kind <= base+low {
		return nil
	}
	first, err := g.block(ctx, low, false)
	if err != nil {
		return err
	}
	from := base
	if first != nil {
		if err := eachEntry(first.Data, low, high, f); err != nil {
			return err
		}
		from = first.Kind
	}
	return g.blocks(ctx, key("$gt", from, "$lt", last.Kind), func(r *termRecord) error { return eachEntry(r.Data, low, high, f) })
}

// eachEntry goes through a dictionary block.
func eachEntry(data []byte, low, high string, f func([]byte, termEntry) error) error {
	r := termReader{b: data}
	offset := r.number()
	var term []byte
	for len(r.b) > 0 {
		term = r.term(term)
		e := r.entry(offset)
		if r.bad {
			return errTerms
		}
		offset += e.length
		if string(term) >= high {
			return nil
		}
		if string(term) < low {
			continue
		}
		if err := f(term, e); err != nil {
			return err
		}
	}
	if r.bad {
		return errTerms
	}
	return nil
}

// dictionary calls f for every term of the segment.
func (g *segment) dictionary(ctx context.Context, f func(term []byte, e termEntry) error) error {
	return g.blocks(ctx, g.all('d'), func(r *termRecord) error { return eachEntry(r.Data, "", highest, f) })
}

// all is the range of a kind's blocks.
func (g *segment) all(kind byte) bson.D { return key("$gte", g.key(kind), "$lt", g.key(kind)+highest) }

// blocks reads the blocks of a range in order.
func (g *segment) blocks(ctx context.Context, keys bson.D, f func(*termRecord) error) error {
	const op = "read term index"
	cur, err := g.s.terms.Find(ctx, key("user", g.user, "k", keys),
		options.Find().SetSort(key("k", 1)).SetHint(indexTerms).SetBatchSize(64))
	if err != nil {
		return fail(op, err)
	}
	for cur.Next(ctx) {
		var r termRecord
		if err = cur.Decode(&r); err == nil {
			r.Data, err = unpack(r.Data)
		}
		if err == nil {
			err = f(&r)
		}
		if err != nil {
			break
		}
	}
	return fail(op, errors.Join(err, cur.Err(), cur.Close(ctx)))
}

// postings sets the messages of some entries. They lie side by side, so that one
// query reads them.
func (g *segment) postings(ctx context.Context, list []termEntry, into bitmap) error {
	if len(list) == 0 {
		return nil
	}
	from, to := list[0].offset, uint64(0)
	for _, e := range list {
		from, to = min(from, e.offset), max(to, e.offset+e.length)
	}
	first, last := int(from/postingsBlock), int((max(to, 1)-1)/postingsBlock) //nolint:gosec // an index's size
	data, err := g.stream(ctx, first, last)
	if err != nil {
		return err
	}
	skipped := uint64(first) * postingsBlock
	for _, e := range list {
		begin := e.offset - skipped
		if begin+e.length > uint64(len(data)) {
			return errMoved
		}
		if err := eachPosting(data[begin:begin+e.length], g.Form, e.count, g.N, into.set); err != nil {
			return err
		}
	}
	return nil
}

// stream reads some blocks of postings as one.
func (g *segment) stream(ctx context.Context, first, last int) ([]byte, error) {
	const op = "read postings"
	kind := g.segmentRecord.postings()
	o := options.Find().SetSort(key("k", 1)).SetHint(indexTerms).SetBatchSize(int32(min(last-first+2, 256))) //nolint:gosec // small
	cur, err := g.s.terms.Find(ctx, key("user", g.user, "k", key("$gte", g.segmentRecord.block(kind, first), "$lte", g.segmentRecord.block(kind, last))), o)
	if err != nil {
		return nil, fail(op, err)
	}
	var out []byte
	for err == nil && cur.Next(ctx) {
		var data []byte
		data, err = unpack(rawBytes(cur.Current.Lookup("d")))
		out = append(out, data...)
	}
	return out, fail(op, errors.Join(err, cur.Err(), cur.Close(ctx)))
}

// doc reads a row of the table.
func (g *segment) doc(ctx context.Context, i int) (*termDoc, error) {
	n := i / tableBlock
	rows, ok := g.tables[n]
	if !ok {
		var r termRecord
		err := g.s.terms.FindOne(ctx, key("user", g.user, "k", g.segmentRecord.block('t', n)), options.FindOne().SetHint(indexTerms)).Decode(&r)
		if errors.Is(err, mongo.ErrNoDocuments) {
			return nil, errMoved
		}
		if err != nil {
			return nil, fail("read table of messages", err)
		}
		data, err := unpack(r.Data)
		if err == nil {
			rows, err = decodeDocs(data)
		}
		if err != nil {
			return nil, err
		}
		g.tables[n] = rows
	}
	if i%tableBlock >= len(rows) {
		return nil, errTerms
	}
	return &rows[i%tableBlock], nil
}

// table reads all rows.
func (g *segment) table(ctx context.Context) ([]termDoc, error) {
	out := make([]termDoc, 0, g.N)
	err := g.blocks(ctx, g.all('t'), func(r *termRecord) error {
		rows, err := decodeDocs(r.Data)
		out = append(out, rows...)
		return err
	})
	if err == nil && len(out) != g.N {
		err = errMoved
	}
	return out, err
}

// since is the first row that is at or before a date, by bisection.
func (g *segment) since(ctx context.Context, date int64) (int, error) {
	low, high := 0, g.N
	for low < high {
		mid := (low + high) / 2
		d, err := g.doc(ctx, mid)
		if err != nil {
			return 0, err
		}
		if d.date > date {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, nil
}

// split is the token and the place of a stored term.
func splitTerm(term []byte) (token string, place byte) {
	if len(term) < 2 {
		return "", 0
	}
	return string(term[:len(term)-2]), term[len(term)-1]
}

func placed(places string, place byte) bool { return strings.IndexByte(places, place) >= 0 }
