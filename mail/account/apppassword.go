package account

import (
	"context"
	"crypto/rand"
	"log/slog"
	"regexp"
	"slices"
	"strings"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

// appPasswordForm is what an application password looks like: 16 letters, which
// may be shown to people in groups.
var appPasswordForm = regexp.MustCompile(`^[a-z]{16}$`)

// appPasswordLetters are of 26; 16 of them have 75 bits.
const appPasswordLetters = "abcdefghijklmnopqrstuvwxyz"

func newAppPassword() string {
	out := make([]byte, 0, 16)
	var b [1]byte
	for len(out) < cap(out) {
		_, _ = rand.Read(b[:]) // never fails
		// A byte beyond the last whole alphabet would make some letters likelier.
		if whole := 256 - 256%len(appPasswordLetters); int(b[0]) < whole {
			out = append(out, appPasswordLetters[int(b[0])%len(appPasswordLetters)])
		}
	}
	return string(out)
}

// ValidAppPassword reports a text that may be an application password.
func ValidAppPassword(password string) bool { return appPasswordForm.MatchString(password) }

// AddAppPassword makes an application password of a.User with the scopes,
// description and time to live of a. The password is given, or made where it is
// empty; it comes back this once. CodeInvalid with Reason "many" for too many.
func (a *Accounts) AddAppPassword(ctx context.Context, p store.AppPassword, password string, l Login) (store.AppPassword, string, error) {
	if password == "" {
		password = newAppPassword()
	}
	if !ValidAppPassword(password) {
		return p, "", invalid("password", "format")
	}
	var err error
	if busy := a.hash(ctx, func() { p.Hash, err = HashPassword(password) }); busy != nil {
		return p, "", busy
	}
	if err != nil {
		return p, "", err
	}
	if p, err = a.store.AddAppPassword(ctx, p, password); err != nil {
		return p, "", err
	}
	a.noteAppPassword(ctx, "create asp", p, l)
	return p, password, nil
}

// RemoveAppPassword removes one. CodeNotFound.
func (a *Accounts) RemoveAppPassword(ctx context.Context, user, id mail.ID, l Login) error {
	p, err := a.store.AppPassword(ctx, user, id)
	if err != nil {
		return err
	}
	if err := a.store.DeleteAppPassword(ctx, user, id); err != nil {
		return err
	}
	a.noteAppPassword(ctx, "delete asp", p, l)
	return nil
}

func (a *Accounts) noteAppPassword(ctx context.Context, action string, p store.AppPassword, l Login) {
	e := a.event(l, p.User, "success")
	e.Action, e.ASP, e.ASPName, e.RequiredScope, e.Target = action, p.ID, p.Description, "", p.ID.String()
	a.note(ctx, e)
}

// appPassword finds the account's application password that this login gave, nil
// when it gave none. Only scopes of programs have them.
func (a *Accounts) appPassword(ctx context.Context, user mail.ID, l Login) (*store.AppPassword, error) {
	password := strings.ToLower(strings.Join(strings.Fields(l.Password), ""))
	if l.Scope == scopeMaster || !ValidAppPassword(password) {
		return nil, nil //nolint:nilnil // none was given
	}
	list, err := a.store.AppPasswordCandidates(ctx, user, password)
	if err != nil {
		return nil, err
	}
	for i := range list {
		ok := false
		if err := a.hash(ctx, func() { ok, _ = VerifyPassword(list[i].Hash, password) }); err != nil {
			return nil, err
		}
		if ok {
			return &list[i], nil
		}
	}
	return nil, nil //nolint:nilnil // none matches
}

// allows reports that an application password is for a scope.
func allows(p *store.AppPassword, scope string) bool {
	return slices.Contains(p.Scopes, store.ScopeAll) || slices.Contains(p.Scopes, scope)
}

// useAppPassword keeps when and from where one was used.
func (a *Accounts) useAppPassword(ctx context.Context, p *store.AppPassword, event mail.ID, ip string) {
	if err := a.store.UseAppPassword(ctx, p.User, p.ID, event, ip); err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "record use of an application password", slog.String("user", p.User.String()), slog.Any("err", err))
	}
}
