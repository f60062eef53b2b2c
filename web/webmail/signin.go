package webmail

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/templates"
	"github.com/eidermail/eider/web/session"
)

// signInPage asks for name and password.
func (p *pages) signInPage(c echo.Context) error {
	if session.Of(c) != nil {
		return seeOther(c, session.LocalPath(c.QueryParam("next"), templates.MailboxURL("inbox")))
	}
	return render(c, http.StatusOK, templates.SignInPage(p.signInView(c, c.QueryParam("next"))))
}

func (p *pages) signInView(c echo.Context, next string) templates.SignIn {
	page := p.page(c, "")
	page.Title = templates.T(page.Lang, "signin.title")
	return templates.SignIn{Page: page, Next: session.LocalPath(next, ""), Register: p.Accounts.Open(), Passkeys: p.Accounts.CanPasskey()}
}

// reasonSecond says that the password was right but is not enough.
const reasonSecond = "second step"

// signIn checks them. What was wrong is not told: the same sentence for an
// unknown name and a wrong password.
func (p *pages) signIn(c echo.Context) error {
	remember := c.FormValue("remember") == "1"
	result, err := p.Accounts.Authenticate(ctxOf(c), account.Login{
		Username: c.FormValue("username"), Password: c.FormValue("password"),
		Scope: "master", Protocol: "WEB", IP: c.RealIP(), Session: p.RequestID(c),
	})
	if err == nil && slices.Contains(result.Require2FA, store.FactorPasskey) && p.Accounts.CanPasskey() {
		return p.startSecond(c, result.User, remember)
	}
	if err == nil && len(result.Require2FA) > 0 {
		// Another second step is switched on with WildDuck; its page is not part
		// of this release, and letting the account in without it would be wrong.
		err = &mail.Error{Code: mail.CodeForbidden, Op: "sign in", Reason: reasonSecond}
	}
	if err != nil {
		return p.signInFailed(c, err)
	}
	if err := p.start(c, result.User, remember); err != nil {
		return err
	}
	return seeOther(c, session.LocalPath(c.FormValue("next"), templates.MailboxURL("inbox")))
}

func (p *pages) signInFailed(c echo.Context, err error) error {
	vm := p.signInView(c, c.FormValue("next"))
	vm.Username, vm.Remember = c.FormValue("username"), c.FormValue("remember") == "1"
	code := http.StatusUnprocessableEntity
	_, reason := fieldOf(err)
	switch mail.CodeOf(err) { //nolint:exhaustive // the others are not the visitor's to mend
	case mail.CodeAuth, mail.CodeNoUser, mail.CodeInvalid, mail.CodeDisabled, mail.CodeForbidden:
		vm.Error = templates.T(vm.Lang, "signin.wrong")
		if reason == reasonSecond {
			vm.Error = templates.T(vm.Lang, "signin.second")
		}
	case mail.CodeLimited:
		code = http.StatusTooManyRequests
		vm.Error = templates.T(vm.Lang, "signin.limited", waitWords(vm.Lang, retryAfter(c, err)))
	default:
		return err
	}
	return render(c, code, templates.SignInPage(vm))
}

// retryAfter says in the header when to come back, and gives the seconds.
func retryAfter(c echo.Context, err error) int {
	seconds := 60
	var e *mail.Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		seconds = e.RetryAfter
	}
	c.Response().Header().Set("Retry-After", strconv.Itoa(seconds))
	return seconds
}

// waitWords words a time in whole minutes, rounded up.
func waitWords(lang string, seconds int) string {
	return templates.N(lang, "wait.minutes", (seconds+59)/60)
}

// start opens a session and hands its cookie to the browser. One that the
// browser had is ended: nobody could sign it out any more.
func (p *pages) start(c echo.Context, u mail.User, remember bool) error {
	if session.Of(c) != nil {
		if err := p.Accounts.EndSession(ctxOf(c), p.Guard.Secret(c)); err != nil {
			return err
		}
	}
	secret, err := p.Accounts.NewSession(ctxOf(c), u, account.SessionOptions{
		Remember: remember, IP: c.RealIP(), UserAgent: c.Request().UserAgent(),
	})
	if err != nil {
		return err
	}
	p.Guard.Keep(c, secret, remember)
	return nil
}

// signOut ends the session everywhere that its cookie was copied to.
func (p *pages) signOut(c echo.Context) error {
	if secret := p.Guard.Secret(c); secret != "" {
		if err := p.Accounts.EndSession(ctxOf(c), secret); err != nil && !mail.IsCode(err, mail.CodeNotFound) {
			return err
		}
	}
	p.Guard.Forget(c)
	c.Response().Header().Set("Clear-Site-Data", `"cache", "storage"`)
	return seeOther(c, templates.PathSignedOut)
}

func (p *pages) signedOut(c echo.Context) error {
	return render(c, http.StatusOK, templates.SignedOutPage(templates.SignedOut{Page: p.page(c, "")}))
}

// registerPage is the form for a new account.
func (p *pages) registerPage(c echo.Context) error {
	if !p.Accounts.Open() {
		return echo.ErrNotFound
	}
	if session.Of(c) != nil {
		return seeOther(c, templates.MailboxURL("inbox"))
	}
	return render(c, http.StatusOK, templates.RegisterPage(p.registerView(c, "")))
}

func (p *pages) registerView(c echo.Context, domain string) templates.Register {
	page := p.page(c, "")
	page.Title = templates.T(page.Lang, "register.title")
	vm := templates.Register{Page: page, Score: -1, Errors: map[string]string{}}
	for _, d := range p.Accounts.Domains() {
		vm.Domains = append(vm.Domains, templates.Option{Value: d, Label: d, Selected: d == domain})
	}
	return vm
}

// register makes the account and signs its owner in.
func (p *pages) register(c echo.Context) error {
	if !p.Accounts.Open() {
		return echo.ErrNotFound
	}
	vm := p.registerView(c, c.FormValue("domain"))
	r := account.Registration{
		Name: c.FormValue("name"), Username: c.FormValue("username"), Domain: c.FormValue("domain"),
		Password: c.FormValue("password"), Language: vm.Lang, IP: c.RealIP(),
	}
	u, err := p.Accounts.Register(ctxOf(c), r)
	if err != nil {
		return p.registerFailed(c, vm, r, err)
	}
	if err := p.start(c, u, false); err != nil {
		return err
	}
	p.Log.LogAttrs(ctxOf(c), slog.LevelInfo, "account registered",
		slog.String("user", u.ID.String()), slog.String("address", u.Address))
	return seeOther(c, templates.MailboxURL("inbox"))
}

func (p *pages) registerFailed(c echo.Context, vm templates.Register, r account.Registration, err error) error {
	vm.Name, vm.Username = r.Name, r.Username
	code := http.StatusUnprocessableEntity
	field, reason := fieldOf(err)
	switch mail.CodeOf(err) { //nolint:exhaustive // the others are not the visitor's to mend
	case mail.CodeInvalid:
	case mail.CodeExists:
		field, reason = "username", "taken"
	case mail.CodeLimited:
		retryAfter(c, err)
		field, reason, code = "", "limited", http.StatusTooManyRequests
	default:
		return err
	}
	vm.Errors[field] = templates.ErrorText(vm.Lang, field, reason)
	if field == "password" && reason == "weak" {
		vm.Score = account.Strength(r.Password, r.Username, r.Name)
	}
	return render(c, code, templates.RegisterPage(vm))
}

// strength answers the meter under the password. The password is judged and
// forgotten.
func (p *pages) strength(c echo.Context) error {
	if !p.Accounts.Open() {
		return echo.ErrNotFound
	}
	score := account.Strength(c.FormValue("password"), c.FormValue("username"), c.FormValue("name"))
	return c.JSON(http.StatusOK, map[string]int{"score": score})
}
