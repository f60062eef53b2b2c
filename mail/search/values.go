package search

import (
	"strconv"
	"strings"
	"time"
)

// sizeOf reads 5M, 300k, 1.5g or bytes. larger and smaller do not hold for the
// size itself, as in RFC 9051 6.4.4.
func sizeOf(name, value string) Query {
	n, ok := bytesOf(value)
	switch {
	case !ok:
		return nil
	case name == "smaller" && n > 0:
		// The largest that is smaller; Max 0 would not bound.
		if n == 1 {
			return Or{}
		}
		return Size{Max: n - 1}
	case name == "smaller":
		return Or{}
	}
	return Size{Min: n + 1}
}

func bytesOf(value string) (int64, bool) {
	v := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(value), "b"), "i")
	unit := int64(1)
	for i, s := range []string{"k", "m", "g"} {
		if cut, ok := strings.CutSuffix(v, s); ok {
			v, unit = cut, 1<<(10*(i+1))
			break
		}
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || !(n >= 0 && n*float64(unit) < 1<<53) {
		return 0, false
	}
	return int64(n * float64(unit)), true
}

// date reads a condition on the internal date. A day, month or year is a span:
// before is before its start, after and since are from its start on, on is
// within.
func (p *peopleParser) date(name, value string) Query {
	from, to, ok := p.span(value)
	if !ok {
		return nil
	}
	switch name {
	case "before", "older", "older_than":
		return Date{To: from}
	case "after", "since", "newer", "newer_than":
		return Date{From: from}
	}
	return Date{From: from, To: to}
}

// span reads 2026, 2026-03, 2026-03-05 (also with slashes or dots), today,
// yesterday, and a time ago: 7d, 2w, 3m, 1y.
func (p *peopleParser) span(value string) (from, to time.Time, ok bool) {
	now := p.Now.In(p.Zone)
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, p.Zone)
	switch v := strings.ToLower(value); v {
	case "today":
		return today, today.AddDate(0, 0, 1), true
	case "yesterday":
		return today.AddDate(0, 0, -1), today, true
	default:
		if from, ok := ago(today, v); ok {
			return from, today.AddDate(0, 0, 1), true
		}
	}
	v := strings.NewReplacer("/", "-", ".", "-").Replace(value)
	for _, f := range []struct {
		layout              string
		years, months, days int
	}{{"2006-1-2", 0, 0, 1}, {"2006-1", 0, 1, 0}, {"2006", 1, 0, 0}} {
		if t, err := time.ParseInLocation(f.layout, v, p.Zone); err == nil && t.Year() > 0 {
			return t, t.AddDate(f.years, f.months, f.days), true
		}
	}
	return from, to, false
}

func ago(today time.Time, v string) (time.Time, bool) {
	if len(v) < 2 || len(v) > 5 {
		return today, false
	}
	n, err := strconv.Atoi(v[:len(v)-1])
	if err != nil || n < 0 {
		return today, false
	}
	switch v[len(v)-1] {
	case 'd':
		return today.AddDate(0, 0, -n), true
	case 'w':
		return today.AddDate(0, 0, -7*n), true
	case 'm':
		return today.AddDate(0, -n, 0), true
	case 'y':
		return today.AddDate(-n, 0, 0), true
	}
	return today, false
}
