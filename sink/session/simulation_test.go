package session_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// client is a random client in lockstep with the server: it knows the state that each reply leads to (RFC 5321), and so what the
// server owes it next.
type client struct {
	t    *rapid.T
	peer *sinktest.SessionConn
	lmtp bool

	greeted, open, chunked, doomed bool
	accepted                       int // recipients of the transaction under way
	rcpts                          int // RCPT commands so far
}

// send sends octets in random pieces, lets time pass until want replies have come, and returns their codes. The server owes exactly
// these, unless it closes.
func (c *client) send(octets string, want int) (codes []string) {
	for len(octets) > 0 {
		n := rapid.IntRange(1, len(octets)).Draw(c.t, "piece")
		if err := c.peer.Send([]byte(octets[:n])); err != nil {
			c.t.Fatal(err)
		}
		octets = octets[n:]
	}
	for steps := 0; ; steps++ {
		for _, line := range c.peer.Unread() {
			if line[3] == ' ' {
				codes = append(codes, line[:3])
			}
		}
		c.peer.Output()
		if len(codes) >= want || c.peer.Closed() {
			break
		}
		deadline := c.peer.Session.Deadline()
		if steps > want || deadline.IsZero() {
			c.t.Fatalf("%d replies are missing and nothing will come", want-len(codes))
		}
		if err := c.peer.Pass(deadline.Sub(c.peer.Now)); err != nil {
			c.t.Fatal(err)
		}
	}
	switch closed := c.peer.Closed(); {
	case closed && (len(codes) == 0 || len(codes) > want || !slices.Contains([]string{"421", "221"}, codes[len(codes)-1])):
		c.t.Fatalf("the server closed after the replies %v", codes)
	case !closed && len(codes) != want:
		c.t.Fatalf("got the replies %v, want %d", codes, want)
	}
	return codes
}

// ask sends a command with one reply. out says why the command is out of sequence, which must then be refused with 503 or 554.
func (c *client) ask(command string, out bool) (code string) {
	codes := c.send(command, 1)
	if code = codes[0]; out && code != "503" && code != "554" && code != "421" && code != "501" {
		c.t.Fatalf("%q is out of sequence but got %s", command, code)
	}
	return code
}

func positive(code string) bool { return code[0] == '2' }

func (c *client) reset() { c.open, c.chunked, c.doomed, c.accepted = false, false, false, 0 }

func (c *client) hello() {
	verb := "EHLO"
	if c.lmtp {
		verb = "LHLO"
	}
	if positive(c.ask(verb+" c.example\r\n", false)) {
		c.reset()
		c.greeted = true
	}
}

func (c *client) mail() {
	verb := rapid.SampledFrom([]string{"MAIL", "MAIL", "SEND"}).Draw(c.t, "verb")
	sender := rapid.SampledFrom([]string{"", "a@c.example", "b@c.example"}).Draw(c.t, "sender")
	out := !c.greeted || c.open
	if positive(c.ask(verb+" FROM:<"+sender+">\r\n", out)) {
		c.open = true
	}
}

func (c *client) rcpt() {
	c.rcpts++
	recipient := rapid.SampledFrom([]string{"x@s.example", "y@s.example", "bad@@"}).Draw(c.t, "recipient")
	if positive(c.ask("RCPT TO:<"+recipient+">\r\n", !c.open || c.chunked)) {
		c.accepted++
	}
}

func (c *client) data() {
	// With a rule that knows 354, a body without recipients may open too.
	out := !c.open || c.chunked
	if c.ask("DATA\r\n", out) != "354" {
		return
	}
	body := rapid.SampledFrom([]string{"", "text\r\n", "..\r\n", "bare\nlf\r\n", strings.Repeat("long ", 100) + "\r\n"}).Draw(c.t, "body")
	c.send(body+".\r\n", c.final())
	c.reset()
}

// final returns how many replies a message gets.
func (c *client) final() int {
	if c.lmtp {
		return max(c.accepted, 1)
	}
	return 1
}

func (c *client) bdat() {
	size := rapid.IntRange(0, 20).Draw(c.t, "size")
	chunk := strings.Repeat("x", size)
	out := !c.open || c.doomed || c.accepted == 0
	if rapid.Bool().Draw(c.t, "last") && !out {
		c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", size, chunk), c.final())
		c.reset()
		return
	}
	code := c.ask(fmt.Sprintf("BDAT %d\r\n%s", size, chunk), out)
	if c.open {
		c.chunked = true
		c.doomed = c.doomed || !positive(code)
	}
}

func (c *client) rset() {
	if positive(c.ask("RSET\r\n", false)) {
		c.reset()
	}
}

func (c *client) other() {
	c.ask(rapid.SampledFrom([]string{"NOOP\r\n", "VRFY x\r\n", "HELP\r\n", "BOGUS\r\n", "\r\n", "NOOP\n", "X\x00\r\n", "RSET x\r\n", "MAIL\r\n",
		"STARTTLS\r\n", "NOOP " + strings.Repeat("x", 600) + "\r\n"}).Draw(c.t, "command"), false)
}

func (c *client) wait() {
	if err := c.peer.Pass(time.Duration(rapid.IntRange(1, 20).Draw(c.t, "seconds")) * time.Second); err != nil {
		c.t.Fatal(err)
	}
}

// simulationFlags close connections, delay and refuse at random, but never open a body out of sequence.
var simulationFlags = []string{
	"",
	"--reply rcpt=250:70,450:20,421:2,551:8 --delay rcpt=uniform(0s,3s) --reply message=250:80,451:19,421:1 --delay message=uniform(0s,1s)",
	"--reply data=354:70,451:30 --reply mail=250:90,550:10 --delay noop=1s --reply bdat=250:80,552:20 --reply ehlo=250:90,550:10 --reply rset=250:70,500:30",
	"--reply message=250:1,452:1 --delay message=uniform(0s,2s) --max-recipients 2 --reply connect=220:9,554:1 --delay connect=1s",
	"--max-size 40 --bare-lf accept --mode random --at rcpt,message,mail --reply noop=250:9,421:1 --delay unknown=exponential(1s)",
}

// TestSimulation lets random clients meet random faults: every command gets exactly one reply (the end of an LMTP message one per
// recipient), the state follows from the reply, each RCPT command leaves one row, and every connection ends.
func TestSimulation(t *testing.T) {
	for range 10 { // each of which is 100 dialogues, unless -rapid.checks says otherwise
		rapid.Check(t, func(rt *rapid.T) { simulate(t, rt) })
	}
}

func simulate(t *testing.T, rt *rapid.T) {
	flags := strings.Fields(rapid.SampledFrom(simulationFlags).Draw(rt, "flags"))
	flags = append(flags, "--seed", fmt.Sprint(rapid.Uint64().Draw(rt, "seed")))
	lmtp := rapid.Bool().Draw(rt, "lmtp")
	if lmtp {
		flags = append(flags, "--lmtp")
	}
	r := &recording{}
	peer := sinktest.NewSessionConn(setup(t, flags...), &session.Env{Attempts: counters{}, Recorder: r})
	c := &client{t: rt, peer: peer, lmtp: lmtp}
	refused := c.send("", 1)[0] != "220"
	actions := []func(){c.hello, c.mail, c.mail, c.rcpt, c.rcpt, c.rcpt, c.data, c.data, c.bdat, c.rset, c.other, c.wait}
	if refused {
		actions = []func(){c.other}
	}
	for range rapid.IntRange(1, 40).Draw(rt, "actions") {
		if peer.Closed() {
			break
		}
		rapid.SampledFrom(actions).Draw(rt, "action")()
	}
	if !peer.Closed() {
		if rapid.Bool().Draw(rt, "quit") {
			c.ask("QUIT\r\n", false)
		} else if err := peer.CloseWrite(); err != nil {
			rt.Fatal(err)
		}
	}
	if !peer.Closed() || !peer.Session.AtRest() {
		rt.Fatalf("closed %v, at rest %v; want both", peer.Closed(), peer.Session.AtRest())
	}
	checkRows(rt, r, c.rcpts)
}

// checkRows checks what must hold of all rows of an ended connection.
func checkRows(t *rapid.T, r *recording, rcpts int) {
	attempts := 0
	for _, row := range r.rows {
		if strings.HasPrefix(row, "attempt") {
			attempts++
		}
		if strings.Contains(row, "sent without") {
			t.Fatalf("strange row %q", row)
		}
	}
	if attempts != rcpts {
		t.Fatalf("%d RCPT commands left %d rows: %q", rcpts, attempts, r.rows)
	}
	if last := r.rows[len(r.rows)-1]; !strings.HasPrefix(last, "connection") {
		t.Fatalf("the last row is %q", last)
	}
	if r.inFlight != 0 {
		t.Fatalf("%d replies are in flight after the end", r.inFlight)
	}
	for i, line := range r.replies {
		if i%2 == 0 && r.replies[i+1] != strings.Replace(line, "decided", "replied", 1) {
			t.Fatalf("replies out of order: %q", r.replies)
		}
	}
}
