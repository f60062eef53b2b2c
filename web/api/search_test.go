package api

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

func simple(from, subject, body string) string {
	return "From: " + from + "\nTo: anna@example.org\nSubject: " + subject + "\n\n" + body + "\n"
}

func TestSearch(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	w.put(u, simple("bob@else.example", "Quarterly report", "the crème is ready"))
	w.put(u, simple("carol@else.example", "Invoice", "nothing new, 北京大学"), func(a *store.Append) { a.Flags = []mail.Flag{mail.FlagSeen} })
	w.put(u, simple("bob@else.example", "Draft report", "old words"), func(a *store.Append) { a.Use = mail.UseTrash })
	for query, want := range map[string]int{
		"q=creme": 1, "q=report": 2, "q=report+-draft": 1, "q=from:bob+in:inbox": 1, "q=" + "%E5%A4%A7%E5%AD%A6": 1, "query=ready": 1,
		"from=ob@els": 2, "from=ob@els&searchable=true": 1, "or.from=carol&or.subject=quarter": 2, "unseen=true&searchable=true": 1, "seen=true": 1,
		"q=nothinglikethis": 0, "subject=INVOICE": 1, "maxSize=1": 0, "minSize=10": 3, "datestart=2100-01-01": 0, "to=anna": 3,
		"mailbox=" + w.box(u, "").ID.String() + "&id=1": 1,
	} {
		a := w.get("/users/" + u.ID.String() + "/search?" + query).ok()
		if got := len(a.at("results").([]any)); got != want {
			t.Errorf("%s: %d found, want %d", query, got, want)
		}
		a.is(want, "total")
	}
	w.get("/users/"+mail.NewID().String()+"/search?query=x").fails(404, "UserNotFound")
	w.get("/users/"+u.ID.String()+"/search?id=x").fails(400, "InputValidationError")
}

func TestSearchPages(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	for range 7 {
		w.put(u, simple("bob@else.example", "Report", "words"))
	}
	for _, order := range []string{"", "&order=asc"} {
		path := "/users/" + u.ID.String() + "/search?q=report&limit=3" + order
		a := w.get(path).ok()
		a.is(false, "previousCursor")
		seen := map[any]bool{}
		for page := 1; ; page++ {
			a.is(page, "page")
			for _, r := range a.at("results").([]any) {
				seen[r.(map[string]any)["id"]] = true
			}
			next, ok := a.at("nextCursor").(string)
			if !ok {
				break
			}
			a = w.get(path + "&next=" + next).ok()
		}
		if len(seen) != 7 {
			t.Errorf("%q: %d of 7 seen", order, len(seen))
		}
		back, _ := a.at("previousCursor").(string)
		if n := len(w.get(path + "&previous=" + back).ok().at("results").([]any)); n != 3 {
			t.Errorf("%q: %d on the page before", order, n)
		}
	}
}

func TestSearchApply(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	for range 3 {
		w.put(u, simple("bob@else.example", "Report", "words"))
	}
	w.put(u, simple("bob@else.example", "Invoice", "words"))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.store.Work(ctx) }()
	defer func() { stop(); <-done }()
	path, trash := "/users/"+u.ID.String()+"/search", w.box(u, mail.UseTrash)
	apply := func(body map[string]any) {
		t.Helper()
		a := w.json("POST", path, body).ok()
		a.is(false, "existing")
		if id, _ := a.at("scheduled").(string); len(id) != 24 {
			t.Errorf("scheduled %q", id)
		}
		w.finishJobs(u)
	}
	total := func(query string, want int) {
		t.Helper()
		w.get(path+"?"+query).ok().is(want, "total")
	}
	apply(map[string]any{"query": "report", "action": map[string]any{"flagged": true}})
	total("flagged=true", 3)
	apply(map[string]any{"subject": "invoice", "action": map[string]any{"moveTo": trash.ID.String()}})
	total("mailbox="+trash.ID.String(), 1)
	apply(map[string]any{"q": "report", "action": map[string]any{"delete": true}})
	total("q=report", 0)
	for _, bad := range []map[string]any{{"query": "x"}, {"action": map[string]any{}}, {"action": map[string]any{"delete": true, "seen": true}}} {
		if a := w.json("POST", path, bad).fails(400, "InputValidationError"); !strings.Contains(a.at("error").(string), "action") {
			t.Errorf("%v: %v", bad, a.at("error"))
		}
	}
}

// finishJobs waits until the account's bulk operations have ended.
func (w *world) finishJobs(u mail.User) {
	w.t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		jobs, err := w.store.BulkJobs(context.Background(), u.ID)
		must(w.t, err)
		if !slices.ContainsFunc(jobs, func(j store.Job) bool { return !j.State.Ended() }) {
			return
		}
		select {
		case <-deadline:
			w.t.Fatal("bulk operations do not end")
		case <-tick.C:
		}
	}
}
