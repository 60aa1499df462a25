package sink_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// unsteady has draws at each stage of a transaction.
const unsteady = `
seed: 11
rules:
  - {name: mail, stage: mail, outcomes: [{weight: 95}, {weight: 5, reply: 451}]}
  - {name: rcpt, stage: rcpt, outcomes: [{weight: 80}, {weight: 13, reply: 450}, {weight: 7, reply: 550}]}
  - {name: data, stage: data, outcomes: [{weight: 97}, {weight: 3, reply: 451}]}
  - {name: dot, stage: message, outcomes: [{weight: 85}, {weight: 10, reply: 452}, {weight: 5, reply: 554}]}
`

// attemptsEach is how often each message is sent, whatever became of it before.
const attemptsEach = 2

// The same messages meet the same outcomes per (sender, recipient, attempt), over however many connections and in whatever order they
// come: shown by comparing the ledgers.
func TestTheSameWeatherForEverybody(t *testing.T) {
	messages := 20_000
	if testing.Short() {
		messages = 2_000
	}
	var first map[string]string
	for _, run := range []struct {
		name        string
		driver      sink.DriverKind
		connections int
		shuffled    bool
	}{
		{"1 connection", sink.DriverAuto, 1, false},
		{"50 connections", sink.DriverAuto, 50, false},
		{"1,000 connections", sink.DriverAuto, 1000, false},
		{"50 connections, shuffled", sink.DriverAuto, 50, true},
		{"50 connections, shuffled, net driver", sink.DriverNet, 50, true},
	} {
		t.Run(run.name, func(t *testing.T) {
			server := faulty(t, run.driver, unsteady, func(cfg *sink.Config) { cfg.Loops = 2 })
			// All first attempts before all second ones: the order of a pair's own attempts is part of its key.
			for attempt := range attemptsEach {
				order := make([]int, messages)
				for i := range order {
					order[i] = i
				}
				if run.shuffled {
					rand.New(rand.NewPCG(5, uint64(attempt))).Shuffle(messages, func(i, j int) { order[i], order[j] = order[j], order[i] })
				}
				sendAll(t, server.Addr("").String(), order, run.connections)
			}
			server.rows()
			got := outcomes(t, server.path)
			if first == nil {
				first = got
				checkWeather(t, first, messages)
				return
			}
			if !maps.Equal(first, got) {
				t.Errorf("the outcomes differ from those of the first run:%s", differences(first, got))
			}
		})
	}
}

// checkWeather checks that the comparison compares something.
func checkWeather(t *testing.T, got map[string]string, messages int) {
	t.Helper()
	codes := map[string]int{}
	for _, outcome := range got {
		codes[outcome]++
	}
	for _, want := range []string{"mail 451 reply", "rcpt 450 reply", "rcpt 550 reply", "data 451 reply", "message 250 reply", "message 452 reply", "message 554 reply"} {
		if codes[want] == 0 {
			t.Errorf("no outcome %q among %v", want, codes)
		}
	}
	if len(got) != attemptsEach*messages {
		t.Errorf("%d outcomes, want %d", len(got), attemptsEach*messages)
	}
}

// outcomes returns what each (sender, recipient, attempt) met.
func outcomes(t *testing.T, path string) map[string]string {
	t.Helper()
	out := map[string]string{}
	readLedger(t, path, func(row *event.Row) {
		var key, outcome string
		switch a, x := &row.Attempt, &row.Transaction; row.Kind {
		case event.KindAttempt:
			key, outcome = fmt.Sprintf("%s %s %d", a.Sender, a.Recipient, a.N), fmt.Sprintf("%v %d %v", a.Stage, a.Code, a.Ending)
		case event.KindTransaction:
			key, outcome = fmt.Sprintf("%s MAIL %d", x.Sender, x.N), fmt.Sprintf("%v %d %v", x.Stage, x.Code, x.Ending)
		default:
			return
		}
		if strings.HasSuffix(key, " 0") {
			return // RCPT after a refused MAIL: no attempt
		}
		if before, twice := out[key]; twice {
			t.Errorf("%s has two outcomes: %s and %s", key, before, outcome)
		}
		out[key] = outcome
	})
	return out
}

func differences(a, b map[string]string) string {
	var list strings.Builder
	n := 0
	for key, outcome := range a {
		if b[key] != outcome {
			if n++; n <= 5 {
				fmt.Fprintf(&list, "\n\t%s: %q and %q", key, outcome, b[key])
			}
		}
	}
	return fmt.Sprintf(" %d of %d and %d%s", n, len(a), len(b), list.String())
}

// sendAll sends each message once, over a number of connections.
func sendAll(t *testing.T, address string, order []int, connections int) {
	t.Helper()
	var wg sync.WaitGroup
	errs := make([]error, connections)
	for c := range connections {
		wg.Go(func() {
			var mine []int
			for i := c; i < len(order); i += connections {
				mine = append(mine, order[i])
			}
			errs[c] = sendSome(address, mine)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// sendSome sends messages over one connection, with pipelining.
func sendSome(address string, messages []int) error {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(3 * patience)); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	code := func() (string, error) {
		for {
			line, err := in.ReadString('\n')
			if err != nil || len(line) < 4 {
				return "", fmt.Errorf("reading a reply, after %q: %w", line, err)
			}
			if line[3] != '-' {
				return line[:3], nil
			}
		}
	}
	exchange := func(text string, replies int) (last string, err error) {
		if _, err = io.WriteString(conn, text); err != nil {
			return "", err
		}
		for range replies {
			if last, err = code(); err != nil {
				return "", err
			}
		}
		return last, nil
	}
	if _, err := exchange("EHLO client.test\r\n", 2); err != nil {
		return err
	}
	for _, i := range messages {
		last, err := exchange(fmt.Sprintf("MAIL FROM:<s%d@sender.test>\r\nRCPT TO:<r%d@recipient.test>\r\nDATA\r\n", i, i), 3)
		if err != nil {
			return err
		}
		if last == "354" {
			_, err = exchange("body\r\n.\r\n", 1)
		} else {
			_, err = exchange("RSET\r\n", 1)
		}
		if err != nil {
			return err
		}
	}
	_, err = exchange("QUIT\r\n", 1)
	return err
}
