package store

import (
	"context"
	"regexp"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
)

// DomainAlias makes a domain stand for another.
type DomainAlias struct {
	ID            mail.ID
	Alias, Domain string
	Created       time.Time
}

func (s *Store) aliasKind() *kind[DomainAlias] {
	return &kind[DomainAlias]{
		collection: s.aliases, name: "domain alias", none: mail.CodeNotFound, order: "alias",
		read: decoded((*aliasRecord).alias), doc: func(a *DomainAlias) bson.D { return key("alias", a.Alias, "domain", a.Domain) },
	}
}

// DomainAliases lists aliases by name. query, where not empty, is a part of
// either name.
func (s *Store) DomainAliases(ctx context.Context, query string, p Paging) ([]DomainAlias, Cursors, error) {
	filter := bson.D{}
	if query != "" {
		part := bson.Regex{Pattern: regexp.QuoteMeta(query), Options: "i"}
		filter = key("$or", bson.A{key("alias", part), key("domain", part)})
	}
	return s.aliasKind().page(ctx, filter, p)
}

// DomainAlias reads one. CodeNotFound.
func (s *Store) DomainAlias(ctx context.Context, id mail.ID) (DomainAlias, error) {
	return s.aliasKind().get(ctx, key("_id", oid(id)))
}

// ResolveDomainAlias finds one by its name. CodeNotFound.
func (s *Store) ResolveDomainAlias(ctx context.Context, alias string) (DomainAlias, error) {
	name, err := address.Domain(alias)
	if err != nil {
		return DomainAlias{}, &mail.Error{Code: mail.CodeNotFound, Op: "find domain alias", Err: err}
	}
	return s.aliasKind().get(ctx, key("alias", name))
}

// RemoveDomainAlias removes one. CodeNotFound.
func (s *Store) RemoveDomainAlias(ctx context.Context, id mail.ID) error {
	return s.aliasKind().remove(ctx, key("_id", oid(id)))
}

// Actions of a domain rule.
const (
	DomainAllow = "allow"
	DomainBlock = "block"
)

// DomainRule lets mail of a domain to tagged accounts pass, or turns it away.
type DomainRule struct {
	ID          mail.ID
	Tag, Domain string
	// Action is DomainAllow or DomainBlock.
	Action string
}

func (s *Store) ruleKind() *kind[DomainRule] {
	return &kind[DomainRule]{
		collection: s.domainAccess, name: "domain rule", none: mail.CodeNotFound, order: "_id",
		read: decoded((*domainRuleRecord).rule),
		doc: func(r *DomainRule) bson.D {
			return key("tag", text(r.Tag), "tagview", strings.ToLower(text(r.Tag)), "domain", r.Domain, "action", r.Action)
		},
	}
}

// AddDomainRule adds a domain to a tag's list, or moves it from the other list.
func (s *Store) AddDomainRule(ctx context.Context, tag, domain, action string) (DomainRule, error) {
	const op = "add domain rule"
	r := DomainRule{Tag: tag, Action: action}
	var err error
	if r.Domain, err = address.Domain(domain); err != nil || tag == "" || action != DomainAllow && action != DomainBlock {
		return r, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "domain", Reason: "format", Err: err}
	}
	var found domainRuleRecord
	// The tag's spelling is that of the first who used it.
	err = s.domainAccess.FindOneAndUpdate(ctx, key("tagview", strings.ToLower(text(tag)), "domain", r.Domain),
		bson.D{
			{Key: "$setOnInsert", Value: key("tag", text(tag), "tagview", strings.ToLower(text(tag)), "domain", r.Domain)},
			{Key: "$set", Value: key("action", action)},
		},
		options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)).Decode(&found)
	if mongo.IsDuplicateKeyError(err) {
		return r, &mail.Error{Code: mail.CodeConflict, Op: op, Err: err}
	}
	return found.rule(), fail(op, err)
}

// DomainRules lists a tag's domains of one action.
func (s *Store) DomainRules(ctx context.Context, tag, action, query string, p Paging) ([]DomainRule, Cursors, error) {
	filter := key("tagview", strings.ToLower(text(tag)), "action", action)
	if query != "" {
		filter = append(filter, bson.E{Key: "domain", Value: bson.Regex{Pattern: regexp.QuoteMeta(query), Options: "i"}})
	}
	return s.ruleKind().page(ctx, filter, p)
}

// RemoveDomainRule removes one. CodeNotFound.
func (s *Store) RemoveDomainRule(ctx context.Context, id mail.ID) error {
	return s.ruleKind().remove(ctx, key("_id", oid(id)))
}

// DomainRulesFor are the rules that accounts with these tags have for a domain.
// WildDuck compares with the spelling of the tag and so misses some.
func (s *Store) DomainRulesFor(ctx context.Context, tags []string, domain string) ([]DomainRule, error) {
	if len(tags) == 0 {
		return nil, nil
	}
	return s.ruleKind().list(ctx, key("tagview", key("$in", tagsView(tags)), "domain", domain), MaxPage)
}
