package client

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func TestConnectTimesEveryStep(t *testing.T) {
	dialogue(t, `
		+7ms
		S: 220-mx.test
		+2ms
		S: 220 ready
		C: EHLO client.test
		+3ms
		S: 250-mx.test greets you
		+1ms
		S: 250-PIPELINING
		S: 250-size 1000
		S: 250 ENHANCEDSTATUSCODES
		`, func(s *session) {
		s.cfg.LocalName = "client.test"
		conn, err := Connect(s.ctx, &s.cfg, &s.log, &s.greeting)
		if err != nil {
			t.Fatal(err)
		}
		s.conn = conn
		want := ConnectTimings{Resolving: NotMeasured, Connecting: 0, Banner: 9 * time.Millisecond, Ehlo: 4 * time.Millisecond,
			TLS: NotMeasured, EhloTLS: NotMeasured, Auth: NotMeasured}
		if s.greeting.Timings != want {
			t.Errorf("timings %v, expected %v", s.greeting.Timings, want)
		}
		if s.greeting.Banner != "mx.test\nready" {
			t.Errorf("banner %q", s.greeting.Banner)
		}
		if lines := s.greeting.Capabilities.Lines(); !slices.Equal(lines, []string{"PIPELINING", "size 1000", "ENHANCEDSTATUSCODES"}) {
			t.Errorf("capabilities %q", lines)
		}
		if params, ok := conn.Capabilities().Find("SIZE"); !ok || params != "1000" {
			t.Errorf("SIZE has %q %v", params, ok)
		}
		s.log.expect(t, "connect 220", "ehlo 250")
	})
}

func TestConnectSaysHeloAfterRefusedEhlo(t *testing.T) {
	dialogue(t, `
		S: 220 mx.test
		C: EHLO localhost
		+2ms
		S: 502 5.5.1 what?
		C: HELO localhost
		+3ms
		S: 250 mx.test
		`, func(s *session) {
		conn, err := Connect(s.ctx, &s.cfg, &s.log, &s.greeting)
		if err != nil {
			t.Fatal(err)
		}
		s.conn = conn
		if d := s.greeting.Timings.Ehlo; d != 5*time.Millisecond {
			t.Errorf("ehlo took %v, expected 5ms for both commands", d)
		}
		s.log.expect(t, "connect 220", "ehlo 502", "helo 250")
	})
}

func TestConnectFails(t *testing.T) {
	for _, test := range []struct {
		name, script string
		observed     []string
		want         string
	}{
		{"greeting refuses", "S: 554 5.7.1 go away", []string{"connect 554"}, "connect: 554 5.7.1 go away"},
		{"greeting is 421", "S: 421 busy", []string{"connect 421"}, "connect: 421 busy"},
		{"greeting is 354", "S: 354 go on", []string{"connect 354"}, "connect: 354 go on"},
		{"no greeting", "+1ms\nclose", []string{"connect lost: connection closed by the server"}, "connect: connection closed by the server"},
		{"half a greeting", "S~ 220-mx\n+1ms\nclose", []string{"connect lost: connection closed by the server"}, "connect: connection closed by the server"},
		{"silence", "hang", []string{"connect lost: timeout"}, "connect: timeout"},
		{"garbage", "S: HTTP/1.1 400 Bad Request\nhang",
			[]string{`connect lost: malformed reply: line does not start with a reply code from 200 to 599: "HTTP/1.1 400 Bad Request"`},
			`connect: malformed reply: line does not start with a reply code from 200 to 599: "HTTP/1.1 400 Bad Request"`},
		{"EHLO deferred", "S: 220 hi\nC: EHLO localhost\nS: 451 later", []string{"connect 220", "ehlo 451"}, "ehlo: 451 later"},
		{"EHLO answered by 421", "S: 220 hi\nC: EHLO localhost\nS: 421 bye", []string{"connect 220", "ehlo 421"}, "ehlo: 421 bye"},
		{"EHLO unanswered", "S: 220 hi\nC: EHLO localhost\nhang", []string{"connect 220", "ehlo lost: timeout"}, "ehlo: timeout"},
		{"HELO refused too", "S: 220 hi\nC: EHLO localhost\nS: 500 no\nC: HELO localhost\nS: 550 no",
			[]string{"connect 220", "ehlo 500", "helo 550"}, "helo: 550 no"},
		{"greeting whose last line refuses", "S: 220-mx.test\nS: 521 5.7.1 go away", []string{"connect 521"}, "connect: 521-5.7.1 mx.test / 521 5.7.1 go away"},
		{"greeting that refuses, and then does not", "S: 554-no\nS: 220-well\nS: 220 hi\nC: EHLO localhost\nS: 550-a\nS: 551 b\nhang",
			[]string{"connect 220", `ehlo lost: malformed reply: reply code differs from 550 in the lines before: "551 b"`},
			`ehlo: malformed reply: reply code differs from 550 in the lines before: "551 b"`},
		{"EHLO refused and closed", "S: 220 hi\nC: EHLO localhost\nS: 500 5.5.1 no such command\nC: HELO localhost\nclose",
			[]string{"connect 220", "ehlo 500", "helo lost: connection closed by the server"},
			"ehlo: 500 5.5.1 no such command; then helo: connection closed by the server"},
		{"EHLO refused, then silence", "S: 220 hi\nC: EHLO localhost\nS: 500 no\nC: HELO localhost\nhang",
			[]string{"connect 220", "ehlo 500", "helo lost: timeout"}, "helo: timeout"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dialogue(t, test.script, func(s *session) {
				conn, err := Connect(s.ctx, &s.cfg, &s.log, &s.greeting)
				if conn != nil || err == nil || err.Error() != test.want {
					t.Errorf("got %v and error %v, expected %q", conn, err, test.want)
				}
				s.log.expect(t, test.observed...)
			})
		})
	}
}

// slowDialer never connects, and tells what its context said.
type slowDialer struct{}

func (slowDialer) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestDialEndsWithTimeoutOrContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Address: "mx.test:25", Dialer: slowDialer{}, Now: time.Now}
		cfg.Timeouts[smtp.StageConnect] = time.Second
		var observed log
		var greeting Greeting
		start := time.Now()
		_, err := Connect(context.Background(), &cfg, &observed, &greeting)
		var timeout *DialTimeoutError
		if !errors.As(err, &timeout) || !errors.Is(err, ErrTimeout) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v, expected a dial timeout after 1s", err, time.Since(start))
		}
		cause := errors.New("iteration over")
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(cause)
		if _, err := Connect(ctx, &cfg, &observed, &greeting); !errors.Is(err, ErrAborted) || !errors.Is(err, cause) {
			t.Errorf("got %v, expected an abort with its cause", err)
		}
		observed.expect(t, "connect lost: dial: timeout", "connect lost: aborted: iteration over")
	})
}

// resolver answers after a second.
type resolver struct{ ip net.IP }

func (r resolver) ResolveAddr(string) (net.IP, int, error) {
	time.Sleep(time.Second)
	return r.ip, 2525, nil
}

type recordingDialer struct {
	address string
	conn    net.Conn
}

func (d *recordingDialer) DialContext(_ context.Context, network, address string) (net.Conn, error) {
	time.Sleep(30 * time.Millisecond)
	d.address = network + " " + address
	return d.conn, nil
}

func TestResolvedAddressAndPortAreDialled(t *testing.T) {
	dialogue(t, greeted, func(s *session) {
		d := &recordingDialer{conn: s.cfg.Dialer.(pipeDialer).conn}
		s.cfg.Dialer, s.cfg.Resolver = d, resolver{net.ParseIP("2001:db8::1")}
		s.connect()
		if d.address != "tcp [2001:db8::1]:2525" {
			t.Errorf("dialled %q", d.address)
		}
		if got := s.greeting.Timings; got.Resolving != time.Second || got.Connecting != 30*time.Millisecond {
			t.Errorf("resolving %v and connecting %v, expected 1s and 30ms", got.Resolving, got.Connecting)
		}
	})
}

func TestSlowLookupIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Address: "mx.test:25", Dialer: slowDialer{}, Resolver: resolver{net.IPv4zero}, Now: time.Now}
		cfg.Timeouts[smtp.StageConnect] = 100 * time.Millisecond
		var greeting Greeting
		start := time.Now()
		_, err := Connect(context.Background(), &cfg, &log{}, &greeting)
		if !errors.Is(err, ErrTimeout) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("got %v after %v, expected a timeout after 100ms", err, time.Since(start))
		}
		time.Sleep(time.Second) // the lookup's own end, so that the bubble has no goroutine left
	})
}
