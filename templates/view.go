package templates

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/a-h/templ"
)

// The scripts of signed-in pages and of visitors' pages.
const (
	appScript   = "app.js"
	visitScript = "visit.js"
)

// scriptKeys are the keys that each script needs, in the page's language.
var scriptKeys = map[string][]string{
	appScript: {
		"js.saving", "js.unsaved", "js.failed", "js.remove", "js.cc", "js.bcc", "js.uploading",
		"js.dismiss", "js.today", "js.selected", "row.unread", "js.sending", "js.discarded", "js.badaddress",
	},
	visitScript: {"strength.0", "strength.1", "strength.2", "strength.3", "strength.4"},
}

// scriptPlurals are those whose words depend on a number.
var scriptPlurals = map[string][]string{
	appScript: {"js.new", "done.archive", "done.delete", "done.junk", "done.notjunk", "done.move"},
}

func (p Page) lang() string { return known(p.Lang) }

func (p Page) dir() string {
	if p.lang() == "ar" {
		return "rtl"
	}
	return "ltr"
}

// WindowTitle is the title of the window; script puts the number of unread
// messages before it.
func WindowTitle(p Page) string {
	if p.Title == "" {
		return "Eider"
	}
	return p.Title + " – Eider"
}

// scriptWords is a JSON object of the words that a script shows itself.
func (p Page) scriptWords(script string) string {
	words := map[string]string{}
	for _, key := range scriptKeys[script] {
		words[key] = p.T(key)
	}
	for _, key := range scriptPlurals[script] {
		for _, category := range pluralCategories {
			if text, ok := lookup(p.Lang, key+"."+category); ok {
				words[key+"."+category] = text
			}
		}
	}
	// Marshalling a map of strings cannot fail.
	out, _ := json.Marshal(words)
	return string(out)
}

func (p Page) titledText(title string) Page {
	p.Title = title
	return p
}

func (p Page) titled(key string) Page { return p.titledText(p.T(key)) }

// short writes a count: from 1,000 as 1.2k. Zero is empty.
func (p Page) short(n int) string {
	switch {
	case n <= 0:
		return ""
	case n < 1000:
		return strconv.Itoa(n)
	default:
		return decimal(p.Lang, float64(n/100)/10) + "k"
	}
}

func (s Shell) titledShell(key string) Shell {
	s.Page = s.titled(key)
	return s
}

func (m Mailbox) heading() string {
	switch {
	case m.List.Query != "":
		return m.T("search.results")
	case m.List.Search != nil:
		return m.T("search.short")
	}
	return folderName(m.Page, m.List.Name, m.List.Use)
}

func (m Mailbox) titledShell() Shell {
	s := m.Shell
	if s.Title == "" {
		s.Title = m.heading()
		if m.Reader != nil {
			s.Title = subjectOr(m.Page, m.Reader.Subject)
		}
	}
	return s
}

func (m Mailbox) dock() templ.Component {
	if m.Reader != nil {
		return readerDock(m.Page, *m.Reader)
	}
	return dock(m.Shell, m.List.Use)
}

func (m Mailbox) emptyTitle() string {
	switch {
	case m.List.Query != "" && m.List.Older != "":
		return m.T("empty.search.more")
	case m.List.Query != "":
		return m.T("empty.search")
	case m.List.Search != nil:
		return m.T("search")
	case m.List.Filter != "":
		return m.T("empty.filter")
	case m.List.Use == "inbox" && m.List.Total == 0:
		return m.T("empty.inbox")
	}
	return m.T("empty.folder")
}

func (m Mailbox) emptyText() string {
	switch {
	case m.List.Query != "" && m.List.Older != "":
		return m.T("empty.search.older")
	case m.List.Query != "":
		return m.T("empty.search.text")
	case m.List.Search != nil:
		return m.T("search.begin")
	case m.List.Filter != "":
		return m.T("empty.filter.text")
	case m.List.Use == "inbox":
		return m.T("empty.inbox.text")
	}
	return m.T("empty.folder.text")
}

func (m Mailbox) unreadSentence() string {
	if m.List.Unseen == 0 {
		return m.T("reader.pick")
	}
	return m.N("unread", m.List.Unseen)
}

func (c ComposePage) titledShell() Shell {
	s := c.Shell
	s.Page = s.titledText(c.Compose.heading(c.Page))
	return s
}

func (c Compose) heading(p Page) string {
	switch c.Action {
	case ActionReply, ActionReplyAll:
		return p.T("compose.reply")
	case ActionForward, ActionAttach:
		return p.T("compose.forward")
	case ActionEdit:
		return p.T("compose.draft")
	}
	return p.T("compose.new")
}

func (c Compose) savedWords(p Page) string {
	if c.Saved.IsZero() {
		return ""
	}
	return p.T("saved", When(p.Lang, c.Saved, p.Now))
}

func (r Row) ref() string    { return Ref(r.Mailbox, r.UID) }
func (r Reader) ref() string { return Ref(r.Mailbox, r.UID) }

func (q Quota) percent() string {
	if q.Limit <= 0 {
		return "0"
	}
	return strconv.FormatInt(min(100, max(0, q.Used)*100/q.Limit), 10)
}

func (q Quota) full() bool { return q.Limit > 0 && q.Used >= q.Limit/10*9 }

func (r Register) strengthWords() string {
	if r.Score < 0 || r.Score > 4 {
		return r.T("register.password.help")
	}
	return r.T("strength." + strconv.Itoa(r.Score))
}

func meterValue(score int) string { return strconv.Itoa(min(4, max(0, score))) }

func freeNames(r Register) string {
	if len(r.Free) == 0 {
		return ""
	}
	return " " + r.T("register.free", strings.Join(r.Free, ", "))
}

func atDomains(options []Option) []Option {
	out := make([]Option, len(options))
	for i, o := range options {
		out[i] = o
		if !strings.HasPrefix(o.Label, "@") {
			out[i].Label = "@" + o.Label
		}
	}
	return out
}

// invalid marks an input whose field has an error.
func invalid(errors map[string]string, field, id string) templ.Attributes {
	if errors[field] == "" {
		return nil
	}
	return templ.Attributes{"aria-invalid": "true", "aria-describedby": id}
}

func (e ErrorPage) heading() string {
	switch e.Status {
	case 400, 403, 404, 413, 429, 503, 507:
		return e.T("error." + strconv.Itoa(e.Status))
	}
	return e.T("error.500")
}

func (e ErrorPage) sentence() string {
	if e.Text != "" {
		return e.Text
	}
	switch e.Status {
	case 400, 403, 404, 413, 429, 503, 507:
		return e.T("error." + strconv.Itoa(e.Status) + ".text")
	}
	return e.T("error.500.text")
}

// localPath keeps a link inside this site: a path that begins with one slash,
// or a query of the present page. Anything else becomes the home page.
func localPath(s string) string {
	if strings.HasPrefix(s, "?") || strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") && !strings.HasPrefix(s, "/\\") {
		return s
	}
	return PathHome
}

// withQuery sets one query value of a local path.
func withQuery(path, key, value string) string {
	u, err := url.Parse(localPath(path))
	if err != nil {
		return PathHome
	}
	q := u.Query()
	q.Set(key, value)
	u.RawQuery = q.Encode()
	return u.String()
}

func filterURL(mailbox, filter string) string {
	if filter == "" {
		return MailboxURL(mailbox)
	}
	return MailboxURL(mailbox) + "?filter=" + url.QueryEscape(filter)
}

func filterKey(filter string) string {
	if filter == "" {
		return "all"
	}
	return filter
}

func folderName(p Page, name, use string) string {
	if use != "" {
		if text, ok := lookup(p.Lang, "use."+use); ok {
			return text
		}
	}
	return name
}

func folderIcon(use string) string {
	switch use {
	case "inbox":
		return "inbox"
	case "starred":
		return "star"
	case "drafts":
		return "file-pen-line"
	case "sent":
		return "send"
	case "archive":
		return "archive"
	case "junk":
		return "shield-alert"
	case "trash":
		return "trash-2"
	}
	return "folder"
}

func flipFor(use string) string {
	if use == "sent" {
		return "flip"
	}
	return ""
}

func hasOwnFolders(folders []Folder) bool {
	for _, f := range folders {
		if f.Use == "" {
			return true
		}
	}
	return false
}

// countKind says which number a folder shows: all in Drafts, unread in Inbox,
// Junk and own folders, none elsewhere.
func countKind(use string) string {
	switch use {
	case "drafts":
		return "total"
	case "inbox", "junk", "":
		return "unseen"
	}
	return "none"
}

func folderCount(f Folder) int {
	switch countKind(f.Use) {
	case "total":
		return f.Total
	case "unseen":
		return f.Unseen
	}
	return 0
}

func depthClass(depth int) string {
	if depth <= 0 {
		return ""
	}
	return "d" + strconv.Itoa(min(depth, 4))
}

func starName(starred bool) string {
	if starred {
		return "unstar"
	}
	return "star"
}

// deleteKey is the word for deleting where it cannot be undone.
func deleteKey(use string) string {
	if use == "trash" {
		return "verb.forever"
	}
	return ""
}

func (p Page) verbName(do, key string) string {
	if key == "" {
		key = "verb." + do
	}
	return p.T(key)
}

// verbKeys are the keys shown in tips.
var verbKeys = map[string]string{
	"archive": "E", "delete": "#", "junk": "!", "notjunk": "!", "unread": "Shift U", "read": "Shift I", "move": "V", "star": "S",
}

func (p Page) verbTip(do, key string) string {
	if k, ok := verbKeys[do]; ok {
		return p.verbName(do, key) + " (" + k + ")"
	}
	return p.verbName(do, key)
}

func languageOptions(current string) []Option {
	out := make([]Option, 0, len(Languages))
	for _, l := range Languages {
		out = append(out, Option{Value: l.Tag, Label: l.Name, Selected: l.Tag == current})
	}
	return out
}

func choices(p Page, current, standard, prefix string, values ...string) []Option {
	if current == "" {
		current = standard
	}
	out := make([]Option, 0, len(values))
	for _, v := range values {
		out = append(out, Option{Value: v, Label: p.T(prefix + v), Selected: v == current})
	}
	return out
}

type keyEntry struct {
	text string
	keys []string
}

type keyGroup struct {
	title   string
	entries []keyEntry
}

// keyGroups is the overlay of keys; static/js/keys.js holds what they do.
var keyGroups = []keyGroup{
	{"keys.go", []keyEntry{
		{"keys.next", []string{"J", "K"}},
		{"keys.open", []string{"Enter", "O"}},
		{"keys.back", []string{"U", "Esc"}},
		{"keys.inbox", []string{"G I"}},
		{"keys.folders", []string{"G S", "G T", "G D", "G A"}},
		{"keys.pages", []string{"[", "]"}},
		{"keys.help", []string{"?"}},
	}},
	{"keys.pick", []keyEntry{
		{"keys.select", []string{"X"}},
		{"keys.extend", []string{"Shift X"}},
		{"keys.all", []string{"* A", "* N"}},
		{"keys.allread", []string{"* R", "* U"}},
		{"keys.allstar", []string{"* S", "* T"}},
	}},
	{"keys.act", []keyEntry{
		{"verb.archive", []string{"E"}},
		{"verb.delete", []string{"#", "Del"}},
		{"verb.junk", []string{"!"}},
		{"verb.star", []string{"S"}},
		{"verb.move", []string{"V"}},
		{"keys.read", []string{"Shift I", "Shift U"}},
		{"undo", []string{"Z"}},
	}},
	{"keys.write", []keyEntry{
		{"compose", []string{"C"}},
		{"keys.reply", []string{"R", "A"}},
		{"forward", []string{"F"}},
		{"send", []string{"Ctrl Enter"}},
		{"keys.save", []string{"Ctrl S"}},
	}},
}
