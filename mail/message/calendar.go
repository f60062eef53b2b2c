package message

import (
	"strconv"
	"strings"
	"time"
)

// Calendar is an invitation or another iTIP message (RFC 5546, 6047): the
// first event of a text/calendar part.
type Calendar struct {
	// Method is REQUEST, REPLY, CANCEL and so on, upper case; PUBLISH when
	// nobody says.
	Method string
	// UID names the event, Sequence its revision.
	UID      string
	Sequence int

	Summary, Location, Description string
	// Status is CONFIRMED, TENTATIVE, CANCELLED or "".
	Status string
	// Start and End are zero when they are missing. AllDay: only the days
	// count. Floating: no zone is known; the clock is the reader's own.
	Start, End       time.Time
	AllDay, Floating bool
	// Repeats: there is a recurrence rule.
	Repeats bool

	Organizer Address
	Attendees []Attendee
}

// Attendee is somebody who is invited, or who answers.
type Attendee struct {
	Address
	// Status is NEEDS-ACTION, ACCEPTED, DECLINED, TENTATIVE or DELEGATED.
	Status string
}

const (
	maxCalendar      = 1 << 20
	maxCalendarLines = 20_000
	maxAttendees     = 500
	maxCalendarText  = 10_000
)

// ReadCalendar reads the first calendar part of a message; nil when there is
// none with an event. open opens parts in attachment storage.
func ReadCalendar(root *Node, open Opener) (*Calendar, error) {
	n := findCalendar(root, 0)
	if n == nil {
		return nil, nil //nolint:nilnil // most messages have none
	}
	body, err := readPart(n, open, maxCalendar)
	if err != nil {
		return nil, err
	}
	text, _ := decodeCharset(body, orUTF8(DecodeHeader(n.ContentType().Param("charset"))))
	c := ParseCalendar(text)
	if c != nil && c.Method == "" {
		c.Method = strings.ToUpper(cleanText(n.ContentType().Param("method")))
	}
	if c != nil && c.Method == "" {
		c.Method = "PUBLISH"
	}
	return c, nil
}

func orUTF8(charset string) string {
	if charset == "" {
		return "utf-8" // RFC 5545 3.1.4
	}
	return charset
}

// findCalendar finds the part; those of attached messages do not count.
func findCalendar(n *Node, depth int) *Node {
	switch n.mediaType() {
	case "text/calendar", "application/ics":
		if !n.HasBoundary {
			return n
		}
	}
	for _, c := range n.Children {
		if found := findCalendar(c, depth+1); found != nil {
			return found
		}
	}
	return nil
}

// ParseCalendar reads iCalendar text (RFC 5545), tolerantly; nil when it has no
// event, task or free/busy.
func ParseCalendar(s string) *Calendar {
	p := calendarParser{}
	lines := 0
	for line := range unfoldLines(s) {
		if lines++; lines > maxCalendarLines {
			break
		}
		p.line(line)
	}
	if !p.found {
		return nil
	}
	p.times()
	return &p.c
}

// unfoldLines gives content lines (RFC 5545 3.1).
func unfoldLines(s string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		var line string
		for part := range strings.SplitSeq(s, "\n") {
			part = strings.TrimRight(part, "\r")
			if part != "" && isWSP(part[0]) && len(line) < 2*maxCalendarText {
				line += part[1:]
				continue
			}
			if line != "" && !yield(line) {
				return
			}
			line = part
		}
		if line != "" {
			yield(line)
		}
	}
}

type calendarParser struct {
	c     Calendar
	stack []string
	// found: an event was begun; done: it is over.
	found, done bool
	duration    time.Duration
	// start and end are read when all zones are known, which may come later.
	start, end dated
	zones      calendarZones
}

// dated is a property with a date.
type dated struct {
	params []Param
	value  string
}

func isEvent(name string) bool { return name == "VEVENT" || name == "VTODO" || name == "VFREEBUSY" }

func (p *calendarParser) line(line string) {
	name, params, value := contentLine(line)
	switch name {
	case "BEGIN":
		value = strings.ToUpper(strings.TrimSpace(value))
		if len(p.stack) < 10 {
			p.stack = append(p.stack, value)
		}
		p.found = p.found || isEvent(value)
		p.zones.begin(value)
	case "END":
		n := len(p.stack)
		if n == 0 {
			return
		}
		p.done = p.done || isEvent(p.stack[n-1])
		p.stack = p.stack[:n-1]
	case "METHOD":
		p.c.Method = strings.ToUpper(cleanText(strings.TrimSpace(value)))
	default:
		switch n := len(p.stack); {
		case n == 0:
		case isEvent(p.stack[n-1]) && !p.done:
			p.property(name, params, value)
		default:
			p.zones.property(p.stack[n-1], name, value)
		}
	}
}

// times reads the event's dates.
func (p *calendarParser) times() {
	p.c.Start, p.c.AllDay, p.c.Floating = p.zones.time(p.start.params, p.start.value)
	p.c.End, _, _ = p.zones.time(p.end.params, p.end.value)
	if p.c.End.IsZero() && !p.c.Start.IsZero() && p.duration > 0 {
		p.c.End = p.c.Start.Add(p.duration)
	}
}

func (p *calendarParser) property(name string, params []Param, value string) {
	c := &p.c
	switch name {
	case "UID":
		c.UID = calendarText(value)
	case "SUMMARY":
		c.Summary = calendarText(value)
	case "LOCATION":
		c.Location = calendarText(value)
	case "DESCRIPTION":
		c.Description = calendarText(value)
	case "STATUS":
		c.Status = strings.ToUpper(calendarText(value))
	case "SEQUENCE":
		c.Sequence, _ = strconv.Atoi(strings.TrimSpace(value)) // 0 for what is no number
	case "RRULE", "RDATE":
		c.Repeats = true
	case "DTSTART":
		p.start = dated{params, value}
	case "DTEND", "DUE":
		p.end = dated{params, value}
	case "DURATION":
		p.duration = calendarDuration(value)
	case "ORGANIZER":
		c.Organizer = calendarAddress(params, value)
	case "ATTENDEE":
		if len(c.Attendees) < maxAttendees {
			c.Attendees = append(c.Attendees, Attendee{calendarAddress(params, value), strings.ToUpper(calendarParam(params, "PARTSTAT"))})
		}
	}
}

// contentLine divides NAME;PARAM=value:value. Names are in upper case.
func contentLine(line string) (name string, params []Param, value string) {
	head, value := cutUnquoted(line, ':')
	name, rest := cutUnquoted(head, ';')
	for rest != "" && len(params) < maxParams {
		var part string
		part, rest = cutUnquoted(rest, ';')
		key, v, _ := strings.Cut(part, "=")
		params = append(params, Param{strings.ToUpper(strings.TrimSpace(key)), strings.Trim(v, `"`)})
	}
	return strings.ToUpper(strings.TrimSpace(name)), params, value
}

func calendarParam(params []Param, key string) string {
	for _, p := range params {
		if p.Key == key {
			return cleanText(p.Value)
		}
	}
	return ""
}

var calendarEscapes = strings.NewReplacer(`\\`, `\`, `\,`, ",", `\;`, ";", `\n`, "\n", `\N`, "\n", `\:`, ":", `\"`, `"`)

// calendarText undoes the escapes of RFC 5545 3.3.11. Line breaks stay.
func calendarText(s string) string {
	lines := strings.Split(cutUTF8(calendarEscapes.Replace(s), maxCalendarText), "\n")
	for i := range lines {
		lines[i] = cleanText(lines[i])
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

func calendarAddress(params []Param, value string) Address {
	address := strings.TrimSpace(value)
	if rest, ok := cutFoldPrefix(address, "mailto:"); ok {
		address = string(appendPercent(nil, rest))
	}
	return Address{Name: strings.TrimSpace(calendarParam(params, "CN")), Address: cleanText(address)}
}

// calendarDuration reads P1DT2H30M (RFC 5545 3.3.6); 0 for nonsense.
func calendarDuration(s string) time.Duration {
	s, ok := strings.CutPrefix(strings.TrimPrefix(strings.TrimSpace(s), "+"), "P")
	if !ok || len(s) > 30 {
		return 0
	}
	var total time.Duration
	n := 0
	for i := range len(s) {
		unit := time.Duration(0)
		switch c := s[i]; c {
		case 'T':
			continue
		case 'W':
			unit = 7 * 24 * time.Hour
		case 'D':
			unit = 24 * time.Hour
		case 'H':
			unit = time.Hour
		case 'M':
			unit = time.Minute
		case 'S':
			unit = time.Second
		default:
			if c < '0' || c > '9' || n > 99_999 {
				return 0
			}
			n = n*10 + int(c-'0')
			continue
		}
		total += time.Duration(n) * unit
		n = 0
	}
	return total
}
