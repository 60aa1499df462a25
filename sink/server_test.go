package sink_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func TestDelivery(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := sinktest.Start(t, sinktest.WithDriver(kind))
		c := greeted(t, server)
		for range 3 {
			if got := c.deliver("a@sender.test", "b@recipient.test"); !strings.HasPrefix(got, "250 2.") {
				t.Fatalf("final reply %q, want 250 2.x.x", got)
			}
		}
		c.quit()

		s := eventually(t, server, "the connection is gone", func(s *sink.Stats) bool { return s.Net.Closed == 1 })
		if s.Driver != kind.String() || s.Connections != 1 || s.Open != 0 || s.Transactions != 3 || s.Recipients != 3 || s.Messages != 3 || s.Attempts.Delivered != 3 {
			t.Errorf("counters after 3 messages on one connection: %+v", s)
		}
		if s.BytesIn == 0 || s.BytesOut == 0 || s.Net.Reads == 0 || s.Net.Writes == 0 || s.Net.Failed != 0 || inFlight(s) != "" {
			t.Errorf("octets %d in, %d out, %d reads, %d writes, %d failures, in flight %+v", s.BytesIn, s.BytesOut, s.Net.Reads, s.Net.Writes, s.Net.Failed, inFlight(s))
		}
		if n := replyCount(s, "message", "250"); n != 3 {
			t.Errorf("%d replies 250 after the dot were counted, want 3", n)
		}
	})
}

func TestListeners(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		plan, err := fault.NewPlan(fault.PlanSpec{Rules: []fault.RuleSpec{{
			Stage: smtp.StageRcpt, Match: fault.Match{Listeners: []string{"six"}}, Outcomes: []fault.OutcomeSpec{{Weight: 1, Code: 550}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		socket := filepath.Join(t.TempDir(), "sink.sock")
		var mu sync.Mutex
		clients := map[string]netip.Addr{}
		server := sinktest.Start(t, sinktest.WithDriver(kind), sinktest.With(func(cfg *sink.Config) {
			cfg.Plan = plan
			cfg.Listeners = []sink.Listener{
				{Name: "four", Network: "tcp4", Address: "127.0.0.1:0"},
				{Name: "six", Address: "[::1]:0"},
				{Name: "both", Address: ":0"},
				{Name: "local", Network: "unix", Address: socket},
			}
			cfg.Observer = attemptObserver(func(a *event.Attempt) {
				mu.Lock()
				defer mu.Unlock()
				clients[a.Listener] = a.Client.Addr()
			})
		}))
		for _, want := range []struct{ listener, code string }{{"four", "250"}, {"six", "550"}, {"both", "250"}, {"local", "250"}} {
			c := dial(t, server, want.listener)
			c.expect("220 ")
			c.command("EHLO client.test", "250-")
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", want.code+" ")
			c.quit()
		}
		eventually(t, server, "all are gone", func(s *sink.Stats) bool { return s.Net.Closed == 4 })
		mu.Lock()
		defer mu.Unlock()
		loopback4, loopback6 := netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()
		if clients["four"] != loopback4 || clients["six"] != loopback6 || clients["local"] != (netip.Addr{}) || len(clients) != 4 {
			t.Errorf("the observer saw clients %v; want %v at four, %v at six, none at local", clients, loopback4, loopback6)
		}
		if both := clients["both"]; both.Is4In6() {
			t.Errorf("the client of the dual-stack listener is %v, want its IPv4 form", both)
		}
	})
}

// attemptObserver is told of attempts alone.
type attemptObserver func(*event.Attempt)

func (f attemptObserver) Row(row *event.Row) {
	if row.Kind == event.KindAttempt {
		f(&row.Attempt)
	}
}

func TestShutdownLetsTransactionsEnd(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := sinktest.Start(t, sinktest.WithDriver(kind), sinktest.With(func(cfg *sink.Config) { cfg.Loops = 2 }))
		idle, busy := greeted(t, server), greeted(t, server)
		greeted(t, server).quit()
		busy.command("MAIL FROM:<a@sender.test>", "250 ")
		busy.command("RCPT TO:<b@recipient.test>", "250 ")

		result := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		go func() { result <- server.Shutdown(ctx) }()

		idle.expect("421 4.3.2")
		idle.expectEOF()
		busy.command("DATA", "354 ")
		select {
		case err := <-result:
			t.Fatalf("Shutdown returned %v in mid-transaction", err)
		default:
		}
		busy.send("body\r\n.\r\n")
		busy.expect("250 2.")
		busy.expect("421 4.3.2")
		busy.expectEOF()
		_, _ = idle.conn.Close(), busy.conn.Close()
		if err := <-result; err != nil {
			t.Fatalf("Shutdown: %v", err)
		}
		addr := server.Addr("")
		if c, err := net.DialTimeout(addr.Network(), addr.String(), patience); err == nil {
			_ = c.Close()
			t.Error("the sink still accepts connections after Shutdown")
		}
		s := server.Stats()
		if s.Messages != 1 || s.Open != 0 || s.Connections != 3 || inFlight(s) != "" {
			t.Errorf("counters after Shutdown: %+v", s)
		}
		if err := server.Start(); !errors.Is(err, sink.ErrClosed) {
			t.Errorf("Start after Shutdown: %v, want %v", err, sink.ErrClosed)
		}
	})
}

func TestShutdownCutsOffWhatDoesNotEnd(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := sinktest.Start(t, sinktest.WithDriver(kind))
		c := greeted(t, server)
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown with a transaction in flight and a context that is done: %v, want %v", err, context.Canceled)
		}
		if s := server.Stats(); s.Open != 0 || s.Net.Closed != 1 || s.Net.Failed != 1 {
			t.Errorf("counters: %+v", s.Net)
		}
	})
}

func TestCloseEndsAShutdown(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := sinktest.Start(t, sinktest.WithDriver(kind))
		idle, busy := greeted(t, server), greeted(t, server)
		busy.command("MAIL FROM:<a@sender.test>", "250 ")
		result := make(chan error, 1)
		go func() { result <- server.Shutdown(context.Background()) }()
		idle.expect("421 ") // the shutdown is under way
		if err := server.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		select {
		case <-result: // with or without an error: what was left is gone
		case <-time.After(patience):
			t.Fatal("Shutdown still waits after Close")
		}
		if s := server.Stats(); s.Open != 0 {
			t.Errorf("%d connections are open after Close", s.Open)
		}
	})
}

func TestCloseBeforeStart(t *testing.T) {
	server, err := sink.New(sink.Config{Listeners: []sink.Listener{{Address: "127.0.0.1:0"}}})
	if err != nil {
		t.Fatal(err)
	}
	if s := server.Stats(); s.Connections != 0 || server.Addr("") != nil {
		t.Errorf("before Start: address %v, counters %+v", server.Addr(""), s)
	}
	if err := server.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := server.Start(); !errors.Is(err, sink.ErrClosed) {
		t.Errorf("Start after Close: %v, want %v", err, sink.ErrClosed)
	}
}

func TestPortInUse(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		first := sinktest.Start(t, sinktest.WithDriver(kind))
		for _, loops := range []int{1, 2} {
			address := first.Addr("").String()
			second, err := sink.New(sink.Config{Driver: kind, Loops: loops, Listeners: []sink.Listener{{Address: "127.0.0.1:0"}, {Address: address}}})
			if err != nil {
				t.Fatal(err)
			}
			err = second.Start()
			if want := fmt.Sprintf("sink: cannot listen on %s: address already in use", address); !errors.Is(err, syscall.EADDRINUSE) || err.Error() != want {
				t.Errorf("%d loops: Start: %v, want %s", loops, err, want)
			}
			if err := second.Close(); err != nil {
				t.Errorf("Close after a failed Start: %v", err)
			}
		}
	})
}

func TestSwapTakesEffectAtTheNextMail(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := sinktest.Start(t, sinktest.WithDriver(kind))
		c := greeted(t, server)
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		swap(t, server, sinktest.Plan(t, fault.Flags{Replies: []string{"rcpt=550"}}))
		c.command("RCPT TO:<b@recipient.test>", "250 ")
		c.command("RSET", "250 ")
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		c.command("RCPT TO:<b@recipient.test>", "550 ")
		swap(t, server, nil)
		c.command("RSET", "250 ")
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		c.command("RCPT TO:<b@recipient.test>", "250 ")
		s := server.Stats()
		if len(s.Rules) != 1 || s.Rules[0].Occurrences != 1 {
			t.Errorf("rules %+v; want the swapped rule with 1 occurrence", s.Rules)
		}
	})
}

func TestDelayedRepliesAreInTime(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		const delay = 30 * time.Millisecond
		server := sinktest.Start(t, sinktest.WithDriver(kind), sinktest.WithFlags(fault.Flags{Delays: []string{"noop=" + delay.String()}}))
		c := greeted(t, server)
		start := time.Now()
		c.send("NOOP\r\nNOOP\r\nRSET\r\n")
		c.expect("250 ")
		if d := time.Since(start); d < delay {
			t.Errorf("the first reply came after %v, want %v or later", d, delay)
		}
		c.expect("250 ")
		if d := time.Since(start); d < 2*delay {
			t.Errorf("the second reply came after %v, want %v or later", d, 2*delay)
		}
		c.expect("250 ")
		s := server.Stats()
		if s.Lateness == nil || s.Lateness.Count != 2 {
			t.Fatalf("lateness %+v, want 2 delayed replies", s.Lateness)
		}
	})
}

func TestIdleClientsAreDismissed(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := sinktest.Start(t, sinktest.WithDriver(kind), sinktest.With(func(cfg *sink.Config) { cfg.IdleTimeout = 20 * time.Millisecond }))
		c := dial(t, server, "")
		c.expect("220 ")
		c.expect("421 ") // without an enhanced status code, since EHLO was not said
		c.expectEOF()
	})
}

// Replies in flight are those that nobody can vouch for.
func TestRepliesThatWereNeverWritten(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := sinktest.Start(t, sinktest.WithDriver(kind), sinktest.WithFlags(fault.Flags{Delays: []string{"noop=30m"}}))
		c := greeted(t, server)
		c.send("NOOP\r\n")
		const want = "noop 250 2.0.0: 1 unsent, 0 unread"
		s := eventually(t, server, "NOOP is decided", func(s *sink.Stats) bool { return replyCount(s, "noop", "250") == 1 })
		if inFlight(s) != want {
			t.Errorf("in flight during a delay: %s, want %s", inFlight(s), want)
		}
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		if s := server.Stats(); inFlight(s) != want {
			t.Errorf("in flight after the end: %s, want %s", inFlight(s), want)
		}
	})
}

func TestRepliesThatWerePerhapsNotRead(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := sinktest.Start(t, sinktest.WithDriver(kind), sinktest.WithFlags(fault.Flags{Replies: []string{"rset=451"}}))
		greeted(t, server).quit()

		leaving := greeted(t, server) // reads the reply, but the sink can't know
		leaving.command("RSET", "451 ")
		_ = leaving.conn.Close()

		pipelining := greeted(t, server)
		pipelining.send("RSET\r\nNOOP\r\n")
		pipelining.expect("451 ")
		pipelining.expect("250 ")
		if err := pipelining.conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = pipelining.conn.Close() // by a reset

		s := eventually(t, server, "all are gone", func(s *sink.Stats) bool { return s.Net.Closed == 3 })
		const want = "rset 451 4.3.0: 0 unsent, 2 unread; noop 250 2.0.0: 0 unsent, 1 unread"
		if inFlight(s) != want {
			t.Errorf("in flight: %s, want %s", inFlight(s), want)
		}
		if s.Net.Failed != 1 {
			t.Errorf("%d connections failed, want the one that was reset", s.Net.Failed)
		}
	})
}

func TestTimeSeries(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := sinktest.Start(t, sinktest.WithDriver(kind))
		c := greeted(t, server)
		for range 5 {
			c.deliver("a@sender.test", "b@recipient.test")
		}
		var connections, messages uint64
		for _, w := range server.Stats().Windows {
			connections += w.Connections
			messages += w.Messages
		}
		if connections != 1 || messages != 5 {
			t.Errorf("the time series holds %d connections and %d messages, want 1 and 5", connections, messages)
		}
	})
}

func TestBadConfig(t *testing.T) {
	local := sink.Listener{Address: "127.0.0.1:0"}
	for _, test := range []struct {
		cfg  sink.Config
		want string
	}{
		{sink.Config{}, "sink: no listener: name at least one address to listen on"},
		{sink.Config{Listeners: []sink.Listener{local, local}}, `sink: two listeners have the name "127.0.0.1:0": name them apart (name=address)`},
		{sink.Config{Listeners: []sink.Listener{{Network: "udp", Address: ":0"}}}, `sink: unknown network "udp" of listener ":0" (valid: tcp tcp4 tcp6 unix)`},
		{sink.Config{Listeners: []sink.Listener{{Address: "127.0.0.1"}}}, `sink: invalid listener "127.0.0.1" (want [name=]host:port or [name=]unix:/path, such as 127.0.0.1:2525)`},
		{sink.Config{Listeners: []sink.Listener{{Address: "127.0.0.1:70000"}}}, `sink: invalid listener "127.0.0.1:70000": port "70000" is not a number from 0 to 65535 or the name of a service`},
		{sink.Config{Listeners: []sink.Listener{local}, Loops: -1}, "sink: invalid number of loops -1 (want 0 to 1024)"},
		{sink.Config{Listeners: []sink.Listener{local}, MaxRecipients: -1}, "sink: invalid number of recipients -1 (want 1 or more)"},
	} {
		if _, err := sink.New(test.cfg); err == nil || err.Error() != test.want {
			t.Errorf("New(%+v): %v, want %s", test.cfg, err, test.want)
		}
	}
}

func TestParseListener(t *testing.T) {
	for _, test := range []struct {
		text string
		want sink.Listener
	}{
		{"127.0.0.1:25", sink.Listener{Network: "tcp", Address: "127.0.0.1:25"}},
		{"mx1=[::1]:2525", sink.Listener{Name: "mx1", Network: "tcp", Address: "[::1]:2525"}},
		{"lan=unix:/run/sink", sink.Listener{Name: "lan", Network: "unix", Address: "/run/sink"}},
	} {
		if got, err := sink.ParseListener(test.text); err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("ParseListener(%q) = %+v, %v, want %+v", test.text, got, err, test.want)
		}
	}
	for _, text := range []string{"", "localhost", "=:25", "unix:", ":port-without-name"} {
		if got, err := sink.ParseListener(text); err == nil {
			t.Errorf("ParseListener(%q) = %+v, want an error", text, got)
		}
	}
}
