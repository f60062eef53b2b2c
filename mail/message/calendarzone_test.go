package message

import (
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the zones that the tests name

	"pgregory.net/rapid"
)

const (
	// berlin is how Outlook writes the zone under a name of its own.
	berlin = "BEGIN:VTIMEZONE\r\nTZID:Customized Time Zone\r\nBEGIN:STANDARD\r\nDTSTART:16010101T030000\r\nTZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\n" +
		"RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10\r\nEND:STANDARD\r\nBEGIN:DAYLIGHT\r\nDTSTART:16010101T020000\r\nTZOFFSETFROM:+0100\r\n" +
		"TZOFFSETTO:+0200\r\nRRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3\r\nEND:DAYLIGHT\r\nEND:VTIMEZONE\r\n"
	newYork = "BEGIN:VTIMEZONE\r\nTZID:NY\r\nBEGIN:DAYLIGHT\r\nTZOFFSETFROM:-0500\r\nTZOFFSETTO:-0400\r\nDTSTART:20070311T020000\r\nRRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=2SU\r\n" +
		"END:DAYLIGHT\r\nBEGIN:STANDARD\r\nTZOFFSETFROM:-0400\r\nTZOFFSETTO:-0500\r\nDTSTART:20071104T020000\r\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=1SU\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
	fixed   = "BEGIN:VTIMEZONE\r\nTZID:Fixed\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nTZOFFSETFROM:+0530\r\nTZOFFSETTO:+0530\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
	located = "BEGIN:VTIMEZONE\r\nTZID:Mine\r\nX-LIC-LOCATION:Europe/Kyiv\r\nEND:VTIMEZONE\r\n"
)

func eventAt(zones, tzid, clock string) *Calendar {
	event := "BEGIN:VEVENT\r\nDTSTART;TZID=" + tzid + ":" + clock + "\r\nDURATION:PT1H\r\nEND:VEVENT\r\n"
	return ParseCalendar("BEGIN:VCALENDAR\r\n" + strings.Replace(zones, "EVENT", event, 1) + "END:VCALENDAR\r\n")
}

func TestCalendarZones(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ zones, tzid, clock, want string }{
		{"EVENT", "W. Europe Standard Time", "20260701T120000", "2026-07-01T10:00:00Z"},
		{"EVENT", "w. europe standard time", "20260101T120000", "2026-01-01T11:00:00Z"},
		{"EVENT", "Pacific Standard Time", "20260701T120000", "2026-07-01T19:00:00Z"},
		{"EVENT", "India Standard Time", "20260701T120000", "2026-07-01T06:30:00Z"},
		{"EVENT", "UTC", "20260701T120000", "2026-07-01T12:00:00Z"},
		{"EVENT", "tzone://Microsoft/Utc", "20260701T120000", "2026-07-01T12:00:00Z"},
		{"EVENT", "/mozilla.org/20050126_1/Europe/Berlin", "20260701T120000", "2026-07-01T10:00:00Z"},
		{"EVENT", "/x/America/Argentina/Buenos_Aires", "20260701T120000", "2026-07-01T15:00:00Z"},
		{berlin + "EVENT", "Customized Time Zone", "20260701T120000", "2026-07-01T10:00:00Z"},
		{berlin + "EVENT", `"Customized Time Zone"`, "20261225T120000", "2026-12-25T11:00:00Z"},
		{"EVENT" + berlin, "customized time zone", "20260329T040000", "2026-03-29T02:00:00Z"},
		{newYork + berlin + "EVENT", "NY", "20260308T030000", "2026-03-08T07:00:00Z"},
		{newYork + "EVENT", "NY", "20261101T030000", "2026-11-01T08:00:00Z"},
		{newYork + "EVENT", "NY", "19990701T120000", "1999-07-01T17:00:00Z"},
		{fixed + "EVENT", "Fixed", "20260701T120000", "2026-07-01T06:30:00Z"},
		{located + "EVENT", "Mine", "20260701T120000", "2026-07-01T09:00:00Z"},
		{fixed + "EVENT", "Unknown", "20260701T120000", "floating 2026-07-01T12:00:00Z"},
		{"EVENT", "Local", "20260701T120000", "floating 2026-07-01T12:00:00Z"},
		{"EVENT", "../../etc/passwd", "20260701T120000", "floating 2026-07-01T12:00:00Z"},
	} {
		e := eventAt(c.zones, c.tzid, c.clock)
		if e == nil {
			t.Errorf("%s: no event", c.tzid)
			continue
		}
		got := e.Start.UTC().Format(time.RFC3339)
		if e.Floating {
			got = "floating " + got
		}
		if got != c.want || e.End.Sub(e.Start) != time.Hour {
			t.Errorf("%s %s: %s to %v, want %s", c.tzid, c.clock, got, e.End, c.want)
		}
	}
}

// Every zone of Windows has one of the IANA's behind it.
func TestWindowsZones(t *testing.T) {
	t.Parallel()
	for name, zone := range windowsZones {
		if _, err := time.LoadLocation(zone); err != nil || name != strings.ToLower(name) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// The rules of a VTIMEZONE give what the IANA's zone gives, but for the hours
// that the clock shows twice or not at all.
func TestCalendarRulesProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom([]struct{ rules, id, name string }{{berlin, "Customized Time Zone", "Europe/Berlin"}, {newYork, "NY", "America/New_York"}}).Draw(t, "zone")
		loc, err := time.LoadLocation(zone.name)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2008, 1, 1, 0, 0, 0, 0, loc).Add(time.Duration(rapid.IntRange(0, 25*365*24).Draw(t, "hour")) * time.Hour)
		_, before := at.Add(-3 * time.Hour).Zone()
		if _, after := at.Add(3 * time.Hour).Zone(); after != before {
			return
		}
		if e := eventAt(zone.rules+"EVENT", zone.id, at.Format("20060102T150405")); e == nil || !e.Start.Equal(at) {
			t.Fatalf("%v became %v", at, e)
		}
	})
}

func FuzzCalendarZone(f *testing.F) {
	for _, s := range []string{berlin, newYork, fixed, located, strings.ReplaceAll(berlin, "-1SU", "9XX")} {
		f.Add(s, "Customized Time Zone", "20260701T120000")
	}
	f.Fuzz(func(t *testing.T, zones, tzid, clock string) {
		e := ParseCalendar(fmt.Sprintf("%s\r\nBEGIN:VEVENT\r\nDTSTART;TZID=%s:%s\r\nEND:VEVENT\r\n%s", zones, tzid, clock, zones))
		if e != nil && (e.Start.Year() < -1 || e.Start.Year() > 10_000) {
			t.Fatalf("starts %v", e.Start)
		}
	})
}
