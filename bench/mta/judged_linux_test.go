package mta

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// Postfix quotes local parts with dots in odd places, unquotes others, and drops the final dot of a domain: the judge knows them all
// the same.
func TestJudgedRespelt(t *testing.T) {
	t.Parallel()
	b := newTestbed(t, candidate("postfix"), "  []", Options{})
	d := b.dial()
	n := 0
	for _, local := range []string{"user..name", "user.", `"plain"`} {
		for _, domain := range []string{"dst.test", "dst.test."} {
			for _, sender := range []string{"s..%d@src.test", `"s+%d"@src.test`} {
				n++
				from, to := fmt.Sprintf(sender, n), local+"@"+domain
				d.submit(from, to)
				b.claim(from, to, reconcile.AckYes)
			}
		}
	}
	b.delivered(n)
	b.drained()
	b.end()
	respelt := 0
	for _, a := range b.received.Deliveries() {
		for _, c := range b.claims {
			if a.Sender == c.Sender && a.Recipient == c.Recipient {
				respelt--
			}
		}
		respelt++
	}
	if respelt == 0 {
		t.Error("Postfix has spelt no envelope in another way: this shows nothing")
	}
	b.want("12 delivered, exit 0")
}

// talkative has Postfix wait for the reply to its message before it says QUIT, and for that to QUIT before it closes: else nothing shows
// that it has read the first.
const talkative = "smtp_discard_ehlo_keywords = pipelining\nsmtp_skip_quit_response = no"

// A sender that loses its patience before a late reply can't know of the delivery: its second one is no fault of its. One that was told
// and sends again is at fault. Postfix pipelines QUIT behind its message, and leaves when it has read the reply to the latter.
func TestJudgedImpatience(t *testing.T) {
	t.Parallel()
	const n = 3
	b := newTestbed(t, candidate("postfix"), "  - {name: late, stage: message, match: {recipient: \"*@late.test\", attempt: 1}, reply: plain, delay: 4s}",
		Options{Extra: "smtp_data_done_timeout = 2s"})
	d := b.dial()
	for i := range n {
		from := fmt.Sprintf("s+%d@src.test", i)
		d.submit(from, "r@late.test")
		b.claim(from, "r@late.test", reconcile.AckYes)
	}
	b.delivered(2 * n)
	b.drained()
	for i := range 2 {
		d.submit("control@src.test", "r@dst.test")
		b.delivered(2*n + 1 + i)
		b.drained()
	}
	b.end()
	b.want("3 duplicated-ambiguous, information foreign-of-another-run 1, exit 0")
	b.claim("control@src.test", "r@dst.test", reconcile.AckYes)
	b.want("1 duplicated, 3 duplicated-ambiguous, fault duplicated 1, exit 1")
}

// A crash in mid-delivery makes an MTA deliver again what it had delivered: with the instant as an incident nobody is to blame. What it
// had acknowledged is not lost, and of what it had not, the judge says whether it came.
func TestJudgedKill(t *testing.T) {
	const n = 20
	// crash kills an agent of whose n messages, each of which takes a while, some are delivered, starts it again, and waits until it holds nothing. It returns how many
	// were told and delivered again.
	crash := func(t *testing.T, name, takes string, o Options, kill func(b *testbed)) (told int) {
		t.Parallel()
		o.Policy.MaximalBackoff = 3 * time.Second
		b := newTestbed(t, candidate(name), fmt.Sprintf("  - {name: slow, stage: message, reply: plain, delay: %s}", takes), o)
		b.claim("cut@src.test", "cut@dst.test", reconcile.AckUnknown)
		b.dial().body("cut@src.test", "cut@dst.test")
		d := b.dial()
		d.submit("unread@src.test", "unread@dst.test") // what the claim does not know
		b.claim("unread@src.test", "unread@dst.test", reconcile.AckUnknown)
		b.delivered(1)
		for i := range n {
			from, to := fmt.Sprintf("s+%d@src.test", i), fmt.Sprintf("r%d@dst.test", i)
			d.submit(from, to)
			b.claim(from, to, reconcile.AckYes)
		}
		kill(b)
		b.restart()
		for _, c := range b.claims[1:] {
			testkit.Await(t, "a delivery to "+c.Recipient, func() bool { return len(b.received.Deliveries(c.Recipient)) > 0 })
		}
		b.drained()
		b.end()
		again := 0
		for _, c := range b.claims[2:] {
			if len(b.received.Deliveries(c.Recipient)) > 1 {
				again++
			}
		}
		if again == 0 {
			t.Error("nothing was delivered again: this shows nothing")
		}
		if number, _, some := strings.Cut(b.judge(), " duplicated,"); some {
			told, _ = strconv.Atoi(number)
		}
		t.Log(again, "were delivered again,", told, "of them although the agent was told")
		want := fmt.Sprintf("%d duplicated-ambiguous, 1 recovered, %d delivered, 1 never-accepted", again, n-again)
		want = strings.Replace(want, " 0 delivered,", "", 1)
		if told > 0 {
			want += fmt.Sprintf(", information explained-by-incident %d", told)
		}
		b.want(want+", exit 0", b.incidents...)
		return told
	}
	// Deliveries that begin together don't end together: at each instant some are under way.
	const uneven = "'uniform(400ms,1500ms)'"
	at := func(b *testbed) {
		b.delivered(2)
		b.kill()
	}
	t.Run("exim", func(t *testing.T) {
		crash(t, "exim", uneven, Options{Policy: Policy{Concurrency: 2 * n}}, at) // beyond it Exim defers
	})
	t.Run("postfix", func(t *testing.T) {
		crash(t, "postfix", uneven, Options{Policy: Policy{Concurrency: 10}}, at)
	})
	// Postfix logs that a message was delivered before it takes it out of its queue: with a logger that hangs it knows of deliveries of
	// which it knows nothing after the crash.
	t.Run("postfix that has read the replies", func(t *testing.T) {
		// Long enough that the first delivery isn't over before the last begins, on a busy machine either.
		const together = 4
		told := crash(t, "postfix", "4s", Options{Policy: Policy{Concurrency: together}, Extra: talkative}, func(b *testbed) {
			// Past their final dots: a process of Postfix that has not logged what it thinks of the sink's EHLO hangs before it sends anything.
			testkit.Await(t, "deliveries are under way", func() bool {
				var waiting uint64
				for _, r := range b.server.Stats().InFlight() {
					if r.Stage == smtp.StageMessage {
						waiting += r.Unsent()
					}
				}
				return waiting == together
			})
			hang(t, filepath.Dir(filepath.Dir(b.agent.LogPath())))
			b.delivered(1 + together)
			testkit.Await(t, "the replies are sent", func() bool {
				var sent uint64
				for _, r := range b.server.Stats().Replies {
					if r.Stage == smtp.StageMessage {
						sent += r.Sent
					}
				}
				return sent >= 1+together
			})
			_, port, _ := net.SplitHostPort(b.server.Addr("").String())
			testkit.Await(t, "the replies are read", func() bool { return unreadBy(t, port) == 0 })
			b.kill()
		})
		if told == 0 {
			t.Error("the agent was told of none that it delivered again: this shows nothing")
		}
	})
}

// hang stops the logger of the Postfix in a directory, and fills its socket.
func hang(t *testing.T, dir string) {
	t.Helper()
	for _, pid := range supervise.Processes(filepath.Clean(dir)) {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if string(name) != "postlogd\n" {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("unixgram", filepath.Join(dir, "spool", "public", "postlog"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for range 10_000 {
			_ = conn.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
			if _, err := conn.Write([]byte("filler")); err != nil {
				return
			}
		}
	}
	t.Fatal("no logger runs, or its socket takes everything")
}

// unreadBy counts the octets that connections to a port of 127.0.0.1 have received and not read: proc(5), /proc/net/tcp.
func unreadBy(t *testing.T, port string) (n int) {
	t.Helper()
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 4 && f[2] == fmt.Sprintf("0100007F:%04X", number) {
			var sent, received int
			if _, err := fmt.Sscanf(f[4], "%x:%x", &sent, &received); err != nil {
				t.Fatal(err)
			}
			n += received
		}
	}
	return n
}

// keepFrozen has Exim keep what is frozen for longer than the test lasts: else the first is cancelled before the last is frozen.
func keepFrozen(b *testbed) {
	b.t.Helper()
	conf := b.agent.(*instance).path("exim.conf")
	text, err := os.ReadFile(conf)
	if err == nil {
		err = b.agent.Stop()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	kept := string(text)
	for _, option := range []string{"ignore_bounce_errors_after = ", "timeout_frozen_after = "} {
		if strings.Count(kept, option+"4s\n") != 1 {
			b.t.Fatalf("no %s4s in\n%s", option, text)
		}
		kept = strings.Replace(kept, option+"4s", option+"1h", 1)
	}
	if err := os.WriteFile(conf, []byte(kept), 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.restart()
}

// A notification that the sender's own server refuses stays in Exim's queue, frozen and from the null sender: what it is about is queued
// and not lost.
func TestJudgedFrozen(t *testing.T) {
	t.Parallel()
	const n = 20
	rules := "  - {name: never, stage: rcpt, match: {recipient: \"*@dst.test\"}, reply: 451/4.3.0}\n" +
		"  - {name: back, stage: rcpt, match: {recipient: \"*@src.test\"}, reply: 550/5.1.1}"
	b := newTestbed(t, candidate("exim"), rules, Options{Policy: Policy{MinimalBackoff: 2 * time.Second, MaximalBackoff: 2 * time.Second, Lifetime: 4 * time.Second, Concurrency: 2 * n}})
	keepFrozen(b)
	d := b.dial()
	for i := range n {
		from, to := fmt.Sprintf("s+%d@src.test", i), fmt.Sprintf("r%d@dst.test", i)
		d.submit(from, to)
		b.claim(from, to, reconcile.AckYes)
	}
	testkit.Await(t, "all have expired, and their notifications are refused", func() bool {
		refused := map[string]bool{}
		for _, a := range b.received.Attempts() {
			if a.Sender == "" && a.Code == 550 {
				refused[a.Recipient] = true
			}
		}
		return len(refused) == n
	})
	b.end()
	b.want(fmt.Sprintf("%d queued, exit 0", n))
}
