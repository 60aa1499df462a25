package k6

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestBeyondLoopbackIsEverythingElse(t *testing.T) {
	var ranges []*net.IPNet
	for text := range strings.SplitSeq(beyondLoopback(), ",") {
		_, n, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		ranges = append(ranges, n)
	}
	for address, want := range map[string]bool{
		"127.0.0.1": false, "127.255.255.255": false, "127.0.0.0": false, "::1": false, "::ffff:127.0.0.1": false,
		"126.255.255.255": true, "128.0.0.0": true, "0.0.0.0": true, "255.255.255.255": true, "10.0.0.1": true, "192.0.2.1": true,
		"::": true, "::2": true, "::ffff:192.0.2.1": true, "fe80::1": true, "2001:db8::1": true, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": true,
		"8000::1": true, "0:0:0:0:0:0:1:1": true, "64:ff9b::7f00:1": true,
	} {
		ip := net.IP(netip.MustParseAddr(address).AsSlice())
		got := false
		for _, n := range ranges {
			got = got || n.Contains(ip)
		}
		if got != want {
			t.Errorf("%s is beyond loopback: %v, want %v", address, got, want)
		}
	}
}
