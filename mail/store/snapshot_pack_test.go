package store

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail"
)

// A column gives back each number, of any width.
func TestColumn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		width := rapid.IntRange(0, 64).Draw(rt, "width")
		top := ^uint64(0) >> (64 - width)
		values := rapid.SliceOfN(rapid.Uint64Range(0, top), 0, 200).Draw(rt, "values")
		c := column{from: 3}
		c.base, c.width = columnShape(values)
		words := make([]uint64, 3+columnWords(len(values), c.width))
		c.pack(words, values)
		for i, v := range values {
			if have := c.at(words, i); have != v {
				rt.Fatalf("number %d of width %d: %d, want %d", i, c.width, have, v)
			}
		}
	})
}

func drawRow(rt *rapid.T, uid uint64, t *snapshotTables) snapshotRow {
	r := snapshotRow{
		uid: uid, modseq: rapid.Uint64Range(1, 1<<40).Draw(rt, "modseq"),
		date: dateBias + rapid.Uint64Range(0, 1<<33).Draw(rt, "date"), size: rapid.Uint64Range(0, 1<<26).Draw(rt, "size"),
		set: t.flags(rapid.SampledFrom([][]mail.Flag{nil, {mail.FlagSeen}, {mail.FlagSeen, "$a"}, {"$b", "odd\x00one"}}).Draw(rt, "flags")),
	}
	var id mail.ID
	if rapid.Bool().Draw(rt, "threaded") {
		id = mail.NewID()
		id[5] = byte(rapid.IntRange(0, 3).Draw(rt, "maker"))
	}
	t.thread(&r, id)
	return r
}

// Edits one after another give what the same edits give a plain map, and leave
// earlier snapshots alone.
func TestSnapshotEdits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tables := newSnapshotTables()
		box := &mailboxRecord{}
		want := map[mail.UID]snapshotRow{}
		var rows []snapshotRow
		for uid := range uint64(rapid.SampledFrom([]int{0, 1, 300, 3000}).Draw(rt, "rows")) {
			r := snapshotRow{uid: 2 * (uid + 1), modseq: uid + 1, set: tables.flags(nil), date: dateBias}
			rows, want[mail.UID(r.uid)] = append(rows, r), r
		}
		snap := newSnapshot(box, rows, tables)
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			edits := map[mail.UID]snapshotEdit{}
			if n := rapid.IntRange(0, 20).Draw(rt, "run"); n == 20 {
				// A long run of removals, which leaves small chunks.
				from := rapid.IntRange(1, 6000).Draw(rt, "from")
				for uid := from; uid < from+1500; uid++ {
					edits[mail.UID(uid)] = snapshotEdit{gone: true}
				}
			}
			for range rapid.IntRange(0, 30).Draw(rt, "edits") {
				uid := rapid.Uint64Range(1, 7000).Draw(rt, "uid")
				edits[mail.UID(uid)] = snapshotEdit{row: drawRow(rt, uid, tables), gone: rapid.Bool().Draw(rt, "gone")}
			}
			before, had := snap, snap.unpackAll()
			snap = snap.edited(edits, box, tables)
			if !slices.Equal(before.unpackAll(), had) {
				rt.Fatal("an edit changed the snapshot before it")
			}
			for uid, e := range edits {
				if e.gone {
					delete(want, uid)
				} else {
					want[uid] = e.row
				}
			}
			compareRows(rt, snap, want)
		}
	})
}

func (s *Snapshot) unpackAll() []snapshotRow {
	var out []snapshotRow
	for _, c := range s.chunks {
		out = c.unpack(out)
	}
	return out
}

func compareRows(rt *rapid.T, snap *Snapshot, want map[mail.UID]snapshotRow) {
	if snap.Len() != len(want) {
		rt.Fatalf("%d rows, want %d", snap.Len(), len(want))
	}
	last := mail.UID(0)
	for i, row := range snap.Rows(0, snap.Len()) {
		if row.UID <= last || snap.UID(i) != row.UID || snap.Row(i).ModSeq != row.ModSeq {
			rt.Fatalf("row %d has UID %d after %d", i, row.UID, last)
		}
		last = row.UID
		if have, ok := snap.find(row.UID); !ok || have != want[row.UID] {
			rt.Fatalf("UID %d: %+v, want %+v", row.UID, have, want[row.UID])
		}
		if at := snap.At(row.UID); at != i {
			rt.Fatalf("UID %d at %d, want %d", row.UID, at, i)
		}
	}
	if snap.UIDNext() <= last {
		rt.Fatalf("UIDNEXT %d after UID %d", snap.UIDNext(), last)
	}
}

// Columns of 100,000 messages as they are in life take two mebibytes at most.
func TestSnapshotMemory(t *testing.T) {
	const n = 100_000
	rows, tables := lifelikeRows(n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	snap := newSnapshot(&mailboxRecord{}, rows, tables)
	runtime.GC()
	runtime.ReadMemStats(&after)
	heap := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	if snap.Bytes() > 2<<20 || heap > 2<<20 {
		t.Errorf("%d bytes by its own count, %d on the heap", snap.Bytes(), heap)
	}
	if heap > int64(snap.Bytes())*5/4 {
		t.Errorf("counts %d bytes and holds %d", snap.Bytes(), heap)
	}
	t.Logf("%.1f bytes a message", float64(snap.Bytes())/n)
	runtime.KeepAlive(rows)
}

// lifelikeRows are some years of mail in one mailbox: most of it read, some
// flagged, every tenth changed lately, half of it in conversations of their
// own.
func lifelikeRows(n int) ([]snapshotRow, *snapshotTables) {
	tables := newSnapshotTables()
	rnd := rand.New(rand.NewPCG(1, 2))
	sets := [][]mail.Flag{
		{mail.FlagSeen},
		{mail.FlagSeen},
		{mail.FlagSeen},
		nil,
		{mail.FlagSeen, mail.FlagAnswered},
		{mail.FlagFlagged},
		{mail.FlagSeen, "$Forwarded"},
		{mail.FlagSeen, "$label1", "NonJunk"},
	}
	start := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	rows := make([]snapshotRow, n)
	var thread mail.ID
	for i := range rows {
		at := start.Add(time.Duration(i) * 30 * time.Minute)
		r := &rows[i]
		r.uid, r.modseq = uint64(i+1+i/50), uint64(i+1)
		if rnd.IntN(10) == 0 {
			r.modseq = uint64(n + rnd.IntN(n))
		}
		r.set = tables.flags(sets[rnd.IntN(len(sets))])
		r.date = uint64(at.Unix() + dateBias)
		r.size = uint64(2000 + int(rnd.ExpFloat64()*40_000))
		if thread.IsZero() || rnd.IntN(2) == 0 {
			thread = mail.NewIDAt(at)
			thread[4], thread[9], thread[10] = byte(i/30_000), byte(rnd.Uint32()), byte(rnd.Uint32())
		}
		tables.thread(r, thread)
	}
	return rows, tables
}
