package store

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// Limits of mailboxes (schema 3.1).
const (
	maxMailboxes  = 1500
	maxDepth      = 128
	maxSegment    = 512
	maxFlags      = 100
	junkRetention = 30 * 24 * time.Hour
)

// createDefaultMailboxes makes INBOX and the four special mailboxes.
func (s *Store) createDefaultMailboxes(ctx context.Context, user mail.ID, n NewUser) error {
	docs := []any{s.newMailboxDoc(mail.NewIDAt(s.now()), user, mail.Inbox, mail.UseNone, n.Retention)}
	for _, use := range folderUses {
		docs = append(docs, s.newMailboxDoc(mail.NewIDAt(s.now()), user,
			folderName(n.Language, use, n.MailboxNames), use, retentionOf(use, n.Retention)))
	}
	_, err := s.mailboxes.InsertMany(ctx, docs)
	return fail("create default mailboxes", err)
}

// retentionOf: Trash and Junk keep 30 days, or less where the account does.
func retentionOf(use mail.SpecialUse, account time.Duration) time.Duration {
	if use != mail.UseTrash && use != mail.UseJunk {
		return account
	}
	if account > 0 && account < junkRetention {
		return account
	}
	return junkRetention
}

func (s *Store) newMailboxDoc(id, user mail.ID, path string, use mail.SpecialUse, retention time.Duration) bson.D {
	d := bson.D{
		{Key: "_id", Value: oid(id)},
		{Key: "user", Value: oid(user)},
		{Key: "path", Value: path},
	}
	if use != mail.UseNone {
		d = append(d, bson.E{Key: "specialUse", Value: string(use)})
	}
	d = append(d,
		// RFC 9051 2.3.1.1: a value that rises when a name is used again.
		bson.E{Key: "uidValidity", Value: number(s.now().Unix())},
		bson.E{Key: "uidNext", Value: 1},
		bson.E{Key: "modifyIndex", Value: 0},
		bson.E{Key: "subscribed", Value: true},
		bson.E{Key: "flags", Value: bson.A{}},
	)
	if retention > 0 {
		d = append(d, bson.E{Key: "retention", Value: number(retention.Milliseconds())})
	}
	return d
}

// mailboxRecord is a document of mailboxes (schema 3.1).
type mailboxRecord struct {
	ID          bson.ObjectID `bson:"_id"`
	User        bson.ObjectID `bson:"user"`
	Path        string        `bson:"path"`
	SpecialUse  bson.RawValue `bson:"specialUse"`
	UIDValidity int64         `bson:"uidValidity"`
	UIDNext     int64         `bson:"uidNext"`
	ModifyIndex int64         `bson:"modifyIndex"`
	Subscribed  bool          `bson:"subscribed"`
	Flags       []string      `bson:"flags"`
	Retention   int64         `bson:"retention"`
	Hidden      bool          `bson:"hidden"`
	// Eider is ours: when the last numbers were allocated, how many mod-sequences
	// we allocated, and how many others had when all of theirs were known to be
	// done.
	Eider struct {
		At     time.Time `bson:"at"`
		Own    int64     `bson:"own"`
		Others int64     `bson:"others"`
	} `bson:"eider"`
}

// others is how many mod-sequences were allocated by writers that do not sign.
func (m *mailboxRecord) others() int64 { return m.ModifyIndex - m.Eider.Own }

// atRest reports that nobody is between numbers and message: ours were
// allocated long ago, and those of others are known to be done.
func (m *mailboxRecord) atRest(now time.Time) bool {
	return now.Sub(m.Eider.At) > gapWait && m.others() == m.Eider.Others
}

func (m *mailboxRecord) use() mail.SpecialUse { return mail.SpecialUse(rawString(m.SpecialUse)) }

func (m *mailboxRecord) mailbox() mail.Mailbox {
	return mail.Mailbox{
		ID: mail.ID(m.ID), User: mail.ID(m.User), Path: m.Path, SpecialUse: m.use(),
		UIDValidity: uint32(m.UIDValidity), UIDNext: mail.UID(m.UIDNext), ModSeq: mail.ModSeq(m.ModifyIndex), //nolint:gosec // 32 bits by RFC
		Subscribed: m.Subscribed, Hidden: m.Hidden, Flags: flagsOf(m.Flags),
		Retention: time.Duration(m.Retention) * time.Millisecond,
	}
}

func flagsOf(list []string) []mail.Flag {
	out := make([]mail.Flag, len(list))
	for i, f := range list {
		out[i] = mail.Flag(f)
	}
	return out
}

// useOrder sorts special mailboxes behind INBOX and before the others.
var useOrder = map[mail.SpecialUse]int{
	mail.UseDrafts: 1, mail.UseSent: 2, mail.UseArchive: 3, mail.UseJunk: 4, mail.UseTrash: 5,
}

func compareMailboxes(a, b mail.Mailbox) int {
	rank := func(m mail.Mailbox) int {
		if m.Path == mail.Inbox {
			return 0
		}
		if r, ok := useOrder[m.SpecialUse]; ok {
			return r
		}
		return len(useOrder) + 1
	}
	if d := rank(a) - rank(b); d != 0 {
		return d
	}
	return strings.Compare(a.Path, b.Path)
}

// Mailboxes lists an account's mailboxes with Total and Unseen: INBOX first,
// then special uses, then by path.
func (s *Store) Mailboxes(ctx context.Context, user mail.ID) ([]mail.Mailbox, error) {
	const op = "list mailboxes"
	cur, err := s.mailboxes.Find(ctx, key("user", oid(user)), options.Find().SetLimit(maxMailboxes+1))
	if err != nil {
		return nil, fail(op, err)
	}
	var records []mailboxRecord
	if err := cur.All(ctx, &records); err != nil {
		return nil, fail(op, err)
	}
	out := make([]mail.Mailbox, len(records))
	for i := range records {
		out[i] = records[i].mailbox()
		if err := s.fillCounters(ctx, &out[i]); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, compareMailboxes)
	return out, nil
}

func (s *Store) mailboxRecord(ctx context.Context, op string, filter bson.D) (*mailboxRecord, error) {
	var m mailboxRecord
	if err := s.mailboxes.FindOne(ctx, filter).Decode(&m); err != nil {
		return nil, missing(op, mail.CodeNoMailbox, err)
	}
	return &m, nil
}

func (s *Store) countedMailbox(ctx context.Context, op string, filter bson.D) (mail.Mailbox, error) {
	record, err := s.mailboxRecord(ctx, op, filter)
	if err != nil {
		return mail.Mailbox{}, err
	}
	m := record.mailbox()
	return m, s.fillCounters(ctx, &m)
}

// Mailbox reads one mailbox with Total and Unseen. CodeNoMailbox.
func (s *Store) Mailbox(ctx context.Context, user, id mail.ID) (mail.Mailbox, error) {
	return s.countedMailbox(ctx, "read mailbox", key("_id", oid(id), "user", oid(user)))
}

// MailboxByPath reads one mailbox by its path, with Total and Unseen.
func (s *Store) MailboxByPath(ctx context.Context, user mail.ID, path string) (mail.Mailbox, error) {
	path, err := cleanPath(path)
	if err != nil {
		return mail.Mailbox{}, &mail.Error{Code: mail.CodeNoMailbox, Op: "find mailbox", Err: err}
	}
	return s.countedMailbox(ctx, "find mailbox", key("user", oid(user), "path", path))
}

// MailboxByUse reads the mailbox of a special use, with Total and Unseen. With
// create it is made where it is missing, in the account's language.
func (s *Store) MailboxByUse(ctx context.Context, user mail.ID, use mail.SpecialUse, create bool) (mail.Mailbox, error) {
	const op = "find mailbox by use"
	if use == mail.UseNone {
		return s.MailboxByPath(ctx, user, mail.Inbox)
	}
	m, err := s.countedMailbox(ctx, op, key("user", oid(user), "specialUse", string(use)))
	if !create || !mail.IsCode(err, mail.CodeNoMailbox) {
		return m, err
	}
	u, err := s.findUserRecord(ctx, op, key("_id", oid(user)))
	if err != nil {
		return mail.Mailbox{}, err
	}
	path := folderName(u.Language, use, nil)
	m, err = s.CreateMailbox(ctx, user, path, use)
	if !mail.IsCode(err, mail.CodeExists) {
		return m, err
	}
	// A mailbox of that name has been there without the use: it takes the use.
	_, err = s.mailboxes.UpdateOne(ctx, key("user", oid(user), "path", path), key("$set", key("specialUse", string(use))))
	if err != nil {
		return mail.Mailbox{}, fail(op, err)
	}
	return s.MailboxByPath(ctx, user, path)
}

// errPath says that no mailbox may have the path.
var errPath = errors.New("not a mailbox path")

// cleanPath trims slashes, makes a first segment of any-case inbox INBOX
// (RFC 9051 5.1) and refuses what is no path.
func cleanPath(path string) (string, error) {
	if !utf8.ValidString(path) {
		return "", errPath
	}
	segments := strings.Split(strings.Trim(path, "/"), "/")
	if len(segments) > maxDepth {
		return "", errPath
	}
	for i, seg := range segments {
		seg = strings.TrimSpace(seg)
		if seg == "" || utf8.RuneCountInString(seg) > maxSegment || strings.ContainsFunc(seg, control) {
			return "", errPath
		}
		segments[i] = seg
	}
	if strings.EqualFold(segments[0], mail.Inbox) {
		segments[0] = mail.Inbox
	}
	return strings.Join(segments, "/"), nil
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

// CreateMailbox makes a mailbox. CodeExists when the path is taken,
// CodeInvalid for a bad path or too many mailboxes.
func (s *Store) CreateMailbox(ctx context.Context, user mail.ID, path string, use mail.SpecialUse) (mail.Mailbox, error) {
	const op = "create mailbox"
	path, err := cleanPath(path)
	if err != nil {
		return mail.Mailbox{}, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "path", Reason: "format", Err: err}
	}
	u, err := s.findUserRecord(ctx, op, key("_id", oid(user)))
	if err != nil {
		return mail.Mailbox{}, err
	}
	n, err := s.mailboxes.CountDocuments(ctx, key("user", oid(user)))
	if err != nil {
		return mail.Mailbox{}, fail(op, err)
	}
	if n >= maxMailboxes {
		return mail.Mailbox{}, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "path", Reason: "many"}
	}
	id := mail.NewIDAt(s.now())
	doc := s.newMailboxDoc(id, user, path, use, retentionOf(use, time.Duration(u.Retention)*time.Millisecond))
	if _, err := s.mailboxes.InsertOne(ctx, doc); err != nil {
		if mongo.IsDuplicateKeyError(err) {
			return mail.Mailbox{}, &mail.Error{Code: mail.CodeExists, Op: op, Field: "path", Reason: "taken"}
		}
		return mail.Mailbox{}, fail(op, err)
	}
	if err := s.record(ctx, user, entry{mailbox: id, command: mail.CommandCreate, path: path}); err != nil {
		return mail.Mailbox{}, err
	}
	return s.Mailbox(ctx, user, id)
}

// RenameMailbox gives a mailbox and those below it another path. INBOX and
// hidden mailboxes keep theirs (CodeForbidden).
func (s *Store) RenameMailbox(ctx context.Context, user, id mail.ID, path string) (mail.Mailbox, error) {
	const op = "rename mailbox"
	path, err := cleanPath(path)
	if err != nil {
		return mail.Mailbox{}, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "path", Reason: "format", Err: err}
	}
	record, err := s.mailboxRecord(ctx, op, key("_id", oid(id), "user", oid(user)))
	if err != nil {
		return mail.Mailbox{}, err
	}
	if record.Path == mail.Inbox || record.Hidden {
		return mail.Mailbox{}, &mail.Error{Code: mail.CodeForbidden, Op: op}
	}
	if record.Path == path {
		return s.Mailbox(ctx, user, id)
	}
	if strings.HasPrefix(path, record.Path+"/") {
		return mail.Mailbox{}, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "path", Reason: "format"}
	}
	children, err := s.below(ctx, user, record.Path)
	if err != nil {
		return mail.Mailbox{}, err
	}
	moved := func(child *mailboxRecord) string { return path + strings.TrimPrefix(child.Path, record.Path) }
	if err := s.pathsFree(ctx, user, children, moved); err != nil {
		return mail.Mailbox{}, err
	}
	// The mailbox itself goes first: its new path is free or the rename fails
	// with nothing changed. Children follow one by one; a crash leaves some
	// under the old path, where they are whole and can be renamed.
	if err := s.setPath(ctx, user, id, path); err != nil {
		return mail.Mailbox{}, err
	}
	for i := range children {
		if err := s.setPath(ctx, user, mail.ID(children[i].ID), moved(&children[i])); err != nil {
			return mail.Mailbox{}, err
		}
	}
	return s.Mailbox(ctx, user, id)
}

// pathsFree tells early that a mailbox is where one of the children would go.
// The unique index decides; who makes one there meanwhile leaves that child
// under its old path.
func (s *Store) pathsFree(ctx context.Context, user mail.ID, children []mailboxRecord, moved func(*mailboxRecord) string) error {
	const op = "rename mailbox"
	if len(children) == 0 {
		return nil
	}
	paths := make(bson.A, len(children))
	for i := range children {
		paths[i] = moved(&children[i])
	}
	err := s.mailboxes.FindOne(ctx, key("user", oid(user), "path", key("$in", paths)), options.FindOne().SetProjection(key("_id", 1))).Err()
	if isNone(err) {
		return nil
	}
	if err == nil {
		return &mail.Error{Code: mail.CodeExists, Op: op, Field: "path", Reason: "taken"}
	}
	return fail(op, err)
}

func (s *Store) setPath(ctx context.Context, user, id mail.ID, path string) error {
	const op = "rename mailbox"
	_, err := s.mailboxes.UpdateOne(ctx, key("_id", oid(id), "user", oid(user)), key("$set", key("path", path)))
	if mongo.IsDuplicateKeyError(err) {
		return &mail.Error{Code: mail.CodeExists, Op: op, Field: "path", Reason: "taken"}
	}
	if err != nil {
		return fail(op, err)
	}
	return s.record(ctx, user, entry{mailbox: id, command: mail.CommandRename, path: path})
}

// below lists the mailboxes under a path.
func (s *Store) below(ctx context.Context, user mail.ID, path string) ([]mailboxRecord, error) {
	cur, err := s.mailboxes.Find(ctx, key("user", oid(user), "path", key("$gt", path+"/", "$lt", path+"0")))
	if err != nil {
		return nil, fail("list mailboxes below", err)
	}
	var records []mailboxRecord
	return records, fail("list mailboxes below", cur.All(ctx, &records))
}

// SubscribeMailbox sets whether LSUB and clients show the mailbox.
func (s *Store) SubscribeMailbox(ctx context.Context, user, id mail.ID, subscribed bool) error {
	res, err := s.mailboxes.UpdateOne(ctx, key("_id", oid(id), "user", oid(user)), key("$set", key("subscribed", subscribed)))
	if err == nil && res.MatchedCount == 0 {
		err = mongo.ErrNoDocuments
	}
	return missing("subscribe mailbox", mail.CodeNoMailbox, err)
}

// DeleteMailbox removes a mailbox and its messages, which are archived.
// INBOX, special and hidden mailboxes stay (CodeForbidden).
//
// Messages go first, in bounded steps, then the mailbox: a crash leaves a
// mailbox that can be deleted again, never messages without a mailbox.
func (s *Store) DeleteMailbox(ctx context.Context, user, id mail.ID) error {
	const op = "delete mailbox"
	record, err := s.mailboxRecord(ctx, op, key("_id", oid(id), "user", oid(user)))
	if err != nil {
		return err
	}
	if !deletable(record) {
		return &mail.Error{Code: mail.CodeForbidden, Op: op}
	}
	if err := s.emptyMailbox(ctx, user, id); err != nil {
		return err
	}
	return s.deleteEmptied(ctx, user, id, record.Path)
}

// deletable reports a mailbox that may be deleted: INBOX, special and hidden
// ones stay.
func deletable(m *mailboxRecord) bool {
	return m.Path != mail.Inbox && m.use() == mail.UseNone && !m.Hidden
}

// hideMailbox takes a mailbox that is to be deleted out of sight and frees its
// path; its messages go afterwards. Hiding it twice does nothing.
func (s *Store) hideMailbox(ctx context.Context, user, id mail.ID) error {
	const op = "hide mailbox"
	box, err := s.mailboxRecord(ctx, op, key("_id", oid(id), "user", oid(user)))
	if err != nil || box.Hidden {
		return err
	}
	res, err := s.mailboxes.UpdateOne(ctx, key("_id", oid(id), "user", oid(user), "path", box.Path),
		key("$set", key("hidden", true, "subscribed", false, "path", box.Path+" ("+id.String()+")")))
	if err != nil {
		return fail(op, err)
	}
	if res.MatchedCount == 0 {
		return &mail.Error{Code: mail.CodeConflict, Op: op}
	}
	return s.tellDeleted(ctx, user, id, box.Path)
}

// deleteEmptied removes a mailbox without messages.
func (s *Store) deleteEmptied(ctx context.Context, user, id mail.ID, path string) error {
	const op = "delete mailbox"
	if _, err := s.mailboxes.DeleteOne(ctx, key("_id", oid(id), "user", oid(user))); err != nil {
		return fail(op, err)
	}
	// A message that landed while the last step ran has lost its mailbox.
	if err := s.abandon(ctx, user, id); err != nil {
		return err
	}
	s.dropCounters(ctx, id)
	return s.tellDeleted(ctx, user, id, path)
}

func (s *Store) tellDeleted(ctx context.Context, user, id mail.ID, path string) error {
	if err := s.record(ctx, user, entry{mailbox: id, command: mail.CommandDelete, path: path}); err != nil {
		return err
	}
	if err := s.hub.Drop(ctx, user, id); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "tell sessions of a deleted mailbox", slog.String("user", user.String()), slog.Any("err", err))
	}
	return nil
}

func (s *Store) emptyMailbox(ctx context.Context, user, id mail.ID) error {
	for steps := newPace(); ; {
		uids, err := s.uids(ctx, id, 0, ListFilter{}, steps.begin())
		if err != nil || len(uids) == 0 {
			return err
		}
		if _, err := s.Expunge(ctx, Selection{User: user, Mailbox: id, UIDs: uids}, ExpungeOptions{Archive: true}); err != nil {
			return err
		}
		if err := steps.rest(ctx); err != nil {
			return err
		}
	}
}
