// Package mail is the vocabulary of the domain: identifiers, flags, mailboxes,
// messages, changes and the one error type. It does no I/O and imports only
// the leaves mail/address and mail/message.
//
// Names follow RFC 9051 (UID, UIDVALIDITY, flags, special use) and RFC 7162
// (mod-sequence).
package mail

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"
)

// ID identifies a stored object. It is a MongoDB ObjectID: four bytes of
// seconds, five of process randomness, three of a counter, so that ids made
// by one process sort by the time of their making.
type ID [12]byte

var (
	idProcess = newProcessPart()
	idCounter atomic.Uint32
)

func newProcessPart() (part [5]byte) {
	// crypto/rand.Read never fails since Go 1.24; it crashes the program instead.
	_, _ = rand.Read(part[:])
	var seed [4]byte
	_, _ = rand.Read(seed[:])
	idCounter.Store(binary.BigEndian.Uint32(seed[:]))
	return part
}

// NewID returns an identifier that no other process makes.
func NewID() ID { return NewIDAt(time.Now()) }

// NewIDAt is NewID with the time part given.
func NewIDAt(t time.Time) (id ID) {
	binary.BigEndian.PutUint32(id[:4], uint32(t.Unix())) //nolint:gosec // the format holds 32 bits of seconds
	copy(id[4:9], idProcess[:])
	n := idCounter.Add(1)
	id[9], id[10], id[11] = byte(n>>16), byte(n>>8), byte(n) //nolint:gosec // three bytes by format
	return id
}

// ParseID reads 24 hexadecimal digits. The error's code is CodeInvalid.
func ParseID(s string) (id ID, err error) {
	if len(s) != 2*len(id) {
		return ID{}, &Error{Code: CodeInvalid, Op: "parse id"}
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, &Error{Code: CodeInvalid, Op: "parse id", Err: err}
	}
	return id, nil
}

// String gives 24 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText and UnmarshalText write and read the form of String, so that an
// id may stand in JSON.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is ParseID.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// IsZero reports the id that no object has.
func (id ID) IsZero() bool { return id == ID{} }

// Time is when the id was made, in whole seconds.
func (id ID) Time() time.Time {
	return time.Unix(int64(binary.BigEndian.Uint32(id[:4])), 0).UTC()
}

// UID numbers a message within one mailbox and UIDVALIDITY. It only rises
// (RFC 9051 2.3.1.1).
type UID uint32

// ModSeq is a mailbox's modification sequence; it only rises (RFC 7162 3.1).
type ModSeq uint64

// Flag is a system flag or keyword, kept in the case it was given.
type Flag string

// System flags (RFC 9051 2.3.2) and the keyword that webmail and clients use
// for a forwarded message.
const (
	FlagSeen      = Flag(imap.FlagSeen)
	FlagAnswered  = Flag(imap.FlagAnswered)
	FlagFlagged   = Flag(imap.FlagFlagged)
	FlagDeleted   = Flag(imap.FlagDeleted)
	FlagDraft     = Flag(imap.FlagDraft)
	FlagForwarded = Flag(imap.FlagForwarded)
)

// SpecialUse is a mailbox attribute of RFC 6154. INBOX has none; it is known
// by its path.
type SpecialUse string

// The special uses that Eider files mail by.
const (
	UseNone    SpecialUse = ""
	UseSent               = SpecialUse(imap.MailboxAttrSent)
	UseTrash              = SpecialUse(imap.MailboxAttrTrash)
	UseDrafts             = SpecialUse(imap.MailboxAttrDrafts)
	UseJunk               = SpecialUse(imap.MailboxAttrJunk)
	UseArchive            = SpecialUse(imap.MailboxAttrArchive)
)

// Inbox is the path of the one mailbox that every account has.
const Inbox = "INBOX"
