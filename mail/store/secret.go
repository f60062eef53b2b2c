package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/eidermail/eider/mail"
)

// secretSize is bytes of a secret.
const secretSize = 32

// Secret gives the installation's secret of that name: 32 random bytes, made
// on first use and the same for every instance on the database. It lies in
// settings, not enumerable, under a key that WildDuck does not know.
func (s *Store) Secret(ctx context.Context, name string) ([]byte, error) {
	const op = "read secret"
	k := "eider:secret:" + name
	for {
		secret, err := s.readSecret(ctx, k)
		if err == nil || !errors.Is(err, mongo.ErrNoDocuments) {
			return secret, fail(op, err)
		}
		made := make([]byte, secretSize)
		_, _ = rand.Read(made)
		text, err := json.Marshal(hex.EncodeToString(made))
		if err != nil {
			return nil, fail(op, err)
		}
		_, err = s.settings.InsertOne(ctx, key(
			"key", k, "value", string(text), "encrypted", false, "enumerable", false, "created", s.now(),
		))
		// Another instance was first: its secret is the one.
		if err != nil && !mongo.IsDuplicateKeyError(err) {
			return nil, fail(op, err)
		}
	}
}

func (s *Store) readSecret(ctx context.Context, k string) ([]byte, error) {
	var doc struct {
		Value string `bson:"value"`
	}
	if err := s.settings.FindOne(ctx, key("key", k, "enumerable", false)).Decode(&doc); err != nil {
		return nil, err
	}
	var text string
	if err := json.Unmarshal([]byte(doc.Value), &text); err != nil {
		return nil, err
	}
	secret, err := hex.DecodeString(text)
	if err == nil && len(secret) != secretSize {
		err = &mail.Error{Code: mail.CodeInternal, Op: "read secret", Field: "length"}
	}
	return secret, err
}
