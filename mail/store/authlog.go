package store

import (
	"context"
	"crypto/md5" //nolint:gosec // the key of a WildDuck document, no protection
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

const (
	// authLogTime is how long entries stay, authBucket how long equal ones
	// are counted together (schema 2.6, 14).
	authLogTime = 30 * 24 * time.Hour
	authBucket  = 6 * time.Hour
)

// authRecord is a document of authlog.
type authRecord struct {
	ID            bson.ObjectID `bson:"_id"`
	User          bson.RawValue `bson:"user"`
	Action        string        `bson:"action"`
	Result        string        `bson:"result"`
	Protocol      bson.RawValue `bson:"protocol"`
	IP            bson.RawValue `bson:"ip"`
	Session       bson.RawValue `bson:"sess"`
	RequiredScope bson.RawValue `bson:"requiredScope"`
	Source        bson.RawValue `bson:"source"`
	Target        bson.RawValue `bson:"target"`
	ASP           bson.RawValue `bson:"asp"`
	ASPName       bson.RawValue `bson:"aname"`
	Created       time.Time     `bson:"created"`
	Last          time.Time     `bson:"last"`
	Events        int64         `bson:"events"`
}

// LogAuth writes to an account's security log. Equal events within six hours
// share an entry. It gives the entry's id.
func (s *Store) LogAuth(ctx context.Context, e AuthEvent) (mail.ID, error) {
	const op = "write security log"
	now := s.now()
	sum := md5.Sum([]byte(strings.Join([]string{e.Protocol, e.IP, e.Action, e.Result, e.Target}, "^"))) //nolint:gosec // see import
	eventKey := bson.Binary{Data: sum[:]}
	var found struct {
		ID bson.ObjectID `bson:"_id"`
	}
	err := s.authlog.FindOneAndUpdate(ctx,
		key("user", oid(e.User), "created", key("$gte", now.Add(-authBucket)), "key", eventKey),
		bson.D{{Key: "$inc", Value: key("events", 1)}, {Key: "$set", Value: key("last", now)}},
		options.FindOneAndUpdate().SetProjection(key("_id", 1))).Decode(&found)
	if err == nil {
		return mail.ID(found.ID), nil
	}
	if !isNone(err) {
		return mail.ID{}, fail(op, err)
	}
	id := mail.NewIDAt(now)
	d := bson.D{{Key: "_id", Value: oid(id)}, {Key: "user", Value: oid(e.User)}, {Key: "action", Value: text(e.Action)}, {Key: "result", Value: text(e.Result)}}
	for _, f := range []struct{ name, value string }{
		{"protocol", e.Protocol},
		{"ip", e.IP},
		{"sess", e.Session},
		{"requiredScope", e.RequiredScope},
		{"source", e.Source},
		{"appId", e.AppID},
		{"require2fa", e.Require2FA},
		{"target", e.Target},
	} {
		if f.value != "" {
			d = append(d, bson.E{Key: f.name, Value: text(f.value)})
		}
	}
	if !e.ASP.IsZero() {
		d = append(d, bson.E{Key: "asp", Value: oid(e.ASP)}, bson.E{Key: "aname", Value: text(e.ASPName)})
	}
	if e.Temporary {
		d = append(d, bson.E{Key: "temporary", Value: true})
	}
	d = append(d,
		bson.E{Key: "created", Value: now}, bson.E{Key: "expires", Value: now.Add(authLogTime)},
		bson.E{Key: "key", Value: eventKey}, bson.E{Key: "events", Value: 1}, bson.E{Key: "last", Value: now})
	_, err = s.authlog.InsertOne(ctx, d)
	return id, fail(op, err)
}

// AuthEvents reads an account's security log, newest first, before an entry
// (zero for the newest), at most limit (0 or more than 250 for 50).
func (s *Store) AuthEvents(ctx context.Context, user, before mail.ID, limit int) ([]AuthEvent, error) {
	const op = "read security log"
	if limit <= 0 || limit > MaxPage {
		limit = defaultPage
	}
	filter := key("user", oid(user))
	if !before.IsZero() {
		filter = append(filter, bson.E{Key: "_id", Value: key("$lt", oid(before))})
	}
	cur, err := s.authlog.Find(ctx, filter, options.Find().SetSort(key("_id", -1)).SetLimit(int64(limit)))
	if err != nil {
		return nil, fail(op, err)
	}
	var records []authRecord
	if err := cur.All(ctx, &records); err != nil {
		return nil, fail(op, err)
	}
	out := make([]AuthEvent, len(records))
	for i := range records {
		r := &records[i]
		out[i] = AuthEvent{
			ID: mail.ID(r.ID), User: rawID(r.User), Action: r.Action, Result: r.Result, Protocol: rawString(r.Protocol),
			IP: rawString(r.IP), Session: rawString(r.Session), RequiredScope: rawString(r.RequiredScope),
			Source: rawString(r.Source), Target: rawString(r.Target), ASP: rawID(r.ASP), ASPName: rawString(r.ASPName), Created: r.Created.UTC(), Last: r.Last.UTC(), Events: int(r.Events),
		}
	}
	return out, nil
}
