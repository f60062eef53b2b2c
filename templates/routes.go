package templates

import (
	"net/url"
	"strconv"
)

// Paths of the webmail that have no variable part. The handlers register
// these same constants, so that a link and its route never differ.
const (
	PathHome      = "/"
	PathSignIn    = "/signin"
	PathSignOut   = "/signout"
	PathSignedOut = "/signed-out"
	PathRegister  = "/register"
	// PathStrength answers POST (csrf, password, name, username) with {"score":0..4} for the meter.
	PathStrength  = "/register/strength"
	PathMail      = "/mail"
	PathStarred   = "/mail/starred"
	PathCompose   = "/compose"
	PathUndo      = "/undo"
	PathSearch    = "/search"
	PathProfile   = "/settings/profile"
	PathSecurity  = "/settings/security"
	PathShortcuts = "/shortcuts"
	PathLive      = "/live"
)

// Paths of passkeys. All but the two pages answer JSON: the options for the
// browser, or {"next": path}, or {"error": words}.
const (
	PathPasskeyBegin       = PathSecurity + "/passkey/begin"
	PathPasskeyFinish      = PathSecurity + "/passkey/finish"
	PathSecond             = PathSignIn + "/second"
	PathSecondBegin        = PathSecond + "/begin"
	PathPasskeySignInBegin = PathSignIn + "/passkey/begin"
	PathPasskeySignIn      = PathSignIn + "/passkey/finish"
)

// MailboxURL is the list page of a mailbox; id is its hexadecimal id or a
// word such as "inbox" or "starred". POST to it runs the bulk actions.
func MailboxURL(id string) string { return PathMail + "/" + url.PathEscape(id) }

// MessageURL is the page that shows one message beside its list.
func MessageURL(mailbox string, uid uint32) string {
	return MailboxURL(mailbox) + "/" + strconv.FormatUint(uint64(uid), 10)
}

// HeadersURL shows all header fields of a message.
func HeadersURL(mailbox string, uid uint32) string { return MessageURL(mailbox, uid) + "/headers" }

// SourceURL shows the raw source of a message as text in a page.
func SourceURL(mailbox string, uid uint32) string { return MessageURL(mailbox, uid) + "/source" }

// RawURL downloads a message byte for byte as .eml.
func RawURL(mailbox string, uid uint32) string { return MessageURL(mailbox, uid) + "/message.eml" }

// AttachmentURL downloads one attachment of a message.
func AttachmentURL(mailbox string, uid uint32, attachment string) string {
	return MessageURL(mailbox, uid) + "/attachments/" + url.PathEscape(attachment)
}

// FrameURL is the sandboxed document of a message's HTML. The handler may add
// a query (images, text colours, a signature).
func FrameURL(mailbox string, uid uint32) string { return MessageURL(mailbox, uid) + "/frame" }

// Values of the "action" query of compose.
const (
	ActionReply    = "reply"
	ActionReplyAll = "replyall"
	ActionForward  = "forward"
	ActionAttach   = "attach"
	ActionRewrite  = "rewrite"
	ActionEdit     = "edit"
)

// ComposeURL opens the composer on a message: action is one of the Action
// constants, ref is Ref(mailbox, uid).
func ComposeURL(action, ref string) string {
	return PathCompose + "?" + url.Values{"action": {action}, "ref": {ref}}.Encode()
}

// Ref names a message across forms: mailbox id, a dash, the UID.
func Ref(mailbox string, uid uint32) string {
	return mailbox + "-" + strconv.FormatUint(uint64(uid), 10)
}
