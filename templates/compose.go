package templates

import "time"

// ComposePage is the composer as a page of its own.
type ComposePage struct {
	Shell
	Compose Compose
}

// Compose is the form of a message being written. It posts to PathCompose as
// multipart/form-data.
//
// Fields: csrf, draft, version, action, ref, back, from, to, cc, bcc, subject,
// text, quote (1 when kept), files (many), remove (ids of attachments to take
// off, many), do: save, attach, send or discard.
type Compose struct {
	// Draft is Ref of the stored draft, empty for a new one; field "draft".
	Draft string
	// Version tells two tabs on one draft apart; field "version".
	Version string
	// Action and Ref say what is answered; fields "action" and "ref".
	Action, Ref string
	// Back is where to go after sending, discarding or closing; field "back".
	Back string
	From []Option
	// To, Cc and Bcc are as typed: addresses separated by commas.
	To, Cc, Bcc string
	Subject     string
	Text        string
	Attachments []ComposeAttachment
	// Quote is the original that follows the text on sending, nil for none.
	Quote *Quote
	// Saved is when the draft was last stored; zero hides the status.
	Saved time.Time
	// Errors are texts by field name (to, cc, bcc, from, subject, text, files, or "" for the form).
	Errors map[string]string
	// MaxSize is the limit of a message in bytes, 0 for none.
	MaxSize int64
}

// Option is one choice of a select.
type Option struct {
	Value, Label string
	Selected     bool
}

// ComposeAttachment is a file that the stored draft holds.
type ComposeAttachment struct {
	// ID is the value of field "remove".
	ID, Name, Type string
	Size           int64
}

// Quote is the original of an answer, kept on the server.
type Quote struct {
	// Intro is the line above, such as "On 21 Nov 2026 Astrid Holm wrote:".
	Intro string
	// Text is the plain text, not yet prefixed.
	Text string
	// Keep is the state of the check box "quote".
	Keep bool
}
