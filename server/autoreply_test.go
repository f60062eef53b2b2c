package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/deliver"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
	"github.com/eidermail/eider/server"
)

// away is a site that delivers over LMTP, and bob, who is on holiday.
type away struct {
	t     *testing.T
	store *store.Store
	bob   mail.User
	site  *smtp.Client
	clock time.Time
	n     int
	// filed is the last insert of a queued message, as JSON.
	filed atomic.Value
}

func newAway(t *testing.T, env *storetest.Env, change func(*deliver.Options)) *away {
	t.Helper()
	w := &away{t: t, clock: time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC)}
	w.store = env.Open(func(o *store.Options) {
		o.Monitor = storetest.WatchText(func(command string) {
			if strings.Contains(command, `"mail.files"`) && strings.Contains(command, `"documents"`) {
				w.filed.Store(command)
			}
		})
	})
	w.bob = user(t, w.store, "bob", 0)
	w.set(func(a *store.Autoreply) {
		a.Status, a.Name, a.Text, a.HTML = true, "Bob Away", "Back on Monday.", "<p>Back on <b>Monday</b>.</p>"
	})
	c := config("", "127.0.0.1:0")
	o := deliver.Options{Store: w.store, Signal: env.Signal, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.clock }}
	if change != nil {
		change(&o)
	}
	c.Options.Deliver = deliver.New(o)
	servers, err := server.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = servers.Stop(ctx)
	})
	socket, err := net.Dial("tcp", servers.LMTP.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w.site = smtp.NewClientLMTP(socket)
	t.Cleanup(func() { _ = w.site.Close() })
	return w
}

func (w *away) set(change func(*store.Autoreply)) {
	w.t.Helper()
	if _, err := w.store.SetAutoreply(w.t.Context(), w.bob.ID, func(a *store.Autoreply) error { change(a); return nil }); err != nil {
		w.t.Fatal(err)
	}
}

// send delivers a message to bob and expects it to be taken.
func (w *away) send(from, header string) {
	w.t.Helper()
	w.n++
	if !strings.Contains(header, "\nTo:") {
		header += "To: Bob <bob@example.org>\r\n"
	}
	err := w.site.SendMail(from, []string{"bob@example.org"}, strings.NewReader(
		fmt.Sprintf("From: x@elsewhere.example\r\nMessage-ID: <%d@elsewhere.example>\r\n%s\r\ntext\r\n", w.n, header)))
	if err != nil {
		w.t.Fatal(err)
	}
	if got := inbox(w.t, w.store, w.bob); len(got) != w.n {
		w.t.Fatalf("bob has %d messages, want %d", len(got), w.n)
	}
}

// queued are the answers for people elsewhere.
func (w *away) queued() (out []string) {
	w.t.Helper()
	entries, err := w.store.QueueEntries(w.t.Context(), store.QueueFilter{User: w.bob.ID})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		raw, err := w.store.QueueRaw(w.t.Context(), e.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, e.Recipient+"\n"+string(raw))
	}
	return out
}

func TestAutoreply(t *testing.T) {
	w := newAway(t, storetest.New(t), nil)
	w.send("ann@elsewhere.example", "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nReferences: <a@b> <c@d>\r\nAuto-Submitted: no\r\n")
	got := w.queued()
	if len(got) != 1 || !strings.HasPrefix(got[0], "ann@elsewhere.example\n") {
		t.Fatalf("%q", got)
	}
	m := message.Parse([]byte(strings.SplitN(got[0], "\n", 2)[1]))
	root := m.Root
	for name, want := range map[string]string{
		"From": "Bob Away <bob@example.org>", "To": "<ann@elsewhere.example>", "Auto-Submitted": "auto-replied", "In-Reply-To": "<1@elsewhere.example>",
		"References": "<a@b> <c@d> <1@elsewhere.example>", "X-WD-Autoreply-For": "<1@elsewhere.example>",
	} {
		if have := root.Lookup(name); len(have) != 1 || strings.Trim(have[0], "<>") != strings.Trim(want, "<>") {
			t.Errorf("%s: %q, want %q", name, have, want)
		}
	}
	if m.Subject != "Auto: Re: Grüße" || strings.TrimSpace(m.Text) != "Back on Monday." || len(m.HTML) != 1 || len(m.Defects) > 0 {
		t.Errorf("%q %q %q %v", m.Subject, m.Text, m.HTML, m.Defects)
	}
	for _, want := range []string{`"from": ""`, `"interface": "autoreplies"`, `"reason": "autoreply"`} {
		if filed, _ := w.filed.Load().(string); !strings.Contains(strings.ReplaceAll(filed, `":"`, `": "`), want) {
			t.Errorf("queued without %s: %s", want, filed)
		}
	}
	w.send("Ann@Elsewhere.example", "Subject: again\r\n")
	if n := len(w.queued()); n != 1 {
		t.Errorf("a second message within the interval: %d answers", n)
	}
	w.set(func(a *store.Autoreply) { a.Subject = "On holiday" })
	w.send("carl@elsewhere.example", "Subject: x\r\n")
	if got := w.queued(); len(got) != 2 || !strings.Contains(got[1], "\nSubject: Auto: On holiday\r\n") {
		t.Errorf("%q", got)
	}
}

// Programs, lists, bulk mail, blind copies and oneself are not answered.
func TestNoAutoreply(t *testing.T) {
	w := newAway(t, storetest.New(t), nil)
	for _, c := range []struct{ from, header string }{
		{"", "Subject: bounce\r\n"},
		{"MAILER-DAEMON@elsewhere.example", ""},
		{"no-reply@elsewhere.example", ""},
		{"shop.noreply@elsewhere.example", ""},
		{"owner-list@elsewhere.example", ""},
		{"list-request@elsewhere.example", ""},
		{"bob@example.org", ""},
		{"b.ob+me@example.org", ""},
		{"nobody@example.org", ""},
		{"a1@elsewhere.example", "Auto-Submitted: auto-replied (holiday)\r\n"},
		{"a2@elsewhere.example", "Auto-Submitted: auto-generated\r\n"},
		{"a3@elsewhere.example", "Precedence: bulk\r\n"},
		{"a4@elsewhere.example", "Precedence: List\r\n"},
		{"a5@elsewhere.example", "Precedence: junk\r\n"},
		{"a6@elsewhere.example", "List-Unsubscribe: <https://elsewhere.example/u>\r\n"},
		{"a7@elsewhere.example", "List-Id: <x.elsewhere.example>\r\n"},
		{"a8@elsewhere.example", "X-Auto-Response-Suppress: DR, OOF\r\n"},
		{"a9@elsewhere.example", "X-Auto-Response-Suppress: All\r\n"},
		{"a10@elsewhere.example", "Subject: x\r\nTo: somebody@else.example\r\n"},
		{"a11@elsewhere.example", "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n"},
	} {
		w.send(c.from, c.header)
		if got := w.queued(); len(got) != 0 {
			t.Fatalf("%+v: %q", c, got)
		}
	}
	w.set(func(a *store.Autoreply) { a.Start = w.clock.Add(time.Hour) })
	w.send("ann@elsewhere.example", "Subject: before\r\n")
	w.set(func(a *store.Autoreply) { a.Start, a.End = w.clock.Add(-2*time.Hour), w.clock.Add(-time.Hour) })
	w.send("ann@elsewhere.example", "Subject: after\r\n")
	w.set(func(a *store.Autoreply) { a.Status, a.Start, a.End = false, time.Time{}, time.Time{} })
	w.send("ann@elsewhere.example", "Subject: off\r\n")
	if got := w.queued(); len(got) != 0 {
		t.Errorf("%q", got)
	}
	w.set(func(a *store.Autoreply) {
		a.Status, a.Start, a.End = true, w.clock.Add(-time.Hour), w.clock.Add(time.Hour)
	})
	w.send("ann@elsewhere.example", "Subject: during\r\nTo: list@else.example\r\nCc: group: B.ob+x@example.org;\r\n")
	if got := w.queued(); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

// Who is here gets the answer at once; two who are away do not answer each
// other's answers.
func TestAutoreplyHere(t *testing.T) {
	w := newAway(t, storetest.New(t), nil)
	ann := user(t, w.store, "ann", 0)
	if _, err := w.store.SetAutoreply(t.Context(), ann.ID, func(a *store.Autoreply) error { a.Status, a.Text = true, "Away, too."; return nil }); err != nil {
		t.Fatal(err)
	}
	w.send("ann@example.org", "Subject: hello\r\n")
	got := inbox(t, w.store, ann)
	if len(got) != 1 || !strings.Contains(got[0], "\nReturn-Path: <>\r\n") || !strings.Contains(got[0], "Back on Monday.") {
		t.Errorf("ann has %q", got)
	}
	if len(inbox(t, w.store, w.bob)) != 1 || len(w.queued()) != 0 {
		t.Error("the answer was answered")
	}
}

// noSignals is a server of signals that is away.
type noSignals struct{ signal.Signal }

var errAway = &mail.Error{Code: mail.CodeUnavailable, Op: "signal"}

func (noSignals) SetNew(context.Context, string, string, time.Duration) (bool, error) {
	return false, errAway
}

func (noSignals) Count(context.Context, string, int64, int64, time.Duration) (signal.Counted, error) {
	return signal.Counted{}, errAway
}

// What an answer needs may be away: the message is stored all the same, and
// nobody is answered twice for it.
func TestAutoreplyDegrades(t *testing.T) {
	t.Run("signals", func(t *testing.T) {
		w := newAway(t, storetest.New(t), func(o *deliver.Options) { o.Signal = noSignals{o.Signal} })
		w.send("ann@elsewhere.example", "Subject: x\r\n")
		if got := w.queued(); len(got) != 0 {
			t.Errorf("%q", got)
		}
	})
	t.Run("queue", func(t *testing.T) {
		env, proxy := storetest.Proxied(t, "rs0")
		w := newAway(t, env, nil)
		const notPermitted = 13
		proxy.Refuse("insert", "zone-queue", notPermitted)
		w.send("ann@elsewhere.example", "Subject: x\r\n")
		if got := w.queued(); len(got) != 0 || proxy.Broken() == 0 {
			t.Errorf("%q, %d refused", got, proxy.Broken())
		}
		w.send("ann@elsewhere.example", "Subject: y\r\n")
		if got := w.queued(); len(got) != 1 {
			t.Errorf("the next message has %d answers", len(got))
		}
	})
}
