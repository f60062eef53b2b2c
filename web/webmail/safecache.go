package webmail

import (
	"container/list"
	"sync"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message/safehtml"
)

// Bounds of the cache. Signed addresses inside an entry live longer than it.
const (
	safeFor     = 5 * time.Minute
	safeEntries = 256
	safeBytes   = 8 << 20
)

// safeKey names a sanitised message. The place is part of it, because the
// addresses of inline parts are made of it.
type safeKey struct {
	user, mailbox, message mail.ID
	uid                    mail.UID
	images                 bool
	version                int
}

// safeMessage is the sanitised HTML with the language of its text, "" for
// unknown.
type safeMessage struct {
	safehtml.Result
	lang string
}

type safeEntry struct {
	key    safeKey
	result safeMessage
	until  time.Time
}

func (e *safeEntry) size() int { return len(e.result.HTML) + len(e.result.Style) + 256 }

// safeCache keeps sanitised messages for a short time, the ones used last. It
// is only a cache: what does not fit is made anew.
type safeCache struct {
	now func() time.Time

	mu      sync.Mutex
	entries map[safeKey]*list.Element
	// used has the entry used last in front.
	used  *list.List
	bytes int
}

func newSafeCache(now func() time.Time) *safeCache {
	return &safeCache{now: now, entries: map[safeKey]*list.Element{}, used: list.New()}
}

func (s *safeCache) get(k safeKey) (safeMessage, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.entries[k]
	if !ok {
		return safeMessage{}, false
	}
	e, _ := at.Value.(*safeEntry)
	if !s.now().Before(e.until) {
		s.drop(at)
		return safeMessage{}, false
	}
	s.used.MoveToFront(at)
	return e.result, true
}

func (s *safeCache) put(k safeKey, r safeMessage) {
	e := &safeEntry{key: k, result: r, until: s.now().Add(safeFor)}
	if e.size() > safeBytes/4 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.entries[k]; ok {
		s.drop(at)
	}
	s.entries[k] = s.used.PushFront(e)
	s.bytes += e.size()
	for s.bytes > safeBytes || s.used.Len() > safeEntries {
		s.drop(s.used.Back())
	}
}

// drop removes an entry. The caller holds mu.
func (s *safeCache) drop(at *list.Element) {
	e, _ := s.used.Remove(at).(*safeEntry)
	delete(s.entries, e.key)
	s.bytes -= e.size()
}
