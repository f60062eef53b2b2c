package search

import (
	"strconv"
	"strings"
	"time"

	"github.com/eidermail/eider/mail"
)

// String writes a query as a person would type it, so that People.Parse reads
// the same query back. It reports false for one that has conditions a person
// cannot type (substrings, UIDs, times of a day, mod-sequences).
func String(q Query, zone *time.Location) (string, bool) {
	if zone == nil {
		zone = time.UTC
	}
	p := printer{zone: zone, ok: true}
	p.print(Simplify(q), 0)
	return p.b.String(), p.ok
}

type printer struct {
	b    strings.Builder
	zone *time.Location
	ok   bool
}

// print: level 0 stands alone, 1 among words, 2 behind a minus.
func (p *printer) print(q Query, level int) {
	switch q := q.(type) {
	case And:
		p.list(q, " ", 1, level > 1)
	case Or:
		p.list(q, " OR ", 1, level > 0)
	case Not:
		p.not(q)
	case Text:
		p.text(q)
	default:
		p.condition(q)
	}
}

func (p *printer) list(list []Query, between string, level int, inside bool) {
	if len(list) == 0 {
		p.ok = false
		return
	}
	if inside {
		p.b.WriteByte('(')
	}
	for i, k := range list {
		if i > 0 {
			p.b.WriteString(between)
		}
		if _, and := k.(And); and && between != " " {
			p.print(k, 0)
			continue
		}
		p.print(k, level)
	}
	if inside {
		p.b.WriteByte(')')
	}
}

func (p *printer) not(q Not) {
	if f, ok := q.Query.(Flag); ok {
		if word := map[mail.Flag]string{mail.FlagSeen: "unread", mail.FlagFlagged: "unstarred", mail.FlagAnswered: "unanswered"}[f.Flag]; word != "" {
			p.b.WriteString("is:" + word)
			return
		}
	}
	p.b.WriteByte('-')
	p.print(q.Query, 2)
}

var fieldNames = map[Fields]string{
	InAll: "", InFrom: "from:", InPeople: "to:", InCc: "cc:", InBcc: "bcc:", InSubject: "subject:", InBody: "body:", InFile: "filename:", InList: "list:",
	InFrom | InPeople: "with:",
}

func (p *printer) text(q Text) {
	name, known := fieldNames[q.In]
	bare := isBare(q.Value)
	normal := Words
	if name != "" {
		normal = fieldMode(q.In)
	}
	switch {
	case !known || Normalise(q.Value) == "" || strings.Contains(q.Value, `"`):
		p.ok = false
	case q.Mode == Prefix && bare && (normal == Prefix && !strings.HasSuffix(q.Value, "*")):
		p.b.WriteString(name + q.Value)
	case q.Mode == Prefix && bare:
		p.b.WriteString(name + q.Value + "*")
	case q.Mode == Words && bare && normal == Words && !strings.HasSuffix(q.Value, "*"):
		p.b.WriteString(name + q.Value)
	case q.Mode == Words:
		p.b.WriteString(name + `"` + q.Value + `"`)
	default:
		p.ok = false
	}
}

// isBare tells whether a value needs no quotes.
func isBare(s string) bool {
	if s == "" || s == "OR" || s == "AND" || s[0] == '-' || strings.ContainsAny(s, "():\"") {
		return false
	}
	return len(strings.Fields(s)) == 1 && strings.TrimSpace(s) == s
}

func (p *printer) condition(q Query) {
	word := ""
	switch q := q.(type) {
	case Flag:
		word = flagWord(q)
	case Attached:
		word = "has:attachment"
	case Encrypted:
		word = "is:encrypted"
	case Thread:
		word = "thread:" + q.ID.String()
	case In:
		word = placeWord(q)
	case Size:
		word = sizeWord(q)
	case Date:
		word = p.dateWord(q)
	case Header:
		word = headerWord(q)
	}
	if word == "" {
		p.ok = false
	}
	p.b.WriteString(word)
}

func flagWord(q Flag) string {
	words := map[mail.Flag]string{
		mail.FlagSeen: "read", mail.FlagFlagged: "starred", mail.FlagAnswered: "answered", mail.FlagForwarded: "forwarded",
		mail.FlagDraft: "draft", mail.FlagDeleted: "deleted",
	}
	if w := words[q.Flag]; w != "" {
		return "is:" + w
	}
	if isBare(string(q.Flag)) {
		return "label:" + string(q.Flag)
	}
	return ""
}

func placeWord(q In) string {
	for _, name := range []string{"sent", "trash", "drafts", "junk", "archive"} {
		if q == (In{Use: placeNames[name]}) {
			return "in:" + name
		}
	}
	switch {
	case !q.Mailbox.IsZero():
		return "in:" + q.Mailbox.String()
	case q.Path == "" || strings.Contains(q.Path, `"`) || inOf(q.Path) != Query(q):
		return ""
	}
	return `in:"` + q.Path + `"`
}

func sizeWord(q Size) string {
	switch {
	case q.Max == 0 && q.Min > 0:
		return "larger:" + strconv.FormatInt(q.Min-1, 10)
	case q.Min == 0 && q.Max > 0:
		return "smaller:" + strconv.FormatInt(q.Max+1, 10)
	}
	return ""
}

func (p *printer) dateWord(q Date) string {
	day := func(t time.Time) string {
		t = t.In(p.zone)
		if h, m, s := t.Clock(); h+m+s != 0 || t.Nanosecond() != 0 || t.Year() < 1000 || t.Year() > 9999 {
			return ""
		}
		return t.Format("2006-01-02")
	}
	from, to := day(q.From), day(q.To)
	switch {
	case q.Sent:
		return ""
	case q.To.IsZero() && from != "":
		return "after:" + from
	case q.From.IsZero() && to != "":
		return "before:" + to
	case from != "" && q.From.In(p.zone).AddDate(0, 0, 1).Equal(q.To):
		return "on:" + from
	}
	return ""
}

func headerWord(q Header) string {
	if q == (Header{Name: "list-id"}) {
		return "has:list"
	}
	word := q.Name
	if q.Value != "" {
		word += "=" + q.Value
	}
	if headerOf(word) != Query(q) || strings.Contains(word, `"`) {
		return ""
	}
	return `header:"` + word + `"`
}
