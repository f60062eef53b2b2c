package store

import (
	"encoding/binary"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
)

// jobRecord is a document of eider_jobs. The collection is ours: WildDuck
// removes from its own tasks what it does not know.
type jobRecord struct {
	ID      bson.ObjectID `bson:"_id"`
	User    bson.ObjectID `bson:"user"`
	Mailbox bson.ObjectID `bson:"mailbox"`
	Target  bson.ObjectID `bson:"target,omitempty"`
	Kind    string        `bson:"kind"`
	State   string        `bson:"state"`
	Ignore  string        `bson:"ignore,omitempty"`
	// UIDs is the selection: pairs of first and last UID, four bytes each;
	// absent for all that Filter lets pass, up to Upto.
	UIDs   []byte    `bson:"uids,omitempty"`
	Filter jobFilter `bson:"filter"`
	Upto   int64     `bson:"upto"`
	// Add, Remove and Set are the change of flags.
	Add    []string `bson:"add,omitempty"`
	Remove []string `bson:"remove,omitempty"`
	Set    []string `bson:"set,omitempty"`
	HasSet bool     `bson:"hasSet"`
	// Archive keeps what is expunged.
	Archive bool `bson:"archive"`
	// Cursor is the last UID that is done with.
	Cursor      int64         `bson:"cursor"`
	Total       int64         `bson:"total"`
	Done        int64         `bson:"done"`
	Tries       int64         `bson:"tries"`
	Cancel      bool          `bson:"cancel"`
	Failure     string        `bson:"failure,omitempty"`
	Path        string        `bson:"path,omitempty"`
	Lock        bson.ObjectID `bson:"lock,omitempty"`
	LockedUntil time.Time     `bson:"lockedUntil"`
	Created     time.Time     `bson:"created"`
	Updated     time.Time     `bson:"updated"`
	// Expires is set when the job has ended.
	Expires *time.Time `bson:"expires,omitempty"`
}

type jobFilter struct {
	Unseen      bool `bson:"unseen"`
	Flagged     bool `bson:"flagged"`
	Attachments bool `bson:"attachments"`
}

func (r *jobRecord) job() Job {
	return Job{
		ID: mail.ID(r.ID), User: mail.ID(r.User), Mailbox: mail.ID(r.Mailbox), Target: mail.ID(r.Target),
		Kind: BulkKind(r.Kind), State: JobState(r.State), Total: int(r.Total), Done: int(min(r.Done, r.Total)),
		Failure: r.Failure, Created: r.Created.UTC(), Updated: r.Updated.UTC(),
	}
}

// uidRange is UIDs in a row, both ends included.
type uidRange struct{ from, to mail.UID }

// packUIDs writes UIDs as ranges; the list is sorted and without repetition.
func packUIDs(uids []mail.UID) []byte {
	var out []byte
	for i := 0; i < len(uids); {
		last := i
		for last+1 < len(uids) && uids[last+1] == uids[last]+1 {
			last++
		}
		out = binary.BigEndian.AppendUint32(out, uint32(uids[i]))
		out = binary.BigEndian.AppendUint32(out, uint32(uids[last]))
		i = last + 1
	}
	return out
}

// unpackUIDs reads what packUIDs wrote; a remainder that is no range is left out.
func unpackUIDs(b []byte) []uidRange {
	out := make([]uidRange, 0, len(b)/8)
	for ; len(b) >= 8; b = b[8:] {
		r := uidRange{mail.UID(binary.BigEndian.Uint32(b)), mail.UID(binary.BigEndian.Uint32(b[4:]))}
		if r.from > 0 && r.from <= r.to {
			out = append(out, r)
		}
	}
	return out
}

// nextUIDs gives the first n UIDs of the ranges behind after.
func nextUIDs(ranges []uidRange, after mail.UID, n int) []mail.UID {
	i, _ := slices.BinarySearchFunc(ranges, after, func(r uidRange, a mail.UID) int {
		if r.to <= a {
			return -1
		}
		return 1
	})
	var out []mail.UID
	for ; i < len(ranges) && len(out) < n; i++ {
		// One more than the last UID of 32 bits would be 0: the loop counts.
		for u := max(ranges[i].from, after+1); len(out) < n; u++ {
			out = append(out, u)
			if u == ranges[i].to {
				break
			}
		}
	}
	return out
}
