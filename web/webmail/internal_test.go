package webmail

import (
	"mime"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message/safehtml"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/templates"
)

func TestContentDisposition(t *testing.T) {
	for name, want := range map[string]string{
		"a.txt": "a.txt", "": "attachment", "../../etc/passwd": "passwd", `C:\x\y.doc`: "y.doc", "...": "attachment",
		"a\r\nSet-Cookie: x=1.txt": "aSet-Cookie: x=1.txt", `a".txt`: `a".txt`, "invoice\u202etxt.exe": "invoicetxt.exe",
		"Отчёт 1.pdf": "Отчёт 1.pdf", "报告;x=y.doc": "报告;x=y.doc", "a\x00b": "ab", "\xff.txt": "_.txt", "100%.txt": "100%.txt",
		strings.Repeat("x", 10_000) + ".pdf": strings.Repeat("x", 176) + ".pdf",
	} {
		header := contentDisposition(name)
		if strings.ContainsAny(header, "\r\n\x00") || !utf8.ValidString(header) {
			t.Errorf("%q: %q", name, header)
		}
		kind, params, err := mime.ParseMediaType(header)
		if err != nil || kind != "attachment" || params["filename"] != want {
			t.Errorf("%.40q: %q (%v), want %q", name, params["filename"], err, want)
		}
	}
}

func FuzzContentDisposition(f *testing.F) {
	f.Add("a\r\nb\".txt")
	f.Add("\u202e/../x")
	f.Fuzz(func(t *testing.T, name string) {
		header := contentDisposition(name)
		kind, params, err := mime.ParseMediaType(header)
		if err != nil || kind != "attachment" || params["filename"] == "" || len(header) > 1000 ||
			strings.ContainsAny(params["filename"], "/\\\r\n") {
			t.Errorf("%q: %q %v", name, header, err)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add(formatKey(store.Key{Date: time.UnixMilli(1), ID: mail.NewID()}))
	f.Add("")
	f.Add(strings.Repeat("A", 27))
	f.Fuzz(func(t *testing.T, s string) {
		k, err := parseKey(s)
		if err != nil {
			if !mail.IsCode(err, mail.CodeInvalid) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		again, err := parseKey(formatKey(*k))
		if err != nil || !again.Date.Equal(k.Date) || again.ID != k.ID {
			t.Errorf("%q: %v became %v (%v)", s, k, again, err)
		}
	})
}

func FuzzParseRef(f *testing.F) {
	f.Add(templates.Ref(mail.NewID().String(), 7))
	f.Add("-")
	f.Add("aaaaaaaaaaaaaaaaaaaaaaaa-4294967296")
	f.Fuzz(func(t *testing.T, s string) {
		box, uid, err := parseRef(s)
		if err != nil {
			if !mail.IsCode(err, mail.CodeInvalid) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if uid == 0 {
			t.Errorf("%q: uid 0", s)
		}
		b2, u2, err := parseRef(templates.Ref(box.String(), uint32(uid)))
		if err != nil || b2 != box || u2 != uid {
			t.Errorf("%q does not come back", s)
		}
	})
}

var wordUse = regexp.MustCompile(`templates\.[TN]\([^,]+, "([^"]+)"`)

// Every word that the handlers show exists, in every language.
func TestWords(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range wordUse.FindAllStringSubmatch(string(src), -1) {
			n++
			key := m[1]
			if strings.HasPrefix(m[0], "templates.N") {
				key += ".other"
			}
			for _, lang := range templates.Languages {
				if templates.T(lang.Tag, key) == key {
					t.Errorf("%s: no words for %s", file, key)
				}
				if lang.Tag != "en" && templates.T(lang.Tag, key) == templates.T("en", key) {
					t.Errorf("%s: no %s words for %s", file, lang.Name, key)
				}
			}
		}
	}
	if n < 12 {
		t.Errorf("only %d words found", n)
	}
	general := templates.ErrorText("en", "", "no such reason")
	for _, reason := range []string{"unknown", "conflict", "limited", "quota", "forbidden", "away"} {
		if templates.ErrorText("en", "draft", reason) == general {
			t.Errorf("no words for draft, %s", reason)
		}
	}
	for _, verb := range []string{"read", "unread", "star", "unstar", "archive", "junk", "notjunk", "move", verbDelete, verbForever, "undo"} {
		if templates.DoneText("en", verb, 2) == templates.DoneText("en", "other", 2) {
			t.Errorf("no words for %s", verb)
		}
	}
}

func TestComposeErrorsNameTheAddress(t *testing.T) {
	for _, lang := range templates.Languages {
		for _, reason := range []string{"format", "unknown", "full", "long"} {
			text := fieldText(lang.Tag, "to", reason, "x%s@y.example")
			if !strings.Contains(text, "x%s@y.example") || strings.Count(text, "%s") != 1 {
				t.Errorf("%s %s: %q", lang.Tag, reason, text)
			}
		}
	}
}

func TestSafeCacheIsBounded(t *testing.T) {
	now := time.Now()
	c := newSafeCache(func() time.Time { return now })
	key := func(i int) safeKey { return safeKey{uid: mail.UID(i)} }
	page := safeMessage{Result: safehtml.Result{HTML: strings.Repeat("x", 100<<10)}}
	for i := range 500 {
		c.put(key(i), page)
		c.get(key(0))
	}
	if c.bytes > safeBytes || c.used.Len() > safeEntries || len(c.entries) != c.used.Len() {
		t.Errorf("%d bytes in %d entries", c.bytes, c.used.Len())
	}
	if _, ok := c.get(key(0)); !ok {
		t.Error("the entry in use was dropped")
	}
	if _, ok := c.get(key(1)); ok {
		t.Error("an old entry was kept")
	}
	c.put(key(1000), safeMessage{Result: safehtml.Result{HTML: strings.Repeat("x", safeBytes)}})
	if _, ok := c.get(key(1000)); ok {
		t.Error("one entry took all the room")
	}
	now = now.Add(safeFor)
	if _, ok := c.get(key(0)); ok {
		t.Error("an entry outlived its time")
	}
}
