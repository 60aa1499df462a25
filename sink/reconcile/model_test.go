package reconcile

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// The model is a second judge, written from docs/reconciliation.md alone: it judges what happened, not rows, and holds everything in the plainest
// form. Random histories must get the same fates from both.

// happening is one attempt of a unit as it was, with what the client knows of its reply.
type happening struct {
	unit         int
	conn         uint64
	message      uint64
	mail, handed float64
	code         smtp.Code
	stage        smtp.Stage
	kept         bool
	sent         bool
	told         event.Told // what is the case
}

// past is all that happened, and what is known of it.
type past struct {
	acks                       [][]Ack // claims of each unit, in order
	happened                   []happening
	queued, notified           []bool
	strange                    []bool // the queue has a message of an unknown sender to the unit's recipient
	watched, complete, stopped bool
	kills                      []float64
}

// modelFate judges one unit.
func (p *past) modelFate(unit int) Fate {
	yes, unsure := 0, 0
	var claims []Ack
	for _, a := range p.acks[unit] { // a claim that knows the reply takes the place of an unknown one before it
		if i := slices.Index(claims, AckUnknown); i >= 0 && a != AckUnknown {
			claims = slices.Delete(claims, i, i+1)
		}
		claims = append(claims, a)
	}
	for _, a := range claims {
		switch a {
		case AckYes:
			yes++
		case AckUnknown:
			unsure++
		}
	}
	var copies []happening
	refused, maybeRefused, dropped, delivered := false, false, false, 0
	for _, h := range p.happened {
		if h.unit != unit {
			continue
		}
		if h.kept || h.stage == smtp.StageMessage && h.code/100 == 2 && h.sent {
			twin := slices.IndexFunc(copies, func(c happening) bool { return c.conn == h.conn && c.message == h.message })
			if twin < 0 {
				copies = append(copies, h)
				if h.kept {
					delivered++
				} else {
					dropped = true
				}
			}
		}
		if h.code/100 == 5 && !(h.stage == smtp.StageRcpt && h.code == 552) {
			refused = refused || h.told == event.ToldYes
			maybeRefused = maybeRefused || h.told == event.ToldUnknown
		}
	}
	excused := func(told happening) bool {
		next := -1.0
		for _, c := range copies {
			if c.mail > told.handed && (next < 0 || c.mail < next) {
				next = c.mail
			}
		}
		return slices.ContainsFunc(p.kills, func(k float64) bool { return k >= told.handed && k <= told.handed+5 && next >= k })
	}
	most := max(1, yes+unsure)
	if len(copies) > most {
		for _, c := range copies {
			before := 0
			for _, o := range copies {
				if o.code/100 == 2 && o.told == event.ToldYes && o.handed < c.mail && !excused(o) {
					before++
				}
			}
			if before >= most {
				return Duplicated
			}
		}
		return DuplicatedAmbiguous
	}
	switch {
	case delivered >= max(1, yes) && yes == 0:
		return Recovered
	case delivered >= max(1, yes):
		return Delivered
	case dropped && len(copies) >= max(1, yes):
		return DroppedByPlan
	case refused:
		return Refused
	case p.notified[unit]:
		return Expired
	case p.watched && p.queued[unit]:
		return Queued
	case yes == 0:
		return NeverAccepted
	case !maybeRefused && !p.strange[unit] && p.watched && p.complete && p.stopped:
		return Lost
	}
	return Undetermined
}

// randomPast draws a small history: a few units, connections whose messages follow each other, replies that are told or not.
func randomPast(r *rand.Rand) *past {
	units := 1 + r.IntN(3)
	p := &past{
		acks: make([][]Ack, units), queued: make([]bool, units), notified: make([]bool, units), strange: make([]bool, units),
		watched: r.IntN(4) > 0, complete: r.IntN(4) > 0, stopped: r.IntN(4) > 0,
	}
	for u := range units {
		for range 1 + r.IntN(3)*r.IntN(2) {
			p.acks[u] = append(p.acks[u], []Ack{AckYes, AckYes, AckNo, AckUnknown}[r.IntN(4)])
		}
		p.queued[u], p.notified[u], p.strange[u] = r.IntN(5) == 0, r.IntN(6) == 0, r.IntN(8) == 0
	}
	for range r.IntN(3) {
		p.kills = append(p.kills, float64(r.IntN(60)))
	}
	for conn := range uint64(1 + r.IntN(4)) {
		clock := float64(r.IntN(30)) + float64(conn)/8
		for message := range uint64(r.IntN(4)) {
			mail := clock + float64(1+r.IntN(3))
			clock = mail + float64(r.IntN(4)) + 0.5
			for u := range units {
				if r.IntN(3) == 0 {
					continue
				}
				h := happening{unit: u, conn: conn + 1, message: message + 1, mail: mail, handed: clock, sent: r.IntN(5) > 0}
				h.stage = []smtp.Stage{smtp.StageRcpt, smtp.StageMessage, smtp.StageMessage, smtp.StageData}[r.IntN(4)]
				h.code = []smtp.Code{250, 250, 451, 550, 552}[r.IntN(5)]
				if h.stage != smtp.StageMessage && h.code == 250 {
					h.code = 451
				}
				h.kept = h.stage == smtp.StageMessage && (h.code == 250) != (r.IntN(6) == 0)
				h.told = []event.Told{event.ToldYes, event.ToldYes, event.ToldNo, event.ToldUnknown}[r.IntN(4)]
				if !h.sent {
					h.told = event.ToldNo
				}
				p.happened = append(p.happened, h)
			}
		}
	}
	return p
}

// judged has the product judge it: as rows in which what the client knows is told in the way of the ledger, by exceptions, by what
// follows, or by the connection's end, whichever is right and the draw likes.
func (p *past) judged(t testing.TB, r *rand.Rand) []Fate {
	t.Helper()
	b := &history{watched: p.watched, notified: p.complete, stopped: p.stopped}
	b.run("")
	name := func(u int) (token, rcpt string) { return fmt.Sprintf("s+%d@x", u/2), fmt.Sprintf("r%d@y", u) }
	for u, acks := range p.acks {
		token, rcpt := name(u)
		for _, a := range acks {
			b.claim(token, rcpt, ack(a))
		}
		if p.queued[u] {
			b.queue = append(b.queue, QueueEntry{Sender: token, Recipient: rcpt})
		}
		if p.strange[u] {
			b.queue = append(b.queue, QueueEntry{Sender: "bounce@relay", Recipient: rcpt})
		}
		if p.notified[u] {
			b.dsns = append(b.dsns, Notification{Sender: token, Recipient: rcpt, Action: "failed"})
		}
	}
	for _, k := range p.kills {
		b.incident = append(b.incident, Incident{at(k), "kill", "mta"})
	}
	byConn := map[uint64][]happening{}
	for _, h := range p.happened {
		byConn[h.conn] = append(byConn[h.conn], h)
	}
	for conn := uint64(1); conn <= 4; conn++ {
		all := byConn[conn]
		for i, h := range all {
			token, rcpt := name(h.unit)
			b.attempt(conn, h.message, token, rcpt, h.code, during(h.mail, h.handed), func(a *event.Attempt) {
				a.Stage, a.Delivered, a.ReplySent = h.stage, h.kept, h.sent
				if !h.sent {
					a.Ending = event.EndLost
				}
				if h.sent && h.told == event.ToldUnknown && r.IntN(2) == 0 {
					a.Ambiguous = true
				}
			})
			// What follows says "told" of a message's replies if another message comes; so do the body's end of replies before it.
			if h.told != event.ToldYes && r.IntN(2) == 0 || h.told != event.ToldYes && i+1 < len(all) {
				b.told(conn, h.message, rcpt, h.told)
			}
		}
		if len(all) == 0 {
			continue
		}
		last := all[len(all)-1]
		switch {
		case slices.ContainsFunc(all, func(h happening) bool { return h.message == last.message && h.told == event.ToldYes && h != last }) && last.told != event.ToldYes:
			rcptOf := func(h happening) string { _, r := name(h.unit); return r }
			b.told(conn, last.message, rcptOf(last), last.told)
			b.close(conn, event.ToldYes)
		default:
			b.close(conn, last.told)
		}
	}
	_, units := b.judge(t)
	fates := make([]Fate, len(p.acks))
	for u := range fates {
		token, rcpt := name(u)
		i := slices.IndexFunc(units, func(x Unit) bool { return string(x.Token) == token && string(x.Recipient) == rcpt })
		fates[u] = units[i].Fate
	}
	return fates
}

func checkModel(t testing.TB, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 11)) // #nosec G404 -- a test's draws
	p := randomPast(r)
	got := p.judged(t, r)
	for u := range got {
		if want := p.modelFate(u); got[u] != want {
			t.Fatalf("seed %d, unit %d: the judge says %v, the model %v, of\n%+v", seed, u, got[u], want, *p)
		}
	}
}

// TestModelAgrees judges thousands of random histories twice; make fuzz has it judge a million (SMTPSTORM_HISTORIES).
func TestModelAgrees(t *testing.T) {
	histories := uint64(5_000)
	if n, err := strconv.ParseUint(os.Getenv("SMTPSTORM_HISTORIES"), 10, 64); err == nil {
		histories = n
	}
	seen := map[Fate]bool{}
	for seed := range histories {
		checkModel(t, seed)
		if seed < 2000 {
			r := rand.New(rand.NewPCG(seed, 11)) // #nosec G404 -- a test's draws
			p := randomPast(r)
			for u := range p.acks {
				seen[p.modelFate(u)] = true
			}
		}
	}
	for f := range NumFates {
		if fate := Fate(f); !seen[fate] && fate != DeliveredAltered && fate != Misdelivered {
			t.Errorf("no history ended as %v", fate)
		}
	}
}

// FuzzModel looks for histories by what they reach in the judge, a hundred at a time.
func FuzzModel(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		for i := range uint64(100) {
			checkModel(t, seed*100+i)
		}
	})
}
