package templates

import "time"

// Reader is the open conversation.
type Reader struct {
	// Mailbox and UID name the message that the toolbar acts on.
	Mailbox string
	UID     uint32
	// Use of its mailbox, as in Folder; in Trash "delete" means for ever, in Junk "junk" means not junk.
	Use string
	// MailboxName is as Folder.Name.
	MailboxName string
	Subject     string
	// Unread is the state before it was opened, as the list shows it; Starred as now.
	Unread, Starred bool
	// Back is the list's path and query.
	Back string
	// Newer and Older are links to the neighbours in the list, empty at the ends.
	Newer, Older string
	// Messages are oldest first. All but the open ones are Folded.
	Messages []Message
	MoveTo   []Target
	// MarkRead lets the page post "read" once it is really shown, for a message that is unread.
	MarkRead bool
}

// Message is one message of a conversation.
type Message struct {
	Mailbox string
	UID     uint32
	From    Person
	// Own marks a message by the user; the sender is then "You".
	Own                  bool
	To, Cc, Bcc, ReplyTo []Person
	// Date is the Date header, Received when it arrived.
	Date, Received time.Time
	Size           int64
	// Folded shows one line with Intro and a link to Href.
	Folded bool
	Intro  string
	Href   string
	// Draft shows "Edit draft" instead of the reply buttons.
	Draft bool
	// Frame is the HTML part; nil shows Text.
	Frame *Frame
	// Text is the plain text, shown when Frame is nil.
	Text string
	// Lang is the language tag of the text, "" for unknown.
	Lang string
	// TextHref shows the text instead of the HTML, HTMLHref the other way; empty where there is no choice.
	TextHref, HTMLHref string
	// Images is shown above the frame when remote images were held back; nil for none.
	Images      *Images
	Attachments []Attachment
	// Notes are short warnings above the text, such as a message too big to show.
	Notes []string
	// Insight is what the message says besides its text.
	Insight Insight
}

// Person is a decoded address.
type Person struct {
	Name, Address string
}

// Frame is the sandboxed document of the HTML part.
type Frame struct {
	// Src is the frame's path, see FrameURL.
	Src string
}

// Images says what the frame held back.
type Images struct {
	Blocked, Trackers int
	// Show is the link that shows the images of this message.
	Show string
}

// Attachment is one tile.
type Attachment struct {
	Name string
	// Type is the content type, lower case.
	Type string
	// Size is the decoded size in bytes, 0 when not known.
	Size int64
	Href string
}

// HeadersPage lists all header fields of a message.
type HeadersPage struct {
	Shell
	Mailbox string
	UID     uint32
	Subject string
	Fields  []HeaderField
}

// HeaderField is one field as received, unfolded and decoded.
type HeaderField struct {
	Name, Value string
}

// SourcePage shows the raw source.
type SourcePage struct {
	Shell
	Mailbox string
	UID     uint32
	Subject string
	// Source is the beginning of the message, made valid UTF-8 by the handler.
	Source string
	// Cut tells that Source is not all; the download is.
	Cut bool
	// Size is the whole message in bytes.
	Size int64
}
