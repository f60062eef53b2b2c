// Package web is everything over HTTP: the webmail with its live channel and
// the REST API, each an http.Handler of its own listener, on Echo. The pages
// live in web/webmail, the socket in web/live, the API in web/api; here is
// what they share: recovery, request ids, metrics, health, listening.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// Base is what both handlers need from the program.
type Base struct {
	Log *slog.Logger
	// Metrics counts requests; one for the process.
	Metrics *Metrics
	// Ready says whether the instance can serve: database and signals answer.
	Ready func(context.Context) error
	// BehindProxy trusts X-Forwarded-For from private and loopback peers.
	BehindProxy bool
	// Surface is "web" or "api", for logs and metrics.
	Surface string
}

// NewEcho returns an Echo with the shared middleware and the health routes.
func NewEcho(b Base) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = echo.ExtractIPDirect()
	if b.BehindProxy {
		e.IPExtractor = echo.ExtractIPFromXFFHeader()
	}
	e.Use(requestID, b.Metrics.middleware(b.Surface), accessLog(b.Log, b.Surface), settle,
		recoverer(b.Log.With(slog.String("surface", b.Surface)), b.Metrics))
	registerHealth(e, b.Ready)
	return e
}

// registerHealth answers /healthz while the process lives and /readyz while it
// can serve.
func registerHealth(e *echo.Echo, ready func(context.Context) error) {
	e.GET("/healthz", func(c echo.Context) error {
		return c.String(http.StatusOK, "ok\n")
	})
	e.GET("/readyz", func(c echo.Context) error {
		ctx, cancel := context.WithTimeout(c.Request().Context(), 3*time.Second)
		defer cancel()
		if err := ready(ctx); err != nil {
			// The chain is for the log of the package that met it; a stranger
			// learns only that we are not ready.
			return c.String(http.StatusServiceUnavailable, "not ready\n")
		}
		return c.String(http.StatusOK, "ready\n")
	})
}
