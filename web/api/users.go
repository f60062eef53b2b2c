package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/mail/store"
)

// Defaults of limits that an account does not set, as WildDuck has them.
const (
	defaultRecipients = 2000
	defaultForwards   = 2000
	defaultFilters    = 400
	defaultReceived   = 60
	defaultTransfer   = 10 << 30
	defaultPOP3       = 250
	defaultIMAPConns  = 15
)

// createUser is POST /users.
func (s *server) createUser(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	n, secret := s.newUser(p), password(p)
	if err := p.finish(); err != nil {
		return err
	}
	if err := secret.check(&n); err != nil {
		return err
	}
	if err := s.may(c, "create", "users", mail.ID{}); err != nil {
		return err
	}
	plain, err := secret.into(&n)
	if err != nil {
		return createFailed(err, n.Username)
	}
	u, err := s.Accounts.Create(ctxOf(c), n, plain)
	if err != nil {
		return createFailed(err, n.Username)
	}
	return respond(c, http.StatusOK, map[string]any{"success": true, "id": u.ID.String()})
}

// createFailed keeps to WildDuck's answer: what the account layer refuses has
// status 500 there and names the user; the code is what clients look at.
func createFailed(err error, username string) error {
	answer := &apiError{
		status: http.StatusInternalServerError, expected: true, details: map[string]any{"username": username},
		code: "UserExistsError", text: "This username already exists",
	}
	var me *mail.Error
	switch {
	case errors.Is(err, errHash):
		answer.code, answer.text = "HashError", "The password hash is in no known format"
	case !mail.IsCode(err, mail.CodeExists):
		return err
	case errors.As(err, &me) && me.Field == "address":
		answer.code, answer.text = "AddressExistsError", "This email address already exists"
	}
	return answer
}

// newUser reads the account's fields.
func (s *server) newUser(p *params) store.NewUser {
	n := store.NewUser{
		Username: p.username("username"), Name: p.text("name", false, 256),
		NoAddress: p.yes("emptyAddress", false), Language: p.text("language", false, 20),
		Retention:  time.Duration(p.number("retention", false, 0, math.MaxInt64/int64(time.Millisecond), 0)) * time.Millisecond,
		Quota:      p.number("quota", false, 0, math.MaxInt64, 0),
		Recipients: s.count(p, "recipients"), Forwards: s.count(p, "forwards"), Filters: s.count(p, "filters"),
		ReceivedMax: s.count(p, "receivedMax"), POP3MaxMessages: s.count(p, "pop3MaxMessages"),
		IMAPMaxConnections: s.count(p, "imapMaxConnections"),
		IMAPMaxUpload:      p.number("imapMaxUpload", false, 0, math.MaxInt64, 0),
		IMAPMaxDownload:    p.number("imapMaxDownload", false, 0, math.MaxInt64, 0),
		POP3MaxDownload:    p.number("pop3MaxDownload", false, 0, math.MaxInt64, 0),
		Tags:               tags(p.texts("tags", 128)), FromWhitelist: p.texts("fromWhitelist", 128),
		DisabledScopes: s.scopes(p), MetaData: p.metaData("metaData"), InternalData: p.metaData("internalData"),
		UploadSentMessages: p.yes("uploadSentMessages", false),
		MailboxNames:       mailboxNames(p), FeatureFlags: featureFlags(p),
		EncryptMessages: p.yes("encryptMessages", false), EncryptForwarded: p.yes("encryptForwarded", false),
		PublicKey: publicKey(p),
	}
	if _, ok := p.get("spamLevel"); ok {
		level := int(p.number("spamLevel", false, 0, 100, 50))
		n.SpamLevel = &level
	}
	s.address(p, &n)
	refuseLater(p)
	p.session()
	return n
}

// publicKey is kept for the release that encrypts with it.
func publicKey(p *params) string {
	key := strings.TrimSpace(p.text("pubKey", false, 1<<20))
	if key != "" && !strings.HasPrefix(key, "-----BEGIN PGP PUBLIC KEY BLOCK-----") {
		p.blame("pubKey", "fails to match the required pattern: /^-----BEGIN PGP PUBLIC KEY BLOCK-----/")
	}
	return key
}

// address reads the main address, by default made of the user name.
func (s *server) address(p *params, n *store.NewUser) {
	n.Address = strings.ToLower(p.text("address", false, 320))
	switch {
	case n.NoAddress:
		n.Address = ""
	case n.Address == "" && strings.Contains(n.Username, "@"):
		n.Address = n.Username
	case n.Address == "":
		n.Address = n.Username + "@" + s.EmailDomain
	case strings.Contains(n.Address, "*") || !validAddress(n.Address):
		p.blame("address", "must be a valid email")
	}
}

// secret is the password of POST /users: text or a hash, "" for none.
type secret struct {
	text                    string
	hashed, temporary, safe bool
}

// errHash says that a hash is in no known format.
var errHash = errors.New("unknown hash format")

// password reads the password: text, or false for an account without one.
func password(p *params) secret {
	x := secret{
		hashed: p.yes("hashedPassword", false), temporary: p.yes("requirePasswordChange", false),
		safe: !p.yes("allowUnsafe", true),
	}
	switch v, ok := p.get("password"); {
	case !ok:
		p.blame("password", "is required")
	case v == false || v == "":
	default:
		x.text = p.text("password", true, 256)
	}
	return x
}

// check refuses, when asked to, a password that is easily guessed.
func (x secret) check(n *store.NewUser) error {
	if !x.safe || x.hashed || x.text == "" || account.CheckPassword(x.text, n.Username, n.Name, n.Address) == nil {
		return nil
	}
	return &apiError{status: http.StatusForbidden, code: "InsecurePasswordError", text: "The password is too easy to guess"}
}

// into sets a hash, taken over as it is, or a temporary password, and gives
// the plain one that is still to be hashed.
func (x secret) into(n *store.NewUser) (plain string, err error) {
	hash := x.text
	switch {
	case x.text == "":
		return "", nil
	case x.hashed && !account.KnownHash(x.text):
		return "", errHash
	case !x.hashed && !x.temporary:
		return x.text, nil
	case !x.hashed:
		if hash, err = account.HashPassword(x.text); err != nil {
			return "", err
		}
	}
	if x.temporary {
		n.TempPasswordHash = hash
	} else {
		n.PasswordHash = hash
	}
	return "", nil
}

// refuseLater answers honestly for what a later release brings: taking the
// value and doing nothing would lose mail or secrecy.
func refuseLater(p *params) {
	for _, key := range []string{"targets", "mtaRelay"} {
		if len(p.list(key)) > 0 {
			p.blame(key, "is not supported by this version: forwarding is not served yet")
		}
	}
	for _, key := range []string{"encryptMessages", "encryptForwarded"} {
		if p.yes(key, false) {
			p.blame(key, "is not supported by this version: encryption at rest is not served yet")
		}
	}
	if p.yes("addTagsToAddress", false) {
		p.blame("addTagsToAddress", "is not supported by this version")
	}
}

func (s *server) count(p *params, key string) int {
	return int(p.number(key, false, 0, math.MaxInt32, 0))
}

func (s *server) scopes(p *params) []string {
	list := p.texts("disabledScopes", 16)
	for _, scope := range list {
		if !slices.Contains([]string{"imap", "pop3", "smtp"}, scope) {
			p.blame("disabledScopes", "must contain only imap, pop3 and smtp")
		}
	}
	return list
}

// tags drops repetitions without regard to case, and sorts.
func tags(list []string) []string {
	slices.SortFunc(list, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return slices.CompactFunc(list, strings.EqualFold)
}

func mailboxNames(p *params) map[mail.SpecialUse]string {
	m, ok := p.object("mailboxes")
	if !ok {
		return nil
	}
	uses := map[string]mail.SpecialUse{"sent": mail.UseSent, "trash": mail.UseTrash, "junk": mail.UseJunk, "drafts": mail.UseDrafts}
	out := map[mail.SpecialUse]string{}
	seen := map[string]bool{}
	for key, v := range m {
		name, isText := v.(string)
		use, known := uses[key]
		if !known || !isText || name == "" || strings.Contains(name, "//") || strings.HasSuffix(name, "/") || seen[name] {
			p.blame("mailboxes,"+key, "is not valid")
			continue
		}
		seen[name] = true
		out[use] = name
	}
	return out
}

func featureFlags(p *params) map[string]bool {
	m, ok := p.object("featureFlags")
	if !ok {
		return nil
	}
	out := map[string]bool{}
	for key, v := range m {
		if key != "indexing" {
			p.blame("featureFlags,"+key, "is not allowed")
		}
		inner := params{values: map[string]any{key: v}, used: map[string]bool{}}
		if out[key] = inner.yes(key, false); len(inner.wrong) > 0 {
			p.blame("featureFlags,"+key, "must be a boolean")
		}
	}
	return out
}

// getUser is GET /users/:user.
func (s *server) getUser(c echo.Context) error {
	id, err := s.named(c, "user", "read", "users")
	if err != nil {
		return err
	}
	a, err := s.Store.Account(ctxOf(c), id)
	if err != nil {
		return err
	}
	u := userView(a)
	u.Limits = s.limits(ctxOf(c), a)
	if callerOf(c).role == "user" {
		u.InternalData, u.Tags, u.DisabledScopes = nil, nil, nil
	}
	return respond(c, http.StatusOK, u)
}

// limits reads the counters. Signals may be away; the limits then show 0 used.
func (s *server) limits(ctx context.Context, a store.Account) limitsJSON {
	id := a.ID.String()
	window := func(key string, allowed, byDefault int64) windowJSON {
		w := windowJSON{Allowed: orDefault(allowed, byDefault), TTL: false}
		if n, err := s.Signal.Count(ctx, key+":"+id, 0, 0, 0); err == nil {
			w.Used = n.Value
			if n.TTL > 0 {
				w.TTL = int64(n.TTL / time.Second)
			}
		}
		return w
	}
	return limitsJSON{
		Quota:              usedJSON{Allowed: a.Quota, Used: max(a.StorageUsed, 0)},
		Recipients:         window("wdr", int64(a.MaxRecipients), defaultRecipients),
		Forwards:           window("wdf", int64(a.Forwards), defaultForwards),
		Filters:            usedJSON{Allowed: orDefault(int64(a.Filters), defaultFilters)},
		Received:           window("rl:rcpt", int64(a.ReceivedMax), defaultReceived),
		IMAPUpload:         window("iup", a.IMAPMaxUpload, defaultTransfer),
		IMAPDownload:       window("idw", a.IMAPMaxDownload, defaultTransfer),
		POP3Download:       window("pdw", a.POP3MaxDownload, defaultTransfer),
		POP3MaxMessages:    allowedJSON{Allowed: orDefault(int64(a.POP3MaxMessages), defaultPOP3)},
		IMAPMaxConnections: usedJSON{Allowed: orDefault(int64(a.IMAPMaxConnections), defaultIMAPConns)},
	}
}

func orDefault(v, byDefault int64) int64 {
	if v == 0 {
		return byDefault
	}
	return v
}
