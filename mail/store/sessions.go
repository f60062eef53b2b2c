package store

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// sessionRecord is a document of eider_sessions. Its _id is SHA-256 of the
// secret: who reads the database cannot sign in with it.
type sessionRecord struct {
	ID          string        `bson:"_id"`
	User        bson.ObjectID `bson:"user"`
	AuthVersion int64         `bson:"authVersion"`
	Remember    bool          `bson:"remember"`
	IP          string        `bson:"ip"`
	UserAgent   string        `bson:"userAgent"`
	Created     time.Time     `bson:"created"`
	Used        time.Time     `bson:"used"`
	Expires     time.Time     `bson:"expires"`
}

// tokenRecord is a document of eider_tokens.
type tokenRecord struct {
	ID          string        `bson:"_id"`
	User        bson.ObjectID `bson:"user"`
	Role        string        `bson:"role"`
	Description string        `bson:"description"`
	AuthVersion int64         `bson:"authVersion"`
	TTL         int64         `bson:"ttl"`
	Created     time.Time     `bson:"created"`
	Expires     *time.Time    `bson:"expires,omitempty"`
}

const maxUserAgent = 512

// PutSession keeps a signed-in browser.
func (s *Store) PutSession(ctx context.Context, x Session) error {
	agent, _ := cutRunes(text(x.UserAgent), maxUserAgent)
	_, err := s.sessions.InsertOne(ctx, sessionRecord{
		ID: x.ID, User: oid(x.User), AuthVersion: int64(x.AuthVersion), Remember: x.Remember, IP: x.IP,
		UserAgent: agent, Created: x.Created, Used: x.Used, Expires: x.Expires,
	})
	return fail("keep session", err)
}

// FindSession reads a session. CodeNotFound when there is none or it expired.
func (s *Store) FindSession(ctx context.Context, id string) (Session, error) {
	const op = "find session"
	var r sessionRecord
	if err := s.sessions.FindOne(ctx, key("_id", id)).Decode(&r); err != nil {
		return Session{}, missing(op, mail.CodeNotFound, err)
	}
	if !r.Expires.After(s.now()) {
		return Session{}, &mail.Error{Code: mail.CodeNotFound, Op: op}
	}
	return Session{
		ID: r.ID, User: mail.ID(r.User), AuthVersion: int(r.AuthVersion), Remember: r.Remember, IP: r.IP,
		UserAgent: r.UserAgent, Created: r.Created.UTC(), Used: r.Used.UTC(), Expires: r.Expires.UTC(),
	}, nil
}

// TouchSession notes use and moves the expiry.
func (s *Store) TouchSession(ctx context.Context, id string, used, expires time.Time) error {
	_, err := s.sessions.UpdateOne(ctx, key("_id", id), key("$set", key("used", used, "expires", expires)))
	return fail("touch session", err)
}

// DeleteSession ends a session; a missing one is no error.
func (s *Store) DeleteSession(ctx context.Context, id string) error {
	_, err := s.sessions.DeleteOne(ctx, key("_id", id))
	return fail("end session", err)
}

// DeleteSessions ends an account's sessions but for one.
func (s *Store) DeleteSessions(ctx context.Context, user mail.ID, except string) error {
	_, err := s.sessions.DeleteMany(ctx, key("user", oid(user), "_id", key("$ne", except)))
	return fail("end sessions", err)
}

// PutToken keeps an API token.
func (s *Store) PutToken(ctx context.Context, t Token) error {
	r := tokenRecord{
		ID: t.ID, User: oid(t.User), Role: t.Role, Description: text(t.Description), AuthVersion: int64(t.AuthVersion),
		TTL: int64(t.TTL / time.Second), Created: t.Created,
	}
	if !t.Expires.IsZero() {
		r.Expires = &t.Expires
	}
	_, err := s.tokens.InsertOne(ctx, r)
	if mongo.IsDuplicateKeyError(err) {
		return &mail.Error{Code: mail.CodeExists, Op: "keep token"}
	}
	return fail("keep token", err)
}

// FindToken reads a token and moves its expiry where it has a TTL.
// CodeNotFound when there is none or it expired.
func (s *Store) FindToken(ctx context.Context, id string) (Token, error) {
	const op = "find token"
	var r tokenRecord
	if err := s.tokens.FindOne(ctx, key("_id", id)).Decode(&r); err != nil {
		return Token{}, missing(op, mail.CodeNotFound, err)
	}
	t := Token{
		ID: r.ID, User: mail.ID(r.User), Role: r.Role, Description: r.Description, AuthVersion: int(r.AuthVersion),
		Created: r.Created.UTC(), TTL: time.Duration(r.TTL) * time.Second,
	}
	if r.Expires == nil {
		return t, nil
	}
	now := s.now()
	t.Expires = r.Expires.UTC()
	if !t.Expires.After(now) {
		return Token{}, &mail.Error{Code: mail.CodeNotFound, Op: op}
	}
	// The expiry moves at most once in a tenth of the TTL: reading stays reading.
	if next := now.Add(t.TTL); t.TTL > 0 && next.Sub(t.Expires) > t.TTL/10 {
		if _, err := s.tokens.UpdateOne(ctx, key("_id", id), key("$set", key("expires", next))); err != nil {
			return Token{}, fail(op, err)
		}
		t.Expires = next
	}
	return t, nil
}

// DeleteToken ends a token; a missing one is no error.
func (s *Store) DeleteToken(ctx context.Context, id string) error {
	_, err := s.tokens.DeleteOne(ctx, key("_id", id))
	return fail("end token", err)
}

// DeleteTokens ends an account's tokens.
func (s *Store) DeleteTokens(ctx context.Context, user mail.ID) error {
	_, err := s.tokens.DeleteMany(ctx, key("user", oid(user)))
	return fail("end tokens", err)
}

// Tokens lists an account's tokens, or with a zero id those of no account,
// at most 100.
func (s *Store) Tokens(ctx context.Context, user mail.ID) ([]Token, error) {
	const op = "list tokens"
	cur, err := s.tokens.Find(ctx, key("user", oid(user)), options.Find().SetLimit(100))
	if err != nil {
		return nil, fail(op, err)
	}
	var records []tokenRecord
	if err := cur.All(ctx, &records); err != nil {
		return nil, fail(op, err)
	}
	out := make([]Token, len(records))
	for i, r := range records {
		out[i] = Token{ID: r.ID, User: mail.ID(r.User), Role: r.Role, Description: r.Description, Created: r.Created.UTC()}
	}
	return out, nil
}
