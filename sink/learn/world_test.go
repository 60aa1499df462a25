package learn

import (
	"bufio"
	"cmp"
	"container/heap"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// world is an MTA with a queue and destinations that behave as a plan says. It writes the log that Postfix would.
type world struct {
	plan    *fault.Plan
	start   time.Time
	pairs   int
	span    time.Duration   // in which messages come
	domains []string        // the i-th message goes to the i-th of these, by turns
	random  *rand.Rand      // of latencies and queue ids
	retries []time.Duration // pauses; afterwards the message is given up
	quiet   bool            // no lines of other programs

	// met counts first-hand what each (domain, attempt) met, by code and text; a failure without a reply is its fault's name.
	met map[[2]string]map[string]int
}

type delivery struct {
	at   time.Time
	pair int
	n    int
	id   string
}

type queue []delivery

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(delivery)) }
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

var worldStart = time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)

// newWorld reads a plan.
func newWorld(t testing.TB, text string, seed uint64, pairs int, domains ...string) *world {
	t.Helper()
	file, err := plan.Parse("plan.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v, in\n%s", err, text)
	}
	return &world{plan: file.Plan, start: worldStart, pairs: pairs, span: 12 * time.Hour, domains: domains, random: rand.New(rand.NewPCG(seed, 2)),
		retries: []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour}, met: map[[2]string]map[string]int{}}
}

func (w *world) sender(pair int) string {
	return fmt.Sprintf("secret.sender%d", pair%97) + "@shop.example"
}

func (w *world) recipient(pair int) string {
	return fmt.Sprintf("private%x", uint64(pair)*0x9e3779b97f4a7c15>>20) + "@" + w.domains[pair%len(w.domains)]
}

// run lets everything happen, and writes the log.
func (w *world) run(out io.Writer) error {
	b := bufio.NewWriterSize(out, 1<<20)
	var q queue
	for pair := range w.pairs {
		q = append(q, delivery{at: w.start.Add(time.Duration(pair) * w.span / time.Duration(w.pairs)), pair: pair})
	}
	heap.Init(&q)
	for q.Len() > 0 {
		d := heap.Pop(&q).(delivery)
		if d.n == 0 {
			d.id = fmt.Sprintf("%X", 0x100000000+w.random.Uint64()>>28)
			w.arrive(b, &d)
		}
		d.n++
		if !w.deliver(b, &d) {
			fmt.Fprintf(b, "%s postfix/qmgr[7]: %s: removed\n", w.head(d.at), d.id)
			continue
		}
		if d.n > len(w.retries) {
			fmt.Fprintf(b, "%s postfix/qmgr[7]: %s: from=<%s>, status=expired, returned to sender\n", w.head(d.at), d.id, w.sender(d.pair))
			continue
		}
		d.at = d.at.Add(w.retries[d.n-1])
		heap.Push(&q, d)
	}
	return b.Flush()
}

func (w *world) head(at time.Time) string {
	return at.Format("2006-01-02T15:04:05.000000Z07:00") + " mx"
}

func (w *world) arrive(b *bufio.Writer, d *delivery) {
	head := w.head(d.at)
	if !w.quiet {
		fmt.Fprintf(b, "%s postfix/smtpd[3]: %s: client=app.shop.example[198.51.100.4]\n", head, d.id)
		fmt.Fprintf(b, "%s postfix/cleanup[4]: %s: message-id=<mid%d.unique@shop.example>\n", head, d.id, d.pair)
	}
	fmt.Fprintf(b, "%s postfix/qmgr[7]: %s: from=<%s>, size=4711, nrcpt=1 (queue active)\n", head, d.id, w.sender(d.pair))
}

// deliver tries once, and reports whether the message stays in the queue.
func (w *world) deliver(b *bufio.Writer, d *delivery) bool {
	sender, recipient := []byte(w.sender(d.pair)), []byte(w.recipient(d.pair))
	o := fault.Occurrence{Stage: smtp.StageRcpt, Sender: sender, Recipient: recipient, RcptN: uint64(d.n), MessageN: 1, ConnN: 1, Nth: 1}
	view := w.plan.View(d.at, w.start)
	decided := view.Decide(&o)
	at, delay := "RCPT TO", decided.Delay
	if passes(&decided) {
		o = fault.Occurrence{Stage: smtp.StageMessage, Sender: sender, RcptN: uint64(d.n), MaxRcptN: uint64(d.n), MessageN: 1, ConnN: 1, Nth: 1, Recipients: 1,
			RecipientsHash: fault.HashRecipient(recipient), AcceptedRecipients: [][]byte{recipient}}
		decided = view.Decide(&o)
		at, delay = "end of DATA", delay+decided.Delay
	}
	domain := w.domains[d.pair%len(w.domains)]
	said, status, label, stays := w.words(&decided, at, string(recipient), domain)
	key := [2]string{domain, fmt.Sprint(d.n)}
	if w.met[key] == nil {
		w.met[key] = map[string]int{}
	}
	w.met[key][label]++
	connecting := 0.02 + 0.1*w.random.Float64()
	fmt.Fprintf(b, "%s postfix/smtp[9]: %s: to=<%s>, relay=mx.%s[192.0.2.1]:25, delay=9, delays=0.1/0.01/%.2g/%.2g, dsn=%c.0.0, status=%s (%s)\n",
		w.head(d.at.Add(delay)), d.id, recipient, domain, connecting, delay.Seconds(), "245"[map[string]int{"sent": 0, "deferred": 1, "bounced": 2}[status]], status, said)
	return stays
}

func passes(d *fault.Decision) bool {
	if d.Chosen != nil && d.Chosen.Faults.Close.Mode != fault.CloseNone || d.Chosen != nil && d.Chosen.Faults.Silence {
		return false
	}
	return d.Reply == nil || d.Reply.Code < 400
}

// words returns what Postfix says of a decision.
func (w *world) words(d *fault.Decision, at, recipient, domain string) (said, status, label string, stays bool) {
	host := "mx." + domain + "[192.0.2.1]"
	switch {
	case d.Chosen != nil && d.Chosen.Faults.Silence:
		return "conversation with " + host + " timed out while sending " + at, "deferred", at + " silence", true
	case !passes(d) && d.Chosen.Faults.Close.Mode != fault.CloseNone:
		return "lost connection with " + host + " while sending " + at, "deferred", at + " lost", true
	case passes(d):
		return "250 2.0.0 Ok: queued as " + fmt.Sprintf("%X", w.random.Uint32()), "sent", "sent", false
	}
	text := ""
	for i, line := range d.Reply.Lines {
		mark := " "
		if i < len(d.Reply.Lines)-1 {
			mark = "-"
		}
		if text != "" {
			text += " "
		}
		text += fmt.Sprintf("%d%s", d.Reply.Code, mark)
		if !d.Reply.Enhanced.IsZero() {
			text += d.Reply.Enhanced.String() + " "
		}
		text += line
	}
	label = fmt.Sprintf("%s %d %v", at, d.Reply.Code, d.Reply.Enhanced)
	status, stays = "deferred", true
	if d.Reply.Code >= 500 {
		status, stays = "bounced", false
	}
	// A server that names whom it refuses.
	text = cmp.Or(text, fmt.Sprint(d.Reply.Code)) + fmt.Sprintf(" <%s> try id %x", recipient, w.random.Uint64())
	return "host " + host + " said: " + text + " (in reply to " + at + " command)", status, label, stays
}
