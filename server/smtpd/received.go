package smtpd

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// with is the protocol of Received (RFC 3848; RFC 6531 4.3).
func (s *Session) with(tx *transaction) string {
	name := "ESMTP"
	switch {
	case s.server.lmtp && tx.utf8:
		name = "UTF8LMTP"
	case s.server.lmtp:
		name = "LMTP"
	case tx.utf8:
		name = "UTF8SMTP"
	case s.conn.Greeting() == "HELO" && s.tls == nil:
		return "SMTP"
	}
	if s.tls != nil {
		name += "S"
	}
	return name
}

// received is our trace field (RFC 5321 4.4). It names the recipient only when
// there is one: others must not learn of each other. The tls clause is RFC
// 8314 4.3's.
func (s *Session) received(tx *transaction) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Received: from %s (%s)\r\n\tby %s (Eider) with %s id %s",
		printable(tx.helo), literal(s.remote), s.server.o.Hostname, s.with(tx), tx.id)
	if len(tx.rcpts) == 1 {
		fmt.Fprintf(&b, "\r\n\tfor <%s>", tx.rcpts[0].Address)
	}
	if s.tls != nil {
		fmt.Fprintf(&b, "\r\n\ttls %s (%s)", tls.CipherSuiteName(s.tls.CipherSuite), tls.VersionName(s.tls.Version))
	}
	fmt.Fprintf(&b, ";\r\n\t%s\r\n", s.server.o.Now().Format(time.RFC1123Z))
	return b.Bytes()
}

// literal is an IP address as RFC 5321 4.1.3 writes it.
func literal(ip string) string {
	if a, err := netip.ParseAddr(ip); err == nil && a.Is6() {
		return "[IPv6:" + ip + "]"
	}
	return "[" + ip + "]"
}

// maxHelo is the longest name of RFC 5321 4.5.3.1.2.
const maxHelo = 255

// printable keeps what a client calls itself from breaking out of the field.
func printable(s string) string {
	if s == "" {
		return "unknown"
	}
	for len(s) > maxHelo {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsGraphic(r) || strings.ContainsRune(` ();<>"\,`, r) {
			return '?'
		}
		return r
	}, s)
}
