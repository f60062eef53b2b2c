package store

import (
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail"
)

// A state that was written for another mailbox or mod-sequence is not believed;
// one that was written for these gives the flags back.
func TestStateField(t *testing.T) {
	flag := rapid.OneOf(
		rapid.SampledFrom([]mail.Flag{mail.FlagSeen, mail.FlagAnswered, mail.FlagFlagged, mail.FlagDeleted, mail.FlagDraft, "$MDNSent"}),
		rapid.Map(rapid.StringMatching(`[A-Za-z$][A-Za-z0-9_.-]{0,20}`), func(s string) mail.Flag { return mail.Flag(s) }),
	)
	rapid.Check(t, func(rt *rapid.T) {
		flags := cleanFlags(rapid.SliceOfN(flag, 0, 8).Draw(rt, "flags"))
		mailbox, other := mail.NewID(), mail.NewID()
		modseq := mail.ModSeq(rapid.Uint64Range(1, 1<<53).Draw(rt, "modseq"))
		v := rawValue(t, stateValue(mailbox, modseq, flags))
		state, ok := freshState(v, mailbox, modseq)
		if !ok {
			rt.Fatal("not believed where it was written")
		}
		have := stateFlags(state)
		less := func(a, b mail.Flag) int { return strings.Compare(string(a), string(b)) }
		slices.SortFunc(have, less)
		slices.SortFunc(flags, less)
		if !slices.Equal(have, flags) {
			rt.Fatalf("flags %v, want %v", have, flags)
		}
		if _, ok := freshState(v, mailbox, modseq+1); ok {
			rt.Fatal("believed at another mod-sequence")
		}
		if _, ok := freshState(v, other, modseq); ok {
			rt.Fatal("believed in another mailbox")
		}
	})
	if stateValue(mail.NewID(), 1, []mail.Flag{"a\x00b"}) != nil {
		t.Error("a keyword with the separator was written")
	}
	for _, bad := range []any{nil, "text", bson.Binary{Data: []byte{1, 2}}, true} {
		if _, ok := freshState(rawValue(t, bad), mail.NewID(), 1); ok {
			t.Errorf("believed %v", bad)
		}
	}
}

func rawValue(t *testing.T, v any) bson.RawValue {
	t.Helper()
	raw, err := bson.Marshal(bson.D{{Key: "v", Value: v}})
	if err != nil {
		t.Fatal(err)
	}
	return bson.Raw(raw).Lookup("v")
}
