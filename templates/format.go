package templates

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// When is the date of a row: today 12:04, within six days Mon, this year
// 21 Nov, older 3 Sep 2025. It is shown in now's zone.
func When(lang string, t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	t = t.In(now.Location())
	switch days := daysBetween(t, now); {
	case days == 0:
		return t.Format("15:04")
	case days > 0 && days < 7:
		return T(lang, "day."+strconv.Itoa(int(t.Weekday())))
	case t.Year() == now.Year():
		return dayMonth(lang, t)
	}
	return dayMonth(lang, t) + " " + strconv.Itoa(t.Year())
}

// HeadWhen is the date in a message's head: Today 12:04, or 21 Nov 2026, 17:15.
func HeadWhen(lang string, t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	t = t.In(now.Location())
	switch daysBetween(t, now) {
	case 0:
		return T(lang, "group.today") + " " + t.Format("15:04")
	case 1:
		return T(lang, "group.yesterday") + " " + t.Format("15:04")
	}
	return fmt.Sprintf("%s %d, %s", dayMonth(lang, t), t.Year(), t.Format("15:04"))
}

// FullWhen is a date with its zone, as the sender wrote it.
func FullWhen(lang string, t time.Time) string {
	if t.IsZero() {
		return T(lang, "date.none")
	}
	return fmt.Sprintf("%s %d, %s (UTC%s)", dayMonth(lang, t), t.Year(), t.Format("15:04:05"), t.Format("-07:00"))
}

func dayMonth(lang string, t time.Time) string {
	month := T(lang, "month."+strconv.Itoa(int(t.Month())))
	if known(lang) == "de" {
		return strconv.Itoa(t.Day()) + ". " + month
	}
	return strconv.Itoa(t.Day()) + " " + month
}

// daysBetween counts calendar days from t to now, negative for the future.
func daysBetween(t, now time.Time) int {
	day := func(v time.Time) time.Time { return time.Date(v.Year(), v.Month(), v.Day(), 0, 0, 0, 0, time.UTC) }
	return int(day(now).Sub(day(t)).Hours() / 24)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

type rowGroup struct {
	name string
	rows []Row
}

// groups cuts rows at Today, Yesterday, Last week and months.
func groups(p Page, rows []Row) []rowGroup {
	var out []rowGroup
	for _, r := range rows {
		name := groupName(p, r.Date)
		if len(out) == 0 || out[len(out)-1].name != name {
			out = append(out, rowGroup{name: name})
		}
		last := &out[len(out)-1]
		last.rows = append(last.rows, r)
	}
	return out
}

func groupName(p Page, t time.Time) string {
	t = t.In(p.Now.Location())
	switch days := daysBetween(t, p.Now); {
	case days <= 0:
		return p.T("group.today")
	case days == 1:
		return p.T("group.yesterday")
	case days < 7:
		return p.T("group.week")
	}
	name := p.T("monthname." + strconv.Itoa(int(t.Month())))
	if t.Year() != p.Now.Year() {
		name += " " + strconv.Itoa(t.Year())
	}
	return name
}

// Size writes bytes as 184 kB or 6.1 MB, in powers of 1,000.
func Size(lang string, bytes int64) string {
	if known(lang) == "ar" {
		// UAX 9: an isolate keeps number and unit in their order in a line from right to left.
		return "\u2066" + sizeWords(lang, bytes) + "\u2069"
	}
	return sizeWords(lang, bytes)
}

func sizeWords(lang string, bytes int64) string {
	switch {
	case bytes < 1000:
		return strconv.FormatInt(max(0, bytes), 10) + " B"
	case bytes < 1_000_000:
		return strconv.FormatInt((bytes+500)/1000, 10) + " kB"
	case bytes < 1_000_000_000:
		return decimal(lang, float64(bytes)/1e6) + " MB"
	}
	return decimal(lang, float64(bytes)/1e9) + " GB"
}

// decimal writes one digit after the point, none when it is zero.
func decimal(lang string, v float64) string {
	s := strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
	if l := known(lang); l == "de" || l == "ru" {
		s = strings.Replace(s, ".", ",", 1)
	}
	return s
}
