package store

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/search"
)

// pairsMost is how many messages of a segment get their pairs at once.
const pairsMost = 16 << 10

// addPairs gives messages their pairs which an earlier version put into a segment
// without them: it reads their texts and writes the segment anew. Until then a
// phrase is looked for in their texts. It does a bounded number of them and tells
// whether there are more.
func (s *Store) addPairs(ctx context.Context, user mail.ID, out *Indexed) (more bool, err error) {
	r, err := s.readIndex(ctx, user)
	if err != nil {
		return false, err
	}
	for i := range r.Segments {
		if r.Segments[i].Paired >= r.Segments[i].N {
			continue
		}
		g := s.openSegment(user, r.Segments[i])
		missing, rest, err := g.unpaired(ctx)
		if err != nil {
			return false, err
		}
		if len(missing) == 0 { // an earlier version has written the list without the number
			r.Segments[i].Paired = r.Segments[i].N
			_, err = s.changeIndex(ctx, r, key("segs", r.Segments))
			return true, err
		}
		pairs, err := s.pairsOf(ctx, user, g, missing)
		if err != nil {
			return false, err
		}
		err = s.merged(ctx, &merge{s: s, user: user, old: []*segment{g}, level: g.Level, pairs: pairs}, out)
		return rest || i+1 < len(r.Segments), err
	}
	return false, nil
}

// unpaired lists messages of the segment whose pairs it does not have, up to
// pairsMost.
func (g *segment) unpaired(ctx context.Context) (list []int, more bool, err error) {
	known, err := g.find(ctx, search.Term{Token: search.PairsToken}, search.PairPlaces)
	if err != nil {
		return nil, false, err
	}
	missing := fullBitmap(g.N)
	missing.without(known)
	for i := missing.next(0, false); i >= 0; i = missing.next(i+1, false) {
		if len(list) == pairsMost {
			return list, true, nil
		}
		list = append(list, i)
	}
	return list, false, nil
}

// pairsOf reads messages of a segment and gives their pairs as terms with the
// numbers of their messages. One that cannot be read has none: its text could not
// be looked at either.
func (s *Store) pairsOf(ctx context.Context, user mail.ID, g *segment, numbers []int) (map[string][]uint32, error) {
	docs, err := g.table(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string][]uint32{}
	for batch := range slices.Chunk(numbers, wholeStep) {
		places := make(map[mail.ID]uint32, len(batch))
		for _, i := range batch {
			n := uint32(i) //nolint:gosec // below the messages of an account
			places[docs[i].root] = n
			out[pairsTerm] = append(out[pairsTerm], n)
		}
		for _, c := range []*mongo.Collection{s.messages, s.archived} {
			if err := s.readPairs(ctx, c, user, places, out); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// readPairs adds the pairs of messages that the collection has, and takes these out
// of the places.
func (s *Store) readPairs(ctx context.Context, c *mongo.Collection, user mail.ID, places map[mail.ID]uint32, out map[string][]uint32) error {
	const op = "read messages for their pairs"
	if len(places) == 0 {
		return nil
	}
	cur, err := c.Find(ctx, key("user", oid(user), "root", key("$in", oids(slices.Collect(maps.Keys(places))))), options.Find().SetHint(indexRoot))
	if err != nil {
		return fail(op, err)
	}
	for cur.Next(ctx) {
		root := rawID(cur.Current.Lookup("root"))
		n, ok := places[root]
		if !ok {
			continue // another copy
		}
		delete(places, root)
		d, err := decodeDetail(cur.Current)
		var content search.Content
		if err == nil {
			content, err = s.storedContent(ctx, d)
		}
		switch {
		case mail.IsCode(err, mail.CodeUnavailable):
			return errors.Join(err, cur.Close(ctx))
		case err != nil:
			s.log.LogAttrs(ctx, slog.LevelWarn, "message without pairs in the index", slog.String("message", root.String()), slog.Any("err", err))
			continue
		}
		for _, term := range termsOf(&content) {
			if strings.HasPrefix(term, search.PairsToken) && strings.HasSuffix(term, search.PairPlaces) && term != pairsTerm {
				out[term] = append(out[term], n)
			}
		}
	}
	return fail(op, errors.Join(cur.Err(), cur.Close(ctx)))
}

// pairsSource gives the pairs of a segment's messages that it lacks.
type pairsSource struct {
	terms   []string
	pairs   map[string][]uint32
	renamed []uint32
	at      int
}

func newPairsSource(pairs map[string][]uint32, renamed []uint32) *pairsSource {
	return &pairsSource{terms: slices.Sorted(maps.Keys(pairs)), pairs: pairs, renamed: renamed}
}

func (p *pairsSource) next(context.Context) (bool, error) {
	p.at++
	return p.at <= len(p.terms), nil
}

func (p *pairsSource) term() string { return p.terms[p.at-1] }

func (p *pairsSource) numbers(to []uint32) ([]uint32, error) {
	begin := len(to)
	for _, i := range p.pairs[p.term()] {
		if n := p.renamed[i]; n != goneDoc {
			to = append(to, n)
		}
	}
	slices.Sort(to[begin:]) // batches are read in no order
	return to, nil
}

func (p *pairsSource) close(context.Context) error { return nil }
