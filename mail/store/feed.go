package store

import (
	"context"
	"time"

	"github.com/eidermail/eider/mail"
)

// feedOverlap is how late an entry of another process may become visible.
const feedOverlap = 5 * time.Second

// Feed follows the changes of one account and misses none of them, also those
// that other processes write with a lower id than entries already seen: it
// reads the last seconds again and again and tells each entry once. It belongs
// to one goroutine.
type Feed struct {
	s     *Store
	user  mail.ID
	since mail.ID
	seen  map[mail.ID]struct{}
}

// Follow gives the changes of an account after the journal entry since (of
// LastChange, or the last one a client has). Entries of the seconds before
// since may be told once more.
func (s *Store) Follow(user, since mail.ID) *Feed {
	return &Feed{s: s, user: user, since: since, seen: map[mail.ID]struct{}{since: {}}}
}

// Since is the newest entry told: what a client keeps to resume.
func (f *Feed) Since() mail.ID { return f.since }

// Reset starts anew after the entry since, for a reader that loaded its view
// anew.
func (f *Feed) Reset(since mail.ID) {
	f.since, f.seen = since, map[mail.ID]struct{}{since: {}}
}

// Next gives what is new; nothing when nothing is. complete is as in Changes.
// Call it again while it gives something.
func (f *Feed) Next(ctx context.Context) (changes []mail.Change, complete bool, err error) {
	from := f.overlap()
	for len(changes) == 0 {
		list, complete, err := f.s.Changes(ctx, f.user, from, maxChanges)
		if err != nil || !complete {
			return nil, complete, err
		}
		for i := range list {
			from = list[i].ID
			if _, told := f.seen[from]; told {
				continue
			}
			f.seen[from] = struct{}{}
			changes = append(changes, list[i])
			if later(from, f.since) {
				f.since = from
			}
		}
		if len(list) < maxChanges {
			break
		}
	}
	f.forget()
	return changes, true, nil
}

// overlap is a cursor some seconds before the last entry told.
func (f *Feed) overlap() mail.ID {
	if f.since.IsZero() {
		return f.since
	}
	return startOf(f.since.Time().Add(-feedOverlap))
}

// startOf is an id before all ids of a second.
func startOf(t time.Time) mail.ID {
	id := mail.NewIDAt(t)
	clear(id[4:])
	return id
}

func (f *Feed) forget() {
	old := f.overlap()
	for id := range f.seen {
		if later(old, id) {
			delete(f.seen, id)
		}
	}
}

// later orders ids as the journal does.
func later(a, b mail.ID) bool { return string(a[:]) > string(b[:]) }
