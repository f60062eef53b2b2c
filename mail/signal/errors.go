package signal

import (
	"context"
	"errors"
	"time"

	"github.com/eidermail/eider/mail"
)

// defaultWindow is WildDuck's window of a counter for which none is given.
const defaultWindow = 24 * time.Hour

// ErrClosed is in the chain of errors after Signal.Close.
var ErrClosed = errors.New("signals are closed")

var (
	errTTL       = errors.New("time to live out of range")
	errLockLost  = errors.New("the lock is no longer held")
	errNotNumber = errors.New("the value is not a number")
)

func unavailable(op string, err error) error {
	return &mail.Error{Code: mail.CodeUnavailable, Op: op, Err: err}
}

// checkContext turns the end of ctx into our error.
func checkContext(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return unavailable(op, err)
	}
	return nil
}

// checkTTL refuses what Redis refuses: a time to live below a millisecond.
// forever says that 0 is allowed and means no end.
func checkTTL(op string, ttl time.Duration, forever bool) error {
	if ttl >= time.Millisecond || forever && ttl == 0 {
		return nil
	}
	return &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "ttl", Err: errTTL}
}
