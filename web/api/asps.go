package api

import (
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

// aspScopes are what WildDuck shows for the scope *.
var aspScopes = []string{"imap", "pop3", "smtp"}

// aspJSON is an application password as it is shown.
type aspJSON struct {
	ID          string   `json:"id"`
	Description string   `json:"description"`
	Scopes      []string `json:"scopes"`
	LastUse     struct {
		Time  *string `json:"time,omitempty"`
		Event string  `json:"event,omitempty"`
	} `json:"lastUse"`
	Created string  `json:"created"`
	Expires *string `json:"expires,omitempty"`
}

func aspView(a store.AppPassword) aspJSON {
	v := aspJSON{ID: a.ID.String(), Description: a.Description, Scopes: orEmpty(a.Scopes), Created: stamp(a.Created), Expires: stampOrNil(a.Expires)}
	if slices.Contains(a.Scopes, store.ScopeAll) {
		v.Scopes = aspScopes
	}
	v.LastUse.Time = stampOrNil(a.Used)
	if !a.Event.IsZero() {
		v.LastUse.Event = a.Event.String()
	}
	return v
}

// errNoASP says that the account has no such application password.
var errNoASP = &apiError{status: http.StatusNotFound, code: "AspNotFound", text: "Invalid or unknown ASP key"}

// asps is GET /users/:user/asps.
func (s *server) asps(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	user, all := p.id("user", true), p.yes("showAll", false)
	p.session()
	if err := p.finish(); err != nil {
		return err
	}
	if err := s.may(c, "read", "asps", user); err != nil {
		return err
	}
	if _, err := s.Store.User(ctxOf(c), user); err != nil {
		return err
	}
	list, err := s.Store.AppPasswords(ctxOf(c), user)
	if err != nil {
		return err
	}
	rows := []aspJSON{}
	for i := range list {
		if all || list[i].TTL == 0 {
			rows = append(rows, aspView(list[i]))
		}
	}
	return respond(c, http.StatusOK, map[string]any{"success": true, "results": rows})
}

// asp is GET /users/:user/asps/:asp.
func (s *server) asp(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	user, id := p.id("user", true), p.id("asp", true)
	p.session()
	if err := p.finish(); err != nil {
		return err
	}
	if err := s.may(c, "read", "asps", user); err != nil {
		return err
	}
	a, err := s.Store.AppPassword(ctxOf(c), user, id)
	if mail.IsCode(err, mail.CodeNotFound) {
		return errNoASP
	}
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, struct {
		Success bool `json:"success"`
		aspJSON
	}{true, aspView(a)})
}

// createASP is POST /users/:user/asps.
func (s *server) createASP(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	a := store.AppPassword{User: p.id("user", true), Description: strings.TrimSpace(p.text("description", true, 255)), Scopes: readScopes(p)}
	a.TTL = time.Duration(p.number("ttl", false, 0, math.MaxInt32, 0)) * time.Second
	password, address := p.text("password", false, 256), p.text("address", false, 320)
	login := account.Login{Protocol: p.text("protocol", false, 255)}
	login.Session, login.IP = p.session()
	if login.Protocol == "" {
		login.Protocol = "API"
	}
	if password != "" && !account.ValidAppPassword(password) {
		p.blame("password", "with value %q fails to match the required pattern: /^[a-z]{16}$/", password)
	}
	if p.yes("generateMobileconfig", false) {
		p.blame("generateMobileconfig", "is not supported by this version")
	}
	if err := p.finish(); err != nil {
		return err
	}
	if err := s.may(c, "create", "asps", a.User); err != nil {
		return err
	}
	if err := s.ownAddress(c, a.User, address); err != nil {
		return err
	}
	a, password, err = s.Accounts.AddAppPassword(ctxOf(c), a, password, login)
	if mail.IsCode(err, mail.CodeInvalid) {
		return &apiError{
			status: http.StatusForbidden, code: "TooMany", text: "Maximum ASPs limit reached", details: map[string]any{"allowed": store.MaxAppPasswords},
		}
	}
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, map[string]any{"success": true, "id": a.ID.String(), "password": password})
}

// ownAddress refuses an address that is not the account's.
func (s *server) ownAddress(c echo.Context, user mail.ID, address string) error {
	if address == "" {
		return nil
	}
	list, err := s.Store.Addresses(ctxOf(c), user)
	if err != nil {
		return err
	}
	for i := range list {
		if strings.EqualFold(list[i].Address, address) {
			return nil
		}
	}
	return &apiError{status: http.StatusNotFound, code: "AddressNotFound", text: "Invalid or unknown address"}
}

// readScopes reads a list of scopes, or their names with commas between; all
// without one.
func readScopes(p *params) []string {
	list := p.texts("scopes", 1024)
	if len(list) == 1 {
		list = strings.Split(list[0], ",")
	}
	var out []string
	for _, scope := range list {
		switch scope = strings.TrimSpace(scope); {
		case scope == "":
		case scope != store.ScopeAll && !slices.Contains(aspScopes, scope):
			p.blame("scopes", "must be one of [imap, pop3, smtp, *]")
		default:
			out = append(out, scope)
		}
	}
	if len(out) == 0 {
		return []string{store.ScopeAll}
	}
	return out
}

// deleteASP is DELETE /users/:user/asps/:asp.
func (s *server) deleteASP(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	user, id := p.id("user", true), p.id("asp", true)
	login := account.Login{Protocol: "API"}
	login.Session, login.IP = p.session()
	if err := p.finish(); err != nil {
		return err
	}
	if err := s.may(c, "delete", "asps", user); err != nil {
		return err
	}
	err = s.Accounts.RemoveAppPassword(ctxOf(c), user, id, login)
	if mail.IsCode(err, mail.CodeNotFound) {
		return errNoASP
	}
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, map[string]any{"success": true})
}
