package mail

import (
	"time"

	"github.com/eidermail/eider/mail/message"
)

// User is an account as the surfaces see it. Secrets stay in mail/store and
// mail/account.
type User struct {
	ID       ID
	Username string
	Name     string
	// Address is the main address, empty while the account is being set up.
	Address  string
	Language string
	// Quota and StorageUsed are bytes; Quota is the effective limit (the
	// account's own, or the installation's default), 0 for none.
	Quota       int64
	StorageUsed int64
	// MaxRecipients is the daily limit of recipients, 0 for the default.
	MaxRecipients int
	Disabled      bool
	Suspended     bool
	Activated     bool
	// DisabledScopes lists imap, pop3, smtp where they are switched off.
	DisabledScopes []string
	FromWhitelist  []string
	Tags           []string
	// Autoreply: mail to the account is answered (store.Autoreply says how).
	Autoreply bool
	// Admin marks an account that may administer the installation (own field).
	Admin       bool
	AuthVersion int
	// Preferences are the webmail's (own field).
	Preferences Preferences
	Created     time.Time
	LastLogin   time.Time
}

// Preferences are how a person likes the webmail; empty values are the defaults.
type Preferences struct {
	// Theme is "", light or dark; Density is "" or compact.
	Theme, Density string
	// Zone is an IANA time zone.
	Zone string
}

// Mailbox is a folder of one account.
type Mailbox struct {
	ID, User    ID
	Path        string
	SpecialUse  SpecialUse
	UIDValidity uint32
	UIDNext     UID
	// ModSeq is the highest modification sequence, 0 for an untouched mailbox.
	ModSeq     ModSeq
	Subscribed bool
	Hidden     bool
	Flags      []Flag
	// Retention is how long messages stay, 0 for ever.
	Retention time.Duration
	// Total and Unseen are messages in it; filled where the operation says so.
	Total, Unseen int
}

// Message is one row of a mailbox: what lists, IMAP and POP3 show without
// touching the MIME tree.
type Message struct {
	ID, User, Mailbox, Thread ID
	UID                       UID
	ModSeq                    ModSeq
	Flags                     []Flag
	From                      message.Address
	To, Cc, Bcc, ReplyTo      []message.Address
	Subject, Intro            string
	// MessageID is with its angle brackets.
	MessageID  string
	References []string
	// Date is the Date header, InternalDate when the message was stored.
	Date, InternalDate time.Time
	// HasAttachments is true for at least one attachment that the text does not show inline.
	HasAttachments bool
	Attachments    []Attachment
	// Size is bytes of the message as received.
	Size int64
	// ContentType is the root's type, lower case, without parameters.
	ContentType string
	// ThreadCount is messages of the conversation in all mailboxes; filled where the operation says so.
	ThreadCount int
	// Outbound lists queue ids of a sent message.
	Outbound []string
}

// Has reports whether the message carries the flag, in any case.
func (m *Message) Has(f Flag) bool { return HasFlag(m.Flags, f) }

// Unseen reports a message without \Seen.
func (m *Message) Unseen() bool { return !m.Has(FlagSeen) }

// Attachment is a stored part.
type Attachment struct {
	// ID is ATT00001 and so on, unique within the message.
	ID          string
	Filename    string
	ContentType string
	// Detected is the type that the content shows where ContentType is too
	// general or wrong, else empty.
	Detected string
	// Disposition is attachment, inline or empty.
	Disposition      string
	TransferEncoding string
	// ContentID is with its angle brackets, or empty.
	ContentID string
	// Related is true for a part of multipart/related, which the text shows itself.
	Related bool
	// Size is the encoded length; DecodedSize an estimate of the length after decoding. Bytes.
	Size, DecodedSize int64
	// Hash is SHA-256 of the encoded part, the key of its stored content.
	Hash [32]byte
}

// Command says what a change did, in WildDuck's journal words.
type Command string

// The closed set of journal commands.
const (
	CommandExists  Command = "EXISTS"
	CommandExpunge Command = "EXPUNGE"
	CommandFetch   Command = "FETCH"
	CommandCreate  Command = "CREATE"
	CommandRename  Command = "RENAME"
	CommandDelete  Command = "DELETE"
)

// Change is one journal entry.
type Change struct {
	// ID orders changes of one user.
	ID      ID
	User    ID
	Mailbox ID
	Command Command
	ModSeq  ModSeq
	// UID, Message and Thread are set for message changes.
	UID             UID
	Message, Thread ID
	// Unseen tells, for EXISTS and EXPUNGE, whether the message counts as unseen.
	Unseen bool
	// UnseenChange tells, for FETCH, that \Seen changed.
	UnseenChange bool
	Flags        []Flag
	InternalDate time.Time
	// Path is the (new) path of CREATE and RENAME.
	Path string
	// Junk is 1 for EXISTS into Junk, -1 for out of it.
	Junk    int
	Ignore  string
	Created time.Time
}
