package store

import (
	"context"

	"github.com/eidermail/eider/mail"
)

// SetProfile keeps what a person says about themselves in the webmail: the
// display name, the language ("en", "pt_BR") and how the pages look.
func (s *Store) SetProfile(ctx context.Context, id mail.ID, name, language string, p mail.Preferences) error {
	err := s.updateUser(ctx, "set profile", id, key("$set", key(
		"language", text(language), "eider.preferences", preferencesRecord(p),
	)))
	if err != nil {
		return err
	}
	return s.SetName(ctx, id, name)
}
