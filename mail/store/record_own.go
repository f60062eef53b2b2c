package store

import (
	"encoding/binary"
	"hash/fnv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
)

// The field eiderF says the flags of a message in one scalar, so that an
// index can hold them; WildDuck's array of flags makes an index multikey, and
// such an index covers nothing. Its bytes:
//
//	0      version of the form
//	1..8   check: FNV-1a of mailbox and mod-sequence
//	9      system flags, one bit each in the order of systemFlags
//	10..   keywords, a zero byte between two
//
// WildDuck changes flags and mod-sequence and leaves the field alone, or takes
// it along to another mailbox; the check then differs from the message's own,
// and the field is not believed. It is not inside the field eider, because the
// key of an index does not tell {eider: {}} from {}, so that the index would
// not cover it.
const (
	stateFieldName = "eiderF"
	stateVersion   = 1
	stateHead      = 10
)

// stateBytes is the value of eiderF, nil where the flags cannot be written so.
func stateBytes(mailbox mail.ID, modseq mail.ModSeq, flags []mail.Flag) []byte {
	out := make([]byte, stateHead, stateHead+16)
	out[0] = stateVersion
	binary.BigEndian.PutUint64(out[1:], stateCheck(mailbox, modseq))
	for _, f := range flags {
		if bit := systemBit(f); bit != 0 {
			out[9] |= bit
			continue
		}
		if f == "" || strings.ContainsRune(string(f), 0) {
			return nil
		}
		if len(out) > stateHead {
			out = append(out, 0)
		}
		out = append(out, text(string(f))...)
	}
	return out
}

func stateCheck(mailbox mail.ID, modseq mail.ModSeq) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(mailbox[:])
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(modseq)))
	return h.Sum64()
}

func systemBit(f mail.Flag) byte {
	for i, known := range systemFlags {
		if strings.EqualFold(string(known), string(f)) {
			return 1 << i
		}
	}
	return 0
}

// freshState gives what follows the check, the flags, where the field was
// written for this mailbox and mod-sequence.
func freshState(v bson.RawValue, mailbox mail.ID, modseq mail.ModSeq) ([]byte, bool) {
	_, b, ok := v.BinaryOK()
	if !ok || len(b) < stateHead || b[0] != stateVersion || binary.BigEndian.Uint64(b[1:]) != stateCheck(mailbox, modseq) {
		return nil, false
	}
	return b[stateHead-1:], true
}

// stateFlags are the flags that freshState or stateBytes[9:] gives.
func stateFlags(b []byte) []mail.Flag {
	var out []mail.Flag
	for i, f := range systemFlags {
		if b[0]&(1<<i) != 0 {
			out = append(out, f)
		}
	}
	if len(b) > 1 {
		for word := range strings.SplitSeq(string(b[1:]), "\x00") {
			out = append(out, mail.Flag(word))
		}
	}
	return out
}

// stateSet is the field, for a $set or a document that sets the fields which it
// depends on. Who copies a document leaves the source's field out and adds it.
// What cannot be written is null, which is never fresh.
func stateSet(mailbox mail.ID, modseq mail.ModSeq, flags []mail.Flag) bson.E {
	return bson.E{Key: stateFieldName, Value: stateValue(mailbox, modseq, flags)}
}

func stateValue(mailbox mail.ID, modseq mail.ModSeq, flags []mail.Flag) any {
	if b := stateBytes(mailbox, modseq, flags); b != nil {
		return bson.Binary{Data: b}
	}
	return nil
}
