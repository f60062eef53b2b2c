package beside

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

// samples are golden messages that both deliver to an account of each.
var samples = []string{
	"alternative", "arabic-windows-1256", "base64-single-line", "arabic-utf8-html", "flowed-delsp",
}

// compared are the fields of a message that must be one and the same at both
// APIs, whoever stored it.
var compared = []string{
	"id", "mailbox", "subject", "from", "to", "cc", "messageId", "date", "idate", "size", "seen", "flagged", "answered", "draft", "deleted",
	"attachments", "text", "html", "contentType", "references", "list", "intro", "thread",
}

// TestEachReadsTheOther: accounts, mailboxes and messages of both are read by
// both, and change under the hands of both.
func TestEachReadsTheOther(t *testing.T) {
	p := start(t)
	people := []person{p.add(p.api, "wanda"), p.add(p.eider.API, "edda")}
	for _, who := range people {
		for _, listener := range []string{p.lmtp, p.eider.LMTP} {
			for _, name := range samples {
				raw, err := os.ReadFile(filepath.Join("../../../mail/message/testdata", name+".eml"))
				if err != nil {
					t.Fatal(err)
				}
				if err := deliver(t.Context(), listener, who.address, string(raw)); err != nil {
					t.Fatalf("%s to %s: %v", name, who.name, err)
				}
			}
		}
		p.same(who)
		p.overIMAP(who)
		p.same(who)
		p.overAPI(who)
		p.same(who)
	}
	p.fsck()
}

// same compares what the two say of an account.
func (p *pair) same(who person) {
	p.t.Helper()
	theirs, ours := p.boxes(p.api, who), p.boxes(p.eider.API, who)
	byPath := func(a, b box) int { return strings.Compare(a.Path, b.Path) }
	slices.SortFunc(theirs, byPath)
	slices.SortFunc(ours, byPath)
	if diff := cmp.Diff(theirs, ours); diff != "" {
		p.t.Errorf("mailboxes of %s (-WildDuck +Eider):\n%s", who.name, diff)
	}
	for _, b := range ours {
		base := path("/users/%s/mailboxes/%s/messages", who.id, b.ID)
		var list struct{ Results []struct{ ID int } }
		p.call(p.eider.API, http.MethodGet, base+"?limit=250", nil, &list)
		if len(list.Results) != b.Total {
			p.t.Errorf("%s of %s lists %d messages, counts %d", b.Path, who.name, len(list.Results), b.Total)
		}
		for _, m := range list.Results {
			one := path("%s/%d", base, m.ID)
			if diff := cmp.Diff(p.fields(p.api, one), p.fields(p.eider.API, one)); diff != "" {
				p.t.Errorf("%s/%d of %s (-WildDuck +Eider):\n%s", b.Path, m.ID, who.name, diff)
			}
			p.sameSource(one)
		}
	}
}

// sameSource compares the raw source. WildDuck writes a line break too many
// behind some texts, so ours has to have the size that both tell.
func (p *pair) sameSource(message string) {
	p.t.Helper()
	theirs, ours := p.raw(p.api, http.MethodGet, message+"/message.eml", nil), p.raw(p.eider.API, http.MethodGet, message+"/message.eml", nil)
	if diff := cmp.Diff(strings.TrimRight(string(theirs), "\r\n"), strings.TrimRight(string(ours), "\r\n")); diff != "" {
		p.t.Errorf("source of %s (-WildDuck +Eider):\n%s", message, diff)
	}
	var told struct{ Size int }
	p.call(p.api, http.MethodGet, message, nil, &told)
	if told.Size != len(ours) {
		p.t.Errorf("source of %s has %d bytes, WildDuck says %d", message, len(ours), told.Size)
	}
}

// fields is the compared part of a message at one API.
func (p *pair) fields(base, address string) map[string]any {
	p.t.Helper()
	var all map[string]any
	p.call(base, http.MethodGet, address, nil, &all)
	maps.DeleteFunc(all, func(key string, _ any) bool { return !slices.Contains(compared, key) })
	if list, ok := all["attachments"].([]any); ok {
		for _, a := range list {
			if a, ok := a.(map[string]any); ok {
				delete(a, "fileContentHash") // ours has none, docs/differences.md
			}
		}
	}
	return all
}

// overIMAP changes the account through WildDuck's IMAP.
func (p *pair) overIMAP(who person) {
	p.t.Helper()
	c := p.dial(who)
	if err := c.Create("Вложения", nil).Wait(); err != nil {
		p.t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		p.t.Fatal(err)
	}
	store := func(set imap.UIDSet, op imap.StoreFlagsOp, flags ...imap.Flag) {
		if err := c.Store(set, &imap.StoreFlags{Op: op, Flags: flags}, nil).Close(); err != nil {
			p.t.Fatal(err)
		}
	}
	store(imap.UIDSetNum(1, 6), imap.StoreFlagsAdd, imap.FlagSeen)
	store(imap.UIDSetNum(1, 6), imap.StoreFlagsAdd, imap.FlagFlagged)
	store(imap.UIDSetNum(2), imap.StoreFlagsAdd, imap.FlagAnswered, "$Label1")
	if _, err := c.Copy(imap.UIDSetNum(1, 7), "Вложения").Wait(); err != nil {
		p.t.Fatal(err)
	}
	if _, err := c.Move(imap.UIDSetNum(3, 8), "Trash").Wait(); err != nil {
		p.t.Fatal(err)
	}
	store(imap.UIDSetNum(4), imap.StoreFlagsAdd, imap.FlagDeleted)
	if err := c.Expunge().Close(); err != nil {
		p.t.Fatal(err)
	}
	raw := strings.ReplaceAll(letter("appended"), "\n", "\r\n")
	a := c.Append("Вложения", int64(len(raw)), nil)
	if _, err := a.Write([]byte(raw)); err != nil {
		p.t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		p.t.Fatal(err)
	}
	if _, err := a.Wait(); err != nil {
		p.t.Fatal(err)
	}
}

// overAPI changes the account through Eider's API.
func (p *pair) overAPI(who person) {
	p.t.Helper()
	inbox, archive := p.box(p.eider.API, who, "INBOX"), p.box(p.eider.API, who, "Вложения")
	messages := path("/users/%s/mailboxes/%s/messages", who.id, inbox.ID)
	p.call(p.eider.API, http.MethodPut, messages, map[string]any{"message": "1,2", "seen": false, "flagged": true}, nil)
	p.call(p.eider.API, http.MethodPut, messages, map[string]any{"message": "5", "moveTo": archive.ID}, nil)
	p.call(p.eider.API, http.MethodDelete, messages+"/9", nil, nil)
}

// TestFlagsThatWildDuckForgets: WildDuck 1.51.1 keeps the boolean of only one
// of several flags that an IMAP client sets at once. Eider goes by the flags,
// and fsck mends the rest.
func TestFlagsThatWildDuckForgets(t *testing.T) {
	p := start(t)
	who := p.add(p.api, "wanda")
	if err := deliver(t.Context(), p.lmtp, who.address, letter("flags")); err != nil {
		t.Fatal(err)
	}
	c := p.dial(who)
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	two := imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen, imap.FlagFlagged}}
	if err := c.Store(imap.UIDSetNum(1), &two, nil).Close(); err != nil {
		t.Fatal(err)
	}
	one := path("/users/%s/mailboxes/%s/messages/1", who.id, p.box(p.eider.API, who, "INBOX").ID)
	if ours := p.fields(p.eider.API, one); ours["seen"] != true || ours["flagged"] != true {
		t.Errorf("Eider shows %v", ours)
	}
	if theirs := p.fields(p.api, one); theirs["seen"] == true {
		t.Errorf("WildDuck has learnt it: %v", theirs)
	}
	p.repair()
	p.same(who)
	p.fsck()
}

// both is how many messages each of the two delivers at the same time.
const both = 60

// TestBothWriteOneMailbox: deliveries through both at once, flags changed by
// both meanwhile: each UID is given once, UIDs and mod-sequences only rise, a
// follower of Eider misses no change, and the counters are those of what is
// stored. WildDuck's own idling sessions do miss some: they read the journal
// from the highest mod-sequence that they saw, also where a lower one comes late.
func TestBothWriteOneMailbox(t *testing.T) {
	p := start(t)
	who := p.add(p.api, "wanda")
	inbox := p.box(p.eider.API, who, "INBOX")
	told := p.follow(who)
	var g errgroup.Group
	for _, listener := range []string{p.lmtp, p.eider.LMTP} {
		for worker := range 3 {
			g.Go(func() error {
				for i := range both / 3 {
					if err := deliver(t.Context(), listener, who.address, letter(fmt.Sprintf("n%s %d %d", port(listener), worker, i))); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	p.flagAlways(who, inbox)
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	p.same(who)
	if b := p.box(p.eider.API, who, "INBOX"); b.Total != 2*both {
		t.Errorf("total %d of %d", b.Total, 2*both)
	}
	p.uniqueUIDs(who)
	t.Cleanup(func() {
		if missing := told.missing(2 * both); len(missing) > 0 {
			t.Logf("Eider's event stream did not tell of %v", missing)
		}
	})
	eventually(t, "Eider's event stream tells of every message", func() bool { return told.count() == 2*both })
	p.fsck()
}

// uniqueUIDs reads the mailbox over IMAP: UIDs rise without a double, and no
// mod-sequence is above the mailbox's.
func (p *pair) uniqueUIDs(who person) {
	p.t.Helper()
	c := p.dial(who)
	selected, err := c.Select("INBOX", &imap.SelectOptions{CondStore: true}).Wait()
	if err != nil {
		p.t.Fatal(err)
	}
	all := imap.SeqSet{imap.SeqRange{Start: 1, Stop: 0}}
	list, err := c.Fetch(all, &imap.FetchOptions{UID: true, ModSeq: true, Flags: true}).Collect()
	if err != nil {
		p.t.Fatal(err)
	}
	last := imap.UID(0)
	for _, m := range list {
		if m.UID <= last {
			p.t.Errorf("UID %d after %d", m.UID, last)
		}
		if m.ModSeq > selected.HighestModSeq {
			p.t.Errorf("mod-sequence %d above the mailbox's %d", m.ModSeq, selected.HighestModSeq)
		}
		last = m.UID
	}
	if len(list) != 2*both || selected.UIDNext <= last {
		p.t.Errorf("%d messages, last UID %d, next %d", len(list), last, selected.UIDNext)
	}
}

// flagAlways changes flags through both while mail comes in.
func (p *pair) flagAlways(who person, inbox box) {
	p.t.Helper()
	c := p.dial(who)
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		p.t.Fatal(err)
	}
	messages := path("/users/%s/mailboxes/%s/messages", who.id, inbox.ID)
	for i := range 40 {
		uid := imap.UID(i%10 + 1)
		seen := imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen}}
		if i%2 == 1 {
			seen.Op = imap.StoreFlagsDel
		}
		if err := c.Store(imap.UIDSetNum(uid), &seen, nil).Close(); err != nil {
			p.t.Fatal(err)
		}
		p.raw(p.eider.API, http.MethodPut, messages, map[string]any{"message": itoa(i%10 + 1), "flagged": i%4 < 2})
	}
}

// follow counts the messages that Eider's event stream has told of.
func (p *pair) follow(who person) *counter {
	p.t.Helper()
	seen := newCounter()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.eider.API+"/users/"+who.id+"/updates", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.authorize(req)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = res.Body.Close() })
	var event strings.Builder
	go eachLine(res.Body, func(line string) {
		if data, ok := strings.CutPrefix(line, "data:"); ok {
			event.WriteString(data)
		}
		if line != "" {
			return
		}
		var told struct {
			Command string
			UID     int
		}
		if json.Unmarshal([]byte(event.String()), &told) == nil && told.Command == "EXISTS" {
			seen.add(told.UID)
		}
		event.Reset()
	})
	return seen
}
