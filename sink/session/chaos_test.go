package session_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// ledger is a Recorder that checks what must hold of the calls whatever happens.
type ledger struct {
	t         *rapid.T
	codes     []string // replied
	waiting   int      // decided and not replied
	rows      map[string]int
	delivered uint64
	pending   map[string]bool // by recipient: whether the pending row says delivered
	failed    map[string]bool // by recipient: the pending row is not on disk
	hung      bool            // a commit gets no answer yet
	stalled   bool            // one of this message has got none in time
	ended     bool

	standings map[string]event.Standing // the last row, by reaction and key
	changes   []event.Standing
}

func (l *ledger) Decided(s smtp.Stage, d *fault.Decision, _ smtp.Enhanced, _ *fault.View) {
	if s == smtp.StageMail {
		l.stalled = false
	}
	if l.waiting > 0 && (l.hung || l.stalled) && s == smtp.StageMessage && d.Cause == fault.CauseProtocol && d.Reply.Code == 451 {
		l.hung, l.stalled = false, true // in LMTP the other recipients aren't tried
		l.waiting--                     // the reply that was decided gives way to 451
	}
	if s == smtp.StagePregreet {
		l.waiting-- // it takes the greeting's place
	}
	if l.waiting > 0 {
		l.t.Fatalf("%v was decided while another reply was owed", s)
	}
	if d.Reply == nil {
		l.t.Fatalf("%v was decided without a reply", s)
	}
	l.waiting++
}

func (l *ledger) Struck(_ smtp.Stage, d *fault.Decision, _ smtp.Enhanced, _ *fault.View) {
	if d.Chosen == nil || d.Chosen.Body == (fault.BodyFault{}) && d.Chosen.TLS == fault.TLSNone {
		l.t.Fatalf("struck by no fault: %+v", d)
	}
}

func (l *ledger) Replied(_ smtp.Stage, d *fault.Decision, _ smtp.Enhanced, _ *fault.View) {
	if l.waiting--; l.waiting < 0 {
		l.t.Fatalf("a reply that nobody decided: %v", d.Reply)
	}
	if d.Chosen != nil && d.Chosen.Unsent() {
		l.t.Fatalf("a reply was sent that should not: %v", d.Chosen.Fault)
	}
	l.codes = append(l.codes, fmt.Sprint(d.Reply.Code))
}

func (l *ledger) Attempt(a *session.Attempt) {
	who := string(a.Recipient)
	if a.Commit == session.CommitPending {
		if _, twice := l.pending[who]; twice || l.rows[who] > 0 {
			l.t.Fatalf("%s is committed twice", who)
		}
		l.pending[who] = a.Delivered
		return
	}
	delivered, pending := l.pending[who]
	switch {
	case a.Commit == session.CommitDone && (!pending || a.Delivered != delivered || !a.ReplySent):
		l.t.Fatalf("%s is done, delivered %v, sent %v; pending %v, delivered %v", who, a.Delivered, a.ReplySent, pending, delivered)
	case a.Commit == session.CommitAmended && (!pending || a.ReplySent && a.Code.Class() == 2):
		l.t.Fatalf("%s is amended, sent %v, code %v; pending %v", who, a.ReplySent, a.Code, pending)
	case a.Commit == session.CommitNone && pending && !l.failed[who]:
		l.t.Fatalf("%s has a row of its own though one is on disk", who)
	}
	if l.rows[who]++; l.rows[who] > 1 {
		l.t.Fatalf("%s is in two classes", who)
	}
	if a.Delivered {
		l.delivered++
	}
}

// fail takes the rows back that wait for the disk.
func (l *ledger) fail() {
	for who := range l.pending {
		l.failed[who] = l.failed[who] || l.rows[who] == 0
	}
}

func (l *ledger) Transaction(*session.Transaction) {}

func (l *ledger) Message(*event.Message) {}
func (l *ledger) Told(*event.Exception)  {}
func (l *ledger) Connection(c *session.Connection) {
	if l.ended {
		l.t.Fatal("the connection has two last rows")
	}
	l.ended = true
	attempts := 0
	for _, n := range l.rows {
		attempts += n
	}
	if uint64(attempts) != c.Attempts || c.Delivered != l.delivered {
		l.t.Fatalf("%d RCPT commands left %d rows; %d were delivered, and %d counted", c.Attempts, attempts, l.delivered, c.Delivered)
	}
}

// chaosCommands are what a client says, mostly whole transactions; %d makes each recipient another.
var chaosCommands = append(slices.Repeat([]string{
	"MAIL FROM:<a@c.example>\r\nRCPT TO:<r%d@s.example>\r\nRCPT TO:<r%d@s.example>\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\n",
	"MAIL FROM:<>\r\nRCPT TO:<r%d@s.example>\r\nBDAT 9\r\nchunk of 9BDAT 5 LAST\r\nhello",
}, 8), []string{
	"EHLO c.example\r\n", "LHLO c.example\r\n", "MAIL FROM:<a@c.example>\r\n", "MAIL FROM:<a@c.example>\r\n", "MAIL FROM:<> SIZE=100\r\n",
	"RCPT TO:<r%d@s.example>\r\n", "RCPT TO:<r%d@s.example>\r\n", "RCPT TO:<450+r%d@s.example>\r\n", "RCPT TO:<delay-1s+r%d@s.example>\r\n",
	"DATA\r\n", "DATA\r\n", "Subject: x\r\nX-Storm-Reply: 451\r\n\r\nbody\r\n.\r\n", "text that is long enough\r\n.\r\n", ".\r\n",
	"BDAT 5\r\nhello", "BDAT 5 LAST\r\nhello", "BDAT 25 LAST\r\nhello hello hello hello..", "RSET\r\n", "NOOP\r\n", "HELP\r\n", "FROB\r\n",
	"HELO c.example\r\n", "VRFY x\r\n", "EXPN x\r\n", "TURN\r\n", "ETRN x\r\n", "SOML FROM:<b@c.example>\r\n", "QUIT\r\n",
	"AUTH LOGIN\r\n", "YW5u\r\n", "c2VjcmV0\r\n", "*\r\n", "STARTTLS\r\n", "bare\n",
	"MAIL FROM:<>\r\nRCPT TO:<r%d@s.example>\r\nDATA\r\nX-Long: " + strings.Repeat("more header than is kept ", 12<<10) + "\r\n\r\n.\r\n",
	"NOOP " + strings.Repeat("endless", 10<<10),
}...)

// TestChaos lets random clients, who pipeline whatever they like, meet random plans: replies never overtake each other, each RCPT command
// leaves one row, memory stays bounded, and every connection ends.
func TestChaos(t *testing.T) {
	for range 40 { // each of which is 100 dialogues, unless -rapid.checks says otherwise
		rapid.Check(t, chaos)
	}
}

func chaos(t *rapid.T) {
	broken := rapid.Bool().Draw(t, "broken replies")
	p, err := sinktest.ParseFlags(strings.Fields("--max-hold 20s --idle-timeout 30s --auth ann:secret --tls starttls"))
	if err != nil {
		t.Fatal(err)
	}
	c := &p.Config
	c.LMTP, c.Triggers = rapid.Bool().Draw(t, "lmtp"), rapid.Bool().Draw(t, "triggers")
	c.Commit, c.CaptureHeaders = rapid.Bool().Draw(t, "commit"), rapid.Bool().Draw(t, "capture")
	p.Plan = drawPlan(t, broken)
	book := &ledger{t: t, rows: map[string]int{}, pending: map[string]bool{}, failed: map[string]bool{}, standings: map[string]event.Standing{}}
	limits := &moreLimits{Limits: state.NewLimits(nil)}
	env := session.Env{Attempts: state.NewAttempts(nil), Limits: limits, Recorder: book}
	if rapid.Bool().Draw(t, "scratch") {
		env.Scratch = new(session.Scratch)
	}
	standings := state.NewStandings(0)
	standings.Use(sinktest.Epoch, p.Plan)
	env.Standings = standings
	peer := sinktest.NewSessionConn(p, &env)
	commits := []uint64(nil)
	peer.Commits = func(ticket uint64) { commits = append(commits, ticket) }
	var said strings.Builder
	listen := func() {
		said.Write(peer.Output())
		if err := peer.Err(); err != nil {
			t.Fatal(err)
		}
		if held := peer.Session.Held(); held > 256<<10 {
			t.Fatalf("the session holds %d octets", held)
		}
	}
	var late []uint64  // commits without an answer
	answer := func() { // what the driver owes
		if n := len(late); n > 0 && len(commits) == 0 && rapid.Bool().Draw(t, "the disk is back") {
			book.hung = book.hung && !peer.Session.Committing()
			peer.Committed(late[n-1], nil)
			late = late[:n-1]
		}
		for len(commits) > 0 {
			ticket, failed := commits[0], error(nil)
			commits = commits[1:]
			switch rapid.IntRange(0, 5).Draw(t, "commit") {
			case 0:
				failed = errors.New("disk full")
				book.waiting-- // the reply that was decided gives way to 451
				book.fail()
			case 1:
				book.hung = true
				late = append(late, ticket)
				continue
			}
			peer.Committed(ticket, failed)
		}
		if f, waiting := peer.Handshake(); waiting && rapid.Bool().Draw(t, "handshake") {
			if err := peer.StartTLS(f); err != nil {
				t.Fatal(err)
			}
		}
		listen()
	}
	var input strings.Builder
	recipients := 0
	for i := range rapid.IntRange(1, 40).Draw(t, "commands") {
		command := rapid.SampledFrom(chaosCommands).Draw(t, "command")
		if i == 0 {
			command = map[bool]string{false: "EHLO c.example\r\n", true: "LHLO c.example\r\n"}[c.LMTP]
		}
		for strings.Contains(command, "%d") {
			recipients++
			command = strings.Replace(command, "%d", fmt.Sprint(recipients), 1)
		}
		input.WriteString(command)
	}
	for octets := input.String(); len(octets) > 0; {
		n := rapid.IntRange(1, min(len(octets), 64<<10)).Draw(t, "piece") // no driver reads more
		if err := peer.Send([]byte(octets[:n])); err != nil {
			t.Fatal(err)
		}
		octets = octets[n:]
		answer()
		if deadline := peer.Session.Deadline(); !deadline.IsZero() && rapid.Bool().Draw(t, "wait") {
			pause(t, peer, min(deadline.Sub(peer.Now), 5*time.Second))
			answer()
		}
	}
	switch rapid.SampledFrom([]string{"stays", "vanishes", "closes"}).Draw(t, "the client") {
	case "vanishes":
		peer.Vanish(errors.New("connection reset by peer"))
	case "closes":
		if err := peer.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	for steps := 0; !peer.Closed(); steps++ {
		answer()
		if peer.Closed() {
			break
		}
		deadline := peer.Session.Deadline()
		if deadline.IsZero() || steps > 5000 {
			t.Fatalf("the connection does not end: deadline %v after %d steps", deadline, steps)
		}
		pause(t, peer, deadline.Sub(peer.Now))
	}
	listen()
	if !book.ended || !peer.Session.AtRest() || limits.out != 0 || limits.Stats().Open != 0 || book.waiting > 1 {
		t.Fatalf("at the end: last row %v, at rest %v, %d grants not released, %d replies owed", book.ended, peer.Session.AtRest(), limits.out, book.waiting)
	}
	book.checkStandings(p.Plan, standings, peer.Now)
	if !broken {
		checkWire(t, said.String(), book.codes)
	}
}

// pause lets time pass, whatever the server says meanwhile.
func pause(t *rapid.T, p *sinktest.SessionConn, d time.Duration) {
	if d <= 0 {
		return
	}
	if err := p.Pass(d); err != nil && !strings.Contains(err.Error(), "already") {
		t.Fatal(err)
	}
}

// checkWire checks that the replies came over the wire in the order in which they were decided. After the last there may be one that
// answers nothing (421), and a piece of one that the end of the connection cut off.
func checkWire(t *rapid.T, said string, replied []string) {
	var codes []string
	for line := range strings.SplitAfterSeq(said, "\r\n") {
		if strings.HasSuffix(line, "\r\n") && line[3] == ' ' {
			codes = append(codes, line[:3])
		}
	}
	rest := codes[min(len(replied), len(codes)):]
	if !slices.Equal(codes[:min(len(replied), len(codes))], replied) || len(rest) > 1 || len(rest) == 1 && rest[0] != "421" {
		t.Fatalf("the replies on the wire are\n%v, those decided\n%v", codes, replied)
	}
}
