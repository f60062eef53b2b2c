package message

// Bounds on analysis. Beyond one of them bytes are kept and analysis stops,
// with an entry in Defects. Together they keep the tree of the worst message
// inside one database document of 16 MiB.
const (
	// maxDepth is how deep multiparts and messages nest.
	maxDepth = 100
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
	// rule), maxInlineAll what all of them may come to.
	maxInline    = 300 << 10
	maxInlineAll = 3 << 20
	// maxPreamble is how long the text before the first boundary may be.
	maxPreamble = 64 << 10
	// maxPatch is how long a patch may get before the structure is given up.
	maxPatch = 512 << 10
	// maxAddresses is per header field, maxParams per value.
	maxAddresses = 2000
	maxParams    = 100
	// maxBoundary is generous: RFC 2046 5.1.1 allows 70.
	maxBoundary = 512
	// maxSniffs is how often a boundary is looked for where none is declared.
	maxSniffs = 4
	// maxText is how much text is extracted, maxHTML how long a part of HTML
	// is converted to text (WildDuck's bound).
	maxText = 4 << 20
	maxHTML = 2 << 20
)
