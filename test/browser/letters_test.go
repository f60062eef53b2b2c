package browser

import (
	"encoding/base64"
	"fmt"
	"mime"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// letter is a message of the sample mailbox.
type letter struct {
	name, addr, subject, text, html string
	file, fileType                  string
	thread                          string
	ago                             time.Duration
}

// letters fill a mailbox as a person might have it, newest last.
var letters = []letter{
	{name: "Thank-you desk", addr: "desk@friends.example", subject: "Thank you for Saturday!", text: "We still talk about the soup. Next time at our place.", ago: 6 * 24 * time.Hour},
	{name: "Dr. Ingrid Solheim", addr: "clinic@solheim.example", subject: "Appointment reminder", text: "Thursday 3 December at 14:30.", ago: 5 * 24 * time.Hour},
	{name: "Harbour office", addr: "office@harbour.example", subject: "Berth 14: winter rate from 1 December", text: "The new rate sheet is attached. Nothing to do if you stay.", file: "rates-2027.pdf", fileType: "application/pdf", ago: 5 * 24 * time.Hour},
	{name: "陈立", addr: "li.chen@shuju.example", subject: "关于季度报表的两个问题", text: "第三页的合计似乎不含运费，能否请你确认一下？", ago: 4 * 24 * time.Hour},
	{name: "Build server", addr: "build@ci.example", subject: "courier: build 2841 passed after 3 failures", text: "main at 4f19c02, 6 min 12 s. No flaky tests this time.", ago: 3 * 24 * time.Hour},
	{name: "Ελένη Παπαδοπούλου", addr: "eleni@nisi.example", subject: "Φωτογραφίες από το νησί", text: "Σου στέλνω μερικές από την τελευταία μέρα. Η θάλασσα ήταν λάδι!", file: "thalassa.png", fileType: "image/png", ago: 2 * 24 * time.Hour},
	{name: "ليلى منصور", addr: "layla@maktab.example", subject: "موعد الاجتماع القادم", text: "هل يناسبك يوم الأحد صباحاً؟ أرفقت جدول الأعمال.", ago: 26 * time.Hour},
	{name: "Андрис Рейнманис", addr: "andris@wildduck.example", subject: "Почта переехала", text: "Старый сервер больше не нужен. Всё на месте, ни одно письмо не потерялось.", ago: 25 * time.Hour},
	{name: "Nordlys Ferries", addr: "booking@nordlys.example", subject: "Your booking KQ7-2291: 4 December, 09:20", html: newsletter, text: "Check in 30 minutes before departure.", ago: 5 * time.Hour},
	{name: "Astrid Holm", addr: "astrid@kystlinje.example", subject: "Harbour visit on Friday", text: "Hello,\n\nthe early ferry has room for all of us. Shall we meet at the east quay?\n\nAstrid", thread: "visit", ago: 3 * time.Hour},
	{name: "Astrid Holm", addr: "astrid@kystlinje.example", subject: "Re: Harbour visit on Friday", text: "Hello all,\n\nconfirmed with the harbour office: the 09:20 has room for all of us. The keys are at the front desk until noon.\n\nPlan and map: https://harbour.example/visit\n\n> Shall we meet at the east quay?\n> I will book the room.\n\nAstrid", thread: "visit", file: "plan-harbour-visit.pdf", fileType: "application/pdf", ago: 20 * time.Minute},
}

const newsletter = `<html><head><style>.b{background:#eef1ea;padding:16px;border-radius:8px} td{padding:6px 10px;border-bottom:1px solid #ddd}</style></head>
<body style="font-family:Arial,sans-serif;margin:0"><div style="padding:24px"><h1 style="color:#0b3a53;font-size:22px">Your crossing is booked</h1>
<p>Hello, thank you for choosing Nordlys. Please be at the terminal 30 minutes before departure.</p>
<table class="b" width="100%"><tr><td>Booking</td><td><b>KQ7-2291</b></td></tr><tr><td>Departure</td><td>Friday 4 December 2026, 09:20</td></tr>
<tr><td>Passengers</td><td>4 adults</td></tr></table><p><img src="https://img.nordlys.example/ship.jpg" width="480" height="160" alt="Our ship"></p>
<p><a href="https://nordlys.example/manage">Manage your booking</a></p><img src="https://track.example/open.gif" width="1" height="1">
<script>document.title="owned"</script></div></body></html>`

// raw writes the letter as a message.
func (l letter) raw(now time.Time, n int) string {
	var b strings.Builder
	date := now.Add(-l.ago)
	fmt.Fprintf(&b, "From: %s <%s>\nTo: Lena Sorensen <lena@eider.localhost>\nSubject: %s\nDate: %s\nMessage-ID: <%d@%s>\nMIME-Version: 1.0\n",
		mime.QEncoding.Encode("utf-8", l.name), l.addr, mime.BEncoding.Encode("utf-8", l.subject), date.Format(time.RFC1123Z), n, "letters.example")
	if l.thread != "" {
		fmt.Fprintf(&b, "References: <%s@letters.example>\n", l.thread)
	}
	b.WriteString("Content-Type: multipart/mixed; boundary=outer\n\n--outer\n")
	if l.html != "" {
		b.WriteString("Content-Type: multipart/alternative; boundary=inner\n\n--inner\n" + part("text/plain", l.text) + "--inner\n" + part("text/html", l.html) + "--inner--\n")
	} else {
		b.WriteString(part("text/plain", l.text))
	}
	if l.file != "" {
		fmt.Fprintf(&b, "--outer\nContent-Type: %s\nContent-Disposition: attachment; filename=%q\nContent-Transfer-Encoding: base64\n\n%s\n",
			l.fileType, l.file, wrap(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("eider ", 9000)))))
	}
	b.WriteString("--outer--\n")
	return b.String()
}

func part(kind, text string) string {
	return "Content-Type: " + kind + "; charset=utf-8\nContent-Transfer-Encoding: base64\n\n" +
		wrap(base64.StdEncoding.EncodeToString([]byte(text))) + "\n"
}

func wrap(s string) string {
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + "\n")
		s = s[76:]
	}
	return b.String() + s
}

// fillMailbox makes Lena and delivers the letters to her.
func fillMailbox(t testing.TB, s *harness.Server) {
	t.Helper()
	s.AddUser(t, "lena", "lena@eider.localhost", password)
	now := time.Now()
	for i, l := range letters {
		s.Deliver(t, l.addr, "lena@eider.localhost", l.raw(now, i))
	}
}
