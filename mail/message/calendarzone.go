package message

import (
	"strconv"
	"strings"
	"time"
)

// Time zones of invitations. A TZID names one of the IANA's, one of Windows, or
// only the VTIMEZONE in the same calendar, which says when its clock changes
// (RFC 5545 3.6.5).

const (
	maxZones       = 20
	maxObservances = 60 // of all zones
)

// calendarZones are the zones that a calendar brings along.
type calendarZones struct {
	zones []calendarZone
	// observances counts those of all zones.
	observances int
}

type calendarZone struct {
	id, location string
	rules        []observance
}

// observance is a clock that begins at some time, once or every year.
type observance struct {
	// from and to are the offsets before and in it, in seconds.
	from, to int
	// start is when it first begins, in the time of the clock before it.
	start time.Time
	// yearly: it begins each year in month, on the week day numbered week from
	// the month's start, or from its end when negative; on the day of the month
	// when week is 0. until ends that, zero for never.
	yearly    bool
	month     time.Month
	week, day int
	weekday   time.Weekday
	until     time.Time
}

// begin takes the begin of a component.
func (z *calendarZones) begin(component string) {
	switch n := len(z.zones); component {
	case "VTIMEZONE":
		if n < maxZones {
			z.zones = append(z.zones, calendarZone{})
		}
	case "STANDARD", "DAYLIGHT":
		if n > 0 && z.observances < maxObservances {
			z.observances++
			z.zones[n-1].rules = append(z.zones[n-1].rules, observance{})
		}
	}
}

// property takes a property of a component.
func (z *calendarZones) property(component, name, value string) {
	if len(z.zones) == 0 {
		return
	}
	zone := &z.zones[len(z.zones)-1]
	switch component {
	case "VTIMEZONE":
		switch name {
		case "TZID":
			zone.id = strings.TrimSpace(value)
		case "X-LIC-LOCATION":
			zone.location = strings.TrimSpace(value)
		}
	case "STANDARD", "DAYLIGHT":
		if n := len(zone.rules); n > 0 {
			zone.rules[n-1].property(name, strings.TrimSpace(value))
		}
	}
}

func (o *observance) property(name, value string) {
	switch name {
	case "DTSTART":
		o.start, _ = time.Parse("20060102T150405", value) // without it the observance never begins
	case "TZOFFSETFROM":
		o.from = utcOffset(value)
	case "TZOFFSETTO":
		o.to = utcOffset(value)
	case "RRULE":
		o.rule(value)
	}
}

// rule reads the yearly rules that calendars have: FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU.
func (o *observance) rule(value string) {
	for part := range strings.SplitSeq(strings.ToUpper(value), ";") {
		key, v, _ := strings.Cut(part, "=")
		switch key {
		case "FREQ":
			o.yearly = v == "YEARLY"
		case "BYMONTH":
			n, _ := strconv.Atoi(v) // 0 when it is none
			o.month = time.Month(min(max(n, 0), 12))
		case "BYMONTHDAY":
			o.day, _ = strconv.Atoi(v)
		case "BYDAY":
			o.byDay(v)
		case "UNTIL":
			o.until, _ = time.Parse("20060102T150405", strings.TrimSuffix(v, "Z"))
		}
	}
}

var calendarDays = map[string]time.Weekday{"SU": 0, "MO": 1, "TU": 2, "WE": 3, "TH": 4, "FR": 5, "SA": 6}

func (o *observance) byDay(v string) {
	if len(v) < 3 {
		return
	}
	day, ok := calendarDays[v[len(v)-2:]]
	week, err := strconv.Atoi(v[:len(v)-2])
	if ok && err == nil && week >= -5 && week <= 5 {
		o.weekday, o.week = day, week
	}
}

// utcOffset reads +0530 or -080000.
func utcOffset(s string) int {
	if len(s) < 5 {
		return 0
	}
	n, err := strconv.Atoi(s[1:5])
	seconds := (n/100*60 + n%100) * 60
	switch {
	case err != nil || seconds > 24*3600:
		return 0
	case s[0] == '-':
		return -seconds
	}
	return seconds
}

// onset is when the observance last began before a time of the clock, zero when
// it did not.
func (o *observance) onset(at time.Time) time.Time {
	if o.start.IsZero() || at.Before(o.start) {
		return time.Time{}
	}
	if !o.yearly {
		return o.start
	}
	for year := at.Year(); year >= at.Year()-1; year-- {
		t := o.inYear(year)
		if t.After(at) || t.Before(o.start) {
			continue
		}
		if !o.until.IsZero() && t.After(o.until.Add(24*time.Hour)) {
			t = o.inYear(o.until.Year())
		}
		return t
	}
	return o.start
}

func (o *observance) inYear(year int) time.Time {
	month, day := o.month, o.day
	if month == 0 {
		month = o.start.Month()
	}
	if day == 0 {
		day = o.start.Day()
	}
	hour, minute, second := o.start.Clock()
	switch {
	case o.week > 0:
		first := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
		day = 1 + int(o.weekday-first.Weekday()+7)%7 + (o.week-1)*7
	case o.week < 0:
		last := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC)
		day = last.Day() - int(last.Weekday()-o.weekday+7)%7 + (o.week+1)*7
	}
	return time.Date(year, month, day, hour, minute, second, 0, time.UTC)
}

// offset is the zone's at a time of its clock; ok is false when its rules do
// not say.
func (z *calendarZone) offset(at time.Time) (seconds int, ok bool) {
	var latest time.Time
	for i := range z.rules {
		o := &z.rules[i]
		if t := o.onset(at); !t.IsZero() && (!ok || t.After(latest)) {
			latest, seconds, ok = t, o.to, true
		}
	}
	if !ok && len(z.rules) > 0 {
		return z.rules[0].from, true // before all of them
	}
	return seconds, ok
}

// time reads a date or a date with time (RFC 5545 3.3.5). A zone that nobody
// knows makes it floating.
func (z *calendarZones) time(params []Param, value string) (t time.Time, allDay, floating bool) {
	zone := strings.TrimSpace(calendarParam(params, "TZID"))
	if i := strings.LastIndexByte(value, ':'); i >= 0 {
		zone, value = zone+":"+value[:i], value[i+1:] // a name with a colon that should be quoted: tzone://Microsoft/Utc
	}
	value = strings.TrimSpace(value)
	if day, err := time.Parse("20060102", value); err == nil {
		return day, true, true
	}
	if t, err := time.Parse("20060102T150405Z", value); err == nil {
		return t, false, false
	}
	t, err := time.Parse("20060102T150405", value)
	if err != nil {
		return time.Time{}, false, false
	}
	if loc := z.location(zone, t); loc != nil {
		return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, loc), false, false
	}
	return t, false, true
}

// location finds the zone of a name for a time of its clock, nil when there is
// none.
func (z *calendarZones) location(id string, at time.Time) *time.Location {
	if id == "" {
		return nil
	}
	if loc := zoneByName(id); loc != nil {
		return loc
	}
	for i := range z.zones {
		zone := &z.zones[i]
		if !strings.EqualFold(zone.id, id) {
			continue
		}
		if loc := zoneByName(zone.location); loc != nil {
			return loc
		}
		if seconds, ok := zone.offset(at); ok {
			return time.FixedZone("", seconds)
		}
	}
	return nil
}

// zoneByName knows the IANA's names, also behind the prefixes that calendars
// give them ("/mozilla.org/20050126_1/Europe/Berlin"), and those of Windows.
func zoneByName(id string) *time.Location {
	id = strings.Trim(id, `"/ `)
	if iana, ok := windowsZones[strings.ToLower(id)]; ok {
		id = iana
	}
	// A name has three parts at most: America/Argentina/Buenos_Aires.
	parts := strings.Split(id[max(0, len(id)-100):], "/")
	for parts = parts[max(0, len(parts)-3):]; len(parts) > 0; parts = parts[1:] {
		switch name := strings.Join(parts, "/"); {
		case name == "" || name == "Local":
		case strings.EqualFold(name, "utc"):
			return time.UTC
		default:
			if loc, err := time.LoadLocation(name); err == nil {
				return loc
			}
		}
	}
	return nil
}
