package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"
)

// grants are WildDuck's default roles, for the resources that are served: per
// role and resource the first letters of the actions, for any account or for
// the caller's own.
var grants = map[string]map[string]struct{ any, own string }{
	"root": {
		"users": {any: "crud"}, "authentication": {any: "cr"}, "mailboxes": {any: "crud"},
		"messages": {any: "crud"}, "attachments": {any: "crud"}, "asps": {any: "crd"}, "autoreplies": {any: "crud"},
		"dkim": {any: "crud"},
	},
	"manager": {
		"users": {any: "crud"}, "authentication": {any: "cr"}, "asps": {any: "crd"}, "autoreplies": {any: "crud"},
		"dkim": {any: "crud"},
	},
	"webmail": {
		"users": {any: "ru"}, "authentication": {any: "cr"}, "mailboxes": {any: "crud"},
		"messages": {any: "crud"}, "attachments": {any: "crud"}, "asps": {any: "crd"}, "autoreplies": {any: "crud"},
	},
	"user": {
		"users": {own: "ru"}, "authentication": {own: "cr"}, "mailboxes": {own: "crud"},
		"messages": {own: "crud"}, "attachments": {own: "crud"}, "asps": {own: "crd"}, "autoreplies": {own: "crud"},
	},
	"auth":        {"authentication": {any: "c"}},
	"tokenAuth":   {"authentication": {any: "c"}},
	"audit":       {"users": {any: "r"}},
	"downloader":  {"messages": {any: "r"}},
	"attachments": {"attachments": {any: "r"}},
}

func granted(role, action, resource, scope string) bool {
	g := grants[role][resource]
	letters := g.any
	if scope == "own" {
		letters += g.own
	}
	return strings.Contains(letters, action[:1])
}

// knownRole reports a role that a token may have.
func knownRole(role string) bool {
	_, ok := grants[role]
	return ok
}

// equalTokens compares in constant time, whatever the lengths.
func equalTokens(given, want string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(want))
	return want != "" && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
