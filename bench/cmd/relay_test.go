package cmd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// TestRelay has the command lose 2 of 10 messages and keep 3 that are deferred, and ends it by SIGTERM.
func TestRelay(t *testing.T) {
	var received sinktest.Received
	server := sinktest.Start(t, sinktest.Record(&received), sinktest.WithPlan("version: 1\nrules: [{name: r, stage: rcpt, match: {recipient: \"*@slow.test\"}, reply: 451/4.3.0}]"))
	listing := filepath.Join(t.TempDir(), "queue.jsonl")
	cmd := exec.Command(binary, "relay", "--listen", "127.0.0.1:0", "--next-hop", server.Addr("").String(), "--lie", "lose=2/10", "--queue", listing)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	_, address, _ := strings.Cut(lines.Text(), "relay    ")
	address, _, _ = strings.Cut(address, " ")

	cfg := client.Config{Address: address, Dialer: &net.Dialer{}, Timeouts: client.AllTimeouts(20 * time.Second), Now: time.Now}
	var greeting client.Greeting
	conn, err := client.Connect(t.Context(), &cfg, nobody{}, &greeting)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var result client.Result
	for i := range 13 {
		to := "r@yes.test"
		if i >= 10 {
			to = "r@slow.test"
		}
		if err := conn.Send(t.Context(), &client.Message{From: "s@src.test", To: []string{to}, Body: client.NewBody([]byte("Subject: x\r\n\r\nx\r\n"))}, &result); err != nil || result.Recipients[0].Reply.Code != 250 {
			t.Fatalf("%v %+v", err, result.Recipients)
		}
	}
	received.WaitDelivered(t, 8)
	var queued []string
	testkit.Await(t, "a listing of what is deferred", func() bool {
		queued = nil
		text, err := os.ReadFile(listing)
		if errors.Is(err, os.ErrNotExist) {
			return false // the first is still to come
		}
		if err == nil {
			err = reconcile.ReadQueue(bytes.NewReader(text), listing, func(q *reconcile.QueueEntry) error { queued = append(queued, q.Recipient); return nil })
		}
		if err != nil {
			t.Fatal(err)
		}
		return slices.Equal(queued, []string{"r@slow.test", "r@slow.test", "r@slow.test"})
	}, func() string { return fmt.Sprintf("listed are %q", queued) })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if got := strings.Join(said, "; "); got != "ended    3 messages in the queue; lies told: lose 2" {
		t.Errorf("it said %q", got)
	}
}

// nobody observes nothing.
type nobody struct{}

// Reply and Lost implement client.Observer.
func (nobody) Reply(smtp.Stage, smtp.Code, smtp.Enhanced) {}
func (nobody) Lost(smtp.Stage, *client.Error)             {}

func TestRelayRefusesBadInput(t *testing.T) {
	for args, want := range map[string]string{
		"--lie fib=1":                        `unknown lie "fib" (valid: lose copy`,
		"--lie lose=9/3":                     `"lose=9/3"`,
		"--listen 127.0.0.1:99999":           `--listen: "127.0.0.1:99999" is no address of loopback`,
		"--listen 0.0.0.0:2600":              `--listen: "0.0.0.0:2600" is no address of loopback`,
		"--next-hop mx.example:25":           `--next-hop: "mx.example:25"`,
		"--queue /dev/null/queue.jsonl":      `--queue: /dev/null/queue.jsonl can't be written`,
		"--listen 127.0.0.1:0 somewhere:700": "relay: got 1 argument",
	} {
		_, errs, status := smtpbench(t, t.TempDir(), append([]string{"relay"}, strings.Fields(args)...)...)
		if status != exitUsage || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: status %d, %q; want status 2 and %q", args, status, errs, want)
		}
	}
}
