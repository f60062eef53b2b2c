package config

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// option is one setting: its name as flag and in the file, its help, and how
// its text becomes a value.
type option struct {
	name, arg, help string
	isBool          bool
	set             func(string) error
}

// env is the option's environment variable: tls-cert is EIDER_TLS_CERT.
func (o option) env() string {
	return "EIDER_" + strings.ToUpper(strings.ReplaceAll(o.name, "-", "_"))
}

// options is the one list of settings; flags, environment, file and help all
// come from it.
func options(c *Config) []option {
	return []option{
		text("data", "DIR", "folder of the embedded store and the certificate made on first start", &c.Data),
		text("mongo", "URI", "MongoDB to use instead of the embedded store", &c.Mongo),
		text("mongo-database", "NAME", "database of mailboxes and messages", &c.MongoDatabase),
		text("mongo-users", "NAME|URI", "database of accounts, by name or on its own server; empty: the same", &c.MongoUsers),
		text("mongo-gridfs", "NAME|URI", "database of attachments, by name or on its own server; empty: the same", &c.MongoGridFS),
		text("mongo-sender", "NAME|URI", "database of the outbound queue, by name or on its own server", &c.MongoSender),
		text("dkim-secret", "TEXT", "encrypts DKIM keys at rest; WildDuck's dkim.secret", &c.DKIMSecret),
		text("certs-secret", "TEXT", "encrypts keys of certificates at rest; WildDuck's certs.secret", &c.CertsSecret),
		text("totp-secret", "TEXT", "encrypts seeds of TOTP codes at rest; WildDuck's totp.secret", &c.TOTPSecret),
		text("secret-cipher", "NAME", "cipher of keys in WildDuck's old form", &c.SecretCipher),
		text("redis", "URI", "Redis to use instead of signals in memory", &c.Redis),
		text("web", "HOST:PORT", "webmail; empty: off", &c.Web),
		text("api", "HOST:PORT", "REST API; empty: off", &c.API),
		text("lmtp", "HOST:PORT", "LMTP; empty: off", &c.LMTP),
		text("smtp", "HOST:PORT", "SMTP for mail from other hosts (MX); empty: off", &c.SMTP),
		text("docstore-listen", "HOST:PORT", "the embedded store for tools, without authentication (loopback only); empty: off", &c.DocstoreListen),
		text("tls-cert", "FILE", "certificate chain, PEM", &c.TLSCert),
		text("tls-key", "FILE", "private key, PEM", &c.TLSKey),
		yes("behind-proxy", "a trusted proxy in front ends TLS", &c.BehindProxy),
		text("hostname", "NAME", "this host's name in greetings and trace fields", &c.Hostname),
		list("domains", "NAME,…", "domains that addresses can be registered in", &c.Domains),
		yes("registration", "let visitors make an account", &c.Registration),
		text("api-token", "TOKEN", "root access token of the API", &c.APIToken),
		yes("api-open", "serve the API without a token (loopback only)", &c.APIOpen),
		size("max-message", "BYTES", "largest message; suffix K, M or G", &c.MaxMessage),
		number("max-recipients", "N", "most recipients of one SMTP transaction", &c.MaxRecipients),
		size("quota", "BYTES", "storage of an account without a limit of its own", &c.Quota),
		text("log-level", "LEVEL", "debug, info, warn or error", &c.LogLevel),
		text("log-format", "FORMAT", "auto, text or json", &c.LogFormat),
		duration("stop-timeout", "TIME", "how long a stop waits for work in hand", &c.StopTimeout),
	}
}

func text(name, arg, help string, p *string) option {
	return option{name: name, arg: arg, help: help, set: func(s string) error { *p = s; return nil }}
}

func yes(name, help string, p *bool) option {
	return option{name: name, help: help, isBool: true, set: func(s string) error {
		v, err := strconv.ParseBool(s)
		if err != nil {
			return errors.New("is true or false")
		}
		*p = v
		return nil
	}}
}

func list(name, arg, help string, p *[]string) option {
	return option{name: name, arg: arg, help: help, set: func(s string) error {
		*p = nil
		for part := range strings.SplitSeq(s, ",") {
			if part = strings.TrimSpace(part); part != "" {
				*p = append(*p, part)
			}
		}
		return nil
	}}
}

func number(name, arg, help string, p *int) option {
	return option{name: name, arg: arg, help: help, set: func(s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return errors.New("is a whole number above 0")
		}
		*p = n
		return nil
	}}
}

func size(name, arg, help string, p *int64) option {
	return option{name: name, arg: arg, help: help, set: func(s string) error {
		unit := int64(1)
		upper := strings.ToUpper(s)
		for suffix, u := range map[string]int64{"K": 1 << 10, "M": 1 << 20, "G": 1 << 30} {
			if rest, ok := strings.CutSuffix(upper, suffix); ok {
				upper, unit = rest, u
				break
			}
		}
		n, err := strconv.ParseInt(upper, 10, 64)
		if err != nil || n < 1 || n > (1<<62)/unit {
			return errors.New("is a number of bytes, such as 64M")
		}
		*p = n * unit
		return nil
	}}
}

func duration(name, arg, help string, p *time.Duration) option {
	return option{name: name, arg: arg, help: help, set: func(s string) error {
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 {
			return errors.New("is a time such as 20s")
		}
		*p = d
		return nil
	}}
}

// WriteOptions lists every option with its default, for `eider help`.
func WriteOptions(w io.Writer) {
	c := Default()
	writeUsage(w, options(&c))
}

func writeUsage(w io.Writer, opts []option) {
	line := func(flag, help string) { _, _ = fmt.Fprintf(w, "  %-26s %s\n", flag, help) }
	line("--config FILE", "settings as TOML, named as the options here")
	for _, o := range opts {
		line("--"+o.name+" "+o.arg, o.help)
	}
	_, _ = fmt.Fprintln(w, "Each option is also an environment variable: --tls-cert is EIDER_TLS_CERT.")
}
