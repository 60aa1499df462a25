package sink_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
)

// Whatever a client sends, it makes the ledger write no more than 128 KiB, and 128 octets for each octet that it has sent.
func TestLedgerIsInProportionToWhatClientsSend(t *testing.T) {
	many := func(line string, n int) string { return strings.Repeat(line, n) }
	const messageID = "Message-ID: "
	for name, say := range map[string]string{
		"a long Message-ID for many": "MAIL FROM:<a@x.test>\r\n" + many("RCPT TO:<a@x.test>\r\n", 1000) + "DATA\r\n" +
			messageID + many("\x80", 60_000) + "\r\n\r\n.\r\n",
		"many messages with a long X-Storm-Id": many("MAIL FROM:<a@x.test>\r\n"+many("RCPT TO:<a@x.test>\r\n", 100)+"DATA\r\nX-Storm-Id: "+
			many("\x01", 900)+"\r\n\r\n.\r\n", 10),
		"a long sender, and RCPT without anything": "MAIL FROM:<\"" + many(`\"`, 900) + "\"@x.test>\r\n" + many("RCPT\r\n", 20_000),
		"a long ENVID, and RCPT without anything":  "MAIL FROM:<> ENVID=" + many("+22", 90) + "\r\n" + many("RCPT\r\n", 20_000),
		"long recipients":                          "MAIL FROM:<a@x.test>\r\n" + many("RCPT TO:<\""+many(`\"`, 900)+"\"@x.test>\r\n", 100),
		"MAIL and RSET":                            many("MAIL FROM:<\""+many(`\"`, 900)+"\"@x.test>\r\nRSET\r\n", 200),
	} {
		t.Run(name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
				file := &stubbornFile{}
				server := onFile(t, kind, file, event.Batch, nil, nil)
				c := greeted(t, server)
				go func() { _, _ = c.conn.Write([]byte(say + "QUIT\r\n")) }()
				if _, err := c.rest(); err != nil {
					t.Fatal(err)
				}
				if err := server.Close(); err != nil {
					t.Fatal(err)
				}
				text := file.text.String()
				var last struct {
					OctetsIn int `json:"octets_in"`
				}
				rows := strings.Split(strings.TrimSpace(text), "\n")
				if err := json.Unmarshal([]byte(rows[len(rows)-2]), &last); err != nil {
					t.Fatal(err)
				}
				if most := 128<<10 + 128*last.OctetsIn; last.OctetsIn < len(say) || len(text) > most {
					t.Errorf("%d octets were sent, and %d rows of %d octets written: want at most %d", last.OctetsIn, len(rows), len(text), most)
				}
				t.Logf("%d octets in, %d octets of rows: %.1f each", last.OctetsIn, len(text), float64(len(text))/float64(last.OctetsIn))
			})
		})
	}
}

// An ordinary message for many recipients keeps all that identifies it: its ids stand once.
func TestLedgerKeepsOrdinaryValues(t *testing.T) {
	file := &stubbornFile{}
	server := onFile(t, sink.DriverAuto, file, event.Batch, nil, nil)
	c := greeted(t, server)
	id := strings.Repeat("m", 60)
	say := "MAIL FROM:<s+run-1234567-1@src.example>\r\n"
	for range 1000 {
		say += "RCPT TO:<rcpt@dst.test>\r\n"
	}
	go func() {
		_, _ = c.conn.Write([]byte(say + "DATA\r\nMessage-ID: <" + id + "@src.example>\r\nX-Storm-Id: run-1234567-1\r\n\r\nhi\r\n.\r\nQUIT\r\n"))
	}()
	if _, err := c.rest(); err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
	text := file.text.String()
	if whole := strings.Count(text, id+"@src.example>"); whole != 1 || strings.Contains(text, `"cut"`) {
		t.Errorf("%d rows have the Message-ID, want that of the message alone; cut: %v", whole, strings.Contains(text, `"cut"`))
	}
	if named := strings.Count(text, `"token":"s+run-1234567-1@src.example"`); named != 1000 {
		t.Errorf("%d attempts have the token, want 1000", named)
	}
}

// A ledger is read at the start only for a plan that asks what is in it: one with a corrupt row shows which was read.
func TestLedgerIsReadOnlyWhereThePlanAsksForIt(t *testing.T) {
	for name, c := range map[string]struct {
		plan string
		read bool
	}{
		"no plan":          {"", false},
		"calm":             {"rules: [{stage: rcpt, reply: 450}]\n", false},
		"size limit":       {"limits: [{name: l, kind: size, max: 1000}]\n", false},
		"first attempts":   {"rules: [{stage: rcpt, match: {attempt: 1}, reply: 450}]\n", true},
		"draws":            {"rules: [{stage: rcpt, outcomes: [{weight: 1}, {weight: 1, reply: 450}]}]\n", true},
		"draws at message": {"rules: [{stage: message, outcomes: [{weight: 1}, {weight: 1, reply: 450}]}]\n", true},
		"reactions":        {"react: [{name: r, of: client, when: {code: 550}}]\n", true},
		"greylist":         {"limits: [{name: g, kind: greylist, delay: 1m, window: 1h}]\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/ledger.jsonl"
			start := string(ledger.AppendStart(nil, &event.Start{Durability: event.Batch}))
			if err := os.WriteFile(path, []byte(start+"{\"kind\":\n"+start[:20]), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := sink.Config{Listeners: []sink.Listener{{Address: "127.0.0.1:0"}}, Ledger: sink.LedgerConfig{Path: path, Durability: event.Batch}}
			if c.plan != "" {
				cfg.Plan = parsePlan(t, c.plan).Plan
			}
			server, err := sink.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			err = server.Start()
			defer server.Close()
			if c.read != (err != nil) || err != nil && !strings.Contains(err.Error(), "ledger.jsonl:2: ") {
				t.Fatalf("Start() says %v; want the row of line 2 to be read: %v", err, c.read)
			}
			if found, ok := server.Recovered(); ok != !c.read || ok && found.Torn != 20 {
				t.Errorf("found %+v, %v; want the 20 octets of a torn row", found, ok)
			}
		})
	}
}
