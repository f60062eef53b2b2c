package message

import (
	"net/mail"
	"strings"
	"time"
)

// ParseDate reads a Date header (RFC 5322 3.3) and the other forms that are
// met in mail. Zone abbreviations of RFC 5322 4.3 and the commonest others are
// known. It gives the zero time for what is no date, or lies outside the
// years 1900 to 9999.
func ParseDate(s string) time.Time {
	if len(s) > 200 {
		s = s[:200]
	}
	s = strings.ReplaceAll(collapse(stripComments(s)), " ,", ",")
	if s == "" {
		return time.Time{}
	}
	if t, ok := plainDate(s); ok {
		return t
	}
	s = namedZone(s)
	t, err := mail.ParseDate(s)
	for i := 0; err != nil && i < len(dateLayouts); i++ {
		t, err = time.Parse(dateLayouts[i], s)
	}
	if err != nil || t.Year() < 1900 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

var dateLayouts = []string{
	"Mon, 2 Jan 2006 15:04:05", "Mon, 2 Jan 2006 15:04", "2 Jan 2006 15:04:05", "Mon 2 Jan 2006 15:04:05 -0700",
	"Mon, 2 Jan 2006 15:04:05 -07:00", "2 Jan 2006 15:04:05 -07:00", "Mon, 2 Jan 06 15:04:05 -0700", "Mon, 2-Jan-2006 15:04:05 -0700",
	"Monday, 2 January 2006 15:04:05 -0700", "Mon, 2 January 2006 15:04:05 -0700", "Monday, 2 Jan 2006 15:04:05 -0700",
	"Mon Jan 2 15:04:05 2006", "Mon Jan 2 15:04:05 -0700 2006", "Mon, Jan 2 2006 15:04:05 -0700", "Jan 2, 2006 15:04:05 -0700",
	time.RFC3339, "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006/01/02 15:04:05", "Mon, 2 Jan 2006",
}

// zones gives offsets for abbreviations that time.Parse does not resolve.
func zoneOffset(name string) string {
	switch strings.ToUpper(name) {
	case "UT", "GMT", "UTC", "Z", "WET":
		return "+0000"
	case "EST":
		return "-0500"
	case "EDT", "AST":
		return "-0400"
	case "CST":
		return "-0600"
	case "CDT":
		return "-0500"
	case "MST":
		return "-0700"
	case "MDT":
		return "-0600"
	case "PST":
		return "-0800"
	case "PDT":
		return "-0700"
	case "CET", "BST", "WEST", "MEZ":
		return "+0100"
	case "CEST", "EET", "SAST", "MESZ":
		return "+0200"
	case "EEST", "MSK":
		return "+0300"
	case "IST":
		return "+0530"
	case "JST", "KST":
		return "+0900"
	case "AEST":
		return "+1000"
	case "AEDT":
		return "+1100"
	}
	return ""
}

// namedZone replaces a zone name at the end by its offset.
func namedZone(s string) string {
	s = strings.TrimRight(s, ".;,")
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return s
	}
	last := s[i+1:]
	for _, prefix := range []string{"GMT", "UTC"} {
		if rest, ok := strings.CutPrefix(last, prefix); ok && len(rest) == 5 {
			return s[:i+1] + rest
		}
	}
	if offset := zoneOffset(last); offset != "" {
		return s[:i+1] + offset
	}
	return s
}

// plainDate reads the form that nearly all mail has, "Tue, 3 Mar 2026 10:20:30
// +0100", and nothing else.
func plainDate(s string) (time.Time, bool) {
	if len(s) < len("Tue, 3 Mar 2026 10:20:30 +0100") || s[3] != ',' || s[4] != ' ' || nameOf(weekdays, s[:3]) < 0 {
		return time.Time{}, false
	}
	s = s[5:]
	size := 1
	if s[1] != ' ' {
		size = 2
	}
	day, ok := digits(s[:size])
	if s = s[size:]; !ok || len(s) != len(" Mar 2026 10:20:30 +0100") || s[0] != ' ' || s[4] != ' ' || s[9] != ' ' || s[12] != ':' || s[15] != ':' || s[18] != ' ' {
		return time.Time{}, false
	}
	month := nameOf(months, s[1:4]) + 1
	var n [6]int
	for i, field := range [...]string{s[5:9], s[10:12], s[13:15], s[16:18], s[20:22], s[22:24]} {
		if n[i], ok = digits(field); !ok {
			return time.Time{}, false
		}
	}
	year, hour, minute, second, zone := n[0], n[1], n[2], n[3], n[4]*3600+n[5]*60
	if month == 0 || year < 1900 || day < 1 || hour > 23 || minute > 59 || second > 59 || n[4] > 23 || n[5] > 59 {
		return time.Time{}, false
	}
	switch s[19] {
	case '+':
	case '-':
		zone = -zone
	default:
		return time.Time{}, false
	}
	place := time.UTC
	if zone != 0 {
		place = time.FixedZone("", zone)
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, place)
	return t, t.Day() == day // the 31st of a short month is none
}

const (
	weekdays = "SunMonTueWedThuFriSat"
	months   = "JanFebMarAprMayJunJulAugSepOctNovDec"
)

// nameOf is the number of a name of three letters in a list of such, -1 for
// none.
func nameOf(list, name string) int {
	for i := 0; i < len(list); i += 3 {
		if list[i:i+3] == name {
			return i / 3
		}
	}
	return -1
}

// digits reads a number without a sign.
func digits(s string) (n int, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}
