package config

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func load(t *testing.T, env []string, args ...string) (Config, error) {
	t.Helper()
	c, _, err := Load("serve", args, env, io.Discard)
	return c, err
}

func TestDefaultsAreValid(t *testing.T) {
	c, err := load(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Web != "127.0.0.1:8080" || c.API != "127.0.0.1:8081" || c.LMTP != "127.0.0.1:2424" || c.SMTP != "127.0.0.1:2525" {
		t.Errorf("listeners: %+v", c)
	}
}

func TestLaterSourceWins(t *testing.T) {
	file := filepath.Join(t.TempDir(), "eider.toml")
	write(t, file, `
data = "from-file"
web = "127.0.0.1:1"
smtp = ""
domains = ["a.example", "b.example"]
registration = false
max-recipients = 7
`)
	c, err := load(t, []string{"EIDER_WEB=127.0.0.1:2", "EIDER_DATA=from-env", "OTHER=x"}, "--config", file, "--web", "127.0.0.1:3")
	if err != nil {
		t.Fatal(err)
	}
	if c.Web != "127.0.0.1:3" || c.Data != "from-env" || c.SMTP != "" || c.Registration || c.MaxRecipients != 7 || len(c.Domains) != 2 {
		t.Errorf("got %+v", c)
	}
	if c, err = load(t, []string{"EIDER_CONFIG=" + file}); err != nil || c.Data != "from-file" {
		t.Errorf("file named by the environment: %v %+v", err, c)
	}
}

func TestWordsAndFlagsMix(t *testing.T) {
	c, words, err := Load("user add", []string{"add", "--data", "x", "ann", "--quota=2G"}, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(words, " ") != "add ann" || c.Data != "x" || c.Quota != 2<<30 {
		t.Errorf("words %q, %+v", words, c)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.toml")
	write(t, file, "colour = 1\n")
	for _, tc := range []struct {
		name string
		env  []string
		args []string
		want string
	}{
		{"unknown flag", nil, []string{"--colour"}, "colour"},
		{"unknown variable", []string{"EIDER_COLOUR=1"}, nil, "EIDER_COLOUR"},
		{"unknown key", nil, []string{"--config", file}, "colour"},
		{"missing file", nil, []string{"--config", file + "x"}, "bad.tomlx"},
		{"no port", nil, []string{"--web", "localhost"}, "host:port"},
		{"port out of range", nil, []string{"--smtp", "127.0.0.1:70000"}, "65535"},
		{"public without TLS", nil, []string{"--web", "0.0.0.0:80"}, "--tls-cert"},
		{"public API without TLS", nil, []string{"--api", ":80"}, "--behind-proxy"},
		{"open API in public", nil, []string{"--api", "0.0.0.0:80", "--behind-proxy", "--api-open"}, "loopback"},
		{"open store", nil, []string{"--docstore-listen", "0.0.0.0:27018"}, "no password"},
		{"open store by name", []string{"EIDER_DOCSTORE_LISTEN=db.example:27018"}, nil, "no password"},
		{"store and MongoDB", nil, []string{"--docstore-listen", "127.0.0.1:0", "--mongo", "mongodb://x"}, "one of the two"},
		{"half a key pair", nil, []string{"--tls-cert", "c.pem"}, "together"},
		{"mongo scheme", nil, []string{"--mongo", "http://secret@x"}, "mongodb://"},
		{"redis scheme", nil, []string{"--redis", "localhost"}, "redis://"},
		{"size", nil, []string{"--max-message", "big"}, "64M"},
		{"bool", []string{"EIDER_REGISTRATION=perhaps"}, nil, "true or false"},
		{"domains", nil, []string{"--domains", " , "}, "domain"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := load(t, tc.env, tc.args...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want it to name %q", err, tc.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("a credential is repeated: %q", err)
			}
		})
	}
}

func TestVariablesOfOthersAreLeftAlone(t *testing.T) {
	env := []string{"EIDER_SERVICE_HOST=10.0.0.1", "EIDER_PORT_8080_TCP=tcp://10.0.0.1:8080", "EIDER_TEST_REDIS=x"}
	if _, err := load(t, env); err != nil {
		t.Error(err)
	}
}

func TestPublicAddressWithProxyOrCertificate(t *testing.T) {
	for _, args := range [][]string{
		{"--web", "0.0.0.0:80", "--behind-proxy"},
		{"--web", "0.0.0.0:443", "--tls-cert", "c", "--tls-key", "k"},
		{"--web", "[::1]:0", "--api", "localhost:0"},
	} {
		if _, err := load(t, nil, args...); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
