package store

import (
	"slices"
	"sort"
	"strings"

	"github.com/eidermail/eider/mail"
)

// snapshotRow is a message on its way into a chunk.
type snapshotRow struct {
	uid    uint64
	modseq uint64
	// set is the index of the flags in the tables.
	set uint64
	// date is biased seconds.
	date, size uint64
	// threadMaker is an index in the tables, 0 for no thread.
	threadTime, threadMaker, threadCounter uint64
}

// snapshotTables find what snapshots of one mailbox refer to by number. They
// belong to whoever makes the snapshots.
type snapshotTables struct {
	sets     []flagSet
	makers   []idMaker
	setIndex map[string]uint64
	byMaker  map[idMaker]uint64
}

func newSnapshotTables() *snapshotTables {
	// Maker 0 stands for no thread.
	return &snapshotTables{makers: make([]idMaker, 1), setIndex: map[string]uint64{}, byMaker: map[idMaker]uint64{}}
}

// set gives the number of the flags that a state says (freshState).
func (t *snapshotTables) set(state []byte) uint64 {
	if n, ok := t.setIndex[string(state)]; ok {
		return n
	}
	n := uint64(len(t.sets))
	t.setIndex[string(state)] = n
	t.sets = append(t.sets, flagSet{string(state), stateFlags(state)})
	return n
}

// flags gives the number of some flags.
func (t *snapshotTables) flags(flags []mail.Flag) uint64 {
	if b := stateBytes(mail.ID{}, 0, flags); b != nil {
		return t.set(b[stateHead-1:])
	}
	// A keyword with a zero byte: what the scalar cannot say is said by the
	// list alone, under a name that no state has.
	var list strings.Builder
	for _, f := range flags {
		list.WriteString("\xff" + string(f))
	}
	name := list.String()
	if n, ok := t.setIndex[name]; ok {
		return n
	}
	n := uint64(len(t.sets))
	t.setIndex[name] = n
	t.sets = append(t.sets, flagSet{name, slices.Clone(flags)})
	return n
}

func (t *snapshotTables) thread(r *snapshotRow, id mail.ID) {
	if id.IsZero() {
		r.threadTime, r.threadMaker, r.threadCounter = r.date-min(r.date, dateBias), 0, 0
		return
	}
	maker := idMaker(id[4:9])
	n, ok := t.byMaker[maker]
	if !ok {
		n = uint64(len(t.makers))
		t.byMaker[maker] = n
		t.makers = append(t.makers, maker)
	}
	r.threadTime = uint64(id[0])<<24 | uint64(id[1])<<16 | uint64(id[2])<<8 | uint64(id[3])
	r.threadMaker = n
	r.threadCounter = uint64(id[9])<<16 | uint64(id[10])<<8 | uint64(id[11])
}

func (r *snapshotRow) columns() [columnCount]uint64 {
	return [columnCount]uint64{r.uid, r.modseq, r.set, r.date, r.size, r.threadTime, r.threadMaker, r.threadCounter}
}

func packChunk(rows []snapshotRow) *chunk {
	c := &chunk{rows: len(rows)}
	values := make([]uint64, columnCount*len(rows))
	column := func(k int) []uint64 { return values[k*len(rows) : (k+1)*len(rows)] }
	for i := range rows {
		for k, v := range rows[i].columns() {
			values[k*len(rows)+i] = v
		}
	}
	words := 0
	for k := range c.columns {
		base, width := columnShape(column(k))
		c.columns[k].base, c.columns[k].width = base, width
		c.columns[k].from = uint32(words)
		words += columnWords(len(rows), width)
	}
	c.words = make([]uint64, words)
	for k := range c.columns {
		c.columns[k].pack(c.words, column(k))
	}
	return c
}

func (c *chunk) unpack(out []snapshotRow) []snapshotRow {
	for i := range c.rows {
		out = append(out, c.unpackRow(i))
	}
	return out
}

func (c *chunk) unpackRow(i int) snapshotRow {
	return snapshotRow{
		uid: c.at(columnUID, i), modseq: c.at(columnModSeq, i), set: c.at(columnFlags, i), date: c.at(columnDate, i), size: c.at(columnSize, i),
		threadTime: c.at(columnThreadTime, i), threadMaker: c.at(columnThreadMaker, i), threadCounter: c.at(columnThreadCounter, i),
	}
}

// find gives the row of a UID as it can be edited.
func (s *Snapshot) find(uid mail.UID) (snapshotRow, bool) {
	i, ok := s.Find(uid)
	if !ok {
		return snapshotRow{}, false
	}
	c, at := s.place(i)
	return c.unpackRow(at), true
}

// snapshotEdit is what becomes of one UID: its row, or nothing.
type snapshotEdit struct {
	row  snapshotRow
	gone bool
}

// edited is the snapshot after the edits. Chunks without one are shared.
func (s *Snapshot) edited(edits map[mail.UID]snapshotEdit, box *mailboxRecord, t *snapshotTables) *Snapshot {
	order := make([]mail.UID, 0, len(edits))
	for uid := range edits {
		order = append(order, uid)
	}
	slices.Sort(order)
	out := &Snapshot{mailbox: s.mailbox, uidNext: s.uidNext, modseq: s.modseq}
	var carry []snapshotRow
	for at, c := range s.chunks {
		mine := order
		if at < len(s.chunks)-1 {
			mine = order[:sort.Search(len(order), func(i int) bool { return order[i] > c.last() })]
		}
		order = order[len(mine):]
		if len(mine) == 0 && len(carry) == 0 {
			out.add(c)
			continue
		}
		rows := mergeEdits(c.unpack(carry), mine, edits)
		// A small rest goes into the next chunk, so that chunks stay large.
		if carry = nil; len(rows) < chunkRows/4 && at < len(s.chunks)-1 {
			carry = rows
			continue
		}
		out.addRows(rows)
	}
	if len(s.chunks) == 0 {
		out.addRows(mergeEdits(nil, order, edits))
	}
	out.finish(box, t)
	return out
}

// addRows packs rows; up to twice the usual number stay in one chunk.
func (s *Snapshot) addRows(rows []snapshotRow) {
	for len(rows) > 2*chunkRows {
		s.add(packChunk(rows[:chunkRows]))
		rows = rows[chunkRows:]
	}
	if len(rows) > 0 {
		s.add(packChunk(rows))
	}
}

// mergeEdits applies the edits of the sorted UIDs to sorted rows.
func mergeEdits(rows []snapshotRow, uids []mail.UID, edits map[mail.UID]snapshotEdit) []snapshotRow {
	out := make([]snapshotRow, 0, len(rows)+len(uids))
	for _, uid := range uids {
		for len(rows) > 0 && rows[0].uid < uint64(uid) {
			out, rows = append(out, rows[0]), rows[1:]
		}
		if len(rows) > 0 && rows[0].uid == uint64(uid) {
			rows = rows[1:]
		}
		if e := edits[uid]; !e.gone {
			out = append(out, e.row)
		}
	}
	return append(out, rows...)
}
