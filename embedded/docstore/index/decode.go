package index

import (
	"encoding/binary"
	"math"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A hint says what the encoding of one field of a key has lost. An entry whose
// hints are all Plain needs none.
const (
	hintPlain   = 0 // int32, string, or a type that loses nothing
	hintInt64   = 1
	hintDouble  = 2
	hintMissing = 3
	hintLost    = 4 // the document has to be read
)

// hint says how to give back a value from its encoding.
func hint(t bson.Type, b []byte, missing bool) byte {
	switch t {
	case bson.TypeInt32, bson.TypeString, bson.TypeObjectID, bson.TypeBoolean, bson.TypeDateTime, bson.TypeBinary:
		return hintPlain
	case bson.TypeInt64:
		return hintInt64
	case bson.TypeDouble:
		if b[7]&0x80 != 0 && b[7]&0x7F == 0 && b[6] == 0 { // -0.0
			return hintLost
		}
		return hintDouble
	case bson.TypeNull:
		if missing {
			return hintMissing
		}
		return hintPlain
	default:
		return hintLost
	}
}

// Decode gives back the values of a key with n fields. ok is false when the key
// does not hold them all. A missing field comes as the zero value.
func Decode(key []byte, fields []Field, hints []byte) (values []bson.RawValue, ok bool) {
	values = make([]bson.RawValue, len(fields))
	for i, f := range fields {
		h := byte(hintPlain)
		if i < len(hints) {
			h = hints[i]
		}
		if h == hintLost {
			return nil, false
		}
		flip := byte(0)
		if f.Descending {
			flip = 0xFF
		}
		v, n := decodeValue(key, flip, h)
		if n == 0 {
			return nil, false
		}
		values[i], key = v, key[n:]
	}
	return values, true
}

// decodeValue reads one encoding; n is its length, 0 if it cannot be given back.
func decodeValue(key []byte, flip, h byte) (v bson.RawValue, n int) {
	if len(key) == 0 {
		return v, 0
	}
	switch key[0] ^ flip {
	case tagNull:
		if h == hintMissing {
			return v, 1
		}
		return bson.RawValue{Type: bson.TypeNull}, 1
	case tagBool:
		return bson.RawValue{Type: bson.TypeBoolean, Value: []byte{key[1] ^ flip}}, 2
	case tagObjectID:
		return bson.RawValue{Type: bson.TypeObjectID, Value: flipped(key[1:13], flip)}, 13
	case tagDate:
		u := binary.BigEndian.Uint64(flipped(key[1:9], flip)) ^ (1 << 63)
		return bson.RawValue{Type: bson.TypeDateTime, Value: binary.LittleEndian.AppendUint64(nil, u)}, 9
	case tagString:
		return decodeString(key, flip)
	case tagBinary:
		size := int(binary.BigEndian.Uint32(flipped(key[1:5], flip)))
		b := binary.LittleEndian.AppendUint32(make([]byte, 0, size+5), uint32(size)) //nolint:gosec // read from four bytes
		return bson.RawValue{Type: bson.TypeBinary, Value: append(b, flipped(key[5:6+size], flip)...)}, 6 + size
	case tagZero, tagNegative, tagPositive:
		return decodeNumber(key, flip, h)
	default:
		return v, 0
	}
}

func flipped(b []byte, flip byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = c ^ flip
	}
	return out
}

func decodeString(key []byte, flip byte) (bson.RawValue, int) {
	out := make([]byte, 4, len(key)+4)
	i := 1
	for ; i+1 < len(key); i++ {
		c := key[i] ^ flip
		if c == 0 {
			i++
			if key[i]^flip == stringEnd {
				i++
				break
			}
		}
		out = append(out, c)
	}
	out = append(out, 0)
	binary.LittleEndian.PutUint32(out, uint32(len(out)-4)) //nolint:gosec // a document is at most 48 MB
	return bson.RawValue{Type: bson.TypeString, Value: out}, i
}

func decodeNumber(key []byte, flip, h byte) (bson.RawValue, int) {
	tag := key[0] ^ flip
	if tag == tagZero {
		return number("0", h), 1
	}
	inner := flip
	text := make([]byte, 0, 32)
	if tag == tagNegative {
		inner ^= 0xFF
		text = append(text, '-')
	}
	exp := int(uint16(key[1]^inner)<<8|uint16(key[2]^inner)) - exponentBias
	digits := 0
	i := 3
	for ; key[i]^inner != 0; i++ {
		pair := key[i] ^ inner - 1
		text = append(text, '0'+pair/10, '0'+pair%10)
		digits += 2
	}
	i++
	if h == hintDouble {
		text = append(text, 'e')
		text = strconv.AppendInt(text, int64(exp-digits), 10)
		return number(string(text), h), i
	}
	for ; digits < exp; digits++ {
		text = append(text, '0')
	}
	return number(string(text[:len(text)-(digits-exp)]), h), i
}

func number(text string, h byte) bson.RawValue {
	if h == hintDouble {
		f, _ := strconv.ParseFloat(text, 64)
		return bson.RawValue{Type: bson.TypeDouble, Value: floatBytes(f)}
	}
	i, _ := strconv.ParseInt(text, 10, 64)
	if h == hintInt64 {
		return bson.RawValue{Type: bson.TypeInt64, Value: binary.LittleEndian.AppendUint64(nil, uint64(i))} //nolint:gosec // two's complement
	}
	return bson.RawValue{Type: bson.TypeInt32, Value: binary.LittleEndian.AppendUint32(nil, uint32(int32(i)))} //nolint:gosec // it was an int32
}

func floatBytes(f float64) []byte {
	return binary.LittleEndian.AppendUint64(nil, math.Float64bits(f))
}
