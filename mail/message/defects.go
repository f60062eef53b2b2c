package message

import "slices"

// Defect is a stable code for one kind of thing that is wrong with a message.
// The reader gets a notice and the spam filter a feature; nothing is refused
// because of it. docs/defects.md says what each means.
type Defect string

// The defects. A code is never given another meaning.
const (
	defectDepth         Defect = "nested-too-deep"
	defectParts         Defect = "too-many-parts"
	defectHeader        Defect = "header-too-long"
	defectPreamble      Defect = "preamble-too-long"
	defectGivenUp       Defect = "structure-given-up"
	defectNoBlank       Defect = "no-blank-line"
	defectNoBoundary    Defect = "boundary-missing"
	defectWrong         Defect = "boundary-wrong"
	defectSameBoundary  Defect = "boundary-reused"
	defectNoClose       Defect = "boundary-not-closed"
	defectAfterClose    Defect = "parts-after-close"
	defectLineEnds      Defect = "bare-lf"
	defectBareCR        Defect = "bare-cr"
	defectNUL           Defect = "nul"
	defectNoDate        Defect = "date-missing"
	defectBadDate       Defect = "date-bad"
	defectNoFrom        Defect = "from-missing"
	defectManyFrom      Defect = "from-repeated"
	defectRawHeader     Defect = "header-8bit"
	defectDirt          Defect = "header-dirt"
	defectRepeated      Defect = "header-repeated"
	defectEncodedWord   Defect = "encoded-word-bad"
	defectContentType   Defect = "content-type-bad"
	defectManyTypes     Defect = "content-type-repeated"
	defectEncoding      Defect = "transfer-encoding-unknown"
	defectCharset       Defect = "charset-wrong"
	defectNoCharset     Defect = "charset-missing"
	defectBase64        Defect = "base64-bad"
	defectBase64Cut     Defect = "base64-cut"
	defectQP            Defect = "quoted-printable-bad"
	defectAddresses     Defect = "too-many-addresses"
	defectParams        Defect = "too-many-parameters"
	defectEncodedPart   Defect = "encoded-multipart"
	defectText          Defect = "text-too-long"
	defectFilename      Defect = "filename-dangerous"
	defectDisguised     Defect = "attachment-disguised"
	defectDirection     Defect = "direction-override"
	defectNameIsAddress Defect = "from-name-address"
	defectTNEF          Defect = "tnef-bad"
	defectUuencode      Defect = "uuencode-bad"
)

// KnownDefects lists all codes.
func KnownDefects() []Defect {
	return []Defect{
		defectDepth, defectParts, defectHeader, defectPreamble, defectGivenUp, defectNoBlank, defectNoBoundary, defectWrong,
		defectSameBoundary, defectNoClose, defectAfterClose, defectLineEnds, defectBareCR, defectNUL, defectNoDate, defectBadDate,
		defectNoFrom, defectManyFrom, defectRawHeader, defectDirt, defectRepeated, defectEncodedWord, defectContentType,
		defectManyTypes, defectEncoding, defectCharset, defectNoCharset, defectBase64, defectBase64Cut, defectQP, defectAddresses,
		defectParams, defectEncodedPart, defectText, defectFilename, defectDisguised, defectDirection, defectNameIsAddress, defectTNEF, defectUuencode,
	}
}

// defects is a small set in order of finding.
type defects []Defect

func (d *defects) add(code Defect) {
	if !slices.Contains(*d, code) {
		*d = append(*d, code)
	}
}
