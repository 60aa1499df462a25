package storm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// returnDomain is the domain of all senders: notifications go there.
const returnDomain = "src.bench.test"

// recipientDomain has the domains of all recipients.
const recipientDomain = "bench.test"

// domains is how many recipient domains there are.
const domains = 5

func domainOf(n int) string { return fmt.Sprintf("d%d.%s", n%domains, recipientDomain) }

// The shares of messages that are submitted before the storm and after it; the rest comes in it.
const (
	shareBefore = 0.1
	shareAfter  = 0.1
)

// calmBefore is how long after the last message from before it a storm begins.
const calmBefore = 2 * time.Second

// timetable says when each message shall be submitted, since the first: at the rate before the storm, from its begin on, and from its end on.
// begin is when the storm begins.
func timetable(messages int, rate float64, lasts time.Duration) (due []time.Duration, begin time.Duration) {
	before, after := int(shareBefore*float64(messages)), int(shareAfter*float64(messages))
	at := func(from time.Duration, n int) time.Duration {
		return from + time.Duration(float64(n)/rate*float64(time.Second))
	}
	for n := range before {
		due = append(due, at(0, n))
	}
	begin = at(0, before) + calmBefore
	for n := range messages - before - after {
		due = append(due, at(begin, n))
	}
	// A load that lasts longer than the storm goes on as it is.
	from := max(begin+lasts, at(begin, messages-before-after))
	for n := range after {
		due = append(due, at(from, n))
	}
	return due, begin
}

// claimsFile is sent.jsonl while it is written.
type claimsFile struct {
	mu   sync.Mutex
	file *os.File
	line []byte
	err  error
}

func (c *claimsFile) add(claim *reconcile.Claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line = claim.Append(c.line[:0])
	if _, err := c.file.Write(c.line); err != nil && c.err == nil {
		c.err = fmt.Errorf("write the list of what was sent: %w", err)
	}
}

// close closes the file; the error is the first of all.
func (c *claimsFile) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.err, c.file.Close())
}

// source submits messages at instants that nothing holds up: an open loop.
type source struct {
	address string
	run     string // part of every token
	size    int
	notify  string // NOTIFY of all recipients, as claims have it
	claims  *claimsFile

	sent, refused atomic.Int64 // messages whose submission is over; those of them that were not accepted
	late          atomic.Int64 // the longest time between an instant and the begin of its submission, in nanoseconds
}

// Bounds of the source.
const (
	maxSubmitters = 60               // submissions at the same time
	replyPatience = 30 * time.Second // for each reply
	tryPatience   = 20 * time.Second // for an agent that can't be reached, which is being started again
	idle          = time.Second      // how long a connection waits for the next message
)

// submission is a message to come.
type submission struct {
	n   int
	due time.Time
}

// send submits messages when they are due, until all are or ctx ends, and returns when none is under way.
func (s *source) send(ctx context.Context, start time.Time, due []time.Duration) {
	p := pool{source: s}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n, d := range due {
		at := start.Add(d)
		timer.Reset(time.Until(at))
		select {
		case <-timer.C:
			p.submit(ctx, submission{n, at})
			continue
		case <-ctx.Done():
		}
		break
	}
	p.finish()
}

// pool hands submissions to submitters: to the one that was busy last, so that few connections serve for many messages, to a new one when none
// is free, or later when there are enough.
type pool struct {
	source *source
	all    sync.WaitGroup // of submitters

	mu      sync.Mutex
	number  int // of submitters
	free    []*submitter
	waiting []submission
	closing bool
}

// submit has somebody submit a message. It never waits.
func (p *pool) submit(ctx context.Context, m submission) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch n := len(p.free); {
	case n > 0:
		w := p.free[n-1]
		p.free = p.free[:n-1]
		w.next <- m
	case p.number < maxSubmitters:
		p.number++
		w := &submitter{source: p.source, next: make(chan submission, 1)}
		w.next <- m
		p.all.Go(func() { p.run(ctx, w) })
	default:
		p.waiting = append(p.waiting, m)
	}
}

// finish waits until all that was given is submitted, and ends the submitters. Nothing is submitted afterwards.
func (p *pool) finish() {
	p.mu.Lock()
	p.closing = true
	for _, w := range p.free {
		close(w.next)
	}
	p.free = nil
	p.mu.Unlock()
	p.all.Wait()
}

// release takes a submitter that has nothing to do. It reports whether there is more for it, or will be.
func (p *pool) release(w *submitter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(p.waiting) > 0:
		w.next <- p.waiting[0]
		p.waiting = p.waiting[1:]
	case p.closing:
		return false
	default:
		p.free = append(p.free, w)
	}
	return true
}

// run submits what a submitter is given, over a connection that is kept while there are messages.
func (p *pool) run(ctx context.Context, w *submitter) {
	defer w.disconnect(ctx)
	quiet := time.NewTimer(idle)
	defer quiet.Stop()
	for {
		select {
		case m, more := <-w.next:
			if !more {
				return
			}
			if ctx.Err() == nil {
				w.submit(ctx, m)
			}
			if !p.release(w) {
				return
			}
			quiet.Reset(idle)
		case <-quiet.C:
			w.disconnect(ctx)
		}
	}
}

// submitter submits one message at a time, over at most one connection.
type submitter struct {
	source *source
	next   chan submission // of one at most
	conn   *client.Conn
}

// nobody observes no replies.
type nobody struct{}

// Reply implements client.Observer.
func (nobody) Reply(smtp.Stage, smtp.Code, smtp.Enhanced) {}

// Lost implements client.Observer.
func (nobody) Lost(smtp.Stage, *client.Error) {}

// disconnect ends the connection, if there is one.
func (w *submitter) disconnect(ctx context.Context) {
	if w.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, _ = w.conn.Quit(ctx) // whatever it answers
	w.conn.Close()
	w.conn = nil
}

// submit submits one message. As long as the agent can't be reached it tries again, since nothing was handed over; what broke later it
// leaves, since nobody knows whether the agent has it.
func (w *submitter) submit(ctx context.Context, m submission) {
	s := w.source
	defer s.sent.Add(1)
	message, claim := s.compose(m)
	claim.Sent = time.Now()
	for late := claim.Sent.Sub(m.due).Nanoseconds(); ; {
		before := s.late.Load()
		if late <= before || s.late.CompareAndSwap(before, late) {
			break
		}
	}
	s.claims.add(claim)
	var result client.Result
	for patience := time.Now().Add(tryPatience); ; {
		if err := w.try(ctx, message, &result); err == nil || result.Octets > 0 || time.Now().After(patience) || ctx.Err() != nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	reply := result.Recipients[0].Reply
	claim.Replied, claim.Code = time.Now(), int(reply.Code)
	switch {
	case reply.Code.Class() == 2 && reply.Phase == smtp.StageMessage:
		claim.Ack = reconcile.AckYes
	case reply.Code >= 400 || result.Octets == 0:
		claim.Ack = reconcile.AckNo
		s.refused.Add(1)
	default:
		s.refused.Add(1)
		return // the row that stands says unknown
	}
	s.claims.add(claim)
}

// try sends the message over the connection that there is, or a new one. The error says that there was no reply.
func (w *submitter) try(ctx context.Context, message *client.Message, result *client.Result) error {
	if w.conn != nil && !w.conn.Usable() {
		w.conn.Close()
		w.conn = nil
	}
	if w.conn == nil {
		cfg := client.Config{Address: w.source.address, LocalName: "generator.bench.test", Dialer: &net.Dialer{}, Timeouts: client.AllTimeouts(replyPatience), Now: time.Now}
		var greeting client.Greeting
		conn, err := client.Connect(ctx, &cfg, nobody{}, &greeting)
		if err != nil {
			result.Abandon(len(message.To), err)
			return err
		}
		w.conn = conn
	}
	err := w.conn.Send(ctx, message, result)
	if err != nil {
		w.conn.Close()
		w.conn = nil
	}
	return err
}

// compose makes the n-th message. Sender, recipient, headers and each line of the body are its own: only so it shows when an agent
// delivers the body of one message in the envelope of another.
func (s *source) compose(m submission) (*client.Message, *reconcile.Claim) {
	token := fmt.Sprintf("%s-%d", s.run, m.n)
	claim := &reconcile.Claim{
		Token: token, Recipient: fmt.Sprintf("r%d@%s", m.n, domainOf(m.n)), Sender: fmt.Sprintf("s+%s@%s", token, returnDomain), HasSender: true, Run: s.run,
		StormID: token, MessageID: "<" + token + "@" + returnDomain + ">", Hashed: true, Notify: s.notify, Ack: reconcile.AckUnknown, Intended: m.due,
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "From: <%s>\r\nTo: <%s>\r\nSubject: smtpstorm %s\r\nDate: %s\r\nMessage-ID: %s\r\nX-Storm-Id: %s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n",
		claim.Sender, claim.Recipient, token, m.due.UTC().Format(time.RFC1123Z), claim.MessageID, claim.StormID)
	line := token + " " + strings.Repeat("x", max(1, 70-len(token))) + "\r\n"
	for text.Len()+len(line) <= s.size {
		text.WriteString(line)
	}
	body := client.NewBody(text.Bytes())
	var digest event.Digest
	digest.Begin(false)
	digest.Add(body.Wire()[:len(body.Wire())-len(".\r\n")])
	claim.Body, claim.Size = digest.Finish()
	return &client.Message{From: claim.Sender, To: []string{claim.Recipient}, Body: body, DSN: &client.DSN{EnvID: token, Ret: "HDRS"}}, claim
}
