package session_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// world is a sink and its clients under virtual time.
type world struct {
	t        testing.TB
	env      session.Env
	cfg      session.Config
	now      time.Time
	ids      uint64
	attempts *state.Attempts
	conns    map[string]*wire
}

// wire is a connection of a client.
type wire struct {
	w       *world
	session *session.Session
	input   []byte
	output  []byte
	closed  bool
}

func newWorld(t testing.TB, text string) *world {
	t.Helper()
	f, err := plan.Parse("plan.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, now: sinktest.Epoch, conns: map[string]*wire{}}
	store, standings := state.NewStore(0), state.NewStandings(0)
	standings.Use(w.now, f.Plan)
	w.attempts = state.NewAttempts(store)
	w.env = session.Env{
		Plans: sinktest.FixedPlan{Plan: f.Plan}, Attempts: w.attempts, Limits: state.NewLimits(store), Standings: standings,
		Scratch: new(session.Scratch),
	}
	return w
}

// addressOf returns the address of a client: A, B, ... are in one network, and Z, Y, ... in another.
func addressOf(client byte) netip.Addr {
	if client > 'M' {
		return netip.AddrFrom4([4]byte{198, 51, 100, 'Z' - client + 1})
	}
	return netip.AddrFrom4([4]byte{192, 0, 2, client - 'A' + 1})
}

func (w *world) connect(name string) {
	if before := w.conns[name]; before != nil && !before.closed { // the client leaves that one
		before.session.Closed(w.now, errors.New("gone"))
	}
	w.ids++
	d := &wire{w: w}
	w.conns[name] = d
	client := addressOf(name[0])
	d.session = session.New(&w.cfg, &w.env, session.ConnInfo{ID: w.ids, N: w.attempts.Connection(client), Listener: "test", Client: netip.AddrPortFrom(client, 1025)}, w.now)
	d.obey()
}

func (d *wire) obey() {
	for e, ok := d.session.Next(); ok; e, ok = d.session.Next() {
		switch e.Kind {
		case session.EffectWrite:
			d.output = append(d.output, e.Data...)
		case session.EffectAwaitDrain:
			d.session.Drained(d.w.now)
		case session.EffectClose:
			d.closed = true
			d.session.Closed(d.w.now, nil)
		}
	}
}

func (d *wire) say(octets string) {
	d.input = append(d.input, octets...)
	for len(d.input) > 0 && !d.closed {
		n := d.session.Feed(d.w.now, d.input)
		d.input = d.input[n:]
		d.obey()
		if n == 0 {
			return
		}
	}
}

// reply returns the last line of the next reply, and waits for it. Without one it is "" or "closed".
func (d *wire) reply() string {
	for {
		for {
			line, rest, ok := strings.Cut(string(d.output), "\r\n")
			if !ok {
				break
			}
			d.output = []byte(rest)
			if len(line) >= 4 && line[3] == ' ' {
				return line
			}
		}
		due := d.session.Deadline()
		switch {
		case d.closed:
			return "closed"
		case due.IsZero() || due.Sub(d.w.now) >= session.DefaultIdleTimeout:
			return ""
		}
		d.w.now = due
		d.session.Advance(due)
		d.obey()
		d.say("")
	}
}

const someMessage = "Subject: test\r\n\r\ntext\r\n.\r\n"

// say does what a line of a transcript tells the client to do, and returns the reply.
func (w *world) say(name, what string) string {
	if first, rest, more := strings.Cut(what, " | "); more {
		if got := w.say(name, first); got == "" || got[0] != '2' {
			return got
		}
		return w.say(name, rest)
	}
	switch what {
	case "dial":
		w.connect(name)
		return ""
	case "connect":
		w.connect(name)
		return w.conns[name].reply()
	}
	d := w.conns[name]
	if d == nil {
		w.t.Fatalf("%s is not connected", name)
	}
	switch what {
	case "close":
		if !d.closed {
			d.session.Closed(w.now, errors.New("gone"))
		}
		delete(w.conns, name)
		return ""
	case "message":
		d.say("DATA\r\n")
		if got := d.reply(); !strings.HasPrefix(got, "354") {
			return got
		}
		d.say(someMessage)
	default:
		d.say(what + "\r\n")
	}
	return d.reply()
}

var transcriptLine = regexp.MustCompile(`^([A-Z][0-9]?) (?:([0-9]+) x )?(.*?)(?: = (.*?)(?: after (\S+))?)?$`)

// play plays a transcript: lines such as
//
//	+1h                                    time passes
//	A connect = 220                        client A connects, and the reply begins so; A2 is its second connection
//	A 20 x RCPT TO:<u%d@x.test> = 550      20 times, of which %d is the number
//	A MAIL FROM:<s@x.test> | RSET = 250    one after the other, of which all but the last must be answered 2yz
//	A dial                                 client A connects, and does not wait for the greeting
//	A message = 250                        DATA, a message and its end
//	A close                                the client goes away
//
// A reply may come "after" a time; all others come at once.
func (w *world) play(name, text string) {
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "  #")
		line = strings.TrimSpace(line)
		where := fmt.Sprintf("%s:%d: %s", name, i+1, line)
		if line == "" || line[0] == '#' {
			continue
		}
		if wait, ok := strings.CutPrefix(line, "+"); ok {
			d, err := time.ParseDuration(wait)
			if err != nil {
				w.t.Fatal(where, err)
			}
			w.now = w.now.Add(d)
			continue
		}
		m := transcriptLine.FindStringSubmatch(line)
		if m == nil {
			w.t.Fatal(where, "is no line of a transcript")
		}
		times, late := 1, time.Duration(0)
		if m[2] != "" {
			times, _ = strconv.Atoi(m[2])
		}
		if m[5] != "" {
			late, _ = time.ParseDuration(m[5])
		}
		for n := range times {
			before := w.now
			got := w.say(m[1], strings.ReplaceAll(m[3], "%d", strconv.Itoa(n+1)))
			if !strings.HasPrefix(got, m[4]) || m[4] == "" && got != "" || w.now.Sub(before) != late {
				w.t.Fatalf("%s (%d): got %q after %v, want %q after %v", where, n+1, got, w.now.Sub(before), m[4], late)
			}
		}
	}
}

// TestReactions plays a transcript for each plan with reactions.
func TestReactions(t *testing.T) {
	paths, err := filepath.Glob("testdata/reactions/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			planned, dialogue, ok := strings.Cut(string(text), "\n---\n")
			if !ok {
				t.Fatal("no line ---")
			}
			newWorld(t, "version: 1\n"+planned).play(path, strings.Repeat("\n", strings.Count(planned, "\n")+2)+dialogue)
		})
	}
}
