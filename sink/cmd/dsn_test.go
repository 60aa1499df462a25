package cmd

import (
	"fmt"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// notice is a notification about r@recipient.test, long enough that a write of it can be cut short.
var notice = "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.test\r\n\r\nFinal-Recipient: rfc822; r@recipient.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n" +
	"--b\r\nContent-Type: text/plain\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 1000) + "--b--\r\n"

// TestNotificationsSurviveAKill: kill -9 again and again costs no notification whose sender was told 250, and leaves none that is half there.
func TestNotificationsSurviveAKill(t *testing.T) {
	const clients, each, kills = 8, 25, 3
	dir := filepath.Join(t.TempDir(), "notes")
	address := freePort(t)
	args := []string{"--listen", address, "--dsn-dir", dir, "--quiet"}
	p := start(t, 0, args...)

	var mu sync.Mutex
	told := 0
	progress := sync.NewCond(&mu)
	expired := false
	timer := time.AfterFunc(patience, func() { mu.Lock(); expired = true; mu.Unlock(); progress.Broadcast() })
	defer timer.Stop()
	var work sync.WaitGroup
	for i := range clients {
		work.Go(func() {
			for n := range each {
				to := fmt.Sprintf("s%d-%d@sender.test", i, n)
				for { // a sender tries again until it is told 250, at most as long as the test may take
					err := smtp.SendMail(address, nil, "", []string{to}, []byte(notice))
					mu.Lock()
					if err == nil {
						told++
						progress.Broadcast()
					}
					over := expired
					mu.Unlock()
					if err == nil {
						break
					}
					if over {
						t.Errorf("%s never got through: %v", to, err)
						return
					}
				}
			}
		})
	}
	for kill := range kills {
		mu.Lock()
		for told < (kill+1)*clients*each/(kills+1) && !expired {
			progress.Wait()
		}
		mu.Unlock()
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = p.cmd.Wait() // it was killed
		p = start(t, 0, args...)
	}
	work.Wait()
	if _, stderr, status := p.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d, %s", status, stderr)
	}

	rows, err := os.Open(filepath.Join(dir, "dsn.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	senders, n := map[string]bool{}, 0
	err = reconcile.ReadNotifications(rows, "dsn.jsonl", func(r *reconcile.Notification) error {
		n++
		senders[r.Sender] = true
		if r.Malformed != "" || r.Recipient != "r@recipient.test" || r.Status != "5.1.1" {
			t.Errorf("a row is %+v", r)
		}
		return nil
	})
	if err != nil || len(senders) != clients*each || n > clients*(each+kills) {
		t.Errorf("%d rows of %d senders, %v; want one for each of %d, and no more again than were under way at a kill", n, len(senders), err, clients*each)
	}
	whole, err := filepath.Glob(filepath.Join(dir, "dsn", "*.eml"))
	if err != nil || len(whole) < n || len(whole) > n+clients*kills {
		t.Errorf("%d notifications, %v, and %d rows", len(whole), err, n)
	}
	for _, path := range whole {
		if text, err := os.ReadFile(path); err != nil || string(text) != notice {
			t.Errorf("%s has %d octets, %v; want %d", path, len(text), err, len(notice))
		}
	}
	t.Logf("%d told, %d rows, %d files after %d kills", told, n, len(whole), kills)
}
