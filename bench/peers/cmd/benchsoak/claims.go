package main

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// claims is the list of what was sent, which the judge holds against the ledger.
type claims struct {
	run  string
	mu   sync.Mutex
	file *os.File
	out  *bufio.Writer
	line []byte
	next uint64 // number of the next message
	rows uint64
	err  error
}

func newClaims(path string) (*claims, error) {
	file, err := os.Create(path) // #nosec G304 -- in a folder of ours
	if err != nil {
		return nil, err
	}
	return &claims{run: fmt.Sprintf("soak%x", time.Now().UnixNano()), file: file, out: bufio.NewWriterSize(file, 1<<16)}, nil
}

func (c *claims) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.err, c.out.Flush(), c.file.Close())
}

// add writes one down.
func (c *claims) add(claim *reconcile.Claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows++
	c.line = claim.Append(c.line[:0])
	if _, err := c.out.Write(c.line); err != nil && c.err == nil {
		c.err = fmt.Errorf("write the list of what was sent: %w", err)
	}
}

// letter is a message with a sender of its own.
type letter struct {
	claims *claims
	claim  reconcile.Claim // of each recipient
	to     []string
	wire   string          // header and body, dots stuffed, without the final dot
	doubts map[string]bool // recipients of whom an earlier try has left nothing certain
}

// compose makes the next message: mostly small and to one recipient.
func (c *claims) compose(random *rand.Rand) *letter {
	c.mu.Lock()
	n := c.next
	c.next++
	c.mu.Unlock()
	token := fmt.Sprintf("s+%s-%d@src.soak.test", c.run, n)
	l := &letter{claims: c, doubts: map[string]bool{}}
	recipients := 1
	if random.IntN(5) == 0 {
		recipients = 2 + random.IntN(3)
	}
	for i := range recipients {
		l.to = append(l.to, fmt.Sprintf("r%d.%d@d%d.soak.test", n, i, (n+uint64(i))%7)) // #nosec G115 -- at most 4
	}
	id := fmt.Sprintf("%s-%d", c.run, n)
	l.claim = reconcile.Claim{Token: token, Sender: token, HasSender: true, Run: c.run, StormID: id, MessageID: "<" + id + "@src.soak.test>", Hashed: true}
	size := 100 + random.IntN(2000)
	if random.IntN(400) == 0 {
		size = 100_000
	}
	var b strings.Builder
	fmt.Fprintf(&b, "From: <%s>\r\nTo: <%s>\r\nSubject: soak %d\r\nMessage-ID: %s\r\nX-Storm-Id: %s\r\n\r\n", token, l.to[0], n, l.claim.MessageID, id)
	for end := b.Len() + size; b.Len() < end; {
		if random.IntN(10) == 0 {
			b.WriteString("..a line that begins with a dot\r\n")
			continue
		}
		fmt.Fprintf(&b, "%s %0*d\r\n", id, 1+random.IntN(60), random.IntN(1000))
	}
	l.wire = b.String()
	var digest event.Digest
	digest.Begin(false)
	digest.Add([]byte(l.wire))
	l.claim.Body, l.claim.Size = digest.Finish()
	return l
}

// say writes down what was learnt of a recipient. After a try that left nothing certain a refusal is none of the message: the try before may
// have been taken.
func (l *letter) say(recipient string, ack reconcile.Ack, code int, sent time.Time) {
	if ack == reconcile.AckUnknown {
		l.doubts[recipient] = true
	} else if ack == reconcile.AckNo && l.doubts[recipient] {
		ack, code = reconcile.AckUnknown, 0
	}
	c := l.claim
	c.Recipient, c.Ack, c.Code, c.Sent = recipient, ack, code, sent
	if ack != reconcile.AckUnknown {
		c.Replied = time.Now()
	}
	l.claims.add(&c)
}
