package store

import (
	"encoding/binary"
	"iter"
	"slices"
	"sort"
	"time"

	"github.com/eidermail/eider/mail"
)

// Snapshot is a mailbox at one moment: its messages by rising UID, in columns.
// It never changes and may be shared by any number of sessions; a later one
// shares all of its memory that did not change. Positions count from 0, so an
// IMAP sequence number is a position plus one.
type Snapshot struct {
	mailbox     mail.ID
	uidValidity uint32
	uidNext     mail.UID
	modseq      mail.ModSeq
	chunks      []*chunk
	// starts holds the position of each chunk's first row.
	starts []int
	rows   int
	// sets and makers only grow, also under older snapshots, which know fewer.
	sets   []flagSet
	makers []idMaker
}

// flagSet is one combination of flags that some message has.
type flagSet struct {
	state string
	flags []mail.Flag
}

// idMaker is the middle of an id, which all ids of one process share.
type idMaker [5]byte

// SnapshotRow is one message of a Snapshot.
type SnapshotRow struct {
	UID    mail.UID
	ModSeq mail.ModSeq
	// Flags is shared and must not be changed.
	Flags []mail.Flag
	// InternalDate is cut to the second.
	InternalDate time.Time
	// Size is bytes of the message as received.
	Size   int64
	Thread mail.ID
}

// Mailbox is whose snapshot it is.
func (s *Snapshot) Mailbox() mail.ID { return s.mailbox }

// Len is how many messages there are.
func (s *Snapshot) Len() int { return s.rows }

// UIDValidity is the mailbox's.
func (s *Snapshot) UIDValidity() uint32 { return s.uidValidity }

// UIDNext is above each UID of the snapshot.
func (s *Snapshot) UIDNext() mail.UID { return s.uidNext }

// ModSeq is the HIGHESTMODSEQ that a client may keep: all changes up to it are
// in the snapshot. A row may have a higher one, while the writer of a change
// between the two is not done yet.
func (s *Snapshot) ModSeq() mail.ModSeq { return s.modseq }

// Bytes is the memory that the snapshot holds by itself or shares.
func (s *Snapshot) Bytes() int {
	n := 128 + 16*len(s.chunks)
	for _, c := range s.chunks {
		n += c.bytes()
	}
	for i := range s.sets {
		n += 48 + 2*len(s.sets[i].state) + 16*len(s.sets[i].flags)
	}
	return n + len(idMaker{})*len(s.makers)
}

// place finds the chunk of a position.
func (s *Snapshot) place(i int) (*chunk, int) {
	at := sort.SearchInts(s.starts, i+1) - 1
	return s.chunks[at], i - s.starts[at]
}

// UID is the UID at a position, which must be below Len.
func (s *Snapshot) UID(i int) mail.UID {
	c, at := s.place(i)
	return c.uid(at)
}

// Row is the message at a position, which must be below Len.
func (s *Snapshot) Row(i int) SnapshotRow {
	c, at := s.place(i)
	return s.row(c, at)
}

func (s *Snapshot) row(c *chunk, i int) SnapshotRow {
	return SnapshotRow{
		UID: c.uid(i), ModSeq: mail.ModSeq(c.at(columnModSeq, i)), Flags: s.sets[c.at(columnFlags, i)].flags,
		InternalDate: dateOf(c.at(columnDate, i)), Size: int64(c.at(columnSize, i)), //nolint:gosec // written from one
		Thread: s.thread(c, i),
	}
}

// thread puts an id together: seconds, maker, counter.
func (s *Snapshot) thread(c *chunk, i int) (id mail.ID) {
	maker := c.at(columnThreadMaker, i)
	if maker == 0 {
		return id
	}
	seconds, counter := c.at(columnThreadTime, i), c.at(columnThreadCounter, i)
	binary.BigEndian.PutUint32(id[:4], uint32(seconds)) //nolint:gosec // written from 32 bits
	// The highest byte of the four is the maker's last, which is copied after.
	binary.BigEndian.PutUint32(id[8:], uint32(counter)) //nolint:gosec // written from 24 bits
	copy(id[4:9], s.makers[maker][:])
	return id
}

// At gives the position of the first UID that is not below uid; Len for none.
func (s *Snapshot) At(uid mail.UID) int {
	at := sort.Search(len(s.chunks), func(i int) bool { return s.chunks[i].last() >= uid })
	if at == len(s.chunks) {
		return s.rows
	}
	c := s.chunks[at]
	return s.starts[at] + sort.Search(c.rows, func(i int) bool { return c.uid(i) >= uid })
}

// Find gives the position of a UID.
func (s *Snapshot) Find(uid mail.UID) (int, bool) {
	i := s.At(uid)
	return i, i < s.rows && s.UID(i) == uid
}

// Rows yields positions and messages from one position to below another.
func (s *Snapshot) Rows(from, to int) iter.Seq2[int, SnapshotRow] {
	return func(yield func(int, SnapshotRow) bool) {
		for c, i := range s.span(from, to) {
			if !yield(i.position, s.row(c, i.row)) {
				return
			}
		}
	}
}

type spot struct{ position, row int }

func (s *Snapshot) span(from, to int) iter.Seq2[*chunk, spot] {
	return func(yield func(*chunk, spot) bool) {
		from, to = max(from, 0), min(to, s.rows)
		for at := max(sort.SearchInts(s.starts, from+1)-1, 0); from < to; at++ {
			c := s.chunks[at]
			for i := from - s.starts[at]; i < c.rows && from < to; i++ {
				if !yield(c, spot{from, i}) {
					return
				}
				from++
			}
		}
	}
}

// Changed lists, rising, the UIDs with a mod-sequence above since (RFC 7162
// CHANGEDSINCE).
func (s *Snapshot) Changed(since mail.ModSeq) []mail.UID {
	var out []mail.UID
	for _, c := range s.chunks {
		for i := range c.rows {
			if mail.ModSeq(c.at(columnModSeq, i)) > since {
				out = append(out, c.uid(i))
			}
		}
	}
	return out
}

// UIDs lists, rising, at most limit UIDs above after whose flags pass.
// ListFilter.Attachments is not known to a snapshot and must be false.
func (s *Snapshot) UIDs(after mail.UID, f ListFilter, limit int) []mail.UID {
	passes := make([]bool, len(s.sets))
	for i := range s.sets {
		seen, flagged := mail.HasFlag(s.sets[i].flags, mail.FlagSeen), mail.HasFlag(s.sets[i].flags, mail.FlagFlagged)
		passes[i] = (!f.Unseen || !seen) && (!f.Flagged || flagged)
	}
	out := make([]mail.UID, 0, min(limit, s.rows))
	for c, i := range s.span(s.At(after+1), s.rows) {
		if len(out) == limit {
			break
		}
		if passes[c.at(columnFlags, i.row)] {
			out = append(out, c.uid(i.row))
		}
	}
	return out
}

// Counts are total and unseen messages.
func (s *Snapshot) Counts() (total, unseen int) {
	sets := make([]int, len(s.sets))
	for _, c := range s.chunks {
		for i := range c.rows {
			sets[c.at(columnFlags, i)]++
		}
	}
	for i, n := range sets {
		if !mail.HasFlag(s.sets[i].flags, mail.FlagSeen) {
			unseen += n
		}
	}
	return s.rows, unseen
}

// Equal reports that two snapshots hold the same messages in the same state.
func (s *Snapshot) Equal(o *Snapshot) bool {
	if s.rows != o.rows || s.mailbox != o.mailbox || s.uidValidity != o.uidValidity {
		return false
	}
	for i, a := range s.Rows(0, s.rows) {
		b := o.Row(i)
		if a.UID != b.UID || a.ModSeq != b.ModSeq || a.Size != b.Size || a.Thread != b.Thread ||
			!a.InternalDate.Equal(b.InternalDate) || !sameFlags(a.Flags, b.Flags) {
			return false
		}
	}
	return true
}

// The columns of a chunk.
const (
	columnUID = iota
	columnModSeq
	columnFlags
	columnDate
	columnSize
	columnThreadTime
	columnThreadMaker
	columnThreadCounter
	columnCount
)

// chunkRows is how many messages a new chunk has. An edit rewrites a chunk, in
// some 0.1 ms; it may grow to twice as many.
const chunkRows = 1024

// chunk is some messages of a snapshot that lie together.
type chunk struct {
	rows    int
	columns [columnCount]column
	words   []uint64
}

func (c *chunk) at(column, i int) uint64 { return c.columns[column].at(c.words, i) }

func (c *chunk) uid(i int) mail.UID { return mail.UID(c.at(columnUID, i)) } //nolint:gosec // written from one

func (c *chunk) last() mail.UID { return c.uid(c.rows - 1) }

func (c *chunk) bytes() int { return 8*len(c.words) + 16*columnCount + 40 }

// dateBias makes dates before 1970 positive, for 34,000 years.
const dateBias = 1 << 40

func dateOf(v uint64) time.Time {
	return time.Unix(int64(v)-dateBias, 0).UTC() //nolint:gosec // below 2^41
}

// newSnapshot is a snapshot of sorted rows without any sharing.
func newSnapshot(box *mailboxRecord, rows []snapshotRow, t *snapshotTables) *Snapshot {
	s := &Snapshot{mailbox: mail.ID(box.ID)}
	for part := range slices.Chunk(rows, chunkRows) {
		s.add(packChunk(part))
	}
	s.finish(box, t)
	return s
}

func (s *Snapshot) add(c *chunk) {
	s.chunks = append(s.chunks, c)
	s.starts = append(s.starts, s.rows)
	s.rows += c.rows
}

// finish sets what the mailbox and the tables say.
func (s *Snapshot) finish(box *mailboxRecord, t *snapshotTables) {
	s.sets, s.makers = t.sets, t.makers
	s.uidValidity = uint32(box.UIDValidity)                   //nolint:gosec // 32 bits by RFC
	s.uidNext = max(s.uidNext, mail.UID(max(box.UIDNext, 1))) //nolint:gosec // 32 bits by RFC
	if n := len(s.chunks); n > 0 {
		s.uidNext = max(s.uidNext, s.chunks[n-1].last()+1)
	}
}
