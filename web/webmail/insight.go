package webmail

import (
	"log/slog"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/templates"
)

// maxReportLines is how many recipients of a delivery report are shown.
const maxReportLines = 10

// insightOf is what the open message says besides its text. A part that
// cannot be read is left out: the text matters more.
func (p *pages) insightOf(c echo.Context, d *store.Detail) templates.Insight {
	if d.Root == nil {
		return templates.Insight{}
	}
	in := templates.Insight{List: listOf(d.Root)}
	for _, code := range d.Defects {
		in.Warnings = append(in.Warnings, string(code))
	}
	report, err := message.ReadStatusReport(d.Root, d.Open)
	if err != nil {
		p.Log.LogAttrs(ctxOf(c), slog.LevelWarn, "read report", slog.Any("err", err))
	}
	if report != nil {
		in.Reports, in.ReportSubject = reportLines(report), report.OriginalSubject
	}
	calendar, err := message.ReadCalendar(d.Root, d.Open)
	if err != nil {
		p.Log.LogAttrs(ctxOf(c), slog.LevelWarn, "read invitation", slog.Any("err", err))
	}
	if calendar != nil {
		in.Event = eventOf(calendar)
	}
	return in
}

func listOf(root *message.Node) *templates.MailingList {
	l := root.List()
	if l == nil {
		return nil
	}
	out := &templates.MailingList{Name: l.ID.Name, Href: l.OneClick}
	if out.Name == "" {
		out.Name = l.ID.Address
	}
	for _, u := range l.Unsubscribe {
		if out.Href == "" && strings.HasPrefix(u.Address, "https://") {
			out.Href = u.Address
		}
	}
	return out
}

func reportLines(r *message.StatusReport) []templates.ReportLine {
	var out []templates.ReportLine
	if r.Disposition != "" {
		out = append(out, templates.ReportLine{What: r.Disposition, Who: r.Reader})
	}
	for i := range r.Recipients {
		if i == maxReportLines {
			break
		}
		s := &r.Recipients[i]
		line := templates.ReportLine{What: s.Action, Who: s.Original, Why: s.Diagnostic}
		if line.Who == "" {
			line.Who = s.Final
		}
		if line.Why == "" && line.What != "delivered" {
			line.Why = s.Status
		}
		out = append(out, line)
	}
	return out
}

func eventOf(c *message.Calendar) *templates.Event {
	e := &templates.Event{
		Kind: strings.ToLower(c.Method), Summary: c.Summary, Location: c.Location, Organizer: c.Organizer.Name,
		Start: c.Start, End: c.End, AllDay: c.AllDay, Floating: c.Floating, Repeats: c.Repeats,
	}
	if e.Organizer == "" {
		e.Organizer = c.Organizer.Address
	}
	return e
}
