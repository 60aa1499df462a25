package client

import (
	"errors"
	"testing"
)

// TestNothingIsSentThatTheServerCannotTake has messages that need SMTPUTF8 and 8BITMIME meet servers with and without them. What is
// refused by the client leaves no trace on the wire, and the connection as it was.
func TestNothingIsSentThatTheServerCannotTake(t *testing.T) {
	const (
		utf8    = "S: 250 SMTPUTF8\n"
		eight   = "S: 250 8BITMIME\n"
		both    = "S: 250-SMTPUTF8\nS: 250 8BITMIME\n"
		neither = "S: 250 HELP\n"
		rest    = "S: 250 ok\nC~ RCPT TO:<\nS: 250 ok\nC: DATA\nS: 354 go\nC. 3\nS: 250 ok\n"
	)
	ascii, high := NewBody([]byte("Subject: x\n\nhello\n")), NewBody([]byte("Subject: x\n\nGrüße\n"))
	for _, test := range []struct {
		name, offers string
		from, to     string
		body         *Body
		inHeader     bool
		force        bool
		mail         string // the command, empty if nothing may be sent
		missing      string
	}{
		{"nothing special", neither, "a@src.test", "b@dst.test", ascii, false, false, "MAIL FROM:<a@src.test>", ""},
		{"recipient", eight, "a@src.test", "bücher@dst.test", ascii, false, false, "", "SMTPUTF8"},
		{"domain", eight, "a@src.test", "b@bücher.test", ascii, false, false, "", "SMTPUTF8"},
		{"sender", neither, "ä@src.test", "b@dst.test", ascii, false, false, "", "SMTPUTF8"},
		{"recipient, offered", both, "a@src.test", "bücher@dst.test", ascii, false, false, "MAIL FROM:<a@src.test> SMTPUTF8", ""},
		{"recipient, forced", neither, "a@src.test", "bücher@dst.test", ascii, false, true, "MAIL FROM:<a@src.test>", ""},
		{"address in the header", eight, "a@src.test", "b@dst.test", high, true, false, "", "SMTPUTF8"},
		{"address in the header, offered", both, "a@src.test", "b@dst.test", high, true, false, "MAIL FROM:<a@src.test> BODY=8BITMIME SMTPUTF8", ""},
		{"body", utf8, "a@src.test", "b@dst.test", high, false, false, "", "8BITMIME"},
		{"body, offered", eight, "a@src.test", "b@dst.test", high, false, false, "MAIL FROM:<a@src.test> BODY=8BITMIME", ""},
		{"body, forced", neither, "a@src.test", "b@dst.test", high, false, true, "MAIL FROM:<a@src.test>", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			script := "S: 220 mx.test\nC: EHLO localhost\nS: 250-mx.test\n" + test.offers
			if test.mail != "" {
				script += "C: " + test.mail + "\n" + rest
			}
			dialogue(t, script+"C: NOOP\nS: 250 ok\n", func(s *session) {
				s.cfg.Force8Bit = test.force
				s.connect()
				err := s.conn.Send(s.ctx, &Message{From: test.from, To: []string{test.to}, Body: test.body, UTF8: test.inHeader}, &s.result)
				var missing *MissingExtensionError
				switch {
				case test.missing == "":
					if err != nil {
						t.Errorf("error %v", err)
					}
					s.finals("message 250")
				case !errors.As(err, &missing) || missing.Extension != test.missing:
					t.Errorf("error %v, expected %s to be missing", err, test.missing)
				default:
					s.finals("mail 0")
					s.log.expect(t, "mail lost: "+missing.Error())
				}
				if _, err := s.conn.Noop(s.ctx); err != nil {
					t.Errorf("the connection can't be used any more: %v", err)
				}
			})
		})
	}
}
