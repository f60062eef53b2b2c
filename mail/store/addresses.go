package store

import (
	"context"
	"errors"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
)

// maxAddresses bounds what Addresses returns.
const maxAddresses = 1000

// Addresses lists an account's addresses, the main one first, then by address.
func (s *Store) Addresses(ctx context.Context, user mail.ID) ([]AddressRecord, error) {
	const op = "list addresses"
	u, err := s.User(ctx, user)
	if err != nil {
		return nil, err
	}
	cur, err := s.addresses.Find(ctx, key("user", oid(user)), options.Find().SetLimit(maxAddresses))
	if err != nil {
		return nil, fail(op, err)
	}
	var records []addressRecord
	if err := cur.All(ctx, &records); err != nil {
		return nil, fail(op, err)
	}
	out := make([]AddressRecord, len(records))
	for i := range records {
		out[i] = records[i].record()
		out[i].Main = out[i].Address == u.Address
	}
	sortAddresses(out)
	return out, nil
}

// AddAddress gives an account one more address. With main it becomes the
// account's main address. CodeExists when anybody has it.
func (s *Store) AddAddress(ctx context.Context, user mail.ID, a address.Address, name string, main bool) (AddressRecord, error) {
	const op = "add address"
	if main && strings.Contains(a.Normal(), "*") {
		return AddressRecord{}, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "address", Reason: "format"}
	}
	if _, err := s.User(ctx, user); err != nil {
		return AddressRecord{}, err
	}
	record, err := s.insertAddress(ctx, user, a, name, nil)
	if err != nil {
		return AddressRecord{}, err
	}
	if main {
		if _, err := s.users.UpdateOne(ctx, key("_id", oid(user)), key("$set", key("address", record.Address))); err != nil {
			return AddressRecord{}, fail(op, err)
		}
		record.Main = true
	}
	return record, nil
}

// addressFree tells early that an address is taken; the unique index decides.
func (s *Store) addressFree(ctx context.Context, a address.Address) error {
	err := s.addresses.FindOne(ctx, key("addrview", a.View()), options.FindOne().SetProjection(key("_id", 1))).Err()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil
	}
	if err != nil {
		return fail("look for address", err)
	}
	return &mail.Error{Code: mail.CodeExists, Op: "look for address", Field: "address", Reason: "taken"}
}

func (s *Store) insertAddress(ctx context.Context, user mail.ID, a address.Address, name string, tags []string) (AddressRecord, error) {
	const op = "insert address"
	id, now := mail.NewIDAt(s.now()), s.now()
	d := bson.D{
		{Key: "_id", Value: oid(id)},
		{Key: "user", Value: oid(user)},
		{Key: "name", Value: name},
		{Key: "address", Value: a.Normal()},
		{Key: "addrview", Value: a.View()},
		{Key: "created", Value: now},
	}
	if len(tags) > 0 {
		d = append(d, bson.E{Key: "tags", Value: stringArray(tags)}, bson.E{Key: "tagsview", Value: tagsView(tags)})
	}
	if _, err := s.addresses.InsertOne(ctx, d); err != nil {
		if mongo.IsDuplicateKeyError(err) {
			return AddressRecord{}, &mail.Error{Code: mail.CodeExists, Op: op, Field: "address", Reason: "taken"}
		}
		return AddressRecord{}, fail(op, err)
	}
	if err := s.rememberDomain(ctx, a.Domain); err != nil {
		return AddressRecord{}, err
	}
	return AddressRecord{ID: id, User: user, Address: a.Normal(), Name: name, Tags: tags, Created: now}, nil
}

// ResolveAddress finds who receives mail for an address: exactly (dots and
// +label do not matter), over an alias of its domain, and where o allows it by
// the longest wildcard and at last by user@*. CodeNoUser when nobody does.
func (s *Store) ResolveAddress(ctx context.Context, a address.Address, o ResolveOptions) (AddressRecord, error) {
	const op = "resolve address"
	if a.IsZero() || strings.Contains(a.Local, "*") {
		// A star would find a wildcard row as if it were an exact one.
		return AddressRecord{}, &mail.Error{Code: mail.CodeNoUser, Op: op}
	}
	found, err := s.addressByView(ctx, op, a.View())
	if found != nil || err != nil {
		return recordOf(found), err
	}
	target, err := s.aliasTarget(ctx, a)
	if err != nil {
		return AddressRecord{}, err
	}
	if target != nil {
		found, err := s.addressByView(ctx, op, target.View())
		if found != nil || err != nil {
			return recordOf(found), err
		}
	}
	if o.Wildcard {
		found, err := s.byWildcard(ctx, a, target)
		if found != nil || err != nil {
			return recordOf(found), err
		}
	}
	return AddressRecord{}, &mail.Error{Code: mail.CodeNoUser, Op: op}
}

func recordOf(a *addressRecord) AddressRecord {
	if a == nil {
		return AddressRecord{}
	}
	return a.record()
}

// addressByView returns nil without an error when nobody has the address.
func (s *Store) addressByView(ctx context.Context, op, view string) (*addressRecord, error) {
	var found addressRecord
	err := s.addresses.FindOne(ctx, key("addrview", view)).Decode(&found)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil //nolint:nilnil // the comment says what it means
	}
	if err != nil {
		return nil, fail(op, err)
	}
	return &found, nil
}

// aliasTarget is the address in the domain that a's domain is an alias of, or nil.
func (s *Store) aliasTarget(ctx context.Context, a address.Address) (*address.Address, error) {
	var alias struct {
		Domain string `bson:"domain"`
	}
	err := s.aliases.FindOne(ctx, key("alias", a.Domain)).Decode(&alias)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil //nolint:nilnil // the comment says what it means
	}
	if err != nil {
		return nil, fail("find domain alias", err)
	}
	return &address.Address{Local: a.Local, Domain: alias.Domain}, nil
}

// byWildcard asks once for all candidates and takes the most specific one. The
// candidates of the address's own domain go before those of the alias's
// target; user@* is the last of all.
func (s *Store) byWildcard(ctx context.Context, a address.Address, target *address.Address) (*addressRecord, error) {
	const op = "resolve wildcard address"
	own := address.WildcardViews(a)
	if len(own) == 0 {
		return nil, nil //nolint:nilnil // no candidates, nobody found
	}
	last := own[len(own)-1]
	views := own[:len(own)-1]
	if target != nil {
		other := address.WildcardViews(*target)
		views = append(views[:len(views):len(views)], other[:len(other)-1]...)
	}
	views = append(views[:len(views):len(views)], last)
	cur, err := s.addresses.Find(ctx, key("addrview", key("$in", stringArray(views))))
	if err != nil {
		return nil, fail(op, err)
	}
	var records []addressRecord
	if err := cur.All(ctx, &records); err != nil {
		return nil, fail(op, err)
	}
	for _, view := range views {
		for i := range records {
			if records[i].AddrView == view {
				return &records[i], nil
			}
		}
	}
	return nil, nil //nolint:nilnil // nobody found
}

// LocalDomain reports whether mail for the domain belongs here: an address or
// an alias has it. The domain is in Unicode, lower case.
func (s *Store) LocalDomain(ctx context.Context, domain string) (bool, error) {
	const op = "look for domain"
	only := options.FindOne().SetProjection(key("_id", 1))
	err := s.domains.FindOne(ctx, key("domain", domain), only).Err()
	if errors.Is(err, mongo.ErrNoDocuments) {
		err = s.aliases.FindOne(ctx, key("alias", domain), only).Err()
	}
	if errors.Is(err, mongo.ErrNoDocuments) {
		return false, nil
	}
	return err == nil, fail(op, err)
}

// AddDomainAlias makes mail for alias go to the same local-parts at domain.
func (s *Store) AddDomainAlias(ctx context.Context, alias, domain string) error {
	const op = "add domain alias"
	from, err := address.Domain(alias)
	if err != nil {
		return &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "alias", Reason: "format", Err: err}
	}
	to, err := address.Domain(domain)
	if err != nil || from == to {
		return &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "domain", Reason: "format", Err: err}
	}
	_, err = s.aliases.InsertOne(ctx, key("alias", from, "domain", to, "created", s.now()))
	if mongo.IsDuplicateKeyError(err) {
		return &mail.Error{Code: mail.CodeExists, Op: op, Field: "alias", Reason: "taken"}
	}
	if err != nil {
		return fail(op, err)
	}
	return s.rememberDomain(ctx, from)
}

// rememberDomain keeps the list of known domains, WildDuck's domaincache.
func (s *Store) rememberDomain(ctx context.Context, domain string) error {
	if domain == "" || domain == "*" {
		return nil
	}
	_, err := s.domains.UpdateOne(ctx, key("domain", domain), key("$setOnInsert", key("domain", domain)),
		options.UpdateOne().SetUpsert(true))
	if mongo.IsDuplicateKeyError(err) {
		return nil // somebody else remembered it at the same moment
	}
	return fail("remember domain", err)
}

// fillDomains builds the list of domains once, for a database whose writer did
// not keep one (WildDuck before 1.46.1).
func (s *Store) fillDomains(ctx context.Context) error {
	const op = "fill the list of domains"
	n, err := s.domains.EstimatedDocumentCount(ctx)
	if err != nil || n > 0 {
		return fail(op, err)
	}
	cur, err := s.addresses.Find(ctx, bson.D{}, options.Find().SetProjection(key("addrview", 1)).SetSort(key("addrview", 1)))
	if err != nil {
		return fail(op, err)
	}
	defer func() { _ = cur.Close(ctx) }()
	seen := map[string]bool{}
	for cur.Next(ctx) {
		var a addressRecord
		if err := cur.Decode(&a); err != nil {
			return fail(op, err)
		}
		domain := a.AddrView[strings.LastIndexByte(a.AddrView, '@')+1:]
		if seen[domain] {
			continue
		}
		seen[domain] = true
		if err := s.rememberDomain(ctx, domain); err != nil {
			return err
		}
	}
	return fail(op, cur.Err())
}

// KnownPeople completes an address book entry: people whose address starts
// with prefix (dots ignored, any case), latest first.
func (s *Store) KnownPeople(ctx context.Context, user mail.ID, prefix string, limit int) ([]Person, error) {
	const op = "find people"
	if limit <= 0 || limit > 50 {
		limit = 10
	}
	filter := key("user", oid(user), "disabled", false)
	sort := key("updated", -1)
	if prefix = strings.ToLower(strings.TrimSpace(prefix)); prefix != "" {
		local, domain, at := strings.Cut(prefix, "@")
		local = strings.ReplaceAll(local, ".", "")
		if at {
			local += "@" + domain
		}
		filter = append(filter, bson.E{Key: "addrview", Value: key("$gte", local, "$lt", local+"\U0010FFFF")})
		sort = key("addrview", 1)
	}
	cur, err := s.addressRegister.Find(ctx, filter, options.Find().SetSort(sort).SetLimit(int64(limit)))
	if err != nil {
		return nil, fail(op, err)
	}
	var records []personRecord
	if err := cur.All(ctx, &records); err != nil {
		return nil, fail(op, err)
	}
	out := make([]Person, len(records))
	for i, r := range records {
		out[i] = Person{Name: r.Name, Address: r.Address, Updated: r.Updated.UTC()}
	}
	return out, nil
}
