package templates

import (
	"fmt"
	"time"

	"github.com/a-h/templ"
)

// hostile is text that a stranger can put into every field.
const hostile = `"><script>alert(1)</script><img src=x onerror=alert(2)>'` + "\u202e${x}"

var sampleNow = time.Date(2026, 11, 24, 12, 30, 0, 0, time.FixedZone("CET", 3600))

func samplePage() Page {
	return Page{Lang: "en", Nonce: "bm9uY2U", CSRF: "t0ken", Now: sampleNow}
}

func sampleShell(p Page) Shell {
	return Shell{
		Page: p, Name: "Liv Sandvik", Address: "liv@eider.example",
		Folders: []Folder{
			{ID: "a1", Use: "inbox", Total: 214, Unseen: 12, Current: true},
			{ID: "starred", Use: "starred"},
			{ID: "a2", Use: "drafts", Total: 3},
			{ID: "a3", Use: "sent", Total: 90},
			{ID: "a4", Use: "archive", Total: 4000},
			{ID: "a5", Use: "junk", Total: 9, Unseen: 4},
			{ID: "a6", Use: "trash", Total: 2},
			{ID: "b1", Name: "Harbour visit"},
			{ID: "b2", Name: "会議", Unseen: 7},
			{ID: "b3", Name: "Счета 2026", Depth: 1, Unseen: 1234},
			{ID: "b4", Name: "Boat club"},
		},
		Quota: Quota{Used: 6_200_000_000, Limit: 15_000_000_000},
		Live:  Live{Token: "livetoken", Since: "6564"},
	}
}

func sampleTargets() []Target {
	return []Target{{ID: "a4", Use: "archive"}, {ID: "a5", Use: "junk"}, {ID: "b1", Name: "Harbour visit"}, {ID: "b2", Name: "会議"}}
}

type sampleRow struct {
	name, address, subject, intro string
	age                           time.Duration
	count                         int
	unread, starred, clip, draft  bool
}

var sampleRows = []sampleRow{
	{"Astrid Holm", "astrid@kystlinje.example", "Harbour visit on 4 December: ferry times, keys and the guest list", "Confirmed with the harbour office. The 09:20 has room for all of us, and I put the plan and the map below.", 26 * time.Minute, 5, true, false, true, false},
	{"Андрис Рейнис", "андрис@уайлддак.орг", "Повестка встречи рабочей группы по почтовым адресам", "Добрый день! Пишу с адреса андрис@уайлддак.орг — проверьте, пожалуйста, как он отображается у вас.", time.Hour, 3, true, false, false, false},
	{"山田 美咲", "misaki@kaigan.example", "来週の訪問について — 宿と移動のご相談", "お世話になっております。フェリーの到着時刻に合わせて、港までお迎えに参ります。", 98 * time.Minute, 0, true, true, true, false},
	{"ليلى المنصوري", "layla@mansoori.example", "مسودة العقد بعد ملاحظات القسم القانوني", "أرفقت النسخة المعدلة، وأرجو مراجعة البند الرابع قبل نهاية الأسبوع.", 3 * time.Hour, 2, false, false, true, false},
	{"Erik", "erik@eider.example", "Re: Who brings the boat in August?", "I can take the small one on Friday evening, if someone meets me at the", 4 * time.Hour, 4, false, false, false, true},
	{"Aleksandra Wójcik-Brzęczyszczykiewicz", "aw@poczta.example", "Minutes of the annual general meeting of the boat club", "Dear all, please find the minutes. Objections until Friday.", 26 * time.Hour, 0, true, false, true, false},
	{"Nordlys Ferries", "booking@nordlys.example", "Your booking KQ7-2291: 4 December, 09:20", "Check in 30 minutes before departure. Your tickets are attached.", 27 * time.Hour, 0, false, true, true, false},
	{"Ελένη Παπαδοπούλου", "eleni@nisi.example", "Φωτογραφίες από το νησί", "Σου στέλνω μερικές από την τελευταία μέρα. Η θάλασσα ήταν ήσυχη.", 29 * time.Hour, 0, false, false, true, false},
	{"Build server", "ci@build.example", "courier: build 2841 passed after 3 failures", "All 1,204 tests passed in 4 minutes.", 50 * time.Hour, 12, false, false, false, false},
	{"", "noreply@shop.example", "", "", 80 * time.Hour, 0, false, false, false, false},
	{"Mikkel", "mikkel@fjordhus.example", "Keys for the boathouse", "They are under the third stone.", 400 * time.Hour, 0, false, false, false, false},
	{"Michał Sikorski", "m.sikorski@poczta.example", "Old plans", "From last year.", 9000 * time.Hour, 0, false, false, false, false},
}

func sampleOrder(uid uint32) string { return fmt.Sprintf("%08x", uid) }

func sampleList() List {
	l := List{Mailbox: "a1", Use: "inbox", Total: 214, Unseen: 12, Here: "/mail/a1", Older: "/mail/a1?older=k", MoveTo: sampleTargets()}
	for i, s := range sampleRows {
		uid := uint32(900 - i)
		l.Rows = append(l.Rows, Row{
			Mailbox: "a1", UID: uid, Href: MessageURL("a1", uid), Name: s.name, Address: s.address, Draft: s.draft, Subject: s.subject, Intro: s.intro,
			Count: s.count, Unread: s.unread, Starred: s.starred, Attachments: s.clip, Date: sampleNow.Add(-s.age), Order: sampleOrder(uid),
		})
	}
	return l
}

const sampleText = `Hello all,

confirmed with the harbour office: the 09:20 has room for all of us. The keys are at the front desk until noon. I put the plan below (see https://kystlinje.example/plan?day=4) and attached the map and the guest list. Write to astrid@kystlinje.example.

كل شيء جاهز

> Then let us take the early one.
> Astrid, can you ask about the keys?
> I will book the room for Misaki
> and her colleague.
>
> Liv

-- 
Astrid Holm
Kystlinje`

func sampleReader() *Reader {
	liv, astrid := Person{"Liv Sandvik", "liv@eider.example"}, Person{"Astrid Holm", "astrid@kystlinje.example"}
	return &Reader{
		Mailbox: "a1", UID: 900, Use: "inbox", Subject: sampleRows[0].subject, Unread: true, Back: "/mail/a1", Older: MessageURL("a1", 899),
		MoveTo: sampleTargets(), MarkRead: true,
		Messages: []Message{
			{Mailbox: "a1", UID: 880, From: Person{"山田 美咲", "misaki@kaigan.example"}, Date: sampleNow.Add(-18 * time.Hour), Folded: true, Intro: "ありがとうございます。九時二十分の便で大丈夫です。", Href: MessageURL("a1", 880)},
			{Mailbox: "a3", UID: 33, From: liv, Own: true, Date: sampleNow.Add(-3 * time.Hour), Folded: true, Intro: "Then let us take the early one. Astrid, can you ask about the keys?", Href: MessageURL("a3", 33)},
			{
				Mailbox: "a1", UID: 900, From: astrid, To: []Person{liv, {"山田 美咲", "misaki@kaigan.example"}}, Cc: []Person{{"", "андрис@уайлддак.орг"}},
				Date: sampleNow.Add(-26 * time.Minute), Received: sampleNow.Add(-25 * time.Minute), Size: 6_100_000, Text: sampleText, HTMLHref: MessageURL("a1", 900) + "?view=html",
				Attachments: sampleFiles(),
			},
		},
	}
}

func sampleFiles() []Attachment {
	return []Attachment{
		{"Guest list, final.pdf", "application/pdf", 184_000, AttachmentURL("a1", 900, "ATT00001")},
		{"east-quay-map.png", "image/png", 2_300_000, AttachmentURL("a1", 900, "ATT00002")},
		{"フェリー時刻表 2026.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", 41_000, AttachmentURL("a1", 900, "ATT00003")},
		{"photos-of-the-boathouse-and-the-jetty-in-the-evening-light.zip", "application/zip", 3_600_000, AttachmentURL("a1", 900, "ATT00004")},
	}
}

func sampleMailbox(p Page, open bool) Mailbox {
	m := Mailbox{Shell: sampleShell(p), List: sampleList()}
	if open {
		m.List.Rows[0].Open = true
		m.Reader = sampleReader()
	}
	return m
}

func sampleHTML(p Page) Mailbox {
	m := sampleMailbox(p, true)
	msg := &m.Reader.Messages[2]
	msg.Frame = &Frame{Src: FrameURL("a1", 900)}
	msg.TextHref, msg.HTMLHref = MessageURL("a1", 900)+"?view=text", ""
	msg.Images = &Images{Blocked: 3, Trackers: 1, Show: MessageURL("a1", 900) + "?images=1"}
	m.Toast = &Toast{Text: DoneText(p.Lang, "archive", 1), Undo: "signed", Back: "/mail/a1"}
	return m
}

func sampleCompose() Compose {
	return Compose{
		Draft: "a2-7", Version: "3", Action: ActionReply, Ref: "a1-900", Back: "/mail/a1/900",
		From: []Option{{"liv@eider.example", "Liv Sandvik <liv@eider.example>", true}, {"info@eider.example", "Liv Sandvik <info@eider.example>", false}},
		To:   "Astrid Holm <astrid@kystlinje.example>, андрис@уайлддак.орг, 山田 美咲 <misaki@kaigan.example>", Subject: "Re: Harbour visit: rooms and the boat",
		Text:        "Hello Astrid, hello Andris,\n\nthe two rooms above the boathouse are ours from Thursday evening.\n\n美咲さん、港でお会いできるのを楽しみにしています。\n\nBest wishes,\nLiv\n",
		Attachments: []ComposeAttachment{{"ATT00001", "rooms.jpg", "image/jpeg", 1_200_000}, {"ATT00002", "rental-agreement-2026.pdf", "application/pdf", 240_000}},
		Quote:       &Quote{Intro: "On 24 Nov 2026 Astrid Holm wrote:", Text: sampleText, Keep: true},
		Saved:       sampleNow.Add(-26 * time.Minute), MaxSize: 35_000_000,
	}
}

func domains() []Option {
	return []Option{{"eider.example", "eider.example", true}, {"уайлддак.орг", "уайлддак.орг", false}}
}

type sample struct {
	name string
	page templ.Component
}

// pages are samples of every document, in one language and look.
func pages(p Page) []sample {
	bad := sampleCompose()
	bad.Errors = map[string]string{"to": T(p.Lang, "refuse.address", "misaki@kaigan"), "": T(p.Lang, "refuse.unknown")}
	empty := sampleMailbox(p, false)
	empty.List.Rows, empty.List.Total, empty.List.Unseen, empty.List.Older = nil, 0, 0, ""
	picked := sampleMailbox(p, true)
	picked.List.SelectAll = true
	headers := HeadersPage{Shell: sampleShell(p), Mailbox: "a1", UID: 900, Subject: sampleRows[0].subject}
	for i := range 12 {
		headers.Fields = append(headers.Fields, HeaderField{fmt.Sprintf("X-Field-%d", i), "from mx2.kystlinje.example (192.0.2.17) by mx.eider.example with ESMTPS; Tue, 24 Nov 2026 12:04:02 +0100"})
	}
	return []sample{
		{"signin", SignInPage(SignIn{Page: p, Username: "liv", Remember: true, Next: "/mail/a1", Error: T(p.Lang, "signin.wrong"), Register: true, Passkeys: true})},
		{"register", RegisterPage(Register{Page: p, Name: "Андрис Рейнис", Username: "andris", Domains: domains(), Errors: map[string]string{"username": ErrorText(p.Lang, "username", "taken")}, Free: []string{"andris.r", "andris.reinis"}, Score: 3})},
		{"signed-out", SignedOutPage(SignedOut{p})},
		{"error-404", Error(ErrorPage{Page: p, Status: 404, SignedIn: true})},
		{"error-500", Error(ErrorPage{Page: p, Status: 500, Code: "7F3K-29QD", Retry: "/mail/a1", SignedIn: true})},
		{"error-403", Error(ErrorPage{Page: p, Status: 403})},
		{"error-429", Error(ErrorPage{Page: p, Status: 429})},
		{"mailbox", MailboxPage(sampleMailbox(p, false))},
		{"mailbox-open", MailboxPage(sampleMailbox(p, true))},
		{"mailbox-html", MailboxPage(sampleHTML(p))},
		{"mailbox-empty", MailboxPage(empty)},
		{"mailbox-selected", MailboxPage(picked)},
		{"headers", HeadersDoc(headers)},
		{"source", SourceDoc(SourcePage{Shell: sampleShell(p), Mailbox: "a1", UID: 900, Subject: "x", Source: "Return-Path: <astrid@kystlinje.example>\nSubject: x\n\nHello", Cut: true, Size: 9_000_000})},
		{"compose", ComposeDoc(ComposePage{Shell: sampleShell(p), Compose: sampleCompose()})},
		{"compose-error", ComposeDoc(ComposePage{Shell: sampleShell(p), Compose: bad})},
		{"profile", ProfilePage(Profile{Shell: sampleShell(p), DisplayName: "Liv Sandvik", Username: "liv", Zones: []Option{{"Europe/Oslo", "Oslo (UTC+1)", true}}})},
		{"security", SecurityPage(Security{Shell: sampleShell(p), Added: true, Error: T(p.Lang, "passkey.wrong"), Passkeys: []Passkey{
			{ID: "b1", Name: "Laptop", Created: sampleNow.AddDate(0, -8, 0), Used: sampleNow}, {ID: "b2", Name: "Ключ", Created: sampleNow},
		}})},
		{"security-empty", SecurityPage(Security{Shell: sampleShell(p)})},
		{"second", SecondPage(Second{Page: p, Name: "liv@eider.example"})},
		{"shortcuts", ShortcutsPage(Shortcuts{Shell: sampleShell(p), Back: "/mail/a1"})},
	}
}

// hostilePages put hostile text wherever a stranger's text can stand.
func hostilePages(p Page) []sample {
	who := Person{hostile, hostile}
	s := sampleShell(p)
	s.Name, s.Address, s.Query, s.Search = hostile, hostile, hostile, true
	s.Folders = append(s.Folders, Folder{ID: hostile, Name: hostile, Depth: 99})
	s.Toast = &Toast{Text: hostile, Undo: hostile, Back: hostile, Sticky: true, Bad: true}
	m := Mailbox{Shell: s, List: List{Mailbox: "a1", Name: hostile, Here: "javascript:alert(1)", Query: hostile, Newer: "//evil.example/", Older: "/\\evil.example", MoveTo: []Target{{hostile, hostile, ""}}, Rows: []Row{{Mailbox: "a1", UID: 1, Href: "javascript:alert(1)", Name: hostile, Address: hostile, Subject: hostile, Intro: hostile, Date: sampleNow, Unread: true, Starred: true, Attachments: true, Draft: true, Count: 2}}}}
	m.Reader = &Reader{Mailbox: "a1", UID: 1, MailboxName: hostile, Subject: hostile, Back: "javascript:alert(1)", MoveTo: []Target{{hostile, hostile, ""}}, Messages: []Message{
		{Mailbox: "a1", UID: 2, Folded: true, From: who, Intro: hostile, Href: "javascript:alert(1)"},
		{Mailbox: "a1", UID: 1, From: who, To: []Person{who, who}, Cc: []Person{who}, Bcc: []Person{who}, ReplyTo: []Person{who}, Text: hostile + "\n\nhttps://x.example/\"onmouseover=alert(1) javascript:alert(1)\n\n> " + hostile, Notes: []string{hostile}, Attachments: []Attachment{{hostile, hostile, 1, "javascript:alert(1)"}}, TextHref: "javascript:alert(1)", Images: &Images{1, 1, "javascript:alert(1)"}},
	}}
	c := Compose{Draft: hostile, Version: hostile, Action: hostile, Ref: hostile, Back: "javascript:alert(1)", From: []Option{{hostile, hostile, true}}, To: hostile, Cc: hostile, Bcc: hostile, Subject: hostile, Text: "</textarea>" + hostile, Attachments: []ComposeAttachment{{hostile, hostile, hostile, 1}}, Quote: &Quote{hostile, hostile, true}, Errors: map[string]string{"to": hostile, "": hostile, "files": hostile, "from": hostile}}
	return []sample{
		{"hostile-mailbox", MailboxPage(m)},
		{"hostile-compose", ComposeDoc(ComposePage{Shell: s, Compose: c})},
		{"hostile-signin", SignInPage(SignIn{Page: p, Username: hostile, Next: hostile, Error: hostile})},
		{"hostile-register", RegisterPage(Register{Page: p, Name: hostile, Username: hostile, Domains: []Option{{hostile, hostile, true}}, Errors: map[string]string{"name": hostile, "username": hostile, "domain": hostile, "password": hostile, "": hostile}, Free: []string{hostile}})},
		{"hostile-error", Error(ErrorPage{Page: p, Status: 500, Code: hostile, Text: hostile, Retry: "javascript:alert(1)"})},
		{"hostile-headers", HeadersDoc(HeadersPage{Shell: s, Mailbox: "a1", UID: 1, Subject: hostile, Fields: []HeaderField{{hostile, hostile}}})},
		{"hostile-source", SourceDoc(SourcePage{Shell: s, Mailbox: "a1", UID: 1, Subject: hostile, Source: hostile})},
		{"hostile-security", SecurityPage(Security{Shell: s, Error: hostile, Passkeys: []Passkey{{ID: hostile, Name: hostile, Created: sampleNow}}})},
		{"hostile-second", SecondPage(Second{Page: p, Name: hostile})},
		{"hostile-profile", ProfilePage(Profile{Shell: s, DisplayName: hostile, Username: hostile, Zones: []Option{{hostile, hostile, true}}})},
	}
}
