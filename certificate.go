package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/eidermail/eider/config"
)

// selfSignedLife is how long the certificate made on first start is valid. It
// is only ever met by opportunistic STARTTLS, where nobody verifies it.
const selfSignedLife = 10 * 365 * 24 * time.Hour

// loadTLS gives the configured certificate, or a self-signed one: kept in the
// data folder beside the embedded store, and in memory alone with MongoDB,
// where an instance keeps nothing on disk.
func loadTLS(c config.Config) (*tls.Config, error) {
	var cert tls.Certificate
	var err error
	switch {
	case c.TLSCert != "":
		if cert, err = tls.LoadX509KeyPair(c.TLSCert, c.TLSKey); err != nil {
			err = fmt.Errorf("--tls-cert %s with --tls-key %s: %w", c.TLSCert, c.TLSKey, err)
		}
	case c.Mongo != "":
		cert, err = newSelfSigned(c.Hostname)
	default:
		cert, err = storedSelfSigned(filepath.Join(c.Data, "tls"), c.Hostname)
	}
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

func storedSelfSigned(dir, host string) (tls.Certificate, error) {
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cert, fmt.Errorf("the certificate in %s cannot be used: %w: remove the folder, and the next start makes a new one", dir, err)
	}
	if err == nil {
		return cert, nil
	}
	certPEM, keyPEM, err := selfSignedPEM(host, time.Now())
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return tls.Certificate{}, fmt.Errorf("make the certificate's folder: %w", err)
	}
	// The key first, and the certificate under its name only when it is whole:
	// after a crash between there is none, and the next start makes both anew.
	part := certFile + ".part"
	err = os.WriteFile(keyFile, keyPEM, 0o600)
	if err == nil {
		err = os.WriteFile(part, certPEM, 0o600)
	}
	if err == nil {
		err = os.Rename(part, certFile)
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("keep the certificate: %w", err)
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

func newSelfSigned(host string) (tls.Certificate, error) {
	certPEM, keyPEM, err := selfSignedPEM(host, time.Now())
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

func selfSignedPEM(host string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, fmt.Errorf("make a serial number: %w", err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: host},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(selfSignedLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{host, "localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("write the key: %w", err)
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return certPEM, keyPEM, nil
}
