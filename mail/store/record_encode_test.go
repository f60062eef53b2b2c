package store

import (
	"bytes"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/eidermail/eider/mail"
)

// values draws what documents of the store hold.
func values(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		most := 13
		if depth == 0 {
			most = 10
		}
		switch rapid.IntRange(0, most).Draw(t, "kind") {
		case 0:
			return rapid.String().Draw(t, "text")
		case 1:
			return rapid.Bool().Draw(t, "bool")
		case 2:
			return rapid.Int().Draw(t, "int")
		case 3:
			return rapid.Int32().Draw(t, "int32")
		case 4:
			return rapid.Int64().Draw(t, "int64")
		case 5:
			return rapid.Float64().Draw(t, "double")
		case 6:
			return time.UnixMilli(rapid.Int64Range(-1<<40, 1<<45).Draw(t, "time")).Add(time.Microsecond)
		case 7:
			return bson.NewObjectID()
		case 8:
			return bson.Binary{Subtype: rapid.SampledFrom([]byte{0, 2, 4}).Draw(t, "subtype"), Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data")}
		case 9:
			return nil
		case 10: // what goes to the driver
			return rapid.SampledFrom([]any{
				mail.FlagSeen,
				[]string{"a"},
				[]byte("b"),
				bson.Regex{Pattern: "x"},
				draftRecord{Key: "k"},
				[]bson.ObjectID{{}},
				bson.D(nil), bson.A(nil),
			}).Draw(t, "other")
		case 11:
			return bson.A(rapid.SliceOfN(values(depth-1), 0, 12).Draw(t, "list"))
		}
		return documents(depth-1).Draw(t, "document")
	})
}

func documents(depth int) *rapid.Generator[bson.D] {
	return rapid.Custom(func(t *rapid.T) bson.D {
		d := bson.D{}
		for _, name := range rapid.SliceOfN(rapid.StringMatching(`[a-z$.é]{0,8}`), 0, 8).Draw(t, "names") {
			d = append(d, bson.E{Key: name, Value: values(depth).Draw(t, "value")})
		}
		return d
	})
}

// The store's own encoder writes what the driver's does, byte for byte.
func TestEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := documents(3).Draw(t, "document")
		want, err := bson.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := encode(nil, d)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%v:\n got %x\nwant %x", d, got, want)
		}
	})
	for _, v := range []any{make(chan int), bson.D{{Key: "x", Value: func() {}}}, bson.A{func() {}}} {
		if _, err := encode(nil, bson.D{{Key: "v", Value: v}}); err == nil {
			t.Errorf("%T has a form", v)
		}
	}
}
