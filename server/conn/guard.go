package conn

import (
	"net"
	"net/netip"
	"sync"
)

// Guard bounds the connections of a listener. The zero value bounds nothing.
type Guard struct {
	// Total and PerIP are the most connections at a time, 0 for no limit. An
	// IPv6 client counts by its /64: one customer has as many addresses in it
	// as he likes.
	Total, PerIP int

	mu    sync.Mutex
	all   int
	peers map[string]int
}

// Enter counts a connection in. It gives the function that counts it out, or
// false when there are too many already.
func (g *Guard) Enter(peer net.Addr) (leave func(), ok bool) {
	key := network(peer)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.Total > 0 && g.all >= g.Total || g.PerIP > 0 && g.peers[key] >= g.PerIP {
		return nil, false
	}
	if g.peers == nil {
		g.peers = map[string]int{}
	}
	g.all++
	g.peers[key]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.all--
		if g.peers[key]--; g.peers[key] == 0 {
			delete(g.peers, key)
		}
	}, true
}

// IP is the peer's address without port and zone, or "" where it has none.
func IP(peer net.Addr) string {
	if t, ok := peer.(*net.TCPAddr); ok {
		if a, ok := netip.AddrFromSlice(t.IP); ok {
			return a.Unmap().String()
		}
	}
	return ""
}

func network(peer net.Addr) string {
	ip := IP(peer)
	a, err := netip.ParseAddr(ip)
	if err != nil || a.Is4() {
		return ip
	}
	p, err := a.Prefix(64)
	if err != nil {
		return ip
	}
	return p.String()
}
