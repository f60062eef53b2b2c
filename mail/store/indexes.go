package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// index is one index of the data model.
type index struct {
	name   string
	keys   bson.D
	unique bool
	sparse bool
	// ttl is seconds after the date, with expires set.
	ttl     int32
	expires bool
	partial bson.D
	// idle marks one of WildDuck's that serves no query of ours yet. Each costs
	// every delivery a page, so the embedded store, which WildDuck never opens,
	// goes without it.
	idle bool
	// optional marks an index that serves no query of ours (WildDuck's full
	// text, hashed shard keys); an engine without its kind goes without it.
	optional bool
}

func key(parts ...any) bson.D {
	d := make(bson.D, 0, len(parts)/2)
	for i := 0; i+1 < len(parts); i += 2 {
		name, _ := parts[i].(string)
		d = append(d, bson.E{Key: name, Value: parts[i+1]})
	}
	return d
}

// Keys of indexes that queries name. They are named by keys because the names
// may differ in a database that others made.
var (
	// indexID is named where a filter has the account beside ids: by the account
	// alone an index would be read from end to end.
	indexID   = key("_id", 1)
	indexPage = key("mailbox", 1, "idate", -1, "_id", -1)
	// indexJournal holds an account's changes in their order.
	indexJournal = key("user", 1, "_id", 1)
	// indexConversation holds a conversation of all folders in its order, and
	// does what WildDuck's user_messages_by_thread does.
	indexConversation = key("user", 1, "thread", 1, "idate", -1, "_id", -1)
	// indexMessageID finds what a message answers.
	indexMessageID = key("user", 1, "msgid", 1)
	// indexSnapshot holds all that a Snapshot is made of. It finds messages by
	// their UID as well as mailbox_uid does, so nothing else is needed for that.
	indexSnapshot = key("mailbox", 1, "uid", 1, "modseq", 1, stateFieldName, 1, "idate", 1, "size", 1, "thread", 1)
	indexUID      = indexSnapshot
	indexUnseen   = key("mailbox", 1, "unseen", 1)
	// indexRoot finds the messages that the term index names.
	indexRoot  = key("user", 1, "root", 1, "mailbox", 1)
	indexTerms = key("user", 1, "k", 1)
	indexGone  = key("gone", 1)
)

// Pages of a filtered list have indexes of their own, which hold only the rows
// that pass: a list of ten stars must not read a mailbox of 100,000. Their keys
// are indexPage's, so queries name them.
const (
	indexPageUnseen      = "eider_page_unseen"
	indexPageFlagged     = "eider_page_flagged"
	indexPageAttachments = "eider_page_attachments"
)

type collectionIndexes struct {
	collection *mongo.Collection
	indexes    []index
}

// schemaIndexes are WildDuck's, by its names, for the collections that Eider
// uses; after them come Eider's own.
func (s *Store) schemaIndexes() []collectionIndexes {
	return []collectionIndexes{
		{s.mailboxes, []index{
			{name: "user_path", keys: key("user", 1, "path", 1), unique: true},
			{name: "user_subscribed", keys: key("user", 1, "subscribed", 1)},
			{name: "find_by_type", keys: key("user", 1, "specialUse", 1)},
		}},
		{s.messages, messageIndexes()},
		{s.archived, []index{
			{name: "user_messages", keys: key("user", 1, "_id", 1)},
			{name: "user_messages_desc", keys: key("user", 1, "_id", -1), idle: true},
			{name: "eider_root", keys: indexRoot},
			{name: "user_messages_archived", keys: key("user", 1, "archived", 1)},
			{name: "retention_time", keys: key("exp", 1, "rdate", 1), partial: key("exp", true)},
		}},
		{s.terms, []index{
			{name: "user_k", keys: indexTerms},
			{name: "gone", keys: indexGone, sparse: true},
		}},
		{s.journal, []index{
			{name: "mailbox_modseq", keys: key("mailbox", 1, "modseq", 1)},
			{name: "user_limit_id", keys: indexJournal},
			{name: "user_limit_id_reverse", keys: key("user", 1, "_id", -1), idle: true},
			{name: "journal_autoexpire", keys: key("created", 1), ttl: 10800, expires: true},
		}},
		{s.threads, []index{
			{name: "thread_shard", keys: key("user", "hashed"), optional: true},
			{name: "thread", keys: key("user", 1, "ids", 1)},
			{name: "thread_autoexpire", keys: key("updated", 1), ttl: 15552000, expires: true},
		}},
		{s.addressRegister, []index{
			{name: "by_address", keys: key("user", 1, "addrview", 1, "updated", -1)},
			{name: "by_user_disabled_partial", keys: key("user", 1, "updated", -1), partial: key("disabled", false)},
			{name: "by_user_disabled", keys: key("user", 1, "disabled", 1)},
		}},
		{s.settings, []index{
			{name: "key_unique", keys: key("key", 1, "enumerable", 1), unique: true},
			{name: "enumerable_key", keys: key("enumerable", 1, "key", 1)},
		}},
		{s.users, []index{
			{name: "users", keys: key("username", 1)},
			{name: "users_dotless", keys: key("unameview", 1), unique: true},
			{name: "show_new", keys: key("created", -1)},
			{name: "users_tags", keys: key("tagsview", 1), sparse: true},
			// Eider's own: is there an administrator.
			{name: "eider_admin", keys: key("eider.admin", 1), sparse: true},
		}},
		{s.addresses, []index{
			{name: "address_dotless", keys: key("addrview", 1), unique: true},
			{name: "address_tags", keys: key("tagsview", 1), sparse: true},
			{name: "address_paging", keys: key("addrview", 1, "_id", 1)},
			{name: "user", keys: key("user", 1)},
		}},
		{s.aliases, []index{
			{name: "domainalias", keys: key("alias", 1), unique: true},
			{name: "domainlist", keys: key("domain", 1)},
		}},
		{s.filters, []index{
			{name: "user", keys: key("user", 1)},
			{name: "forward_target", keys: key("action.targets.value", 1)},
		}},
		{s.domainAccess, []index{{name: "by_tag", keys: key("tagview", 1, "action", 1, "domain", 1)}}},
		{s.autoreplies, []index{{name: "autoreply", keys: key("user", 1, "start", 1, "end", 1)}}},
		{s.dkim, []index{
			{name: "dkim_paging", keys: key("domain", 1, "_id", 1)},
			{name: "dkim_primary", keys: key("domain", 1), unique: true},
		}},
		{s.certs, []index{
			{name: "servername", keys: key("servername", 1), unique: true},
			{name: "servername_version", keys: key("servername", 1, "v", 1)},
			{name: "servername_alt", keys: key("altNames", 1, "v", 1)},
			{name: "renewal_check", keys: key("acme", 1, "expires", 1, "_acme.lastRenewalCheck", 1)},
			{name: "garbage_check", keys: key("acme", 1, "updated", 1, "expires", 1, "autogenerated", 1)},
		}},
		{s.audits, []index{
			{name: "user_expire_time", keys: key("user", 1, "expires", 1)},
			{name: "expire_time", keys: key("expires", 1, "deleted", 1)},
		}},
		{s.webhooks, []index{
			{name: "by_type", keys: key("type", 1, "user", 1)},
			{name: "by_user_type", keys: key("user", 1, "type", 1)},
		}},
		{s.tasks, []index{
			{name: "task", keys: key("locked", 1, "lockedUntil", 1)},
			{name: "task_user", keys: key("task", 1, "user", 1)},
		}},
		{s.jobs, []index{
			{name: "claim", keys: key("state", 1, "lockedUntil", 1)},
			{name: "user", keys: key("user", 1, "_id", -1)},
			{name: "autoexpire", keys: key("expires", 1), ttl: 0, expires: true},
		}},
		{s.asps, []index{
			{name: "asps_user", keys: key("user", 1)},
			{name: "entry_autoexpire", keys: key("expires", 1), ttl: 0, expires: true},
		}},
		{s.mcpTokens, []index{
			{name: "mcp_token_hash", keys: key("hash", 1), unique: true, idle: true},
			{name: "mcp_tokens_user_created", keys: key("user", 1, "created", -1, "_id", -1)},
			{name: "mcp_token_autoexpire", keys: key("expires", 1), ttl: 0, expires: true},
		}},
		{s.domains, []index{{name: "by_domain", keys: key("domain", 1), unique: true}}},
		{s.authlog, []index{
			{name: "user", keys: key("user", 1, "_id", -1)},
			{name: "insert", keys: key("user", 1, "created", 1, "key", 1)},
			{name: "user_by_ip", keys: key("user", 1, "ip", 1, "_id", -1), partial: key("ip", true)},
			{name: "by_ip", keys: key("ip", 1), sparse: true},
			{name: "user_hashed", keys: key("user", "hashed"), optional: true},
			{name: "entry_autoexpire", keys: key("expires", 1), ttl: 0, expires: true},
		}},
		{s.attachmentFiles, []index{
			{name: "attachment_id_hashed", keys: key("_id", "hashed"), optional: true},
			{name: "related_attachments_cu", keys: key("metadata.c", 1, "metadata.m", 1, "metadata.cu", 1)},
		}},
		{s.attachmentChunks, []index{
			{name: "chunks_shard", keys: key("files_id", "hashed"), optional: true},
			{name: "files_id_1_n_1", keys: key("files_id", 1, "n", 1), unique: true},
		}},
		{s.queue, []index{
			{name: "created", keys: key("created", 1)},
			{name: "queued", keys: key("queued", 1)},
			{name: "id_seq", keys: key("id", 1, "seq", 1)},
			{name: "eider_user", keys: key("eiderUser", 1, "_id", 1), sparse: true},
		}},
		{s.queueFiles, []index{
			{name: "filename_1_uploadDate_1", keys: key("filename", 1, "uploadDate", 1)},
		}},
		{s.queueChunks, []index{
			{name: "files_id_1_n_1", keys: key("files_id", 1, "n", 1), unique: true},
		}},
		{s.sessions, []index{
			{name: "user", keys: key("user", 1)},
			{name: "autoexpire", keys: key("expires", 1), ttl: 0, expires: true},
		}},
		{s.tokens, []index{
			{name: "user", keys: key("user", 1)},
			{name: "autoexpire", keys: key("expires", 1), ttl: 0, expires: true},
		}},
	}
}

func messageIndexes() []index {
	return []index{
		{name: "mailbox_uid_shard", keys: key("_id", 1, "mailbox", 1, "uid", 1), idle: true},
		{name: "user_messages_by_thread", keys: key("user", 1, "thread", 1), idle: true},
		{name: "eider_root", keys: indexRoot},
		{name: "mailbox_uid", keys: key("mailbox", 1, "uid", 1, "_id", 1), idle: true},
		{name: "mailbox_uid_reverse", keys: key("mailbox", 1, "uid", -1, "_id", -1), idle: true},
		{name: "mailbox_modseq_uid", keys: key("mailbox", 1, "modseq", 1, "uid", 1), idle: true},
		{name: "mailbox_flags", keys: key("mailbox", 1, "flags", 1), idle: true},
		{name: "by_idate", keys: key("mailbox", 1, "idate", 1), idle: true},
		{name: "by_idate_reverse_uid", keys: indexPage},
		{name: "by_hdate", keys: key("mailbox", 1, "hdate", 1, "msgid", 1), idle: true},
		{name: "by_size", keys: key("mailbox", 1, "size", 1), idle: true},
		{name: "by_headers", keys: key("mailbox", 1, "headers.key", 1, "headers.value", 1), idle: true},
		{name: "fulltext", keys: key("user", 1, "headers.value", "text", "text", "text"), partial: key("searchable", true), optional: true},
		{name: "mailbox_unseen_flag", keys: indexUnseen},
		{name: "user_unseen_flag", keys: key("user", 1, "unseen", 1), partial: key("searchable", true), idle: true},
		{name: "mailbox_undeleted_flag", keys: key("mailbox", 1, "undeleted", 1), idle: true},
		{name: "mailbox_flagged_flag", keys: key("mailbox", 1, "flagged", 1), idle: true},
		{name: "user_flagged_flag", keys: key("user", 1, "flagged", 1), idle: true},
		{name: "user_searchable_flag", keys: key("user", 1, "searchable", 1), idle: true},
		{name: "mailbox_draft_flag", keys: key("mailbox", 1, "draft", 1), idle: true},
		{name: "has_attachment", keys: key("mailbox", 1, "ha", 1), idle: true},
		{name: "retention_time", keys: key("exp", 1, "rdate", 1), partial: key("exp", true)},
		{name: "eider_conversation", keys: indexConversation},
		{name: "eider_msgid", keys: indexMessageID},
		{name: "eider_snapshot", keys: indexSnapshot},
		{name: indexPageUnseen, keys: indexPage, partial: key("unseen", true)},
		{name: indexPageFlagged, keys: indexPage, partial: key("flagged", true)},
		{name: indexPageAttachments, keys: indexPage, partial: key("ha", true)},
	}
}

// wanted reports whether the index is made here.
func (s *Store) wanted(x *index) bool { return !x.optional && (!x.idle || !s.embedded) }

// ensureIndexes makes what is missing. An index that WildDuck made with the
// same keys under another name or with other options is left as it is.
func (s *Store) ensureIndexes(ctx context.Context) error {
	for _, c := range s.schemaIndexes() {
		var all []mongo.IndexModel
		for i := range c.indexes {
			if s.wanted(&c.indexes[i]) {
				all = append(all, c.indexes[i].model())
			}
		}
		if _, err := c.collection.Indexes().CreateMany(ctx, all); err != nil && !indexConflict(err) {
			return fail("create indexes of "+c.collection.Name(), err)
		} else if err != nil {
			if err := s.ensureEach(ctx, c); err != nil {
				return err
			}
		}
		s.ensureOptional(ctx, c)
	}
	return nil
}

// ensureEach is the slow way, for a database whose indexes differ: one conflict
// must not keep the others from being made.
func (s *Store) ensureEach(ctx context.Context, c collectionIndexes) error {
	for i := range c.indexes {
		x := &c.indexes[i]
		if !s.wanted(x) {
			continue
		}
		if _, err := c.collection.Indexes().CreateOne(ctx, x.model()); err != nil && !indexConflict(err) {
			return fail(fmt.Sprintf("create index %s of %s", x.name, c.collection.Name()), err)
		}
	}
	return nil
}

func (s *Store) ensureOptional(ctx context.Context, c collectionIndexes) {
	for i := range c.indexes {
		x := &c.indexes[i]
		if !x.optional {
			continue
		}
		if _, err := c.collection.Indexes().CreateOne(ctx, x.model()); err != nil {
			s.log.LogAttrs(ctx, slog.LevelDebug, "index left out", slog.String("collection", c.collection.Name()), slog.String("index", x.name), slog.Any("err", err))
		}
	}
}

func (x *index) model() mongo.IndexModel {
	o := options.Index().SetName(x.name)
	if x.unique {
		o.SetUnique(true)
	}
	if x.sparse {
		o.SetSparse(true)
	}
	if x.expires {
		o.SetExpireAfterSeconds(x.ttl)
	}
	if x.partial != nil {
		o.SetPartialFilterExpression(x.partial)
	}
	return mongo.IndexModel{Keys: x.keys, Options: o}
}

// indexConflict: 85 IndexOptionsConflict, 86 IndexKeySpecsConflict.
func indexConflict(err error) bool {
	var command mongo.CommandError
	return errors.As(err, &command) && (command.Code == 85 || command.Code == 86)
}
