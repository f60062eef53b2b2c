package store

import (
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/search"
)

// Search asks for one page of an account's messages that meet a query, newest
// first.
type Search struct {
	User  mail.ID
	Query search.Query
	// Limit is rows, 0 for 50, at most MaxPage.
	Limit int
	// Before asks for rows older than the key, After for rows newer than it (the
	// ones next to it). At most one is set; neither asks for the newest.
	Before, After *SearchKey
	// OldestFirst turns the order of the whole listing round.
	OldestFirst bool
	// Count asks for Total.
	Count bool
	// ThreadCounts fills Message.ThreadCount.
	ThreadCounts bool
}

// SearchKey is a position in a search: all messages of an account are ordered by
// internal date, then by the id of their first storing, then by their own.
type SearchKey struct {
	Date     time.Time
	Root, ID mail.ID
}

// Found is one page of a search.
type Found struct {
	Messages []mail.Message
	// Older and Newer ask for the rows on either side, nil where there are none.
	// A page may have fewer rows than asked for, even none, and still have a
	// side: one call looks at a bounded number of messages (SearchThrough).
	Older, Newer *SearchKey
	// Total is how many messages there are, where it was asked for; Estimated tells
	// that these are too many to be counted in one call.
	Total     int
	Estimated bool
	// Calls is how many calls it took (SearchThrough).
	Calls int
	// Indexing: messages that others wrote are still being added to the index,
	// so that more may be found later.
	Indexing bool
}
