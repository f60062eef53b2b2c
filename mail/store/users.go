package store

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
)

// tempPasswordTime is how long a temporary password is valid (schema 14).
const tempPasswordTime = 24 * time.Hour

// CreateUser makes an account, its five mailboxes and its main address. The
// errors: CodeInvalid or CodeExists with Field username or address.
//
// The account is inactive and disabled until its last step, so that a crash
// leaves nothing that takes mail; a failure undoes the earlier steps.
func (s *Store) CreateUser(ctx context.Context, n NewUser) (mail.User, error) {
	const op = "create user"
	username := address.NormalizeUsername(n.Username)
	if username == "" {
		return mail.User{}, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "username", Reason: "empty"}
	}
	main, err := mainAddress(n, username)
	if err != nil {
		return mail.User{}, err
	}
	if main != nil {
		if err := s.addressFree(ctx, *main); err != nil {
			return mail.User{}, err
		}
	}
	id := mail.NewIDAt(s.now())
	if _, err := s.users.InsertOne(ctx, s.newUserDoc(id, username, n)); err != nil {
		if mongo.IsDuplicateKeyError(err) {
			return mail.User{}, &mail.Error{Code: mail.CodeExists, Op: op, Field: "username", Reason: "taken"}
		}
		return mail.User{}, fail(op, err)
	}
	user, err := s.finishUser(ctx, id, n, main)
	if err != nil {
		s.undoUser(context.WithoutCancel(ctx), id)
		return mail.User{}, err
	}
	s.noteFeatures(ctx, id, nil, n.FeatureFlags)
	return user, nil
}

func mainAddress(n NewUser, username string) (*address.Address, error) {
	text := n.Address
	if text == "" && strings.Contains(username, "@") {
		text = username
	}
	if n.NoAddress || text == "" {
		return nil, nil //nolint:nilnil // no address is an answer, not an error
	}
	a, err := address.Parse(text)
	if err != nil {
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: "create user", Field: "address", Reason: "format", Err: err}
	}
	return &a, nil
}

func (s *Store) newUserDoc(id mail.ID, username string, n NewUser) bson.D {
	now := s.now()
	spam := 50
	if n.SpamLevel != nil {
		spam = *n.SpamLevel
	}
	flags := bson.D{{Key: "indexing", Value: n.FeatureFlags["indexing"]}}
	d := bson.D{
		{Key: "_id", Value: oid(id)},
		{Key: "username", Value: username},
		{Key: "unameview", Value: address.UsernameView(username)},
		{Key: "name", Value: n.Name},
		{Key: "password", Value: ""},
		{Key: "tempPassword", Value: false},
		{Key: "passwordChange", Value: now},
		{Key: "oldPasswords", Value: bson.A{}},
		{Key: "enabled2fa", Value: bson.A{}},
		{Key: "seed", Value: ""},
		{Key: "pendingSeed", Value: ""},
		{Key: "pendingSeedChanged", Value: false},
		{Key: "webauthn", Value: bson.D{{Key: "credentials", Value: bson.A{}}}},
		{Key: "authVersion", Value: 1},
		{Key: "address", Value: ""},
		{Key: "language", Value: n.Language},
		{Key: "storageUsed", Value: 0},
		{Key: "quota", Value: number(n.Quota)},
		{Key: "recipients", Value: n.Recipients},
		{Key: "forwards", Value: n.Forwards},
		{Key: "filters", Value: n.Filters},
		{Key: "imapMaxUpload", Value: number(n.IMAPMaxUpload)},
		{Key: "imapMaxDownload", Value: number(n.IMAPMaxDownload)},
		{Key: "pop3MaxDownload", Value: number(n.POP3MaxDownload)},
		{Key: "pop3MaxMessages", Value: n.POP3MaxMessages},
		{Key: "imapMaxConnections", Value: n.IMAPMaxConnections},
		{Key: "receivedMax", Value: n.ReceivedMax},
		{Key: "targets", Value: targetDocs(n.Targets)},
		{Key: "autoreply", Value: false},
		{Key: "uploadSentMessages", Value: n.UploadSentMessages},
		{Key: "pubKey", Value: n.PublicKey},
		{Key: "encryptMessages", Value: n.EncryptMessages},
		{Key: "encryptForwarded", Value: n.EncryptForwarded},
		{Key: "spamLevel", Value: spam},
		{Key: "retention", Value: number(n.Retention.Milliseconds())},
		{Key: "disabledScopes", Value: stringArray(n.DisabledScopes)},
		{Key: "fromWhitelist", Value: stringArray(n.FromWhitelist)},
		{Key: "lastLogin", Value: bson.D{{Key: "time", Value: false}, {Key: "authEvent", Value: false}, {Key: "ip", Value: false}}},
		{Key: "metaData", Value: n.MetaData},
		{Key: "internalData", Value: n.InternalData},
		{Key: "featureFlags", Value: flags},
		{Key: "activated", Value: false},
		{Key: "disabled", Value: true},
		{Key: "suspended", Value: false},
		{Key: "created", Value: now},
	}
	if len(n.Tags) > 0 {
		d = append(d, bson.E{Key: "tags", Value: stringArray(n.Tags)}, bson.E{Key: "tagsview", Value: tagsView(n.Tags)})
	}
	if n.Admin {
		d = append(d, bson.E{Key: "eider", Value: bson.D{{Key: "admin", Value: true}}})
	}
	return d
}

// number writes an int as a driver of WildDuck's would: Int32 where it fits.
func number(n int64) any {
	if n == int64(int32(n)) { //nolint:gosec // the comparison is the check
		return int32(n) //nolint:gosec // checked
	}
	return n
}

func stringArray(list []string) bson.A {
	out := make(bson.A, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

func tagsView(tags []string) bson.A {
	out := make(bson.A, len(tags))
	for i, t := range tags {
		out[i] = strings.ToLower(t)
	}
	return out
}

// finishUser does what comes after the insert.
func (s *Store) finishUser(ctx context.Context, id mail.ID, n NewUser, main *address.Address) (mail.User, error) {
	const op = "finish user"
	if err := s.createDefaultMailboxes(ctx, id, n); err != nil {
		return mail.User{}, err
	}
	set := bson.D{{Key: "activated", Value: true}, {Key: "disabled", Value: false}, {Key: "password", Value: n.PasswordHash}}
	if n.TempPasswordHash != "" {
		now := s.now()
		set = append(set, bson.E{Key: "tempPassword", Value: bson.D{
			{Key: "validAfter", Value: now}, {Key: "password", Value: n.TempPasswordHash}, {Key: "created", Value: now},
		}})
	}
	if main != nil {
		if _, err := s.insertAddress(ctx, id, *main, n.Name, n.Tags); err != nil {
			return mail.User{}, err
		}
		set = append(set, bson.E{Key: "address", Value: main.Normal()})
	}
	var u userRecord
	err := s.users.FindOneAndUpdate(ctx, key("_id", oid(id)), key("$set", set),
		options.FindOneAndUpdate().SetReturnDocument(options.After)).Decode(&u)
	if err != nil {
		return mail.User{}, missing(op, mail.CodeNoUser, err)
	}
	return u.user(s.quota), nil
}

// undoUser removes what a failed creation made, last step first.
func (s *Store) undoUser(ctx context.Context, id mail.ID) {
	ctx, cancel := context.WithTimeout(ctx, selectionTimeout)
	defer cancel()
	_, err1 := s.addresses.DeleteMany(ctx, key("user", oid(id)))
	_, err2 := s.mailboxes.DeleteMany(ctx, key("user", oid(id)))
	_, err3 := s.users.DeleteOne(ctx, key("_id", oid(id)))
	if err := errors.Join(err1, err2, err3); err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "undo of a failed user creation failed", slog.String("user", id.String()), slog.Any("err", err))
	}
}

func (s *Store) findUserRecord(ctx context.Context, op string, filter bson.D) (*userRecord, error) {
	var u userRecord
	if err := s.users.FindOne(ctx, filter).Decode(&u); err != nil {
		return nil, missing(op, mail.CodeNoUser, err)
	}
	return &u, nil
}

// User reads an account. CodeNoUser when there is none.
func (s *Store) User(ctx context.Context, id mail.ID) (mail.User, error) {
	u, err := s.findUserRecord(ctx, "read user", key("_id", oid(id)))
	if err != nil {
		return mail.User{}, err
	}
	return u.user(s.quota), nil
}

// Account reads everything about an account.
func (s *Store) Account(ctx context.Context, id mail.ID) (Account, error) {
	u, err := s.findUserRecord(ctx, "read account", key("_id", oid(id)))
	if err != nil {
		return Account{}, err
	}
	return u.account(s.quota), nil
}

// FindUser finds an account by its user name, in any case, dots ignored.
func (s *Store) FindUser(ctx context.Context, username string) (mail.User, error) {
	u, err := s.findUserRecord(ctx, "find user", key("unameview", address.UsernameView(username)))
	if err != nil {
		return mail.User{}, err
	}
	return u.user(s.quota), nil
}

// FindUserByAddress finds the account that owns the address, exactly or over
// an alias of its domain.
func (s *Store) FindUserByAddress(ctx context.Context, a address.Address) (mail.User, error) {
	found, err := s.ResolveAddress(ctx, a, ResolveOptions{})
	if err != nil {
		return mail.User{}, err
	}
	if found.User.IsZero() {
		return mail.User{}, &mail.Error{Code: mail.CodeNoUser, Op: "find user by address"}
	}
	return s.User(ctx, found.User)
}

// Credentials finds what a login is checked against: by user name, or by
// address (exact or over a domain alias). CodeNoUser when neither is known.
func (s *Store) Credentials(ctx context.Context, login string) (Credentials, error) {
	const op = "find credentials"
	view := address.UsernameView(login)
	if strings.Contains(login, "@") {
		if a, err := address.Parse(login); err == nil {
			found, err := s.ResolveAddress(ctx, a, ResolveOptions{})
			switch {
			case err == nil && !found.User.IsZero():
				return s.credentials(ctx, op, key("_id", oid(found.User)))
			case err != nil && !mail.IsCode(err, mail.CodeNoUser):
				return Credentials{}, err
			}
		}
	}
	return s.credentials(ctx, op, key("unameview", view))
}

func (s *Store) credentials(ctx context.Context, op string, filter bson.D) (Credentials, error) {
	u, err := s.findUserRecord(ctx, op, filter)
	if err != nil {
		return Credentials{}, err
	}
	c := Credentials{User: u.user(s.quota), PasswordHash: u.Password, Enabled2FA: u.factors()}
	var temp tempPasswordRecord
	if u.TempPassword.Type == bson.TypeEmbeddedDocument && u.TempPassword.Unmarshal(&temp) == nil {
		now, expires := s.now(), temp.Created.Add(tempPasswordTime)
		if temp.Password != "" && !now.Before(temp.ValidAfter) && now.Before(expires) {
			c.TempPassword = &TempPassword{Hash: temp.Password, ValidAfter: temp.ValidAfter, Expires: expires}
		}
	}
	return c, nil
}

// SetPassword replaces the password's hash, ends a temporary one and raises
// the authentication version, which voids sessions and tokens.
func (s *Store) SetPassword(ctx context.Context, id mail.ID, hash string) error {
	const op = "set password"
	now := s.now()
	var before userRecord
	err := s.users.FindOneAndUpdate(ctx, key("_id", oid(id)), bson.D{
		{Key: "$set", Value: key("password", hash, "tempPassword", false, "passwordChange", now)},
		{Key: "$inc", Value: key("authVersion", 1)},
	}, options.FindOneAndUpdate().SetProjection(key("password", 1, "username", 1))).Decode(&before)
	if err != nil {
		return missing(op, mail.CodeNoUser, err)
	}
	if before.Password == "" {
		return nil
	}
	old := bson.D{{Key: "date", Value: now}, {Key: "hash", Value: before.Password}}
	_, err = s.users.UpdateOne(ctx, key("_id", oid(id)), key("$push", key("oldPasswords", old)))
	return fail(op, err)
}

// Rehash replaces the hash by a better one of the same password, unless the
// password changed meanwhile.
func (s *Store) Rehash(ctx context.Context, id mail.ID, old, hash string) error {
	_, err := s.users.UpdateOne(ctx, key("_id", oid(id), "password", old), key("$set", key("password", hash)))
	return fail("rehash password", err)
}

// RecordLogin keeps when and from where an account was last used.
func (s *Store) RecordLogin(ctx context.Context, id mail.ID, ip string, event mail.ID) error {
	var ev, from any = false, false
	if !event.IsZero() {
		ev = oid(event)
	}
	if ip != "" {
		from = ip
	}
	last := key("lastLogin.time", s.now(), "lastLogin.authEvent", ev, "lastLogin.ip", from)
	_, err := s.users.UpdateOne(ctx, key("_id", oid(id)), key("$set", last))
	return fail("record login", err)
}

// SetAdmin says whether the account may administer the installation.
func (s *Store) SetAdmin(ctx context.Context, id mail.ID, admin bool) error {
	const op = "set administrator"
	change := key("$unset", key("eider.admin", ""))
	if admin {
		change = key("$set", key("eider.admin", true))
	}
	return s.updateUser(ctx, op, id, change)
}

// SetPreferences keeps how a person likes the webmail.
func (s *Store) SetPreferences(ctx context.Context, id mail.ID, p mail.Preferences) error {
	return s.updateUser(ctx, "set preferences", id, key("$set", key("eider.preferences", preferencesRecord(p))))
}

// SetName changes an account's display name, and that of its main address.
func (s *Store) SetName(ctx context.Context, id mail.ID, name string) error {
	const op = "set name"
	if err := s.updateUser(ctx, op, id, key("$set", key("name", text(name)))); err != nil {
		return err
	}
	u, err := s.User(ctx, id)
	if err != nil || u.Address == "" {
		return err
	}
	a, err := address.Parse(u.Address)
	if err != nil {
		return nil //nolint:nilerr // a main address that is none has no row
	}
	_, err = s.addresses.UpdateOne(ctx, key("addrview", a.View(), "user", oid(id)), key("$set", key("name", text(name))))
	return fail(op, err)
}

// SetDisabled stops or allows everything an account does.
func (s *Store) SetDisabled(ctx context.Context, id mail.ID, disabled bool) error {
	return s.updateUser(ctx, "disable user", id, key("$set", key("disabled", disabled)))
}

// SetQuota sets an account's storage in bytes, 0 for the installation's default.
func (s *Store) SetQuota(ctx context.Context, id mail.ID, quota int64) error {
	return s.updateUser(ctx, "set quota", id, key("$set", key("quota", number(quota))))
}

func (s *Store) updateUser(ctx context.Context, op string, id mail.ID, change bson.D) error {
	res, err := s.users.UpdateOne(ctx, key("_id", oid(id)), change)
	if err == nil && res.MatchedCount == 0 {
		err = mongo.ErrNoDocuments
	}
	return missing(op, mail.CodeNoUser, err)
}

// HasAdmin reports whether any account may administer the installation.
func (s *Store) HasAdmin(ctx context.Context) (bool, error) {
	err := s.users.FindOne(ctx, key("eider.admin", true), options.FindOne().SetProjection(key("_id", 1))).Err()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return false, nil
	}
	return err == nil, fail("find administrator", err)
}

// UserCount is about how many accounts there are.
func (s *Store) UserCount(ctx context.Context) (int64, error) {
	n, err := s.users.EstimatedDocumentCount(ctx)
	return n, fail("count users", err)
}
