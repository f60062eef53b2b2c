package store_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/search"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

// shapes collects one command of each shape: the collection and the names and
// operators of its filter, sort and hint, without values.
type shapes struct {
	mu   sync.Mutex
	seen map[string]shape
}

type shape struct {
	database string
	command  bson.D
	// pipeline is the whole of an aggregate, of which command is the first stage.
	pipeline bson.D
}

func (s *shapes) see(e *event.CommandStartedEvent) {
	raw := slices.Clone(e.Command)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, find := range finds(e.CommandName, raw) {
		one := shape{database: e.DatabaseName, command: find}
		name := e.DatabaseName + " " + e.CommandName + " " + outline(find)
		if e.CommandName == "aggregate" {
			one.pipeline = strip(raw)
			name += stageNames(raw)
		}
		s.seen[name] = one
	}
}

// stageNames are the operators of a pipeline.
func stageNames(raw bson.Raw) string {
	var names strings.Builder
	stages, _ := raw.Lookup("pipeline").Array().Values()
	for _, v := range stages {
		names.WriteString(" " + v.Document().Index(0).Key())
	}
	return names.String()
}

// onSelected are the stages that touch only what the stages before them gave:
// none of them reads a collection.
var onSelected = []string{"$match", "$group", "$sort", "$skip", "$limit", "$project", "$count", "$unwind", "$set", "$addFields"}

// explainPipeline has the database explain an aggregate where it can, and where
// it cannot holds the stages behind the first $match against onSelected.
func explainPipeline(ctx context.Context, t testing.TB, env *storetest.Env, name string, c shape) {
	t.Helper()
	raw, err := bson.Marshal(c.pipeline)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	stages := strings.Fields(stageNames(raw))
	for i, stage := range stages {
		if i == 0 && stage != "$match" || !slices.Contains(onSelected, stage) {
			t.Errorf("reads more than its first $match gives: %s %v", name, stages)
		}
	}
	plan, err := env.Explain(ctx, c.database, c.pipeline)
	switch {
	case err != nil && strings.Contains(err.Error(), "explain of aggregate is not supported"):
		// The first stage is explained as a query.
	case err != nil:
		t.Errorf("explain %s: %v", name, err)
	case strings.Contains(plan.String(), "COLLSCAN") && !readsWhole(c.command):
		t.Errorf("reads the whole collection: %s\n%v", name, c.pipeline)
	}
}

// finds gives the find commands that choose the same documents in the same
// way: not every engine explains the other commands.
func finds(name string, raw bson.Raw) []bson.D {
	switch name {
	case "find":
		return []bson.D{strip(raw)}
	case "findAndModify":
		return []bson.D{findOf(raw, raw.Lookup("query"), raw.Lookup("sort"), raw.Lookup("hint"))}
	case "aggregate":
		// A pipeline that begins otherwise is refused by explainPipeline.
		stages, _ := raw.Lookup("pipeline").Array().Values()
		return []bson.D{findOf(raw, stages[0].Document().Lookup("$match"), bson.RawValue{}, raw.Lookup("hint"))}
	case "update":
		return perStatement(raw, "updates")
	case "delete":
		return perStatement(raw, "deletes")
	case "count":
		// Without a query it is the collection's own number, kept by the database.
		if raw.Lookup("query").Type != 0 {
			return []bson.D{findOf(raw, raw.Lookup("query"), bson.RawValue{}, raw.Lookup("hint"))}
		}
	}
	return nil
}

func findOf(raw bson.Raw, filter, sort, hint bson.RawValue) bson.D {
	d := bson.D{{Key: "find", Value: raw.Index(0).Value()}, {Key: "filter", Value: filter}}
	if sort.Type != 0 {
		d = append(d, bson.E{Key: "sort", Value: sort})
	}
	if hint.Type != 0 {
		d = append(d, bson.E{Key: "hint", Value: hint})
	}
	return d
}

func perStatement(raw bson.Raw, list string) []bson.D {
	var out []bson.D
	values, _ := raw.Lookup(list).Array().Values()
	for _, v := range values {
		doc := v.Document()
		out = append(out, findOf(raw, doc.Lookup("q"), bson.RawValue{}, doc.Lookup("hint")))
	}
	return out
}

// strip takes off what belongs to the session and not to the query.
func strip(raw bson.Raw) bson.D {
	var out bson.D
	elements, err := raw.Elements()
	if err != nil {
		return nil
	}
	for _, e := range elements {
		switch k := e.Key(); k {
		case "lsid", "$db", "writeConcern", "txnNumber", "$clusterTime", "$readPreference", "apiVersion", "readConcern":
		default:
			out = append(out, bson.E{Key: k, Value: e.Value()})
		}
	}
	return out
}

// outline is a command without values.
func outline(c bson.D) string {
	raw, err := bson.Marshal(c)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	walkOutline(&b, bson.Raw(raw), true)
	return b.String()
}

func walkOutline(b *strings.Builder, doc bson.Raw, top bool) {
	elements, err := doc.Elements()
	if err != nil {
		return
	}
	for i, e := range elements {
		b.WriteString(e.Key())
		v := e.Value()
		if s, ok := v.StringValueOK(); ok && top && i == 0 {
			b.WriteString("=" + s)
		}
		b.WriteByte('(')
		if sub, ok := v.DocumentOK(); ok {
			walkOutline(b, sub, false)
		}
		// Elements of a list of values do not make another shape; stages and
		// alternatives do.
		if list, ok := v.ArrayOK(); ok {
			values, _ := list.Values()
			for _, item := range values {
				if sub, ok := item.DocumentOK(); ok {
					walkOutline(b, sub, false)
				}
			}
		}
		b.WriteByte(')')
	}
}

// Every query that the store sends finds its documents by an index.
func TestEveryQueryUsesAnIndex(t *testing.T) {
	ctx := context.Background()
	seen := &shapes{seen: map[string]shape{}}
	env := storetest.New(t)
	s := env.Open(func(o *store.Options) { o.Monitor, o.FreshTerms = storetest.Watch(seen.see), 2 })
	everyOperation(t, s)
	if len(seen.seen) < 40 {
		t.Errorf("only %d shapes seen", len(seen.seen))
	}
	explainAll(ctx, t, seen)
}

// everyOperation calls each operation of the store at least once.
func everyOperation(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := context.Background()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	u := newUser(t, s, "ann")
	_, _ = s.CreateUser(ctx, store.NewUser{Username: "ann", NoAddress: true})
	must(s.Account(ctx, u.ID))(t)
	must(s.FindUser(ctx, "ann"))(t)
	must(s.FindUserByAddress(ctx, mustAddress(t, "ann@example.com")))(t)
	must(s.Credentials(ctx, "ann@example.com"))(t)
	must(s.Credentials(ctx, "ann"))(t)
	check(s.Rehash(ctx, u.ID, "", "h"))
	check(s.SetPassword(ctx, u.ID, "h2"))
	check(s.RecordLogin(ctx, u.ID, "192.0.2.1", mail.NewID()))
	check(s.SetAdmin(ctx, u.ID, true))
	check(s.SetName(ctx, u.ID, "Ann"))
	check(s.SetPreferences(ctx, u.ID, mail.Preferences{Theme: "dark"}))
	must(s.HasAdmin(ctx))(t)
	must(s.Secret(ctx, "x"))(t)
	must(s.AddAddress(ctx, u.ID, mustWildcard(t, "*@wild.example"), "", false))(t)
	must(s.Addresses(ctx, u.ID))(t)
	check(s.AddDomainAlias(ctx, "alias.example", "wild.example"))
	must(s.ResolveAddress(ctx, mustAddress(t, "x@alias.example"), store.ResolveOptions{Wildcard: true}))(t)
	must(s.LocalDomain(ctx, "nowhere.example"))(t)

	box, trash := inbox(t, s, u.ID).ID, byUse(t, s, u.ID, mail.UseTrash).ID
	must(s.CreateMailbox(ctx, u.ID, "A", ""))(t)
	a := must(s.CreateMailbox(ctx, u.ID, "A/B", ""))(t)
	must(s.RenameMailbox(ctx, u.ID, must(s.MailboxByPath(ctx, u.ID, "A"))(t).ID, "C"))(t)
	check(s.SubscribeMailbox(ctx, u.ID, a.ID, false))
	must(s.Mailboxes(ctx, u.ID))(t)

	start := must(s.LastChange(ctx, u.ID))(t)
	now := time.Now()
	for i := range 6 {
		appendTo(t, s, u.ID, box, fileMessage(i, "same"), "$kw")
	}
	m := appendTo(t, s, u.ID, a.ID, textMessage(1))
	sel := store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{1, 2}}
	must(s.StoreFlags(ctx, sel, store.FlagChange{Add: []mail.Flag{mail.FlagSeen, mail.FlagDeleted}}))(t)
	must(s.StoreFlags(ctx, sel, store.FlagChange{Remove: []mail.Flag{mail.FlagDeleted}}))(t)
	must(s.Copy(ctx, sel, trash))(t)
	must(s.Move(ctx, sel, trash, store.MoveOptions{}))(t)
	must(s.Expunge(ctx, store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{3}}, store.ExpungeOptions{Archive: true}))(t)
	must(s.Expunge(ctx, store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{4}}, store.ExpungeOptions{}))(t)
	k := &store.Key{Date: now, ID: mail.NewID()}
	for _, f := range []store.ListFilter{{}, {Unseen: true}, {Flagged: true}, {Attachments: true}, {Unseen: true, Flagged: true, Attachments: true}} {
		for _, l := range []store.List{{}, {Before: k}, {After: k}, {OldestFirst: true}, {ThreadCounts: true}} {
			l.User, l.Mailbox, l.Filter = u.ID, box, f
			must(s.Messages(ctx, l))(t)
		}
		must(s.UIDs(ctx, u.ID, box, 0, f, 10))(t)
	}
	must(s.Message(ctx, u.ID, a.ID, m.UID))(t)
	must(s.MessageByID(ctx, u.ID, m.ID))(t)
	must(s.Rows(ctx, store.Selection{User: u.ID, Mailbox: box, UIDs: []mail.UID{5, 6}}))(t)
	must(s.Thread(ctx, u.ID, m.Thread, store.ThreadOptions{}))(t)
	check(s.SetOutbound(ctx, u.ID, a.ID, m.UID, []string{"q"}))
	r, _, err := s.Raw(ctx, u.ID, box, 5)
	check(err)
	readAll(t, r)
	readAll(t, must(s.Attachment(ctx, u.ID, box, 5, "ATT00001"))(t).Decoded)
	_, _, err = s.Changes(ctx, u.ID, start, 10)
	check(err)
	must(s.LastChange(ctx, u.ID))(t)
	must(s.Append(ctx, store.Append{User: u.ID, Use: mail.UseDrafts, Flags: []mail.Flag{mail.FlagDraft}, Message: textMessage(9), Draft: &store.Draft{Key: "k"}}))(t)
	must(s.DraftByKey(ctx, u.ID, "k"))(t)
	must(s.Append(ctx, store.Append{User: u.ID, Path: "C", Message: message.Parse([]byte("\r\n")), CheckQuota: true}))(t)
	must(s.KnownPeople(ctx, u.ID, "a", 5))(t)
	everySearch(t, s, u.ID, box)
	must(s.KnownPeople(ctx, u.ID, "", 5))(t)

	id := must(s.QueuePut(ctx, store.QueueMessage{From: "a@b", To: []string{"c@d"}, Raw: message.BytesSource([]byte("A: b\r\n\r\nx")), User: u.ID}))(t)
	must(s.QueueEntries(ctx, store.QueueFilter{IDs: []string{id}}))(t)
	must(s.QueueEntries(ctx, store.QueueFilter{User: u.ID}))(t)
	must(s.QueueRaw(ctx, id))(t)
	check(s.QueueDelete(ctx, u.ID, id))
	check(s.PutSession(ctx, store.Session{ID: "s", User: u.ID, Created: now, Used: now, Expires: now.Add(time.Hour)}))
	must(s.FindSession(ctx, "s"))(t)
	check(s.TouchSession(ctx, "s", now, now.Add(time.Hour)))
	check(s.DeleteSessions(ctx, u.ID, "x"))
	check(s.DeleteSession(ctx, "s"))
	check(s.PutToken(ctx, store.Token{ID: "t", User: u.ID, Created: now, Expires: now.Add(time.Minute), TTL: time.Hour}))
	must(s.FindToken(ctx, "t"))(t)
	must(s.Tokens(ctx, u.ID))(t)
	check(s.DeleteToken(ctx, "t"))
	check(s.DeleteTokens(ctx, u.ID))
	must(s.LogAuth(ctx, store.AuthEvent{User: u.ID, Action: "a"}))(t)
	must(s.LogAuth(ctx, store.AuthEvent{User: u.ID, Action: "a"}))(t)
	must(s.AuthEvents(ctx, u.ID, mail.NewID(), 5))(t)
	must(s.Repair(ctx, u.ID))(t)
	must(s.Recover(ctx))(t)
	check(s.DeleteMailbox(ctx, u.ID, a.ID))
	everyChange(t, s, u.ID, box, trash)
}

// everySearch asks each source of a search, on both sides of a page, of new
// messages and of segments.
func everySearch(t *testing.T, s *store.Store, user, box mail.ID) {
	t.Helper()
	ctx := context.Background()
	text := search.Text{In: search.InAll, Value: "text", Mode: search.Words}
	for range 2 {
		for _, q := range []search.Query{
			search.And{},
			search.Searchable{},
			search.Not{Query: search.Flag{Flag: mail.FlagSeen}},
			search.Flag{Flag: mail.FlagFlagged},
			search.Attached{},
			search.Thread{ID: mail.NewID()},
			search.In{Mailbox: box},
			search.Size{Min: 1},
			text,
			search.And{text, search.In{Mailbox: box}},
			search.And{text, search.Not{Query: search.Flag{Flag: mail.FlagSeen}}},
			search.And{text, search.Flag{Flag: mail.FlagFlagged}},
			search.And{text, search.Thread{ID: mail.NewID()}},
			search.Text{In: search.InAll, Value: "see file", Mode: search.Words},
			search.Text{In: search.InAll, Value: "ex", Mode: search.Substring},
			search.Text{In: search.InAll, Value: "te", Mode: search.Prefix},
			search.Date{From: time.Now().Add(-time.Hour)},
			search.And{text, search.Date{To: time.Now()}},
		} {
			first := must(s.Search(ctx, store.Search{User: user, Query: q, Limit: 1, Count: true}))(t)
			for _, k := range []*store.SearchKey{first.Older, {Date: time.Now(), Root: mail.NewID(), ID: mail.NewID()}} {
				must(s.Search(ctx, store.Search{User: user, Query: q, Limit: 1, Before: k}))(t)
				must(s.Search(ctx, store.Search{User: user, Query: q, Limit: 1, After: k}))(t)
			}
		}
		must(s.IndexTerms(ctx, user))(t)
	}
	must(s.TermsSize(ctx, user))(t)
	if err := s.DropTerms(ctx, user); err != nil {
		t.Error(err)
	}
}
