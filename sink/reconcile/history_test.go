package reconcile

import (
	"fmt"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

var epoch = time.Date(2026, 1, 31, 10, 20, 30, 0, time.UTC)

// at returns the instant so many seconds after the tests' epoch.
func at(seconds float64) time.Time {
	return epoch.Add(time.Duration(seconds * float64(time.Second)))
}

// history is claims and all else that a test judges, written in few words.
type history struct {
	options  Options
	claims   []Claim
	rows     []event.Row
	queue    []QueueEntry
	dsns     []Notification
	watched  bool // the queue is seen, completely
	notified bool // the notifications are seen, completely
	incident []Incident
	stopped  bool
	torn     bool      // claims are missing
	listed   time.Time // when the queue was; zero: after all
	clock    float64
}

func newHistory() *history {
	b := &history{watched: true, notified: true, stopped: true}
	return b.run("run-1")
}

func (b *history) run(id string) *history {
	return b.add(event.Row{Kind: event.KindStart, Start: event.Start{Run: id, Time: at(b.clock), Plan: "test", Durability: event.Batch}})
}

func (b *history) add(r event.Row) *history {
	b.rows = append(b.rows, r)
	return b
}

// claim adds a claim whose token is its sender.
func (b *history) claim(token, recipient string, edits ...func(*Claim)) *history {
	c := Claim{Token: token, Recipient: recipient}
	for _, edit := range edits {
		edit(&c)
	}
	b.claims = append(b.claims, c)
	return b
}

// attempt adds an attempt of message n of a connection: MAIL read a second after whatever was before, its reply handed over a second
// later.
func (b *history) attempt(conn, n uint64, token, recipient string, code smtp.Code, edits ...func(*event.Attempt)) *history {
	a := event.Attempt{
		Conn: conn, Listener: "l", Mail: at(b.clock + 1), Time: at(b.clock + 1), End: at(b.clock + 2), Message: n, Sender: []byte(token), Token: []byte(token),
		Recipient: []byte(recipient), Ending: event.EndReply, Stage: smtp.StageMessage, Code: code, Delivered: code.Class() == 2, ReplySent: true,
	}
	b.clock += 2
	for _, edit := range edits {
		edit(&a)
	}
	return b.add(event.Row{Kind: event.KindAttempt, Attempt: a})
}

// message adds what is the message's own.
func (b *history) message(conn, n uint64, storm, id string, body uint64, edits ...func(*event.Message)) *history {
	m := event.Message{Conn: conn, Message: n, Time: at(b.clock), Headers: true, StormID: []byte(storm), MessageID: []byte(id), Hashed: body != 0, Body: body, Size: 10}
	for _, edit := range edits {
		edit(&m)
	}
	return b.add(event.Row{Kind: event.KindMessage, Message: m})
}

func (b *history) close(conn uint64, told event.Told) *history {
	return b.add(event.Row{Kind: event.KindConnection, Connection: event.Connection{Conn: conn, Listener: "l", Time: at(0), End: at(b.clock), Reason: "eof", Told: told}})
}

func (b *history) told(conn, n uint64, recipient string, told event.Told) *history {
	return b.add(event.Row{Kind: event.KindTold, Told: event.Exception{Conn: conn, Message: n, Recipient: []byte(recipient), Told: told}})
}

func (b *history) mail(conn, n uint64, token string, code smtp.Code) *history {
	b.clock++
	return b.add(event.Row{Kind: event.KindTransaction, Transaction: event.Transaction{
		Conn: conn, Listener: "l", Time: at(b.clock), End: at(b.clock), Message: n, Sender: []byte(token), Token: []byte(token), Ending: event.EndReply, Stage: smtp.StageMail, Code: code, ReplySent: true,
	}})
}

func unsent(a *event.Attempt)      { a.Ending, a.ReplySent = event.EndLost, false }
func garbled(a *event.Attempt)     { a.Ambiguous = true }
func undelivered(a *event.Attempt) { a.Delivered = false }
func kept(a *event.Attempt)        { a.Delivered = true }
func atRcpt(a *event.Attempt)      { a.Stage, a.Delivered = smtp.StageRcpt, false }
func withEnvID(id string) func(*event.Attempt) {
	return func(a *event.Attempt) { a.Token = []byte(id) }
}
func during(mail, handed float64) func(*event.Attempt) {
	return func(a *event.Attempt) { a.Mail, a.Time, a.End = at(mail), at(mail), at(handed) }
}

func ack(a Ack) func(*Claim) { return func(c *Claim) { c.Ack = a } }
func ids3(storm, id string) func(*Claim) {
	return func(c *Claim) { c.StormID, c.MessageID = storm, id }
}
func body(hash uint64) func(*Claim) {
	return func(c *Claim) { c.Hashed, c.Body, c.Size = true, hash, 10 }
}
func notify(n string) func(*Claim) { return func(c *Claim) { c.Notify = n } }
func from(s string) func(*Claim)   { return func(c *Claim) { c.Sender, c.HasSender = s, true } }

// judge judges, and returns the lines of the units as well.
func (b *history) judge(t testing.TB) (*Result, []Unit) {
	t.Helper()
	j := New(b.options)
	for i := range b.claims {
		if err := j.Claim(&b.claims[i]); err != nil {
			t.Fatal(err)
		}
	}
	if b.torn {
		j.TornClaims()
	}
	l := j.Ledger()
	rows := b.rows
	if b.stopped {
		rows = append(rows[:len(rows):len(rows)], event.Row{Kind: event.KindStop, Stop: event.Stop{Time: at(b.clock)}})
	}
	for i := range rows {
		if err := l.Row(&rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	if b.watched {
		j.Listing(b.listed, true)
		for i := range b.queue {
			if err := j.Queued(&b.queue[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if b.notified {
		j.KnowNotifications()
	}
	for i := range b.dsns {
		if err := j.Notify(&b.dsns[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i := range b.incident {
		j.Incident(&b.incident[i])
	}
	var units []Unit
	result, err := j.Finish(func(u *Unit) error {
		c := *u
		c.Token, c.Recipient = []byte(string(u.Token)), []byte(string(u.Recipient))
		c.findings = append([]Kind(nil), u.findings...)
		units = append(units, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return result, units
}

// said renders what was found: fates and findings with their numbers, and the exit status.
func said(r *Result) string {
	var out string
	for f, n := range r.Fates {
		if n > 0 {
			out += fmt.Sprintf("%d %v, ", n, Fate(f))
		}
	}
	for i := range r.Findings {
		out += fmt.Sprintf("%v %s %d, ", r.Findings[i].Severity, r.Findings[i].Kind, r.Findings[i].Units)
	}
	return out + fmt.Sprintf("exit %d", r.Verdict.Exit)
}
