package store

import (
	"context"
	"encoding/json"
	"regexp"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// Setting is one of the installation's values.
type Setting struct {
	Key string
	// Value is JSON text.
	Value      string
	Enumerable bool
	Created    time.Time
}

// SettingOptions say how a setting is kept.
type SettingOptions struct {
	// Encrypt seals the value where a secret is configured.
	Encrypt bool
	// Hidden keeps it out of lists.
	Hidden bool
}

// errJSON says that a setting's value is not JSON.
var errJSON = &mail.Error{Code: mail.CodeInvalid, Op: "set setting", Field: "value", Reason: "format"}

// SetSetting keeps a value, which is JSON text.
func (s *Store) SetSetting(ctx context.Context, name, value string, o SettingOptions) error {
	const op = "set setting"
	if name == "" || !json.Valid([]byte(value)) {
		return errJSON
	}
	sealed := value
	if o.Encrypt {
		var err error
		if sealed, err = s.secrets.settings.Encrypt(value); err != nil {
			return fail(op, err)
		}
	}
	change := bson.D{
		{Key: "$set", Value: key("key", name, "value", sealed, "encrypted", sealed != value, "enumerable", !o.Hidden)},
		{Key: "$setOnInsert", Value: key("created", s.now())},
	}
	_, err := s.settings.UpdateOne(ctx, key("key", name), change, options.UpdateOne().SetUpsert(true))
	if mongo.IsDuplicateKeyError(err) {
		// Somebody else made it at the same moment.
		_, err = s.settings.UpdateOne(ctx, key("key", name), change[:1])
	}
	return fail(op, err)
}

// Setting reads one. CodeNotFound where it has not been set.
func (s *Store) Setting(ctx context.Context, name string) (Setting, error) {
	const op = "read setting"
	var r settingRecord
	if err := s.settings.FindOne(ctx, key("key", name)).Decode(&r); err != nil {
		return Setting{}, missing(op, mail.CodeNotFound, err)
	}
	return s.setting(op, &r)
}

func (s *Store) setting(op string, r *settingRecord) (Setting, error) {
	out := Setting{Key: r.Key, Value: r.Value, Enumerable: r.Enumerable, Created: rawTime(r.Created)}
	if !r.Encrypted {
		return out, nil
	}
	var err error
	out.Value, err = s.secrets.settings.Decrypt(r.Value)
	return out, fail(op, err)
}

// maxSettings bounds what Settings returns.
const maxSettings = 1000

// Settings lists those that are not hidden, by key. query, where not empty, is
// a part of the key.
func (s *Store) Settings(ctx context.Context, query string) ([]Setting, error) {
	const op = "list settings"
	filter := key("enumerable", true)
	if query != "" {
		filter = append(filter, bson.E{Key: "key", Value: bson.Regex{Pattern: regexp.QuoteMeta(query), Options: "i"}})
	}
	records, err := all[settingRecord](ctx, op, s.settings, filter, options.Find().SetSort(key("key", 1)).SetLimit(maxSettings))
	if err != nil {
		return nil, err
	}
	out := make([]Setting, len(records))
	for i := range records {
		if out[i], err = s.setting(op, &records[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// DeleteSetting removes one, so that the default counts again. CodeNotFound.
func (s *Store) DeleteSetting(ctx context.Context, name string) error {
	res, err := s.settings.DeleteOne(ctx, key("key", name))
	if err == nil && res.DeletedCount == 0 {
		err = mongo.ErrNoDocuments
	}
	return missing("delete setting", mail.CodeNotFound, err)
}
