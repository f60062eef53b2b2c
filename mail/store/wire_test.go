package store_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// ENVELOPE and BODYSTRUCTURE are what the message gives: as they were kept at
// its delivery, made anew where they are missing or of another version, and
// after a move or a copy.
func TestWires(t *testing.T) {
	ctx := context.Background()
	env := storetest.New(t)
	s := env.Open(nil)
	u := newUser(t, s, "ann")
	files, err := filepath.Glob("../message/testdata/*.eml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d messages, %v", len(files), err)
	}
	var want []store.Wire
	box := inbox(t, s, u.ID).ID
	sel := store.Selection{User: u.ID, Mailbox: box}
	for i := 0; i < len(files); i += max(len(files)/40, 1) {
		raw, err := os.ReadFile(files[i])
		if err != nil {
			t.Fatal(err)
		}
		m := message.Parse(raw)
		got := must(s.Append(ctx, store.Append{User: u.ID, Mailbox: box, Message: m, SkipAddressRegister: true}))(t)
		sel.UIDs = append(sel.UIDs, got.UID)
		want = append(want, store.Wire{UID: got.UID, Envelope: m.Root.AppendEnvelope(nil), BodyStructure: m.Root.AppendBodyStructure(nil)})
	}
	compareWires(t, s, sel, want)
	messages := env.Collection(t, "messages")
	mustUpdate(t, messages, bson.M{"uid": bson.M{"$mod": bson.A{2, 0}}}, bson.M{"$unset": bson.M{"eider.wire": 1}})
	mustUpdate(t, messages, bson.M{"uid": bson.M{"$mod": bson.A{2, 1}}}, bson.M{"$set": bson.M{"eider.wire": bson.M{"v": 0, "e": []byte("old"), "b": []byte("old")}}})
	compareWires(t, s, sel, want)
	if n := must(messages.CountDocuments(ctx, bson.M{"eider.wire.v": message.WireVersion}))(t); n != int64(len(want)) {
		t.Errorf("%d of %d were kept", n, len(want))
	}
	trash := byUse(t, s, u.ID, mail.UseTrash).ID
	for i, m := range must(s.Copy(ctx, sel, trash))(t) {
		want[i].UID = m.To
	}
	sel.Mailbox, sel.UIDs = trash, nil
	for i := range want {
		sel.UIDs = append(sel.UIDs, want[i].UID)
	}
	compareWires(t, s, sel, want)
	sel.UIDs = make([]mail.UID, 1001)
	wantCode(t, fails(s.Wires(ctx, sel)), mail.CodeInvalid)
}

func compareWires(t *testing.T, s *store.Store, sel store.Selection, want []store.Wire) {
	t.Helper()
	have := must(s.Wires(context.Background(), sel))(t)
	if len(have) != len(want) {
		t.Fatalf("%d, want %d", len(have), len(want))
	}
	for i := range want {
		if have[i].UID != want[i].UID || !bytes.Equal(have[i].Envelope, want[i].Envelope) || !bytes.Equal(have[i].BodyStructure, want[i].BodyStructure) {
			t.Errorf("message %d:\n%q\n%q, want\n%q\n%q", have[i].UID, have[i].Envelope, have[i].BodyStructure, want[i].Envelope, want[i].BodyStructure)
		}
	}
}
