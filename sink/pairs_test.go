package sink_test

import (
	"fmt"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// provoke leads a connection from its greeting to the point where the reply of the stage comes next.
var provoke = map[smtp.Stage]func(c *rawClient){
	smtp.StageConnect:  func(*rawClient) {},
	smtp.StagePregreet: func(c *rawClient) { c.send("NOOP\r\n") }, // the greeting is late
	smtp.StageHelo:     func(c *rawClient) { c.expect("220 "); c.send("HELO client.test\r\n") },
	smtp.StageEhlo:     func(c *rawClient) { c.expect("220 "); c.send("EHLO client.test\r\n") },
	smtp.StageStartTLS: afterEhlo("STARTTLS"),
	smtp.StageAuth:     afterEhlo("AUTH PLAIN AGEAYg=="),
	smtp.StageMail:     afterEhlo("MAIL FROM:<a@sender.test>"),
	smtp.StageRcpt:     inTransaction("RCPT TO:<b@recipient.test>"),
	smtp.StageData: func(c *rawClient) {
		inTransaction("RCPT TO:<b@recipient.test>")(c)
		c.expect("250 ")
		c.send("DATA\r\n")
	},
	smtp.StageMessage: func(c *rawClient) {
		inTransaction("RCPT TO:<b@recipient.test>")(c)
		c.expect("250 ")
		c.command("DATA", "354 ")
		c.send("body\r\n.\r\n")
	},
	smtp.StageBdat: func(c *rawClient) {
		inTransaction("RCPT TO:<b@recipient.test>")(c)
		c.expect("250 ")
		c.send("BDAT 6\r\nbody\r\n")
	},
	smtp.StageRset:    afterEhlo("RSET"),
	smtp.StageSend:    afterEhlo("SEND FROM:<a@sender.test>"),
	smtp.StageSoml:    afterEhlo("SOML FROM:<a@sender.test>"),
	smtp.StageSaml:    afterEhlo("SAML FROM:<a@sender.test>"),
	smtp.StageVrfy:    afterEhlo("VRFY b"),
	smtp.StageExpn:    afterEhlo("EXPN list"),
	smtp.StageHelp:    afterEhlo("HELP"),
	smtp.StageNoop:    afterEhlo("NOOP"),
	smtp.StageQuit:    afterEhlo("QUIT"),
	smtp.StageTurn:    afterEhlo("TURN"),
	smtp.StageEtrn:    afterEhlo("ETRN example.org"),
	smtp.StageUnknown: afterEhlo("FROB"),
}

func afterEhlo(command string) func(*rawClient) {
	return func(c *rawClient) {
		c.expect("220 ")
		c.command("EHLO client.test", "250-")
		c.send(command + "\r\n")
	}
}

func inTransaction(command string) func(*rawClient) {
	return func(c *rawClient) {
		afterEhlo("MAIL FROM:<a@sender.test>")(c)
		c.expect("250 ")
		c.send(command + "\r\n")
	}
}

// Every pair of the reference's stage tables can be forced and reaches a client with its code, its text and, once EHLO was said,
// its enhanced status code; so can every pair of the rfc table.
func TestEveryPairCanBeForced(t *testing.T) {
	const pairs, stages = 111, 17
	source := fault.Source()
	seen := map[smtp.Stage]bool{}
	for _, row := range source {
		seen[row.Stage] = true
	}
	if len(source) != pairs || len(seen) != stages {
		t.Fatalf("the stage table has %d pairs at %d stages, want %d at %d", len(source), len(seen), pairs, stages)
	}
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := sinktest.Start(t, sinktest.WithDriver(kind))
		for _, table := range []struct {
			name string
			rows []fault.StageCode
		}{{"source", source}, {"rfc", fault.RFC()}} {
			for _, row := range table.rows {
				t.Run(fmt.Sprintf("%s/%v=%d", table.name, row.Stage, row.Code), func(t *testing.T) {
					forcePair(t, server, row.Stage, row.Code)
				})
			}
		}
	})
}

func forcePair(t *testing.T, server *sink.Server, stage smtp.Stage, code smtp.Code) {
	t.Helper()
	flag := fmt.Sprintf("%v=%d", stage, code)
	flags := fault.Flags{Replies: []string{flag}}
	if stage == smtp.StagePregreet {
		flags.Delays = []string{"connect=30m"}
	}
	swap(t, server, sinktest.Plan(t, flags))
	c := dial(t, server, "")
	provoke[stage](c)
	if got, want := c.reply(), wantedReply(t, stage, code); got != want {
		t.Errorf("--reply %s: got %q, want %q", flag, got, want)
	}
	_ = c.conn.Close()
}

// wantedReply returns the reply with the catalogue's text and enhanced status code, except where the plain reply holds more than
// a catalogue can know: the name of the sink, its capabilities, the octets received.
func wantedReply(t *testing.T, stage smtp.Stage, code smtp.Code) string {
	t.Helper()
	switch {
	case (stage == smtp.StageConnect || stage == smtp.StagePregreet) && code == 220:
		return "220 sink.test ESMTP smtpstorm\r\n"
	case stage == smtp.StageHelo && code == 250:
		return "250 sink.test\r\n"
	case stage == smtp.StageEhlo && code == 250:
		return "250-sink.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250-DSN\r\n" +
			"250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n"
	case stage == smtp.StageBdat && code == 250:
		return "250 2.0.0 6 octets received\r\n"
	}
	want, err := smtp.NewReply(stage, code, smtp.Enhanced{})
	if err != nil {
		t.Fatal(err)
	}
	return string(want.Append(nil, stage != smtp.StageConnect && stage != smtp.StageHelo && stage != smtp.StageEhlo))
}
