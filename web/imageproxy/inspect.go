package imageproxy

import (
	"bytes"
	"encoding/binary"
	"image/gif"
	"image/jpeg"
	"image/png"
)

// inspect tells the type of an image by its content and checks its
// dimensions, which are read without decoding a pixel. SVG is a document, not
// an image in this sense, and is refused with everything else.
func inspect(data []byte) (kind string, err error) {
	kind, width, height := dimensions(data)
	switch {
	case kind == "":
		return "", refusef("not an image of a known type")
	case width <= 0 || height <= 0:
		return "", refusef("%s without dimensions", kind)
	case width > MaxPixels || height > MaxPixels:
		return "", refusef("%s of %d x %d", kind, width, height)
	}
	return kind, nil
}

func dimensions(b []byte) (kind string, width, height int) {
	switch {
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		if c, err := png.DecodeConfig(bytes.NewReader(b)); err == nil {
			return "image/png", c.Width, c.Height
		}
		return "image/png", 0, 0
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		if c, err := jpeg.DecodeConfig(bytes.NewReader(b)); err == nil {
			return "image/jpeg", c.Width, c.Height
		}
		return "image/jpeg", 0, 0
	case bytes.HasPrefix(b, []byte("GIF87a")), bytes.HasPrefix(b, []byte("GIF89a")):
		if c, err := gif.DecodeConfig(bytes.NewReader(b)); err == nil {
			return "image/gif", c.Width, c.Height
		}
		return "image/gif", 0, 0
	case len(b) >= 30 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		width, height = webpSize(b)
		return "image/webp", width, height
	case isAVIF(b):
		width, height = avifSize(b)
		return "image/avif", width, height
	}
	return "", 0, 0
}

// webpSize reads the first chunk (RFC 9649 2.5 to 2.7). b has 30 bytes.
func webpSize(b []byte) (width, height int) {
	body := b[20:]
	switch string(b[12:16]) {
	case "VP8X":
		return 1 + uint24(body[4:]), 1 + uint24(body[7:])
	case "VP8 ":
		// RFC 6386 9.1: a key frame, its start code, 14 bits each.
		if body[0]&1 != 0 || !bytes.Equal(body[3:6], []byte{0x9d, 0x01, 0x2a}) {
			return 0, 0
		}
		return int(binary.LittleEndian.Uint16(body[6:]) & 0x3fff), int(binary.LittleEndian.Uint16(body[8:]) & 0x3fff)
	case "VP8L":
		if body[0] != 0x2f {
			return 0, 0
		}
		bits := binary.LittleEndian.Uint32(body[1:])
		return 1 + int(bits&0x3fff), 1 + int(bits>>14&0x3fff)
	}
	return 0, 0
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// isAVIF looks for the brand in the file type box (ISO/IEC 14496-12 4.3).
func isAVIF(b []byte) bool {
	if len(b) < 16 || string(b[4:8]) != "ftyp" {
		return false
	}
	end := min(uint64(binary.BigEndian.Uint32(b)), uint64(len(b)))
	for i := uint64(8); i+4 <= end; i += 4 {
		if i == 12 {
			continue // the minor version
		}
		if brand := string(b[i : i+4]); brand == "avif" || brand == "avis" {
			return true
		}
	}
	return false
}

// avifSize gives the greatest of the image spatial extents (ISO/IEC 23008-12
// 6.5.3), which lie in meta, iprp, ipco.
func avifSize(b []byte) (width, height int) {
	walkBoxes(b, func(name string, meta []byte) {
		if name != "meta" || len(meta) < 4 {
			return
		}
		walkBoxes(meta[4:], func(name string, iprp []byte) {
			if name != "iprp" {
				return
			}
			walkBoxes(iprp, func(name string, ipco []byte) {
				if name != "ipco" {
					return
				}
				walkBoxes(ipco, func(name string, ispe []byte) {
					if name == "ispe" && len(ispe) >= 12 {
						width = max(width, int(binary.BigEndian.Uint32(ispe[4:])))
						height = max(height, int(binary.BigEndian.Uint32(ispe[8:])))
					}
				})
			})
		})
	})
	return width, height
}

// walkBoxes calls visit for each box, with its content.
func walkBoxes(b []byte, visit func(name string, body []byte)) {
	for len(b) >= 8 {
		size, head := uint64(binary.BigEndian.Uint32(b)), uint64(8)
		switch {
		case size == 0:
			size = uint64(len(b))
		case size == 1 && len(b) >= 16:
			size, head = binary.BigEndian.Uint64(b[8:]), 16
		}
		if size < head || size > uint64(len(b)) {
			return
		}
		visit(string(b[4:8]), b[head:size])
		b = b[size:]
	}
}
