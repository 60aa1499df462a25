package sink_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// stormFlags is the bounce storm of benchmarks: refusals and deferrals at three stages. It has no delays, which would measure the
// delays, and no 421, which would measure connecting.
var stormFlags = fault.Flags{Seed: 1, Replies: []string{
	"mail=250:97,451:2,550:1", "rcpt=250:92,450:3.5,550:4.5", "message=250:94,451:3,550:3",
}}

// load is a client for benchmarks: it delivers messages over connections that it keeps, and does not allocate while it does.
type load struct {
	conns []*loadConn
	sent  atomic.Int64
}

type loadConn struct {
	conn net.Conn
	rcpt []byte // with a number in it, so that every recipient is a new one
	body []byte
	in   [1024]byte
}

// bodySize is the size of the messages of the benchmarks: 1 KiB with its headers.
const bodySize = 1 << 10

var (
	mailCommand = []byte("MAIL FROM:<sender@client.test>\r\n")
	dataCommand = []byte("DATA\r\n")
	rsetCommand = []byte("RSET\r\n")
)

// rcptDigits is where the recipient's number stands.
const rcptPrefix, rcptDigits = "RCPT TO:<r", 10

// domainDigits are those of the recipient's domain: there are 1,000.
const domainDigits = 3

// newLoad opens the connections and says EHLO on each.
func newLoad(address string, conns int) (*load, error) {
	l := &load{}
	for range conns {
		conn, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		c := &loadConn{conn: conn, rcpt: []byte(rcptPrefix + "0000000000@d000.recipient.test>\r\n")}
		l.conns = append(l.conns, c)
		line := append(bytes.Repeat([]byte("x"), 62), "\r\n"...)
		c.body = append([]byte("Subject: load\r\n\r\n"), bytes.Repeat(line, (bodySize-17)/64)...)
		c.body = append(c.body, ".\r\n"...)
		for _, command := range []string{"", "EHLO client.test\r\n"} { // first the greeting
			if _, err := c.exchange([]byte(command)); err != nil {
				return nil, errors.Join(err, l.close())
			}
		}
	}
	return l, nil
}

func (l *load) close() error {
	var errs []error
	for _, c := range l.conns {
		errs = append(errs, c.conn.Close())
	}
	return errors.Join(errs...)
}

// run delivers n messages over all connections at once.
func (l *load) run(n int64) error {
	var wg sync.WaitGroup
	errs := make([]error, len(l.conns))
	end := l.sent.Load() + n
	for i, c := range l.conns {
		if err := c.conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			return err
		}
		wg.Go(func() {
			for errs[i] == nil {
				k := l.sent.Add(1)
				if k > end {
					l.sent.Add(-1)
					return
				}
				errs[i] = c.message(k)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// message runs one transaction as far as the server lets it.
func (c *loadConn) message(k int64) error {
	number, domain := c.rcpt[len(rcptPrefix):][:rcptDigits], c.rcpt[len(rcptPrefix)+rcptDigits+len("@d"):][:domainDigits]
	for i := range number {
		number[rcptDigits-1-i] = '0' + byte(k%10)
		if i < domainDigits {
			domain[i] = '0' + byte(k%10)
		}
		k /= 10
	}
	if ok, err := c.exchange(mailCommand); !ok || err != nil {
		return err
	}
	if ok, err := c.exchange(c.rcpt); !ok || err != nil {
		if err == nil {
			_, err = c.exchange(rsetCommand)
		}
		return err
	}
	if ok, err := c.exchange(dataCommand); !ok || err != nil {
		return err
	}
	_, err := c.exchange(c.body)
	return err
}

// exchange sends and reads one reply, which is to come in one piece. It reports whether the reply is positive.
func (c *loadConn) exchange(p []byte) (bool, error) {
	if len(p) > 0 {
		if _, err := c.conn.Write(p); err != nil {
			return false, err
		}
	}
	n, err := c.conn.Read(c.in[:])
	if err != nil {
		return false, err
	}
	if n < 5 || c.in[n-1] != '\n' {
		return false, fmt.Errorf("a reply came in pieces: %s", strconv.Quote(string(c.in[:n])))
	}
	return c.in[0] < '4', nil
}
