package mtatest

import (
	"errors"
	"fmt"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// home is the domain of all senders.
const home = "src.test"

// sender of the n-th message to a domain: one of its own, so that a notification tells which message it is about.
func sender(domain string, n int) string { return fmt.Sprintf("s+%s-%02d@%s", domain, n, home) }

// recipients of the messages to a domain.
func recipients(domain string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("r%02d@%s", i, domain))
	}
	return list
}

// submit gives the agent n messages for a domain, each of one recipient, and insists on their acceptance.
func (s *suite) submit(t *testing.T, domain string, n int) {
	t.Helper()
	c, err := smtp.Dial(s.agent.Addr())
	if err == nil {
		err = c.Hello("generator.test")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	offered, _ := c.Extension("DSN")
	if offered != s.agent.Traits().DSN {
		t.Errorf("it offers DSN: %v; the traits say %v", offered, s.agent.Traits().DSN)
	}
	for i, r := range recipients(domain, n) {
		mail := fmt.Sprintf("MAIL FROM:<%s>", sender(domain, i))
		if offered {
			mail += fmt.Sprintf(" ENVID=envid-%d", i)
		}
		text := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nMessage-ID: <%d@%s>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\nbody\r\n", sender(domain, i), r, i, domain)
		for _, command := range []struct {
			line string
			want int
		}{{mail, 250}, {"RCPT TO:<" + r + ">", 250}, {"DATA", 354}, {text + ".", 250}} {
			id, err := c.Text.Cmd("%s", command.line)
			if err != nil {
				t.Fatal(err)
			}
			c.Text.StartResponse(id)
			_, _, err = c.Text.ReadResponse(command.want)
			c.Text.EndResponse(id)
			if err != nil {
				t.Fatalf("message %d to %s: %v", i, domain, err)
			}
		}
	}
	if err := c.Quit(); err != nil {
		t.Error(err)
	}
}

// await waits until a condition holds that the agent brings about.
func (s *suite) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	testkit.Await(t, what, holds, func() string {
		depth, err := s.agent.Depth()
		return fmt.Sprintf("the queue holds %d (%v)", depth, err)
	})
}

// delivered counts the deliveries to a domain, by recipient.
func (s *suite) delivered(domain string) map[string]int {
	got := map[string]int{}
	for _, a := range s.received.Deliveries() {
		if strings.HasSuffix(a.Recipient, "@"+domain) {
			got[a.Recipient]++
		}
	}
	return got
}

// awaitDelivered waits for the first n recipients of a domain, and holds that each got its message once.
func (s *suite) awaitDelivered(t *testing.T, domain string, n int) {
	t.Helper()
	s.await(t, "all deliveries to "+domain, func() bool { return len(s.delivered(domain)) >= n })
	for r, times := range s.delivered(domain) {
		if times != 1 {
			t.Errorf("%s got its message %d times", r, times)
		}
	}
}

// attempts counts how often a recipient was tried.
func (s *suite) attempts(recipient string) int {
	s.received.mu.Lock()
	defer s.received.mu.Unlock()
	return len(s.received.seen[recipient])
}

// swap puts another plan into force.
func (s *suite) swap(t *testing.T, text string) {
	t.Helper()
	file, err := plan.Parse("plan", []byte(text))
	if err == nil {
		err = s.server.Swap(file.Plan, file.SHA256)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// tail is the end of a file.
func tail(path string) string {
	text, err := os.ReadFile(path) // #nosec G304 -- the log of the agent under test
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-8000):])
}

// notifications are what the sink has kept of them.
func (s *suite) notifications(t *testing.T) (list []reconcile.Notification) {
	t.Helper()
	f, err := os.Open(filepath.Join(s.notes, "dsn.jsonl"))
	if errors.Is(err, os.ErrNotExist) {
		return nil // none came so far
	}
	if err == nil {
		defer f.Close()
		err = reconcile.ReadNotifications(f, f.Name(), func(n *reconcile.Notification) error {
			list = append(list, *n)
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}
