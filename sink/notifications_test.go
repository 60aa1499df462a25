package sink_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/runfiles"
)

// notification is one that says that r@recipient.test could not be delivered to.
const notification = "To: a@sender.test\r\nMessage-ID: <n1@mx.test>\r\nSubject: Undelivered\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.test\r\n\r\n" +
	"Final-Recipient: rfc822; r@recipient.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n" +
	"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <1@sender.test>\r\n--b--\r\n"

// capturing starts a sink with a ledger that keeps notifications in dir, the ledger's.
func capturing(t *testing.T, kind sink.DriverKind, plan string, change func(*sink.Config)) (server *booked, dir string) {
	t.Helper()
	server = faulty(t, kind, plan, func(cfg *sink.Config) {
		cfg.Ledger.Durability = event.Batch
		dir = filepath.Dir(cfg.Ledger.Path)
		cfg.DSN.Dir = dir
		if change != nil {
			change(cfg)
		}
	})
	return server, dir
}

// mail runs a transaction and returns its final reply.
func (c *rawClient) mail(sender, recipient, text string) string {
	c.t.Helper()
	c.command("MAIL FROM:<"+sender+">", "250 ")
	c.command("RCPT TO:<"+recipient+">", "250 ")
	c.command("DATA", "354 ")
	c.send(text + ".\r\n")
	return c.reply()
}

// kept returns the notifications of a directory.
func kept(t *testing.T, dir string) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "dsn", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		names = append(names, filepath.Base(path))
	}
	return names
}

// TestNotificationsAreCaptured: those that are delivered are kept when their sender is told so, over TLS as well, and the judge finds with
// them that every message has its fate: none of them is foreign to it.
func TestNotificationsAreCaptured(t *testing.T) {
	const plan = `
listeners: [{name: mx, address: "127.0.0.1:0"}, {name: back, address: "127.0.0.1:0", dsn: true}]
rules:
  - {name: refuse, stage: rcpt, match: {recipient: r@recipient.test}, reply: 550}
  - {name: first, stage: message, match: {sender: <>, attempt: 1}, reply: 451}`
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server, dir := capturing(t, kind, plan, func(cfg *sink.Config) { cfg.TLS.Offer = sink.TLSOfferAlways })
		c := greeted(t, server.Server)
		if reply := c.mail("a@sender.test", "b@recipient.test", "Message-ID: <1@sender.test>\r\n\r\ntext\r\n"); !strings.HasPrefix(reply, "250 ") {
			t.Fatal(reply)
		}
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		c.command("RCPT TO:<r@recipient.test>", "550 ")
		c.command("RSET", "250 ")
		if reply := c.mail("", "a@sender.test", notification); !strings.HasPrefix(reply, "451 ") {
			t.Errorf("the plan refuses the first attempt of a notification; the reply is %q", reply)
		}
		c.command("STARTTLS", "220 ")
		if err := c.secure(trusting(t, server.Server)); err != nil {
			t.Fatal(err)
		}
		c.command("EHLO client.test", "250-")
		if names := kept(t, dir); len(names) > 0 {
			t.Errorf("a notification that was refused is kept: %v", names)
		}
		if reply := c.mail("", "a@sender.test", notification); !strings.HasPrefix(reply, "250 ") {
			t.Fatal(reply)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "dsn", "000001.eml")); err != nil || string(got) != notification {
			t.Errorf("when the sender knows of it, what is kept is %q, %v", got, err)
		}
		c.command("QUIT", "221 ")
		back := dial(t, server.Server, "back")
		back.expect("220 ")
		back.command("EHLO client.test", "250-")
		if reply := back.mail("mailer-daemon@mx.test", "other@sender.test", "Subject: unreadable\r\n\r\n"); !strings.HasPrefix(reply, "250 ") {
			t.Fatal(reply)
		}
		back.quit()
		stats := eventually(t, server.Server, "all connections have ended", func(s *sink.Stats) bool { return s.Open == 0 })
		if d := stats.DSN; d == nil || d.Notifications != 2 || d.Recipients != 1 || d.Malformed != 1 || d.Failed != 0 {
			t.Errorf("the counts are %+v", d)
		}
		result := judged(t, server, dir, "b@recipient.test", "r@recipient.test")
		var found []string
		for _, f := range result.Findings {
			found = append(found, string(f.Kind))
		}
		want := []reconcile.Kind{reconcile.KindDSNMalformed, reconcile.KindForeignOther} // of the other sender
		if result.Verdict.Exit != reconcile.ExitSound || fmt.Sprint(found) != fmt.Sprint(want) || result.Foreign != 1 {
			t.Errorf("the verdict is %v, found are %v (foreign %d), want %v", result.Verdict, found, result.Foreign, want)
		}
	})
}

// judged ends the sink and judges what it recorded: a@sender.test has sent a message to each recipient, and its queue is empty.
func judged(t *testing.T, server *booked, dir string, recipients ...string) *reconcile.Result {
	t.Helper()
	server.rows()
	var claims string
	for _, r := range recipients {
		claims += fmt.Sprintf(`{"token":"a@sender.test","recipient":%q}`, r) + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, runfiles.ClaimsFile), []byte(claims), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, runfiles.QueueFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := runfiles.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	result, err := files.Judge(nil, reconcile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// TestNotificationSentAgain: a sender that lost the reply to its notification sends that again, and is not at fault for it.
func TestNotificationSentAgain(t *testing.T) {
	const plan = `
rules:
  - {name: refuse, stage: rcpt, match: {recipient: r@recipient.test}, reply: 550}
  - {name: cut, stage: message, match: {sender: <>, attempt: 1}, close: rst, delivery: keep}`
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server, dir := capturing(t, kind, plan, nil)
		c := greeted(t, server.Server)
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		c.command("RCPT TO:<r@recipient.test>", "550 ")
		c.command("RSET", "250 ")
		c.command("MAIL FROM:<>", "250 ")
		c.command("RCPT TO:<a@sender.test>", "250 ")
		c.command("DATA", "354 ")
		c.send(notification + ".\r\n")
		c.expectReset()
		again := greeted(t, server.Server)
		if reply := again.mail("", "a@sender.test", notification); !strings.HasPrefix(reply, "250 ") {
			t.Error(reply)
		}
		again.quit()
		result := judged(t, server, dir, "r@recipient.test")
		if d := server.Stats().DSN; d.Notifications != 2 || result.Verdict.Exit != reconcile.ExitSound || len(result.Findings) > 0 {
			t.Errorf("captured %+v; the verdict is %v, found are %+v", d, result.Verdict, result.Findings)
		}
	})
}

// TestNotificationsWithoutADirectory: they are messages like any other, unless a listener is for them.
func TestNotificationsWithoutADirectory(t *testing.T) {
	server := faulty(t, sink.DriverAuto, "rules: []", nil)
	c := greeted(t, server.Server)
	if reply := c.mail("", "a@sender.test", notification); !strings.HasPrefix(reply, "250 ") {
		t.Error(reply)
	}
	c.quit()
	if stats := server.Stats(); stats.DSN != nil {
		t.Errorf("the counts are %+v", stats.DSN)
	}
	for _, cfg := range []sink.Config{
		{Listeners: []sink.Listener{{Name: "back", Address: "127.0.0.1:0", DSN: true}}},
		{Plan: parsePlan(t, `listeners: [{name: back, address: "127.0.0.1:0", dsn: true}]`).Plan},
	} {
		if _, err := sink.New(cfg); err == nil || !strings.Contains(err.Error(), `"back"`) {
			t.Errorf("got %v, want an error that names the listener", err)
		}
	}
	if err := server.Swap(parsePlan(t, `listeners: [{name: back, address: "127.0.0.1:0", dsn: true}]`).Plan, ""); err == nil || !strings.Contains(err.Error(), `"back"`) {
		t.Errorf("a swap got %v, want an error that names the listener", err)
	}
}

// TestLargeNotification: of a notification of 50 MB the beginning is kept, which is what tells; others go on meanwhile.
func TestLargeNotification(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server, dir := capturing(t, kind, "rules: []", func(cfg *sink.Config) { cfg.MaxSize = -1 })
		c, other := greeted(t, server.Server), greeted(t, server.Server)
		c.command("MAIL FROM:<>", "250 ")
		c.command("RCPT TO:<a@sender.test>", "250 ")
		c.command("DATA", "354 ")
		c.send(strings.TrimSuffix(notification, "--b--\r\n") + "--b\r\nContent-Type: application/octet-stream\r\n\r\n")
		const size = 50_000_000
		block := strings.Repeat(strings.Repeat("x", 98)+"\r\n", 10_000)
		for n := 0; n < size; n += len(block) {
			c.send(block)
			other.command("NOOP", "250 ")
		}
		c.send("--b--\r\n.\r\n")
		c.expect("250 ")
		c.quit()
		info, err := os.Stat(filepath.Join(dir, "dsn", "000001.eml"))
		if err != nil || info.Size() != 1<<20 {
			t.Errorf("kept are %v, %v, want the first MiB", info, err)
		}
		if d := server.Stats().DSN; d.Notifications != 1 || d.Cut != 1 || d.Recipients != 1 {
			t.Errorf("the counts are %+v", d)
		}
	})
}

// TestNotificationsOnABadDisk: what can't be kept is refused for now and counted, and the user told once; then all is well again.
func TestNotificationsOnABadDisk(t *testing.T) {
	var told atomic.Int64
	server, dir := capturing(t, sink.DriverAuto, "rules: []", func(cfg *sink.Config) {
		cfg.DSN.Failing = func(err error) {
			if !errors.Is(err, os.ErrNotExist) {
				t.Errorf("told is %v", err)
			}
			told.Add(1)
		}
	})
	c := greeted(t, server.Server)
	whole := filepath.Join(dir, "dsn")
	if err := os.Rename(whole, whole+"-away"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if reply := c.mail("", "a@sender.test", notification); !strings.HasPrefix(reply, "451 4.3.0 ") {
			t.Errorf("on a bad disk the reply is %q", reply)
		}
		if reply := c.mail("a@sender.test", "b@recipient.test", notification); !strings.HasPrefix(reply, "250 ") {
			t.Errorf("another message gets %q", reply)
		}
	}
	if err := os.Rename(whole+"-away", whole); err != nil {
		t.Fatal(err)
	}
	if reply := c.mail("", "a@sender.test", notification); !strings.HasPrefix(reply, "250 ") {
		t.Errorf("on a good disk the reply is %q", reply)
	}
	c.quit()
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if d := server.Stats().DSN; told.Load() != 1 || d.Failed != 2 || d.Error == "" || d.Notifications != 1 {
		t.Errorf("told %d times, the counts are %+v", told.Load(), d)
	}
}

// TestNotificationsOfManyClients: each of them is kept once, whatever comes at the same time.
func TestNotificationsOfManyClients(t *testing.T) {
	const clients, each = 20, 10
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server, dir := capturing(t, kind, "rules: []", func(cfg *sink.Config) { cfg.Loops = 2; cfg.Ledger.Durability = event.Ack })
		done := make(chan error, clients)
		for i := range clients {
			c := greeted(t, server.Server)
			go func() {
				var err error
				for n := range each {
					text := fmt.Sprintf("MAIL FROM:<>\r\nRCPT TO:<s%d-%d@sender.test>\r\nDATA\r\n", i, n)
					if _, err = c.conn.Write([]byte(text + notification + ".\r\n")); err == nil {
						for _, want := range []string{"250", "250", "354", "250"} {
							if line, readErr := c.in.ReadString('\n'); readErr != nil || !strings.HasPrefix(line, want) {
								err = fmt.Errorf("got %q, %v, want %s", line, readErr, want)
							}
						}
					}
				}
				_ = c.conn.Close()
				done <- err
			}()
		}
		for range clients {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		senders := map[string]int{}
		file, err := os.Open(filepath.Join(dir, "dsn.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		err = reconcile.ReadNotifications(file, "dsn.jsonl", func(n *reconcile.Notification) error {
			senders[n.Sender]++
			if since := time.Since(n.Time); since < 0 || since > time.Hour {
				t.Errorf("a notification came at %v", n.Time)
			}
			return nil
		})
		if err != nil || len(senders) != clients*each || len(kept(t, dir)) != clients*each {
			t.Errorf("%d senders, %d files, %v, want %d of each", len(senders), len(kept(t, dir)), err, clients*each)
		}
	})
}
