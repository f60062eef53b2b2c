package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
)

const (
	// chunkSize is GridFS's in all buckets (schema 5).
	chunkSize = 261120
	// uploadTime is what storing one content may take, plus a second for each
	// MiB; a first chunk that is twice as old was left behind by a crash.
	uploadTime = 5 * time.Second
	// uploadPause is how often one looks whether another writer has finished.
	uploadPause = 20 * time.Millisecond
)

func hashID(h [32]byte) bson.Binary { return bson.Binary{Data: h[:]} }

func uploadLimit(size int64) time.Duration {
	return uploadTime + time.Duration(size>>20)*time.Second
}

// keepBlobs stores or references each content, once for the message even when
// two of its parts have the same: WildDuck releases each content of a message
// once, and a content must never be released more often than it was counted.
// On failure it gives back what it had taken. The result tells, by attachment
// id, the content hash of those that this message was the first to bring.
func (s *Store) keepBlobs(ctx context.Context, blobs []message.Blob, magic int) (first map[string]string, err error) {
	first = map[string]string{}
	for i := range blobs {
		if blobSeen(blobs[:i], blobs[i].Hash) {
			continue
		}
		fileHash, err := s.keepBlob(ctx, &blobs[i], magic)
		if err != nil {
			undo, cancel := after(ctx)
			defer cancel()
			s.releaseBlobs(undo, blobHashes(blobs[:i]), magic)
			return nil, err
		}
		if fileHash != "" {
			first[blobs[i].ID] = fileHash
		}
	}
	return first, nil
}

func blobSeen(blobs []message.Blob, hash [32]byte) bool {
	return slices.ContainsFunc(blobs, func(b message.Blob) bool { return b.Hash == hash })
}

// blobHashes lists each content once.
func blobHashes(blobs []message.Blob) [][32]byte {
	out := make([][32]byte, 0, len(blobs))
	for i := range blobs {
		if !blobSeen(blobs[:i], blobs[i].Hash) {
			out = append(out, blobs[i].Hash)
		}
	}
	return out
}

// referTo counts n more uses of a content. It reports false when the content
// is not stored.
func (s *Store) referTo(ctx context.Context, hash [32]byte, n, magic int) (bool, error) {
	res, err := s.attachmentFiles.UpdateOne(ctx, key("_id", hashID(hash)), bson.D{
		{Key: "$inc", Value: key("metadata.c", n, "metadata.m", n*magic)},
		{Key: "$set", Value: key("metadata.cu", s.now())},
	})
	if err != nil {
		return false, fail("count attachment reference", err)
	}
	return res.MatchedCount == 1, nil
}

// releaseBlobs takes references away. What fails leaves a content that nobody
// uses; it costs room and Verify finds it.
func (s *Store) releaseBlobs(ctx context.Context, hashes [][32]byte, magic int) {
	for _, h := range hashes {
		if _, err := s.referTo(ctx, h, -1, magic); err != nil {
			s.log.LogAttrs(ctx, slog.LevelError, "attachment reference not released", slog.String("attachment", hex32(h)), slog.Any("err", err))
		}
	}
}

func hex32(h [32]byte) string { return hex.EncodeToString(h[:]) }

// keepBlob references a content, or stores it when nobody has; then it gives
// the hash of what it stored.
//
// The chunks go first and the files document, which makes the content exist,
// last. The unique index on (files_id, n) makes the first chunk a claim: who
// inserts it stores the content, others wait for the files document. A claim
// that is older than any upload takes was left by a crash and is removed.
func (s *Store) keepBlob(ctx context.Context, b *message.Blob, magic int) (fileHash string, err error) {
	const op = "store attachment"
	limit := uploadLimit(b.EncodedSize)
	release := s.lockBlob(ctx, b, limit)
	defer release()
	for {
		if found, err := s.referTo(ctx, b.Hash, 1, magic); found || err != nil {
			return "", err
		}
		content := b.Content()
		upload, cancel := context.WithTimeout(ctx, limit)
		fileHash, err = s.upload(upload, b, &content, magic)
		cancel()
		if err == nil {
			return fileHash, nil
		}
		if !mongo.IsDuplicateKeyError(err) {
			return "", fail(op, err)
		}
		if err := s.clearClaim(ctx, b.Hash, limit); err != nil {
			return "", err
		}
		if err := pause(ctx, uploadPause); err != nil {
			return "", err
		}
	}
}

// lockBlob takes WildDuck's lock for a large content, so that its processes
// and ours do not store it at the same moment. Without signals the claim in
// the database still decides.
func (s *Store) lockBlob(ctx context.Context, b *message.Blob, limit time.Duration) (release func()) {
	if b.EncodedSize < chunkSize {
		return func() {}
	}
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	lock, err := s.sig.Lock(wait, "wildduck:gs."+base64.StdEncoding.EncodeToString(b.Hash[:]), 2*limit)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "lock attachment", slog.Any("err", err))
		return func() {}
	}
	return func() {
		undo, cancel := after(ctx)
		defer cancel()
		if err := lock.Release(undo); err != nil {
			s.log.LogAttrs(ctx, slog.LevelDebug, "release attachment lock", slog.Any("err", err))
		}
	}
}

// upload writes chunks, one in memory at a time, then the files document.
func (s *Store) upload(ctx context.Context, b *message.Blob, c *message.Content, magic int) (fileHash string, err error) {
	hash := sha256.New()
	buf := make([]byte, min(c.Size, chunkSize))
	n := 0
	for left := c.Size; left > 0 || n == 0; n++ {
		part := buf[:min(left, chunkSize)]
		if _, err := io.ReadFull(c.Reader, part); err != nil {
			return "", s.failedUpload(ctx, b.Hash, n, err)
		}
		left -= int64(len(part))
		_, _ = hash.Write(part) // a hash never fails
		_, err := s.attachmentChunks.InsertOne(ctx, bson.D{
			{Key: "_id", Value: oid(mail.NewID())},
			{Key: "files_id", Value: hashID(b.Hash)},
			{Key: "n", Value: n},
			{Key: "data", Value: bson.Binary{Data: part}},
		})
		if err != nil {
			return "", s.failedUpload(ctx, b.Hash, n, err)
		}
	}
	fileHash = base64.StdEncoding.EncodeToString(hash.Sum(nil))
	_, err = s.attachmentFiles.InsertOne(ctx, s.fileDoc(b, c, fileHash, magic))
	// When it is not known whether the files document is there, its chunks stay.
	if definite(err) && !mongo.IsDuplicateKeyError(err) {
		return "", s.failedUpload(ctx, b.Hash, n, err)
	}
	return fileHash, err
}

// fileDoc writes a document of attachments.files (schema 5.1).
func (s *Store) fileDoc(b *message.Blob, c *message.Content, fileHash string, magic int) bson.D {
	now := s.now()
	meta := bson.D{
		{Key: "m", Value: magic},
		{Key: "c", Value: 1},
		{Key: "cu", Value: now},
		{Key: "esize", Value: number(b.EncodedSize)},
		{Key: "transferEncoding", Value: text(b.TransferEncoding)},
	}
	if c.Decoded {
		meta = append(meta, bson.E{Key: "decoded", Value: true}, bson.E{Key: "lineLen", Value: c.LineLen})
	}
	meta = append(meta, bson.E{Key: "fileContentHash", Value: fileHash})
	return bson.D{
		{Key: "_id", Value: hashID(b.Hash)},
		{Key: "length", Value: number(c.Size)},
		{Key: "chunkSize", Value: chunkSize},
		{Key: "uploadDate", Value: now},
		{Key: "filename", Value: nil},
		{Key: "contentType", Value: text(b.ContentType)},
		{Key: "metadata", Value: meta},
	}
}

// failedUpload removes the chunks of an upload that held the claim (n > 0).
func (s *Store) failedUpload(ctx context.Context, hash [32]byte, n int, cause error) error {
	if n == 0 {
		return cause
	}
	undo, cancel := after(ctx)
	defer cancel()
	if _, err := s.attachmentChunks.DeleteMany(undo, key("files_id", hashID(hash))); err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "chunks of a failed upload stay", slog.String("attachment", hex32(hash)), slog.Any("err", err))
	}
	return cause
}

// clearClaim removes chunks without a files document that a crash left.
func (s *Store) clearClaim(ctx context.Context, hash [32]byte, limit time.Duration) error {
	const op = "clear attachment claim"
	var claim struct {
		ID bson.ObjectID `bson:"_id"`
	}
	err := s.attachmentChunks.FindOne(ctx, key("files_id", hashID(hash), "n", 0), options.FindOne().SetProjection(key("_id", 1))).Decode(&claim)
	if isNone(err) {
		return nil
	}
	if err != nil {
		return fail(op, err)
	}
	if time.Since(mail.ID(claim.ID).Time()) < 2*limit {
		return nil
	}
	err = s.attachmentFiles.FindOne(ctx, key("_id", hashID(hash)), options.FindOne().SetProjection(key("_id", 1))).Err()
	if err == nil || !isNone(err) {
		return fail(op, err)
	}
	_, err = s.attachmentChunks.DeleteMany(ctx, key("files_id", hashID(hash)))
	return fail(op, err)
}

// fileRecord is a document of attachments.files (schema 5.1).
type fileRecord struct {
	Length      int64  `bson:"length"`
	ChunkSize   int64  `bson:"chunkSize"`
	ContentType string `bson:"contentType"`
	Metadata    struct {
		C                int64         `bson:"c"`
		M                int64         `bson:"m"`
		ESize            int64         `bson:"esize"`
		TransferEncoding bson.RawValue `bson:"transferEncoding"`
		Decoded          bool          `bson:"decoded"`
		LineLen          int64         `bson:"lineLen"`
	} `bson:"metadata"`
}

// findBlob reads what the files document of a content says. CodeNotFound when
// it is gone.
func (s *Store) findBlob(ctx context.Context, hash []byte) (*fileRecord, error) {
	var f fileRecord
	if err := s.attachmentFiles.FindOne(ctx, key("_id", bson.Binary{Data: hash})).Decode(&f); err != nil {
		return nil, missing("open attachment", mail.CodeNotFound, err)
	}
	if f.ChunkSize <= 0 {
		f.ChunkSize = chunkSize
	}
	return &f, nil
}

// chunks reads count bytes of a content as it is stored, from an offset on.
// Only the chunks in which they lie are read.
func (s *Store) chunks(ctx context.Context, hash []byte, f *fileRecord, from, count int64) *chunkReader {
	return &chunkReader{
		ctx: ctx, chunks: s.attachmentChunks, id: bson.Binary{Data: hash},
		n: from / f.ChunkSize, skip: from % f.ChunkSize, left: count,
	}
}

// openEncoded opens count bytes of a stored content in the encoding that the
// message has, from an offset on; all of it that follows when count is
// negative.
func (s *Store) openEncoded(ctx context.Context, hash []byte, from, count int64) (io.ReadCloser, error) {
	f, err := s.findBlob(ctx, hash)
	if err != nil {
		return nil, err
	}
	if lineLen := int(f.Metadata.LineLen); f.Metadata.Decoded {
		start, length := message.EncodedRange(lineLen, f.Length, from, count)
		r := s.chunks(ctx, hash, f, start, length)
		return readCloser{message.EncodeReader(r, lineLen, from), r}, nil
	}
	left := max(0, f.Length-from)
	if count < 0 || count > left {
		count = left
	}
	return s.chunks(ctx, hash, f, from, count), nil
}

// errChunk says that a stored content is not whole.
var errChunk = errors.New("attachment content is not whole")

// chunkReader reads a content chunk by chunk, one in memory at a time.
type chunkReader struct {
	ctx    context.Context //nolint:containedctx // a reader belongs to one request
	chunks *mongo.Collection
	id     bson.Binary
	// n is the next chunk, skip what is not wanted of it, left what is still to
	// be read.
	n, skip, left int64
	data          []byte
}

// Read implements io.Reader.
func (r *chunkReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.EOF
	}
	for len(r.data) == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.data[:min(int64(len(r.data)), r.left)])
	r.data = r.data[n:]
	r.left -= int64(n)
	return n, nil
}

func (r *chunkReader) next() error {
	var c struct {
		Data bson.Binary `bson:"data"`
	}
	err := r.chunks.FindOne(r.ctx, key("files_id", r.id, "n", r.n), options.FindOne().SetProjection(key("data", 1))).Decode(&c)
	if err == nil && int64(len(c.Data.Data)) <= r.skip {
		err = mongo.ErrNoDocuments
	}
	if isNone(err) {
		return &mail.Error{Code: mail.CodeInternal, Op: "read attachment", Err: errChunk}
	}
	if err != nil {
		return fail("read attachment", err)
	}
	r.data = bytes.Clone(c.Data.Data[r.skip:])
	r.n, r.skip = r.n+1, 0
	return nil
}

// Close implements io.Closer.
func (r *chunkReader) Close() error {
	r.left = 0
	return nil
}
