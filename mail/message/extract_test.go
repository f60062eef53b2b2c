package message

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestLanguage(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"The cat is on the table and we like it.":                       "en",
		"Die Katze ist auf dem Tisch und wir mögen sie.":                "de",
		"Le chat est sur la table et nous l'aimons bien pour toujours.": "fr",
		"El gato está en la mesa y nos gusta mucho.":                    "es",
		"Il gatto è sul tavolo e ci piace molto, grazie.":               "it",
		"O gato está na mesa e nós gostamos muito dele, obrigado.":      "pt",
		"De kat zit op de tafel en wij vinden het leuk.":                "nl",
		"Katten är på bordet och vi tycker om den.":                     "sv",
		"Kissa on pöydällä ja se ei ole minä, kiitos.":                  "fi",
		"Kot jest na stole i nie wiem, czy to się uda.":                 "pl",
		"Kedi masada ve biz onu çok seviyoruz, bir de köpek var.":       "tr",
		"A macska az asztalon van és nem megy le, hogy egyen.":          "hu",
		"Кошка на столе, и мы не знаем, что с этим делать.":             "ru",
		"Кішка на столі, і ми не знаємо, що з цим робити її.":           "uk",
		"Котката е на масата и ние не знаем какво да правим с нея.":     "bg",
		"猫はテーブルの上にいます。":                                                 "ja", "猫在桌子上，我们不知道这个怎么办。": "zh-Hans", "貓在桌子上，我們不知道這個怎麼辦。": "zh-Hant",
		"고양이가 탁자 위에 있어요": "ko", "القطة على الطاولة ونحن نحبها": "ar", "החתול על השולחן ואנחנו אוהבים אותו": "he",
		"Η γάτα είναι πάνω στο τραπέζι": "el", "แมวอยู่บนโต๊ะและเราชอบมัน": "th", "बिल्ली मेज पर है और हम": "hi",
		"": "", "ok": "", "12345 67890 !!!": "", "https://example.com/a/b/c https://www.example.com/de/la": "",
	} {
		if got := Language(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestCalendarTimes(t *testing.T) {
	t.Parallel()
	event := func(lines string) *Calendar { return ParseCalendar("BEGIN:VEVENT\r\n" + lines + "\r\nEND:VEVENT\r\n") }
	for lines, want := range map[string]string{
		"DTSTART:20260310T130000Z\r\nDURATION:P1DT2H30M":              "2026-03-10T13:00:00Z 2026-03-11T15:30:00Z",
		"DTSTART;TZID=America/New_York:20260310T090000":               "2026-03-10T09:00:00-04:00 0001-01-01T00:00:00Z",
		"DTSTART;TZID=\"W. Europe Standard Time\":20260310T090000":    "2026-03-10T09:00:00+01:00 0001-01-01T00:00:00Z",
		"DTSTART;VALUE=DATE:20260310\r\nDTEND;VALUE=DATE:20260312":    "2026-03-10T00:00:00Z 2026-03-12T00:00:00Z day floating",
		"DTSTART:20260310T130000\r\nDTEND:20260310T140000":            "2026-03-10T13:00:00Z 2026-03-10T14:00:00Z floating",
		"DTSTART:nonsense\r\nDTEND:20260310T140000Z\r\nDURATION:PxyH": "0001-01-01T00:00:00Z 2026-03-10T14:00:00Z",
	} {
		c := event(lines)
		got := c.Start.Format(time.RFC3339) + " " + c.End.Format(time.RFC3339)
		if c.AllDay {
			got += " day"
		}
		if c.Floating {
			got += " floating"
		}
		if got != want {
			t.Errorf("%q: %s, want %s", lines, got, want)
		}
	}
	if c := ParseCalendar("BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR"); c != nil {
		t.Errorf("no event gives %+v", c)
	}
}

func TestGuessType(t *testing.T) {
	t.Parallel()
	for head, want := range map[string]string{
		"%PDF-1.4": "application/pdf", "\x89PNG\r\n\x1a\n": "image/png", "MZ\x90": "application/vnd.microsoft.portable-executable",
		"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "application/x-ole-storage", "PK\x03\x04": "application/zip", "\r\nbegin:vcalendar\r\n": "text/calendar",
		"plain words": "text/plain", "": "text/plain", "\x00\x01\x02\x03": "application/octet-stream",
	} {
		if got := guessType([]byte(head)); got != want {
			t.Errorf("%q: %s, want %s", head, got, want)
		}
	}
	for _, c := range []struct {
		declared, found string
		want            bool
	}{
		{"application/octet-stream", "application/pdf", true},
		{"image/png", "image/jpeg", false},
		{"image/png", "text/html", true},
		{"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/zip", false},
		{"application/msword", "application/x-ole-storage", false},
		{"application/pdf", "application/zip", false},
		{"text/csv", "text/plain", false},
		{"application/pdf", "application/vnd.microsoft.portable-executable", true},
	} {
		if got := contradicts(c.declared, c.found); got != c.want {
			t.Errorf("%s for %s: %v", c.found, c.declared, got)
		}
	}
}

// Text that answers stand in is not cut, nor a letter that only looks quoted.
func TestSplitReplyKeepsOwnText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"> a\nanswer\n> b\nanswer 2\n":                       "> a\nanswer\n> b\nanswer 2",
		"Hello\n--\nnot a signature mark only\n":             "Hello",
		"Three things:\n> one\n> two\n":                      "Three things:",
		"From: here\nto there\n":                             "From: here\nto there",
		"On the hill stood a house:\nit was red.\n":          "On the hill stood a house:\nit was red.",
		"Ja\n\nVon: Bob\nGesendet: Montag\nAn: Ann\n\nAlt\n": "Ja",
	} {
		if got := SplitReply(text).Own; got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzExtract(f *testing.F) {
	for _, s := range []string{
		"List-Id: \"a\" <b.c>\r\nList-Unsubscribe: (x) <https://a/b>, <mailto:c@d> (y)\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
		"Authentication-Results: a.b 1; dkim=pass (c (d)) reason=\"e;f\" header.d=g; spf=none\r\nDisposition-Notification-To: a@b\r\n",
		"Reporting-MTA: dns; a\r\n\r\nFinal-Recipient: utf-8; \\x{430}@b\r\nAction: failed\r\nStatus: 5.1.1\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw := "Content-Type: multipart/report; boundary=b\r\n" + s + "\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n" + s + "\r\n--b--\r\n"
		m := Parse([]byte(raw))
		var texts []string
		if l := m.Root.List(); l != nil {
			texts = append(texts, l.ID.Name, l.ID.Address, l.OneClick)
			for _, u := range l.Unsubscribe {
				texts = append(texts, u.Name, u.Address)
			}
		}
		for _, a := range m.Root.AuthResults() {
			for _, r := range a.Results {
				texts = append(texts, r.Method, r.Result, r.Reason)
			}
		}
		r, err := ReadStatusReport(m.Root, m.Opener())
		if err != nil {
			t.Fatal(err)
		}
		if r != nil {
			for _, s := range r.Recipients {
				texts = append(texts, s.Final, s.Original, s.Action, s.Diagnostic)
			}
		}
		m.Root.ReceiptTo()
		for _, text := range texts {
			if !utf8.ValidString(text) || strings.ContainsAny(text, "\r\n") {
				t.Fatalf("%q", text)
			}
		}
	})
}

func FuzzCalendar(f *testing.F) {
	f.Add("BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nSUMMARY;LANGUAGE=en:a\\, b\r\n  c\r\nDTSTART;TZID=Europe/Berlin:20260310T140000\r\nDURATION:PT1H\r\nATTENDEE;CN=\"x:y\";PARTSTAT=ACCEPTED:mailto:a%40b\r\nEND:VEVENT")
	f.Fuzz(func(t *testing.T, s string) {
		c := ParseCalendar(strings.ToValidUTF8(s, ""))
		if c == nil {
			return
		}
		for _, text := range []string{c.Method, c.UID, c.Summary, c.Location, c.Status, c.Organizer.Name, c.Organizer.Address} {
			if !utf8.ValidString(text) || len(text) > 3*maxCalendarText {
				t.Fatalf("%q", text)
			}
		}
	})
}

func FuzzSplitReply(f *testing.F) {
	for _, s := range []string{"a\n\nOn 1 Jan Bob <b@c> wrote:\n> x\n", "a\n-- \nsig\n", "-----Original Message-----\nFrom: a\n", "From: a\nSent: b\nTo: c\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := SplitReply(s)
		if len(r.Own)+len(r.Signature)+len(r.Quote) > len(s) || !strings.Contains(s, r.Own) || !strings.Contains(s, r.Quote) {
			t.Fatalf("%q divides into %+v", s, r)
		}
		_ = Language(s)
	})
}
