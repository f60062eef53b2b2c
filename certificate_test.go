package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/config"
)

func leaf(t *testing.T, c config.Config) *x509.Certificate {
	t.Helper()
	got, err := loadTLS(c)
	if err != nil {
		t.Fatal(err)
	}
	if got.MinVersion < tls.VersionTLS12 {
		t.Errorf("TLS %x is offered", got.MinVersion)
	}
	cert, err := x509.ParseCertificate(got.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestSelfSignedIsMadeOnce(t *testing.T) {
	c := config.Config{Data: t.TempDir(), Hostname: "mx.a.test"}
	first := leaf(t, c)
	for _, host := range []string{"mx.a.test", "localhost", "127.0.0.1", "::1"} {
		if err := first.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if now := time.Now(); first.NotBefore.After(now) || first.NotAfter.Before(now.AddDate(5, 0, 0)) {
		t.Errorf("valid from %s to %s", first.NotBefore, first.NotAfter)
	}
	if !bytes.Equal(first.Raw, leaf(t, c).Raw) {
		t.Error("the second start has another certificate")
	}
	for _, name := range []string{"cert.pem", "key.pem"} {
		info, err := os.Stat(filepath.Join(c.Data, "tls", name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// A crash between the writing of key and certificate leaves a key alone.
func TestHalfAPairIsMadeAnew(t *testing.T) {
	c := config.Config{Data: t.TempDir(), Hostname: "mx.a.test"}
	first := leaf(t, c)
	if err := os.Remove(filepath.Join(c.Data, "tls", "cert.pem")); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(first.Raw, leaf(t, c).Raw) {
		t.Error("a certificate without its file")
	}
}

func TestDamagedCertificateIsNamed(t *testing.T) {
	c := config.Config{Data: t.TempDir(), Hostname: "mx.a.test"}
	leaf(t, c)
	file := filepath.Join(c.Data, "tls", "cert.pem")
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadTLS(c); err == nil || !strings.Contains(err.Error(), filepath.Dir(file)) {
		t.Errorf("got %v", err)
	}
}

func TestWithMongoNothingIsKept(t *testing.T) {
	c := config.Config{Data: filepath.Join(t.TempDir(), "data"), Mongo: "mongodb://x", Hostname: "mx.a.test"}
	leaf(t, c)
	if _, err := os.Stat(c.Data); err == nil {
		t.Error("the folder was made")
	}
}

func TestConfiguredCertificate(t *testing.T) {
	own := config.Config{Data: t.TempDir(), Hostname: "mx.a.test"}
	made := leaf(t, own)
	c := config.Config{
		Data:    t.TempDir(),
		TLSCert: filepath.Join(own.Data, "tls", "cert.pem"), TLSKey: filepath.Join(own.Data, "tls", "key.pem"),
	}
	if !bytes.Equal(made.Raw, leaf(t, c).Raw) {
		t.Error("another certificate")
	}
	c.TLSKey = "nowhere.pem"
	if _, err := loadTLS(c); err == nil || !strings.Contains(err.Error(), "--tls-key nowhere.pem") {
		t.Errorf("got %v", err)
	}
}

// The certificate is good for a handshake with who trusts it.
func TestHandshake(t *testing.T) {
	c := config.Config{Data: t.TempDir(), Hostname: "mx.a.test"}
	server, err := loadTLS(c)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf(t, c))
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- tls.Server(ours, server).HandshakeContext(t.Context()) }()
	if err := tls.Client(theirs, &tls.Config{RootCAs: roots, ServerName: "mx.a.test"}).HandshakeContext(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
