package mail

import (
	"context"
	"errors"
)

// Code says what went wrong, in terms of the domain. Each surface words it in
// its own protocol with one exhaustive switch.
type Code int

// The closed set of codes.
const (
	// CodeInternal is a defect of ours or an unforeseen failure below us.
	CodeInternal Code = iota
	// CodeUnavailable: the database, the signals or a peer is away; trying again may help.
	CodeUnavailable
	// CodeInvalid: the input breaks a rule; Error.Field names it where one is to blame.
	CodeInvalid
	// CodeNoUser: no such account or address.
	CodeNoUser
	// CodeNoMailbox: no such mailbox.
	CodeNoMailbox
	// CodeNoMessage: no such message.
	CodeNoMessage
	// CodeNotFound: no such other object (attachment, token, session, draft).
	CodeNotFound
	// CodeExists: the name or address is taken.
	CodeExists
	// CodeAuth: the credentials are wrong. It never says which half.
	CodeAuth
	// CodeForbidden: known, but not allowed.
	CodeForbidden
	// CodeDisabled: the account is disabled or suspended.
	CodeDisabled
	// CodeOverQuota: the account's storage is full.
	CodeOverQuota
	// CodeTooBig: larger than the limit for one object.
	CodeTooBig
	// CodeLimited: too many tries or too many recipients in the window; Error.RetryAfter says when.
	CodeLimited
	// CodeConflict: somebody else changed it first.
	CodeConflict
)

var codeNames = [...]string{
	"internal", "unavailable", "invalid", "no such user", "no such mailbox", "no such message", "not found",
	"exists", "wrong credentials", "forbidden", "disabled", "over quota", "too big", "limited", "conflict",
}

// String gives the code's name for logs.
func (c Code) String() string {
	if c < 0 || int(c) >= len(codeNames) {
		return "unknown"
	}
	return codeNames[c]
}

// Error is the one error type that crosses package borders in Eider.
type Error struct {
	Code Code
	// Op says what was being done: "append to INBOX". Lower case, for logs.
	Op string
	// Field names the input at fault, where one is: "username", "password".
	Field string
	// Reason is a machine-readable word beside Field: "taken", "reserved", "weak", "empty", "format", "long".
	Reason string
	// RetryAfter is set with CodeLimited, in seconds.
	RetryAfter int
	// Err is the cause, for the log only.
	Err error
}

// Error is the text for the log: what was being done, the code, the chain.
// It is never shown to a client.
func (e *Error) Error() string {
	s := e.Code.String()
	if e.Op != "" {
		s = e.Op + ": " + s
	}
	if e.Field != "" {
		s += " (" + e.Field
		if e.Reason != "" {
			s += " " + e.Reason
		}
		s += ")"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf finds the code in a chain. A context that ended and an error without
// a code count as CodeUnavailable and CodeInternal.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return CodeUnavailable
	}
	return CodeInternal
}

// IsCode reports whether err carries the code.
func IsCode(err error, code Code) bool {
	return err != nil && CodeOf(err) == code
}
