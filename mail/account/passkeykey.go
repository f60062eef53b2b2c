package account

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
)

// The algorithms that a passkey may sign with, the best liked first
// (RFC 9053 2.1 and 2.2, RFC 8812 2).
var passkeyParameters = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
}

var (
	errKeyKind = errors.New("this kind of key is not known")
	errNoPEM   = errors.New("no PEM block of a public key")
)

const pemPublicKey = "PUBLIC KEY"

// pemOfCOSE turns an authenticator's key (RFC 9052 7) into the PEM block that
// WildDuck keeps.
func pemOfCOSE(cose []byte) (string, error) {
	parsed, err := webauthncose.ParsePublicKey(cose)
	if err != nil {
		return "", fmt.Errorf("read COSE key: %w", err)
	}
	public, err := publicKey(parsed)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("write public key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: pemPublicKey, Bytes: der})), nil
}

func publicKey(parsed any) (any, error) {
	switch k := parsed.(type) {
	case webauthncose.EC2PublicKeyData:
		if k.Algorithm == int64(webauthncose.AlgES256) {
			return k.ToECDSA()
		}
	case webauthncose.OKPPublicKeyData:
		if k.Algorithm == int64(webauthncose.AlgEdDSA) && len(k.XCoord) == ed25519.PublicKeySize {
			return ed25519.PublicKey(k.XCoord), nil
		}
	case webauthncose.RSAPublicKeyData:
		if k.Algorithm != int64(webauthncose.AlgRS256) {
			break
		}
		e, err := webauthncose.ParseRSAPublicKeyDataExponent(&k)
		if err != nil {
			return nil, fmt.Errorf("read exponent: %w", err)
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(k.Modulus), E: e}, nil
	}
	return nil, errKeyKind
}

// coseOfPEM is the way back. A PEM block does not say the algorithm: each kind
// of key has one here.
func coseOfPEM(text string) ([]byte, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != pemPublicKey {
		return nil, errNoPEM
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	var data any
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return nil, errKeyKind
		}
		point, err := k.Bytes()
		if err != nil {
			return nil, fmt.Errorf("read point: %w", err)
		}
		// SEC 1 2.3.3: 4, then both coordinates with their leading zeros.
		x, y := point[1:33], point[33:]
		data = webauthncose.EC2PublicKeyData{
			PublicKeyData: coseHead(webauthncose.EllipticKey, webauthncose.AlgES256), Curve: int64(webauthncose.P256), XCoord: x, YCoord: y,
		}
	case ed25519.PublicKey:
		data = webauthncose.OKPPublicKeyData{
			PublicKeyData: coseHead(webauthncose.OctetKey, webauthncose.AlgEdDSA), Curve: int64(webauthncose.Ed25519), XCoord: k,
		}
	case *rsa.PublicKey:
		data = webauthncose.RSAPublicKeyData{
			PublicKeyData: coseHead(webauthncose.RSAKey, webauthncose.AlgRS256), Modulus: k.N.Bytes(), Exponent: big.NewInt(int64(k.E)).Bytes(),
		}
	default:
		return nil, errKeyKind
	}
	cose, err := webauthncbor.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("write COSE key: %w", err)
	}
	return cose, nil
}

func coseHead(kind webauthncose.COSEKeyType, algorithm webauthncose.COSEAlgorithmIdentifier) webauthncose.PublicKeyData {
	return webauthncose.PublicKeyData{KeyType: int64(kind), Algorithm: int64(algorithm)}
}
