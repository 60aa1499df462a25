package cmd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/internal/testkit"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// The fleet: three k6 and two sinks, each a host with a network namespace of its own, on one bridge. The name of the sinks has both addresses.
const (
	fleetName  = "mx.fleet.test"
	fleetParts = 3
)

var fleetSinks = []string{"10.77.0.1", "10.77.0.2"}

// fleetPlan refuses some, and takes long enough for somebody to be killed meanwhile.
const fleetPlan = `version: 1
name: fleet
seed: 3
rules:
  - {name: some are refused, stage: rcpt, outcomes: [{weight: 18}, {weight: 1, reply: 450}, {weight: 1, reply: 550}]}
  - {name: storing takes time, stage: message, delay: 'uniform(5ms,15ms)'}
`

// fleetScript sends so many messages; each is a unit of its own. Its threshold is about all of them.
const fleetScript = `import exec from 'k6/execution';
import { Client, Message } from 'k6/x/smtp';
export const options = {
	scenarios: { s: { executor: 'shared-iterations', vus: 18, iterations: Number(__ENV.MESSAGES), maxDuration: '10m' } },
	thresholds: { smtp_messages: [__ENV.THRESHOLD] },
};
const client = new Client({ host: __ENV.SMTP_HOST, port: 2525, timeout: '30s', messagesPerConnection: 20 });
export default async function () {
	const n = exec.scenario.iterationInTest;
	await client.send(new Message({ from: __ENV.RUN + '-' + n + '@src.test', to: 'r' + n + '@dst.test', text: 'x' }));
}`

// host is a machine of the fleet: a process that holds its namespaces.
type host struct{ pid string }

// newHost makes one; hosts is its /etc/hosts.
func newHost(t *testing.T, unshare, hosts string) host {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), unshare, "--net", "--mount", "sh", "-c", `mount --bind "$0" /etc/hosts && ip link set lo up && echo up && exec sleep 3600`, hosts)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "up\n" {
		sinktest.Missing(t, "this machine allows no host of its own: %q, %v: %s", line, err, &stderr)
	}
	return host{strconv.Itoa(cmd.Process.Pid)}
}

// command is one that runs on the host, with its root: a mount namespace that is entered has that of the whole machine, which a chroot has not.
func (h host) command(t *testing.T, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(t.Context(), "nsenter", append([]string{"--target", h.pid, "--net", "--mount", "--root", "--wd", name}, args...)...)
}

func (h host) run(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	if out, err := h.command(t, words[0], words[1:]...).CombinedOutput(); err != nil {
		sinktest.Missing(t, "%s: %v: %s", line, err, out)
	}
}

// fleet is the hosts: those of k6, then those of the sinks.
type fleet struct {
	t                *testing.T
	bin, script      string
	plan             string
	clients, servers []host
}

func newFleet(t *testing.T) *fleet {
	sinktest.RequireRoot(t, "a network namespace for each host")
	unshare := sinktest.RequireTool(t, "unshare", "util-linux")
	sinktest.RequireTool(t, "nsenter", "util-linux")
	sinktest.RequireTool(t, "ip", "iproute2")
	f := &fleet{t: t, bin: build(t)}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	f.script, f.plan = write("load.js", fleetScript), write("plan.yaml", fleetPlan)
	names := "127.0.0.1 localhost\n"
	for _, address := range fleetSinks {
		names += address + " " + fleetName + "\n"
	}
	hosts := write("hosts", names)
	middle := newHost(t, unshare, hosts)
	middle.run(t, "ip link add br0 type bridge")
	middle.run(t, "ip link set br0 up")
	for i := range fleetParts + len(fleetSinks) {
		h, port := newHost(t, unshare, hosts), fmt.Sprint("port", i)
		address := fmt.Sprint("10.77.0.", 11+i)
		if i >= fleetParts {
			address = fleetSinks[i-fleetParts]
			f.servers = append(f.servers, h)
		} else {
			f.clients = append(f.clients, h)
		}
		middle.run(t, "ip link add "+port+" type veth peer name eth0 netns "+h.pid)
		middle.run(t, "ip link set "+port+" master br0 up")
		h.run(t, "ip addr add "+address+"/24 dev eth0")
		h.run(t, "ip link set eth0 up")
	}
	return f
}

// fleetSink is a sink of the fleet.
type fleetSink struct {
	cmd      *exec.Cmd
	counters *os.File
}

// start starts the i-th sink, which goes on with its ledger.
func (f *fleet) start(dir string, i int) *fleetSink {
	f.t.Helper()
	counters, err := os.Create(filepath.Join(dir, fmt.Sprintf("sink-%d.json", i+1)))
	if err != nil {
		f.t.Fatal(err)
	}
	s := &fleetSink{counters: counters}
	s.cmd = f.servers[i].command(f.t, filepath.Join(f.bin, "smtpsink"), "--listen", fleetSinks[i]+":2525", "--plan", f.plan, "--ledger", filepath.Join(dir, fmt.Sprintf("ledger-%d.jsonl", i+1)), "--json")
	s.cmd.Stdout = counters
	said, err := s.cmd.StderrPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	lines := bufio.NewScanner(said)
	var all []string
	for lines.Scan() {
		all = append(all, lines.Text())
		if strings.Contains(lines.Text(), "listening on") {
			go func() {
				for lines.Scan() {
				}
			}()
			return s
		}
	}
	f.t.Fatalf("sink %d does not listen: %q", i+1, all)
	return nil
}

func (s *fleetSink) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("a sink: %v", err)
	}
	_ = s.counters.Close()
}

// part is segments.sh --part on the host of a k6.
func (f *fleet) part(dir string, i, messages int, threshold string) *exec.Cmd {
	f.t.Helper()
	segments, err := filepath.Abs("../../scripts/segments.sh")
	if err != nil {
		f.t.Fatal(err)
	}
	// A killed shell leaves its k6 behind, and so both are killed by their group.
	cmd := f.clients[i].command(f.t, segments, "--part", strconv.Itoa(i+1), strconv.Itoa(fleetParts), dir, f.script, "--dns", "select=roundRobin",
		"-e", "SMTP_HOST="+fleetName, "-e", "MESSAGES="+strconv.Itoa(messages), "-e", "THRESHOLD="+threshold)
	cmd.Env = append(os.Environ(), "K6="+filepath.Join(f.bin, "k6"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// merge is segments.sh --merge.
func (f *fleet) merge(dir string) (said string, status int) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), "../../scripts/segments.sh", "--merge", strconv.Itoa(fleetParts), dir)
	cmd.Env = append(os.Environ(), "K6="+filepath.Join(f.bin, "k6"))
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		f.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// fleetBooks reads what clients claim and what the sinks tell, without the judge: per unit.
func fleetBooks(t *testing.T, dir string) (acked map[string]bool, deliveries map[string]int, starts int) {
	t.Helper()
	acked, deliveries = map[string]bool{}, map[string]int{}
	sent, err := filepath.Glob(filepath.Join(dir, "sent-*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range sent {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reconcile.ReadClaims(file, path, func(c *reconcile.Claim) error {
			acked[c.Sender+" "+c.Recipient] = c.Ack == reconcile.AckYes
			return nil
		}); err != nil {
			t.Error(err)
		}
		_ = file.Close()
	}
	for i := range fleetSinks {
		path := filepath.Join(dir, fmt.Sprintf("ledger-%d.jsonl", i+1))
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.Each(ledger.Input{Name: path, R: file}, func(row *event.Row) error {
			switch a := &row.Attempt; {
			case row.Kind == event.KindStart:
				starts++
			case row.Kind == event.KindAttempt && a.Delivered:
				deliveries[string(a.Sender)+" "+string(a.Recipient)]++
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		_ = file.Close()
	}
	return acked, deliveries, starts
}

// fleetJudge is smtpbench judge over all claims and both ledgers. Nothing queues and nobody notifies.
func fleetJudge(t *testing.T, dir string) (summary struct {
	Verdict, Sentence string
	Units             int
	Fates, Figures    map[string]int
}, status int) {
	t.Helper()
	var all []byte
	for i := range fleetParts {
		text, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("sent-%d.jsonl", i+1)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	for name, text := range map[string][]byte{"sent.jsonl": all, "queue.jsonl": nil, "dsn.jsonl": nil} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr, status := smtpbench(t, dir, "judge", dir, "--json")
	if err := json.Unmarshal([]byte(stdout), &summary); err != nil {
		t.Fatalf("judge: status %d, %v: %s%s", status, err, stdout, stderr)
	}
	return summary, status
}

// TestFleet: what several k6 on hosts of their own have sent to several sinks behind one name is one run. Merged, it is the union of its parts, bucket by
// bucket; judged, each unit is found once; joined, each reply that a sink has sent was read. When a k6 is killed, and a sink is killed and started again, that
// is said, and nothing else is lost.
//
// $FLEET_MESSAGES is how many are sent, $FLEET_OUT a folder for what came out: make fleet-check.
func TestFleet(t *testing.T) {
	messages := 900
	if text := os.Getenv("FLEET_MESSAGES"); text != "" {
		var err error
		if messages, err = strconv.Atoi(text); err != nil || messages%fleetParts != 0 {
			t.Fatalf("FLEET_MESSAGES=%s: want a multiple of %d", text, fleetParts)
		}
	}
	begin := time.Now()
	f := newFleet(t)
	out := fleetReport{messages: messages, begin: begin}
	t.Run("whole", func(t *testing.T) { f.whole(t, messages, &out) })
	t.Run("killed", func(t *testing.T) { f.killed(t, messages, &out) })
	if dir := os.Getenv("FLEET_OUT"); dir != "" && !t.Failed() {
		out.write(t, dir)
	}
}

func (f *fleet) whole(t *testing.T, messages int, out *fleetReport) {
	f.t = t
	dir := t.TempDir()
	sinks := []*fleetSink{f.start(dir, 0), f.start(dir, 1)}
	// Each k6 by itself crosses it: only together have they sent so many.
	threshold := fmt.Sprintf("count>=%d", messages)
	var wg sync.WaitGroup
	for i := range fleetParts {
		wg.Go(func() {
			cmd := f.part(dir, i, messages, threshold)
			if said, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != result.ThresholdsCrossed {
				t.Errorf("part %d: %v: %s", i+1, err, said)
			}
		})
	}
	wg.Wait()
	for _, s := range sinks {
		s.stop(t)
	}
	if t.Failed() {
		return
	}
	if said, status := f.merge(dir); status != 0 {
		t.Fatalf("merge: status %d, want 0: the merged figures keep the threshold %s\n%s", status, threshold, said)
	}
	read := func(name string) *result.Record {
		r, err := result.Read(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	merged := read("run.json")
	out.buckets = checkUnion(t, merged, read("run-1.json"), read("run-2.json"), read("run-3.json"))
	if n := merged.Client.Sum("smtp_messages", nil); n != float64(messages) {
		t.Errorf("%v messages, want %d", n, messages)
	}

	acked, deliveries, _ := fleetBooks(t, dir)
	if len(acked) != messages {
		t.Errorf("%d units are claimed, want %d", len(acked), messages)
	}
	for unit, yes := range acked {
		if n := deliveries[unit]; yes && n != 1 || !yes && n != 0 {
			t.Errorf("%s: acknowledged: %v, delivered %d times", unit, yes, n)
		}
	}
	for unit := range deliveries {
		if _, claimed := acked[unit]; !claimed {
			t.Errorf("%s was delivered, and nobody claims it", unit)
		}
	}
	summary, status := fleetJudge(t, dir)
	if status != 0 || summary.Units != messages || summary.Fates["delivered"] != len(deliveries) {
		t.Errorf("judge: status %d: %+v; want %d delivered", status, summary, len(deliveries))
	}
	out.whole = summary.Sentence
	stdout, stderr, status := smtpbench(t, dir, "join", "run-1.json", "run-2.json", "run-3.json", "sink-1.json", "sink-2.json", "--plan", f.plan)
	for line := range strings.Lines(stdout) {
		if equal, found := strings.CutPrefix(line, "injected = observed"); found {
			out.joined, _, _ = strings.Cut(strings.TrimSpace(equal), ",  ")
			out.joined, _, _ = strings.Cut(out.joined, " replies")
		}
	}
	if status != 0 || out.joined == "" {
		t.Errorf("join: status %d: %s%s", status, stdout, stderr)
	}
	for i := range fleetSinks {
		if _, _, status := smtpbench(t, dir, "join", "run.json", fmt.Sprintf("sink-%d.json", i+1)); status != 1 {
			t.Errorf("join with one of the sinks only: status %d, want 1: it has taken a part of the load", status)
		}
	}
}

func (f *fleet) killed(t *testing.T, messages int, out *fleetReport) {
	f.t = t
	dir := t.TempDir()
	sinks := []*fleetSink{f.start(dir, 0), f.start(dir, 1)}
	// Each k6 by itself keeps it, two of them together don't.
	threshold := fmt.Sprintf("count<%d", messages/2)
	parts := make([]*exec.Cmd, fleetParts)
	for i := range parts {
		parts[i] = f.part(dir, i, messages, threshold)
		if err := parts[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	lines := func(name string) int {
		text, _ := os.ReadFile(filepath.Join(dir, name))
		return bytes.Count(text, []byte("\n"))
	}
	// Both are killed in the middle of what they do.
	testkit.Await(t, "the second k6 sends", func() bool { return lines("sent-2.jsonl") > messages/30 })
	if err := syscall.Kill(-parts[1].Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "the second sink takes mail", func() bool { return lines("ledger-2.jsonl") > messages/30 })
	if err := sinks[1].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = sinks[1].cmd.Wait()
	sinks[1] = f.start(dir, 1)
	for i, part := range parts {
		if err := part.Wait(); i != 1 && err != nil {
			t.Errorf("part %d: %v", i+1, err)
		}
	}
	for _, s := range sinks {
		s.stop(t)
	}
	said, status := f.merge(dir)
	if status != 3 || !strings.Contains(said, "no record of part 2 of 3") {
		t.Errorf("merge: status %d: %s; want 3 and the part without a record", status, said)
	}
	out.missing = strings.TrimSpace(said)
	if stdout, stderr, status := smtpbench(t, dir, "merge", "run-1.json", "run-3.json", "--out", "two.json"); status != reconcile.ExitThresholds || !strings.Contains(stdout, "thresholds crossed by the merged figures: smtp_messages "+threshold) {
		t.Errorf("merge of those that are there: status %d: %s%s; want the threshold %s crossed", status, stdout, stderr, threshold)
	}

	acked, deliveries, starts := fleetBooks(t, dir)
	yes := 0
	for unit, ok := range acked {
		if !ok {
			continue
		}
		yes++
		if n := deliveries[unit]; n != 1 {
			t.Errorf("%s: acknowledged, and delivered %d times", unit, n)
		}
	}
	if starts != len(fleetSinks)+1 || yes == 0 {
		t.Errorf("%d starts of sinks, %d units acknowledged", starts, yes)
	}
	summary, status := fleetJudge(t, dir)
	if summary.Fates["lost"]+summary.Fates["duplicated"]+summary.Fates["undetermined"] > 0 || status != 0 && status != reconcile.ExitUndetermined {
		t.Errorf("judge: status %d: %+v", status, summary)
	}
	out.killed, out.fates = summary.Sentence, summary.Fates
	if summary.Figures["killed_runs"] != 1 || summary.Figures["runs"] != 3 {
		t.Errorf("judge: %+v; want one of three runs of the sinks killed", summary.Figures)
	}
	// What the killed ones would have told is missing.
	if stdout, stderr, status := smtpbench(t, dir, "join", "run-1.json", "run-3.json", "sink-1.json", "sink-2.json"); status != 1 {
		t.Errorf("join of those that are there: status %d, want 1: %s%s", status, stdout, stderr)
	}
}

// fleetReport is what make fleet-check records.
type fleetReport struct {
	messages, buckets              int
	begin                          time.Time
	whole, joined, killed, missing string
	fates                          map[string]int
}

func (r *fleetReport) write(t *testing.T, dir string) {
	t.Helper()
	p := result.Collect(os.DirFS("/"), r.begin, nil)
	commit := "unknown"
	if text, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=40").Output(); err == nil {
		commit = strings.TrimSpace(string(text))
	}
	var fates []string
	for _, fate := range slices.Sorted(maps.Keys(r.fates)) {
		if n := r.fates[fate]; n > 0 {
			fates = append(fates, fmt.Sprintf("%d %s", n, fate))
		}
	}
	text := fmt.Sprintf(`# Three k6 and two sinks, each on a host of its own

%s, %s, Linux %s, %s (%d logical CPUs), commit %s, %.0f s. Again: %s.

Each host is a network namespace; all are on one bridge, and one name has the addresses of both sinks. %d messages by %s, with a plan
that refuses one recipient in ten.

| | |
|---|---|
| merged record against the union of its parts | equal: all counts, and %d buckets of histograms one by one |
| a threshold that each k6 crosses and all together keep | kept by the merged figures (status 0) |
| each acknowledged unit, by claims and both ledgers | delivered once; nothing else was |
| judge over all claims and both ledgers | %s |
| injected = observed, joined of three records and two sinks' counters | %s replies |

The same, with one k6 and one sink killed (kill -9) in the middle, and the sink started again:

| | |
|---|---|
| merge | status 3: %s |
| a threshold that each k6 keeps, of the two that are left | crossed by the merged figures (status 99) |
| each acknowledged unit, by claims and both ledgers | delivered once |
| judge | %s; 3 runs of sinks, 1 of them killed |
| fates | %s |
| joined | status 1: what the killed ones would have told is missing |
`, r.begin.UTC().Format("2006-01-02 15:04 MST"), p.OS, p.Kernel, p.CPUModel, p.Cores, commit, time.Since(r.begin).Seconds(), "`make fleet-check FLEET_MESSAGES="+strconv.Itoa(r.messages)+"`",
		r.messages, "`scripts/segments.sh --part`", r.buckets, r.whole, r.joined, r.missing, r.killed, strings.Join(fates, ", "))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "fleet.md"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
