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

// ForwardedAutoreply is what a forwarded address answers by itself.
type ForwardedAutoreply struct {
	Status                    bool
	Name, Subject, Text, HTML string
	// Start and End are zero for no bound.
	Start, End time.Time
}

func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

func (s *Store) addressKind() *kind[AddressRecord] {
	return &kind[AddressRecord]{
		collection: s.addresses, name: "address", none: mail.CodeNotFound, order: "addrview",
		read: decoded((*addressRecord).record), doc: addressDoc,
	}
}

// AddForwarded makes an address that belongs to no account and passes mail on.
// CodeExists when anybody has it.
func (s *Store) AddForwarded(ctx context.Context, a address.Address, r AddressRecord) (AddressRecord, error) {
	const op = "add forwarded address"
	r.ID, r.User, r.Address, r.Created = mail.NewIDAt(s.now()), mail.ID{}, a.Normal(), s.now()
	nameTargets(r.Targets)
	err := s.addressKind().insert(ctx, r.ID, &r, bson.E{Key: "address", Value: a.Normal()}, bson.E{Key: "addrview", Value: a.View()},
		bson.E{Key: "created", Value: r.Created})
	if mail.IsCode(err, mail.CodeExists) {
		return r, &mail.Error{Code: mail.CodeExists, Op: op, Field: "address", Reason: "taken"}
	}
	if err != nil {
		return r, err
	}
	return r, s.rememberDomain(ctx, a.Domain)
}

func nameTargets(list []Target) {
	for i := range list {
		if list[i].ID.IsZero() {
			list[i].ID = mail.NewID()
		}
	}
}

// Address reads an address by its id: of the account user, or a forwarded one
// with user zero. CodeNotFound.
func (s *Store) Address(ctx context.Context, user, id mail.ID) (AddressRecord, error) {
	a, err := s.addressKind().get(ctx, addressFilter(user, id))
	if err != nil || user.IsZero() {
		return a, err
	}
	u, err := s.User(ctx, user)
	a.Main = err == nil && u.Address == a.Address
	return a, err
}

func addressFilter(user, id mail.ID) bson.D {
	if user.IsZero() {
		return key("_id", oid(id), "targets", key("$exists", true))
	}
	return key("_id", oid(id), "user", oid(user))
}

// EditAddress changes name, tags, data, and what a forwarded address does.
// Owner and address stay; RenameAddress changes the latter.
func (s *Store) EditAddress(ctx context.Context, user, id mail.ID, change func(*AddressRecord) error) (AddressRecord, error) {
	return s.addressKind().edit(ctx, addressFilter(user, id), func(a *AddressRecord) error {
		err := change(a)
		nameTargets(a.Targets)
		return err
	})
}

// RenameAddress gives an address another spelling, or another name. When it is
// the account's main one, the account's follows; a crash between leaves a main
// address that MakeMain sets right. CodeExists when anybody has the new one.
func (s *Store) RenameAddress(ctx context.Context, user, id mail.ID, to address.Address) (AddressRecord, error) {
	const op = "rename address"
	a, err := s.Address(ctx, user, id)
	if err != nil {
		return a, err
	}
	_, err = s.addresses.UpdateOne(ctx, addressFilter(user, id), key("$set", key("address", to.Normal(), "addrview", to.View())))
	if mongo.IsDuplicateKeyError(err) {
		return a, &mail.Error{Code: mail.CodeExists, Op: op, Field: "address", Reason: "taken"}
	}
	if err != nil {
		return a, fail(op, err)
	}
	rest, cancel := after(ctx)
	defer cancel()
	if a.Main {
		if _, err := s.users.UpdateOne(rest, key("_id", oid(user), "address", a.Address), key("$set", key("address", to.Normal()))); err != nil {
			return a, fail(op, err)
		}
	}
	a.Address = to.Normal()
	return a, s.rememberDomain(rest, to.Domain)
}

// MakeMain makes an address of an account its main one. CodeInvalid for a
// wildcard.
func (s *Store) MakeMain(ctx context.Context, user, id mail.ID) error {
	const op = "make address the main one"
	a, err := s.Address(ctx, user, id)
	if err != nil {
		return err
	}
	if strings.Contains(a.Address, "*") {
		return &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "address", Reason: "format"}
	}
	return s.updateUser(ctx, op, user, key("$set", key("address", a.Address)))
}

// RemoveAddress takes an address away. The main one stays (CodeForbidden).
func (s *Store) RemoveAddress(ctx context.Context, user, id mail.ID) error {
	a, err := s.Address(ctx, user, id)
	if err != nil {
		return err
	}
	if a.Main {
		return &mail.Error{Code: mail.CodeForbidden, Op: "remove address"}
	}
	return s.addressKind().remove(ctx, addressFilter(user, id))
}

// AddressFilter narrows a list of addresses.
type AddressFilter struct {
	Query              string
	Tags, RequiredTags []string
	// Forwarded keeps only those that belong to no account.
	Forwarded bool
}

// AllAddresses lists the addresses of all accounts and the forwarded ones, by
// address. With a query it looks at all of them.
func (s *Store) AllAddresses(ctx context.Context, f AddressFilter, p Paging) ([]AddressRecord, Cursors, error) {
	filter, tags := bson.D{}, bson.D{}
	if f.Query != "" {
		filter = append(filter, bson.E{Key: "address", Value: bson.Regex{Pattern: regexp.QuoteMeta(f.Query), Options: "i"}})
	}
	if f.Forwarded {
		filter = append(filter, bson.E{Key: "targets", Value: key("$exists", true)})
	}
	if len(f.Tags) > 0 {
		tags = append(tags, bson.E{Key: "$in", Value: tagsView(f.Tags)})
	}
	if len(f.RequiredTags) > 0 {
		tags = append(tags, bson.E{Key: "$all", Value: tagsView(f.RequiredTags)})
	}
	if len(tags) > 0 {
		filter = append(filter, bson.E{Key: "tagsview", Value: tags})
	}
	return s.addressKind().page(ctx, filter, p)
}

// Renamed counts what RenameDomain changed.
type Renamed struct{ Addresses, Users, DKIM, Aliases int }

// RenameDomain changes a domain everywhere: addresses, main addresses, the
// domain's DKIM key, aliases to it. Addresses go one by one, each with its
// account; one that is taken in the new domain stays, and the rename ends with
// CodeExists after all others. After a crash it can be called again.
func (s *Store) RenameDomain(ctx context.Context, from, to string) (Renamed, error) {
	const op = "rename domain"
	var done Renamed
	from, err := address.Domain(from)
	if err != nil {
		return done, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "oldDomain", Reason: "format", Err: err}
	}
	if to, err = address.Domain(to); err != nil || from == to {
		return done, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "newDomain", Reason: "format", Err: err}
	}
	err = s.aliases.FindOne(ctx, key("alias", to)).Err()
	if !isNone(err) {
		if err == nil {
			err = &mail.Error{Code: mail.CodeExists, Op: op, Field: "newDomain", Reason: "taken"}
		}
		return done, fail(op, err)
	}
	taken, err := s.renameAddresses(ctx, from, to, &done)
	if err != nil {
		return done, err
	}
	res, err := s.dkim.UpdateMany(ctx, key("domain", from), key("$set", key("domain", to)))
	if err != nil && !mongo.IsDuplicateKeyError(err) {
		return done, fail(op, err)
	}
	if err == nil {
		done.DKIM = int(res.ModifiedCount)
	}
	if res, err = s.aliases.UpdateMany(ctx, key("domain", from), key("$set", key("domain", to))); err != nil {
		return done, fail(op, err)
	}
	done.Aliases = int(res.ModifiedCount)
	if err := s.rememberDomain(ctx, to); err != nil {
		return done, err
	}
	if taken {
		return done, &mail.Error{Code: mail.CodeExists, Op: op, Field: "address", Reason: "taken"}
	}
	return done, nil
}

func (s *Store) renameAddresses(ctx context.Context, from, to string, done *Renamed) (taken bool, err error) {
	const op = "rename addresses"
	ends := bson.Regex{Pattern: "@" + regexp.QuoteMeta(from) + "$"}
	for last := ""; ; {
		rows, err := all[addressRecord](ctx, op, s.addresses, key("$and", bson.A{key("addrview", ends), key("addrview", key("$gt", last))}),
			options.Find().SetSort(key("addrview", 1)).SetLimit(scanPage))
		if err != nil || len(rows) == 0 {
			return taken, err
		}
		for i := range rows {
			r := &rows[i]
			last = r.AddrView
			renamed := swapDomain(r.Address, to)
			_, err := s.addresses.UpdateOne(ctx, key("_id", r.ID, "addrview", r.AddrView),
				key("$set", key("address", renamed, "addrview", swapDomain(r.AddrView, to))))
			if mongo.IsDuplicateKeyError(err) {
				taken = true
				continue
			}
			if err != nil {
				return taken, fail(op, err)
			}
			done.Addresses++
			if rawID(r.User).IsZero() {
				continue
			}
			res, err := s.users.UpdateOne(ctx, key("_id", r.User, "address", r.Address), key("$set", key("address", renamed)))
			if err != nil {
				return taken, fail(op, err)
			}
			done.Users += int(res.ModifiedCount)
		}
	}
}

func swapDomain(address, to string) string {
	return address[:strings.LastIndexByte(address, '@')+1] + to
}
