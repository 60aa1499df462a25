package smtp

import (
	"errors"
	"testing"
)

func TestParseXClient(t *testing.T) {
	for _, c := range []struct {
		args, addr, helo, login string
		port                    uint16
	}{
		{"ADDR=192.0.2.7 PORT=4711", "192.0.2.7", "", "", 4711},
		{"addr=IPV6:2001:db8::7 name=client.example", "2001:db8::7", "", "", 0},
		{"ADDR=192.0.2.7 HELO=client+2Eexample LOGIN=ann+40example PROTO=ESMTP DESTADDR=192.0.2.1 DESTPORT=25", "192.0.2.7", "client.example", "ann@example", 0},
		{"ADDR=[UNAVAILABLE] NAME=[TEMPUNAVAIL] LOGIN=[UNAVAILABLE]", "invalid IP", "", "", 0},
	} {
		var x XClient
		if err := ParseXClient([]byte(c.args), &x); err != nil || x.Addr.String() != c.addr || string(x.Helo) != c.helo || string(x.Login) != c.login || x.Port != c.port {
			t.Errorf("%s: %+v, %v; want %+v", c.args, x, err, c)
		}
	}
	for _, args := range []string{
		"", "ADDR", "ADDR=", "ADDR=192.0.2", "ADDR=2001:db8::1", "ADDR=IPV6:192.0.2.1", "ADDR=192.0.2.1 ADDR=192.0.2.1", "PORT=0", "PORT=65536", "PROTO=LMTP", "FROM=x", "HELO=",
		"HELO=a+0Ab", "HELO=a+2", "ADDR=IPV6:fe80::1+25eth0", "NAME=",
	} {
		var x XClient
		var e *SyntaxError
		if err := ParseXClient([]byte(args), &x); !errors.As(err, &e) {
			t.Errorf("%q: %+v, %v; want a syntax error", args, x, err)
		}
	}
}

// FuzzParseXClient: what is accepted is within bounds.
func FuzzParseXClient(f *testing.F) {
	for _, args := range []string{"ADDR=192.0.2.7 PORT=4711", "addr=IPV6:2001:db8::7", "HELO=client+2Eexample LOGIN=ann+40example PROTO=ESMTP", "ADDR=[UNAVAILABLE] DESTADDR=192.0.2.1 DESTPORT=25"} {
		f.Add([]byte(args))
	}
	f.Fuzz(func(t *testing.T, args []byte) {
		var x XClient
		err := ParseXClient(args, &x)
		var e *SyntaxError
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("the error is %T", err)
		}
		if err == nil && (x.Given == 0 || len(x.Helo) > maxXClientValue || len(x.Login) > maxXClientValue || x.Addr.Zone() != "" || hasControl(x.Helo) || hasControl(x.Login)) {
			t.Fatalf("%q gives %+v", args, x)
		}
	})
}
