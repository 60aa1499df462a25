package sink_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// movedClock is the real clock, put forward by a test.
type movedClock struct{ ahead atomic.Int64 }

func (c *movedClock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *movedClock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

const twoPhases = `name: two
phases:
  - {name: outage, duration: 1h, rules: [{name: down, stage: mail, reply: 451}]}
  - {name: recovery, duration: 1h, rules: [{name: slow, stage: mail, delay: 1ms}]}
`

// A storm starts with the first connection, and a transaction keeps the phase that it began in.
func TestStormStartsWithTheFirstConnection(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		var clock movedClock
		server := faulty(t, kind, twoPhases, func(cfg *sink.Config) { cfg.Now, cfg.IdleTimeout = clock.now, -1 })
		clock.forward(3 * time.Hour) // nobody came: no storm yet
		if got := server.Phase(); got != "" {
			t.Errorf("phase %q before the first connection, want none", got)
		}
		c := greeted(t, server.Server)
		if got := server.Phase(); got != "outage" {
			t.Errorf("phase %q after the first connection, want outage", got)
		}
		c.command("MAIL FROM:<a@sender.test>", "451 ")
		clock.forward(time.Hour)
		c.deliver("a@sender.test", "b@recipient.test")
		clock.forward(time.Hour)
		c.deliver("a@sender.test", "b@recipient.test")
		c.quit()
		s := server.Stats()
		outage, recovery := count.AcceptedOf(s.InPhase("outage")), count.AcceptedOf(s.InPhase("recovery"))
		if !slices.Equal(s.Phases, []string{"outage", "recovery"}) || outage.Transactions != 0 || recovery.Messages != 1 {
			t.Errorf("phases %q, %+v, %+v, want no transaction in outage and 1 message in recovery", s.Phases, outage, recovery)
		}
		server.rows()
	})
}

func TestStormByTheClock(t *testing.T) {
	var clock movedClock
	server := faulty(t, sink.DriverAuto, "start: clock\n"+twoPhases, func(cfg *sink.Config) { cfg.Now, cfg.IdleTimeout = clock.now, -1 })
	for _, want := range []string{"outage", "recovery", ""} {
		if got := server.Phase(); got != want {
			t.Errorf("phase %q, want %q", got, want)
		}
		clock.forward(time.Hour)
	}
}

// The clock of a storm goes on when its plan is replaced, unless the new plan wants it to start anew.
func TestSwapAndTheStormClock(t *testing.T) {
	var clock movedClock
	server := faulty(t, sink.DriverAuto, "start: clock\n"+twoPhases, func(cfg *sink.Config) { cfg.Now, cfg.IdleTimeout = clock.now, -1 })
	clock.forward(time.Hour)
	for _, test := range []struct{ plan, want string }{
		{"start: clock\n" + strings.ReplaceAll(twoPhases, "451", "452"), "recovery"},
		{"start: clock\nrestart: true\n" + twoPhases, "outage"},
		{"rules: []", ""},
		{"start: clock\n" + twoPhases, "outage"}, // there was no storm whose clock could go on
	} {
		if err := server.Swap(parsePlan(t, test.plan).Plan, "hash"); err != nil {
			t.Fatal(err)
		}
		if got := server.Phase(); got != test.want {
			t.Errorf("phase %q after the swap, want %q", got, test.want)
		}
	}
}

// A swap keeps a greylist, the ordinals of attempts, and a bucket that is the same in both plans.
func TestSwapKeepsWhatIsShared(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		const limits = "limits: [{name: pace, kind: rate, rate: 1/h, burst: 2, stage: mail}, {name: grey, kind: greylist, delay: 1h, window: 9h}]\n"
		var clock movedClock
		server := faulty(t, kind, limits+"rules: [{name: first, stage: data, match: {attempt: 1}, reply: 451}]", func(cfg *sink.Config) { cfg.Now, cfg.IdleTimeout = clock.now, -1 })
		c := greeted(t, server.Server)
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		c.command("RCPT TO:<b@recipient.test>", "451 ")
		swap(t, server.Server, parsePlan(t, limits+"rules: [{name: second, stage: data, match: {attempt: 2}, reply: 452}]").Plan)
		c.command("RSET", "250 ")
		clock.forward(time.Hour - time.Minute)
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		clock.forward(2 * time.Minute)
		c.command("RCPT TO:<b@recipient.test>", "250 ") // its hour is over
		c.command("DATA", "452 ")                       // the second attempt of the pair
		c.command("RSET", "250 ")
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		c.command("RSET", "250 ")
		c.command("MAIL FROM:<a@sender.test>", "451 ") // 2 tokens at first, and 1 in an hour
		c.quit()
	})
}

// connects reports how a listener takes a connection: with a greeting, by silence, or not at all. A greeting that takes longer than wait is
// silence.
func connects(t *testing.T, addr net.Addr, wait time.Duration) string {
	t.Helper()
	conn, err := net.DialTimeout(addr.Network(), addr.String(), patience)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) {
		return "refused"
	}
	if errors.Is(err, syscall.ECONNRESET) { // it was closed with us in its backlog
		return "reset"
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "timeout"
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 512)); n == 0 {
		if errors.As(err, &timeout) && timeout.Timeout() {
			return "silence"
		}
		return err.Error()
	}
	return "greeted"
}

// Each listener has its own faults, and they come and go with the phases.
func TestListenerFaults(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		socket := filepath.Join(t.TempDir(), "s")
		declared := "listeners: [{name: one, address: \"127.0.0.1:0\"}, {name: two, address: \"127.0.0.1:0\"}, {name: local, address: \"unix:" + socket + "\"}]\n"
		server := faulty(t, kind, declared, nil)
		open := map[string]string{"one": "greeted", "two": "greeted", "local": "greeted"}
		for _, test := range []struct {
			faults string
			want   map[string]string
		}{
			{"{}", open},
			{"{one: refused, local: refused}", map[string]string{"one": "refused", "two": "greeted", "local": "refused"}},
			{"{}", open},
			{"{\"*\": no-banner, two: none}", map[string]string{"one": "silence", "two": "greeted", "local": "silence"}},
			{"{one: unaccepted}", map[string]string{"one": "silence", "two": "greeted", "local": "greeted"}},
			{"{one: refused}", map[string]string{"one": "refused", "two": "greeted", "local": "greeted"}},
			{"{one: unaccepted}", map[string]string{"one": "silence", "two": "greeted", "local": "greeted"}},
			{"{}", open},
		} {
			swap(t, server.Server, parsePlan(t, declared+"listener_faults: "+test.faults).Plan)
			for name, want := range test.want {
				wait := 100 * time.Millisecond
				got := connects(t, server.Addr(name), wait)
				// The supervisor needs a moment, and on a busy machine a greeting, too.
				for deadline := time.Now().Add(patience); got != want && time.Now().Before(deadline); wait += wait / 4 {
					got = connects(t, server.Addr(name), wait)
				}
				if got != want {
					t.Errorf("listener_faults %s: listener %s: %s, want %s", test.faults, name, got, want)
				}
			}
		}
	})
}

// While nobody accepts, the backlog fills up, and then the kernel answers nobody.
func TestUnacceptedFillsUp(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "listener_faults: {\"*\": unaccepted}", nil)
		var held []net.Conn
		defer func() {
			for _, conn := range held {
				_ = conn.Close()
			}
		}()
		const most = 64
		for len(held) < most {
			conn, err := net.DialTimeout("tcp", server.Addr("").String(), time.Second)
			if err != nil {
				break
			}
			held = append(held, conn)
		}
		if len(held) == 0 || len(held) == most {
			t.Errorf("%d connections were taken before the backlog was full, want a few", len(held))
		}
		if s := server.Stats(); s.Connections != 0 {
			t.Errorf("%d connections were accepted, want none", s.Connections)
		}
		swap(t, server.Server, nil)
		eventually(t, server.Server, "those in the backlog are accepted", func(s *sink.Stats) bool { return s.Connections == uint64(len(held)) })
	})
}

// A listener that a phase has closed opens again by itself when the phase is over, at its old port.
func TestPhasesMoveListeners(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		for down := 150 * time.Millisecond; ; down *= 2 {
			began := time.Now()
			server := faulty(t, kind, "start: clock\nphases:\n"+
				"  - {name: down, duration: "+down.String()+", listener_faults: {\"*\": refused}}\n  - {name: silent, duration: 10h, listener_faults: {\"*\": no-banner}}\n", nil)
			addr := server.Addr("")
			first := connects(t, addr, 100*time.Millisecond)
			if time.Since(began) > down && down < patience { // this machine is so busy that the phase may have been over
				continue
			}
			if first != "refused" {
				t.Errorf("in the first phase the listener was %q, want refused", first)
			}
			got := first
			for deadline := time.Now().Add(patience); (got == "refused" || got == "reset") && time.Now().Before(deadline); {
				got = connects(t, addr, 100*time.Millisecond)
			}
			if got != "silence" {
				t.Errorf("after the first phase the listener was %q, want silence", got)
			}
			return
		}
	})
}

// A swap opens the listeners of the new plan and closes those that only the old one had; when one can't be opened nothing changes.
func TestSwapOfListeners(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "listeners: [{name: one, address: \"127.0.0.1:0\"}]\nrules: [{name: r, stage: rcpt, reply: 550}]", nil)
		one := server.Addr("one")
		c := greeted(t, server.Server)
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		bad := parsePlan(t, "listeners: [{name: three, address: \"127.0.0.1:0\"}, {name: two, address: \""+taken.Addr().String()+"\"}]").Plan
		if err := server.Swap(bad, ""); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) || !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("swap to a plan with a listener at a taken address: %v, want EADDRINUSE and the address", err)
		}
		if got := c.envelope(); !strings.HasPrefix(got, "550 ") || server.Addr("one") == nil || server.Addr("three") != nil {
			t.Errorf("after a swap that failed RCPT gets %q, listeners %+v; want the old plan", got, server.Listeners())
		}
		swap(t, server.Server, parsePlan(t, "listeners: [{name: one, address: \"127.0.0.1:0\"}, {name: two, address: \"127.0.0.1:0\"}]").Plan)
		if server.Addr("one").String() != one.String() || connects(t, server.Addr("two"), patience) != "greeted" {
			t.Errorf("listeners %+v, want one where it was, and two", server.Listeners())
		}
		swap(t, server.Server, parsePlan(t, "listeners: [{name: two, address: \"127.0.0.1:0\"}]").Plan)
		if server.Addr("one") != nil || connects(t, one, patience) != "refused" {
			t.Errorf("listeners %+v, want one closed", server.Listeners())
		}
		c.command("NOOP", "250 ") // its connections go on
		c.quit()
	})
}

// An explicit listener moves the planned one of its name, and keeps its protocol.
func TestListenersOfPlanAndConfig(t *testing.T) {
	file := parsePlan(t, "listeners: [{name: mx, address: \"192.0.2.1:25\"}, {name: store, address: \"192.0.2.1:24\", protocol: lmtp}, {name: tls, address: \"127.0.0.1:0\", tls: implicit}]")
	server := sinktest.Start(t, sinktest.With(func(cfg *sink.Config) {
		cfg.Plan = file.Plan
		cfg.Listeners = []sink.Listener{{Name: "store", Address: "127.0.0.1:0"}, {Name: "mx", Address: "127.0.0.1:0"}, {Name: "own", Address: "127.0.0.1:0"}}
	}))
	var got []string
	for _, l := range server.Listeners() {
		if l.Fault != fault.ListenerUp || l.Addr.(*net.TCPAddr).Port == 0 {
			t.Errorf("listener %s: fault %v at %v", l.Name, l.Fault, l.Addr)
		}
		got = append(got, l.Name)
	}
	if want := []string{"store", "mx", "own", "tls"}; !slices.Equal(got, want) {
		t.Errorf("listeners %v, want %v", got, want)
	}
	c := dial(t, server, "store")
	c.expect("220 ")
	c.command("LHLO client.test", "250-")
	c.quit()
}

// TestPhasesInTheLedger: each phase of the storm is a row, and the last row says that the run ended in good order.
func TestPhasesInTheLedger(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "phases: [{name: calm, duration: 60ms}, {name: storm, duration: 60ms, rules: [{stage: noop, reply: 450}]}]", nil)
		c := greeted(t, server.Server)
		eventually(t, server.Server, "the storm is over", func(*sink.Stats) bool {
			text, err := os.ReadFile(server.path)
			return err == nil && strings.Count(string(text), `"kind":"phase"`) == 3
		})
		c.command("RSET", "250 ")
		c.quit()
		server.rows()
		var got []string
		readLedger(t, server.path, func(row *event.Row) {
			switch row.Kind {
			case event.KindPhase:
				got = append(got, row.Phase.Phase)
			case event.KindStop:
				got = append(got, "stop")
			}
		})
		if want := []string{"calm", "storm", "", "stop"}; !slices.Equal(got, want) {
			t.Errorf("the ledger has the phases %q, want %q", got, want)
		}
	})
}
