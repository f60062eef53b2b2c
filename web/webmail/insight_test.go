package webmail_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/templates"
)

func golden(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile("../../mail/message/testdata/" + name + ".eml")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(raw), "\r\n", "\n")
}

// What a message says besides its text stands above it.
func TestInsight(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	for name, want := range map[string][]string{
		"list-one-click":                      {"From the mailing list Dev, the list.", `href="https://lists.example.org/u/abc"`, `rel="noopener noreferrer"`, "Unsubscribe"},
		"report-bounce":                       {"Not delivered:", "nobody@example.net", "550 5.1.1 User unknown", "Your message: the original", "Delayed", "old@example.net"},
		"report-read-receipt":                 {"Opened by:", "bob@example.org"},
		"structure-alternative-with-calendar": {"Invitation:", "Planning meeting, part 2", "Room 5", "From Ann Example", "10 Mar 2026"},
		"calendar-cancel-base64":              {"Cancelled:", "1 Apr 2026"},
		"header-from-name-is-address":         {`data-defect="from-name-address"`},
		"type-says-text-is-exe":               {`data-defect="attachment-disguised"`},
		"tnef-winmail":                        {"Длинное имя", "attachments/ATT00001-2"},
		"tnef-body-rtf":                       {"Hello world.", "Вторая строка€"},
		"tnef-body-rtf-html":                  {"<iframe"},
		"calendar-windows-zone":               {"1 Jul 2026"},
	} {
		m := w.put(u, golden(t, name))
		b.get(at(m)).is(http.StatusOK).has(want...)
	}
	m := w.put(u, text("ordinary"))
	b.get(at(m)).is(http.StatusOK).lacks("data-defect", "mailing list", "Invitation", "Not delivered")
}

// Screen readers and browsers are told the language of the text: the one that
// the sender names, else the one that shows.
func TestLanguageOfText(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	const head = "From: a@b.example\nTo: anna@eider.example\nSubject: x\nMIME-Version: 1.0\n"
	const german = "Guten Tag, wir haben das Protokoll der Sitzung und die Liste nicht gefunden. Können Sie es noch einmal schicken?\n"
	plain := func(field, text string) string {
		return head + field + "Content-Type: text/plain; charset=utf-8\n\n" + text
	}
	for lang, raw := range map[string]string{"de": plain("", german), "ru": plain("", "Здравствуйте, что нового и как дела?\n"), "nl": plain("Content-Language: nl\n", german)} {
		b.get(at(w.put(u, raw))).is(http.StatusOK).has(`class="prose plain" lang="` + lang + `"`)
	}
	b.get(at(w.put(u, plain("Content-Language: \"><script>\n", "1 2 3\n")))).is(http.StatusOK).has(`class="prose plain">`)
	m := w.put(u, strings.Replace(plain("Content-Language: pt-BR\n", "<p>Olá</p>\n"), "text/plain", "text/html", 1))
	b.get(at(m)).is(http.StatusOK).has("<iframe")
	b.get(templates.FrameURL(m.Mailbox.String(), uint32(m.UID))).is(http.StatusOK).has(` lang="pt-BR"`)
}

// A list's link that is no https page is not a link.
func TestUnsubscribeIsHTTPSOnly(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	b := w.browser(u)
	for _, uri := range []string{"javascript:alert(1)", "http://lists.example.org/u", "data:text/html,x"} {
		m := w.put(u, "From: a@b.example\nTo: anna@eider.example\nSubject: list\nList-Unsubscribe: <"+uri+">\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n\ntext\n")
		b.get(at(m)).is(http.StatusOK).has("From a mailing list.").lacks(">Unsubscribe<", "javascript:alert")
	}
}

// Files inside winmail.dat are downloaded like any other.
func TestFileInsideTNEF(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	m := w.put(u, golden(t, "tnef-winmail"))
	a := w.browser(u).get(templates.AttachmentURL(m.Mailbox.String(), uint32(m.UID), "ATT00001-2")).is(http.StatusOK).has("%PDF-1.4")
	if cd := a.Header.Get("Content-Disposition"); !strings.Contains(cd, ".pdf") {
		t.Errorf("Content-Disposition: %s", cd)
	}
}

// Each code that has words has them in every language, and is a code.
func TestDefectWords(t *testing.T) {
	t.Parallel()
	known := make(map[string]bool)
	for _, d := range message.KnownDefects() {
		known["defect."+string(d)] = true
	}
	found := 0
	for _, l := range templates.Languages {
		for key := range known {
			if templates.T(l.Tag, key) != key {
				found++
			}
		}
	}
	if found != 6*len(templates.Languages) {
		t.Errorf("%d texts in %d languages", found, len(templates.Languages))
	}
}
