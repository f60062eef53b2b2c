package webmail

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/templates"
	"github.com/eidermail/eider/web/session"
)

// maxName is the longest display name, in characters.
const maxName = 128

// zones are offered in the settings: one for each offset and rule that people
// live by. Any other IANA name that an account already has is kept.
var zones = []string{
	"UTC", "Europe/London", "Europe/Berlin", "Europe/Helsinki", "Europe/Tallinn", "Europe/Kyiv", "Europe/Istanbul",
	"Europe/Moscow", "Asia/Dubai", "Asia/Karachi", "Asia/Kolkata", "Asia/Dhaka", "Asia/Bangkok", "Asia/Shanghai",
	"Asia/Tokyo", "Australia/Sydney", "Pacific/Auckland", "America/Sao_Paulo", "America/Halifax", "America/New_York",
	"America/Chicago", "America/Denver", "America/Los_Angeles", "America/Anchorage", "Pacific/Honolulu",
	"Africa/Cairo", "Africa/Johannesburg", "Africa/Lagos", "Africa/Nairobi",
}

// profilePage shows name, language, looks and time zone.
func (p *pages) profilePage(c echo.Context) error {
	vm, err := p.profileView(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, templates.ProfilePage(vm))
}

func (p *pages) profileView(c echo.Context) (templates.Profile, error) {
	shell, err := p.shellOf(ctxOf(c), c, "")
	if err != nil {
		return templates.Profile{}, err
	}
	shell.Title = templates.T(shell.Lang, "settings.profile")
	u := userOf(c)
	vm := templates.Profile{
		Shell: shell, DisplayName: u.Name, Username: u.Username, Errors: map[string]string{},
	}
	zone := u.Preferences.Zone
	vm.Zones = append(vm.Zones, templates.Option{
		Label: templates.T(shell.Lang, "profile.zone.auto"), Selected: zone == "",
	})
	known := false
	for _, z := range zones {
		known = known || z == zone
		vm.Zones = append(vm.Zones, templates.Option{Value: z, Label: z, Selected: z == zone})
	}
	if zone != "" && !known {
		vm.Zones = append(vm.Zones, templates.Option{Value: zone, Label: zone, Selected: true})
	}
	return vm, nil
}

// profile saves them.
func (p *pages) profile(c echo.Context) error {
	name := strings.TrimSpace(c.FormValue("name"))
	prefs := mail.Preferences{
		Theme:   oneOf(c.FormValue("theme"), templates.ThemeLight, templates.ThemeDark),
		Density: oneOf(c.FormValue("density"), templates.DensityCompact),
		Zone:    c.FormValue("zone"),
	}
	if _, ok := p.zone(prefs.Zone); !ok {
		prefs.Zone = ""
	}
	if utf8.RuneCountInString(name) > maxName || strings.ContainsFunc(name, unicode.IsControl) {
		vm, err := p.profileView(c)
		if err != nil {
			return err
		}
		vm.DisplayName = name
		reason := "long"
		if utf8.RuneCountInString(name) <= maxName {
			reason = "unknown"
		}
		vm.Errors["name"] = templates.ErrorText(vm.Lang, "name", reason)
		return render(c, http.StatusUnprocessableEntity, templates.ProfilePage(vm))
	}
	language := templates.Match(c.FormValue("language"))
	if err := p.Store.SetProfile(ctxOf(c), userOf(c).ID, name, language, prefs); err != nil {
		return err
	}
	p.putToast(c, templates.Toast{Text: templates.T(language, "profile.saved")})
	return seeOther(c, templates.PathProfile)
}

// oneOf gives v when it is among the choices, "" otherwise.
func oneOf(v string, choices ...string) string {
	for _, choice := range choices {
		if v == choice {
			return v
		}
	}
	return ""
}

// shortcuts lists the keys.
func (p *pages) shortcuts(c echo.Context) error {
	shell, err := p.shellOf(ctxOf(c), c, "")
	if err != nil {
		return err
	}
	shell.Title = templates.T(shell.Lang, "keys.title")
	back := session.LocalPath(c.QueryParam("back"), templates.MailboxURL("inbox"))
	return render(c, http.StatusOK, templates.ShortcutsPage(templates.Shortcuts{Shell: shell, Back: back}))
}
