package store

import (
	"context"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
)

// TaskKind is a kind of WildDuck's background tasks (schema 7).
type TaskKind string

// The kinds that Eider works on. WildDuck's others (audit, acme, indexing,
// search-apply) are left for WildDuck.
const (
	TaskQuota       TaskKind = "quota"
	TaskRestore     TaskKind = "restore"
	TaskUserDelete  TaskKind = "user-delete"
	TaskClearFolder TaskKind = "clear-folder"
	// TaskRetention follows a change of a mailbox's retention.
	TaskRetention TaskKind = "mailbox-retention"
	// taskAudit is made here and done by WildDuck.
	taskAudit TaskKind = "audit"
	// taskIndexing is for WildDuck's ElasticSearch.
	taskIndexing TaskKind = "user-indexing"
)

const (
	// taskLease and taskRenew are WildDuck's: how long a task is locked, and
	// after how long the lock is extended.
	taskLease = time.Hour
	taskRenew = 10 * time.Minute
	// deletedRetention is how long the messages of a deleted account stay.
	deletedRetention = 14 * 24 * time.Hour
)

// ourTasks are the kinds that Work does.
var ourTasks = bson.A{string(TaskQuota), string(TaskRestore), string(TaskUserDelete), string(TaskClearFolder), string(TaskRetention)}

// addTask writes a task down, to be done from notBefore on (zero for now), and
// gives its id. Eider's Work or WildDuck's task runner does it, whoever is first.
func (s *Store) addTask(ctx context.Context, kind TaskKind, data bson.D, notBefore time.Time) (mail.ID, error) {
	now := s.now()
	id := mail.NewIDAt(now)
	d := bson.D{{Key: "_id", Value: oid(id)}, {Key: "task", Value: string(kind)}}
	if notBefore.After(now) {
		d = append(d, bson.E{Key: "locked", Value: true}, bson.E{Key: "lockedUntil", Value: notBefore}, bson.E{Key: "status", Value: "delayed"})
	} else {
		d = append(d, bson.E{Key: "locked", Value: false}, bson.E{Key: "lockedUntil", Value: now}, bson.E{Key: "status", Value: "waiting"})
	}
	_, err := s.tasks.InsertOne(ctx, append(d, bson.E{Key: "created", Value: now}, bson.E{Key: "data", Value: data}))
	poke(s.wakes.tasks)
	return id, fail("add task", err)
}

// StartRestore makes a task that restores what an account deleted between two
// moments into a mailbox of its own. It gives the task's id.
func (s *Store) StartRestore(ctx context.Context, user mail.ID, start, end time.Time) (mail.ID, error) {
	if _, err := s.User(ctx, user); err != nil {
		return mail.ID{}, err
	}
	return s.addTask(ctx, TaskRestore, key("user", oid(user), "start", start, "end", end), time.Time{})
}

// StartQuota makes a task that counts the used storage of all accounts anew.
func (s *Store) StartQuota(ctx context.Context) (mail.ID, error) {
	return s.addTask(ctx, TaskQuota, bson.D{}, time.Time{})
}

// StartClear makes a task that removes all messages of a mailbox, with or
// without keeping them in the archive.
func (s *Store) StartClear(ctx context.Context, user, mailbox mail.ID, archive bool) (mail.ID, error) {
	if _, err := s.mailboxRecord(ctx, "clear mailbox", key("_id", oid(mailbox), "user", oid(user))); err != nil {
		return mail.ID{}, err
	}
	return s.addTask(ctx, TaskClearFolder, key("user", oid(user), "mailbox", oid(mailbox), "skipArchive", !archive), time.Time{})
}

// TaskWaits reports whether a task is there: waiting, delayed or under way.
func (s *Store) TaskWaits(ctx context.Context, id mail.ID) (bool, error) {
	err := s.tasks.FindOne(ctx, key("_id", oid(id)), options.FindOne().SetProjection(key("_id", 1))).Err()
	if isNone(err) {
		return false, nil
	}
	return err == nil, fail("look for task", err)
}

// claimTask takes a task of a kind that we know; nil when there is none.
func (s *Store) claimTask(ctx context.Context) (*taskRecord, bson.Binary, error) {
	lockID := mail.NewID()
	lock := bson.Binary{Data: lockID[:]}
	now := s.now()
	raw, err := s.tasks.FindOneAndUpdate(ctx,
		key("locked", false, "task", key("$in", ourTasks)),
		bson.D{
			{Key: "$set", Value: key("locked", lock, "lockedUntil", now.Add(taskLease), "status", "active", "runStart", now)},
			{Key: "$inc", Value: key("runCount", 1)},
		}, options.FindOneAndUpdate().SetReturnDocument(options.After)).Raw()
	if isNone(err) {
		return nil, lock, nil
	}
	t := taskRecord{raw: raw}
	if err == nil {
		err = bson.Unmarshal(raw, &t)
	}
	return &t, lock, fail("claim task", err)
}

// releaseTasks frees tasks whose time has come, and those of processes that died.
func (s *Store) releaseTasks(ctx context.Context) error {
	// A delayed one is locked with true, one in hand with the binary lock.
	for _, locked := range []any{true, key("$gte", bson.Binary{Data: []byte{}})} {
		_, err := s.tasks.UpdateMany(ctx, key("locked", locked, "lockedUntil", key("$lt", s.now())),
			key("$set", key("locked", false, "status", "waiting")))
		if err != nil {
			return fail("release tasks", err)
		}
	}
	return nil
}

// runTask does a task, holding its lock, and removes it; one that failed is
// kept for later.
func (s *Store) runTask(ctx context.Context, t *taskRecord, lock bson.Binary) {
	held, lost := context.WithCancel(ctx)
	defer lost()
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		s.renewTask(held, t, lock, lost)
	}()
	err := s.doTask(held, t)
	lost()
	<-renewed
	rest, cancel := after(ctx)
	defer cancel()
	mine := key("_id", t.ID, "locked", lock)
	if err == nil {
		_, err = s.tasks.DeleteOne(rest, mine)
	} else {
		s.log.LogAttrs(rest, slog.LevelWarn, "task failed", slog.String("task", t.Task), slog.String("id", mail.ID(t.ID).String()), slog.Any("err", err))
		// A delayed one is taken up again when its time has come.
		_, err = s.tasks.UpdateOne(rest, mine, key("$set", key("locked", true, "lockedUntil", s.now().Add(jobPause), "status", "delayed")))
	}
	if err != nil {
		s.log.LogAttrs(rest, slog.LevelWarn, "task not settled", slog.String("id", mail.ID(t.ID).String()), slog.Any("err", err))
	}
}

// renewTask extends the lock until ctx ends, and calls lost when it is gone.
func (s *Store) renewTask(ctx context.Context, t *taskRecord, lock bson.Binary, lost func()) {
	for pause(ctx, taskRenew) == nil {
		now := s.now()
		res, err := s.tasks.UpdateOne(ctx, key("_id", t.ID, "locked", lock), bson.D{
			{Key: "$set", Value: key("lockedUntil", now.Add(taskLease), "status", "processing", "extendTime", now)},
			{Key: "$inc", Value: key("extendCount", 1)},
		})
		if err == nil && res.MatchedCount == 0 {
			lost()
			return
		}
	}
}

func (s *Store) doTask(ctx context.Context, t *taskRecord) error {
	user := rawID(t.field("user"))
	switch TaskKind(t.Task) {
	case TaskQuota:
		return s.recountAll(ctx)
	case TaskRestore:
		return s.restoreBetween(ctx, user, rawTime(t.field("start")), rawTime(t.field("end")))
	case TaskUserDelete:
		return s.deleteOwned(ctx, user)
	case TaskRetention:
		return s.applyRetention(ctx, t)
	case taskAudit, taskIndexing:
		// Never claimed here.
	case TaskClearFolder:
		skip, _ := t.field("skipArchive").BooleanOK()
		return s.clearMailbox(ctx, user, rawID(t.field("mailbox")), !skip)
	}
	return &mail.Error{Code: mail.CodeInvalid, Op: "do task", Field: "task"}
}

// clearMailbox removes what is in the mailbox now.
func (s *Store) clearMailbox(ctx context.Context, user, mailbox mail.ID, archive bool) error {
	box, err := s.mailboxRecord(ctx, "clear mailbox", key("_id", oid(mailbox), "user", oid(user)))
	if mail.IsCode(err, mail.CodeNoMailbox) {
		return nil
	}
	if err != nil {
		return err
	}
	for steps := newPace(); ; {
		uids, err := s.uids(ctx, mailbox, 0, ListFilter{}, steps.begin())
		if err != nil || len(uids) == 0 || int64(uids[0]) >= box.UIDNext {
			return err
		}
		if _, err := s.Expunge(ctx, Selection{User: user, Mailbox: mailbox, UIDs: uids}, ExpungeOptions{Archive: archive}); err != nil {
			return err
		}
		if err := steps.rest(ctx); err != nil {
			return err
		}
	}
}

// restoreBetween restores what was archived between two moments into a mailbox
// named for the day.
func (s *Store) restoreBetween(ctx context.Context, user mail.ID, start, end time.Time) error {
	u, err := s.findUserRecord(ctx, "restore messages", key("_id", oid(user)))
	if mail.IsCode(err, mail.CodeNoUser) {
		return nil
	}
	if err != nil {
		return err
	}
	var to mail.ID
	for steps := newPace(); ; {
		rows, err := all[archivedRecord](ctx, "list messages to restore", s.archived,
			key("user", oid(user), "archived", key("$gte", start, "$lte", end)),
			options.Find().SetSort(key("archived", 1)).SetLimit(int64(steps.begin())).SetProjection(key("archived", 1)))
		if err != nil || len(rows) == 0 {
			return err
		}
		for i := range rows {
			if to.IsZero() {
				if to, err = s.restoreMailbox(ctx, user, u.Language); err != nil {
					return err
				}
			}
			if _, err := s.Restore(ctx, user, mail.ID(rows[i].ID), to); err != nil && !mail.IsCode(err, mail.CodeNoMessage) {
				return err
			}
		}
		if err := steps.rest(ctx); err != nil {
			return err
		}
	}
}

// restoreMailbox is the mailbox of the day for restored messages, or INBOX.
func (s *Store) restoreMailbox(ctx context.Context, user mail.ID, language string) (mail.ID, error) {
	path := restoredName(language) + " (" + s.now().UTC().Format(time.DateOnly) + ")"
	box, err := s.CreateMailbox(ctx, user, path, mail.UseNone)
	if err == nil {
		return box.ID, nil
	}
	have, err := s.MailboxByPath(ctx, user, path)
	if mail.IsCode(err, mail.CodeNoMailbox) {
		have, err = s.MailboxByPath(ctx, user, mail.Inbox)
	}
	return have.ID, err
}

// recountAll sets the used storage of every account to what it holds.
func (s *Store) recountAll(ctx context.Context) error {
	const op = "list accounts"
	for last := (bson.ObjectID{}); ; {
		rows, err := all[userRecord](ctx, op, s.users, key("_id", key("$gt", last)),
			options.Find().SetSort(key("_id", 1)).SetLimit(scanPage).SetProjection(key("storageUsed", 1)))
		if err != nil || len(rows) == 0 {
			return err
		}
		for i := range rows {
			last = rows[i].ID
			if err := s.recount(ctx, mail.ID(last)); err != nil {
				return err
			}
		}
	}
}

// recount adds the difference, so that most writes meanwhile are not lost.
func (s *Store) recount(ctx context.Context, user mail.ID) error {
	const op = "count used storage"
	u, err := s.findUserRecord(ctx, op, key("_id", oid(user)))
	if mail.IsCode(err, mail.CodeNoUser) {
		return nil
	}
	if err != nil {
		return err
	}
	cur, err := s.messages.Find(ctx, key("user", oid(user)), options.Find().SetProjection(key("size", 1, "_id", 0)).SetHint(indexConversation))
	if err != nil {
		return fail(op, err)
	}
	defer func() { _ = cur.Close(ctx) }()
	var size int64
	for cur.Next(ctx) {
		size += rawNumber(cur.Current.Lookup("size"))
	}
	if err := cur.Err(); err != nil {
		return fail(op, err)
	}
	if size == u.StorageUsed {
		return nil
	}
	_, err = s.users.UpdateOne(ctx, key("_id", oid(user)), key("$inc", key("storageUsed", number(size-u.StorageUsed))))
	return fail(op, err)
}
