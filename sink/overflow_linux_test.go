package sink

import "testing"

func TestParseNetstat(t *testing.T) {
	const text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 42 43\nIpExt: InNoRoutes ListenOverflows\nIpExt: 5 6\n"
	if n, ok := parseNetstat(text, "ListenOverflows"); n != 42 || !ok {
		t.Errorf("ListenOverflows is %d, %t; want 42", n, ok)
	}
	for _, bad := range []string{"", "TcpExt: ListenOverflows\n", "TcpExt: ListenOverflows\nTcpExt: x\n", "TcpExt: Other\nTcpExt: 3\n"} {
		if n, ok := parseNetstat(bad, "ListenOverflows"); ok {
			t.Errorf("%q: %d, want nothing", bad, n)
		}
	}
	if _, ok := listenOverflows(); !ok {
		t.Error("this kernel doesn't tell of overflows")
	}
}
