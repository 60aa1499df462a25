package mta

import (
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
)

const (
	qshapeName      = "mx.qshape.test" // whose addresses are 127.0.0.1 and 127.0.0.2
	qshapeMessages  = 1000
	qshapeTimeout   = 3 // seconds, to connect
	qshapeTheory    = 20 / (qshapeTimeout / 2.)
	qshapeTolerance = 0.1
)

// TestPostfixDeadExchanger repeats an example of Postfix's QSHAPE_README: of two addresses of a mail exchanger one is dead. Half of the deliveries
// wait for it, unless connections to the other one are used again.
func TestPostfixDeadExchanger(t *testing.T) {
	runs, err := strconv.Atoi(os.Getenv("SMTPSTORM_QSHAPE"))
	if err != nil || runs < 1 {
		t.Skip("a thousand messages past a dead server take more than a minute: run make qshape (SMTPSTORM_QSHAPE is the number of runs)")
	}
	if addresses, err := net.LookupHost(qshapeName); err != nil || len(addresses) != 2 {
		t.Fatalf("%s has the addresses %v, %v; want 127.0.0.1 and 127.0.0.2, from a hosts file as scripts/record-qshape.sh makes it", qshapeName, addresses, err)
	}
	table := "| connection caching | theory | measured (mean) | runs | |\n|---|---|---|---|---|\n"
	version := ""
	for _, c := range []struct {
		name, setting, theory string
		wrong                 func(rate float64) bool
	}{
		{"off", "no", fmt.Sprintf("%.1f/s", qshapeTheory), func(rate float64) bool { return math.Abs(rate-qshapeTheory) > qshapeTolerance*qshapeTheory }},
		{"on demand", "yes", fmt.Sprintf("at least %.1f/s", 5*qshapeTheory), func(rate float64) bool { return rate < 5*qshapeTheory }},
	} {
		var rates []string
		sum := 0.
		for run := range runs {
			var rate float64
			if !t.Run(c.name+" "+strconv.Itoa(run+1), func(t *testing.T) { rate, version = qshapeRun(t, c.setting) }) {
				return
			}
			sum += rate
			rates = append(rates, fmt.Sprintf("%.1f", rate))
		}
		mean, verdict := sum/float64(runs), "as in theory"
		if c.wrong(mean) {
			verdict = "**not as in theory**"
			t.Errorf("caching %s: %.1f deliveries a second (%s), want %s", c.name, mean, strings.Join(rates, ", "), c.theory)
		}
		table += fmt.Sprintf("| %s | %s | **%.1f/s** | %s | %s |\n", c.name, c.theory, mean, strings.Join(rates, ", "), verdict)
	}
	table = version + ". Deliveries a second, from the first twentieth of them to the last:\n\n" + table
	t.Logf("\n%s", table)
	if file := os.Getenv("SMTPSTORM_QSHAPE_FILE"); file != "" {
		if err := os.WriteFile(file, []byte(table), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// qshapeRun sends all messages and returns how many were delivered a second.
func qshapeRun(t *testing.T, caching string) (rate float64, version string) {
	postfix := candidate("postfix")
	b := openSink(t, postfix, "  - {name: well, stage: rcpt, reply: plain}\n")
	_, port := hostPort(b.server.Addr("").String())
	deafen(t, atoi(port))
	b.start(postfix, Options{
		Policy: Policy{MinimalBackoff: time.Hour, MaximalBackoff: time.Hour, Lifetime: 24 * time.Hour, Concurrency: 20},
		Extra: "relayhost = " + qshapeName + ":" + port + "\ninitial_destination_concurrency = 20\nsmtp_connect_timeout = " + strconv.Itoa(qshapeTimeout) +
			"s\nsmtp_connection_cache_on_demand = " + caching,
	})
	d := b.dial()
	for n := range qshapeMessages {
		if err := d.conn.SetDeadline(time.Now().Add(25 * time.Second)); err != nil {
			t.Fatal(err)
		}
		d.submit(fmt.Sprintf("s%d@src.test", n), fmt.Sprintf("r%d@dst.test", n))
	}
	// A run takes 75 s: longer than Await waits for what a test makes happen.
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for overdue := time.After(4 * time.Minute); len(b.received.Deliveries()) < qshapeMessages; {
		select {
		case <-tick.C:
		case <-overdue:
			t.Fatalf("after 4 minutes %d of %d messages are delivered", len(b.received.Deliveries()), qshapeMessages)
		}
	}
	b.end()
	var times []time.Time
	file, err := os.Open(filepath.Join(b.dir, "ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := ledger.Each(ledger.Input{Name: file.Name(), R: file}, func(row *event.Row) error {
		if row.Kind == event.KindAttempt && row.Attempt.Delivered {
			times = append(times, row.Attempt.Time)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(times, time.Time.Compare)
	if len(times) != qshapeMessages {
		t.Fatalf("%d deliveries in the ledger, want one for each of %d messages", len(times), qshapeMessages)
	}
	first, last := qshapeMessages/20, qshapeMessages-1-qshapeMessages/20
	return float64(last-first) / times[last].Sub(times[first]).Seconds(), b.agent.Version()
}

// deafen listens on a port of 127.0.0.2 and accepts nothing. The kernel takes connections until the queue is full, and then drops who asks
// for one: it is filled.
func deafen(t *testing.T, port int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		t.Cleanup(func() { _ = unix.Close(fd) })
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 2}})
	}
	if err == nil {
		err = unix.Listen(fd, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		conn, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.2:%d", port), 500*time.Millisecond)
		if err != nil {
			return // it is full
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Fatal("a listener with a queue of none has taken ten connections")
}
