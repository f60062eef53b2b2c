// Package config reads Eider's settings from one TOML file, the environment
// and the command line into one typed struct, and says in one sentence what is
// wrong with them. It keeps nothing global and imports nothing of ours.
//
// The order is: built-in default, file, environment (EIDER_…), flag; the later wins.
package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// Config is every setting of the program. A listener's address is host:port,
// and empty means that the listener is off.
type Config struct {
	// Data is the folder of the embedded store, the certificate made on first
	// start and the control file.
	Data string
	// File is the TOML file that was read, empty for none.
	File string

	// Mongo is a mongodb:// or mongodb+srv:// URI; empty means the embedded store.
	Mongo string
	// MongoDatabase and the three below name the logical databases of WildDuck's
	// layout. Each of the three may be a URI, for a server of its own.
	MongoDatabase, MongoUsers, MongoGridFS, MongoSender string
	// DKIMSecret and CertsSecret encrypt private keys at rest, TOTPSecret the seeds
	// of the second factor's codes, in WildDuck's form; empty leaves them clear.
	// SecretCipher is that of its old form.
	DKIMSecret, CertsSecret, TOTPSecret, SecretCipher string
	// Redis is a redis://, rediss:// or unix:// URI; empty means signals in memory.
	Redis string

	Web, API, LMTP, SMTP string
	// DocstoreListen opens the embedded store to other programs of this machine,
	// without authentication: a loopback address, or empty for off.
	DocstoreListen string

	// TLSCert and TLSKey are PEM files. Without them SMTP and LMTP offer
	// STARTTLS with a self-signed certificate, and web and API speak plain HTTP.
	TLSCert, TLSKey string
	// BehindProxy says that a trusted proxy in front ends TLS and sets
	// X-Forwarded-For and X-Forwarded-Proto.
	BehindProxy bool

	// Hostname is the name in greetings, Received fields and message ids.
	Hostname string
	// Domains are the domains that a person may register an address in; the first is the default.
	Domains []string
	// Registration lets strangers make accounts in the webmail.
	Registration bool

	// APIToken is the root access token; empty for none.
	APIToken string
	// APIOpen serves the API without any token. Loopback only.
	APIOpen bool

	// MaxMessage is the largest message accepted, in bytes.
	MaxMessage int64
	// MaxRecipients is the most recipients of one SMTP transaction.
	MaxRecipients int
	// Quota is the storage of an account that has no limit of its own, in bytes.
	Quota int64

	// LogLevel is debug, info, warn or error; LogFormat is auto, text or json.
	LogLevel, LogFormat string
	// StopTimeout bounds the graceful stop.
	StopTimeout time.Duration
}

// Default is the configuration of a start without flags.
func Default() Config {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	return Config{
		Data:          "data",
		MongoDatabase: "wildduck",
		MongoSender:   "zone-mta",
		SecretCipher:  "aes192",
		Web:           "127.0.0.1:8080",
		API:           "127.0.0.1:8081",
		LMTP:          "127.0.0.1:2424",
		SMTP:          "127.0.0.1:2525",
		Hostname:      host,
		Domains:       []string{"eider.localhost"},
		Registration:  true,
		MaxMessage:    64 << 20,
		MaxRecipients: 1000,
		Quota:         1 << 30,
		LogLevel:      "info",
		LogFormat:     "auto",
		StopTimeout:   20 * time.Second,
	}
}

// Load reads the configuration of a command: args are the words behind it.
// It returns the words that are no flags. env is os.Environ's form. usage
// receives the help text when -h is among the args; the error is then
// flag.ErrHelp. extra adds flags that only this command has.
func Load(command string, args, env []string, usage io.Writer, extra ...func(*flag.FlagSet)) (Config, []string, error) {
	c := Default()
	opts := options(&c)

	// The file's name may come from the environment or a flag, so both are
	// looked at once before the file and once after it.
	flags, words, err := parseFlags(command, opts, args, usage, extra)
	if err != nil {
		return c, nil, err
	}
	vars := environment(env)
	c.File = firstSet(flags["config"], vars["EIDER_CONFIG"])
	if c.File != "" {
		if err := applyFile(opts, c.File); err != nil {
			return c, nil, err
		}
	}
	if err := applyEnvironment(opts, vars); err != nil {
		return c, nil, err
	}
	for _, o := range opts {
		if v, ok := flags[o.name]; ok {
			if err := o.set(*v); err != nil {
				return c, nil, fmt.Errorf("--%s %q: %w", o.name, *v, err)
			}
		}
	}
	return c, words, c.Validate()
}

func firstSet(a *string, b string) string {
	if a != nil {
		return *a
	}
	return b
}

// parseFlags reads args, where flags and words may be mixed, and gives the
// flags that were set.
func parseFlags(command string, opts []option, args []string, usage io.Writer, extra []func(*flag.FlagSet)) (map[string]*string, []string, error) {
	fs := flag.NewFlagSet("eider "+command, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	values := map[string]*string{"config": new(string)}
	fs.StringVar(values["config"], "config", "", "")
	for _, o := range opts {
		v := new(string)
		values[o.name] = v
		if o.isBool {
			fs.BoolFunc(o.name, "", func(s string) error { *v = s; return nil })
		} else {
			fs.StringVar(v, o.name, "", "")
		}
	}
	for _, add := range extra {
		add(fs)
	}
	var words []string
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				writeUsage(usage, opts)
				return nil, nil, err
			}
			return nil, nil, fmt.Errorf("%w; `eider help` lists the options", err)
		}
		if fs.NArg() == 0 {
			break
		}
		words = append(words, fs.Arg(0))
		args = fs.Args()[1:]
	}
	set := map[string]*string{}
	fs.Visit(func(f *flag.Flag) {
		if v, ok := values[f.Name]; ok {
			set[f.Name] = v
		}
	})
	return set, words, nil
}

func environment(env []string) map[string]string {
	vars := map[string]string{}
	for _, kv := range env {
		if k, v, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(k, "EIDER_") {
			vars[k] = v
		}
	}
	return vars
}

func applyEnvironment(opts []option, vars map[string]string) error {
	known := map[string]bool{"EIDER_CONFIG": true}
	for _, o := range opts {
		known[o.env()] = true
		if v, ok := vars[o.env()]; ok {
			if err := o.set(v); err != nil {
				return fmt.Errorf("%s=%q: %w", o.env(), v, err)
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		if !known[k] && !foreign(k) {
			return fmt.Errorf("%s is no setting; `eider help` lists them", k)
		}
	}
	return nil
}

// foreign reports variables with our prefix that others set: the test suite,
// and an orchestrator for a service that is called eider.
func foreign(name string) bool {
	for _, prefix := range []string{"EIDER_TEST_", "EIDER_SERVICE_", "EIDER_PORT"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func applyFile(opts []option, name string) error {
	raw := map[string]any{}
	if _, err := toml.DecodeFile(name, &raw); err != nil {
		return fmt.Errorf("configuration file %s: %w", name, err)
	}
	byName := map[string]option{}
	for _, o := range opts {
		byName[o.name] = o
	}
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		value := raw[key]
		o, ok := byName[key]
		if !ok {
			return fmt.Errorf("configuration file %s: %q is no setting; `eider help` lists them", name, key)
		}
		text, err := scalar(value)
		if err == nil {
			err = o.set(text)
		}
		if err != nil {
			return fmt.Errorf("configuration file %s: %s: %w", name, key, err)
		}
	}
	return nil
}

// scalar writes a TOML value as the text that the flag would have; a list
// becomes its members joined by commas.
func scalar(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool, int64, float64:
		return fmt.Sprint(v), nil
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			s, ok := e.(string)
			if !ok {
				return "", errors.New("a list here holds strings")
			}
			parts[i] = s
		}
		return strings.Join(parts, ","), nil
	default:
		return "", errors.New("a table is not expected here")
	}
}

// MongoServers are the databases that lie on servers of their own: option to URI.
func (c *Config) MongoServers() map[string]string {
	out := map[string]string{}
	for name, v := range map[string]string{"mongo-users": c.MongoUsers, "mongo-gridfs": c.MongoGridFS, "mongo-sender": c.MongoSender} {
		if strings.Contains(v, "://") {
			out[name] = v
		}
	}
	return out
}

// StoreName says which store is used, without the credentials of its URI.
func (c *Config) StoreName() string {
	if c.Mongo == "" {
		return "embedded, in " + c.Data
	}
	return "MongoDB"
}
