package xk6smtp_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// TestK6 runs the real thing.
func TestK6(t *testing.T) {
	binary := builtK6(t)
	t.Run("the record equals k6's own points and the sink's counts", func(t *testing.T) { testRecord(t, binary) })
	t.Run("connections are closed at the end of the test", func(t *testing.T) { testTestEnd(t, binary) })
	t.Run("an interrupted run leaves a record", func(t *testing.T) { testInterrupt(t, binary) })
	t.Run("octets are counted exactly", func(t *testing.T) { testOctets(t, binary) })
	t.Run("the end of the test stops a sink that the script forgot", func(t *testing.T) { testForgottenSink(t, binary) })
	t.Run("a sink that is stopped tells k6 its replies", func(t *testing.T) { testSinkReplies(t, binary) })
	t.Run("an unknown module is not looked for elsewhere", func(t *testing.T) { testQuietBuild(t, binary) })
	t.Run("what is claimed and what the sink saw make one story", func(t *testing.T) { testClaims(t, binary) })
	t.Run("a killed k6 has claimed what it sent", func(t *testing.T) { testKilled(t, binary) })
	t.Run("a record keeps secrets", func(t *testing.T) { testRecordKeepsSecrets(t, binary) })
	t.Run("two servers stay apart, and a leak is told", func(t *testing.T) { testServersApart(t, binary) })
	t.Run("the examples of scripting.md run", func(t *testing.T) { testScriptingExamples(t, binary) })
	t.Run("nothing phones out", func(t *testing.T) { testNothingPhonesOut(t, binary) })
	t.Run("scripts", func(t *testing.T) { testScripts(t, binary) })
	t.Run("calm.js passes its thresholds", func(t *testing.T) { testScript(t, binary, "calm") })
	t.Run("bounce-storm.js passes its thresholds", func(t *testing.T) { testScript(t, binary, "bounce-storm") })
}

// builtK6 is the path of a k6 with this extension.
func builtK6(t *testing.T) string {
	t.Helper()
	binary, err := testkit.Program("xk6smtp/cmd/k6")
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// TestXK6 builds k6 the user's way, with the pinned xk6, and holds it to the same run as the project's own build.
func TestXK6(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: xk6 builds k6 for a minute")
	}
	binary := filepath.Join(t.TempDir(), "k6")
	build := exec.Command("go", "tool", "-modfile=scripts/tools/go.mod", "xk6", "build", "--k6-version", k6Version(t),
		"--with", "github.com/smtpstorm/xk6-smtp=.", "--output", binary)
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("xk6 build: %v: %s", err, out)
	}
	testRecord(t, binary)
	t.Run("k6 x smtp is the whole tool, and calls nobody", func(t *testing.T) { testSubcommand(t, binary) })
}

// k6Version is the version of k6 that go.mod requires.
func k6Version(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "go.k6.io/k6/v2").Output()
	if err != nil {
		t.Fatalf("go list -m: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// k6 prepares a call of k6 that phones nobody.
func k6(t *testing.T, binary string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), "K6_NO_USAGE_REPORT=true", "K6_AUTO_EXTENSION_RESOLUTION=false")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out
}

// testRecord runs k6 against the sink with both outputs, and compares three sets of counts: the record's, those of k6's JSON output, and
// the sink's.
func testRecord(t *testing.T, binary string) {
	t.Helper()
	sink := sinktest.Start(t, sinktest.WithFlags(fault.Flags{Seed: 7, Replies: []string{
		"mail=250:97,451:2,421:1", "rcpt=250:90,450:6,550:4", "message=250:95,451/4.3.0:3,554:2",
	}}))
	host, port, err := net.SplitHostPort(sink.Addr("").String())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	record, points := filepath.Join(dir, "run.json"), filepath.Join(dir, "points.json")
	cmd, out := k6(t, binary, "run", "--quiet", "--no-color", "--env", "SMTP_HOST="+host, "--env", "SMTP_PORT="+port,
		"-o", "smtpstorm="+record, "--out", "json="+points, "testdata/mixed.js")
	err = cmd.Run()
	if status := cmd.ProcessState.ExitCode(); status != result.ThresholdsCrossed {
		t.Fatalf("k6 ended with %v, expected status %d for the threshold that can't hold:\n%s", err, result.ThresholdsCrossed, out)
	}
	got, err := result.Read(record)
	if err != nil {
		t.Fatal(err)
	}
	comparePoints(t, got.Client, points)
	if got.Client.Sum("smtp_messages", nil) != 500 || got.Load.IterationsComplete != 500 || got.Load.Executor != "shared-iterations" {
		t.Errorf("%v messages, load %+v", got.Client.Sum("smtp_messages", nil), got.Load)
	}
	if text := fmt.Sprint(got.Load.Thresholds); text != "[{smtp_messages count>0 true} {smtp_msg_failed rate<0.001 false}]" {
		t.Errorf("thresholds %s", text)
	}

	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	injected := map[string]uint64{}
	for _, r := range sink.Stats().Caused() {
		injected[fmt.Sprintf("%v %d %v", r.Stage, r.Code, r.Enhanced)] += r.Decided
	}
	observed := map[string]uint64{}
	for _, s := range got.Client.Find("smtp_replies", nil) {
		observed[strings.Join([]string{s.Tags["phase"], s.Tags["code"], s.Tags["enhanced"]}, " ")] += uint64(s.Summary().Sum)
	}
	compareCounts(t, injected, observed)
	if n := got.Client.Sum("smtp_errors", nil); n != 0 {
		t.Errorf("%v errors", n)
	}
	for _, reply := range []string{"mail 421 4.3.0", "rcpt 450 4.2.0", "data 554 5.5.1", "message 451 4.3.0", "rset 250 2.0.0", "quit 221 2.0.0"} {
		if observed[reply] == 0 {
			t.Errorf("the run never got %q: %v", reply, observed)
		}
	}
}

func compareCounts(t *testing.T, injected, observed map[string]uint64) {
	t.Helper()
	for reply, n := range injected {
		if observed[reply] != n {
			t.Errorf("%q: injected %d, observed %d", reply, n, observed[reply])
		}
	}
	for reply, n := range observed {
		if injected[reply] == 0 {
			t.Errorf("%q: observed %d, injected none", reply, n)
		}
	}
}

// comparePoints compares a record with the points of k6's JSON output: counts and sums per series, and nearest-rank quantiles.
func comparePoints(t *testing.T, client *result.Client, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	values := map[string][]float64{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var point struct {
			Type   string
			Metric string
			Data   struct {
				Value float64
				Tags  result.Tags
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &point); err != nil {
			t.Fatal(err)
		}
		if point.Type != "Point" {
			continue
		}
		for name, value := range point.Data.Tags {
			if value == "" {
				delete(point.Data.Tags, name)
			}
		}
		key := point.Metric + " " + point.Data.Tags.Key()
		values[key] = append(values[key], point.Data.Value)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	trends := 0
	for i := range client.Series {
		s := &client.Series[i]
		key := s.Metric + " " + s.Tags.Key()
		raw := values[key]
		delete(values, key)
		sum := 0.0
		for _, v := range raw {
			sum += v
		}
		got := s.Summary()
		// Both add the same floats, in another order.
		if got.Count != uint64(len(raw)) || math.Abs(got.Sum-sum) > 1e-9*math.Abs(sum) {
			t.Errorf("%s: %d values with sum %v, k6 has %d with %v", key, got.Count, got.Sum, len(raw), sum)
			continue
		}
		if s.Histogram == nil {
			continue
		}
		trends++
		sort.Float64s(raw)
		for _, q := range []float64{0.5, 0.9, 0.99} {
			want := raw[int(math.Ceil(q*float64(len(raw))*(1-1e-12)))-1]
			if v := s.Histogram.Quantile(q); math.Abs(v-want) > 0.001*want+0.0005 {
				t.Errorf("%s: quantile %v is %v, the raw points have %v", key, q, v, want)
			}
		}
	}
	for key := range values {
		t.Errorf("%s is missing in the record", key)
	}
	if trends < 20 {
		t.Errorf("only %d trends were compared", trends)
	}
}

// silentServer greets, answers EHLO and nothing else.
type silentServer struct {
	net.Listener
	open  atomic.Int32 // connections that stand
	seen  atomic.Int32 // connections there were
	asked atomic.Int32 // commands after EHLO
}

func newSilentServer(t *testing.T) *silentServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &silentServer{Listener: listener}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(conn) })
		}
	})
	return s
}

func (s *silentServer) serve(conn net.Conn) {
	s.open.Add(1)
	s.seen.Add(1)
	defer s.open.Add(-1)
	defer conn.Close()
	in := bufio.NewReader(conn)
	for _, reply := range []string{"220 mx.test\r\n", "250 mx.test\r\n"} {
		if _, err := io.WriteString(conn, reply); err != nil {
			return
		}
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
	}
	s.asked.Add(1)
	_, _ = io.Copy(io.Discard, in) // until the client closes
}

func (s *silentServer) port() string { return strconv.Itoa(s.Addr().(*net.TCPAddr).Port) }

func script(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "script.js")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// testTestEnd keeps k6 alive after the test (--linger): the connections must be gone nevertheless.
func testTestEnd(t *testing.T, binary string) {
	if runtime.GOOS == "windows" {
		t.Skip("no interrupt signal on windows")
	}
	server := newSilentServer(t)
	name := script(t, `
		import { Client } from 'k6/x/smtp';
		export const options = { vus: 3, iterations: 3 };
		const client = new Client({ host: '127.0.0.1', port: `+server.port()+` });
		export default async function () { await client.connect(); }`)
	cmd, out := k6(t, binary, "run", "--linger", "--no-color", name)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "connections", func() bool { return server.seen.Load() > 0 })
	testkit.Await(t, "the end of the connections", func() bool { return server.open.Load() == 0 })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatalf("k6 did not linger: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// testInterrupt interrupts k6 while a message waits for a reply that never comes.
func testInterrupt(t *testing.T, binary string) {
	if runtime.GOOS == "windows" {
		t.Skip("no interrupt signal on windows")
	}
	server := newSilentServer(t)
	name := script(t, `
		import { Client, Message } from 'k6/x/smtp';
		export const options = { scenarios: { s: { executor: 'per-vu-iterations', vus: 3, iterations: 1, gracefulStop: '0s' } } };
		const client = new Client({ host: '127.0.0.1', port: `+server.port()+` });
		const message = new Message({ from: 'a@src.test', to: 'b@dst.test', text: 'x' });
		export default async function () { await client.send(message); }`)
	record := filepath.Join(t.TempDir(), "run.json")
	cmd, out := k6(t, binary, "run", "--no-color", "-o", "smtpstorm="+record, name)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "messages under way", func() bool { return server.asked.Load() == 3 })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	const externalAbort = 105
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != externalAbort {
		t.Errorf("k6 ended with %v, expected status %d:\n%s", err, externalAbort, out)
	}
	got, err := result.Read(record)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := got.Client.Sum("smtp_replies", result.Tags{"phase": "connect"}); n != 3 {
		t.Errorf("%v greetings in the record, expected 3", n)
	}
	if n := got.Client.Sum("smtp_errors", result.Tags{"phase": "mail", "error_code": "1060"}); n != 3 {
		t.Errorf("%v aborted waits in the record, expected 3", n)
	}
	if h := got.Client.Total("smtp_msg_unanswered", result.Tags{"phase": "mail", "error_code": "1060"}); h.Count() != 3 || !(h.Summary().Min > 0) {
		t.Errorf("%+v messages for which nobody waited any more, expected 3, each with how long it had lasted", h.Summary())
	}
	if len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "interrupt") {
		t.Errorf("notes %q", got.Notes)
	}
}

// testScript runs a script of the project as a person would, against the plan of the same name.
func testScript(t *testing.T, binary, name string) {
	p, err := plan.Load(filepath.Join("..", "scripts", "plans", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	server := sinktest.Start(t, sinktest.With(func(cfg *sink.Config) { cfg.Plan = p.Plan }))
	host, port, err := net.SplitHostPort(server.Addr("").String())
	if err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(t.TempDir(), "run.json")
	got, _ := runScript(t, binary, record, "--env", "SMTP_HOST="+host, "--env", "SMTP_PORT="+port, "--vus", "10", "--iterations", "200",
		filepath.Join("..", "scripts", name+".js"))
	// By number instead of the script's own rate and duration: how many a busy machine starts within these nobody knows.
	if n := got.Client.Sum("smtp_messages", nil); n != 200 || got.Load.IterationsComplete != 200 {
		t.Errorf("%v messages in %d iterations, expected 200", n, got.Load.IterationsComplete)
	}
}
