package session_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// reach is how a client gets to each stage: what it says before, and the command that the stage answers.
var reach = map[smtp.Stage]struct{ before, command string }{
	smtp.StageConnect:  {},
	smtp.StagePregreet: {"", "HE"}, // the greeting is late
	smtp.StageHelo:     {"", "HELO c.example\r\n"},
	smtp.StageEhlo:     {"", "EHLO c.example\r\n"},
	smtp.StageMail:     {"EHLO c.example\r\n", "MAIL FROM:<a@c.example>\r\n"},
	smtp.StageRcpt:     {"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\n", "RCPT TO:<b@s.example>\r\n"},
	smtp.StageData:     {"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<b@s.example>\r\n", "DATA\r\n"},
	smtp.StageMessage:  {"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<b@s.example>\r\nDATA\r\n", "text\r\n.\r\n"},
	smtp.StageBdat:     {"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<b@s.example>\r\n", "BDAT 3\r\nabc"},
	smtp.StageRset:     {"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<b@s.example>\r\n", "RSET\r\n"},
	smtp.StageSend:     {"EHLO c.example\r\n", "SEND FROM:<a@c.example>\r\n"},
	smtp.StageSoml:     {"EHLO c.example\r\n", "SOML FROM:<a@c.example>\r\n"},
	smtp.StageSaml:     {"EHLO c.example\r\n", "SAML FROM:<a@c.example>\r\n"},
	smtp.StageVrfy:     {"EHLO c.example\r\n", "VRFY b\r\n"},
	smtp.StageExpn:     {"EHLO c.example\r\n", "EXPN b\r\n"},
	smtp.StageHelp:     {"EHLO c.example\r\n", "HELP\r\n"},
	smtp.StageNoop:     {"EHLO c.example\r\n", "NOOP\r\n"},
	smtp.StageQuit:     {"EHLO c.example\r\n", "QUIT\r\n"},
	smtp.StageTurn:     {"EHLO c.example\r\n", "TURN\r\n"},
	smtp.StageEtrn:     {"EHLO c.example\r\n", "ETRN c.example\r\n"},
	smtp.StageUnknown:  {"EHLO c.example\r\n", "XYZZY\r\n"},

	smtp.StageStartTLS: {"EHLO c.example\r\n", "STARTTLS\r\n"},
	smtp.StageAuth:     {"EHLO c.example\r\n", "AUTH PLAIN AGEAYg==\r\n"},
}

// TestEveryPairCanBeForced forces each (stage, code) pair of the two stage tables, one by one.
func TestEveryPairCanBeForced(t *testing.T) {
	if n := len(fault.Source()); n != 111 {
		t.Errorf("the source table has %d pairs, want 111", n)
	}
	for _, pair := range append(fault.Source(), fault.RFC()...) {
		name := fmt.Sprintf("%v=%d", pair.Stage, pair.Code)
		t.Run(name, func(t *testing.T) { forcePair(t, pair.Stage, pair.Code) })
	}
}

func forcePair(t *testing.T, stage smtp.Stage, code smtp.Code) {
	flags := []string{"--reply", fmt.Sprintf("%v=%d", stage, code)}
	if stage == smtp.StagePregreet {
		flags = append(flags, "--delay", "connect=1m")
	}
	p, r := newPeer(t, flags...)
	way, ok := reach[stage]
	if !ok {
		t.Fatalf("no way to stage %v", stage)
	}
	if stage != smtp.StageConnect {
		if err := p.Send([]byte(way.before)); err != nil {
			t.Fatal(err)
		}
		p.Output()
		if err := p.Send([]byte(way.command)); err != nil {
			t.Fatal(err)
		}
	}
	got := string(p.Output())
	if want := wantForced(t, stage, code); got != want {
		t.Errorf("the client got:\n%q\nwant:\n%q", got, want)
	}
	if want := fmt.Sprintf("replied %v %d rule", stage, code); r.replies[len(r.replies)-1] != want {
		t.Errorf("recorded last: %s; want: %s", r.replies[len(r.replies)-1], want)
	}
	checkStateAfter(t, p, stage, code)
}

// wantForced returns the reply as it should go over the wire: text and enhanced status code from the catalogue, the latter once
// EHLO was said and never at connect, HELO and EHLO.
func wantForced(t *testing.T, stage smtp.Stage, code smtp.Code) string {
	t.Helper()
	if code == fault.PlainCode(stage) {
		switch stage {
		case smtp.StageConnect, smtp.StagePregreet:
			return "220 sink.example ESMTP smtpstorm\r\n"
		case smtp.StageHelo:
			return "250 sink.example\r\n"
		case smtp.StageBdat:
			return "250 2.0.0 3 octets received\r\n"
		}
	}
	if stage == smtp.StageEhlo && code == 250 {
		return "250-sink.example\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n" +
			"250-BINARYMIME\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n"
	}
	text, ok := smtp.TextAt(stage, code)
	if !ok {
		t.Fatalf("the catalogue has no text for %d", code)
	}
	enhanced := smtp.DefaultEnhanced(stage, code)
	bare := stage == smtp.StageConnect || stage == smtp.StagePregreet || stage == smtp.StageHelo || stage == smtp.StageEhlo
	if bare || enhanced.IsZero() {
		if code.Class() != 3 && !bare {
			t.Fatalf("no enhanced status code for %d at %v", code, stage)
		}
		return fmt.Sprintf("%d %s\r\n", code, text)
	}
	return fmt.Sprintf("%d %v %s\r\n", code, enhanced, text)
}

// checkStateAfter checks that the state follows from the reply that was sent.
func checkStateAfter(t *testing.T, p *sinktest.SessionConn, stage smtp.Stage, code smtp.Code) {
	t.Helper()
	if closes := code == 421 || stage == smtp.StageQuit; closes != p.Closed() {
		t.Errorf("after %d at %v closed = %v, want %v", code, stage, p.Closed(), closes)
	}
	if p.Closed() {
		return
	}
	positive := code.Class() == 2
	mail, rcpt, data := "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "DATA"
	var command, yes, no string // what is said next, and the reply after a positive and a negative one
	switch stage {
	case smtp.StageConnect:
		command, yes, no = "HELO c.example", "250", "503"
	case smtp.StagePregreet:
		command, yes, no = "LO c.example", "250", "503"
	case smtp.StageHelo, smtp.StageEhlo:
		command, yes, no = mail, "250", "503"
	case smtp.StageMail, smtp.StageSend, smtp.StageSoml, smtp.StageSaml:
		command, yes, no = rcpt, "250", "503"
	case smtp.StageRcpt:
		command, yes, no = data, "354", "554"
	case smtp.StageData:
		command, yes, no = "NOOP\r\n.\r\nRSET", "never", "250 500 250"
		if code == 354 {
			positive, yes = true, "250 250"
		} else if positive {
			yes = no
		}
	case smtp.StageBdat:
		command, yes, no = "BDAT 3 LAST\r\nabcRSET", "250 250", "503 250"
	case smtp.StageMessage:
		command, yes, no = rcpt, "503", "503" // the transaction is over
	case smtp.StageRset:
		command, yes, no = mail, "250", "503"
	case smtp.StageAuth:
		command, yes, no = "NOOP", "250", "250"
		if code == 334 {
			command, no = "*", "501"
		}
	case smtp.StageStartTLS:
		command, yes, no = "NOOP", "250", "250"
		if code == 220 {
			yes = "" // a handshake should follow; nobody answers
		}
	default:
		command, yes, no = "NOOP", "250", "250"
		if stage == smtp.StageNoop {
			command = "RSET"
		}
	}
	want := no
	if positive {
		want = yes
	}
	if got := say(t, p, strings.Split(command, "\r\n")...); got != want {
		t.Errorf("after %d at %v, %q got %q, want %q", code, stage, command, got, want)
	}
}
