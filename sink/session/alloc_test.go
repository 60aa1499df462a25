package session_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// stormFlags are rules at the stages of a transaction, such as a bounce storm has.
var stormFlags = []string{"--seed", "7", "--reply", "mail=250:98,451:2", "--reply", "rcpt=250:90,450:7,550:3", "--reply", "message=250:99,451:1"}

// tally is a Recorder that only counts.
type tally struct{ decided, replied, attempts, delivered, rest int }

func (c *tally) Decided(smtp.Stage, *fault.Decision, smtp.Enhanced, *fault.View) { c.decided++ }
func (c *tally) Replied(smtp.Stage, *fault.Decision, smtp.Enhanced, *fault.View) { c.replied++ }
func (c *tally) Struck(smtp.Stage, *fault.Decision, smtp.Enhanced, *fault.View)  {}
func (c *tally) Attempt(a *session.Attempt) {
	c.attempts++
	if a.Delivered {
		c.delivered++
	}
}
func (c *tally) Transaction(*session.Transaction)         { c.rest++ }
func (c *tally) Message(*event.Message)                   {}
func (c *tally) Told(*event.Exception)                    {}
func (c *tally) Standing(*event.Standing, session.Origin) {}
func (c *tally) Connection(*session.Connection)           { c.rest++ }

// ordinals is a session.Attempts that answers from one counter.
type ordinals struct{ n uint64 }

func (o *ordinals) Mail([]byte) uint64           { o.n++; return o.n }
func (o *ordinals) Recipient(_, _ []byte) uint64 { o.n++; return o.n }

// bench is a session that a loop drives as a driver does, in reads of a fixed size.
type bench struct {
	session *session.Session
	tally   *tally
	last    []byte // the last output
}

func newBench(tb testing.TB, flags ...string) *bench {
	tb.Helper()
	return newBenchOf(tb, setup(tb, flags...))
}

func newBenchOf(tb testing.TB, s sinktest.Setup) *bench {
	tb.Helper()
	b := &bench{tally: &tally{}}
	env := &session.Env{Plans: sinktest.FixedPlan{Plan: s.Plan}, Attempts: &ordinals{}, Recorder: b.tally, Scratch: new(session.Scratch)}
	b.session = session.New(&s.Config, env, session.ConnInfo{
		ID: 1, Listener: "bench", Client: netip.MustParseAddrPort("192.0.2.1:50000"),
	}, sinktest.Epoch)
	b.drain(tb)
	return b
}

func (b *bench) feed(tb testing.TB, input []byte, read int) {
	for len(input) > 0 {
		p := input[:min(read, len(input))]
		n := b.session.Feed(sinktest.Epoch, p)
		if n == 0 {
			tb.Fatalf("Feed took nothing of %q", p)
		}
		input = input[n:]
		b.drain(tb)
	}
}

func (b *bench) drain(tb testing.TB) {
	for {
		effect, ok := b.session.Next()
		if !ok {
			return
		}
		switch effect.Kind {
		case session.EffectWrite:
			b.last = append(b.last[:0], effect.Data...)
		case session.EffectAwaitDrain:
			b.session.Drained(sinktest.Epoch)
		case session.EffectCommit:
			b.session.Committed(sinktest.Epoch, effect.Ticket, nil)
		case session.EffectPause, session.EffectResume:
		default:
			tb.Fatalf("unexpected effect %v", effect.Kind)
		}
	}
}

// dialogue returns a pipelined transaction with its greeting.
func dialogue(recipients, body int) []byte {
	var b strings.Builder
	b.WriteString("EHLO client.example\r\n")
	b.Write(transaction(recipients, body))
	return []byte(b.String())
}

func transaction(recipients, body int) []byte {
	var b strings.Builder
	b.WriteString("MAIL FROM:<sender@client.example> SIZE=1000\r\n")
	for i := range recipients {
		fmt.Fprintf(&b, "RCPT TO:<recipient%d@sink.example>\r\n", i)
	}
	b.WriteString("DATA\r\n")
	line := strings.Repeat("x", 76) + "\r\n"
	for body > 0 {
		b.WriteString(line[max(0, len(line)-body):])
		body -= len(line)
	}
	b.WriteString(".\r\n")
	return []byte(b.String())
}

// TestNothingIsAllocated holds for whole transactions in the steady state, also when lines and bodies come in pieces.
func TestNothingIsAllocated(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes pools forget")
	}
	const faulty = `limits: [{name: few, kind: recipients, max: 1000}, {name: fast, kind: rate, scope: connection, stage: mail, rate: 1000/s, burst: 1000000}]
rules:
- {stage: mail, split: {packets: 3}}
- {stage: rcpt, malformed: mixed-codes}
- {stage: message, match: {header: {subject: "*"}}, split: {packets: 2}, delivery: keep}
- {stage: message, outcomes: [{weight: 1}, {weight: 1, reply: 451}]}`
	for name, s := range map[string]sinktest.Setup{
		"plain": setup(t), "rules": setup(t, stormFlags...), "headers and commits": setup(t, "--triggers", "--capture-headers", "--commit"),
		"faults": planned(t, faulty),
	} {
		for _, read := range []int{1 << 20, 100, 7} {
			t.Run(fmt.Sprintf("%s, reads of %d", name, read), func(t *testing.T) {
				s.Config.HashBodies = s.Config.CaptureHeaders
				b := newBenchOf(t, s)
				input := append(dialogue(3, 2000), "RSET\r\nNOOP\r\nVRFY x\r\nHELP\r\nBOGUS\r\n"...)
				run := func() { b.feed(t, input, read) }
				run()
				if n := testing.AllocsPerRun(200, run); n != 0 {
					t.Errorf("%v allocations per dialogue, want 0", n)
				}
				if b.tally.delivered == 0 || b.tally.decided != b.tally.replied {
					t.Errorf("the dialogues did nothing: %+v", *b.tally)
				}
			})
		}
	}
}

// TestShortRepliesDoNotSpoilTheBuffers: the pool of output buffers learns from what it sees, and mostly it sees short replies.
func TestShortRepliesDoNotSpoilTheBuffers(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes pools forget")
	}
	b := newBench(t)
	noop, ehlo := []byte("NOOP\r\n"), []byte("EHLO client.example\r\n")
	for range 100000 {
		b.feed(t, noop, 1<<20)
	}
	if n := testing.AllocsPerRun(200, func() { b.feed(t, ehlo, 1<<20) }); n != 0 {
		t.Errorf("%v allocations for EHLO after many NOOP, want 0", n)
	}
}

func BenchmarkCommand(b *testing.B) {
	for _, c := range []struct {
		name, before, command string
		flags                 []string
	}{
		{"NOOP", "EHLO c.example\r\n", "NOOP\r\n", nil},
		{"NOOP in two pieces", "EHLO c.example\r\n", "NOOP\r\n", []string{"--seed", "0"}},
		{"RCPT", "EHLO c.example\r\nMAIL FROM:<a@c.example>\r\n", "RCPT TO:<recipient@sink.example>\r\n", []string{"--max-recipients", "1000000000"}},
		{"RCPT rules", "EHLO c.example\r\nMAIL FROM:<a@c.example>\r\n", "RCPT TO:<recipient@sink.example>\r\n",
			[]string{"--seed", "7", "--reply", "rcpt=450:70,550:30"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			bench := newBench(b, c.flags...)
			bench.feed(b, []byte(c.before), 1<<20)
			command, read := []byte(c.command), 1<<20
			if strings.HasSuffix(c.name, "pieces") {
				read = len(command)/2 + 1
			}
			rset := []byte("RSET\r\n" + strings.TrimPrefix(c.before, "EHLO c.example\r\n"))
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				bench.feed(b, command, read)
				if i%1000 == 999 { // a transaction has an end
					bench.feed(b, rset, 1<<20)
				}
			}
		})
	}
}

func BenchmarkTransaction(b *testing.B) {
	for _, c := range []struct {
		name             string
		recipients, body int
	}{{"1KiB", 1, 1 << 10}, {"256KiB", 1, 256 << 10}, {"50 recipients", 50, 1 << 10}} {
		for _, rules := range []bool{false, true} {
			name, flags := c.name+"/plain", []string(nil)
			if rules {
				name, flags = c.name+"/rules", stormFlags
			}
			b.Run(name, func(b *testing.B) {
				bench := newBench(b, flags...)
				bench.feed(b, []byte("EHLO c.example\r\n"), 1<<20)
				input := transaction(c.recipients, c.body)
				at := bytes.Index(input, []byte("DATA\r\n")) + len("DATA\r\n")
				envelope, body, rset := input[:at], input[at:], []byte("RSET\r\n")
				b.SetBytes(int64(len(input)))
				b.ReportAllocs()
				for b.Loop() {
					bench.feed(b, envelope, 64<<10)
					if bytes.Contains(bench.last, []byte("\n354 ")) {
						bench.feed(b, body, 64<<10)
					} else {
						bench.feed(b, rset, 64<<10)
					}
				}
				if t := bench.tally; t.delivered == 0 || t.decided != t.replied {
					b.Fatalf("the transactions did nothing: %+v", *t)
				}
			})
		}
	}
}
