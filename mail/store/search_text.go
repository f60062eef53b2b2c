package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/search"
)

// known is what is known of a condition on the message of a number.
type known func(i int, t *searchTree) search.Tri

// decide keeps the messages that meet the query: by what the index knows, by the
// row, and, where that leaves it open, by the text. It stops when the page is full
// or the budget is spent; done, at least 1 of a list that is not empty, tells
// before which row.
func (q *searching) decide(ctx context.Context, rows []searchHit, index known) (kept []searchHit, done int, err error) {
	for done < len(rows) {
		verdicts, err := q.decideStep(ctx, rows, done, index)
		if err != nil {
			return nil, 0, err
		}
		for i, v := range verdicts {
			if v == search.Yes {
				kept = append(kept, rows[done+i])
			}
		}
		done += len(verdicts)
		if len(kept) >= q.wanted || q.budget <= 0 {
			break
		}
	}
	return kept, done, nil
}

// decideStep judges the rows from a number on, until it has read as many texts as
// one step and the budget allow.
func (q *searching) decideStep(ctx context.Context, rows []searchHit, from int, index known) ([]search.Tri, error) {
	var verdicts []search.Tri
	var open []*openRow
	most := min(textStep, max(1, q.budget/textCost))
	for i := from; i < len(rows) && len(open) < most; i++ {
		it, ok := q.item(&rows[i].row)
		if !ok {
			verdicts = append(verdicts, search.No)
			continue
		}
		o := &openRow{at: i - from, id: rows[i].row.ID, known: func(t *searchTree) search.Tri {
			if v := index(i, t); v != search.Maybe {
				return v
			}
			return state(it, t.q)
		}}
		v := q.tree.judge(o.known)
		verdicts = append(verdicts, v)
		if v == search.Maybe {
			open = append(open, o)
		}
	}
	whole, err := q.read(ctx, open, verdicts, storedText)
	for step := range slices.Chunk(whole, bodyStep) {
		if err == nil {
			_, err = q.read(ctx, step, verdicts, wholeText)
		}
	}
	return verdicts, err
}

// openRow is a message that only its text decides.
type openRow struct {
	at    int
	id    mail.ID
	known func(*searchTree) search.Tri
}

// textReader says how texts are read.
type textReader struct {
	projection bson.D
	cost       int
	read       func(context.Context, *Store, *detailRecord) (search.Content, textGaps, error)
}

// textGaps tells what a text may lack.
type textGaps uint8

const (
	// gapBody: the body goes on elsewhere.
	gapBody textGaps = 1 << iota
	// gapCut: the end of a text may be the middle of a word.
	gapCut
)

// storedText is the text that stands in the message's document, without the
// bodies of its parts; wholeText is all that can be searched.
var (
	storedText = textReader{textProjection(), textCost, func(_ context.Context, _ *Store, d *detailRecord) (search.Content, textGaps, error) {
		r := d.searchable()
		c, err := r.content()
		return c, d.gaps(), err
	}}
	wholeText = textReader{bson.D{}, wholeCost, func(ctx context.Context, s *Store, d *detailRecord) (search.Content, textGaps, error) {
		c, err := s.storedContent(ctx, d)
		return c, 0, err
	}}
)

// shownDepth is how deep textProjection shows the types of parts.
const shownDepth = 3

func textProjection() bson.D {
	names := []string{"text", "textFooter", "html", "ha", "attachments.id", "attachments.filename", "attachments.contentType", "mimeTree.header", "mimeTree.attachmentMap"}
	level := "mimeTree."
	for range shownDepth + 1 {
		names = append(names, level+"boundary", level+"parsedHeader.content-type")
		level += "childNodes."
	}
	var out bson.D
	for _, name := range names {
		out = append(out, bson.E{Key: name, Value: 1})
	}
	return out
}

// gaps tells what the texts of a document that was read by textProjection lack.
func (d *detailRecord) gaps() textGaps {
	if d.cut() {
		return gapBody | gapCut
	}
	for id := range d.hashes {
		if !slices.ContainsFunc(d.Row.Attachments, func(a attachmentRecord) bool { return a.ID == id && !isTextual(strings.ToLower(a.ContentType)) }) {
			return gapBody
		}
	}
	if plain, html := textKinds(d.tree); len(d.HTML) > 0 && (!plain || !html) && !isShown(d.tree, shownDepth) {
		return gapBody
	}
	return 0
}

// isShown: the node has no parts that lie deeper, or in a message inside.
func isShown(n *message.Node, depth int) bool {
	if strings.HasPrefix(n.MediaType(), "message/") || (depth == 0 && n.IsMultipart()) {
		return false
	}
	return !slices.ContainsFunc(n.Children, func(c *message.Node) bool { return !isShown(c, depth-1) })
}

// read judges rows by their texts, and gives those that need more than these. It
// reads several lots at once: on a cold disk each one waits.
func (q *searching) read(ctx context.Context, open []*openRow, verdicts []search.Tri, how textReader) (more []*openRow, err error) {
	var mu sync.Mutex
	group, work := errgroup.WithContext(ctx)
	group.SetLimit(lotsAtOnce)
	for lot := range slices.Chunk(open, lotOfTexts) {
		group.Go(func() error {
			rest, cost, err := q.readLot(work, lot, verdicts, how)
			mu.Lock()
			defer mu.Unlock()
			more = append(more, rest...)
			q.budget -= cost
			return err
		})
	}
	err = group.Wait()
	slices.SortFunc(more, func(a, b *openRow) int { return a.at - b.at })
	return more, err
}

// readLot is read for a few rows. It writes only their verdicts.
func (q *searching) readLot(ctx context.Context, open []*openRow, verdicts []search.Tri, how textReader) (more []*openRow, cost int, err error) {
	const op = "read messages of a search"
	rows, ids := make(map[mail.ID]*openRow, len(open)), make([]mail.ID, len(open))
	for i, o := range open {
		ids[i], rows[o.id] = o.id, o
		verdicts[o.at] = search.No // unless it is still there
	}
	cur, err := q.s.messages.Find(ctx, key("_id", key("$in", oids(ids)), "user", oid(q.o.User)),
		options.Find().SetHint(key("_id", 1)).SetBatchSize(textStep).SetProjection(how.projection))
	if err != nil {
		return nil, 0, fail(op, err)
	}
	for err == nil && cur.Next(ctx) {
		var d *detailRecord
		if d, err = decodeDetail(cur.Current); err != nil {
			break
		}
		var c search.Content
		var gaps textGaps
		if c, gaps, err = how.read(ctx, q.s, d); err != nil {
			break
		}
		cost += how.cost + (len(cur.Current)+len(c.Get(search.InBody)))/bytesPerCost
		o := rows[mail.ID(d.Row.ID)]
		if verdicts[o.at] = q.judgeText(o, &search.Texts{Content: &c}, gaps); verdicts[o.at] == search.Maybe {
			more = append(more, o)
		}
	}
	return more, cost, fail(op, errors.Join(err, cur.Err(), cur.Close(ctx)))
}

// judgeText judges a message by its text. What is in a text is also in a longer
// one, unless its last word goes on.
func (q *searching) judgeText(o *openRow, t *search.Texts, gaps textGaps) search.Tri {
	return q.tree.judge(func(k *searchTree) search.Tri {
		if v := o.known(k); v != search.Maybe {
			return v
		}
		v := search.Truth(t.Match(k.q))
		if words, ok := k.q.(search.Text); ok && words.In&search.InBody != 0 && (gaps&gapCut != 0 || (gaps&gapBody != 0 && v == search.No)) {
			return search.Maybe
		}
		return v
	})
}
