package store

import (
	"context"
	"crypto/sha1" //nolint:gosec // the selector of a WildDuck document, no protection
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// MaxAppPasswords is how many an account may have (WildDuck's const:asp:limit).
const MaxAppPasswords = 50

// Scopes that an application password may have, and the one that means all.
var appScopes = []string{"imap", "pop3", "smtp"}

// ScopeAll is all scopes.
const ScopeAll = "*"

// AppPassword is a password for one program.
type AppPassword struct {
	ID, User    mail.ID
	Description string
	// Scopes are imap, pop3, smtp, or ScopeAll.
	Scopes []string
	// Hash is of the password, as of an account's.
	Hash string
	// Used, Event and IP tell of the last use; zero for never.
	Used  time.Time
	Event mail.ID
	IP    string
	// TTL is how long it lives after each use, 0 for ever; Expires when it ends.
	TTL              time.Duration
	Expires, Created time.Time
}

func (s *Store) aspKind() *kind[AppPassword] {
	return &kind[AppPassword]{
		collection: s.asps, name: "application password", none: mail.CodeNotFound, order: "_id",
		read: decoded((*aspRecord).asp), doc: aspDoc,
	}
}

// cleanScopes drops what is no scope; all three are the one for all.
func cleanScopes(scopes []string) []string {
	var out []string
	for _, scope := range scopes {
		scope = strings.ToLower(strings.TrimSpace(scope))
		if scope == ScopeAll {
			return []string{ScopeAll}
		}
		if slices.Contains(appScopes, scope) && !slices.Contains(out, scope) {
			out = append(out, scope)
		}
	}
	if len(out) == len(appScopes) {
		return []string{ScopeAll}
	}
	slices.Sort(out)
	return out
}

// passwordSelector says of which few application passwords one may be, without
// hashing it for each.
func passwordSelector(password string) string {
	sum := 0
	for _, b := range sha1.Sum([]byte(password)) { //nolint:gosec // see import
		sum += int(b)
	}
	return strconv.FormatInt(int64(sum%32), 16)
}

// AddAppPassword adds one. a.Hash is the password's; the password itself gives
// the selector and is not kept. CodeInvalid with Reason "many" for more than
// MaxAppPasswords.
func (s *Store) AddAppPassword(ctx context.Context, a AppPassword, password string) (AppPassword, error) {
	const op = "add application password"
	if _, err := s.User(ctx, a.User); err != nil {
		return a, err
	}
	n, err := s.asps.CountDocuments(ctx, key("user", oid(a.User)))
	if err != nil {
		return a, fail(op, err)
	}
	if n >= MaxAppPasswords {
		return a, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "passwords", Reason: "many"}
	}
	now := s.now()
	a.ID, a.Created, a.Scopes = mail.NewIDAt(now), now, cleanScopes(a.Scopes)
	if a.TTL > 0 {
		a.Expires = now.Add(a.TTL)
	}
	return a, s.aspKind().insert(ctx, a.ID, &a, key("selector", passwordSelector(password),
		"used", false, "authEvent", false, "authIp", false, "created", now)...)
}

// AppPasswords lists an account's, oldest first.
func (s *Store) AppPasswords(ctx context.Context, user mail.ID) ([]AppPassword, error) {
	return s.aspKind().list(ctx, key("user", oid(user)), 2*MaxAppPasswords)
}

// AppPasswordCandidates are those that the password may be, by its selector,
// in any case and without the spaces that people are shown. They have not run out.
func (s *Store) AppPasswordCandidates(ctx context.Context, user mail.ID, password string) ([]AppPassword, error) {
	list, err := s.aspKind().list(ctx, key("user", oid(user), "selector", passwordSelector(password)), 2*MaxAppPasswords)
	return slices.DeleteFunc(list, func(a AppPassword) bool { return !a.Expires.IsZero() && a.Expires.Before(s.now()) }), err
}

// UseAppPassword keeps when and from where one was used, and prolongs one that
// lives from its last use on.
func (s *Store) UseAppPassword(ctx context.Context, user, id, event mail.ID, ip string) error {
	const op = "use application password"
	var a aspRecord
	filter := key("_id", oid(id), "user", oid(user))
	if err := s.asps.FindOne(ctx, filter, options.FindOne().SetProjection(key("ttl", 1))).Decode(&a); err != nil {
		return missing(op, mail.CodeNotFound, err)
	}
	now := s.now()
	set := key("used", now, "authEvent", oid(event), "authIp", ip)
	if a.TTL > 0 {
		set = append(set, bson.E{Key: "expires", Value: now.Add(time.Duration(a.TTL) * time.Second)})
	}
	_, err := s.asps.UpdateOne(ctx, filter, key("$set", set))
	return fail(op, err)
}

// AppPassword reads one. CodeNotFound.
func (s *Store) AppPassword(ctx context.Context, user, id mail.ID) (AppPassword, error) {
	return s.aspKind().get(ctx, key("_id", oid(id), "user", oid(user)))
}

// DeleteAppPassword removes one. CodeNotFound.
func (s *Store) DeleteAppPassword(ctx context.Context, user, id mail.ID) error {
	return s.aspKind().remove(ctx, key("_id", oid(id), "user", oid(user)))
}
