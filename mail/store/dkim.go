package store

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"regexp"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
)

// DKIMKey signs a domain's outgoing mail (RFC 6376).
type DKIMKey struct {
	ID mail.ID
	// Domain is * for all that have no key of their own.
	Domain, Selector, Description string
	// PublicKey is a PEM block; PublicKeyDER is the p= of the DNS record.
	PublicKey, PublicKeyDER string
	// Fingerprint is SHA-256 of the private key, in pairs of digits with colons.
	Fingerprint string
	Created     time.Time
	// PrivateKey is a PEM block (PKCS #8 or #1); it is read by DKIMSigner only.
	PrivateKey string
	sealed     string
}

// Record is the name and the text of the DNS record.
func (k *DKIMKey) Record() (name, text string) {
	return k.Selector + "._domainkey." + k.Domain, "v=DKIM1;t=s;p=" + k.PublicKeyDER
}

func (s *Store) dkimKind() *kind[DKIMKey] {
	return &kind[DKIMKey]{
		collection: s.dkim, name: "DKIM key", none: mail.CodeNotFound, order: "domain",
		read: decoded((*dkimRecord).key), doc: func(*DKIMKey) bson.D { return nil },
	}
}

// errKey says that a text is no private key that DKIM knows.
var errKey = errors.New("neither an RSA nor an Ed25519 private key in PEM")

// parseSigner reads a private key.
func parseSigner(text string) (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errKey
	}
	if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return k, nil
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.Join(errKey, err)
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return nil, errKey
	}
	return signer, nil
}

// fingerprint is SHA-256 of a private key's bytes in its PEM block, as WildDuck
// has it.
func fingerprint(privateKey string) string {
	var der []byte
	if block, _ := pem.Decode([]byte(privateKey)); block != nil {
		der = block.Bytes
	}
	sum := sha256.Sum256(der)
	pairs := make([]string, len(sum))
	for i := range sum {
		pairs[i] = hex32([32]byte{sum[i]})[:2]
	}
	return strings.Join(pairs, ":")
}

// SetDKIM keeps a domain's key, in place of the one it had, whose id it takes.
// The private key is encrypted at rest where a secret is configured.
// CodeInvalid with Field domain, selector or privateKey.
func (s *Store) SetDKIM(ctx context.Context, domain, selector, privateKey, description string) (DKIMKey, error) {
	const op = "set DKIM key"
	invalid := func(field string, err error) (DKIMKey, error) {
		return DKIMKey{}, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: field, Reason: "format", Err: err}
	}
	if domain != "*" {
		var err error
		if domain, err = address.Domain(domain); err != nil {
			return invalid("domain", err)
		}
	}
	if selector == "" || strings.ContainsAny(selector, " \t\r\n;") {
		return invalid("selector", nil)
	}
	signer, err := parseSigner(privateKey)
	if err != nil {
		return invalid("privateKey", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return invalid("privateKey", err)
	}
	k := DKIMKey{Domain: domain, Selector: selector, Description: text(description), Created: s.now()}
	switch public := signer.Public().(type) {
	case *rsa.PublicKey:
		k.PublicKeyDER = base64.StdEncoding.EncodeToString(spki)
	case ed25519.PublicKey:
		// RFC 8463 4: the key itself.
		k.PublicKeyDER = base64.StdEncoding.EncodeToString(public)
	case *ecdsa.PublicKey:
		return invalid("privateKey", errKey)
	default:
		return invalid("privateKey", errKey)
	}
	k.PublicKey = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
	k.Fingerprint = fingerprint(privateKey)
	sealed, err := s.secrets.dkim.Encrypt(privateKey)
	if err != nil {
		return k, fail(op, err)
	}
	doc := bson.D{
		{Key: "domain", Value: k.Domain},
		{Key: "selector", Value: k.Selector},
		{Key: "privateKey", Value: sealed},
		{Key: "publicKey", Value: k.PublicKey},
		{Key: "publicKeyDer", Value: k.PublicKeyDER},
		{Key: "fingerprint", Value: k.Fingerprint},
		{Key: "created", Value: k.Created},
		{Key: "latest", Value: true},
	}
	var stored dkimRecord
	err = s.dkim.FindOneAndReplace(ctx, key("domain", k.Domain), given(doc, "description", k.Description),
		options.FindOneAndReplace().SetUpsert(true).SetReturnDocument(options.After)).Decode(&stored)
	return stored.key(), fail(op, err)
}

// DKIM reads a domain's key, without the private part. CodeNotFound.
func (s *Store) DKIM(ctx context.Context, domain string) (DKIMKey, error) {
	if domain != "*" {
		var err error
		if domain, err = address.Domain(domain); err != nil {
			return DKIMKey{}, &mail.Error{Code: mail.CodeNotFound, Op: "read DKIM key", Err: err}
		}
	}
	return s.dkimKind().get(ctx, key("domain", domain))
}

// DKIMByID reads a key, without the private part. CodeNotFound.
func (s *Store) DKIMByID(ctx context.Context, id mail.ID) (DKIMKey, error) {
	return s.dkimKind().get(ctx, key("_id", oid(id)))
}

// DKIMSigner is the key that signs a domain's mail, with its private part: the
// domain's own, or the one for all. CodeNotFound.
func (s *Store) DKIMSigner(ctx context.Context, domain string) (DKIMKey, error) {
	k, err := s.DKIM(ctx, domain)
	if mail.IsCode(err, mail.CodeNotFound) {
		k, err = s.DKIM(ctx, "*")
	}
	if err != nil {
		return k, err
	}
	k.PrivateKey, err = s.secrets.dkim.Decrypt(k.sealed)
	return k, fail("open DKIM key", err)
}

// DKIMKeys lists keys by domain. query, where not empty, is a part of the domain.
func (s *Store) DKIMKeys(ctx context.Context, query string, p Paging) ([]DKIMKey, Cursors, error) {
	filter := bson.D{}
	if query != "" {
		filter = key("domain", bson.Regex{Pattern: regexp.QuoteMeta(query), Options: "i"})
	}
	return s.dkimKind().page(ctx, filter, p)
}

// DeleteDKIM removes a key. CodeNotFound.
func (s *Store) DeleteDKIM(ctx context.Context, id mail.ID) error {
	return s.dkimKind().remove(ctx, key("_id", oid(id)))
}
