package store

import (
	"context"
	"log/slog"
	"maps"
	"regexp"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// accountKind reads and writes what an administrator may change of a user.
func (s *Store) accountKind() *kind[Account] {
	return &kind[Account]{
		collection: s.users, name: "account", none: mail.CodeNoUser, order: "_id",
		read: decoded(func(u *userRecord) Account { return u.account(s.quota) }),
		doc:  accountDoc,
	}
}

// EditUser changes an account: change alters the value, and the fields that
// differ are written. Suspending voids sessions and tokens; who is suspended or
// disabled is logged out. What an account is, its name and addresses, has
// operations of its own.
func (s *Store) EditUser(ctx context.Context, id mail.ID, change func(*Account) error) (Account, error) {
	var out bool
	var had map[string]bool
	a, err := s.accountKind().edit(ctx, key("_id", oid(id)), func(a *Account) error {
		relay := a.MTARelay
		had = maps.Clone(a.FeatureFlags)
		err := change(a)
		if a.MTARelay != relay || a.relayID.IsZero() {
			a.relayID = mail.NewID()
		}
		for i := range a.Targets {
			if a.Targets[i].ID.IsZero() {
				a.Targets[i].ID = mail.NewID()
			}
		}
		return err
	}, func(before, after *Account) bson.D {
		out = after.Suspended && !before.Suspended || after.Disabled && !before.Disabled
		if after.Suspended && !before.Suspended {
			return key("$inc", key("authVersion", 1))
		}
		return nil
	})
	if err != nil {
		return a, err
	}
	s.forgetLimits(ctx, id)
	s.noteFeatures(ctx, id, had, a.FeatureFlags)
	if out {
		s.logout(ctx, id, "Account disabled")
	}
	return a, nil
}

// forgetLimits drops WildDuck's cache of an account's limits (schema 9).
func (s *Store) forgetLimits(ctx context.Context, id mail.ID) {
	if err := s.sig.Delete(ctx, "cached:"+id.String(), "limits:"+id.String()); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "drop cached limits", slog.String("user", id.String()), slog.Any("err", err))
	}
}

func (s *Store) logout(ctx context.Context, id mail.ID, reason string) {
	if err := s.hub.Logout(ctx, id, reason); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "end sessions", slog.String("user", id.String()), slog.Any("err", err))
	}
}

// UserFilter narrows a list of accounts.
type UserFilter struct {
	// Query is a part of user name or address, in any case. Tags are ones of
	// which an account has any, RequiredTags ones of which it has all.
	Query              string
	Tags, RequiredTags []string
}

// Users lists accounts by id. With a query it looks at all of them.
func (s *Store) Users(ctx context.Context, f UserFilter, p Paging) ([]Account, Cursors, error) {
	var filter bson.D
	if f.Query != "" {
		part := bson.Regex{Pattern: regexp.QuoteMeta(f.Query), Options: "i"}
		filter = key("$or", bson.A{key("address", part), key("unameview", part)})
	}
	tags := bson.D{}
	if len(f.Tags) > 0 {
		tags = append(tags, bson.E{Key: "$in", Value: tagsView(f.Tags)})
	}
	if len(f.RequiredTags) > 0 {
		tags = append(tags, bson.E{Key: "$all", Value: tagsView(f.RequiredTags)})
	}
	if len(tags) > 0 {
		filter = append(filter, bson.E{Key: "tagsview", Value: tags})
	}
	if filter == nil {
		filter = bson.D{}
	}
	return s.accountKind().page(ctx, filter, p)
}

// QuotaTotals are the storage in use and the storage allowed, of all accounts.
func (s *Store) QuotaTotals(ctx context.Context) (used, allowed int64, err error) {
	const op = "add up quotas"
	cur, err := s.users.Find(ctx, bson.D{}, options.Find().SetProjection(key("storageUsed", 1, "quota", 1)).SetSort(key("_id", 1)))
	if err != nil {
		return 0, 0, fail(op, err)
	}
	defer func() { _ = cur.Close(ctx) }()
	for cur.Next(ctx) {
		used += max(rawNumber(cur.Current.Lookup("storageUsed")), 0)
		if quota := rawNumber(cur.Current.Lookup("quota")); quota > 0 {
			allowed += quota
		} else {
			allowed += s.quota
		}
	}
	return used, allowed, fail(op, cur.Err())
}
