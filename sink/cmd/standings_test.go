//go:build unix

package cmd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
)

// greeting returns the first reply of a connection, and those to commands. A connection that was refused gets none but QUIT.
func greeting(t *testing.T, address string, commands ...string) (replies []string) {
	t.Helper()
	c, lines := dial(t, address)
	defer c.Close()
	for _, command := range append([]string{""}, commands...) {
		if command != "" {
			fmt.Fprintf(c, "%s\r\n", command)
		}
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("%v after %q", err, replies)
			}
			if line[3] == ' ' {
				replies = append(replies, strings.TrimRight(line, "\r\n"))
				break
			}
		}
	}
	return replies
}

// TestStandingsOutliveAKill blocks a client, kills the sink at once, and has it back: the client is blocked still. So it is when the last row is
// torn, but not by another plan, which says so.
func TestStandingsOutliveAKill(t *testing.T) {
	dir := t.TempDir()
	plan, book := filepath.Join(dir, "plan.yaml"), filepath.Join(dir, "ledger.jsonl")
	const reactions = `rules: [{name: nobody, stage: rcpt, reply: 550/5.1.1}]
react:
  - {name: harvester, of: client, when: {stage: rcpt, code: 550/5.1.1}, after: 2, within: 1h, for: %s,
     then: {rules: [{stage: connect, reply: {code: 554, enhanced: 5.7.1, text: Blocked for an hour}}]}}
  - {name: brief, of: client, when: {stage: mail, code: 250}, for: 1ms, then: {rules: [{stage: connect, reply: 421}]}}
`
	writePlan(t, plan, fmt.Sprintf(reactions, "1h"))
	args := []string{"--listen", "127.0.0.1:0", "--plan", plan, "--ledger", book, "--durability", "batch"}
	harvest := []string{"EHLO a.test", "MAIL FROM:<a@a.test>", "RCPT TO:<1@b.test>", "RCPT TO:<2@b.test>"}
	p := start(t, 1, args...)
	if got := greeting(t, p.addr[0], harvest...); !strings.HasPrefix(got[4], "550 5.1.1") {
		t.Fatalf("%q", got)
	}
	p = p.restart(args[2:]...) // it kills
	if line := p.line(); line != "smtpsink: 1 standing goes on\n" {
		t.Errorf("it said %q", line)
	}
	if got := greeting(t, p.addr[0], "QUIT"); got[0] != "554 Blocked for an hour" {
		t.Errorf("after a kill: %q", got)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // it was killed
	file, err := os.OpenFile(book, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(file, `{"kind":"standing","time":"2026-01-31T10:20:31.5Z","react":"harvester","to":0`)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	p = start(t, 0, args...)
	if line := p.line(); !strings.Contains(line, "the last row was torn: 77 octets") {
		t.Errorf("it said %q", line)
	}
	address := listeningLine.FindStringSubmatch(p.line())[1]
	if got := greeting(t, address, "QUIT"); got[0] != "554 Blocked for an hour" {
		t.Errorf("after a torn row: %q", got)
	}
	if _, stderr, status := p.stop(syscall.SIGTERM); status != 0 || !strings.HasPrefix(stderr, "smtpsink: 1 standing goes on\n") {
		t.Errorf("exit status %d, %s", status, stderr)
	}
	writePlan(t, plan, fmt.Sprintf(reactions, "2h"))
	p = start(t, 1, args...)
	if line := p.line(); line != "smtpsink: the standings of reaction \"harvester\" are over: the plan does not have it any more, or not with the same text\n" {
		t.Errorf("it said %q", line)
	}
	if got := greeting(t, p.addr[0], "QUIT"); !strings.HasPrefix(got[0], "220 ") {
		t.Errorf("with another plan: %q", got)
	}
	if _, stderr, status := p.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d, %s", status, stderr)
	}

	// The ledger tells all of it, and who refused the connections.
	var standings, refusals []string
	rows, err := os.Open(book)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if _, err := ledger.Each(ledger.Input{Name: "ledger.jsonl", R: rows}, func(row *event.Row) error {
		switch row.Kind {
		case event.KindStanding:
			s := &row.Standing
			standings = append(standings, fmt.Sprintf("%s %s %d-%d for %v by %s %v %d %s", s.React, s.Key, s.From, s.To, s.Until.Sub(s.Time), s.Reason, s.Stage, s.Code, s.Cause))
		case event.KindConnection:
			r := &row.Connection.Refusal
			refusals = append(refusals, fmt.Sprintf("%v %d %v %s", r.Stage, r.Code, r.Enhanced, r.Cause))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{"brief 127.0.0.1 0-1 for 1ms by when mail 250 plain", "harvester 127.0.0.1 0-1 for 1h0m0s by when rcpt 550 rule:nobody"}
	if fmt.Sprint(standings) != fmt.Sprint(want) {
		t.Errorf("rows of standings: %q, want %q", standings, want)
	}
	if len(refusals) == 0 || !strings.Contains(strings.Join(refusals, ";"), "connect 554  react:harvester") {
		t.Errorf("rows of connections: %q", refusals)
	}
}
