package templates

import "time"

// Mailbox is the page of a message list, with a message open or not. It has
// three panes on a desktop, one on a phone.
type Mailbox struct {
	Shell
	List List
	// Reader is the open message, nil for none.
	Reader *Reader
}

// List is a page of at most 50 rows.
type List struct {
	// Mailbox is the id used in links and forms: POST MailboxURL(Mailbox).
	Mailbox string
	// Name and Use are as in Folder.
	Name, Use string
	// Total and Unseen count the whole mailbox.
	Total, Unseen int
	// Rows are newest first.
	Rows []Row
	// Newer and Older are links of keyset paging, empty at the ends.
	Newer, Older string
	// Here is this page's own path and query: the field "back" of its forms.
	Here string
	// Filter is "", unread, starred or attachments; its links are MailboxURL(Mailbox)?filter=….
	Filter string
	// Query is the search that made the list, empty for none. Search is set on
	// the page of a search, also before anything was asked.
	Query  string
	Search *Search
	// MoveTo are the folders of the move list, without this one.
	MoveTo []Target
	// SelectAll checks every row, for ?select=all without script.
	SelectAll bool
}

// Target is a folder to move to.
type Target struct {
	// ID is the mailbox id, the value of field "to".
	ID string
	// Name and Use are as in Folder; for nested folders Name is the whole path.
	Name, Use string
}

// Row is one message in a list.
type Row struct {
	// Mailbox and UID name the message; the row's element id is "m-" + Ref(Mailbox, UID).
	Mailbox string
	UID     uint32
	// Href is MessageURL, with the list's own paging kept in its query.
	Href string
	// Name is the sender's name (in Sent and Drafts the first recipient's), Address the address.
	Name, Address string
	// Draft shows the word "Draft" after the name.
	Draft          bool
	Subject, Intro string
	// SubjectParts and IntroParts are the same texts with what was searched for
	// marked; nil for nothing marked.
	SubjectParts, IntroParts []Part
	// Count is messages in the conversation; shown from 2.
	Count                        int
	Unread, Starred, Attachments bool
	// Date is when it arrived.
	Date time.Time
	// Order sorts as text as the rows of a mailbox sort, the newest greatest: what
	// arrives while the list is shown finds its place by it.
	Order string
	// Open marks the message shown in the reader.
	Open bool
}

// Part is a piece of a text; a Hit is what was searched for.
type Part struct {
	Text string
	Hit  bool
}

// Search is what the head of a page of results shows.
type Search struct {
	// Folder and Use name the folder that can be searched alone, as in Folder;
	// InFolder tells that it is. FolderURL and AllURL ask for either.
	Folder, Use       string
	InFolder          bool
	FolderURL, AllURL string
	// Box is the folder's id, kept in the form; In is the same where it is searched alone.
	Box, In string
	// Indexing tells that more may be found later.
	Indexing bool
}
