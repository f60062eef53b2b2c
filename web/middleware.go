package web

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"
)

// requestID gives every answer the short id that ties an error page to a log
// line. An id that the client sends is not taken over: it would go to the log.
func requestID(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		var b [6]byte
		_, _ = rand.Read(b[:]) // never fails
		c.Response().Header().Set(echo.HeaderXRequestID, hex.EncodeToString(b[:]))
		return next(c)
	}
}

// settle writes the answer of a failed handler here, so that what observes
// requests around it sees the status that the client sees.
func settle(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := next(c); err != nil {
			c.Error(err)
		}
		return nil
	}
}

// recoverer turns a panic into a 500 and one log line with the stack. The
// session of the others goes on.
func recoverer(log *slog.Logger, m *Metrics) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			defer func() {
				r := recover()
				if r == nil {
					return
				}
				if e, ok := r.(error); ok && errors.Is(e, http.ErrAbortHandler) {
					panic(r)
				}
				m.panics.Inc()
				log.LogAttrs(c.Request().Context(), slog.LevelError, "panic",
					slog.String("request_id", RequestID(c)),
					slog.String("path", c.Path()),
					slog.Any("panic", r),
					slog.String("stack", string(debug.Stack())))
				err = echo.NewHTTPError(http.StatusInternalServerError).SetInternal(fmt.Errorf("panic: %v", r))
			}()
			return next(c)
		}
	}
}

// RequestID is the id that the answer carries in X-Request-Id.
func RequestID(c echo.Context) string {
	return c.Response().Header().Get(echo.HeaderXRequestID)
}

// accessLog writes a line per request at level debug. Queries are left out:
// they may hold search words and addresses.
func accessLog(log *slog.Logger, surface string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			ctx := c.Request().Context()
			if !log.Enabled(ctx, slog.LevelDebug) {
				return next(c)
			}
			start := time.Now()
			err := next(c)
			log.LogAttrs(ctx, slog.LevelDebug, "request",
				slog.String("surface", surface),
				slog.String("method", c.Request().Method),
				slog.String("route", c.Path()),
				slog.Int("status", c.Response().Status),
				slog.Duration("took", time.Since(start)),
				slog.String("request_id", RequestID(c)))
			return err
		}
	}
}
