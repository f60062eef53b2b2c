package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
)

// Validate says in one sentence what is wrong and what to do about it.
func (c *Config) Validate() error {
	checks := []func() error{c.checkListeners, c.checkTLS, c.checkServers, c.checkNames, c.checkLog}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// listener is a named address of the command line.
type listener struct{ name, addr string }

func (c *Config) listeners() []listener {
	return []listener{{"web", c.Web}, {"api", c.API}, {"lmtp", c.LMTP}, {"smtp", c.SMTP}, {"docstore-listen", c.DocstoreListen}}
}

func (c *Config) checkListeners() error {
	for _, l := range c.listeners() {
		if l.addr == "" {
			continue
		}
		host, port, err := net.SplitHostPort(l.addr)
		if err != nil {
			return fmt.Errorf("--%s %q: give it as host:port, such as 127.0.0.1:8080", l.name, l.addr)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return fmt.Errorf("--%s %q: the port is a number from 0 (any free one) to 65535", l.name, l.addr)
		}
		http := l.name == "web" || l.name == "api"
		if http && c.TLSCert == "" && !c.BehindProxy && !Loopback(host) {
			return fmt.Errorf("--%s %s is not a loopback address: give --tls-cert and --tls-key, or --behind-proxy when a proxy ends TLS", l.name, l.addr)
		}
		if l.name == "api" && c.APIOpen && !Loopback(host) {
			return fmt.Errorf("--api-open is for loopback only, and --api is %s: leave out --api-open and use tokens", l.addr)
		}
		if l.name == "docstore-listen" && !Loopback(host) {
			return fmt.Errorf("--docstore-listen %s is not a loopback address, and the store asks for no password: give one such as 127.0.0.1:27018", l.addr)
		}
	}
	return nil
}

// Loopback reports whether a host of a listener's address is this machine alone.
func Loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func (c *Config) checkTLS() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key belong together: give both or none")
	}
	return nil
}

func (c *Config) checkServers() error {
	if c.Mongo == "" && c.Data == "" {
		return errors.New("--data is empty: name a folder for the embedded store, or give --mongo")
	}
	if c.Mongo != "" && c.DocstoreListen != "" {
		return errors.New("--docstore-listen opens the embedded store, which --mongo replaces: give one of the two")
	}
	if err := checkURI("mongo", c.Mongo, "mongodb", "mongodb+srv"); err != nil {
		return err
	}
	servers := c.MongoServers()
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		if err := checkURI(name, servers[name], "mongodb", "mongodb+srv"); err != nil {
			return err
		}
		if c.Mongo == "" {
			return fmt.Errorf("--%s names a server, and --mongo is empty: give both or none", name)
		}
	}
	if c.MongoDatabase == "" {
		return errors.New("--mongo-database is empty: name the database of mailboxes and messages")
	}
	return checkURI("redis", c.Redis, "redis", "rediss", "unix")
}

func checkURI(name, uri string, schemes ...string) error {
	if uri == "" {
		return nil
	}
	u, err := url.Parse(uri)
	if err != nil || !slices.Contains(schemes, u.Scheme) {
		// The URI may hold a password, so it is not repeated.
		return fmt.Errorf("--%s is no URI of the form %s://host:port", name, schemes[0])
	}
	return nil
}

func (c *Config) checkNames() error {
	if c.Hostname == "" {
		return errors.New("--hostname is empty: give this host's name")
	}
	if len(c.Domains) == 0 {
		return errors.New("--domains is empty: give at least one domain")
	}
	return nil
}

func (c *Config) checkLog() error {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) {
		return fmt.Errorf("--log-level %q: it is debug, info, warn or error", c.LogLevel)
	}
	if !slices.Contains([]string{"auto", "text", "json"}, c.LogFormat) {
		return fmt.Errorf("--log-format %q: it is auto, text or json", c.LogFormat)
	}
	return nil
}
