package message

// Bounds on analysis. Beyond one of them bytes are kept and analysis stops,
// with an entry in Defects. Together they keep the tree of the worst message
// inside one database document of 16 MiB.
const (
	// maxDepth is how deep multiparts and messages nest. Each level takes two of
	// a database document's 200.
	maxDepth = 90
	// maxMessages is how many message/rfc822 are opened inside one another.
	// Each one's body is stored beside those of its parts, so it is small.
	maxMessages = 6
	// maxParts is the number of parts in all.
	maxParts = 1000
	// maxHeader is the length of one part's header, maxHeaders that of all.
	maxHeader  = 256 << 10
	maxHeaders = 768 << 10
	// maxHeaderLines counts fields in all parts.
	maxHeaderLines = 10_000
	// maxInline is how long an inline text stays in the tree (WildDuck's
	// rule), maxInlineAll what all of them may come to; the rest is stored like
	// an attachment.
	maxInline    = 300 << 10
	maxInlineAll = 1 << 20
	// maxPreamble is how long the text before the first boundary may be,
	// maxPreambles what all of them may come to.
	maxPreamble  = 64 << 10
	maxPreambles = 256 << 10
	// maxPatch is how long a patch may get before the structure is given up.
	maxPatch = 512 << 10
	// maxAddresses is per header field, maxParams per value.
	maxAddresses = 2000
	maxParams    = 100
	// maxRawValue is how much of a value of raw bytes is analysed.
	maxRawValue = 64 << 10
	// maxWords is words in one address, and encoded words that are decoded in
	// one value.
	maxWords = 500
	// maxBoundary is generous: RFC 2046 5.1.1 allows 70.
	maxBoundary = 512
	// maxSniffs is how often a boundary is looked for where none is declared.
	maxSniffs = 4
	// maxText is how much text is extracted of all parts: what the database
	// keeps of HTML, and more than it keeps of text; maxEncoded how much of a part is decoded for it, maxHTML how much
	// HTML of a part is made text, maxIntroHTML how much for the intro.
	maxText      = 640 << 10
	maxEncoded   = 2 << 20
	maxHTML      = 512 << 10
	maxIntroHTML = 256 << 10
)
