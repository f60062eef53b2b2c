package store

import (
	"context"
	"math"
	"strconv"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// encoded lends memory for a document on its way to the driver, which copies it.
var encoded = sync.Pool{New: func() any { return new([]byte) }}

// maxEncoded bounds what is lent again.
const maxEncoded = 1 << 20

// insertEncoded inserts a document that is encoded here.
func insertEncoded(ctx context.Context, c *mongo.Collection, d bson.D) error {
	room, _ := encoded.Get().(*[]byte)
	raw, err := encode((*room)[:0], d)
	if err == nil {
		_, err = c.InsertOne(ctx, bson.Raw(raw))
	}
	if cap(raw) <= maxEncoded {
		*room = raw
		encoded.Put(room)
	}
	return err
}

// encode appends a document as bson.Marshal writes it, in one pass, without the
// driver's look-up of a codec for each value. Values of types that the store
// does not write often go to the driver.
func encode(b []byte, d bson.D) (_ []byte, err error) {
	at, b := bsoncore.ReserveLength(b)
	for i := range d {
		if b, err = appendElement(b, d[i].Key, d[i].Value); err != nil {
			return nil, err
		}
	}
	return bsoncore.UpdateLength(append(b, 0), at, int32(len(b)+1-int(at))), nil //nolint:gosec // far below 2 GiB
}

func encodeArray(b []byte, list bson.A) (_ []byte, err error) {
	at, b := bsoncore.ReserveLength(b)
	for i := range list {
		if b, err = appendElement(b, strconv.Itoa(i), list[i]); err != nil {
			return nil, err
		}
	}
	return bsoncore.UpdateLength(append(b, 0), at, int32(len(b)+1-int(at))), nil //nolint:gosec // far below 2 GiB
}

func appendElement(b []byte, name string, v any) ([]byte, error) {
	head := func(t bson.Type) []byte { return bsoncore.AppendHeader(b, bsoncore.Type(t), name) }
	switch v := v.(type) {
	case bson.D:
		if v == nil {
			return head(bson.TypeNull), nil
		}
		return encode(head(bson.TypeEmbeddedDocument), v)
	case bson.A:
		if v == nil {
			return head(bson.TypeNull), nil
		}
		return encodeArray(head(bson.TypeArray), v)
	case string:
		return bsoncore.AppendString(head(bson.TypeString), v), nil
	case bool:
		return bsoncore.AppendBoolean(head(bson.TypeBoolean), v), nil
	case int:
		if v < math.MinInt32 || v > math.MaxInt32 {
			return bsoncore.AppendInt64(head(bson.TypeInt64), int64(v)), nil
		}
		return bsoncore.AppendInt32(head(bson.TypeInt32), int32(v)), nil
	case int32:
		return bsoncore.AppendInt32(head(bson.TypeInt32), v), nil
	case int64:
		return bsoncore.AppendInt64(head(bson.TypeInt64), v), nil
	case float64:
		return bsoncore.AppendDouble(head(bson.TypeDouble), v), nil
	case time.Time:
		return bsoncore.AppendDateTime(head(bson.TypeDateTime), v.UnixMilli()), nil
	case bson.ObjectID:
		return append(head(bson.TypeObjectID), v[:]...), nil
	case bson.Binary:
		return bsoncore.AppendBinary(head(bson.TypeBinary), v.Subtype, v.Data), nil
	case nil:
		return head(bson.TypeNull), nil
	}
	t, data, err := bson.MarshalValue(v)
	if err != nil {
		return nil, err
	}
	return append(head(t), data...), nil
}
