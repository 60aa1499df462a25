package sink_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// The same octets in give the same octets out, whatever carries them.
func TestDriversAreAlike(t *testing.T) {
	scripts := map[string]string{
		"nothing":          "",
		"one transaction":  "EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n",
		"after QUIT":       "QUIT\r\nNOOP\r\n" + strings.Repeat("junk", 1000),
		"no line end":      "EHLO c\r\nNOO",
		"end in a body":    "EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n",
		"too long":         "EHLO c\r\n" + strings.Repeat("x", 70_000) + "\r\nNOOP\r\n",
		"many replies":     "EHLO c\r\n" + strings.Repeat("HELP\r\n", 20_000) + "QUIT\r\n",
		"delayed replies":  "EHLO c\r\n" + strings.Repeat("VRFY x\r\n", 20) + "QUIT\r\n",
		"delay at the end": "EHLO c\r\nVRFY x\r\n",
		"chunks":           "EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 4\r\nab\r\nBDAT 0 LAST\r\nBDAT 3\r\nxyzQUIT\r\n",
		"closed by 421":    "EHLO c\r\nEXPN x\r\nNOOP\r\nNOOP\r\n",
	}
	fragments := []string{
		"EHLO c\r\n", "HELO c\r\n", "MAIL FROM:<a@b>\r\n", "MAIL FROM:<>\r\n", "RCPT TO:<c@d>\r\n", "RCPT TO:<e@f>\r\n", "RCPT nonsense\r\n", "DATA\r\n",
		"text\r\n..dot\r\n.\r\n", ".\r\n", "BDAT 5\r\nhello", "BDAT 5 LAST\r\nhello", "RSET\r\n", "NOOP\r\n", "HELP\r\n", "VRFY x\r\n", "FROB\r\n", "bare\n",
	}
	const randomScripts = 40
	random := rand.New(rand.NewPCG(1, 2))
	for i := range randomScripts {
		var b strings.Builder
		b.WriteString("EHLO c\r\n")
		for range 5 + random.IntN(40) {
			b.WriteString(fragments[random.IntN(len(fragments))])
		}
		scripts[fmt.Sprintf("random %d", i)] = b.String()
	}

	// Draws depend on how often a client has connected: the scripts run in the same order on both drivers.
	names := slices.Sorted(maps.Keys(scripts))
	plan := sinktest.Plan(t, fault.Flags{Seed: 3, Replies: []string{"expn=421", "rset=250:1,450:1", "rcpt=250:2,450:1"}, Delays: []string{"vrfy=2ms"}})
	outputs := map[string]map[sink.DriverKind]string{}
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := sinktest.Start(t, sinktest.WithDriver(kind), sinktest.With(func(cfg *sink.Config) { cfg.Plan = plan }))
		for _, name := range names {
			if outputs[name] == nil {
				outputs[name] = map[sink.DriverKind]string{}
			}
			outputs[name][kind] = converse(t, server.Addr("").String(), scripts[name])
		}
	})
	for _, name := range names {
		epoll, ok := outputs[name][sink.DriverEpoll]
		if !ok {
			t.Skip("there is no epoll here to compare with")
		}
		if plain := outputs[name][sink.DriverNet]; epoll != plain {
			i := 0
			for i < min(len(epoll), len(plain)) && epoll[i] == plain[i] {
				i++
			}
			t.Errorf("%s: after %.1000q and %d octets of output in common\nepoll says %.200q\nnet says   %.200q", name, scripts[name], i, epoll[i:], plain[i:])
		}
		if !strings.HasPrefix(epoll, "220 ") {
			t.Errorf("%s: the dialogue begins with %.100q, want a greeting", name, epoll)
		}
	}
}

// converse sends a script in one go, closes its side, and returns all that the server says.
func converse(t *testing.T, address, script string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(conn, script) // the sink may close before it has read all
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	var out bytes.Buffer
	if _, err := io.Copy(&out, conn); err != nil {
		t.Errorf("after %d octets of output: %v", out.Len(), err)
	}
	<-sent
	return out.String()
}
