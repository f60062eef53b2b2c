package store

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
)

// ENVELOPE and BODYSTRUCTURE are kept as IMAP writes them, in eider.wire of the
// message: {v: version, e: envelope, b: body structure}. They follow from what
// never changes of a message, so WildDuck may move and copy it; only another
// version makes them stale.
const (
	// maxWire bounds either, in bytes. What is longer is made at each reading.
	maxWire = 64 << 10
	// maxWires is how many messages one call of Wires reads.
	maxWires = 1000
	// wireBatch is how many whole trees are held where there is nothing to read.
	wireBatch = 25
)

// Wire is what FETCH sends of a message without looking into it.
type Wire struct {
	UID                     mail.UID
	Envelope, BodyStructure []byte
}

func newWire(root *message.Node) Wire {
	return Wire{Envelope: root.AppendEnvelope(nil), BodyStructure: root.AppendBodyStructure(nil)}
}

// wireFields is eider.wire of a document, nothing for a message that is too
// long for it.
func wireFields(root *message.Node) bson.D {
	w := newWire(root)
	if doc := w.doc(); doc != nil {
		return bson.D{{Key: "wire", Value: doc}}
	}
	return nil
}

func (w *Wire) doc() bson.D {
	if len(w.Envelope) > maxWire || len(w.BodyStructure) > maxWire {
		return nil
	}
	return bson.D{
		{Key: "v", Value: message.WireVersion}, {Key: "e", Value: bson.Binary{Data: w.Envelope}}, {Key: "b", Value: bson.Binary{Data: w.BodyStructure}},
	}
}

// Wires reads ENVELOPE and BODYSTRUCTURE of a selection, at most 1,000, by
// rising UID; messages that are gone are left out. For messages that have none
// kept, such as WildDuck's, they are made, and kept.
func (s *Store) Wires(ctx context.Context, sel Selection) ([]Wire, error) {
	const op = "read envelopes"
	if len(sel.UIDs) > maxWires {
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "uids", Reason: "many"}
	}
	cur, err := s.messages.Find(ctx, key("mailbox", oid(sel.Mailbox), "uid", key("$in", uidArray(sel.UIDs)), "user", oid(sel.User)),
		options.Find().SetSort(key("uid", 1)).SetProjection(key("_id", 0, "uid", 1, "eider.wire", 1)).SetHint(indexUID))
	if err != nil {
		return nil, fail(op, err)
	}
	defer func() { _ = cur.Close(ctx) }()
	var out []Wire
	var lacking []mail.UID
	for cur.Next(ctx) {
		w := Wire{UID: mail.UID(rawNumber(cur.Current.Lookup("uid")))} //nolint:gosec // 32 bits by RFC
		if rawNumber(cur.Current.Lookup("eider", "wire", "v")) == message.WireVersion {
			w.Envelope = slices.Clone(rawBytes(cur.Current.Lookup("eider", "wire", "e")))
			w.BodyStructure = slices.Clone(rawBytes(cur.Current.Lookup("eider", "wire", "b")))
			out = append(out, w)
			continue
		}
		lacking = append(lacking, w.UID)
	}
	if err := cur.Err(); err != nil {
		return nil, fail(op, err)
	}
	for part := range slices.Chunk(lacking, wireBatch) {
		made, err := s.makeWires(ctx, sel, part)
		if err != nil {
			return nil, err
		}
		out = append(out, made...)
	}
	slices.SortFunc(out, func(a, b Wire) int { return int(a.UID) - int(b.UID) })
	return out, nil
}

// makeWires reads trees, and keeps what follows from them.
func (s *Store) makeWires(ctx context.Context, sel Selection, uids []mail.UID) ([]Wire, error) {
	const op = "make envelopes"
	cur, err := s.messages.Find(ctx, key("mailbox", oid(sel.Mailbox), "uid", key("$in", uidArray(uids)), "user", oid(sel.User)),
		options.Find().SetProjection(key("uid", 1, "mimeTree", 1)).SetHint(indexUID))
	if err != nil {
		return nil, fail(op, err)
	}
	defer func() { _ = cur.Close(ctx) }()
	var out []Wire
	var keep []mongo.WriteModel
	for cur.Next(ctx) {
		tree, ok := cur.Current.Lookup("mimeTree").DocumentOK()
		if !ok {
			return nil, &mail.Error{Code: mail.CodeInternal, Op: op, Err: errTree}
		}
		root, _, err := readTree(tree, 0)
		if err != nil {
			return nil, fail(op, err)
		}
		w := newWire(root)
		w.UID = mail.UID(rawNumber(cur.Current.Lookup("uid"))) //nolint:gosec // 32 bits by RFC
		out = append(out, w)
		if doc := w.doc(); doc != nil {
			keep = append(keep, mongo.NewUpdateOneModel().SetUpdate(key("$set", key("eider.wire", doc))).
				SetFilter(key("_id", cur.Current.Lookup("_id"), "mailbox", oid(sel.Mailbox), "uid", number(int64(w.UID)))))
		}
	}
	if err := cur.Err(); err != nil {
		return nil, fail(op, err)
	}
	if len(keep) > 0 {
		// A reader needs what was made, not that it was kept.
		_, _ = s.hints.BulkWrite(ctx, keep, options.BulkWrite().SetOrdered(false))
	}
	return out, nil
}
