package account

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
	"github.com/eidermail/eider/mail/limit"
	"github.com/eidermail/eider/mail/store"
)

// Registration is what a person fills in.
type Registration struct {
	Name string
	// Username becomes the local-part of the address.
	Username string
	// Domain is one of Domains, "" for the first.
	Domain   string
	Password string
	// Language chooses the folder names.
	Language string
	// IP is the client's address, for the limit.
	IP string
}

// Register makes an account for a person who asks. CodeForbidden when
// registration is off; CodeInvalid and CodeExists with Field (username,
// domain, password, name) and Reason (empty, format, long, short, reserved,
// taken, weak, unknown); CodeLimited for too many from one address.
func (a *Accounts) Register(ctx context.Context, r Registration) (mail.User, error) {
	const op = "register"
	if !a.Open() {
		return mail.User{}, &mail.Error{Code: mail.CodeForbidden, Op: op}
	}
	username := address.NormalizeUsername(r.Username)
	name := strings.TrimSpace(r.Name)
	if err := checkName(name); err != nil {
		return mail.User{}, err
	}
	if err := a.checkUsername(username); err != nil {
		return mail.User{}, err
	}
	addr, err := a.newAddress(username, r.Domain)
	if err != nil {
		return mail.User{}, err
	}
	if err := CheckPassword(r.Password, username, name, addr.Domain); err != nil {
		return mail.User{}, err
	}
	if err := a.limit.Take(ctx, limit.Register, r.IP, 1); err != nil {
		return mail.User{}, err
	}
	if addr.Domain != a.domains[0] {
		// The same name may exist in the first domain; this one signs in with
		// the whole address.
		username = addr.Normal()
	}
	user, err := a.Create(ctx, store.NewUser{
		Username: username, Name: name, Address: addr.String(), Language: r.Language, Quota: a.quota,
	}, r.Password)
	return user, asUsername(err)
}

// asUsername blames the user name for an address that is taken: a person who
// registers sees one field for both.
func asUsername(err error) error {
	var e *mail.Error
	if !errors.As(err, &e) || e.Code != mail.CodeExists {
		return err
	}
	return &mail.Error{Code: mail.CodeExists, Op: e.Op, Field: "username", Reason: "taken", Err: err}
}

// Create makes an account as an administrator does: the password, "" for
// none, is hashed but not judged. n.PasswordHash is used when the password is
// empty. The event goes to the security log.
func (a *Accounts) Create(ctx context.Context, n store.NewUser, password string) (mail.User, error) {
	if password != "" {
		if len(password) > maxPassword {
			return mail.User{}, invalid("password", "long")
		}
		var err error
		if busy := a.hash(ctx, func() { n.PasswordHash, err = HashPassword(password) }); busy != nil {
			return mail.User{}, busy
		}
		if err != nil {
			return mail.User{}, err
		}
	}
	user, err := a.store.CreateUser(ctx, n)
	if err != nil {
		return mail.User{}, err
	}
	a.note(ctx, store.AuthEvent{User: user.ID, Action: "account created", Result: "success", Protocol: "API"})
	return user, nil
}

// note writes to the security log; a failure stops nobody.
func (a *Accounts) note(ctx context.Context, e store.AuthEvent) mail.ID {
	id, err := a.store.LogAuth(ctx, e)
	if err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "security log", slog.String("user", e.User.String()), slog.String("action", e.Action), slog.Any("err", err))
	}
	return id
}

// Admin is what EnsureAdmin made, to be shown once.
type Admin struct {
	User            mail.User
	Password, Token string
}

// adminName is what the first administrator is called.
const adminName = "admin"

// EnsureAdmin makes the first administrator and a root token for the API, when
// the installation has no administrator. made is false when there is one.
// Password and token are known here only.
func (a *Accounts) EnsureAdmin(ctx context.Context) (admin Admin, made bool, err error) {
	has, err := a.store.HasAdmin(ctx)
	if err != nil || has {
		return Admin{}, false, err
	}
	admin.Password = randomPassword()
	n := store.NewUser{Username: adminName, Name: "Administrator", Admin: true, NoAddress: len(a.domains) == 0}
	if !n.NoAddress {
		n.Address = adminName + "@" + a.domains[0]
	}
	admin.User, err = a.Create(ctx, n, admin.Password)
	if mail.IsCode(err, mail.CodeExists) {
		// Somebody has the name or the address, but is no administrator: it is
		// not ours to give away.
		n.Username, n.Address, n.NoAddress = adminName+"-"+mail.NewID().String()[16:], "", true
		admin.User, err = a.Create(ctx, n, admin.Password)
	}
	if err != nil {
		return Admin{}, false, err
	}
	admin.Token, err = a.NewToken(ctx, TokenOptions{Role: "root", Description: "first start"})
	return admin, err == nil, err
}
