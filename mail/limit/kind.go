package limit

import (
	"net/netip"
	"time"
)

// Kind is what is limited.
type Kind int

// The closed set of kinds. "Closed" marks those that refuse while signals are
// away; all others allow.
const (
	// AuthUser is failed logins to an account: 12 in 120 s. The key is the
	// account's id, or the username's view where there is no such account.
	AuthUser Kind = iota
	// AuthTOTP is wrong codes of the second factor: 12 in 120 s, by account.
	// Closed: a code has six digits, and guessing is all that it takes.
	AuthTOTP
	// AuthIP is failed logins from an address: 100 in 300 s. WildDuck has the
	// key and window with the limit off. IPv6 counts by /64.
	AuthIP
	// Register is new accounts from an address: 20 an hour, IPv6 by /64.
	// Closed: accounts made by the thousand stay when signals are back.
	Register
	// RcptUser is recipients that an account sends to: 2000 in 24 h.
	RcptUser
	// ForwardUser is forwards of an account or forwarded address: 2000 in 24 h.
	ForwardUser
	// Receive is messages to an account: 60 in 60 s.
	Receive
	// ReceiveIP is messages from one address to one account: 100 an hour. The
	// key is ReceiveIPKey.
	ReceiveIP
	// IMAPUpload is bytes that an account appends: 10 GiB in 24 h.
	IMAPUpload
	// IMAPDownload is bytes of bodies that an account fetches: 10 GiB in 24 h.
	IMAPDownload
	// POP3Download is bytes that an account retrieves: 10 GiB in 24 h.
	POP3Download
	// ImageProxy is remote images shown to an account: 600 in 600 s.
	ImageProxy
	// API is calls with one token: 3000 in 60 s.
	API

	kinds int = iota
)

// Rule is a limit: at most Limit in a Window that starts with the first use.
// Limit 0 means no limit.
type Rule struct {
	Limit  int64
	Window time.Duration

	name   string
	prefix string
	closed bool
	// byNetwork shortens an IPv6 address to its /64: one customer has as many
	// addresses in it as he likes.
	byNetwork bool
}

const (
	day      = 24 * time.Hour
	transfer = 10 << 30
)

// defaultRules are WildDuck's where it has a limit. Keys of our own begin with
// "eider:".
func defaultRules() [kinds]Rule {
	return [kinds]Rule{
		AuthUser:     {name: "login", prefix: "auth_user:", Limit: 12, Window: 120 * time.Second},
		AuthTOTP:     {name: "second factor", prefix: "auth_user:totp:", Limit: 12, Window: 120 * time.Second, closed: true},
		AuthIP:       {name: "login by address", prefix: "auth_ip:", Limit: 100, Window: 300 * time.Second, byNetwork: true},
		Register:     {name: "registration", prefix: "eider:register:", Limit: 20, Window: time.Hour, closed: true, byNetwork: true},
		RcptUser:     {name: "recipients", prefix: "wdr:", Limit: 2000, Window: day},
		ForwardUser:  {name: "forwards", prefix: "wdf:", Limit: 2000, Window: day},
		Receive:      {name: "receive", prefix: "rl:rcpt:", Limit: 60, Window: time.Minute},
		ReceiveIP:    {name: "receive by address", prefix: "rl:rcptIp:", Limit: 100, Window: time.Hour},
		IMAPUpload:   {name: "IMAP upload", prefix: "iup:", Limit: transfer, Window: day},
		IMAPDownload: {name: "IMAP download", prefix: "idw:", Limit: transfer, Window: day},
		POP3Download: {name: "POP3 download", prefix: "pdw:", Limit: transfer, Window: day},
		ImageProxy:   {name: "image proxy", prefix: "eider:image:", Limit: 600, Window: 600 * time.Second},
		API:          {name: "API", prefix: "eider:api:", Limit: 3000, Window: time.Minute},
	}
}

func (k Kind) valid() bool { return k >= 0 && int(k) < kinds }

func (r Rule) key(key string) string {
	if r.byNetwork {
		key = network(key)
	}
	return r.prefix + key
}

// ReceiveIPKey is the key of ReceiveIP, in the form that WildDuck's inbound
// plugin writes.
func ReceiveIPKey(ip, user string) string { return ip + ":" + user }

// network gives an IPv4 address as it is and the /64 of an IPv6 one. What is no
// address stays, so that it still has a counter of its own.
func network(s string) string {
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return s
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return s
	}
	return prefix.String()
}
