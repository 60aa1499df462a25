package session_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// effects takes all effects and returns their names, such as "write pause".
func effects(s *session.Session) string {
	var names []string
	for e, ok := s.Next(); ok; e, ok = s.Next() {
		name := e.Kind.String()
		if e.Kind == session.EffectClose {
			name += " " + e.Close.String()
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// newSession starts a session without a peer: the test is the driver.
func newSession(t *testing.T, env session.Env, flags ...string) *session.Session {
	t.Helper()
	s := setup(t, flags...)
	if env.Plans == nil {
		env.Plans = sinktest.FixedPlan{Plan: s.Plan}
	}
	return session.New(&s.Config, &env, session.ConnInfo{ID: 1}, sinktest.Epoch)
}

func wantEffects(t *testing.T, s *session.Session, when, want string) {
	t.Helper()
	if got := effects(s); got != want {
		t.Errorf("%s: got the effects %q, want %q", when, got, want)
	}
}

func TestEffects(t *testing.T) {
	now := sinktest.Epoch
	s := newSession(t, session.Env{}, "--delay", "noop=1s")
	wantEffects(t, s, "greeting", "write")
	if n := s.Feed(now, []byte("HELP\r\nNOOP\r\nHELP\r\n")); n != 12 {
		t.Errorf("Feed up to a delayed reply took %d octets, want 12", n)
	}
	wantEffects(t, s, "before the delay", "write, pause")
	if n := s.Feed(now, []byte("HELP\r\n")); n != 0 {
		t.Errorf("Feed while paused took %d octets, want none", n)
	}
	if want := now.Add(time.Second); !s.Deadline().Equal(want) {
		t.Errorf("deadline %v, want %v", s.Deadline(), want)
	}
	s.Advance(now.Add(time.Second - 1))
	wantEffects(t, s, "too early", "")
	now = now.Add(time.Second)
	s.Advance(now)
	wantEffects(t, s, "after the delay", "write, resume")
	if want := now.Add(session.DefaultIdleTimeout); !s.Deadline().Equal(want) {
		t.Errorf("deadline %v, want %v", s.Deadline(), want)
	}
	s.Feed(now, []byte("QUIT\r\nHELP\r\n"))
	wantEffects(t, s, "QUIT", "write, close FIN")
	s.EOF(now)
	wantEffects(t, s, "EOF after the close", "")
	s.Closed(now, nil)
	wantEffects(t, s, "closed", "done")
	s.Closed(now, nil)
	s.Drained(now)
	s.Shutdown(now)
	s.Advance(now.Add(time.Hour))
	wantEffects(t, s, "done", "")
}

// TestPipeliningInOneWrite: RFC 2920 section 3.2 asks for the replies to a group of commands in one write.
func TestPipeliningInOneWrite(t *testing.T) {
	p, _ := newPeer(t)
	say(t, p, "EHLO c.example")
	before := p.Writes
	if got := say(t, p, "MAIL FROM:<>", "RCPT TO:<b@s.example>", "RCPT TO:<c@s.example>", "NOOP", "DATA"); got != "250 250 250 250 354" {
		t.Errorf("got %s", got)
	}
	if n := p.Writes - before; n != 1 {
		t.Errorf("the replies came in %d writes, want 1", n)
	}
}

// TestOutputIsBounded: a client that pipelines without end and reads nothing makes the session wait, not grow.
func TestOutputIsBounded(t *testing.T) {
	now := sinktest.Epoch
	s := newSession(t, session.Env{})
	effects(s)
	input := []byte(strings.Repeat("HELP\r\n", 20000))
	n := s.Feed(now, input)
	if n == 0 || n == len(input) {
		t.Errorf("Feed took %d of %d octets, want some", n, len(input))
	}
	if held := s.Held(); held > 160<<10 {
		t.Errorf("the session holds %d octets of output", held)
	}
	wantEffects(t, s, "too much output", "write, pause, await drain")
	if m := s.Feed(now, input[n:]); m != 0 {
		t.Errorf("Feed before Drained took %d octets, want none", m)
	}
	s.Drained(now)
	wantEffects(t, s, "drained", "resume")
	for rounds := 0; n < len(input); rounds++ {
		if rounds > 1000 {
			t.Fatal("no end")
		}
		n += s.Feed(now, input[n:])
		effects(s)
		s.Drained(now)
		effects(s)
	}
	// Its client never reads: after the idle timeout there is no use in another reply.
	s.Feed(now, input)
	effects(s)
	s.Advance(now.Add(session.DefaultIdleTimeout))
	wantEffects(t, s, "silence while output waits", "close RST")
}

func TestShutdown(t *testing.T) {
	tests := []struct {
		name, flags, before, at, after, then string
	}{
		{"at rest", "", "EHLO c.example\r\n", "write, close FIN", "", ""},
		{"before any greeting", "", "", "write, close FIN", "", ""},
		{"half a line", "", "NO", "write, close FIN", "", ""},
		{"a transaction ends first", "", "HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@s.example>\r\nDATA\r\n", "", "text\r\n.\r\nMAIL FROM:<>\r\n", "250 421"},
		{"a transaction that is given up", "", "HELO c\r\nMAIL FROM:<>\r\n", "", "RSET\r\nNOOP\r\n", "250 421"},
		{"QUIT within a transaction", "", "HELO c\r\nMAIL FROM:<>\r\n", "", "QUIT\r\n", "221"},
		{"LMTP: all recipients first", "--lmtp", "LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@s.example>\r\nRCPT TO:<c@s.example>\r\nDATA\r\n", "", ".\r\n", "250 250 421"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, r := newPeer(t, strings.Fields(tt.flags)...)
			if err := p.Send([]byte(tt.before)); err != nil {
				t.Fatal(err)
			}
			p.Output()
			p.Session.Shutdown(p.Now)
			if tt.at != "" {
				wantEffects(t, p.Session, "shutdown", tt.at)
				p.Session.Closed(p.Now, nil)
				if last := r.rows[len(r.rows)-1]; !strings.Contains(last, ": shutdown ") {
					t.Errorf("the last row is %q, want the reason shutdown", last)
				}
				return
			}
			wantEffects(t, p.Session, "shutdown", "")
			if err := p.Send([]byte(tt.after)); err != nil {
				t.Fatal(err)
			}
			if got := codes(t, p); got != tt.then || !p.Closed() {
				t.Errorf("got %q, closed %v; want %q, closed", got, p.Closed(), tt.then)
			}
		})
	}
}

// TestShutdownWaitsForDelays: a reply that was decided is sent when its time has come.
func TestShutdownWaitsForDelays(t *testing.T) {
	p, _ := newPeer(t, "--delay", "noop=5s")
	say(t, p, "NOOP", "NOOP")
	p.Session.Shutdown(p.Now)
	pass(t, p, 5*time.Second)
	if got := codes(t, p); got != "250 421" || !p.Closed() {
		t.Errorf("got %q, closed %v; want 250 421, closed", got, p.Closed())
	}
}

// swap is a session.Plans whose plan changes.
type swap struct{ plan *fault.Plan }

func (s *swap) Current(now time.Time) *fault.View { return s.plan.View(now, sinktest.Epoch) }

// TestPlanSwap: a session reads the plan at connect and at each MAIL; a transaction keeps it to its end.
func TestPlanSwap(t *testing.T) {
	calm := setup(t).Plan
	storm := setup(t, "--reply", "noop=451", "--reply", "mail=250", "--reply", "rcpt=550", "--reply", "message=554").Plan
	plans := &swap{calm}
	p := sinktest.NewSessionConn(setup(t), &session.Env{Plans: plans})
	codes(t, p)
	plans.plan = storm
	if got := say(t, p, "NOOP", "EHLO c.example", "MAIL FROM:<>", "RCPT TO:<b@s.example>", "NOOP"); got != "250 250 250 550 451" {
		t.Errorf("after the swap got %s; want the storm to begin at MAIL", got)
	}
	plans.plan = calm
	if got := say(t, p, "RCPT TO:<b@s.example>", "MAIL FROM:<>", "RSET", "NOOP"); got != "550 503 250 451" {
		t.Errorf("within the transaction got %s; want the storm to its end and until the next MAIL", got)
	}
	if got := say(t, p, "MAIL FROM:<>", "RCPT TO:<b@s.example>", "NOOP"); got != "250 250 250" {
		t.Errorf("after the next MAIL got %s; want calm", got)
	}
}

// TestSharedCountersAreAskedOnlyIfNeeded: the plain path touches nothing that connections share.
func TestSharedCountersAreAskedOnlyIfNeeded(t *testing.T) {
	for _, tt := range []struct {
		flags string
		want  string
	}{
		{"", "map[]"},
		{"--reply rcpt=550", "map[]"},
		{"--reply mail=250:1,550:0", "map[ma@c.example:1]"},
		{"--reply rcpt=250:1,550:0", "map[ra@c.example>b@s.example:2]"},
		{"--reply message=250:1,550:0", "map[ra@c.example>b@s.example:2]"},
		{"--reply noop=250:1,550:0", "map[]"},
	} {
		c := counters{}
		p := sinktest.NewSessionConn(setup(t, append([]string{"--seed", "1"}, strings.Fields(tt.flags)...)...), &session.Env{Attempts: c})
		say(t, p, "HELO c", "NOOP", "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "RCPT TO:<b@s.example>", "DATA", ".")
		if got := fmt.Sprint(c); got != tt.want {
			t.Errorf("with %q the counters are %s, want %s", tt.flags, got, tt.want)
		}
	}
}

// TestTenThousandRecipients: those past the limit cost nothing.
func TestTenThousandRecipients(t *testing.T) {
	p, r := newPeer(t)
	say(t, p, "EHLO c.example", "MAIL FROM:<>")
	accepted, refused := 0, 0
	for i := range 10000 {
		switch got := say(t, p, fmt.Sprintf("RCPT TO:<recipient%d@sink.example>", i)); got {
		case "250":
			accepted++
		case "452":
			refused++
		default:
			t.Fatalf("recipient %d got %s", i, got)
		}
	}
	if accepted != 1000 || refused != 9000 {
		t.Errorf("%d were accepted and %d refused, want 1000 and 9000", accepted, refused)
	}
	if held := p.Session.Held(); held > 64<<10 {
		t.Errorf("the session holds %d octets", held)
	}
	if got := say(t, p, "DATA", ".", "QUIT"); got != "354 250 221" {
		t.Errorf("got %s", got)
	}
	if n := len(r.rows); n != 10001 {
		t.Errorf("there are %d rows, want one for each RCPT and the connection", n)
	}
	if !p.Session.AtRest() {
		t.Error("the session still holds something")
	}
}

// TestEnvelopeHasABound: no maximum of recipients, however high, lets one client have all memory.
func TestEnvelopeHasABound(t *testing.T) {
	p, _ := newPeer(t, "--max-recipients", "1000000000")
	if got := say(t, p, "EHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>"); got != "220 250 250 250" {
		t.Fatalf("got %s, want 220 250 250 250", got)
	}
	p.Session.FillEnvelope()
	if got := say(t, p, "RCPT TO:<c@s.example>", "DATA", ".", "MAIL FROM:<a@c.example>", "RCPT TO:<c@s.example>"); got != "452 354 250 250 250" {
		t.Errorf("a full envelope, and the transaction after it: got %s, want 452 354 250 250 250", got)
	}
}

// TestRefusedRecipientsAreForgotten: they too come by the thousand, and no limit counts them.
func TestRefusedRecipientsAreForgotten(t *testing.T) {
	p, _ := newPeer(t, "--reply", "rcpt=550")
	say(t, p, "EHLO c.example", "MAIL FROM:<>")
	for i := range 10000 {
		if got := say(t, p, fmt.Sprintf("RCPT TO:<recipient%d@sink.example>", i)); got != "550" {
			t.Fatalf("recipient %d got %s", i, got)
		}
	}
	if held := p.Session.Held(); held > 64<<10 { // the transaction may be a used one with room for many
		t.Errorf("the session holds %d octets", held)
	}
}

// TestAtRest: a session between commands owns nothing but itself.
func TestAtRest(t *testing.T) {
	s := newSession(t, session.Env{})
	effects(s)
	for _, line := range []string{"EHLO c.example\r\n", "NO", "OP\r\n", "MAIL FROM:<>\r\nRCPT TO:<b@s.example>\r\nDATA\r\n.\r\n"} {
		s.Feed(sinktest.Epoch, []byte(line))
		effects(s)
		if rest := line != "NO"; s.AtRest() != rest {
			t.Errorf("after %q at rest = %v, want %v", line, s.AtRest(), rest)
		}
	}
	if n := s.WantRead(); n != 4<<10 {
		t.Errorf("between commands a read should take %d octets, want 4096 at the most", n)
	}
	s.Feed(sinktest.Epoch, []byte("MAIL FROM:<>\r\nRCPT TO:<b@s.example>\r\nDATA\r\n"))
	effects(s)
	if n := s.WantRead(); n != 64<<10 {
		t.Errorf("within a body a read should take %d octets, want 65536", n)
	}
	err := errors.New("gone")
	s.Closed(sinktest.Epoch, err)
	wantEffects(t, s, "lost", "done")
	if !s.AtRest() {
		t.Error("a lost session still owns something")
	}
}

// TestIdleSessionsAreSmall measures what an idle connection costs in the session's memory, all in: what the heap loses when the
// sessions go. (Not what it gains when they come: what other tests left behind may go at any collection in between.)
func TestIdleSessionsAreSmall(t *testing.T) {
	const n = 10000
	config, plans := setup(t), &swap{setup(t, "--reply", "rcpt=550").Plan}
	env := session.Env{Plans: plans}
	sessions := make([]*session.Session, 0, n)
	for range n {
		s := session.New(&config.Config, &env, session.ConnInfo{Listener: "test"}, sinktest.Epoch)
		effects(s)
		s.Feed(sinktest.Epoch, []byte("EHLO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<b@s.example>\r\nRSET\r\n"))
		effects(s)
		sessions = append(sessions, s)
	}
	with := live()
	clear(sessions)
	each := float64(with-live()) / n
	runtime.KeepAlive(sessions)
	if size := float64(unsafe.Sizeof(session.Session{})); each < size {
		t.Errorf("an idle session takes %.0f octets of the heap, less than its own %.0f: that was no measurement", each, size)
	}
	if each > 320 {
		t.Errorf("an idle session takes %.0f octets of the heap, want at most 320", each)
	}
}

// live returns the octets that are in use after everything that can go has gone: what a sync.Pool holds survives one collection.
func live() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
