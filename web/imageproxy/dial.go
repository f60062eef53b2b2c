package imageproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/idna"
)

func refusef(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errRefused, fmt.Errorf(format, args...))
}

// newClient makes the client. It has no cookie jar, no proxy from the
// environment, and keeps no connection: every request is checked anew.
func (p *Proxy) newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            p.dial,
			TLSClientConfig:        p.o.TLS,
			TLSHandshakeTimeout:    p.o.Timeout,
			ResponseHeaderTimeout:  p.o.Timeout,
			MaxResponseHeaderBytes: 32 << 10,
			DisableKeepAlives:      true,
			DisableCompression:     true,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > MaxRedirects {
				return refusef("more than %d redirects", MaxRedirects)
			}
			// The address of one image is nobody else's business.
			req.Header.Del("Referer")
			return checkURL(req.URL)
		},
	}
}

// checkURL refuses what an image in a message has no honest reason to be.
func checkURL(u *url.URL) error {
	if u.Scheme != "http" && u.Scheme != "https" {
		return refusef("scheme %q", u.Scheme)
	}
	if u.User != nil || u.Opaque != "" {
		return refusef("user name in the URL")
	}
	// The port must be the scheme's own: TLS on 80 or plain text on 443 is no image.
	if port := u.Port(); port != "" && port != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		return refusef("port %q", port)
	}
	if strings.HasSuffix(u.Host, ":") {
		return refusef("empty port")
	}
	_, _, err := checkHost(u.Hostname())
	return err
}

// localSuffixes never name a public host: RFC 6761, RFC 6762, RFC 8375, RFC
// 7686, and the names that clouds and home routers use.
var localSuffixes = []string{
	"localhost", "local", "internal", "intranet", "lan", "home", "corp", "private", "home.arpa", "onion", "test", "invalid",
	"in-addr.arpa", "ip6.arpa", "localdomain",
}

// checkHost accepts a public address in its usual form, or a name of at least
// two labels. Everything else that the C library or a browser would read as an
// address (decimal, octal, hexadecimal, short forms) is refused.
func checkHost(host string) (name string, addr netip.Addr, err error) {
	if a, err := netip.ParseAddr(host); err == nil {
		if !public(a) {
			return "", a, refusef("address %s", a)
		}
		return "", a, nil
	}
	name, err = idna.Lookup.ToASCII(strings.TrimSuffix(host, "."))
	if err != nil {
		return "", addr, refusef("host name: %w", err)
	}
	labels := strings.Split(name, ".")
	if len(labels) < 2 || len(name) > 253 || slices.Contains(labels, "") {
		return "", addr, refusef("host name %q", name)
	}
	// URL Standard, "ends in a number": such a host is an IPv4 address.
	last := labels[len(labels)-1]
	if last[0] >= '0' && last[0] <= '9' {
		return "", addr, refusef("host %q reads as a number", name)
	}
	for _, s := range localSuffixes {
		if name == s || strings.HasSuffix(name, "."+s) {
			return "", addr, refusef("local name %q", name)
		}
	}
	return name, addr, nil
}

// notPublic are the ranges of 0.0.0.0/0 and 2000::/3 that do not belong to
// public hosts (RFC 6890 and the IANA registries it set up).
var notPublic = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"168.63.129.16/32", // a cloud's metadata service on a public address
	"2001::/23",        // Teredo (RFC 4380), ORCHID, benchmarking
	"2001:db8::/32", "2002::/16" /* 6to4, RFC 3056 */, "2620:4f:8000::/48", "3fff::/20",
)

// globalUnicast is all that IANA gave out (RFC 4291 2.4). Outside it lie
// loopback, link-local, unique local, multicast, IPv4-mapped and
// IPv4-compatible addresses, and NAT64 (64:ff9b::/96, 64:ff9b:1::/48).
var globalUnicast = netip.MustParsePrefix("2000::/3")

func prefixes(list ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(list))
	for i, s := range list {
		all[i] = netip.MustParsePrefix(s)
	}
	return all
}

// public reports an address that the proxy may connect to.
func public(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" || a.Is6() && !globalUnicast.Contains(a) {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// maxTries is addresses of one host that are tried.
const maxTries = 3

// dial resolves the host once and connects to what it found. The answer of a
// second look-up, which a hostile server could make another one, is never used.
func (p *Proxy) dial(ctx context.Context, network, hostPort string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, refusef("address: %w", err)
	}
	name, addr, err := checkHost(host)
	if err != nil {
		return nil, err
	}
	addrs := []netip.Addr{addr}
	if name != "" {
		if addrs, err = p.o.Resolve(ctx, name); err != nil {
			return nil, fmt.Errorf("resolve %s: %w", name, err)
		}
	}
	for _, a := range addrs {
		// One forbidden address condemns the name: it is set up to be rebound.
		if !public(a) {
			return nil, refusef("%s has the address %s", name, a)
		}
	}
	number := uint16(80)
	if port == "443" {
		number = 443
	}
	failed := errors.New("no address")
	for _, a := range addrs[:min(len(addrs), maxTries)] {
		conn, err := p.o.Dial(ctx, network, netip.AddrPortFrom(a, number))
		if err == nil {
			return conn, nil
		}
		failed = err
	}
	return nil, failed
}

func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	// The dot keeps the system's search list out. An A record read through an
	// IPv6 socket may come in mapped form; it is the same address.
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host+".")
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	return addrs, err
}

func dialNetwork(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Timeout: DefaultTimeout, KeepAlive: -time.Second, Control: control}
	return d.DialContext(ctx, network, addr.String())
}

// control is the last look at the address, after everything that could have
// changed it and before the first packet.
func control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !public(ap.Addr()) || ap.Port() != 80 && ap.Port() != 443 {
		return refusef("dial %s", address)
	}
	return nil
}
