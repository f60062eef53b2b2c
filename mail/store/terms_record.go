package store

import (
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
)

// The documents of eider_terms (docs/search.md). All of an account's carry its
// user, and k, which tells the kinds apart and orders the blocks of a segment:
//
//	"m"                   a message that is in no segment yet: its terms
//	"i"                   the account's list of segments; its _id is the account's
//	"s" segment "d" term  a block of a segment's dictionary, by its first term
//	"s" segment "p" n     a block of its postings, "r" where they are in Rice's code
//	"s" segment "t" n     a block of its table of messages
const (
	kindMessage = "m"
	kindIndex   = "i"
)

// Sizes of blocks.
const (
	dictionaryBlock = 16 << 10
	postingsBlock   = 16 << 10
	tableBlock      = 512
)

// termRecord is a document of eider_terms but the list of segments.
type termRecord struct {
	ID   bson.ObjectID `bson:"_id"`
	User bson.ObjectID `bson:"user"`
	Kind string        `bson:"k"`
	// Date is the internal date of kindMessage.
	Date time.Time `bson:"t,omitempty"`
	Data []byte    `bson:"d"`
}

// doc is the record of a message.
func (r *termRecord) doc() bson.D {
	return bson.D{
		{Key: "_id", Value: r.ID},
		{Key: "user", Value: r.User},
		{Key: "k", Value: r.Kind},
		{Key: "t", Value: r.Date},
		{Key: "d", Value: bson.Binary{Data: r.Data}},
	}
}

// indexRecord is an account's list of segments. Whoever changes it counts gen up
// and names the gen that was read.
type indexRecord struct {
	ID       bson.ObjectID   `bson:"_id"`
	User     bson.ObjectID   `bson:"user"`
	Kind     string          `bson:"k"`
	Gen      int64           `bson:"gen"`
	Segments []segmentRecord `bson:"segs"`
	// Seen tells up to which UID each mailbox has been looked through for
	// messages that others wrote.
	Seen []seenRecord `bson:"seen"`
	// Gone is when the first message went that may still be in a segment; absent
	// where there is none. Dead is about how many.
	Gone *time.Time `bson:"gone,omitempty"`
	Dead int64      `bson:"dead,omitempty"`
}

type segmentRecord struct {
	ID bson.ObjectID `bson:"id"`
	// N is messages in it, Level how often it was merged.
	N     int `bson:"n"`
	Level int `bson:"l"`
	// Paired is how many of them are known to have their pairs in it; others may.
	Paired int `bson:"p,omitempty"`
	// Form is how its postings are written.
	Form int `bson:"f,omitempty"`
}

type seenRecord struct {
	Mailbox bson.ObjectID `bson:"m"`
	UID     int64         `bson:"u"`
}

func (r *indexRecord) seen(mailbox bson.ObjectID) int64 {
	for i := range r.Seen {
		if r.Seen[i].Mailbox == mailbox {
			return r.Seen[i].UID
		}
	}
	return 0
}

func (r *indexRecord) messages() int {
	n := 0
	for i := range r.Segments {
		n += r.Segments[i].N
	}
	return n
}

// key is where the segment's blocks of a kind begin.
func (r *segmentRecord) key(kind byte) string { return "s" + r.ID.Hex() + string(rune(kind)) }

func (r *segmentRecord) block(kind byte, n int) string { return r.key(kind) + fmt.Sprintf("%08x", n) }

// highest is behind every term that begins with a string: no term has this
// character.
const highest = "\U0010FFFF"

// termMark is the field eider.terms of a message that its writer has put into
// the term index; what has none was written by others.
var termMark = bson.E{Key: "terms", Value: 1}

func inFlight(root mail.ID, now time.Time) bool { return now.Sub(root.Time()) < flightTime }

// flightTime is longer than a delivery takes: the terms of a message are written
// before the message.
const flightTime = 10 * time.Minute
