package sink_test

import (
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/smtpstorm/xk6-smtp/sink"
)

// tcpInfo returns what the kernel knows of a connection.
func tcpInfo(t *testing.T, conn net.Conn) *unix.TCPInfo {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	var failed error
	if err := raw.Control(func(fd uintptr) { info, failed = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return info
}

// A sink that stops reading in mid-body shows its client a zero window; when it reads on, the message gets through.
func TestZeroWindow(t *testing.T) {
	const size = 8 << 20
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "rules: [{name: stop, stage: data, body: {after: 64KiB, stop_reading: true, for: 700ms}}]", nil)
		c := greeted(t, server.Server)
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		c.command("RCPT TO:<b@recipient.test>", "250 ")
		c.command("DATA", "354 ")
		began := time.Now()
		sent := make(chan error, 1)
		go func() {
			_, err := io.WriteString(c.conn, strings.Repeat(strings.Repeat("x", 62)+"\r\n", size/64)+".\r\n")
			sent <- err
		}()
		// The sender's own words: its window is closed, and it has begun to probe it; or, if this test was too busy to look at that moment, the
		// kernel's account of how long a closed window kept it waiting.
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		zero := false
		var err error
		for over := false; !zero && !over && time.Since(began) < patience; {
			select {
			case err = <-sent:
				over = true
			case <-tick.C:
			}
			info := tcpInfo(t, c.conn)
			zero = info.Snd_wnd == 0 && info.Notsent_bytes > 0 || info.Probes > 0 || over && info.Rwnd_limited > 100_000 // microseconds
			if over && !zero {
				t.Fatalf("the whole message was taken (%v) and no zero window seen: %+v", err, info)
			}
			if zero && !over {
				err = <-sent
			}
		}
		if !zero {
			t.Fatalf("no zero window within %v", patience)
		}
		if err != nil {
			t.Fatal(err)
		}
		c.expect("250 ")
		if took := time.Since(began); took < 700*time.Millisecond {
			t.Errorf("the message took %v, want the 700ms of the stop at least", took)
		}
		c.quit()
		want := []string{"attempt b@recipient.test message 250 reply plain body-stop delivered sent", "connection quit body-stop"}
		if got := server.rows(); !slices.Equal(got, want) {
			t.Errorf("the ledger says %q, want %q", got, want)
		}
	})
}

// Without an end of the stop the client meets a closed window until it goes away.
func TestZeroWindowUntilTheClientGoes(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "rules: [{name: stop, stage: data, body: {after: 10, stop_reading: true}}]", nil)
		c := greeted(t, server.Server)
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		c.command("RCPT TO:<b@recipient.test>", "250 ")
		c.command("DATA", "354 ")
		before := server.Stats().BytesIn
		c.send(strings.Repeat("x", 4096))
		// A reset takes away what the sink has not read yet.
		eventually(t, server.Server, "the body has come", func(s *sink.Stats) bool { return s.BytesIn > before })
		c.expectSilence(30 * time.Millisecond)
		if err := c.conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = c.conn.Close()
		got := server.rows()
		if len(got) != 2 || !strings.Contains(got[0], "body-stop") || !strings.HasPrefix(got[1], "connection ") || !strings.HasSuffix(got[1], "body-stop") {
			t.Errorf("the ledger says %q, want an attempt and a connection with body-stop", got)
		}
	})
}

// A client that is read slowly meets a closed window once the kernels' buffers are full. What it was offered while it was read fast stays
// offered: so the message before is small.
func TestSlowReadingClosesTheWindow(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		t.Parallel()
		server := faulty(t, kind, "rules: [{name: slow, stage: data, match: {message: 2}, bandwidth: {in: 4Mbit/s}}]", nil)
		c := greeted(t, server.Server)
		var before *unix.TCPInfo
		for _, size := range []int{8 << 10, 768 << 10} {
			before = tcpInfo(t, c.conn)
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", "250 ")
			c.command("DATA", "354 ")
			c.send(strings.Repeat(strings.Repeat("x", 62)+"\r\n", size/64) + ".\r\n")
			c.expect("250 ")
		}
		after := tcpInfo(t, c.conn)
		if waited := time.Duration(after.Rwnd_limited-before.Rwnd_limited) * time.Microsecond; waited < 200*time.Millisecond {
			t.Errorf("the window kept the client waiting for %v, want more than a second, and 200ms at least; before %+v, after %+v", waited, before, after)
		}
		c.quit()
	})
}

// The window that a client was shown while it was read fast is used up when it is read slowly, and not shown again.
func TestSlowReadingNarrowsTheWindow(t *testing.T) {
	const slow, first = 1 << 20, 64 << 10 // octets; the window at first
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		t.Parallel()
		server := faulty(t, kind, "rules: [{name: slow, stage: data, match: {message: 2}, bandwidth: {in: 10Mbit/s}}]", nil)
		c := greeted(t, server.Server)
		var before uint32
		for _, size := range []int{8 << 20, slow} {
			before = tcpInfo(t, c.conn).Snd_wnd
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", "250 ")
			c.command("DATA", "354 ")
			c.send(strings.Repeat(strings.Repeat("x", 62)+"\r\n", size/64) + ".\r\n")
			c.expect("250 ")
		}
		if after := tcpInfo(t, c.conn).Snd_wnd; int(after) > max(int(before)-slow/2, 2*first) {
			t.Errorf("the window was %d octets, and is %d after %d that were read slowly: it was shown again", before, after, slow)
		} else {
			t.Logf("the window was %d octets, and is %d", before, after)
		}
		c.quit()
	})
}
