package rtf

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// ErrFormat says that the text is not compressed RTF, or breaks off, or its check sum is
// wrong. What could be decompressed is given all the same.
var ErrFormat = errors.New("rtf: malformed compressed text")

// The header of MS-OXRTFCP 2.1.3.1: four numbers of 32 bits.
const (
	headerSize  = 16
	kindPacked  = 0x75465a4c // LZFu
	kindPlain   = 0x414c454d // MELA
	windowSize  = 4096
	longest     = 17
	windowStart = "{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans Serif" +
		"SymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)

// Decompress undoes the compression of PidTagRtfCompressed (MS-OXRTFCP). It gives
// at most limit bytes; more are ErrFormat.
func Decompress(b []byte, limit int) ([]byte, error) {
	if len(b) < headerSize {
		return nil, ErrFormat
	}
	packed, size := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	kind, sum := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
	whole := int64(packed) <= int64(len(b))-4 && int64(packed) >= headerSize-4
	if whole {
		b = b[:packed+4]
	}
	b = b[headerSize:]
	switch {
	case kind == kindPlain:
		n := min(len(b), limit, int(min(size, 1<<30)))
		return b[:n], orFormat(whole && n == int(size))
	case kind != kindPacked:
		return nil, ErrFormat
	}
	// Eight references of 17 bytes are the most that 17 bytes stand for.
	out, ended := unpack(make([]byte, 0, min(limit, int(min(size, 1<<30)), len(b)*8+longest)), b, limit)
	// MS-OXRTFCP 2.1.3.2: a CRC that begins with zero and is not inverted.
	return out, orFormat(whole && ended && ^crc32.Update(^uint32(0), crc32.IEEETable, b) == sum)
}

func orFormat(ok bool) error {
	if ok {
		return nil
	}
	return ErrFormat
}

// unpack reads runs: a byte whose bits say what each of the next eight tokens
// is, a byte as it stands or a reference into the last 4,096 bytes.
func unpack(out, b []byte, limit int) (all []byte, ended bool) {
	var window [windowSize]byte
	at := copy(window[:], windowStart)
	for len(b) > 0 {
		control := b[0]
		b = b[1:]
		for range 8 {
			if control&1 == 0 {
				if len(b) == 0 || len(out) >= limit {
					return out, false
				}
				window[at] = b[0]
				out, b, at = append(out, b[0]), b[1:], (at+1)%windowSize
			} else {
				if len(b) < 2 {
					return out, false
				}
				reference := int(binary.BigEndian.Uint16(b))
				b = b[2:]
				from, n := reference>>4, reference&0xf+2
				if from == at {
					return out, true // the end
				}
				if len(out)+n > limit {
					return out, false
				}
				for range n {
					window[at] = window[from]
					out, at, from = append(out, window[at]), (at+1)%windowSize, (from+1)%windowSize
				}
			}
			control >>= 1
		}
	}
	return out, false
}
