package webmail

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/templates"
	"github.com/eidermail/eider/web/session"
)

// passkeys adds the routes that need a session; the others are signing in.
func (p *pages) passkeys(in *echo.Group) {
	get(in, templates.PathSecurity, p.securityPage)
	in.POST(templates.PathSecurity, p.security)
	in.POST(templates.PathPasskeyBegin, p.passkeyBegin)
	in.POST(templates.PathPasskeyFinish, p.passkeyFinish)
}

// passkeySignIn adds the routes of visitors.
func (p *pages) passkeySignIn(app *echo.Group) {
	get(app, templates.PathSecond, p.secondPage)
	app.POST(templates.PathSecondBegin, p.secondBegin)
	app.POST(templates.PathSecond, p.secondFinish)
	app.POST(templates.PathPasskeySignInBegin, p.passkeyInBegin)
	app.POST(templates.PathPasskeySignIn, p.passkeyInFinish)
}

// place is where the browser is. binding is what only this browser has; its
// hash goes where the challenge is kept.
func (p *pages) place(c echo.Context, binding string) account.Place {
	sum := sha256.Sum256([]byte(binding))
	return account.Place{
		Origin: p.Guard.Origin(c), Binding: hex.EncodeToString(sum[:]), IP: c.RealIP(), Session: p.RequestID(c),
	}
}

func (p *pages) sessionPlace(c echo.Context) account.Place {
	return p.place(c, "session "+sessionOf(c).ID)
}

// securityPage lists the passkeys.
func (p *pages) securityPage(c echo.Context) error {
	vm, err := p.securityView(c)
	if err != nil {
		return err
	}
	vm.Added = c.QueryParam("added") == "1"
	return render(c, http.StatusOK, templates.SecurityPage(vm))
}

func (p *pages) securityView(c echo.Context) (templates.Security, error) {
	shell, err := p.shellOf(ctxOf(c), c, "")
	if err != nil {
		return templates.Security{}, err
	}
	list, err := p.Accounts.Passkeys(ctxOf(c), userOf(c).ID)
	if err != nil {
		return templates.Security{}, err
	}
	shell.Title = templates.T(shell.Lang, "settings.security")
	vm := templates.Security{Shell: shell, Full: len(list) >= store.MaxPasskeys || !p.Accounts.CanPasskey()}
	for _, k := range list {
		vm.Passkeys = append(vm.Passkeys, templates.Passkey{ID: k.ID.String(), Name: k.Description, Created: k.Created, Used: k.Used})
	}
	return vm, nil
}

// security removes a passkey.
func (p *pages) security(c echo.Context) error {
	id, err := mail.ParseID(c.FormValue("remove"))
	if err != nil {
		// The form for a new one, without the script that it needs.
		return seeOther(c, templates.PathSecurity)
	}
	err = p.Accounts.RemovePasskey(ctxOf(c), userOf(c), p.sessionPlace(c), id, c.FormValue("password"))
	switch code := mail.CodeOf(err); {
	case err == nil:
		p.putToast(c, templates.Toast{Text: templates.T(p.lang(c), "passkey.removed")})
		return seeOther(c, templates.PathSecurity)
	case code == mail.CodeNotFound:
		// It was removed in another window.
		return seeOther(c, templates.PathSecurity)
	case code == mail.CodeAuth || code == mail.CodeLimited:
	default:
		return err
	}
	vm, fault := p.securityView(c)
	if fault != nil {
		return fault
	}
	code, words, _ := p.passkeyWords(c, err, "passkey.wrong")
	vm.Error = words
	return render(c, code, templates.SecurityPage(vm))
}

// passkeyWords says in words what was wrong, and with which status. auth is the
// key for credentials that do not hold. ok is false for what is our fault.
func (p *pages) passkeyWords(c echo.Context, err error, auth string) (code int, words string, ok bool) {
	lang := p.lang(c)
	say := func(key string) (int, string, bool) {
		return http.StatusUnprocessableEntity, templates.T(lang, key), true
	}
	field, reason := fieldOf(err)
	switch mail.CodeOf(err) {
	case mail.CodeAuth:
		return say(auth)
	case mail.CodeLimited:
		words := templates.T(lang, "signin.limited", waitWords(lang, retryAfter(c, err)))
		return http.StatusTooManyRequests, words, true
	case mail.CodeExists:
		return say("passkey.already")
	case mail.CodeDisabled, mail.CodeForbidden:
		return say("passkey.refused")
	case mail.CodeConflict:
		return say("passkey.failed")
	case mail.CodeInvalid:
		switch field {
		case "passkey":
			return say("passkey.many")
		case "origin":
			return say("passkey.origin")
		}
		return http.StatusUnprocessableEntity, templates.ErrorText(lang, field, reason), true
	case mail.CodeInternal, mail.CodeUnavailable, mail.CodeNoUser, mail.CodeNoMailbox, mail.CodeNoMessage,
		mail.CodeNotFound, mail.CodeOverQuota, mail.CodeTooBig:
	}
	return 0, "", false
}

// passkeyRefused answers the script.
func (p *pages) passkeyRefused(c echo.Context, err error, auth string) error {
	code, words, ok := p.passkeyWords(c, err, auth)
	if !ok {
		return err
	}
	return c.JSON(code, map[string]string{"error": words})
}

// nextPage tells the script where to go.
func nextPage(c echo.Context, path string) error {
	return c.JSON(http.StatusOK, map[string]string{"next": path})
}

// passkeyInput is what the script sends.
type passkeyInput struct {
	Name       string          `json:"name"`
	Password   string          `json:"password"`
	Credential json.RawMessage `json:"credential"`
	Remember   bool            `json:"remember"`
	Next       string          `json:"next"`
}

// errNotJSON is the cause of a refused body.
var errNotJSON = errors.New("the body is no JSON of a passkey")

// readPasskey reads the body; limitBody has bounded it.
func readPasskey(c echo.Context) (in passkeyInput, err error) {
	r := c.Request()
	if !strings.HasPrefix(r.Header.Get(echo.HeaderContentType), echo.MIMEApplicationJSON) {
		return in, echo.NewHTTPError(http.StatusUnsupportedMediaType).SetInternal(errNotJSON)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return in, err
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return in, echo.NewHTTPError(http.StatusBadRequest).SetInternal(errors.Join(errNotJSON, err))
	}
	return in, nil
}

// passkeyBegin begins to make one.
func (p *pages) passkeyBegin(c echo.Context) error {
	in, err := readPasskey(c)
	if err != nil {
		return err
	}
	options, err := p.Accounts.BeginPasskey(ctxOf(c), userOf(c), p.sessionPlace(c), in.Name, in.Password)
	if err != nil {
		return p.passkeyRefused(c, err, "passkey.wrong")
	}
	return c.JSON(http.StatusOK, options)
}

// passkeyFinish keeps it. The first one ends all sessions; this browser gets
// another one.
func (p *pages) passkeyFinish(c echo.Context) error {
	in, err := readPasskey(c)
	if err != nil {
		return err
	}
	before := sessionOf(c)
	user, err := p.Accounts.FinishPasskey(ctxOf(c), before.User, p.sessionPlace(c), in.Credential)
	if err != nil {
		return p.passkeyRefused(c, err, "passkey.refused")
	}
	if user.AuthVersion != before.User.AuthVersion {
		if err := p.start(c, user, before.Remember); err != nil {
			return err
		}
	}
	return nextPage(c, templates.PathSecurity+"?added=1")
}

// passkeyInBegin begins a sign-in by a passkey alone.
func (p *pages) passkeyInBegin(c echo.Context) error {
	options, err := p.Accounts.BeginPasskeyLogin(ctxOf(c), p.place(c, "visit "+p.Guard.Token(c)))
	if err != nil {
		return p.passkeyRefused(c, err, "passkey.refused")
	}
	return c.JSON(http.StatusOK, options)
}

func (p *pages) passkeyInFinish(c echo.Context) error {
	in, err := readPasskey(c)
	if err != nil {
		return err
	}
	user, err := p.Accounts.FinishPasskeyLogin(ctxOf(c), p.place(c, "visit "+p.Guard.Token(c)), in.Credential)
	if err != nil {
		return p.passkeyRefused(c, err, "passkey.refused")
	}
	if err := p.start(c, user, in.Remember); err != nil {
		return err
	}
	return nextPage(c, session.LocalPath(in.Next, templates.MailboxURL("inbox")))
}

// half is a sign-in between the password and the second step. It is kept
// under the hash of a token that only the browser's cookie has.
type half struct {
	User mail.ID
	// Version is the account's AuthVersion: a new password voids the half.
	Version  int
	Remember bool
	Next     string

	key   string
	token string
	user  mail.User
}

// halfFor is how long the second step may take.
const halfFor = undoFor

func halfKey(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "eider:second:" + hex.EncodeToString(sum[:])
}

// startSecond goes on to the second step after the right password.
func (p *pages) startSecond(c echo.Context, u mail.User, remember bool) error {
	h := half{User: u.ID, Version: u.AuthVersion, Remember: remember, Next: session.LocalPath(c.FormValue("next"), "")}
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	var b [24]byte
	_, _ = rand.Read(b[:])
	token := base64.RawURLEncoding.EncodeToString(b[:])
	if err := p.Signal.Set(ctxOf(c), halfKey(token), string(text), halfFor); err != nil {
		return err
	}
	p.Guard.KeepSecond(c, token, halfFor)
	return seeOther(c, templates.PathSecond)
}

// errNoHalf says that there is no password before this second step.
var errNoHalf = &mail.Error{Code: mail.CodeAuth, Op: "second step"}

// halfOf finds the half of the request, or gives errNoHalf.
func (p *pages) halfOf(c echo.Context) (h half, err error) {
	h.token = p.Guard.Second(c)
	if h.token == "" || len(h.token) > maxToken {
		return h, errNoHalf
	}
	h.key = halfKey(h.token)
	text, ok, err := p.Signal.Get(ctxOf(c), h.key)
	if err != nil {
		return h, err
	}
	if !ok || json.Unmarshal([]byte(text), &h) != nil {
		return h, errNoHalf
	}
	h.user, err = p.Store.User(ctxOf(c), h.User)
	if mail.IsCode(err, mail.CodeNoUser) || err == nil && h.user.AuthVersion != h.Version {
		return h, errNoHalf
	}
	return h, err
}

// secondPage asks for the second step.
func (p *pages) secondPage(c echo.Context) error {
	h, err := p.halfOf(c)
	if errors.Is(err, errNoHalf) {
		return seeOther(c, templates.PathSignIn)
	}
	if err != nil {
		return err
	}
	name := h.user.Address
	if name == "" {
		name = h.user.Username
	}
	page := p.page(c, "")
	page.Title = templates.T(page.Lang, "second.title")
	return render(c, http.StatusOK, templates.SecondPage(templates.Second{Page: page, Name: name}))
}

func (p *pages) secondBegin(c echo.Context) error {
	h, err := p.halfOf(c)
	if err != nil {
		return p.passkeyRefused(c, err, "passkey.late")
	}
	options, err := p.Accounts.BeginSecond(ctxOf(c), h.user, p.place(c, "second "+h.token))
	if err != nil {
		return p.passkeyRefused(c, err, "passkey.refused")
	}
	return c.JSON(http.StatusOK, options)
}

func (p *pages) secondFinish(c echo.Context) error {
	if strings.HasPrefix(c.Request().Header.Get(echo.HeaderContentType), echo.MIMEApplicationForm) {
		// The form without its script: the page says what it needs.
		return seeOther(c, templates.PathSecond)
	}
	in, err := readPasskey(c)
	if err != nil {
		return err
	}
	h, err := p.halfOf(c)
	if err != nil {
		return p.passkeyRefused(c, err, "passkey.late")
	}
	user, err := p.Accounts.FinishSecond(ctxOf(c), h.user, p.place(c, "second "+h.token), in.Credential)
	if err != nil {
		return p.passkeyRefused(c, err, "passkey.refused")
	}
	if err := p.Signal.Delete(ctxOf(c), h.key); err != nil {
		return err
	}
	p.Guard.ForgetSecond(c)
	if err := p.start(c, user, h.Remember); err != nil {
		return err
	}
	return nextPage(c, session.LocalPath(h.Next, templates.MailboxURL("inbox")))
}
