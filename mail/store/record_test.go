package store

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
	"github.com/eidermail/eider/mail/message"
)

// goldenMessages are the samples of package message.
func goldenMessages(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("../message/testdata/*.eml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no sample messages: %v", err)
	}
	out := map[string][]byte{}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(name)] = raw
	}
	return out
}

// A message goes into a document and comes back: the bytes, the text, the people.
func TestMessageDocument(t *testing.T) {
	for name, raw := range goldenMessages(t) {
		t.Run(name, func(t *testing.T) { documentRoundTrip(t, raw) })
	}
}

// fillBlobs gives n the hashes of the message's contents, and opens them as
// they come back from storage.
func fillBlobs(t testing.TB, n *newMessage, m *message.Message) message.Opener {
	t.Helper()
	texts := map[string][]byte{}
	for _, b := range m.Blobs() {
		n.hashes[b.ID] = b.Hash
		c := b.Content()
		r := c.Reader
		if c.Decoded {
			r = message.EncodeReader(r, c.LineLen, 0)
		}
		var err error
		if texts[b.ID], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	return func(id string, from, count int64) (io.ReadCloser, error) {
		text := texts[id][from:]
		if count >= 0 {
			text = text[:count]
		}
		return io.NopCloser(bytes.NewReader(text)), nil
	}
}

func documentRoundTrip(t testing.TB, raw []byte) {
	m := message.Parse(raw)
	n := &newMessage{
		id: mail.NewID(), user: mail.NewID(), mailbox: mail.NewID(), thread: mail.NewID(), uid: 7, modseq: 9,
		idate: time.Now(), now: time.Now(), hashes: map[string][32]byte{},
	}
	open := fillBlobs(t, n, m)
	doc, err := bson.Marshal(messageDoc(n, &Append{Message: m, Draft: &Draft{Key: "k", Revision: 2, Data: "{}"}}))
	if err != nil {
		t.Fatal(err)
	}
	if err := validUTF8(bson.Raw(doc)); err != nil {
		t.Fatal(err)
	}
	d, err := decodeDetail(doc)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := message.Rebuild(&got, d.tree, d.Eider.Patch, open); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), raw) {
		t.Errorf("bytes differ:\n%s", cmp.Diff(string(raw), got.String()))
	}
	back := d.detail()
	if back.Subject != m.Subject || back.Intro != m.Intro || back.Draft == nil || back.Draft.Revision != 2 {
		t.Errorf("subject %q, intro %q, draft %v", back.Subject, back.Intro, back.Draft)
	}
	if len(m.Text) < maxText && back.Text != m.Text {
		t.Errorf("text:\n%s", cmp.Diff(m.Text, back.Text))
	}
	if len(back.Attachments) != len(m.Attachments) || back.UID != 7 || back.ModSeq != 9 {
		t.Errorf("%d attachments, want %d; uid %d", len(back.Attachments), len(m.Attachments), back.UID)
	}
	if diff := cmp.Diff(addressesOf(m.To), addressesOf(back.To)); diff != "" {
		t.Errorf("to: %s", diff)
	}
	if len(d.hashes) != len(n.hashes) {
		t.Errorf("%d contents, want %d", len(d.hashes), len(n.hashes))
	}
}

// addressesOf is the addresses alone, domains in Unicode as ENVELOPE has them.
func addressesOf(list []message.Address) []string {
	out := []string{}
	for _, a := range flatten(list) {
		text := a.Address
		if parsed, err := address.Parse(text); err == nil {
			text = parsed.String()
		}
		if text != "" {
			out = append(out, text)
		}
	}
	return out
}

// validUTF8 looks at every string of a document: the database refuses others.
func validUTF8(doc bson.Raw) error {
	elements, err := doc.Elements()
	if err != nil {
		return err
	}
	for _, e := range elements {
		v := e.Value()
		if s, ok := v.StringValueOK(); ok && (!utf8.ValidString(s) || !utf8.ValidString(e.Key())) {
			return errTree
		}
		if sub, ok := v.DocumentOK(); ok {
			if err := validUTF8(sub); err != nil {
				return err
			}
		}
		if list, ok := v.ArrayOK(); ok {
			if err := validUTF8(bson.Raw(list)); err != nil {
				return err
			}
		}
	}
	return nil
}

func FuzzMessageDocument(f *testing.F) {
	for _, raw := range goldenMessages(f) {
		if len(raw) < 4096 {
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := message.Parse(raw)
		n := &newMessage{id: mail.NewID(), uid: 1, modseq: 1, idate: time.Now(), now: time.Now(), hashes: map[string][32]byte{}}
		open := fillBlobs(t, n, m)
		doc, err := bson.Marshal(messageDoc(n, &Append{Message: m}))
		if err != nil {
			t.Fatal(err)
		}
		d, err := decodeDetail(doc)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		err = message.Rebuild(&got, d.tree, d.Eider.Patch, open)
		if err != nil || !bytes.Equal(got.Bytes(), raw) {
			t.Fatalf("bytes differ (%v)", err)
		}
		_ = d.detail()
	})
}

func TestBinaryString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := string(rapid.SliceOf(rapid.Byte()).Draw(t, "raw"))
		s := toBinaryString(raw)
		if !utf8.ValidString(s) {
			t.Fatalf("%q is not valid", s)
		}
		if back, ok := fromBinaryString(s); !ok || back != raw {
			t.Fatalf("%q came back as %q", raw, back)
		}
		if want := readable(toBinaryString("Привет, " + "мир")); want != "Привет, мир" {
			t.Fatalf("readable = %q", want)
		}
	})
	for _, s := range []string{"plain", "café", "Привет", "日本"} {
		if got := readable(s); got != s {
			t.Errorf("readable(%q) = %q", s, got)
		}
	}
}

func TestNumbersOfAllKinds(t *testing.T) {
	for _, v := range []any{int32(5), int64(5), float64(5)} {
		doc, err := bson.Marshal(bson.D{{Key: "uid", Value: v}, {Key: "modseq", Value: v}, {Key: "size", Value: v}})
		if err != nil {
			t.Fatal(err)
		}
		var r stateRecord
		if err := bson.Unmarshal(doc, &r); err != nil || r.UID != 5 || r.ModSeq != 5 || r.Size != 5 {
			t.Errorf("%T: %+v, %v", v, r, err)
		}
		if n := rawNumber(bson.Raw(doc).Lookup("uid")); n != 5 {
			t.Errorf("%T: rawNumber = %d", v, n)
		}
	}
}

// Documents that WildDuck wrote hold false, null and numbers of any kind where
// ours hold strings and dates.
func TestWildDuckUser(t *testing.T) {
	id := bson.NewObjectID()
	doc, err := bson.Marshal(bson.M{
		"_id": id, "username": "ann", "unameview": "ann", "name": nil, "password": "", "tempPassword": false,
		"enabled2fa": true, "seed": "", "authVersion": float64(3), "address": "ann@example.com", "storageUsed": float64(-5),
		"quota": float64(1024), "targets": bson.A{bson.M{"id": id, "type": "mail", "value": "x@y"}}, "spamLevel": float64(40),
		"lastLogin": bson.M{"time": false, "authEvent": false, "ip": false}, "created": time.Now(), "activated": true,
		"disabled": false, "retention": float64(0), "tags": bson.A{"a"}, "pendingSeedChanged": false,
	})
	if err != nil {
		t.Fatal(err)
	}
	var u userRecord
	if err := bson.Unmarshal(doc, &u); err != nil {
		t.Fatal(err)
	}
	a := u.account(99)
	if a.ID != mail.ID(id) || a.AuthVersion != 3 || a.StorageUsed != 0 || a.Quota != 1024 || a.SpamLevel != 40 || !a.LastLogin.IsZero() ||
		len(a.Enabled2FA) != 1 || len(a.Targets) != 1 || a.HasPassword {
		t.Errorf("account = %+v", a)
	}
}

func TestRelaxedBodyHash(t *testing.T) {
	// RFC 6376 3.4.4: an empty body is hashed as the empty string.
	const empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	for _, body := range []string{"", "\r\n", "\r\n\r\n", " \t\r\n"} {
		if got := relaxedBodyHash([]byte(body)); got != empty {
			t.Errorf("hash of %q = %s", body, got)
		}
	}
	// RFC 6376 3.4.5, example 1.
	if relaxedBodyHash([]byte(" C \r\nD \t E\r\n\r\n\r\n")) != relaxedBodyHash([]byte(" C\r\nD E\r\n")) {
		t.Error("white space counts")
	}
	if relaxedBodyHash([]byte("a\r\n\r\nb")) == relaxedBodyHash([]byte("a\r\nb")) {
		t.Error("an empty line in the middle does not count")
	}
}

func TestFolderNames(t *testing.T) {
	for language, want := range map[string]string{"": "Sent Mail", "en": "Sent Mail", "et": "Saadetud kirjad", "pt_BR": "Enviados", "de-AT": "Gesendet", "xx": "Sent Mail"} {
		if got := folderName(language, mail.UseSent, nil); got != want {
			t.Errorf("%q: %q, want %q", language, got, want)
		}
	}
	for lang, names := range folderNames {
		for i, name := range names {
			if clean, err := cleanPath(name); err != nil || clean != name {
				t.Errorf("%s: %q is no path", lang, name)
			}
			for j := range i {
				if names[j] == name {
					t.Errorf("%s: %q twice", lang, name)
				}
			}
		}
	}
}

func TestCleanPath(t *testing.T) {
	for path, want := range map[string]string{
		"inbox": "INBOX", "Inbox/Sub": "INBOX/Sub", "/a/b/": "a/b", "Работа": "Работа", " a / b ": "a/b",
	} {
		if got, err := cleanPath(path); err != nil || got != want {
			t.Errorf("cleanPath(%q) = %q, %v", path, got, err)
		}
	}
	for _, path := range []string{"", "/", "a//b", "a\x00", "\xff", "a\nb"} {
		if got, err := cleanPath(path); err == nil {
			t.Errorf("cleanPath(%q) = %q", path, got)
		}
	}
}

func relaxedBodyHash(body []byte) string {
	h := newBodyHasher()
	_, _ = h.Write(body) // a hash never fails
	return h.sum()
}

// The hash does not depend on the portions in which the body comes.
func TestBodyHashInPortions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		body := []byte(strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"a", " ", "\t", "\r", "\n", "\r\n", "bc"})).Draw(t, "body"), ""))
		h := newBodyHasher()
		for _, c := range body {
			_, _ = h.Write([]byte{c})
		}
		if got, want := h.sum(), relaxedBodyHash(body); got != want {
			t.Fatalf("%q: %s byte by byte, %s whole", body, got, want)
		}
	})
}
