package store

import (
	"io"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
)

// Append is one message to be stored.
type Append struct {
	User mail.ID
	// Mailbox is where it goes. When zero, Path, then Use choose; when all are
	// empty, or the mailbox of Use is missing, it is INBOX.
	Mailbox mail.ID
	Path    string
	Use     mail.SpecialUse
	// Message is the parsed message; its bytes are written from here.
	Message *message.Message
	Flags   []mail.Flag
	// InternalDate is when it arrived, zero means now.
	InternalDate time.Time
	Meta         Meta
	// Verification is what the MX found; nil for mail that did not come over it.
	Verification *Verification
	// Draft is set for a message that is being written.
	Draft *Draft
	// Outbound lists queue ids of a sent message.
	Outbound       []string
	ForwardTargets []Target
	// Filters lists the ids of filters that matched.
	Filters []mail.ID
	// CheckQuota refuses with CodeOverQuota what does not fit; otherwise the
	// account may run over (WildDuck refuses at RCPT).
	CheckQuota bool
	// Ignore is the session id that already knows of the message.
	Ignore string
	// SkipAddressRegister leaves the people of the message out of autocompletion.
	SkipAddressRegister bool
}

// Appended is where a message went.
type Appended struct {
	Mailbox, ID, Thread mail.ID
	// Path and SpecialUse are the mailbox's.
	Path        string
	SpecialUse  mail.SpecialUse
	UID         mail.UID
	UIDValidity uint32
	ModSeq      mail.ModSeq
	Size        int64
}

// Meta is where a message came from.
type Meta struct {
	// Source is MX, SMTP, IMAP, API or AUTO.
	Source, From string
	To           []string
	// Origin is the client's IP address.
	Origin, OriginHost, TransHost, TransType, QueueID, TransactionID string
	Time                                                             time.Time
	// Custom is JSON text of the API's client.
	Custom    string
	Reference *Reference
	Envelope  *Envelope
	// Session is the API session that made the message.
	Session string
	// SpamScore is set by the MX.
	SpamScore float64
}

// Reference is the message that a draft answers.
type Reference struct {
	Mailbox mail.ID
	UID     mail.UID
	// Action is reply, replyAll or forward.
	Action string
	// Attachments lists ids of attachments to be carried along; All takes all.
	Attachments []string
	All         bool
}

// Envelope is a draft's own SMTP envelope.
type Envelope struct {
	From string
	To   []string
}

// Verification is what the MX found out about the sender: domains that
// passed, empty where none did.
type Verification struct {
	// TLS names version and cipher, "" without TLS.
	TLSVersion, TLSCipher string
	SPF, DKIM, ARC        string
}

// Draft is what Eider keeps beside a message that is being written, in its own
// field that WildDuck ignores.
type Draft struct {
	// Key stays the same while the draft is saved again and again. Each saving
	// is a new message (a message never changes under its UID).
	Key string
	// Revision rises with each saving.
	Revision int64
	// Data is for the composer's use, at most 64 KiB.
	Data string
}

// Selection names messages of one mailbox. It is bounded by MaxSelection, and
// no UIDs means none.
type Selection struct {
	User, Mailbox mail.ID
	UIDs          []mail.UID
	// Ignore is the session id that already knows of the change, or empty.
	Ignore string
}

// Moved pairs the UIDs of a copied or moved message.
type Moved struct {
	From, To mail.UID
	// ID is the message's new id.
	ID mail.ID
}

// MoveOptions change flags on the way.
type MoveOptions struct {
	Add, Remove []mail.Flag
}

// FlagChange says how flags change. Set, when not nil, replaces all flags;
// otherwise Remove is taken away, then Add is added.
type FlagChange struct {
	Add, Remove []mail.Flag
	Set         []mail.Flag
	// UnchangedSince leaves alone messages with a higher mod-sequence, which
	// are then listed in Stored.Modified (RFC 7162 3.1.3); 0 for no condition.
	UnchangedSince mail.ModSeq
}

// Stored is the outcome of StoreFlags.
type Stored struct {
	// ModSeq is the mod-sequence of the changed messages, 0 when none changed.
	ModSeq mail.ModSeq
	// Changed lists, rising, the UIDs whose flags changed; Modified those that
	// UnchangedSince held back.
	Changed, Modified []mail.UID
}

// ExpungeOptions say what becomes of expunged messages.
type ExpungeOptions struct {
	// Archive keeps them for WildDuck's 25 days, but for drafts and copies.
	Archive bool
	// OnlyDeleted leaves messages without \Deleted alone (UID EXPUNGE).
	OnlyDeleted bool
	// drafts archives drafts too: those that ran out were not thrown away.
	drafts bool
}

// Key is a position in a mailbox that is ordered by internal date.
type Key struct {
	Date time.Time
	ID   mail.ID
}

// KeyOf is the position of a message.
func KeyOf(m *mail.Message) Key { return Key{Date: m.InternalDate, ID: m.ID} }

// List asks for one page of a mailbox, newest first.
type List struct {
	User, Mailbox mail.ID
	// Limit is rows, 0 for 50, at most MaxPage.
	Limit int
	// Before asks for rows older than the key, After for rows newer than it
	// (the ones next to it). At most one is set; neither asks for the newest.
	Before, After *Key
	Filter        ListFilter
	// OldestFirst turns the order of the whole listing round: the first page is
	// the oldest, Before still asks for older and After for newer rows.
	OldestFirst bool
	// ThreadCounts fills Message.ThreadCount.
	ThreadCounts bool
}

// ListFilter narrows a list; what is false does not narrow.
type ListFilter struct {
	Unseen, Flagged, Attachments bool
}

// Page is one page, in the order of the listing.
type Page struct {
	Messages []mail.Message
	// Older and Newer tell whether there are rows on either side.
	Older, Newer bool
}

// Detail is a whole message but for what lies in attachment storage.
type Detail struct {
	mail.Message
	// Text is the plain text, HTML the HTML parts; both are cut for huge messages.
	Text string
	HTML []string
	// Header lists the root's header lines in order, decoded.
	Header []message.HeaderField
	// Root is the MIME tree; bodies of parts that lie in attachment storage are nil.
	Root         *message.Node
	Sender       *message.Address
	Meta         Meta
	Verification *Verification
	// Draft is set for a draft that was saved with one.
	Draft *Draft
	// Expires is when retention removes the message, zero for never.
	Expires        time.Time
	ForwardTargets []Target
	Encrypted      bool
	// Defects say what is wrong with the message (docs/defects.md).
	Defects []message.Defect
	// Open opens the bodies that lie in attachment storage, encoded.
	Open message.Opener
}

// AttachmentContent is an opened attachment. Close it.
type AttachmentContent struct {
	mail.Attachment
	// Decoded reads the content without its transfer encoding.
	Decoded io.ReadCloser
}

// QueueMessage is a message for other hosts, in ZoneMTA's documents.
type QueueMessage struct {
	// ID is the queue id, "" for a new one.
	ID string
	// From is the reverse-path, "" for <>. To lists the recipients.
	From string
	To   []string
	// Raw is the whole message.
	Raw *message.Source
	// User is the account that sends, zero for none. UserAddress is its name.
	User        mail.ID
	UserAddress string
	// Interface is maildrop, forwarder or autoreplies ("" for maildrop); Reason
	// is submit, forward or autoreply ("" for submit).
	Interface, Reason string
	// Origin is the client's IP address, TransType "API" or the SMTP kind.
	Origin, TransType string
	// ParentID is the queue id of the message that this one came from.
	ParentID string
	// Zone is the sending zone, "" for "default".
	Zone string
	// SendAt is the earliest attempt, zero means now.
	SendAt time.Time
}

// QueueEntry is one recipient of a queued message.
type QueueEntry struct {
	ID, Seq           string
	User              mail.ID
	Recipient, Domain string
	Zone              string
	Queued, Created   time.Time
	// Locked tells that a sender works on it.
	Locked bool
	// Deferrals counts failed attempts, Response is the last answer.
	Deferrals int
	Response  string
}

// QueueFilter selects queue entries: by ids, or by user. One is required.
type QueueFilter struct {
	IDs  []string
	User mail.ID
	// Limit is rows, 0 for 100, at most 1000.
	Limit int
}

// Report is what Verify found.
type Report struct {
	User     mail.ID
	Problems []Problem
	// Messages and Bytes are what the account holds.
	Messages int
	Bytes    int64
}

// OK reports an account without differences.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

// Problem is one difference between a counter or reference and what is stored.
type Problem struct {
	// Kind is one of the Problem constants.
	Kind string
	// User, Mailbox and Message say where; zero where it is in none.
	User    mail.ID
	Mailbox mail.ID
	Message mail.ID
	// Want is what is stored, Have what the counter says.
	Want, Have string
	// Mended tells that it is right again.
	Mended bool
}

// ThreadOptions bound a conversation.
type ThreadOptions struct {
	// Limit is rows, 0 for 100, at most MaxPage. The newest are kept.
	Limit int
	// TrashAndJunk takes in those two mailboxes; Include is one that counts even so.
	TrashAndJunk bool
	Include      mail.ID
}
