package message

import "strings"

// Parts calls f for the node and every node below it, also in a message that is
// an attachment.
func (n *Node) Parts(f func(*Node)) {
	f(n)
	for _, c := range n.Children {
		c.Parts(f)
	}
	if n.Message != nil {
		n.Message.Parts(f)
	}
}

// MediaType is type/subtype, lower case; text/plain where the part has none
// (RFC 2045 5.2).
func (n *Node) MediaType() string { return n.mediaType() }

// DecodeText makes readable text of a text part's body, which is given as it
// stands in the message.
func (n *Node) DecodeText(body []byte) string {
	text, _ := decodeCharset(decodeBytes(body, n.TransferEncoding()), DecodeHeader(n.ContentType().Param("charset")))
	if strings.IndexByte(text, 0) >= 0 {
		text = strings.ReplaceAll(text, "\x00", "")
	}
	if n.mediaType() == "text/html" {
		return HTMLToText(text)
	}
	return text
}
