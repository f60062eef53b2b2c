package store

import (
	"context"
	"log/slog"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/signal"
)

// featureIndexing is WildDuck's flag of the accounts whose mail goes to
// ElasticSearch.
const featureIndexing = "indexing"

// noteFeatures keeps WildDuck's sets feature:<flag> in Redis, which hold the
// accounts that have a feature, equal to what an account had and has. Signals
// without sets have no WildDuck beside them. A failure is logged: the account's
// own flags stand.
func (s *Store) noteFeatures(ctx context.Context, user mail.ID, had, has map[string]bool) {
	sets, ok := s.sig.(signal.Sets)
	if !ok {
		return
	}
	note := func(flag string, in bool) {
		changed, err := sets.SetMember(ctx, "feature:"+flag, user.String(), in)
		if err == nil && changed && in && flag == featureIndexing {
			// Mail that is there already is for WildDuck's task.
			_, err = s.addTask(ctx, taskIndexing, key("user", oid(user)), time.Time{})
		}
		if err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "note a feature of an account", slog.String("user", user.String()), slog.String("feature", flag), slog.Any("err", err))
		}
	}
	for flag, on := range has {
		if on && !had[flag] {
			note(flag, true)
		}
	}
	for flag, on := range had {
		if on && !has[flag] {
			note(flag, false)
		}
	}
}
