package client

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// The commands one by one, for dialogues that a caller writes: nothing stands between it and the server but the limits on
// what one line can hold. Send leads a dialogue of its own, and starts with RSET when one of these has left a transaction open.

// LineError is a line that can't be sent as one command: nothing was written.
type LineError struct{ Problem string }

// Error returns one line.
func (e *LineError) Error() string { return "command line: " + e.Problem }

// CheckLine refuses what would break the dialogue with a *LineError: an empty line, or one with line breaks in it.
func CheckLine(line string) error {
	switch {
	case line == "":
		return &LineError{"is empty"}
	case strings.ContainsAny(line, "\r\n"):
		return &LineError{"holds a line break"}
	}
	return nil
}

// CheckAddress says why an address can't stand between the angle brackets of MAIL and RCPT, with a *LineError.
func CheckAddress(address string) error {
	if _, problem := addressProblem(address); problem != "" {
		return &LineError{problem}
	}
	return nil
}

// Hello says EHLO (in LMTP LHLO), or HELO, with a name that may differ from the configured one; empty means that one.
func (c *Conn) Hello(ctx context.Context, phase smtp.Stage, name string) (Reply, error) {
	if name == "" {
		name = c.cfg.localName()
	}
	verb := "EHLO "
	switch {
	case phase == smtp.StageHelo:
		verb = "HELO "
	case c.cfg.LMTP:
		verb = "LHLO "
	}
	reply, err := c.Command(ctx, phase, verb+name+"\r\n")
	if err == nil && reply.Code.Class() == 2 {
		c.capabilities = Capabilities{}
		if phase == smtp.StageEhlo {
			c.capabilities = newCapabilities(reply.Text)
		}
		c.transaction, c.accepted = false, 0 // RFC 5321 section 4.1.4: it implies RSET
	}
	return reply, err
}

// StartTLS says STARTTLS, and encrypts the connection after a 220. The caller says EHLO again then: what was announced before is void
// (RFC 3207 section 4.2). handshake is NotMeasured when there was none.
func (c *Conn) StartTLS(ctx context.Context) (reply Reply, handshake time.Duration, err error) {
	handshake = NotMeasured
	if c.closed.Load() {
		return Reply{}, handshake, c.refuse(smtp.StageStartTLS)
	}
	c.begin(ctx)
	defer c.end()
	reply, broken := c.exchange(smtp.StageStartTLS, "STARTTLS\r\n")
	if broken == nil && reply.Code == 220 {
		handshake, broken = c.handshake(smtp.StageStartTLS)
	}
	if broken != nil {
		return Reply{}, handshake, broken
	}
	return reply, handshake, nil
}

// Authenticate runs AUTH. The reply is the last one of the exchange.
func (c *Conn) Authenticate(ctx context.Context, credentials *Credentials) (Reply, error) {
	if c.closed.Load() {
		return Reply{}, c.refuse(smtp.StageAuth)
	}
	c.begin(ctx)
	defer c.end()
	reply, err := c.authenticate(credentials)
	if err != nil {
		return Reply{}, err
	}
	return reply, nil
}

// Mail says MAIL with parameters as they are to stand on the line, such as "SIZE=100".
func (c *Conn) Mail(ctx context.Context, from string, params []string) (Reply, error) {
	reply, err := c.Command(ctx, smtp.StageMail, envelopeLine("MAIL FROM:<", from, params))
	if err == nil && reply.Code.Class() == 2 {
		c.transaction, c.accepted = true, 0
	}
	return reply, err
}

// Rcpt says RCPT with parameters.
func (c *Conn) Rcpt(ctx context.Context, to string, params []string) (Reply, error) {
	reply, err := c.Command(ctx, smtp.StageRcpt, envelopeLine("RCPT TO:<", to, params))
	if err == nil && reply.Code.Class() == 2 {
		c.accepted++
	}
	return reply, err
}

func envelopeLine(verb, address string, params []string) string {
	line := verb + address + ">"
	for _, p := range params {
		line += " " + p
	}
	return line + "\r\n"
}

// Transfer is what became of a body that Data or Bdat has sent.
type Transfer struct {
	// Replies are the final ones: one, or in LMTP one per recipient that Rcpt got accepted. Without a body they are the one reply that
	// refused it.
	Replies []Reply
	// Data, Sending and Waiting are the clocks of Timings, NotMeasured for what did not take place.
	Data, Sending, Waiting time.Duration
}

// Data says DATA, sends a header and a body after 354, and reads the final replies.
func (c *Conn) Data(ctx context.Context, header []byte, body *Body) (Transfer, error) {
	t := Transfer{Data: NotMeasured, Sending: NotMeasured, Waiting: NotMeasured}
	if c.closed.Load() {
		return t, c.refuse(smtp.StageData)
	}
	c.begin(ctx)
	defer c.end()
	reply, err := c.exchange(smtp.StageData, "DATA\r\n")
	if err != nil {
		return t, err
	}
	t.Data = c.Took()
	if reply.Code != 354 {
		t.Replies = []Reply{reply}
		return t, nil
	}
	if err := c.transfer(&t, nil, header, body.wire); err != nil {
		return t, err
	}
	return t, nil
}

// Bdat sends one chunk; the message ends with it if last is set (RFC 3030 section 2).
func (c *Conn) Bdat(ctx context.Context, chunk []byte, last bool) (Transfer, error) {
	t := Transfer{Data: NotMeasured, Sending: NotMeasured, Waiting: NotMeasured}
	line := "BDAT " + strconv.Itoa(len(chunk))
	phase := smtp.StageBdat
	if last {
		line, phase = line+" LAST", smtp.StageMessage
	}
	if c.closed.Load() {
		return t, c.refuse(phase)
	}
	c.begin(ctx)
	defer c.end()
	var err *Error
	if last {
		err = c.transfer(&t, []byte(line+"\r\n"), chunk)
	} else {
		c.await(phase)
		err = c.exchangeBody(&t, []byte(line+"\r\n"), chunk)
	}
	if err != nil {
		return t, err
	}
	return t, nil
}

// transfer sends what ends a message, and reads its final replies.
func (c *Conn) transfer(t *Transfer, command []byte, parts ...[]byte) *Error {
	c.await(smtp.StageMessage)
	if c.cfg.LMTP {
		for range c.accepted - 1 {
			c.await(smtp.StageMessage)
		}
	}
	err := c.exchangeBody(t, command, parts...)
	if err == nil {
		c.transaction, c.accepted = false, 0
	}
	return err
}

// exchangeBody writes a command, if there is one, and a body, and reads all replies that are due.
func (c *Conn) exchangeBody(t *Transfer, command []byte, parts ...[]byte) *Error {
	c.traceCommands(command)
	c.traceBody(parts...)
	c.began = c.cfg.Now()
	for _, p := range append([][]byte{command}, parts...) {
		if len(p) == 0 || c.broken != nil {
			continue
		}
		if err := c.write(p); err != nil {
			return err
		}
	}
	sent := c.cfg.Now()
	t.Sending = sent.Sub(c.began)
	c.deadline = false // the replies have the phase's whole limit
	for len(c.awaited) > 0 {
		reply, err := c.reply()
		if err != nil {
			if c.farewell.Code != 0 { // a 421 stands for all that don't come
				return nil
			}
			return err
		}
		t.Replies = append(t.Replies, reply)
	}
	t.Waiting = c.readAt.Sub(sent)
	return nil
}

// Raw sends a line as it is, with CRLF behind it, and reads one reply. Its phase is that of the line's verb, or unknown. What the line
// does to the connection's state is the caller's business; the next Send begins with RSET.
func (c *Conn) Raw(ctx context.Context, line string) (Reply, error) {
	return c.RawIn(ctx, smtp.ParseCommand([]byte(line)).Verb.Stage(), line)
}

// RawIn is Raw with the phase for which the reply counts.
func (c *Conn) RawIn(ctx context.Context, phase smtp.Stage, line string) (Reply, error) {
	if c.closed.Load() {
		return Reply{}, c.refuse(phase)
	}
	if c.ungreeted { // the first reply is the greeting
		phase, c.ungreeted = smtp.StageConnect, false
	}
	c.begin(ctx)
	defer c.end()
	reply, err := c.exchangeShown(phase, line+"\r\n", c.maskedLine(line))
	if err != nil {
		return Reply{}, err
	}
	if phase != smtp.StageNoop && phase != smtp.StageRset && phase != smtp.StageConnect {
		c.transaction = true
	}
	return reply, nil
}
