//go:build unix

package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

func writePlan(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("version: 1\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// SIGHUP reads the plan again. A broken one is reported, and the one in force stays.
func TestReload(t *testing.T) {
	for _, driver := range []string{"auto", "net"} {
		t.Run(driver, func(t *testing.T) {
			plan := filepath.Join(t.TempDir(), "plan.yaml")
			writePlan(t, plan, "rules: [{name: first, stage: rcpt, reply: 550}]\n")
			p := start(t, 1, "--listen", "127.0.0.1:0", "--plan", plan, "--driver", driver, "--json")
			_ = p.line() // the rule
			checkCode(t, deliver(t, p.addr[0]), 550)
			for _, step := range []struct {
				plan  string
				says  []string
				lines int // after the first
				code  int
			}{
				{"rules: [{name: second, stage: rcpt, reply: 450}]\n", []string{"plan.yaml is in force"}, 1, 450},
				{"rules: [{name: third, stage: rcpt, repply: 452}]\n", []string{"the plan in force stays", "plan.yaml:2", "repply"}, 0, 450},
				{"listeners: [{name: other, address: \"192.0.2.1:1\"}]\n", []string{"the plan in force stays", "192.0.2.1:1"}, 0, 450},
				{"rules: []\n", []string{"plan.yaml is in force"}, 0, 0},
			} {
				writePlan(t, plan, step.plan)
				if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
					t.Fatal(err)
				}
				line := p.line()
				for _, want := range step.says {
					if !strings.Contains(line, want) {
						t.Errorf("after SIGHUP with %q the program says %q, want %q", step.plan, line, want)
					}
				}
				for range step.lines {
					_ = p.line()
				}
				checkCode(t, deliver(t, p.addr[0]), step.code)
			}
			stdout, _, status := p.stop(syscall.SIGTERM)
			var stats sink.Stats
			if err := json.Unmarshal([]byte(stdout), &stats); err != nil || status != 0 || len(stats.Rules) != 2 {
				t.Errorf("exit status %d, %v, rules %+v; want 0 and the counts of both plans' rules", status, err, stats.Rules)
			}
		})
	}
}

func TestReloadWithoutAPlan(t *testing.T) {
	p := start(t, 1, "--listen", "127.0.0.1:0")
	_ = p.line()
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if line := p.line(); !strings.Contains(line, "there is no --plan") {
		t.Errorf("after SIGHUP the program says %q", line)
	}
	checkCode(t, deliver(t, p.addr[0]), 0)
	p.stop(syscall.SIGTERM)
}

// What a plan counts that comes later is counted from the ledger's beginning where the sink has read that, or else the program says from when on.
func TestReloadSaysWhatIsCountedLate(t *testing.T) {
	dir := t.TempDir()
	plan, book := filepath.Join(dir, "plan.yaml"), filepath.Join(dir, "ledger.jsonl")
	const plain, ordinals = "rules: [{name: first, stage: vrfy, reply: 550}]\n", "rules: [{name: third, stage: rcpt, match: {connection: 3, attempt: 1}, reply: 450}]\n"
	for _, test := range []struct {
		name, first, said string
		fresh             bool
	}{
		{"the first start", plain, "attempts are counted from ", true},
		{"the ledger was not read", plain, "connections are counted from ", false},
		{"the ledger was read", ordinals, "plan.yaml is in force", false},
	} {
		writePlan(t, plan, test.first)
		p := start(t, 1, "--listen", "127.0.0.1:0", "--plan", plan, "--ledger", book)
		_ = p.line() // the rule
		checkCode(t, deliver(t, p.addr[0]), 0)
		writePlan(t, plan, ordinals)
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		line := p.line()
		if strings.Contains(line, "is in force") && test.first == plain {
			line = p.line()
		}
		if !strings.Contains(line, test.said) || test.fresh && strings.Contains(line, "connections") || test.first == plain && !strings.Contains(line, "beginning of the ledger") {
			t.Errorf("%s: the program says %q, want %q", test.name, line, test.said)
		}
		if line := p.line(); !strings.Contains(line, "third") {
			t.Errorf("%s: then the program says %q", test.name, line)
		}
		p.stop(syscall.SIGTERM)
	}
}

// restart kills a program as a crash does, and starts it again at the same address.
func (p *process) restart(args ...string) *process {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait()
	return start(p.t, 1, append([]string{"--listen", p.addr[0]}, args...)...)
}

// A sink that was killed goes on with attempts and greylist where its ledger ends.
func TestRestartGoesOn(t *testing.T) {
	dir := t.TempDir()
	plan, book := filepath.Join(dir, "plan.yaml"), filepath.Join(dir, "ledger.jsonl")
	writePlan(t, plan, `
limits: [{name: grey, kind: greylist, delay: 300ms, window: 1h, match: {recipient: "*@grey.test"}}]
rules: [{name: twice, stage: rcpt, match: {attempt: 1-2, recipient: "*@twice.test"}, reply: 450}]
`)
	args := []string{"--plan", plan, "--ledger", book}
	p := start(t, 1, append([]string{"--listen", "127.0.0.1:0"}, args...)...)
	var seen time.Time // when the answer to the first sight had come, which was later than the sight
	for _, step := range []struct {
		recipient, code string
		kill            bool
		after           time.Duration // since the first sight
	}{
		{"b@grey.test", "451 4.7.1 ", false, 0},
		{"b@twice.test", "450 ", true, 0},
		{"b@twice.test", "450 ", true, 0},
		{"b@twice.test", "250 ", false, 0},
		{"b@grey.test", "250 ", false, 310 * time.Millisecond},
	} {
		<-time.After(time.Until(seen.Add(step.after)))
		conn, in := dial(t, p.addr[0])
		readReply(t, in, "220 ")
		say(t, conn, "HELO client.test\r\n")
		readReply(t, in, "250 ")
		say(t, conn, "MAIL FROM:<a@sender.test>\r\n")
		readReply(t, in, "250 ")
		say(t, conn, "RCPT TO:<"+step.recipient+">\r\n")
		// HELO: no enhanced status codes
		readReply(t, in, step.code[:4])
		if seen.IsZero() {
			seen = time.Now()
		}
		if step.code == "250 " {
			say(t, conn, "DATA\r\n")
			readReply(t, in, "354 ")
			say(t, conn, "x\r\n.\r\n")
			readReply(t, in, "250 ")
		}
		_ = conn.Close()
		if step.kill {
			p = p.restart(args...)
		}
	}
	p.stop(syscall.SIGTERM)
}

// retryScript sends messages to one recipient each until each is accepted or refused for good, over a server that fails and dies, as an
// MTA would. It writes what it sent, what its queue still holds, and what it would notify its senders of.
const retryScript = `
import json, smtplib, sys, time
host, port, count, directory = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
queue = [("msg-%05d@sender.test" % i, "rcpt-%05d@recipient.test" % i) for i in range(count)]
sent, dsn = list(queue), []
client, deadline = None, time.monotonic() + 60
while queue and time.monotonic() < deadline:
    left, began = [], time.monotonic()
    for sender, recipient in queue:
        try:
            if client is None:
                client = smtplib.SMTP(host, port, "client.test", timeout=5)
            client.sendmail(sender, [recipient], "Subject: test\r\n\r\nbody\r\n")
        except smtplib.SMTPRecipientsRefused as e:
            code = e.recipients[recipient][0]
            if code >= 500: dsn.append((sender, recipient, code))
            else: left.append((sender, recipient))
        except smtplib.SMTPResponseException as e:
            if 500 <= e.smtp_code < 600: dsn.append((sender, recipient, e.smtp_code))
            else: left.append((sender, recipient))
            if e.smtp_code in (421, -1): client = None
        except (smtplib.SMTPException, OSError):
            left.append((sender, recipient))
            client = None
            time.sleep(0.002)
    queue = left
    print(len(queue), flush=True)
    if queue: time.sleep(max(0, 0.6 - (time.monotonic() - began)))  # a sender that makes no pause is a fault
def write(name, rows):
    with open(directory + "/" + name, "w") as f:
        for row in rows: f.write(json.dumps(row) + "\n")
write("sent.jsonl", [{"token": s, "recipient": r} for s, r in sent])
write("queue.jsonl", [{"token": s, "recipient": r} for s, r in queue])
write("dsn.jsonl", [{"token": s, "recipient": r, "action": "failed", "status": "5.0.0"} for s, r, c in dsn])
`

// Kill -9 in mid-storm: every recipient of every message is in exactly one class afterwards, nothing is lost, and each duplicate is
// explained by a reply that the sink kept back, or took to its grave.
func TestKilledInMidStorm(t *testing.T) {
	python := "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		python = sinktest.RequireTool(t, "python3", "python3")
	}
	dir := t.TempDir()
	plan, book := filepath.Join(dir, "plan.yaml"), filepath.Join(dir, "ledger.jsonl")
	writePlan(t, plan, `
seed: 4
rules:
  - {name: rcpt, stage: rcpt, outcomes: [{weight: 75}, {weight: 20, reply: 450}, {weight: 5, reply: 550}]}
  - {name: dot, stage: message, outcomes: [{weight: 80}, {weight: 10, reply: 451}, {weight: 5, close: fin, delivery: keep}, {weight: 5, close: rst}]}
`)
	args := []string{"--plan", plan, "--ledger", book, "--quiet"}
	count, kills := 1500, 3
	if testing.Short() {
		count, kills = 300, 2
	}
	address := freePort(t)
	args = append(args, "--listen", address)
	host, port, _ := net.SplitHostPort(address)
	p := start(t, 0, args...)
	client := exec.Command(python, "-c", retryScript, host, port, fmt.Sprint(count), dir)
	client.Stderr = os.Stderr
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- client.Wait() }()
	rows := func() (n int64) {
		if info, err := os.Stat(book); err == nil {
			n = info.Size()
		}
		return n
	}
	for kill := range kills {
		// A row is about 300 octets.
		testkit.Await(t, "more of the storm is in the ledger", func() bool { return rows() >= int64((kill+1)*count/(kills+1)*300) })
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = p.cmd.Wait()
		p = start(t, 0, args...)
	}
	if err := <-ended; err != nil {
		t.Fatalf("the client: %v", err)
	}
	p.stop(syscall.SIGTERM)

	stdout, stderr, status := invoke(t, "ledger", "reconcile", book, "--json", "--sent", filepath.Join(dir, "sent.jsonl"),
		"--queue", filepath.Join(dir, "queue.jsonl"), "--dsn", filepath.Join(dir, "dsn.jsonl"))
	var result struct {
		Units, Exit uint64
		Fates       map[string]uint64
		Figures     map[string]uint64
	}
	if err := json.Unmarshal([]byte(stdout), &result); err != nil {
		t.Fatalf("%v in %q, %q", err, stdout, stderr)
	}
	f := result.Fates
	if status != 0 || result.Units != uint64(count) || f["lost"]+f["duplicated"]+f["undetermined"] > 0 {
		t.Errorf("exit status %d, %s; %d units, fates %v", status, stderr, result.Units, f)
	}
	if result.Figures["runs"] != uint64(kills)+1 || f["duplicated-ambiguous"] == 0 || f["refused"] == 0 || f["delivered"] < uint64(count)/2 {
		t.Errorf("%v, fates %v; want %d runs, most delivered once, some refused, some duplicated by lost replies", result.Figures, f, kills+1)
	}
	t.Logf("%v: %v", result.Figures, f)
	checkOrdinals(t, book)
}

// checkOrdinals checks that the ordinals of each pair go on over all runs: a kill may repeat the one whose fate was open.
func checkOrdinals(t *testing.T, book string) {
	t.Helper()
	file, err := os.Open(book)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader, last := ledger.NewReader(file, book), map[string]uint64{}
	var row event.Row
	for {
		if err := reader.Read(&row); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		if a := &row.Attempt; row.Kind == event.KindAttempt && a.N > 0 {
			if pair := string(a.Sender) + " " + string(a.Recipient); a.N != last[pair]+1 {
				t.Errorf("attempt %d of %s follows attempt %d", a.N, pair, last[pair])
			} else {
				last[pair] = a.N
			}
		}
	}
}

func TestCheck(t *testing.T) {
	plan := filepath.Join(t.TempDir(), "plan.yaml")
	writePlan(t, plan, "name: thirty\nrules: [{name: t, stage: rcpt, outcomes: [{weight: 70}, {weight: 30, reply: 450}]}]\n")
	stdout, stderr, status := invoke(t, "check", plan)
	if status != 0 || stderr != "" || !strings.Contains(stdout, "plan thirty") || !strings.Contains(stdout, "30% 450") {
		t.Errorf("check: exit status %d, %q, stderr %q; want the plan in words", status, stdout, stderr)
	}
	writePlan(t, plan, "rules: [{stage: message, outcomes: [{weight: 70}, {weight: 20, reply: 451}, {weight: 10, reply: 550}]}]\n")
	stdout, stderr, status = invoke(t, "check", "--lmtp", plan)
	if words := strings.Join(strings.Fields(stdout), " "); status != 0 || stderr != "" || !strings.Contains(words, "5 16.81% 42.24% 40.95%") {
		t.Errorf("check --lmtp: exit status %d, %q, stderr %q; want a reply for each of 5 recipients to count", status, stdout, stderr)
	}
	writePlan(t, plan, "listeners: [{name: a, address: \"127.0.0.1:0\"}]\n")
	if _, stderr, status := invoke(t, "check", "--lmtp", plan); status != exitUsage || !strings.Contains(oneLine(t, stderr), "--lmtp") {
		t.Errorf("check --lmtp of a plan with listeners: exit status %d, stderr %q; want %d", status, stderr, exitUsage)
	}
	writePlan(t, plan, "rules: [{name: t, stage: dinner}]\n")
	for _, args := range [][]string{{"check", plan}, {"check"}, {"check", plan, plan}, {"check", plan + ".missing"}} {
		if stdout, stderr, status := invoke(t, args...); status != exitUsage || stdout != "" {
			t.Errorf("%v: exit status %d, stdout %q, stderr %q; want %d", args, status, stdout, oneLine(t, stderr), exitUsage)
		}
	}
}
