package client

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

const lhlo = `
	S: 220 mx.test ready
	C: LHLO localhost
	S: 250-mx.test
	S: 250-CHUNKING
	S: 250 PIPELINING
	`

func TestLMTPHasAReplyPerRecipient(t *testing.T) {
	commands := "C: MAIL FROM:<a@src.test>\nC: RCPT TO:<b@x.test>\nC: RCPT TO:<c@x.test>\nC: RCPT TO:<d@x.test>\nC: DATA\n"
	for _, test := range []struct {
		name, script string
		finals       []string
	}{
		{"each its own", lhlo + commands + "S: 250 ok\nS: 250 ok\nS: 550 no\nS: 250 ok\nS: 354 go\nC. 3\nS: 250 kept\nS: 452 full\n",
			[]string{"message 250", "rcpt 550", "message 452"}},
		{"421 stands for the rest", lhlo + commands + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC. 3\nS: 250 kept\nS: 421 bye\n+1ms\nclose",
			[]string{"message 250", "message 421", "message 421"}},
		{"nobody accepted and 354", lhlo + commands + "S: 250 ok\nS: 550 no\nS: 550 no\nS: 550 no\nS: 354 go\n",
			[]string{"rcpt 550", "rcpt 550", "rcpt 550"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dialogue(t, test.script, func(s *session) {
				s.cfg.LMTP = true
				s.connect()
				if err := s.send("b@x.test", "c@x.test", "d@x.test"); err != nil {
					t.Error(err)
				}
				s.finals(test.finals...)
			})
		})
	}
}

// A refused DATA leaves the recipients accepted: each has its reply when Data ends the message after all.
func TestLMTPDataGoesOnWithTheRecipientsOfSend(t *testing.T) {
	dialogue(t, lhlo+"C: MAIL FROM:<a@src.test>\nC: RCPT TO:<b@x.test>\nC: RCPT TO:<c@x.test>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 451 later\n"+
		"C: DATA\nS: 354 go\nC. 1\nS: 250 kept\nS: 452 full\n", func(s *session) {
		s.cfg.LMTP = true
		s.connect()
		_ = s.send("b@x.test", "c@x.test")
		s.finals("data 451", "data 451")
		tr, err := s.conn.Data(s.ctx, nil, NewBody([]byte("hi")))
		if err != nil || len(tr.Replies) != 2 || tr.Replies[0].Code != 250 || tr.Replies[1].Code != 452 {
			t.Errorf("replies %+v, error %v; want one of each recipient", tr.Replies, err)
		}
	})
}

func TestLMTPCountsEveryReplyThatNeverCame(t *testing.T) {
	dialogue(t, lhlo+"C: MAIL FROM:<a@src.test>\nC: RCPT TO:<b@x.test>\nC: RCPT TO:<c@x.test>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC. 3\nS: 250 kept\n+1ms\nclose",
		func(s *session) {
			s.cfg.LMTP = true
			s.connect()
			if err := s.send("b@x.test", "c@x.test"); err == nil {
				t.Error("no error for a reply that never came")
			}
			s.finals("message 250", "message 0")
			s.log.expect(t, "mail 250", "rcpt 250", "rcpt 250", "data 354", "message 250", "message lost: connection closed by the server")
		})
}

const chunking = `
	S: 220 mx.test ready
	C: EHLO localhost
	S: 250-mx.test
	S: 250 CHUNKING
	C: MAIL FROM:<a@src.test>
	S: 250 ok
	C: RCPT TO:<b@x.test>
	`

func TestChunks(t *testing.T) {
	// 20 octets: the dot is not doubled.
	message := NewBody([]byte("Subject: x\n\n.dot\n"))
	for _, test := range []struct {
		name   string
		size   int
		script string
		final  string
	}{
		{"one", 1 << 20, "S: 250 ok\nC: BDAT 20 LAST\nC: Subject: x\nC: \nC: .dot\nS: 250 done\n", "message 250"},
		{"two", 14, "S: 250 ok\nC: BDAT 14\nC: Subject: x\nC: \nS: 250 14 octets\nC: BDAT 6 LAST\nC: .dot\nS: 250 done\n", "message 250"},
		{"refused in the middle", 14, "S: 250 ok\nC: BDAT 14\nC: Subject: x\nC: \nS: 452 full\n", "bdat 452"},
		{"nobody wants it", 14, "S: 550 no\n", "rcpt 550"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dialogue(t, chunking+test.script, func(s *session) {
				s.cfg.ChunkSize = test.size
				s.connect()
				if err := s.conn.Send(s.ctx, &Message{From: "a@src.test", To: []string{"b@x.test"}, Body: message}, &s.result); err != nil {
					t.Error(err)
				}
				s.finals(test.final)
				if s.result.Data != NotMeasured {
					t.Errorf("DATA took %v, but was never sent", s.result.Data)
				}
			})
		})
	}
}

// TestAWholeMessageInOneWrite: with PIPELINING a message of one chunk follows its RCPTs before any reply is read.
func TestAWholeMessageInOneWrite(t *testing.T) {
	greeting := "S: 220 mx.test ready\nC: EHLO localhost\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 CHUNKING\n"
	commands := "C: MAIL FROM:<a@src.test>\nC: RCPT TO:<b@x.test>\nC: RCPT TO:<c@x.test>\nC: BDAT 20 LAST\nC: Subject: x\nC: \nC: .dot\n"
	for _, test := range []struct {
		name, script string
		finals, log  []string
	}{
		{"accepted", greeting + commands + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 done\n",
			[]string{"message 250", "message 250"}, []string{"mail 250", "rcpt 250", "rcpt 250", "message 250"}},
		{"one recipient", greeting + commands + "S: 250 ok\nS: 550 no\nS: 250 ok\nS: 250 done\n",
			[]string{"rcpt 550", "message 250"}, []string{"mail 250", "rcpt 550", "rcpt 250", "message 250"}},
		{"deferred", greeting + commands + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 452 full\n",
			[]string{"message 452", "message 452"}, []string{"mail 250", "rcpt 250", "rcpt 250", "message 452"}},
		// A transaction without recipients stays open: the next message begins with RSET.
		{"no recipient", greeting + commands + "S: 250 ok\nS: 550 no\nS: 450 no\nS: 503 nobody\nC: RSET\n" + commands +
			"S: 250 reset\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 done\n",
			[]string{"rcpt 550", "rcpt 450", "message 250", "message 250"},
			[]string{"mail 250", "rcpt 550", "rcpt 450", "bdat 503", "rset 250", "mail 250", "rcpt 250", "rcpt 250", "message 250"}},
		{"no sender", greeting + commands + "S: 451 no\nS: 503 no\nS: 503 no\nS: 503 nobody\n" + commands +
			"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 done\n",
			[]string{"mail 451", "mail 451", "message 250", "message 250"},
			[]string{"mail 451", "rcpt 503", "rcpt 503", "bdat 503", "mail 250", "rcpt 250", "rcpt 250", "message 250"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dialogue(t, test.script, func(s *session) {
				s.cfg.ChunkSize = 1 << 20
				s.connect()
				for finals := test.finals; len(finals) > 0; finals = finals[2:] {
					m := &Message{From: "a@src.test", To: []string{"b@x.test", "c@x.test"}, Body: NewBody([]byte("Subject: x\n\n.dot\n"))}
					if err := s.conn.Send(s.ctx, m, &s.result); err != nil {
						t.Error(err)
					}
					s.finals(finals[:2]...)
					if !s.result.Pipelined || s.result.Octets != 20 {
						t.Errorf("pipelined %v, %d octets; want true and 20", s.result.Pipelined, s.result.Octets)
					}
				}
				s.log.expect(t, test.log...)
			})
		})
	}
}

func TestChunksCutHeaderAndBodyAnywhere(t *testing.T) {
	// "X: \r\n", then "1\r\na\r", then "\n".
	dialogue(t, chunking+"S: 250 ok\nC: BDAT 5\nC~ X: \nS: 250 ok\nC: BDAT 5\nC: 1\nS: 250 ok\nC: a\rBDAT 1 LAST\nC~ \nS: 250 done\n", func(s *session) {
		s.cfg.ChunkSize = 5
		s.connect()
		m := &Message{From: "a@src.test", To: []string{"b@x.test"}, Header: []byte("X: \r\n"), Body: NewBody([]byte("1\na\n"))}
		if err := s.conn.Send(s.ctx, m, &s.result); err != nil {
			t.Error(err)
		}
		s.finals("message 250")
		if s.result.Octets != 11 {
			t.Errorf("%d octets, expected 11", s.result.Octets)
		}
	})
}

func TestDSNParameters(t *testing.T) {
	for _, test := range []struct {
		name, capability, mail, rcpt string
		dsn                          DSN
	}{
		{"all", "DSN", " RET=HDRS ENVID=id+2B1", " NOTIFY=SUCCESS,DELAY ORCPT=rfc822;old+2B@x.test",
			DSN{Ret: "HDRS", EnvID: "id+1", Notify: "SUCCESS,DELAY", ORcpt: "rfc822;old+@x.test"}},
		{"self", "DSN", "", " ORCPT=rfc822;b@x.test", DSN{ORcptSelf: true}},
		{"not offered", "HELP", "", "", DSN{Ret: "FULL", Notify: "NEVER"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dialogue(t, "S: 220 mx.test\nC: EHLO localhost\nS: 250-mx.test\nS: 250 "+test.capability+"\nC: MAIL FROM:<a@src.test>"+test.mail+
				"\nS: 250 ok\nC: RCPT TO:<b@x.test>"+test.rcpt+"\nS: 550 no\n", func(s *session) {
				s.connect()
				m := &Message{From: "a@src.test", To: []string{"b@x.test"}, Body: NewBody(nil), DSN: &test.dsn}
				if err := s.conn.Send(s.ctx, m, &s.result); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestCommandsOneByOne(t *testing.T) {
	dialogue(t, `
		S: 220 mx.test ready
		C: EHLO me.test
		S: 250-mx.test
		S: 250 CHUNKING
		C: VRFY ann
		S: 252 2.1.5 maybe
		C: MAIL FROM:<a@src.test> SIZE=4
		S: 250 2.1.0 ok
		C: RCPT TO:<b@x.test>
		S: 250 2.1.5 ok
		C: DATA
		S: 354 go
		C. 2
		S: 250 2.0.0 queued
		C: MAIL FROM:<>
		S: 250 2.1.0 ok
		C: RCPT TO:<b@x.test> NOTIFY=NEVER
		S: 250 2.1.5 ok
		C: BDAT 4
		C: hi
		S: 250 2.0.0 4 octets
		C: BDAT 0 LAST
		S: 250 2.0.0 queued
		C: HELP me
		S: 214 2.0.0 no
		C: RSET
		S: 250 2.0.0 ok
		C: MAIL FROM:<a@src.test>
		S: 421 4.3.2 bye
		`, func(s *session) {
		conn, err := Open(s.ctx, &s.cfg, &s.log, &s.greeting)
		if err != nil {
			t.Fatal(err)
		}
		s.conn = conn
		step := func(reply Reply, err error) {
			t.Helper()
			if err != nil || reply.Code.Class() != 2 {
				t.Errorf("%v %v", reply, err)
			}
		}
		transfer := func(tr Transfer, err error) {
			t.Helper()
			if err != nil || len(tr.Replies) != 1 || tr.Replies[0].Code != 250 || tr.Sending == NotMeasured || tr.Waiting == NotMeasured {
				t.Errorf("%+v %v", tr, err)
			}
		}
		step(conn.Hello(s.ctx, smtp.StageEhlo, "me.test"))
		step(conn.Command(s.ctx, smtp.StageVrfy, "VRFY ann\r\n"))
		step(conn.Mail(s.ctx, "a@src.test", []string{"SIZE=4"}))
		step(conn.Rcpt(s.ctx, "b@x.test", nil))
		transfer(conn.Data(s.ctx, []byte("X: 1\r\n"), NewBody([]byte("hi"))))
		step(conn.Mail(s.ctx, "", nil))
		step(conn.Rcpt(s.ctx, "b@x.test", []string{"NOTIFY=NEVER"}))
		transfer(conn.Bdat(s.ctx, []byte("hi\r\n"), false))
		transfer(conn.Bdat(s.ctx, nil, true))
		step(conn.Raw(s.ctx, "HELP me"))
		// Whatever the raw line did, the next message starts clean.
		_ = s.send("b@x.test")
		s.finals("mail 421")
		s.log.expect(t, "connect 220", "ehlo 250", "vrfy 252 2.1.5", "mail 250 2.1.0", "rcpt 250 2.1.5", "data 354", "message 250 2.0.0", "mail 250 2.1.0",
			"rcpt 250 2.1.5", "bdat 250 2.0.0", "message 250 2.0.0", "help 214 2.0.0", "rset 250 2.0.0", "mail 421 4.3.2")
	})
}

func TestTranscript(t *testing.T) {
	dialogue(t, piped+`
		C: MAIL FROM:<a@src.test>
		C: RCPT TO:<b@x.test>
		C: DATA
		S: 250 ok
		+5ms
		S: 250-fine
		S: 250 really
		S: 354 go
		C. 13
		S: 250 2.0.0 queued
		`, func(s *session) {
		var lines []string
		began := time.Now()
		s.cfg.Trace = func(e TraceEntry) {
			lines = append(lines, fmt.Sprintf("%v %s: %s", e.At.Sub(began), e.Speaker, e.Text))
		}
		s.connect()
		body := NewBody([]byte("Subject: x\n\n" + strings.Repeat("0123456789012345678\n", 11)))
		if err := s.conn.Send(s.ctx, &Message{From: "a@src.test", To: []string{"b@x.test"}, Body: body}, &s.result); err != nil {
			t.Error(err)
		}
		want := []string{
			"0s server: 220 mx.test ready", "0s client: EHLO localhost", "0s server: 250-mx.test", "0s server: 250 PIPELINING",
			"0s client: MAIL FROM:<a@src.test>", "0s client: RCPT TO:<b@x.test>", "0s client: DATA", "0s server: 250 ok",
			"5ms server: 250-fine", "5ms server: 250 really", "5ms server: 354 go",
			"5ms client: Subject: x\n\n" + strings.Repeat("0123456789012345678\n", 8) + "0123456789012345678\n[... 248 octets in all]",
			"5ms server: 250 2.0.0 queued",
		}
		for i := range want {
			if i >= len(lines) || !strings.HasPrefix(lines[i], strings.TrimSuffix(want[i], "0123456789012345678\n[... 248 octets in all]")) {
				t.Fatalf("line %d of %q\nexpected %q", i, lines, want[i])
			}
		}
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, "octets in all]") }) {
			t.Errorf("the body is not cut: %q", lines)
		}
	})
}
