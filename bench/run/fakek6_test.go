package run

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/smtpstorm/xk6-smtp/bench/k6"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	counts "github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// watchdogArgument makes the test binary a watchdog.
const watchdogArgument = "__watchdog"

// TestMain lets the test binary stand in for k6: called as k6 is, it sends messages and writes a record as the output
// extension would. What it gets wrong on purpose is the value of FAKE_K6.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == watchdogArgument {
		if err := supervise.Watch(os.Stdin); err != nil {
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 3 && os.Args[1] == fetchArgument {
		os.Exit(printFrom(os.Args[2]))
	}
	if len(os.Args) > 1 && (os.Args[1] == "run" || os.Args[1] == "version") {
		os.Exit(fakeK6(os.Getenv("FAKE_K6"), os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// fakeMessages is how many messages the fake sends, whatever the rate, unless --env FAKE_MESSAGES says otherwise.
const fakeMessages = 40

func fakeK6(how string, args []string) int {
	if len(args) == 1 && args[0] == "version" {
		fmt.Println("k6 v2.2.0 (the fake)\nExtensions:\n  github.com/smtpstorm/xk6-smtp (devel), k6/x/smtp [js]")
		return 0
	}
	env := map[string]string{}
	record := ""
	for i, arg := range args {
		switch arg {
		case "--env":
			name, value, _ := strings.Cut(args[i+1], "=")
			env[name] = value
		case "-o":
			record = strings.TrimPrefix(args[i+1], "smtpstorm=")
		}
	}
	if how == "broken" || how == "breaks later" && strings.HasSuffix(args[len(args)-1], k6.StormScript) {
		fmt.Fprintln(os.Stderr, "ReferenceError: foo is not defined")
		return 107
	}
	started := time.Now()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	c := &fakeClient{observed: map[counts.Kind]uint64{}, messages: fakeMessages}
	if n, err := strconv.ParseUint(env["FAKE_MESSAGES"], 10, 64); err == nil {
		c.messages = n
	}
	if claims := os.Getenv(k6.ClaimsVariable); claims != "" && how != "unclaimed" {
		var err error
		if c.claims, err = os.Create(claims); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer c.claims.Close()
	}
	if err := c.run(net.JoinHostPort(env["SMTP_HOST"], env["SMTP_PORT"]), env["RUN"]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := 0
	switch how {
	case "killed":
		self, err := os.FindProcess(os.Getpid())
		if err != nil || self.Kill() != nil {
			return 1
		}
		select {} // until the signal comes
	case "crossed":
		status = 99
	case "stops early":
		status = 99
	case "aborts":
		fmt.Fprintln(os.Stderr, "test aborted: enough")
		status = 108
	case "drop":
		c.dropped = 1200
	case "lose":
		c.observed[counts.Kind{Stage: smtp.StageMail, Code: 250, Enhanced: smtp.Enhanced{Class: 2, Subject: 1}}]--
	case "hang":
		fmt.Fprintln(os.Stderr, "hanging")
		select {
		case <-interrupted:
			status = 105
		case <-time.After(30 * time.Second):
			return 1
		}
	}
	r := c.record(status)
	r.Provenance.Started, r.Provenance.Ended = started, time.Now()
	switch how {
	case "stale":
		r.Provenance.Started = started.Add(-time.Hour)
	case "no client":
		r.Client = nil
	}
	r.Load.Script = filepath.Base(args[len(args)-1])
	r.Load.RatePerSecond, _ = strconv.ParseFloat(env["RATE"], 64)
	r.Load.VUs, _ = strconv.Atoi(env["VUS"])
	if how == "stops early" { // as an abortOnFail does
		r.Load.Stopped = "k6 ended the test early: thresholds were crossed"
	}
	if of, is := strings.CutPrefix(how, "no record of "); how == "no record" || is && filepath.Base(record) == of+".json" {
		return 0
	}
	if err := r.Write(record); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := spoil(how, record); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if how == "watched" {
		if err := fakeDashboard(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return status
}

// spoil makes of a record what a full disk makes of it.
func spoil(how, record string) error {
	switch how {
	case "short":
		return os.Truncate(record, 300)
	case "empty":
		return os.Truncate(record, 0)
	case "partial":
		return os.Rename(record, record+".partial")
	}
	return nil
}

// fakeDashboard leaves a page and then waits, as k6 does, for a browser that looks at the dashboard to go away.
func fakeDashboard() error {
	if _, err := os.Stat(os.Getenv("XK6_DASHBOARD_CONFIG")); err != nil || os.Getenv("K6_WEB_DASHBOARD_PERIOD") != "1s" {
		return fmt.Errorf("the dashboard is not configured: %v", err)
	}
	if err := os.WriteFile(os.Getenv("K6_WEB_DASHBOARD_EXPORT"), []byte("the fake's page"), 0o600); err != nil {
		return err
	}
	gone := make(chan struct{})
	server := http.Server{Addr: "127.0.0.1:" + os.Getenv("K6_WEB_DASHBOARD_PORT"), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "the fake's dashboard")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	})}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case <-gone:
		return nil
	case err := <-failed:
		return err
	case <-time.After(30 * time.Second):
		return errors.New("the browser didn't go away")
	}
}

// fakeClient sends one message after the other over one connection and counts what it reads.
type fakeClient struct {
	text        *textproto.Conn
	observed    map[counts.Kind]uint64
	unconnected uint64   // messages for which there was no connection
	claims      *os.File // nil: nobody keeps what was sent
	messages    uint64
	accepted    uint64
	waiting     result.Histogram
	dropped     uint64 // iterations
}

func (c *fakeClient) run(address, run string) error {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil { // as the real one does, it goes on, and nothing is sent
		c.unconnected = c.messages
		for i := range c.messages {
			c.claim(sender(i, run), i, "unknown", time.Now())
		}
		return nil
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	c.text = textproto.NewConn(conn)
	c.read("connect")
	c.say("ehlo", "EHLO fake.test")
	for i := range c.messages {
		c.send(i, run)
	}
	c.say("quit", "QUIT")
	return nil
}

// sender returns the local part of a message's sender: without a run always the same, and so are its draws.
func sender(i uint64, run string) string {
	if run == "" {
		return fmt.Sprintf("s-%d", i)
	}
	return fmt.Sprintf("s+%s-%d", run, i)
}

// claim writes that a message was sent.
func (c *fakeClient) claim(sender string, i uint64, ack string, at time.Time) {
	if c.claims == nil {
		return
	}
	fmt.Fprintf(c.claims, `{"token":"%s@src.bench.test","recipient":"r%d@dst.bench.test","storm_id":"id-%s","ack":"%s","sent":"%s"}`+"\n", sender, i, sender, ack, at.UTC().Format(time.RFC3339Nano))
}

func (c *fakeClient) send(i uint64, run string) {
	began, sender := time.Now(), sender(i, run)
	code := c.say("mail", "MAIL FROM:<"+sender+"@src.bench.test>")
	if code == 250 {
		code = c.say("rcpt", fmt.Sprintf("RCPT TO:<r%d@dst.bench.test>", i))
	}
	if code == 250 {
		code = c.say("data", "DATA")
	}
	if code == 354 {
		code = c.say("message", "Subject: x\r\nX-Storm-Id: id-"+sender+"\r\n\r\nbody of "+sender+"\r\n.")
	}
	ack := "no"
	if code == 250 {
		c.accepted++
		ack = "yes"
	} else {
		c.say("rset", "RSET")
	}
	c.claim(sender, i, ack, began)
	c.waiting.Record(float64(time.Since(began)) / float64(time.Millisecond))
}

func (c *fakeClient) say(stage, command string) int {
	if err := c.text.PrintfLine("%s", command); err != nil {
		return 0
	}
	return c.read(stage)
}

func (c *fakeClient) read(stage string) int {
	code, text, err := c.text.ReadResponse(0)
	if code == 0 && err != nil {
		return 0
	}
	enhanced, _, _ := smtp.CutEnhanced([]byte(text))
	at, err := smtp.ParseStage(stage)
	if err != nil {
		panic(err)
	}
	c.observed[counts.Kind{Stage: at, Code: smtp.Code(code), Enhanced: enhanced}]++
	return code
}

func (c *fakeClient) record(status int) *result.Record {
	r := result.New("")
	r.Client = &result.Client{Tool: "fake", Series: []result.Series{
		{Metric: "smtp_msg_duration", Type: result.Trend, Unit: result.UnitMillis, Histogram: &c.waiting},
		counter("smtp_messages", c.messages, nil),
		counter("smtp_recipients", c.accepted, result.Tags{"expected_response": "true"}),
		counter("smtp_recipients", c.messages-c.accepted, result.Tags{"expected_response": "false"}),
	}}
	if c.unconnected > 0 {
		r.Client.Series = append(r.Client.Series, counter("smtp_errors", c.unconnected, result.Tags{"phase": "connect", "error_code": "1212"}))
	}
	for reply, n := range c.observed {
		r.Client.Series = append(r.Client.Series,
			counter(result.MetricReplies, n, result.Tags{"phase": reply.Stage.String(), "code": fmt.Sprint(reply.Code), "enhanced": reply.Enhanced.String()}))
	}
	r.Load.IterationsComplete, r.Load.IterationsDropped = c.messages, c.dropped
	r.Load.Thresholds = []result.Threshold{{Metric: "smtp_msg_failed", Expression: "rate<0.01", OK: status != 99}}
	return r
}

func counter(metric string, n uint64, tags result.Tags) result.Series {
	s := result.Summary{}
	s.Add(float64(n))
	return result.Series{Metric: metric, Type: result.Counter, Tags: tags, Stats: &s}
}
