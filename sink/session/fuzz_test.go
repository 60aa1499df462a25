package session_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// fuzzSetups are the servers that fuzzing meets.
var fuzzSetups = []string{
	"",
	"--seed 1 --reply rcpt=250:70,450:20,421:10 --delay rcpt=uniform(0s,3s) --reply message=250:80,451:20 --delay message=uniform(0s,1s)",
	"--seed 2 --reply data=354:50,451:50 --reply mail=250:90,550:10 --delay noop=1s --reply bdat=250:80,552:20 --reply ehlo=250:90,550:10",
	"--lmtp --seed 3 --reply message=250:1,452:1 --delay message=uniform(0s,2s) --max-recipients 2",
	"--max-size 40 --max-discard 100 --bare-lf accept --idle-timeout 2s --seed 4 --delay connect=3s --reply auth=334:1,535:1 --reply starttls=220:1,454:3",
	"--reply connect=554",
	"--tls starttls --auth ann:secret --triggers --capture-headers --commit",
	"--tls starttls --require-tls --auth ann:secret --require-auth --auth-needs-tls",
	"--max-hold 3s --triggers plan: " + `{seed: 5, limits: [{name: few, kind: recipients, max: 2}, {name: pace, kind: rate, scope: connection, stage: mail, rate: 1/s},
		{name: big, kind: size, max: 5}], rules: [
		{stage: connect, split: {packets: 3, pause: 100ms}},
		{stage: ehlo, outcomes: [{weight: 3, missing: [ENHANCEDSTATUSCODES, SIZE]}, {weight: 1, malformed: over-long}, {weight: 1, dribble: {octets: 50, every: 10ms}}]},
		{stage: rcpt, outcomes: [{weight: 4}, {weight: 1, dribble: {octets: 3, every: 200ms}}, {weight: 1, malformed: mixed-codes}, {weight: 1, malformed: wrong-code}]},
		{stage: data, outcomes: [{weight: 1}, {weight: 1, body: {after: 2, stop_reading: true, for: 1s}}, {weight: 1, body: {after: 2, close: half}}]},
		{stage: bdat, outcomes: [{weight: 1}, {weight: 1, body: {after: 2, stop_reading: true}}, {weight: 1, body: {after: 1, close: rst}}]},
		{stage: message, outcomes: [{weight: 4}, {weight: 1, silence: true, delivery: keep}, {weight: 1, split: {packets: 9}, delivery: discard}, {weight: 1, close: {mode: rst, when: after}}]},
		{stage: noop, outcomes: [{weight: 2, malformed: missing-crlf}, {weight: 2, malformed: bad-code}, {weight: 1, close: half}]},
		{stage: rset, outcomes: [{weight: 3}, {weight: 1, silence: true}]},
		{stage: quit, outcomes: [{weight: 1}, {weight: 1, close: {mode: half, when: after}}]}]}`,
	"--lmtp --max-hold 3s --commit plan: " + `{seed: 6, start: clock, phases: [
		{name: bad, duration: 2s, rules: [{stage: message, outcomes: [{weight: 2}, {weight: 1, dribble: {octets: 2, every: 100ms}}, {weight: 1, close: fin, delivery: keep}]}]},
		{name: good, duration: 1h, rules: [{stage: rcpt, delay: 1s}]}]}`,
	"--lmtp plan: " + `{seed: 8, rules: [{stage: connect, bandwidth: {out: 2kB/s}}, {stage: rcpt, outcomes: [{}, {bandwidth: {out: none}}, {bandwidth: {out: 70B/s}, dribble: {octets: 3, every: 10ms}}]},
		{stage: message, outcomes: [{}, {bandwidth: {out: 70B/s}}]}]}`,
	`--service {"xclient":["192.0.2.0/24","198.51.100.0/24"],"limits":{"mailmax":3,"rcptmax":2,"rcptdomainmax":1}} --auth ann:secret`,
	`--tls starttls --service {"proxy_protocol":true,"xclient":"127.0.0.0/8","requiretls":"accept","limits":{"rcptdomainmax":2}} plan: ` +
		`{seed: 9, rules: [{stage: connect, match: {client: 198.51.100.0/24}, outcomes: [{}, {reply: 554}, {bandwidth: {out: 1kB/s}}]}]}`,
	"--tls starttls --auth ann:secret --triggers --max-size -1 --max-hold 3s plan: " + `{seed: 7, rules: [
		{stage: ehlo, outcomes: [{reply: {code: 250, text: [a, ENHANCEDSTATUSCODES]}, split: {packets: 3}}, {reply: {code: 250, text: a}}, {capabilities: [SIZE]}, {malformed: missing-crlf, capabilities: [ENHANCEDSTATUSCODES]}]},
		{stage: mail, match: {sequence: bad}, outcomes: [{reply: 250, delay: 1s}, {delay: 1s}, {close: half}, {reply: 250, malformed: wrong-code}]},
		{stage: rcpt, match: {sequence: bad}, outcomes: [{reply: 250}, {reply: 450}]},
		{stage: data, match: {sequence: bad}, outcomes: [{reply: 352, delay: 1s}, {reply: 250}]},
		{stage: bdat, match: {sequence: bad}, reply: 250, delay: 1s}, {stage: starttls, match: {sequence: bad}, reply: 250},
		{stage: auth, match: {sequence: bad}, outcomes: [{reply: 334}, {reply: 235}]}, {stage: noop, match: {sequence: bad}, silence: true},
		{stage: data, outcomes: [{reply: 352}, {reply: 399}, {reply: 250}]},
		{stage: message, match: {header: {x-a: ["b", "*c d*"], subject: "*"}}, reply: 554}]}`,
}

// fuzzSetup returns one of fuzzSetups: flags, and after "plan: " a plan without its version.
func fuzzSetup(t testing.TB, text string) sinktest.Setup {
	t.Helper()
	flags, text, ok := strings.Cut(text, "plan: {")
	if !ok {
		return setup(t, strings.Fields(flags)...)
	}
	file, err := plan.Parse("fuzz", []byte("{version: 1, "+strings.ReplaceAll(text, "\t", " ")))
	if err != nil {
		t.Fatal(err)
	}
	s := setup(t, strings.Fields(flags)...)
	s.Plan = file.Plan
	return s
}

// fuzzSeeds are dialogues that touch every state.
var fuzzSeeds = []string{
	"EHLO c\r\nMAIL FROM:<a@c.example> SIZE=3\r\nRCPT TO:<b@s.example>\r\nRCPT TO:<c@s.example>\r\nDATA\r\nx\r\n..\r\n.\r\nNOOP\r\nQUIT\r\n",
	"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@s.example>\r\nRCPT TO:<c@s.example>\r\nRCPT TO:<d@s.example>\r\nDATA\r\n\r\n.\r\nRSET\r\nNOOP\r\n",
	"HELO c\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<b@s.example>\r\nBDAT 4\r\nabcdBDAT 0 LAST\r\nBDAT 2 LAST\r\nxyRSET\r\nAUTH X\r\n*\r\n",
	"EHLO c\r\nSTARTTLS\r\nAUTH LOGIN\r\nabc\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<b@s.example>\r\nDATA\r\na\nb\rc\xff\r\n.\r\nVRFY\r\n\r\nNO\x00OP\r\nNOOP\n",
	"EHLO " + strings.Repeat("x", 600) + "\r\nNOOP\r\n" + strings.Repeat("y", 66000) + "\r\nNOOP\r\n",
	"MAIL\r\nRCPT\r\nDATA x\r\nBDAT\r\nSEND FROM:<>\r\nTURN\r\nETRN x\r\nEXPN\r\nHELP\r\nBDAT 200\r\n",
	"EHLO c\r\nAUTH LOGIN\r\nYW5u\r\nc2VjcmV0\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<450+x@s.example>\r\nRCPT TO:<delay-1s+b@s.example>\r\nDATA\r\n" +
		"X-Storm-Delay: 1s\r\nMessage-ID: <x>\r\nX-Storm-Reply: 451\r\n\r\nbody\r\n.\r\nSTARTTLS\r\nNOOP\r\n",
	"MAIL FROM:<a@c.example>\r\nRCPT TO:<b>\r\nMAIL FROM:<c>\r\nDATA\r\nQUIT\r\n.\r\nRCPT TO:<d>\r\nDATA\r\nEHLO c\r\nSTARTTLS\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<b>\r\n" +
		"DATA\r\nX-A:\r\n c\r\n\td\r\nSubject: x\r\nX-Storm-Reply:\t550-5.1.1\r\n x\r\n\r\n.\r\nBDAT 4\r\nabcdDATA\r\nAUTH PLAIN\r\nQUIT now\r\n",
	"EHLO c\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<b@s.example>\r\nBDAT 4\r\nabcdBDAT 9223372036854775806 LAST\r\nQUIT\r\n",
	"EHLO c\r\nXCLIENT ADDR=198.51.100.7 PORT=4711 HELO=d+2Eexample LOGIN=ann\r\nEHLO d\r\nMAIL FROM:<a@c.example> REQUIRETLS\r\nRCPT TO:<b@s.example>\r\nRCPT TO:<b@t.example>\r\n" +
		"RCPT TO:<c@s.example>\r\nRCPT TO:<d@s.example>\r\nXCLIENT ADDR=[UNAVAILABLE]\r\nRSET\r\nXCLIENT ADDR=[UNAVAILABLE] NAME=[TEMPUNAVAIL]\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\n" +
		"RSET\r\nMAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\n",
	"PROXY TCP4 198.51.100.7 198.51.100.1 4711 25\r\nEHLO c\r\nXCLIENT ADDR=192.0.2.1\r\nSTARTTLS\r\nMAIL FROM:<>\r\n", "PROXY UNKNOWN\r\nNOOP\r\n", "PROXY TCP4 1\r\n",
	"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x07\xc6\x33\x64\x01\x12\x67\x00\x19EHLO c\r\nNOOP\r\n", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00NOOP\r\nQUIT\r\n",
	"GET / HTTP/1.1\r\n\r\nNOOP\r\n", "NOOP\r\n\x16\x03\x01", "SUBSCRIBE x SIP/2.0\nNOOP\r\n", "EHLO c\r\nNOOP\nQUIT .\r\nHTTP/1",
	"EHLO c\r\n" + strings.Repeat("RSET\r\n", 300) + "MAIL FROM:<a@c.example>\r\n" + strings.Repeat("RCPT TO:<b@s.example>\r\n", 40),
}

// transcript feeds input in pieces, all at once in virtual time, closes the client's side, lets time pass until the session has
// ended, and returns all that can be seen of it: what it said and when, its rows and its decisions.
func transcript(t *testing.T, flags string, input []byte, pieces func(rest int) int) string {
	t.Helper()
	r := &recording{}
	p := sinktest.NewSessionConn(fuzzSetup(t, flags), &session.Env{Attempts: counters{}, Recorder: r})
	var said bytes.Buffer
	listen := func() {
		if err := p.Err(); err != nil {
			t.Fatal(err)
		}
		if held := p.Session.Held(); held > 1<<20 {
			t.Fatalf("the session holds %d octets", held)
		}
		if out := p.Output(); len(out) > 0 {
			fmt.Fprintf(&said, "%v %q\n", since(p.Now), out)
		}
	}
	for len(input) > 0 {
		n := min(max(pieces(len(input)), 1), len(input))
		if err := p.Send(input[:n]); err != nil {
			t.Fatal(err)
		}
		input = input[n:]
	}
	listen()
	if err := p.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	listen()
	for steps := 0; !p.Closed(); steps++ {
		deadline := p.Session.Deadline()
		if deadline.IsZero() || steps > 100000 {
			t.Fatalf("the session does not end after the client did: deadline %v after %d steps", deadline, steps)
		}
		if err := p.Pass(deadline.Sub(p.Now)); err != nil {
			t.Fatal(err)
		}
		listen()
	}
	if !p.Session.AtRest() {
		t.Fatal("an ended session still owns something")
	}
	fmt.Fprintf(&said, "closed by %v\n", p.Close)
	for _, row := range r.rows[:len(r.rows)-1] {
		if strings.HasPrefix(row, "connection") {
			t.Fatalf("the row of the connection is not the last: %q", r.rows)
		}
	}
	return said.String() + strings.Join(r.rows, "\n") + "\n" + strings.Join(r.replies, "\n")
}

// coalesce joins what was said at the same time: write boundaries don't count.
func coalesce(transcript string) string {
	var out strings.Builder
	last := ""
	for line := range strings.SplitSeq(transcript, "\n") {
		at, said, ok := strings.Cut(line, ` "`)
		if ok && at == last {
			text := out.String()
			out.Reset()
			out.WriteString(strings.TrimSuffix(text, "\"\n") + said + "\n")
			continue
		}
		last = at
		out.WriteString(line + "\n")
	}
	return out.String()
}

// FuzzSplit: however the input is cut into reads, the session says the same at the same times, and writes the same rows.
func FuzzSplit(f *testing.F) {
	for i, seed := range fuzzSeeds {
		for j := range fuzzSetups {
			f.Add([]byte(seed), uint64(i*31+j), byte(j))
		}
	}
	f.Fuzz(func(t *testing.T, input []byte, cuts uint64, which byte) {
		flags := fuzzSetups[int(which)%len(fuzzSetups)]
		whole := transcript(t, flags, input, func(rest int) int { return rest })
		random := cuts | 1
		split := transcript(t, flags, input, func(int) int {
			random = random*6364136223846793005 + 1442695040888963407 // Knuth's MMIX
			return int(random >> 33 % (1 << (cuts % 12)))
		})
		if w, s := coalesce(whole), coalesce(split); w != s {
			t.Errorf("with %s\nin one read:\n%s\nin pieces:\n%s", flags, w, s)
		}
		if len(input) <= 2000 {
			if s := coalesce(transcript(t, flags, input, func(int) int { return 1 })); s != coalesce(whole) {
				t.Errorf("with %s\nin one read:\n%s\noctet by octet:\n%s", flags, coalesce(whole), s)
			}
		}
	})
}

// FuzzFeed calls the methods in any order and with any times: nothing may panic, and memory stays bounded.
func FuzzFeed(f *testing.F) {
	for i, seed := range fuzzSeeds {
		f.Add([]byte(seed), []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, byte(i)}, byte(i))
	}
	f.Fuzz(func(t *testing.T, input, calls []byte, which byte) {
		s := fuzzSetup(t, fuzzSetups[int(which)%len(fuzzSetups)])
		r := &recording{}
		sn := session.New(&s.Config, &session.Env{Plans: sinktest.FixedPlan{Plan: s.Plan}, Attempts: counters{}, Auth: s.Auth, Recorder: r}, session.ConnInfo{}, sinktest.Epoch)
		now := sinktest.Epoch
		done, ticket := 0, uint64(0)
		for i := 0; i < len(calls) && i < 1000; i++ {
			switch calls[i] % 10 {
			case 0, 1, 2:
				n := min(int(calls[i])*(i+1), len(input))
				if took := sn.Feed(now, input[:n]); took < 0 || took > n {
					t.Fatalf("Feed of %d octets = %d", n, took)
				} else {
					input = input[took:]
				}
			case 3:
				now = now.Add(time.Duration(calls[i]) * 100 * time.Millisecond)
				sn.Advance(now)
			case 4:
				sn.Drained(now)
			case 5:
				if calls[i] > 200 {
					sn.EOF(now)
				}
			case 6:
				if calls[i] > 200 {
					sn.Shutdown(now)
				}
			case 7:
				if calls[i] > 240 {
					sn.Closed(now, nil)
				}
			case 8:
				sn.TLSDone(now, session.TLSInfo{Version: "TLS 1.3"}, nil)
			case 9:
				sn.Committed(now, ticket, nil)
			}
			for n := 0; ; n++ {
				effect, ok := sn.Next()
				if !ok {
					break
				}
				if n > 10 || len(effect.Data) > 1<<20 {
					t.Fatalf("effect %d is %v with %d octets", n, effect.Kind, len(effect.Data))
				}
				switch effect.Kind {
				case session.EffectDone:
					done++
				case session.EffectCommit:
					ticket = effect.Ticket
				}
			}
			if held := sn.Held(); held > 1<<20 {
				t.Fatalf("the session holds %d octets", held)
			}
		}
		if done > 1 {
			t.Errorf("the session was done %d times", done)
		}
	})
}

// FuzzChaos and FuzzSimulation let the fuzzer choose plans, clients and the pieces of their input.
func FuzzChaos(f *testing.F) { f.Fuzz(rapid.MakeFuzz(chaos)) }

func FuzzSimulation(f *testing.F) {
	f.Fuzz(func(t *testing.T, input []byte) {
		rapid.MakeFuzz(func(rt *rapid.T) { simulate(t, rt) })(t, input)
	})
}
