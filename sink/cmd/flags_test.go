package cmd

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/pflag"
)

// refused begins what shows that a flag is refused; the rest is a text of the line that says so.
const refused = "refused: "

// nothing stands for no word from the sink.
const nothing = "<nothing>"

// flagRow says what becomes of a flag: want is a text that shows that it was obeyed, in what the sink says to the client of script, on its own
// output, or in the files of its directory; or a refusal.
type flagRow struct{ args, script, want string }

// What a client says: each step when the reply to the one before has come.
const (
	hello    = "EHLO c.example|QUIT"
	envelope = "EHLO c.example|MAIL FROM:<a@s.example>|RCPT TO:<b@r.example>|"
	mail     = envelope + "DATA|Subject: x\r\n\r\ntext\r\n.|QUIT"
	two      = envelope + "RCPT TO:<c@r.example>|QUIT"
	bounced  = "EHLO c.example|MAIL FROM:<>|RCPT TO:<b@r.example>|DATA|Subject: x\r\n\r\ntext\r\n.|QUIT"
	bareLF   = envelope + "DATA|Subject: x\r\n\r\nte\nxt\r\n.|QUIT"
	asks     = "EHLO c.example|MAIL FROM:<a@s.example>|RCPT TO:<550-5.1.1+b@r.example>|QUIT"
	silent   = "EHLO c.example"
	places   = envelope + "RCPT TO:<c@q.example>|QUIT"
	chunk    = "EHLO c.example|BDAT 11"
)

// Beyond the defaults, or just within.
var (
	longLine   = "NOOP " + strings.Repeat("x", 600) + "|QUIT"
	lateSwitch = envelope + "DATA|Subject: " + strings.Repeat("x", 1500) + "\r\nX-Storm-Reply: 550 5.7.1\r\n\r\ntext\r\n.|QUIT"
)

// flagTable has every flag of smtpsink, by its name. What a flag does beyond what shows here, such as how much --state-memory keeps, the tests of
// package sink try. DIR stands for a directory of the row's own.
var flagTable = map[string][]flagRow{
	"listen":             {{"--listen one=127.0.0.1:0", hello, "listening on one=127.0.0.1:"}, {"--listen nowhere", "", refused + "--listen"}},
	"mode":               {{"--mode offline", mail, "\n521 5.3.2"}, {"--mode nice", "", refused + "--mode"}},
	"at":                 {{"--mode bounce --at rcpt", mail, "rcpt: "}, {"--at rcpt", "", refused + "--at"}},
	"weight":             {{"--mode bounce --weight 450:0", hello, "message: 421"}, {"--weight 450:9", "", refused + "--weight"}},
	"random-accept":      {{"--mode random --random-accept 0.25", hello, "message: 250 6.25%"}, {"--mode bounce --random-accept 0.5", "", refused + "--random-accept"}},
	"reply":              {{"--reply rcpt=451", mail, "\n451 "}, {"--reply rcpt=999", "", refused + "--reply"}},
	"delay":              {{"--delay rcpt=1ms", mail, "after 1ms"}, {"--delay rcpt", "", refused + "--delay"}},
	"seed":               {{"--reply rcpt=451 --seed 77", hello, "seed 77"}, {"--plan bounce-storm --seed 78", hello, "seed 78"}, {"--seed -1", "", refused + "--seed"}},
	"plan":               {{"--plan bounce-storm", hello, `rule "busy at mail"`}, {"--plan missing.yaml", "", refused + "missing.yaml"}, {"--plan calm --reply rcpt=451", "", refused + "--reply"}},
	"driver":             {{"--driver net", hello, "driver net"}, {"--driver gnet", "", refused + "--driver"}},
	"loops":              {{"--loops 2", hello, "2 loops"}, {"--loops -1", "", refused + "--loops"}},
	"hostname":           {{"--hostname mx.example", hello, "250-mx.example"}, {"--hostname a\tb", "", refused + "--hostname"}},
	"max-size":           {{"--max-size 1000", hello, "250-SIZE 1000\n"}, {"--max-size none", hello, "250-SIZE 0\n"}, {"--max-size much", "", refused + "--max-size"}},
	"max-recipients":     {{"--max-recipients 1", two, "452 4.5.3"}, {"--max-recipients 0", "", refused + "--max-recipients"}},
	"max-connections":    {{"--max-connections 0", "", refused + "--max-connections"}, {"--max-connections many", "", refused + "--max-connections"}, {"--max-connections 1", mail, "250 2.0.0"}},
	"max-line":           {{"--max-line 1000", longLine, "\n250 "}, {"", longLine, "\n500 Line too long"}, {"--max-line 100", "", refused + "--max-line"}, {"--max-line none", "", refused + "--max-line"}},
	"max-header":         {{"--max-header 1KiB", lateSwitch, "\n250 2.0.0"}, {"", lateSwitch, "\n550 5.7.1"}, {"--max-header 1", "", refused + "--max-header"}},
	"max-envelope":       {{"--max-envelope 1KiB", "", refused + "--max-envelope"}, {"--max-envelope 64KiB", mail, "250 2.0.0"}},
	"max-domains":        {{"--max-domains 1 --json", places, "(other)"}, {"--max-domains 0", "", refused + "--max-domains"}},
	"max-discard":        {{"--max-discard 10", chunk, "421 4.3.4"}, {"--max-discard none", "", refused + "--max-discard"}, {"--max-discard 0", "", refused + "--max-discard"}},
	"write-timeout":      {{"--write-timeout 0", "", refused + "--write-timeout"}, {"--write-timeout 1s", mail, "250 2.0.0"}},
	"standing-memory":    {{"--standing-memory 1KiB", "", refused + "--standing-memory"}},
	"state-memory":       {{"--state-memory 1KiB", "", refused + "--state-memory"}},
	"bare-lf":            {{"--bare-lf accept", bareLF, "250 2.0.0"}, {"--bare-lf reject", bareLF, "554 5.6.0"}, {"--bare-lf maybe", "", refused + "--bare-lf"}},
	"idle-timeout":       {{"--idle-timeout 20ms", silent, "Idle timeout"}, {"--idle-timeout 0", "", refused + "--idle-timeout"}},
	"max-hold":           {{"--plan DIR/silence.yaml --max-hold 20ms", silent, "<closed>"}, {"--max-hold 0", "", refused + "--max-hold"}},
	"no-triggers":        {{"--no-triggers", asks, "250 2.1.5"}, {"", asks, "550 5.1.1"}},
	"lmtp":               {{"--listen one=127.0.0.1:0 --lmtp one", hello, "500 "}, {"--lmtp two", "", refused + "--lmtp"}},
	"tls":                {{"--tls always", hello, "STARTTLS"}, {"--tls maybe", "", refused + "--tls"}, {"--tls never --tls-required", "", refused + "--tls"}},
	"serve":              {{`--listen one=127.0.0.1:0 --serve one={"limits":{"rcptmax":1}}`, two, "452 4.5.3"}, {"--serve one", "", refused + "--serve"}, {`--serve two={"max_size":1}`, "", refused + "--serve"}, {`--listen one=127.0.0.1:0 --serve one={"tls_versions":"1.4"}`, "", refused + "--serve: one: settings:1:17: tls_versions"}},
	"tls-implicit":       {{"--tls-implicit two", "", refused + "--tls-implicit"}, {"--listen one=127.0.0.1:0 --tls-implicit one --idle-timeout 20ms", "", "<closed>"}},
	"tls-required":       {{"--tls-required", mail, "530 5.7.0"}},
	"tls-cert":           {{"--tls-cert DIR/missing.pem --tls-key DIR/missing.pem", "", refused + "--tls-cert"}, {"--tls-cert DIR/missing.pem", "", refused + "--tls"}},
	"tls-key":            {{"--tls-key DIR/missing.pem", "", refused + "--tls"}},
	"tls-ca":             {{"--tls always --tls-ca DIR/ca.pem", hello, "BEGIN CERTIFICATE"}, {"--tls-ca DIR/missing/ca.pem --tls always", "", refused + "--tls-ca"}, {"--tls-ca DIR/ca.pem --tls never", "", refused + "--tls-ca"}},
	"auth-user":          {{"--auth-user a:secret", hello, "AUTH "}, {"--auth-user a", "", refused + "--auth-user"}},
	"auth-as":            {{"--auth-user a:secret --auth-as a:b", hello, "AUTH "}, {"--auth-user a:secret --auth-as a", "", refused + "--auth-as"}, {"--auth-user a:secret --auth-as b:c", "", refused + "--auth-as"}, {"--auth-as a:b", "", refused + "--auth-as"}},
	"auth":               {{"--auth any:secret", hello, "AUTH "}, {"--auth some:secret", "", refused + "--auth"}, {"--auth any:x --auth-user a:x", "", refused + "--auth"}},
	"auth-required":      {{"--auth any:x --auth-required", mail, "530 5.7.0"}, {"--auth-required", "", refused + "--auth-required"}},
	"auth-tls":           {{"--auth any:x --auth-tls --tls always", "EHLO c|AUTH PLAIN AA==|QUIT", "538 "}, {"--auth-tls", "", refused + "--auth-tls"}},
	"ledger":             {{"--ledger DIR/ledger.jsonl", mail, `"kind":"attempt"`}, {"--ledger DIR/missing/ledger.jsonl", "", refused + "--ledger"}},
	"durability":         {{"--ledger DIR/ledger.jsonl --durability ack", mail, `"durability":"ack"`}, {"--durability ack", "", refused + "--durability"}, {"--ledger DIR/l --durability much", "", refused + "--durability"}},
	"ledger-timeout":     {{"--ledger DIR/l --ledger-timeout 1s", "", refused + "--ledger-timeout"}, {"--ledger DIR/l --durability ack --ledger-timeout 0", "", refused + "--ledger-timeout"}, {"--ledger DIR/ledger.jsonl --durability ack --ledger-timeout 10s", mail, "250 2.0.0"}},
	"dsn-dir":            {{"--dsn-dir DIR/dsn --plan DIR/dsn.yaml", bounced, "notifications: 1 kept"}, {"--dsn-dir DIR/silence.yaml", "", refused + "--dsn-dir"}},
	"drain-timeout":      {{"--drain-timeout 7s", hello, "for at most 7s"}, {"--drain-timeout -1s", "", refused + "--drain-timeout"}},
	"capture":            {{"--capture DIR/mail", mail, "captured: 1 message"}, {"--capture memory:x", "", refused + "--capture"}},
	"capture-size":       {{"--capture-size 1MiB", "", refused + "--capture-size"}, {"--capture DIR/mail --capture-size 1", "", refused + "--capture-size"}, {"--capture DIR/mail --capture-size 1MiB", mail, "captured: 1 message"}},
	"capture-count":      {{"--capture-count 3", "", refused + "--capture-count"}, {"--capture memory:1MiB --capture-count 0", "", refused + "--capture-count"}, {"--capture memory:1MiB --capture-count 1", mail, "captured: 1 message"}},
	"control":            {{"--control 127.0.0.1:0", hello, "the control API is at http://127.0.0.1:"}, {"--control nowhere", "", refused + "--control"}, {"--control 0.0.0.0:0", "", refused + "--control-token-file"}},
	"control-token-file": {{"--control-token-file DIR/missing", "", refused + "--control-token-file"}, {"--control 127.0.0.1:0 --control-token-file DIR/missing", "", refused + "--control-token-file"}},
	"control-host":       {{"--control-host sink.example", "", refused + "--control-host"}, {"--control 127.0.0.1:0 --control-host sink.example", hello, "the control API is at"}},
	"control-cert":       {{"--control 127.0.0.1:0 --control-cert DIR/missing.pem", "", refused + "--control-cert"}, {"--control 127.0.0.1:0 --control-cert DIR/missing.pem --control-key DIR/missing.pem", "", refused + "missing.pem"}},
	"control-key":        {{"--control-key DIR/missing.pem", "", refused + "--control-key"}},
	"control-listeners":  {{"--control-listeners", "", refused + "--control-listeners"}, {"--control 127.0.0.1:0 --control-listeners", hello, "the control API is at"}},
	"control-connections": {{"--control 127.0.0.1:0 --control-connections 0", "", refused + "--control-connections"}, {"--control-connections 3", "", refused + "--control-connections"},
		{"--metrics-listen 127.0.0.1:0 --control-connections 3", hello, "monitoring is at"}},
	"control-streams": {{"--control 127.0.0.1:0 --control-streams 0", "", refused + "--control-streams"}, {"--metrics-listen 127.0.0.1:0 --control-streams 3", "", refused + "--control-streams"},
		{"--control 127.0.0.1:0 --control-streams 1", hello, "the control API is at"}},
	"control-body":    {{"--control 127.0.0.1:0 --control-body none", "", refused + "--control-body"}, {"--control-body 2MiB", "", refused + "--control-body"}, {"--control 127.0.0.1:0 --control-body 2MiB", hello, "the control API is at"}},
	"control-claims":  {{"--control 127.0.0.1:0 --control-claims 2TiB", "", refused + "--control-claims"}, {"--control-claims 2MiB", "", refused + "--control-claims"}},
	"control-events":  {{"--control 127.0.0.1:0 --control-events 1", "", refused + "--control-events"}, {"--control-events 2MiB", "", refused + "--control-events"}},
	"control-backlog": {{"--control 127.0.0.1:0 --control-backlog 1", "", refused + "--control-backlog"}, {"--control-backlog 2MiB", "", refused + "--control-backlog"}},
	"metrics-listen":  {{"--metrics-listen 127.0.0.1:0", hello, "monitoring is at http://127.0.0.1:"}, {"--metrics-listen nowhere", "", refused + "--metrics-listen"}},
	"json":            {{"--json", hello, `"schema":`}},
	"quiet":           {{"--quiet", "", nothing}},
	"stats-interval":  {{"--stats-interval -1s", "", refused + "--stats-interval"}, {"--stats-interval 1s --quiet", "", refused + "--stats-interval"}},
}

// TestEveryFlagIsObeyedOrRefused: a flag without a row here is a failed test.
func TestEveryFlagIsObeyedOrRefused(t *testing.T) {
	known := NewCommand(io.Discard, io.Discard).Flags()
	known.VisitAll(func(f *pflag.Flag) {
		if len(flagTable[f.Name]) == 0 {
			t.Errorf("flag --%s has no row", f.Name)
		}
	})
	for name, rows := range flagTable {
		if known.Lookup(name) == nil {
			t.Errorf("there is no flag --%s", name)
		}
		for _, row := range rows {
			t.Run(name+" "+row.args, func(t *testing.T) {
				t.Parallel()
				tryFlag(t, row)
			})
		}
	}
}

func tryFlag(t *testing.T, row flagRow) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"silence.yaml": "version: 1\nrules: [{stage: noop, silence: true}, {stage: ehlo, silence: true}]\n",
		"dsn.yaml":     "version: 1\nrules: []\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := strings.Split(strings.ReplaceAll(row.args, "DIR", dir), " ")
	if row.args == "" {
		args = nil
	}
	listen, listeners := "127.0.0.1:0", 1
	if row.want == nothing { // it does not say where it listens either
		listen, listeners = freePort(t), 0
	}
	if !strings.Contains(row.args, "--listen") {
		args = append(args, "--listen", listen)
	}
	if text, is := strings.CutPrefix(row.want, refused); is {
		stdout, stderr, status := invoke(t, args...)
		if status != exitUsage || !strings.Contains(stderr, text) || strings.Count(stderr, "\n") != 1 || stdout != "" {
			t.Errorf("%s: exit status %d, %q, %q; want status %d and one line with %q", row.args, status, stderr, stdout, exitUsage, text)
		}
		return
	}
	p := start(t, listeners, args...)
	seen := p.said
	for _, address := range p.addr {
		seen += talk(t, address, row.script)
	}
	if listeners == 0 {
		awaitListener(t, listen)
	}
	stdout, stderr, status := p.stop(syscall.SIGTERM)
	if status != 0 {
		t.Errorf("%s: exit status %d", row.args, status)
	}
	seen += stderr + stdout
	if seen == "" {
		seen = nothing
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil {
			seen += fmt.Sprintf("%s: %s\n", filepath.Base(f), text)
		}
	}
	if !strings.Contains(seen, row.want) {
		t.Errorf("%s: want %q in what was seen:\n%s", row.args, row.want, seen)
	}
}

// talk has the dialogue of the script, and returns what the sink said in it: lines that end with LF, and <closed> where it closed.
func talk(t *testing.T, address, script string) string {
	t.Helper()
	conn, in := dial(t, address)
	defer conn.Close()
	said := "\n"
	for _, step := range append(strings.Split(script, "|"), "") {
		for {
			reply, err := in.ReadString('\n')
			if err != nil {
				return said + "<closed>\n"
			}
			said += strings.TrimRight(reply, "\r\n") + "\n"
			if len(reply) < 4 || reply[3] != '-' {
				break
			}
		}
		if step != "" {
			say(t, conn, step+"\r\n")
		}
	}
	rest, _ := io.ReadAll(in) // however it closes
	return said + string(rest) + "<closed>\n"
}
