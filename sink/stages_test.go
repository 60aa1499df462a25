package sink_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/sasl"
)

// occurrences say what a client sends to meet each stage, after the greeting.
var occurrences = []struct{ stage, sends string }{
	{"connect", ""},
	{"helo", "HELO client.test\r\n"},
	{"ehlo", "EHLO client.test\r\n"},
	{"starttls", "EHLO client.test\r\nSTARTTLS\r\n"},
	{"auth", "EHLO client.test\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"},
	{"mail", "EHLO client.test\r\nMAIL FROM:<a@sender.test>\r\n"},
	{"rcpt", "EHLO client.test\r\nMAIL FROM:<a@sender.test>\r\nRCPT TO:<b@recipient.test>\r\n"},
	{"data", "EHLO client.test\r\nMAIL FROM:<a@sender.test>\r\nRCPT TO:<b@recipient.test>\r\nDATA\r\n"},
	{"message", "EHLO client.test\r\nMAIL FROM:<a@sender.test>\r\nRCPT TO:<b@recipient.test>\r\nDATA\r\n" + theMessage},
	{"bdat", "EHLO client.test\r\nMAIL FROM:<a@sender.test>\r\nRCPT TO:<b@recipient.test>\r\nBDAT 5\r\nchunk"},
	{"rset", "EHLO client.test\r\nRSET\r\n"},
	{"send", "EHLO client.test\r\nSEND FROM:<a@sender.test>\r\n"},
	{"soml", "EHLO client.test\r\nSOML FROM:<a@sender.test>\r\n"},
	{"saml", "EHLO client.test\r\nSAML FROM:<a@sender.test>\r\n"},
	{"vrfy", "EHLO client.test\r\nVRFY b@recipient.test\r\n"},
	{"expn", "EHLO client.test\r\nEXPN list\r\n"},
	{"help", "EHLO client.test\r\nHELP\r\n"},
	{"noop", "EHLO client.test\r\nNOOP\r\n"},
	{"quit", "EHLO client.test\r\nQUIT\r\n"},
	{"turn", "EHLO client.test\r\nTURN\r\n"},
	{"etrn", "EHLO client.test\r\nETRN recipient.test\r\n"},
	{"unknown", "EHLO client.test\r\nFROB\r\n"},
}

// exchange connects, sends octets, and reads to the end of the connection, which may come before it was sent anything.
func exchange(t *testing.T, server *booked, octets string) (said string, err error) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", server.Addr("").String(), patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, octets); err != nil {
		return "", err
	}
	all, err := io.ReadAll(conn)
	return string(all), err
}

// Every fault of a reply or a connection can be had at every stage: a client meets it there, and the ledger tells. What goes on after
// the reply is closed, too, so that the client can tell the end of what it got.
func TestEveryFaultAtEveryStage(t *testing.T) {
	const after = "close: {mode: fin, when: after}"
	eof := func(err error) bool { return err == nil }
	reset := func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
	type expectation func(said, before, plain string) bool
	nothing := func(said, before, _ string) bool { return said == before }
	whole := func(said, _, plain string) bool { return said == plain }
	spoilt := func(said, before, plain string) bool { return said != plain && len(said) > len(before) }
	faults := []struct {
		fault string
		ends  func(error) bool
		said  expectation
	}{
		{"silence: true", eof, nothing},
		{"close: fin", eof, nothing}, {"close: rst", reset, nothing}, {"close: half", eof, nothing},
		{after, eof, whole}, {"close: {mode: rst, when: after}", reset, whole}, {"close: {mode: half, when: after}", eof, whole},
		{"delay: 5ms, " + after, eof, whole},
		{"dribble: {octets: 20, every: 1ms}, " + after, eof, whole}, {"split: {packets: 3, pause: 2ms}, " + after, eof, whole},
	}
	for _, how := range []string{"bad-code", "no-code", "missing-crlf", "over-long", "wrong-code", "mixed-codes"} {
		faults = append(faults, struct {
			fault string
			ends  func(error) bool
			said  expectation
		}{"malformed: " + how + ", " + after, eof, spoilt})
	}
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		for _, at := range occurrences {
			t.Run(at.stage, func(t *testing.T) {
				t.Parallel()
				meet := func(fault string) (said string, rows []string, name string, err error) {
					text := "rules: [{name: r, stage: " + at.stage + ", " + fault + "}]"
					server := faulty(t, kind, text, func(cfg *sink.Config) {
						cfg.MaxHold = 20 * time.Millisecond
						cfg.TLS.Offer = sink.TLSOfferAlways
						cfg.Auth = sink.AuthConfig{Accounts: sasl.Users{"alice": "secret"}}
					})
					said, err = exchange(t, server, at.sends)
					return said, server.rows(), parsePlan(t, text).Plan.Rules()[0].Outcomes[0].Fault, err
				}
				before, _, _, _ := meet("close: fin")
				plain, _, _, _ := meet(after)
				if len(plain) <= len(before) || !strings.HasPrefix(plain, before) {
					t.Fatalf("the plain reply after %q is %q", before, plain)
				}
				for _, f := range faults {
					said, rows, name, err := meet(f.fault)
					// A reset that comes within connect(2) fails it, and takes the greeting along.
					var op *net.OpError
					missed := at.stage == "connect" && errors.As(err, &op) && op.Op == "dial"
					if !f.ends(err) || !missed && !f.said(said, before, plain) {
						t.Errorf("%s: got %.200q and then %v; before it was %q, and without the fault %q", f.fault, said, err, before, plain)
					}
					if last := rows[len(rows)-1]; last != "connection fault "+name {
						t.Errorf("%s: the ledger says %q, want the fault %s of the connection", f.fault, last, name)
					}
				}
			})
		}
	})
}
