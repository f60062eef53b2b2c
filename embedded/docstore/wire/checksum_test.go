package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A message with a checksum is taken when it fits, and refused when any byte of
// it is another.
func TestChecksum(t *testing.T) {
	doc, err := bson.Marshal(bson.D{{Key: "ping", Value: 1}, {Key: "$db", Value: "d"}})
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for _, n := range []int{headerSize + 5 + len(doc) + 4, 7, 0, opMsg, flagChecksum} {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	b = append(append(b, 0), doc...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	m, err := Read(bytes.NewReader(b))
	if err != nil || !bytes.Equal(m.Body, doc) {
		t.Fatalf("%v, %v", m, err)
	}
	for i := 4; i < len(b); i++ { // but the length, which is looked at before
		bad := bytes.Clone(b)
		bad[i] ^= 0x40
		if _, err := Read(bytes.NewReader(bad)); !errors.Is(err, ErrMessage) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	binary.LittleEndian.PutUint32(b, headerSize+4)
	if _, err := Read(bytes.NewReader(b)); !errors.Is(err, ErrMessage) {
		t.Errorf("no room for a checksum: %v", err)
	}
}
