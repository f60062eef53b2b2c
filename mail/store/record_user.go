package store

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
)

// userRecord is a document of users (schema 2.1). Numbers may have been
// written as int32, int64 or double; the driver reads each into int64.
type userRecord struct {
	ID             bson.ObjectID    `bson:"_id"`
	Username       string           `bson:"username"`
	UnameView      string           `bson:"unameview"`
	Name           string           `bson:"name,omitempty"`
	Password       string           `bson:"password"`
	TempPassword   bson.RawValue    `bson:"tempPassword"`
	PasswordChange time.Time        `bson:"passwordChange,omitempty"`
	Enabled2FA     bson.RawValue    `bson:"enabled2fa"`
	Seed           string           `bson:"seed"`
	PendingSeed    string           `bson:"pendingSeed"`
	AuthVersion    int64            `bson:"authVersion"`
	Address        string           `bson:"address"`
	Language       string           `bson:"language,omitempty"`
	StorageUsed    int64            `bson:"storageUsed"`
	Quota          int64            `bson:"quota"`
	Recipients     int64            `bson:"recipients"`
	Forwards       int64            `bson:"forwards"`
	Filters        int64            `bson:"filters"`
	ReceivedMax    int64            `bson:"receivedMax"`
	IMAPMaxUp      int64            `bson:"imapMaxUpload"`
	IMAPMaxDown    int64            `bson:"imapMaxDownload"`
	POP3MaxDown    int64            `bson:"pop3MaxDownload"`
	POP3MaxMsgs    int64            `bson:"pop3MaxMessages"`
	IMAPMaxConns   int64            `bson:"imapMaxConnections"`
	Targets        []targetRecord   `bson:"targets"`
	MTARelay       *targetRecord    `bson:"mtaRelay,omitempty"`
	Autoreply      bool             `bson:"autoreply"`
	UploadSent     bool             `bson:"uploadSentMessages"`
	PubKey         string           `bson:"pubKey"`
	EncryptMsgs    bool             `bson:"encryptMessages"`
	EncryptFwd     bool             `bson:"encryptForwarded"`
	SpamLevel      *int64           `bson:"spamLevel"`
	Retention      int64            `bson:"retention"`
	DisabledScopes []string         `bson:"disabledScopes"`
	FromWhitelist  []string         `bson:"fromWhitelist,omitempty"`
	Tags           []string         `bson:"tags"`
	TagsView       []string         `bson:"tagsview"`
	LastLogin      *lastLoginRecord `bson:"lastLogin,omitempty"`
	MetaData       string           `bson:"metaData"`
	InternalData   string           `bson:"internalData"`
	FeatureFlags   map[string]bool  `bson:"featureFlags,omitempty"`
	Activated      bool             `bson:"activated"`
	Disabled       bool             `bson:"disabled"`
	Suspended      bool             `bson:"suspended,omitempty"`
	Created        time.Time        `bson:"created"`
	// Eider is ours; WildDuck ignores it.
	Eider *userOwn `bson:"eider,omitempty"`
}

// userOwn is Eider's field of a user.
type userOwn struct {
	Admin       bool              `bson:"admin,omitempty"`
	Preferences preferencesRecord `bson:"preferences,omitempty"`
}

type preferencesRecord struct {
	Theme   string `bson:"theme"`
	Density string `bson:"density"`
	Zone    string `bson:"zone"`
}

type targetRecord struct {
	ID    bson.RawValue `bson:"id,omitempty"`
	Type  string        `bson:"type"`
	Value string        `bson:"value"`
	User  bson.RawValue `bson:"user,omitempty"`
}

// lastLoginRecord holds false where there is nothing yet, so values are raw.
type lastLoginRecord struct {
	Time      bson.RawValue `bson:"time"`
	AuthEvent bson.RawValue `bson:"authEvent"`
	IP        bson.RawValue `bson:"ip"`
}

type tempPasswordRecord struct {
	ValidAfter time.Time `bson:"validAfter"`
	Password   string    `bson:"password"`
	Created    time.Time `bson:"created"`
}

// rawID reads an ObjectID, or zero for anything else.
func rawID(v bson.RawValue) mail.ID {
	id, ok := v.ObjectIDOK()
	if !ok {
		return mail.ID{}
	}
	return mail.ID(id)
}

// rawTime reads a date, or zero for anything else (WildDuck writes false).
func rawTime(v bson.RawValue) time.Time {
	t, ok := v.TimeOK()
	if !ok {
		return time.Time{}
	}
	return t.UTC()
}

// rawString reads a string, or "" for anything else.
func rawString(v bson.RawValue) string {
	s, _ := v.StringValueOK()
	return s
}

func (t *targetRecord) target() Target {
	return Target{ID: rawID(t.ID), Type: t.Type, Value: t.Value, User: rawID(t.User)}
}

func targets(list []targetRecord) []Target {
	if len(list) == 0 {
		return nil
	}
	out := make([]Target, len(list))
	for i := range list {
		out[i] = list[i].target()
	}
	return out
}

// targetDocs is what is written for forwarding targets.
func targetDocs(list []Target) bson.A {
	out := make(bson.A, 0, len(list))
	for _, t := range list {
		id := t.ID
		if id.IsZero() {
			id = mail.NewID()
		}
		d := bson.D{{Key: "id", Value: oid(id)}, {Key: "type", Value: t.Type}, {Key: "value", Value: t.Value}}
		if !t.User.IsZero() {
			d = append(d, bson.E{Key: "user", Value: oid(t.User)})
		}
		out = append(out, d)
	}
	return out
}

// factors lists the enabled second factors; the legacy true means totp, and
// the withdrawn u2f does not count (schema 2.1).
func (u *userRecord) factors() []string {
	if on, ok := u.Enabled2FA.BooleanOK(); ok {
		if on {
			return []string{"totp"}
		}
		return nil
	}
	var list []string
	if u.Enabled2FA.Type != bson.TypeArray || u.Enabled2FA.Unmarshal(&list) != nil {
		return nil
	}
	out := list[:0]
	for _, f := range list {
		if f != "u2f" {
			out = append(out, f)
		}
	}
	return out
}

// user is what the surfaces see. The quota is the effective one.
func (u *userRecord) user(defaultQuota int64) mail.User {
	quota := u.Quota
	if quota <= 0 {
		quota = defaultQuota
	}
	out := mail.User{
		ID: mail.ID(u.ID), Username: u.Username, Name: u.Name, Address: u.Address, Language: u.Language,
		// The field is never clamped in the database (schema 11); readers do it.
		Quota: quota, StorageUsed: max(u.StorageUsed, 0), MaxRecipients: int(u.Recipients),
		Disabled: u.Disabled, Suspended: u.Suspended, Activated: u.Activated,
		DisabledScopes: u.DisabledScopes, FromWhitelist: u.FromWhitelist, Tags: u.Tags, Autoreply: u.Autoreply,
		Admin: u.Eider != nil && u.Eider.Admin, AuthVersion: int(u.AuthVersion), Created: u.Created.UTC(),
	}
	if u.Eider != nil {
		out.Preferences = mail.Preferences(u.Eider.Preferences)
	}
	if u.LastLogin != nil {
		out.LastLogin = rawTime(u.LastLogin.Time)
	}
	return out
}

func (u *userRecord) account(defaultQuota int64) Account {
	a := Account{
		User: u.user(defaultQuota), Retention: time.Duration(u.Retention) * time.Millisecond, Enabled2FA: u.factors(),
		EncryptMessages: u.EncryptMsgs, EncryptForwarded: u.EncryptFwd, PublicKey: u.PubKey,
		MetaData: u.MetaData, InternalData: u.InternalData, HasPassword: u.Password != "" || u.TempPassword.Type == bson.TypeEmbeddedDocument,
		SpamLevel: 50, Targets: targets(u.Targets), UploadSentMessages: u.UploadSent, OwnQuota: u.Quota,
		Forwards: int(u.Forwards), Filters: int(u.Filters), ReceivedMax: int(u.ReceivedMax),
		IMAPMaxUpload: u.IMAPMaxUp, IMAPMaxDownload: u.IMAPMaxDown, POP3MaxDownload: u.POP3MaxDown,
		POP3MaxMessages: int(u.POP3MaxMsgs), IMAPMaxConnections: int(u.IMAPMaxConns),
		FeatureFlags: u.FeatureFlags, PasswordChange: u.PasswordChange,
	}
	if u.SpamLevel != nil {
		a.SpamLevel = int(*u.SpamLevel)
	}
	if u.MTARelay != nil {
		a.MTARelay, a.relayID = u.MTARelay.Value, rawID(u.MTARelay.ID)
	}
	if u.LastLogin != nil {
		a.LastLoginIP, a.LastLoginEvent = rawString(u.LastLogin.IP), rawID(u.LastLogin.AuthEvent)
	}
	return a
}

// addressRecord is a document of addresses (schema 2.3).
type addressRecord struct {
	ID                bson.ObjectID  `bson:"_id"`
	Address           string         `bson:"address"`
	AddrView          string         `bson:"addrview"`
	User              bson.RawValue  `bson:"user"`
	Name              string         `bson:"name"`
	Targets           []targetRecord `bson:"targets"`
	Forwards          int64          `bson:"forwards"`
	ForwardedDisabled bool           `bson:"forwardedDisabled"`
	Autoreply         bson.RawValue  `bson:"autoreply"`
	Tags              []string       `bson:"tags"`
	MetaData          string         `bson:"metaData"`
	InternalData      string         `bson:"internalData"`
	Created           time.Time      `bson:"created"`
}

func (a *addressRecord) record() AddressRecord {
	return AddressRecord{
		ID: mail.ID(a.ID), User: rawID(a.User), Address: a.Address, Name: a.Name, Targets: targets(a.Targets),
		Forwards: int(a.Forwards), ForwardedDisabled: a.ForwardedDisabled, Tags: a.Tags, Autoreply: forwardedAutoreply(a.Autoreply),
		MetaData: a.MetaData, InternalData: a.InternalData, Created: a.Created.UTC(),
	}
}

// forwardedAutoreply reads the answer of a forwarded address, nil for none.
func forwardedAutoreply(v bson.RawValue) *ForwardedAutoreply {
	doc, ok := v.DocumentOK()
	if !ok {
		return nil
	}
	on, _ := doc.Lookup("status").BooleanOK()
	return &ForwardedAutoreply{
		Status: on, Name: rawString(doc.Lookup("name")), Subject: rawString(doc.Lookup("subject")),
		Text: rawString(doc.Lookup("text")), HTML: rawString(doc.Lookup("html")),
		Start: rawTime(doc.Lookup("start")), End: rawTime(doc.Lookup("end")),
	}
}

// dateOrFalse is how WildDuck writes a date that may be missing.
func dateOrFalse(t time.Time) any {
	if t.IsZero() {
		return false
	}
	return t
}
