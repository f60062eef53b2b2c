package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
)

// maxRecipients bounds one queued message.
const maxRecipients = 1000

// NewQueueID gives a queue id in ZoneMTA's form: 18 hexadecimal digits, by
// time, with a counter and chance in them.
func NewQueueID(now time.Time) string {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails
	id := mail.NewID()     // its last bytes are a counter
	low := uint64(binary.BigEndian.Uint16(id[10:]) % 4096)
	n := uint64(now.UnixMilli())*4096 + low // after 1970
	return fmt.Sprintf("%014x", n) + hex.EncodeToString(b[:])
}

// QueuePut keeps a message for other hosts, in ZoneMTA's documents (schema 8):
// the body and its envelope in mail.files, one row for each recipient in
// zone-queue.
//
// Order: chunks, files document, then the rows in one insert. Only rows make
// anything go out, so a crash before them leaves an unused body.
func (s *Store) QueuePut(ctx context.Context, m QueueMessage) (string, error) {
	const op = "queue message"
	if len(m.To) == 0 || len(m.To) > maxRecipients {
		return "", &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "to"}
	}
	if m.Raw == nil || m.Raw.Size() > MaxMessageSize {
		return "", &mail.Error{Code: mail.CodeTooBig, Op: op}
	}
	now := s.now()
	if m.ID == "" {
		m.ID = NewQueueID(now)
	}
	file := mail.NewID()
	if err := s.putQueueBody(ctx, file, &m, now); err != nil {
		return "", err
	}
	if m.SendAt.Before(now) {
		m.SendAt = now
	}
	rows := make([]any, len(m.To))
	for i, rcpt := range m.To {
		rows[i] = queueRow(&m, i, rcpt, now)
	}
	if _, err := s.queue.InsertMany(ctx, rows); err != nil {
		undo, cancel := after(ctx)
		defer cancel()
		if err := s.dropQueueRows(undo, m.ID); err == nil {
			s.dropQueueBody(undo, file)
		}
		return "", fail(op, err)
	}
	return m.ID, nil
}

func queueRow(m *QueueMessage, i int, rcpt string, now time.Time) bson.D {
	domain := rcpt[strings.LastIndexByte(rcpt, '@')+1:]
	d := bson.D{
		{Key: "_id", Value: oid(mail.NewID())},
		{Key: "id", Value: m.ID},
		{Key: "seq", Value: fmt.Sprintf("%03x", i+1)},
		{Key: "domain", Value: strings.ToLower(strings.Trim(domain, "[]"))},
		{Key: "sendingZone", Value: or(m.Zone, "default")},
		{Key: "assigned", Value: "no"},
		{Key: "recipient", Value: text(rcpt)},
		{Key: "locked", Value: false},
		{Key: "lockTime", Value: 0},
		{Key: "queued", Value: m.SendAt},
		{Key: "created", Value: now},
	}
	if !m.User.IsZero() {
		d = append(d, bson.E{Key: "eiderUser", Value: oid(m.User)})
	}
	return d
}

func queueFile(id string) string { return "message " + id }

func (s *Store) putQueueBody(ctx context.Context, file mail.ID, m *QueueMessage, now time.Time) error {
	const op = "keep queued message"
	header, from, err := queueHeader(m.Raw)
	if err != nil {
		return fail(op, err)
	}
	body := m.Raw.Reader()
	if _, err := io.CopyN(io.Discard, body, from); err != nil {
		return fail(op, err)
	}
	sum := newBodyHasher()
	length, err := s.putQueueChunks(ctx, file, io.TeeReader(body, sum))
	if err == nil {
		_, err = s.queueFiles.InsertOne(ctx, bson.D{
			{Key: "_id", Value: oid(file)},
			{Key: "length", Value: number(length)},
			{Key: "chunkSize", Value: chunkSize},
			{Key: "uploadDate", Value: now},
			{Key: "filename", Value: queueFile(m.ID)},
			{Key: "contentType", Value: "message/rfc822"},
			{Key: "metadata", Value: key("created", now, "data", queueEnvelope(m, header, sum.sum(), length, now))},
		})
	}
	if err != nil {
		s.dropQueueBody(context.WithoutCancel(ctx), file)
	}
	return fail(op, err)
}

// putQueueChunks writes a body, one chunk in memory at a time.
func (s *Store) putQueueChunks(ctx context.Context, file mail.ID, body io.Reader) (length int64, err error) {
	part := make([]byte, chunkSize)
	for n := 0; ; n++ {
		size, err := io.ReadFull(body, part)
		last := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !last {
			return length, err
		}
		if size > 0 {
			if _, err := s.queueChunks.InsertOne(ctx, bson.D{
				{Key: "_id", Value: oid(mail.NewID())},
				{Key: "files_id", Value: oid(file)},
				{Key: "n", Value: n},
				{Key: "data", Value: bson.Binary{Data: part[:size]}},
			}); err != nil {
				return length, err
			}
		}
		length += int64(size)
		if last {
			return length, nil
		}
	}
}

// maxQueueHeader is in how much of a message its header must end.
const maxQueueHeader = 2 << 20

// queueHeader gives the header and where the body begins.
func queueHeader(raw *message.Source) (header []byte, body int64, err error) {
	start, err := raw.Start(maxQueueHeader)
	if err != nil {
		return nil, 0, err
	}
	if bytes.HasPrefix(start, []byte("\r\n")) {
		return nil, 2, nil
	}
	if i := bytes.Index(start, []byte("\r\n\r\n")); i >= 0 {
		return start[:i+2], int64(i) + 4, nil
	}
	return start, int64(len(start)), nil
}

// queueEnvelope is what ZoneMTA keeps beside a body (schema 8.2).
func queueEnvelope(m *QueueMessage, header []byte, bodyHash string, bodySize int64, now time.Time) bson.D {
	parsed := message.Parse(append(append([]byte{}, header...), "\r\n"...))
	d := bson.D{
		{Key: "id", Value: m.ID},
		{Key: "from", Value: text(m.From)},
		{Key: "to", Value: textArray(m.To)},
		{Key: "interface", Value: or(m.Interface, "maildrop")},
		{Key: "transtype", Value: or(m.TransType, "API")},
		{Key: "time", Value: now.UnixMilli()},
		{Key: "reason", Value: or(m.Reason, "submit")},
		{Key: "origin", Value: m.Origin},
	}
	if !m.User.IsZero() {
		d = append(d, bson.E{Key: "userId", Value: m.User.String()})
	}
	if m.UserAddress != "" {
		d = append(d, bson.E{Key: "user", Value: text(m.UserAddress)})
	}
	if m.ParentID != "" {
		d = append(d, bson.E{Key: "parentId", Value: m.ParentID})
	}
	lines := bson.A{}
	for _, line := range parsed.Root.Header {
		name, _, _ := strings.Cut(line, ":")
		lines = append(lines, bson.D{{Key: "key", Value: text(strings.ToLower(strings.TrimSpace(name)))}, {Key: "line", Value: toBinaryString(line)}})
	}
	return append(d,
		bson.E{Key: "dkim", Value: key("hashAlgo", "sha256", "bodyHash", bodyHash)},
		bson.E{Key: "bodySize", Value: number(bodySize)},
		bson.E{Key: "parsedEnvelope", Value: parsedEnvelope(parsed)},
		bson.E{Key: "messageId", Value: text(parsed.MessageID)},
		bson.E{Key: "date", Value: text(parsed.Root.Parsed.Get("date"))},
		bson.E{Key: "headers", Value: lines},
	)
}

func parsedEnvelope(m *message.Message) bson.D {
	list := func(people []message.Address) bson.A {
		out := bson.A{}
		for _, a := range flatten(people) {
			out = append(out, text(a.Address))
		}
		return out
	}
	one := func(people []message.Address) any {
		if l := list(people); len(l) > 0 {
			return l[0]
		}
		return false
	}
	return bson.D{
		{Key: "from", Value: one(m.From)},
		{Key: "to", Value: list(m.To)},
		{Key: "cc", Value: list(m.Cc)},
		{Key: "bcc", Value: list(m.Bcc)},
		{Key: "replyTo", Value: one(m.ReplyTo)},
		{Key: "sender", Value: one(m.Sender)},
	}
}

// queueRecord is a row of zone-queue.
type queueRecord struct {
	ID        string        `bson:"id"`
	Seq       string        `bson:"seq"`
	User      bson.RawValue `bson:"eiderUser"`
	Recipient string        `bson:"recipient"`
	Domain    string        `bson:"domain"`
	Zone      string        `bson:"sendingZone"`
	Queued    time.Time     `bson:"queued"`
	Created   time.Time     `bson:"created"`
	Locked    bool          `bson:"locked"`
	Deferred  struct {
		Count    int64  `bson:"count"`
		Response string `bson:"response"`
	} `bson:"_deferred"`
}

// QueueEntries lists what waits: for queue ids, or for an account's messages,
// oldest first.
func (s *Store) QueueEntries(ctx context.Context, f QueueFilter) ([]QueueEntry, error) {
	const op = "list queue"
	if f.Limit <= 0 {
		f.Limit = 100
	}
	o := options.Find().SetLimit(int64(min(f.Limit, 1000)))
	var filter bson.D
	switch {
	case len(f.IDs) > 0:
		filter = key("id", key("$in", stringArray(f.IDs)))
		o.SetSort(key("id", 1, "seq", 1))
		if !f.User.IsZero() {
			filter = append(filter, bson.E{Key: "eiderUser", Value: oid(f.User)})
		}
	case !f.User.IsZero():
		filter = key("eiderUser", oid(f.User))
		o.SetSort(key("_id", 1))
	default:
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: op}
	}
	cur, err := s.queue.Find(ctx, filter, o)
	if err != nil {
		return nil, fail(op, err)
	}
	var records []queueRecord
	if err := cur.All(ctx, &records); err != nil {
		return nil, fail(op, err)
	}
	out := make([]QueueEntry, len(records))
	for i := range records {
		r := &records[i]
		out[i] = QueueEntry{
			ID: r.ID, Seq: r.Seq, User: rawID(r.User), Recipient: r.Recipient, Domain: r.Domain, Zone: r.Zone,
			Queued: r.Queued.UTC(), Created: r.Created.UTC(), Locked: r.Locked, Deferrals: int(r.Deferred.Count), Response: r.Deferred.Response,
		}
	}
	return out, nil
}

type queueFileRecord struct {
	ID       bson.ObjectID `bson:"_id"`
	Length   int64         `bson:"length"`
	Metadata struct {
		Data struct {
			Headers []struct {
				Line string `bson:"line"`
			} `bson:"headers"`
		} `bson:"data"`
	} `bson:"metadata"`
}

func (s *Store) queueFile(ctx context.Context, id string) (*queueFileRecord, error) {
	var f queueFileRecord
	err := s.queueFiles.FindOne(ctx, key("filename", queueFile(id))).Decode(&f)
	return &f, missing("find queued message", mail.CodeNotFound, err)
}

// QueueRaw reads a queued message back. CodeNotFound.
func (s *Store) QueueRaw(ctx context.Context, id string) ([]byte, error) {
	f, err := s.queueFile(ctx, id)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for _, h := range f.Metadata.Data.Headers {
		line, _ := fromBinaryString(h.Line)
		b.WriteString(line)
		b.WriteString("\r\n")
	}
	b.WriteString("\r\n")
	cur, err := s.queueChunks.Find(ctx, key("files_id", f.ID), options.Find().SetSort(key("n", 1)))
	if err != nil {
		return nil, fail("read queued message", err)
	}
	defer func() { _ = cur.Close(ctx) }()
	for cur.Next(ctx) {
		var c struct {
			Data bson.Binary `bson:"data"`
		}
		if err := cur.Decode(&c); err != nil {
			return nil, fail("read queued message", err)
		}
		b.Write(c.Data.Data)
	}
	return b.Bytes(), fail("read queued message", cur.Err())
}

// QueueDelete takes an account's message out of the queue, rows first.
// CodeNotFound when nothing of it waits.
func (s *Store) QueueDelete(ctx context.Context, user mail.ID, id string) error {
	const op = "delete from queue"
	res, err := s.queue.DeleteMany(ctx, key("id", id, "eiderUser", oid(user)))
	if err != nil {
		return fail(op, err)
	}
	if res.DeletedCount == 0 {
		return &mail.Error{Code: mail.CodeNotFound, Op: op}
	}
	f, err := s.queueFile(ctx, id)
	if mail.IsCode(err, mail.CodeNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	s.dropQueueBody(ctx, mail.ID(f.ID))
	return nil
}

func (s *Store) dropQueueRows(ctx context.Context, id string) error {
	_, err := s.queue.DeleteMany(ctx, key("id", id))
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "rows of a message that was refused stay queued", slog.String("queue_id", id), slog.Any("err", err))
	}
	return err
}

// dropQueueBody removes the files document, then its chunks.
func (s *Store) dropQueueBody(ctx context.Context, file mail.ID) {
	_, err := s.queueFiles.DeleteOne(ctx, key("_id", oid(file)))
	if err == nil || mongo.IsTimeout(err) {
		_, err = s.queueChunks.DeleteMany(ctx, key("files_id", oid(file)))
	}
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "queued body stays", slog.String("file", file.String()), slog.Any("err", err))
	}
}
