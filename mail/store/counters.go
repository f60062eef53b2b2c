package store

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// Counters of a mailbox lie in WildDuck's keys total:<mailbox> and
// unseen:<mailbox> (schema 9, 11). They are a cache: a missing key is counted
// anew, a present one is adjusted by every write.
const (
	counterTTL = 24 * time.Hour
	// writingTTL is longer than any write takes between its mark and its last
	// adjustment. While the mark is there, a count may miss a write that will
	// adjust the key later, so the count is not kept.
	writingTTL = 10 * time.Second
)

func totalKey(mailbox mail.ID) string   { return "total:" + mailbox.String() }
func unseenKey(mailbox mail.ID) string  { return "unseen:" + mailbox.String() }
func writingKey(mailbox mail.ID) string { return "eider_writing:" + mailbox.String() }

// writing marks a mailbox whose messages are about to change. Every write
// calls it before its first change. A failure is the signals' and costs
// exactness of a cache only.
func (s *Store) writing(ctx context.Context, mailboxes ...mail.ID) {
	for _, m := range mailboxes {
		if err := s.sig.Set(ctx, writingKey(m), "1", writingTTL); err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "mark mailbox for counting", slog.String("mailbox", m.String()), slog.Any("err", err))
		}
	}
}

// adjust brings the cached counters up to date after a write.
func (s *Store) adjust(ctx context.Context, mailbox mail.ID, total, unseen int) {
	for _, c := range []struct {
		key string
		by  int
	}{{totalKey(mailbox), total}, {unseenKey(mailbox), unseen}} {
		if c.by == 0 {
			continue
		}
		if err := s.sig.Adjust(ctx, c.key, int64(c.by), counterTTL); err != nil {
			// What cannot be adjusted must not be believed.
			s.log.LogAttrs(ctx, slog.LevelWarn, "adjust counter", slog.String("mailbox", mailbox.String()), slog.Any("err", err))
			s.dropCounters(context.WithoutCancel(ctx), mailbox)
			return
		}
	}
}

func (s *Store) dropCounters(ctx context.Context, mailbox mail.ID) {
	if err := s.sig.Delete(ctx, totalKey(mailbox), unseenKey(mailbox)); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "drop counters", slog.String("mailbox", mailbox.String()), slog.Any("err", err))
	}
}

// fillCounters sets Total and Unseen.
func (s *Store) fillCounters(ctx context.Context, m *mail.Mailbox) (err error) {
	if m.Total, err = s.counted(ctx, m.ID, totalKey(m.ID), key("mailbox", oid(m.ID)), indexUID); err != nil {
		return err
	}
	m.Unseen, err = s.counted(ctx, m.ID, unseenKey(m.ID), key("mailbox", oid(m.ID), "unseen", true), indexUnseen)
	return err
}

// counted is the cached number, or a fresh one. A fresh one is kept only when
// nobody wrote while it was counted: the mark of writing was absent before and
// after.
func (s *Store) counted(ctx context.Context, mailbox mail.ID, cacheKey string, filter, index bson.D) (int, error) {
	text, ok, err := s.sig.Get(ctx, cacheKey)
	if err == nil && ok {
		if n, err := strconv.Atoi(text); err == nil && n >= 0 {
			return n, nil
		}
	}
	quiet := err == nil && s.quiet(ctx, mailbox)
	n, err := s.messages.CountDocuments(ctx, filter, options.Count().SetHint(index))
	if err != nil {
		return 0, fail("count messages", err)
	}
	if !quiet || !s.quiet(ctx, mailbox) {
		return int(n), nil
	}
	kept, err := s.sig.SetNew(ctx, cacheKey, strconv.FormatInt(n, 10), counterTTL)
	// A write that began after the last look may have found no key to adjust.
	if err == nil && kept && !s.quiet(ctx, mailbox) {
		s.dropCounters(ctx, mailbox)
	}
	return int(n), nil
}

// quiet reports that nobody writes to the mailbox now, as far as can be known.
func (s *Store) quiet(ctx context.Context, mailbox mail.ID) bool {
	_, busy, err := s.sig.Get(ctx, writingKey(mailbox))
	return err == nil && !busy
}
