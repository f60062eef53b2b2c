package store

import (
	"time"

	"github.com/eidermail/eider/mail"
)

// NewUser describes an account to be made. Zero values take WildDuck's defaults.
type NewUser struct {
	// Username is the login name. It is normalised here.
	Username string
	Name     string
	// Address is the main address, "" for Username when that is an address,
	// or none with NoAddress.
	Address string
	// NoAddress makes an account without an address.
	NoAddress bool
	// PasswordHash is stored as given, "" for no password. TempPasswordHash,
	// when set, is valid for 24 hours from now.
	PasswordHash, TempPasswordHash string
	// Language chooses the folder names, for example "et" or "pt_BR".
	Language string
	// Quota is bytes, 0 for the installation's default.
	Quota int64
	// Recipients and Forwards are daily limits, 0 for the default.
	Recipients, Forwards, Filters, ReceivedMax int
	// IMAPMaxUpload, IMAPMaxDownload, POP3MaxDownload are bytes a day, 0 for the default.
	IMAPMaxUpload, IMAPMaxDownload, POP3MaxDownload int64
	POP3MaxMessages, IMAPMaxConnections             int
	Tags                                            []string
	// Retention is how long messages stay, 0 for ever.
	Retention time.Duration
	// MailboxNames replace the default folder names by special use.
	MailboxNames map[mail.SpecialUse]string
	// SpamLevel is 0 to 100; nil for 50.
	SpamLevel *int
	// Admin marks an account that may administer the installation.
	Admin                             bool
	DisabledScopes, FromWhitelist     []string
	MetaData, InternalData, PublicKey string
	EncryptMessages, EncryptForwarded bool
	UploadSentMessages                bool
	Targets                           []Target
	FeatureFlags                      map[string]bool
}

// Target is where a forward goes.
type Target struct {
	ID mail.ID
	// Type is mail, relay or http.
	Type  string
	Value string
	// User is the local account that the target stands for, or zero.
	User mail.ID
}

// Account is everything about a user that an administrator may see.
type Account struct {
	mail.User
	Retention                                       time.Duration
	Enabled2FA                                      []string
	EncryptMessages, EncryptForwarded               bool
	PublicKey, MetaData, InternalData               string
	HasPassword                                     bool
	SpamLevel                                       int
	Targets                                         []Target
	MTARelay                                        string
	relayID                                         mail.ID
	UploadSentMessages                              bool
	OwnQuota                                        int64
	Forwards, Filters, ReceivedMax                  int
	IMAPMaxUpload, IMAPMaxDownload, POP3MaxDownload int64
	POP3MaxMessages, IMAPMaxConnections             int
	FeatureFlags                                    map[string]bool
	PasswordChange                                  time.Time
	LastLoginIP                                     string
	LastLoginEvent                                  mail.ID
}

// Credentials is what a login is checked against.
type Credentials struct {
	User mail.User
	// PasswordHash is empty for an account without a password.
	PasswordHash string
	// TempPassword is the temporary password, when one is valid now.
	TempPassword *TempPassword
	// Enabled2FA lists totp, webauthn, custom.
	Enabled2FA []string
}

// TempPassword is valid from ValidAfter until Expires.
type TempPassword struct {
	Hash                string
	ValidAfter, Expires time.Time
}

// AddressRecord is one address: a user's own, a wildcard, or a forwarded one.
type AddressRecord struct {
	ID mail.ID
	// User is zero for a forwarded address.
	User mail.ID
	// Address is normalised, dots kept. It may hold one *.
	Address string
	Name    string
	// Main marks the account's main address; filled by Addresses.
	Main bool
	// Targets, Forwards and ForwardedDisabled belong to a forwarded address.
	Targets           []Target
	Forwards          int
	ForwardedDisabled bool
	// Autoreply is a forwarded address's own, nil for none.
	Autoreply    *ForwardedAutoreply
	Tags         []string
	MetaData     string
	InternalData string
	Created      time.Time
}

// ResolveOptions widen the search for an address.
type ResolveOptions struct {
	// Wildcard allows *@domain, *suffix@domain, prefix*@domain and user@*.
	Wildcard bool
}

// AuthEvent is one line of an account's security log.
type AuthEvent struct {
	ID   mail.ID
	User mail.ID
	// Action is what was tried ("authentication"), Result how it ended ("success", "fail").
	Action, Result, Protocol, IP, Session, RequiredScope, Source, AppID string
	// ASP is the application password it is about, ASPName its description.
	ASP     mail.ID
	ASPName string
	// Target is what else distinguishes the event.
	Target        string
	Require2FA    string
	Temporary     bool
	Created, Last time.Time
	// Events counts equal events within six hours.
	Events int
}

// Session is a signed-in browser.
type Session struct {
	// ID is SHA-256 of the secret, 64 hexadecimal digits.
	ID   string
	User mail.ID
	// AuthVersion is the account's at sign-in; a lower one than the account's is void.
	AuthVersion   int
	Remember      bool
	IP, UserAgent string
	Created, Used time.Time
	Expires       time.Time
}

// Token is an API access token.
type Token struct {
	// ID is SHA-256 of the token, 64 hexadecimal digits.
	ID string
	// User is zero for a token that stands for no account.
	User        mail.ID
	Role        string
	Description string
	AuthVersion int
	Created     time.Time
	// Expires is zero for a token that does not expire.
	Expires time.Time
	// TTL extends Expires on use, 0 for never.
	TTL time.Duration
}

// Person is somebody the account wrote to or heard from.
type Person struct {
	Name, Address string
	Updated       time.Time
}
