package session

import (
	"time"

	"github.com/labstack/echo/v4"
)

// secondName is the cookie between the password and the second step.
const secondName = "eider-second"

// KeepSecond sets the cookie that names a sign-in whose second step is to
// come. It opens nothing by itself.
func (g *Guard) KeepSecond(c echo.Context, token string, lasts time.Duration) {
	cookie := g.cookie(c, secondName, token)
	cookie.MaxAge = int(lasts / time.Second)
	c.SetCookie(cookie)
}

// Second is that cookie's value, "" for none.
func (g *Guard) Second(c echo.Context) string {
	cookie, err := c.Cookie(g.name(c, secondName))
	if err != nil {
		return ""
	}
	return cookie.Value
}

// ForgetSecond removes that cookie.
func (g *Guard) ForgetSecond(c echo.Context) {
	cookie := g.cookie(c, secondName, "")
	cookie.MaxAge = -1
	c.SetCookie(cookie)
}
