// Package message reads, keeps and writes Internet messages.
//
// Parse analyses a message once into the MIME tree that the database holds
// (WildDuck's fields and types) and never fails: broken mail degrades to a
// tree with an entry in Defects. Rebuild gives back exactly the bytes that
// Parse was given. SectionReader serves the sections of IMAP FETCH BODY[].
// Build composes correct messages.
//
// RFC 5322 (messages), 2045 to 2049 (MIME), 2047 (encoded words), 2231
// (parameters), 6532 (UTF-8 headers), 2183 (disposition), 2387 (related),
// 3676 (format=flowed), 9051 (ENVELOPE, BODYSTRUCTURE, sections).
//
// Everything here is bounded and linear in the size of its input: a stranger
// chooses that input.
package message

import (
	"errors"
	"io"
	"time"
)

// Message is one analysed message. It keeps references into the raw bytes it
// was parsed from; those bytes must not change while it is in use.
type Message struct {
	// Root is the MIME tree.
	Root *Node
	// Size is the message's length in bytes as received.
	Size int64
	// Patch is what WildDuck's fields cannot express, in a form of our own
	// (see patch.go); nil for an ordinary message. Rebuild needs it.
	Patch []byte
	// Headers are the indexed headers, decoded, lower case.
	Headers []HeaderField
	// Subject is decoded, with white space collapsed.
	Subject string
	// MessageID is the Message-ID header with its angle brackets, or "".
	MessageID string
	// Date is the last usable Date header, zero when there is none.
	Date time.Time

	From, Sender, ReplyTo, To, Cc, Bcc []Address

	// InReplyTo is the header's first identifier with angle brackets, or "".
	InReplyTo string
	// References are the identifiers of the References header, with angle
	// brackets, oldest first.
	References []string
	// ThreadRefs are the reference keys of threading, at most 10.
	ThreadRefs []string
	// ThreadSubject is the normalised subject of threading.
	ThreadSubject string

	// Text is the whole readable text. The store cuts it to its limits.
	Text string
	// HTML has one entry per part. Links cid:x to a stored part read
	// attachment:ATTnnnnn.
	HTML []string
	// Intro is the preview, at most 250 characters.
	Intro string

	Attachments []Attachment
	// HasAttachments: some attachment is not merely related to the HTML.
	HasAttachments bool
	// ContentType is the root's, lower case.
	ContentType string
	// Defects say what is wrong with the message, for the reader and the spam
	// filter; each code once, in order of finding.
	Defects []Defect

	// stored are the parts with a number, in order.
	stored []*Node
}

// HeaderField is one header field: its name and its value.
type HeaderField struct {
	Key, Value string
}

// Address is a mailbox or a group. A group has Group set (not nil) and no
// Address.
type Address struct {
	// Name is the display name or the group's name.
	Name string
	// Address is local-part@domain as written.
	Address string
	// Group has the members, nil for a mailbox.
	Group []Address
}

// ContentValue is a Content-Type or Content-Disposition value.
type ContentValue struct {
	// Value is the media type or disposition as written ("Text/Plain").
	Value string
	// Type and Subtype are its halves, lower case. A disposition has no Subtype.
	Type, Subtype string
	// Params are in order of appearance, keys lower case. An RFC 2231 value
	// has become encoded words.
	Params []Param
	// HasParams: the header had at least one parameter.
	HasParams bool
}

// Param is one parameter.
type Param struct {
	Key, Value string
}

// Param gives the first parameter with the key (lower case), or "".
func (v *ContentValue) Param(key string) string {
	if v == nil {
		return ""
	}
	for i := range v.Params {
		if v.Params[i].Key == key {
			return v.Params[i].Value
		}
	}
	return ""
}

// FullType is type/subtype in lower case.
func (v *ContentValue) FullType() string {
	if v == nil {
		return ""
	}
	if v.Subtype == "" {
		return v.Type
	}
	return v.Type + "/" + v.Subtype
}

// ParsedField is one key of a ParsedHeader. Value is exactly one of string,
// []string, *ContentValue, []Address (names still encoded).
type ParsedField struct {
	Key   string
	Value any
}

// ParsedHeader is WildDuck's parsedHeader: keys in lower case, in order of
// first appearance.
type ParsedHeader []ParsedField

// Attachment is a part that is listed to the reader.
type Attachment struct {
	// ID is ATTnnnnn, for a file inside a part the part's name and a number.
	ID string
	// Inside: the file is not a part but inside one, in TNEF or uuencode.
	// OpenInside opens it. Size is then the decoded length, Hash is empty.
	Inside bool
	// Filename is decoded and safe to show: no path, no control characters.
	Filename    string
	ContentType string
	// Detected is the type that the content shows when ContentType is too
	// general or wrong, else "".
	Detected string
	// Disposition is lower case; "" when the part has none.
	Disposition      string
	TransferEncoding string
	// ContentID is with angle brackets, or "".
	ContentID string
	// Related: the part is inside multipart/related.
	Related bool
	// Size is the encoded length in bytes, SizeKb about the decoded one in KiB.
	Size   int64
	SizeKb int
	// Hash is the SHA-256 of the encoded body: the key of attachment storage.
	Hash [32]byte
}

// Opener opens count bytes of the encoded body of a part in attachment
// storage from an offset on, or all that follows when count is negative. The
// part may end before.
type Opener func(attachmentID string, from, count int64) (io.ReadCloser, error)

// Errors of this package. Callers wrap them into the domain's error.
var (
	// ErrSection: the message has no such section.
	ErrSection = errors.New("message: no such section")
	// ErrCompose: a value cannot be put into a message.
	ErrCompose = errors.New("message: cannot compose")
	// ErrCorrupt: the tree and its patch do not belong together.
	ErrCorrupt = errors.New("message: tree and patch do not match")
)
