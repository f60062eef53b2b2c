package templates

import (
	"strconv"
	"strings"
	"time"
)

// Insight is what a message says besides its text: shown between its head and
// the text, each part only where there is one.
type Insight struct {
	// Warnings are codes of defects (docs/defects.md) that the reader should
	// know of; those without words are left out.
	Warnings []string
	// Event is an invitation, nil for none.
	Event *Event
	// Reports say what became of a message that was sent.
	Reports []ReportLine
	// ReportSubject is that message's subject, "" when it is not known.
	ReportSubject string
	// List is the mailing list that the message came through, nil for none.
	List *MailingList
}

// Event is the summary of an invitation.
type Event struct {
	// Kind is request, cancel, reply or other.
	Kind string
	// Summary, Location and Organizer are as the sender wrote them.
	Summary, Location, Organizer string
	// Start is zero when it is missing, End when the event has none. AllDay:
	// only the days count. Floating: the zone is not known.
	Start, End       time.Time
	AllDay, Floating bool
	Repeats          bool
}

// ReportLine is one recipient's news.
type ReportLine struct {
	// What is failed, delayed, delivered, relayed, expanded or displayed; others
	// are shown as they are.
	What string
	// Who is the address, Why the other server's answer, "" for none.
	Who, Why string
}

// MailingList is how one leaves a list.
type MailingList struct {
	// Name is the list's title or identifier, "" when it has none.
	Name string
	// Href is the page that takes one off the list: https only, "" for none.
	Href string
}

// warning is the text for a code, "" for a code that is not for readers.
func (p Page) warning(code string) string {
	text, ok := lookup(p.Lang, "defect."+code)
	if !ok {
		return ""
	}
	return text
}

// bad reports news of a message that did not arrive.
func (r ReportLine) bad() bool { return r.What == "failed" }

func (r ReportLine) words(p Page) string {
	if text, ok := lookup(p.Lang, "report."+r.What); ok {
		return text
	}
	return r.What
}

// when is the event's time in the reader's zone; a day stays that day, and a
// time without a zone the clock it shows.
func (e Event) when(p Page) string {
	if e.Start.IsZero() {
		return ""
	}
	zone := p.Now.Location()
	if e.AllDay || e.Floating {
		zone = e.Start.Location()
	}
	start, end := e.Start.In(zone), e.End.In(zone)
	day := func(t time.Time) string { return dayMonth(p.Lang, t) + " " + strconv.Itoa(t.Year()) }
	if e.AllDay {
		if end = end.AddDate(0, 0, -1); !e.End.IsZero() && end.After(start) { // RFC 5545 3.6.1: the end is not part of it
			return day(start) + " – " + day(end)
		}
		return day(start)
	}
	text := day(start) + ", " + start.Format("15:04")
	switch {
	case e.End.IsZero() || !e.End.After(e.Start):
	case day(start) == day(end):
		text += "–" + end.Format("15:04")
	default:
		text += " – " + day(end) + ", " + end.Format("15:04")
	}
	return text
}

// kind names the event's key in the catalogue.
func (e Event) kind() string {
	switch e.Kind {
	case "request", "cancel", "reply":
		return "event." + e.Kind
	}
	return "event.other"
}

// leave is the link's target when it is a page.
func (l MailingList) leave() string {
	if strings.HasPrefix(l.Href, "https://") {
		return l.Href
	}
	return ""
}
