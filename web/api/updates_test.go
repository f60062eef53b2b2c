package api

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

// events is an open event stream.
type events struct {
	t     *testing.T
	res   *http.Response
	lines chan string
	stop  context.CancelFunc
}

func (w *world) events(path string, headers ...string) *events {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+path, nil)
	must(w.t, err)
	req.Header.Set("X-Access-Token", rootToken)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := w.client.Do(req)
	must(w.t, err)
	e := &events{t: w.t, res: res, lines: make(chan string, 1000), stop: cancel}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(e.lines)
		scan := bufio.NewScanner(res.Body)
		for scan.Scan() {
			e.lines <- scan.Text()
		}
	}()
	w.t.Cleanup(func() {
		cancel()
		_ = res.Body.Close()
		<-done
	})
	return e
}

// frame reads up to the next empty line; ok is false at the stream's end.
func (e *events) frame() (lines []string, ok bool) {
	e.t.Helper()
	late := time.NewTimer(10 * time.Second)
	defer late.Stop()
	for {
		select {
		case line, open := <-e.lines:
			switch {
			case !open:
				return lines, false
			case line == "":
				return lines, true
			}
			lines = append(lines, line)
		case <-late.C:
			e.t.Fatalf("no frame; so far %q", lines)
		}
	}
}

// event reads a frame with data and an id ("" for none).
func (e *events) event() (body map[string]any, id string) {
	e.t.Helper()
	lines, _ := e.frame()
	var text []string
	for _, line := range lines {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			text = append(text, data)
		} else if id, ok = strings.CutPrefix(line, "id: "); !ok {
			e.t.Fatalf("line %q in %q", line, lines)
		}
	}
	if err := json.Unmarshal([]byte(strings.Join(text, "\n")), &body); err != nil {
		e.t.Fatalf("%v: %q", err, lines)
	}
	// Each line of JSON with two spaces is a data line of its own.
	if want, _ := json.MarshalIndent(body, "", "  "); string(want) != strings.Join(text, "\n") {
		e.t.Errorf("data is %q", text)
	}
	return body, id
}

// command expects an event and gives it with its id.
func (e *events) command(name string) (map[string]any, string) {
	e.t.Helper()
	body, id := e.event()
	if body["command"] != name {
		e.t.Fatalf("event %v, want %s", body, name)
	}
	return body, id
}

func (e *events) idling(n string) {
	e.t.Helper()
	if lines, _ := e.frame(); len(lines) != 1 || lines[0] != ": idling "+n {
		e.t.Fatalf("frame %q, want idling %s", lines, n)
	}
}

func TestUpdates(t *testing.T) {
	w := newWorld(t)
	u, other := w.user("anna"), w.user("bert")
	box, junk := w.box(u, ""), w.box(u, mail.UseJunk)
	w.put(u, "Subject: before\n\nx\n")
	path := "/users/" + u.ID.String() + "/updates"
	e := w.events(path)
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"} {
		if got := e.res.Header.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	e.idling("1")
	w.put(other, "Subject: not hers\n\nx\n")
	done := w.put(u, "Subject: one\n\nx\n")
	body, first := e.command("EXISTS")
	idate, _ := body["idate"].(string)
	if _, err := time.Parse("2006-01-02T15:04:05.000Z", idate); err != nil {
		t.Errorf("idate %q", idate)
	}
	delete(body, "idate")
	same(t, body, map[string]any{
		"command": "EXISTS", "mailbox": box.ID.String(), "uid": 2, "message": done.ID.String(), "thread": done.Thread.String(),
	})
	body, id := e.command("COUNTERS")
	same(t, body, map[string]any{"command": "COUNTERS", "mailbox": box.ID.String(), "total": 2, "unseen": 2})
	if first == "" || id != first {
		t.Errorf("ids %q and %q", first, id)
	}

	list := inbox(u, box)
	w.json("PUT", list+"/2", map[string]any{"flagged": true}).ok()
	body, _ = e.command("FETCH")
	same(t, body, map[string]any{
		"command": "FETCH", "mailbox": box.ID.String(), "uid": 2, "message": done.ID.String(), "thread": done.Thread.String(), "flags": []any{`\Flagged`},
	})
	// \Flagged moves no counter, so the next event is the next change.
	w.json("PUT", list+"/2", map[string]any{"flagged": false, "seen": true}).ok()
	e.command("FETCH")
	body, _ = e.command("COUNTERS")
	if body["unseen"] != 1.0 {
		t.Errorf("counters %v", body)
	}
	w.json("PUT", list+"/2", map[string]any{"moveTo": junk.ID.String()}).ok()
	seen := map[string]int{}
	for range 4 {
		body, id = e.event()
		name, _ := body["command"].(string)
		seen[name]++
		if name == "EXISTS" && body["junk"] != 1.0 {
			t.Errorf("into Junk: %v", body)
		}
	}
	if seen["EXISTS"] != 1 || seen["EXPUNGE"] != 1 || seen["COUNTERS"] != 2 {
		t.Errorf("a move gives %v", seen)
	}
	created, err := w.store.CreateMailbox(context.Background(), u.ID, "New", "")
	must(t, err)
	body, _ = e.command("CREATE")
	same(t, body, map[string]any{"command": "CREATE", "mailbox": created.ID.String(), "path": "New"})
	_, err = w.store.RenameMailbox(context.Background(), u.ID, created.ID, "Newer")
	must(t, err)
	body, _ = e.command("RENAME")
	same(t, body, map[string]any{"command": "RENAME", "mailbox": created.ID.String(), "path": "Newer"})
	must(t, w.store.DeleteMailbox(context.Background(), u.ID, created.ID))
	body, last := e.command("DELETE")
	same(t, body, map[string]any{"command": "DELETE", "mailbox": created.ID.String()})

	// Who comes back gets what is newer, and nothing else.
	for _, again := range []*events{w.events(path, "Last-Event-ID", id), w.events(path + "?Last-Event-ID=" + id)} {
		again.command("CREATE")
		again.command("RENAME")
		if _, got := again.command("DELETE"); got != last {
			t.Errorf("id %q, want %q", got, last)
		}
	}
	// The header wins over the query.
	w.events(path+"?Last-Event-ID="+id, "Last-Event-ID", last).idling("1")
	w.get(path+"?Last-Event-ID=x").fails(400, "InputValidationError")
	w.get(path, "X-Access-Token", rootToken, "Last-Event-ID", "x").fails(400, "InputValidationError")
}

func same(t *testing.T, got, want map[string]any) {
	t.Helper()
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		t.Errorf("event %s, want %s", a, b)
	}
}

func TestUpdatesPayloads(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	box := w.box(u, "")
	e := w.events("/users/me/updates", w.token(u.ID, "user")...)
	e.idling("1")
	must(t, w.hub.Drop(context.Background(), u.ID, box.ID))
	body, id := e.command("DROP")
	if body["mailbox"] != box.ID.String() || id != "" {
		t.Errorf("%v %q", body, id)
	}
	must(t, w.hub.Logout(context.Background(), u.ID, "enough"))
	body, id = e.command("LOGOUT")
	if body["reason"] != "enough" || id != "" {
		t.Errorf("%v %q", body, id)
	}
	if lines, open := e.frame(); open {
		t.Errorf("after LOGOUT comes %q", lines)
	}
}

func TestUpdatesTooOld(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	w.put(u, "Subject: x\n\nx\n")
	old := mail.NewIDAt(time.Now().Add(-5 * time.Hour))
	path := "/users/" + u.ID.String() + "/updates"
	e := w.events(path, "Last-Event-ID", old.String())
	if lines, _ := e.frame(); len(lines) != 2 || lines[0] != "event: error" {
		t.Fatalf("frame %q", lines)
	}
	var id string
	for range 5 {
		_, id = e.command("COUNTERS")
	}
	// It goes on from there, and the client has a position to come back to.
	w.put(u, "Subject: y\n\nx\n")
	e.command("EXISTS")
	again := w.events(path, "Last-Event-ID", id)
	again.command("EXISTS")
}

func TestUpdatesEndWithServer(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	e := w.events("/users/" + u.ID.String() + "/updates")
	e.idling("1")
	w.stop()
	if lines, open := e.frame(); open {
		t.Errorf("frame %q after the stop", lines)
	}
}

func TestUpdatesEndWithClient(t *testing.T) {
	left := make(chan struct{})
	w := newWorld(t)
	u := w.user("anna")
	e := w.events("/users/" + u.ID.String() + "/updates")
	e.idling("1")
	e.stop()
	go func() { defer close(left); _, _ = io.Copy(io.Discard, e.res.Body) }()
	<-left
	// goleak in TestMain and the server's Stop find a handler that stays.
}

// quiet is reached after 15 silent seconds; here it is called as then.
func TestQuietKeepsThePositionYoung(t *testing.T) {
	w := newWorld(t)
	u := w.user("anna")
	rec := newRecorder()
	c := echoContext(newRequest("/"), rec)
	s := &server{Options{Store: w.store, Stopping: context.Background()}}
	// Two hours old, and in the journal's time still.
	last := mail.NewIDAt(time.Now().Add(-2 * time.Hour))
	st := &stream{server: s, c: c, user: u.ID, last: last, feed: w.store.Follow(u.ID, last)}
	must(t, st.quiet())
	if age := time.Since(st.feed.Since().Time()); age > time.Minute {
		t.Errorf("the position is %v old", age)
	}
	if rec.Body.String() != ": idling 1\n\n" {
		t.Errorf("wrote %q", rec.Body)
	}
	done := w.put(u, "Subject: x\n\nx\n", func(a *store.Append) { a.SkipAddressRegister = true })
	must(t, st.quiet())
	text := rec.Body.String()
	if !strings.Contains(text, done.ID.String()) || strings.Contains(text, "idling 2") {
		t.Errorf("a lost nudge: %q", text)
	}
}
