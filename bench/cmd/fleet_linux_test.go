package cmd

import (
	"bytes"
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
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// The fleet: three k6 and two sinks, each a host with a network namespace of its own, on one bridge. The name of the sinks has both addresses.
const (
	fleetName  = "mx.fleet.test"
	fleetParts = 3
)

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

	acked, deliveries, _ := fleetDeliveries(t, dir)
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
	if stdout, stderr, status := smtpbench(t, dir, "merge", "run-1.json", "run-3.json", "--out", "two.json"); status != reconcile.ExitUndetermined || !strings.Contains(stdout, "execution segment 1/3:2/3 has left no record") ||
		!strings.Contains(stdout, "thresholds crossed by the merged figures: smtp_messages "+threshold) {
		t.Errorf("merge of those that are there: status %d: %s%s; want a part missing, and the threshold %s crossed", status, stdout, stderr, threshold)
	}

	acked, deliveries, starts := fleetDeliveries(t, dir)
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
	if summary.Fates["lost"]+summary.Fates["duplicated"]+summary.Fates["undetermined"] > 0 || status != reconcile.ExitUndetermined {
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
| a threshold that each k6 keeps, of the two that are left | crossed by the merged figures; status 3, since a part is missing |
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
