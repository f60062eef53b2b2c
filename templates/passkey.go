package templates

import (
	"encoding/json"
	"time"
)

// Security is the page of passkeys: POST PathSecurity with csrf, remove (an
// id), password. Adding one needs script, PathPasskeyBegin and PathPasskeyFinish.
type Security struct {
	Shell
	Passkeys []Passkey
	// Full hides the form for another one.
	Full bool
	// Added says that one was just made.
	Added bool
	// Error is shown over the list.
	Error string
}

// Passkey is one line of that page.
type Passkey struct {
	ID, Name string
	Created  time.Time
	// Used is zero for never.
	Used time.Time
}

// Second is the page between the password and the mailbox. Script posts to
// PathSecondBegin and PathSecond.
type Second struct {
	Page
	// Name is who is signing in.
	Name string
}

// passkeyScript is the script of the pages that only sign in.
const passkeyScript = "passkey.js"

// passkeyWords is a JSON object of what the script says itself.
func passkeyWords(p Page) string {
	// Marshalling a map of strings cannot fail.
	out, _ := json.Marshal(map[string]string{
		"cancelled": p.T("passkey.cancelled"), "already": p.T("passkey.already"), "failed": p.T("passkey.failed"),
	})
	return string(out)
}

func (k Passkey) when(p Page) string {
	if k.Used.IsZero() {
		return p.T("passkey.unused", HeadWhen(p.Lang, k.Created, p.Now))
	}
	return p.T("passkey.used", HeadWhen(p.Lang, k.Created, p.Now), HeadWhen(p.Lang, k.Used, p.Now))
}
