package templates

// SignIn is the sign-in form: POST PathSignIn with csrf, username, password,
// remember (1), next.
type SignIn struct {
	Page
	Username string
	Remember bool
	// Next is the local path to open afterwards.
	Next string
	// Error is shown under the password; the fields keep what was typed.
	Error string
	// Register links to PathRegister.
	Register bool
	// Passkeys offers to sign in by a passkey alone.
	Passkeys bool
}

// Register is the form for a new account: POST PathRegister with csrf, name,
// username, domain, password.
type Register struct {
	Page
	Name, Username string
	Domains        []Option
	// Errors are texts by field name, or "" for the form. See ErrorText.
	Errors map[string]string
	// Free are user names that could be had instead.
	Free []string
	// Score is 0 to 4 of the refused password, -1 to hide the words.
	Score int
}

// SignedOut says good-bye.
type SignedOut struct {
	Page
}

// ErrorPage is a page for 400, 403, 404, 413, 429, 500, 503 and 507.
type ErrorPage struct {
	Page
	Status int
	// Code is the support code of a 500, empty for none.
	Code string
	// Text replaces the usual sentence, empty for the usual one.
	Text string
	// Retry is the path for "Try again", empty for none.
	Retry string
	// SignedIn offers the Inbox, otherwise the sign-in page.
	SignedIn bool
}
