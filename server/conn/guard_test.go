package conn

import (
	"net"
	"testing"
)

func TestGuard(t *testing.T) {
	peer := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 7} }
	g := Guard{Total: 3, PerIP: 2}
	enter := func(ip string, want bool) func() {
		t.Helper()
		leave, ok := g.Enter(peer(ip))
		if ok != want {
			t.Fatalf("%s: %v, want %v", ip, ok, want)
		}
		return leave
	}
	first := enter("192.0.2.1", true)
	enter("::ffff:192.0.2.1", true)
	enter("192.0.2.1", false)
	one := enter("2001:db8::1", true)
	enter("192.0.2.2", false)
	first()
	enter("192.0.2.1", true)
	one()
	enter("2001:db8::2", true)
	if len(g.peers) != 2 {
		t.Errorf("peers kept: %v", g.peers)
	}
}

func TestGuardCountsIPv6ByNetwork(t *testing.T) {
	g := Guard{PerIP: 1}
	if _, ok := g.Enter(&net.TCPAddr{IP: net.ParseIP("2001:db8::1")}); !ok {
		t.Fatal("first refused")
	}
	if _, ok := g.Enter(&net.TCPAddr{IP: net.ParseIP("2001:db8::ffff")}); ok {
		t.Error("second of one /64 accepted")
	}
	if _, ok := g.Enter(&net.TCPAddr{IP: net.ParseIP("2001:db8:0:1::1")}); !ok {
		t.Error("another /64 refused")
	}
}
