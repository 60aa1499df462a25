package sink_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
)

// outcomeScript delivers a message by smtplib, and says what smtplib makes of it.
const outcomeScript = `
import smtplib, sys
try:
    with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), "client.test", timeout=float(sys.argv[3])) as client:
        client.sendmail("a@sender.test", ["b@recipient.test"], "Subject: test\r\n\r\nbody\r\n")
    print("delivered")
except smtplib.SMTPRecipientsRefused as e:
    print("refused", e.recipients["b@recipient.test"][0])
except smtplib.SMTPResponseException as e:
    print(type(e).__name__, e.smtp_code)
except Exception as e:
    print(type(e).__name__)
`

// What Python's smtplib, which many test suites and tools send with, makes of each fault, and what the ledger says of the recipient.
func TestFaultsMetBySmtplib(t *testing.T) {
	program := python(t)
	for _, test := range []struct {
		name, plan string
		timeout    string // of smtplib, in seconds
		says       string
		row        string // the attempt's; empty: none
	}{
		{"plain", "rules: []", "20", "delivered", "message 250 reply plain delivered sent"},
		{"refused recipient", "rules: [{name: r, stage: rcpt, reply: 550}]", "20", "refused 550", "rcpt 550 reply rule:r sent"},
		{"421 after DATA", "rules: [{name: r, stage: data, reply: 421}]", "20", "SMTPDataError 421", "data 421 reply rule:r sent"},
		{"521 at connect", "rules: [{name: r, stage: connect, reply: 521}]", "20", "SMTPConnectError 521", ""},
		{"the lost reply", "rules: [{name: r, stage: message, close: fin, delivery: keep}]", "20", "SMTPServerDisconnected", "message 250 lost rule:r fin-before+keep delivered"},
		{"a reset in the body", "rules: [{name: r, stage: data, body: {after: 3, close: rst}}]", "20", "SMTPServerDisconnected", "message 0 lost body-rst"},
		{"silence after the dot", "rules: [{name: r, stage: message, silence: true}]", "0.2", "SMTPServerDisconnected", "message 250 lost rule:r silence"},
		{"a delay", "rules: [{name: r, stage: message, delay: 50ms}]", "20", "delivered", "message 250 reply rule:r delivered sent"},
		{"dribble", "rules: [{name: r, stage: message, dribble: {octets: 1, every: 1ms}}]", "20", "delivered", "message 250 reply rule:r dribble delivered sent"},
		{"split", "rules: [{name: r, stage: message, split: {packets: 4, pause: 5ms}}]", "20", "delivered", "message 250 reply rule:r split delivered sent"},
		{"no code", "rules: [{name: r, stage: message, malformed: no-code}]", "20", "SMTPDataError -1", "message 250 reply rule:r malformed-no-code delivered sent ambiguous"},
		{"over-long", "rules: [{name: r, stage: message, malformed: over-long}]", "20", "SMTPResponseException 500", "message 250 reply rule:r malformed-over-long delivered sent ambiguous"},
		{"greylist", "limits: [{name: g, kind: greylist, delay: 1h, window: 2h}]", "20", "refused 451", "rcpt 451 reply limit:g sent"},
		{"no banner", "listener_faults: {\"*\": no-banner}", "0.2", "SMTPServerDisconnected", ""},
	} {
		eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				server := faulty(t, kind, test.plan, func(cfg *sink.Config) { cfg.MaxHold = 5 * time.Second })
				host, port, _ := strings.Cut(server.Addr("").String(), ":")
				out, _ := runTool(t, program, "-c", outcomeScript, host, port, test.timeout)
				if got := strings.TrimSpace(out); got != test.says {
					t.Errorf("smtplib says %q, want %q", got, test.says)
				}
				rows := slices.DeleteFunc(server.rows(), func(row string) bool { return !strings.HasPrefix(row, "attempt ") })
				if got := strings.TrimPrefix(strings.Join(rows, "; "), "attempt b@recipient.test "); got != test.row {
					t.Errorf("the ledger says %q, want %q", got, test.row)
				}
			})
		})
	}
}
