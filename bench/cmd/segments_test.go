package cmd

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
	"go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// Three k6, each with a third of the load, are one run: merged, they have every message, unit by unit and bucket by bucket, and the judge finds each
// of them at the sink.
func TestSegments(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a shell script")
	}
	const parts, messages = 3, 300
	bin := build(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "segments")
	if err := os.Mkdir(out, 0o700); err != nil {
		t.Fatal(err)
	}
	control := controlSecret(t, dir)
	ledger := filepath.Join(dir, "ledger.jsonl")
	sink := startSink(t, bin, filepath.Join(dir, "sink.json"), "--ledger", ledger, "--reply", "rcpt=250:8,450:1,550:1", "--control=127.0.0.1:0",
		"--control-token-file", filepath.Join(control, "tokens"), "--control-cert", filepath.Join(control, "tls.crt"), "--control-key", filepath.Join(control, "tls.key"))
	api := sink.controlURL(t)
	script := filepath.Join(dir, "load.js")
	text := `import exec from 'k6/execution';
		import { Client, Message } from 'k6/x/smtp';
		export const options = { scenarios: { s: { executor: 'shared-iterations', vus: 6, iterations: ` + strconv.Itoa(messages) + ` } }, thresholds: { smtp_messages: ['count>0'] } };
		const client = new Client({ host: '127.0.0.1', port: Number(__ENV.SMTP_PORT) });
		export default async function () {
			const n = exec.scenario.iterationInTest;
			await client.send(new Message({ from: 's' + n + '@src.test', to: 'r' + n + '@dst.test', text: 'x' }));
		}`
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	segments := func(args ...string) (said string, status int) {
		cmd := exec.CommandContext(t.Context(), "../../scripts/segments.sh", args...)
		cmd.Env = append(os.Environ(), "K6="+filepath.Join(bin, "k6"))
		text, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(text), cmd.ProcessState.ExitCode()
	}
	if said, status := segments("3", out, script, "-e", "SMTP_PORT="+sink.port); status != 0 {
		t.Fatalf("segments.sh ended with status %d:\n%s", status, said)
	}
	merged, err := result.Read(filepath.Join(out, "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []*result.Record
	for i := range parts {
		part, err := result.Read(filepath.Join(out, "run-"+strconv.Itoa(i+1)+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if n := part.Client.Sum("smtp_messages", nil); n != messages/parts {
			t.Errorf("part %d has sent %v messages, want %d", i+1, n, messages/parts)
		}
		all = append(all, part)
	}
	checkUnion(t, merged, all...)
	if n := merged.Client.Sum("smtp_messages", nil); n != messages {
		t.Errorf("%v messages, want %d", n, messages)
	}

	// The sink goes on while its ledger is fetched.
	if said, status := kubernetesJudge(t, bin, out, control, api); status != 0 || !strings.Contains(said, "all "+strconv.Itoa(messages)+" units accounted for") {
		t.Errorf("the judge of the Kubernetes manifests: status %d:\n%s", status, said)
	}
	if said, status := kubernetesJudge(t, bin, out, control, strings.Replace(api, "https", "http", 1)); status == 0 {
		t.Errorf("the judge of the Kubernetes manifests ends with 0 although the ledger could not be fetched:\n%s", said)
	}
	sink.stop(t)
	whole, err := os.ReadFile(ledger)
	if err != nil {
		t.Fatal(err)
	}
	fetched, err := os.ReadFile(filepath.Join(out, "ledger-1.jsonl"))
	if err != nil || !bytes.HasPrefix(whole, fetched) || len(fetched) == 0 {
		t.Errorf("what was fetched, %d octets, isn't the beginning of the ledger: %v", len(fetched), err)
	}
	if err := os.WriteFile(filepath.Join(out, "ledger-1.jsonl"), whole, 0o600); err != nil {
		t.Fatal(err)
	}

	said, stderr, status := smtpbench(t, dir, "judge", out, "--json")
	if status != 0 || !strings.Contains(said, `"units": `+strconv.Itoa(messages)) {
		t.Errorf("judge of all claims: status %d, want %d units: %s%s", status, messages, said, stderr)
	}

	if err := os.Remove(filepath.Join(out, "run-2.json")); err != nil {
		t.Fatal(err)
	}
	if said, status := kubernetesJudge(t, bin, out, control, api); status != 3 || !strings.Contains(said, "UNDETERMINED: 2 of 3 runners") {
		t.Errorf("the judge of the Kubernetes manifests without a record: status %d:\n%s", status, said)
	}
	judged := func(what, why string) {
		t.Helper()
		said, stderr, status := smtpbench(t, dir, "judge", out)
		if status != 3 || !strings.Contains(strings.Join(strings.Fields(said), " "), why) {
			t.Errorf("judge, %s: status %d, want 3 and %q: %s%s", what, status, why, said, stderr)
		}
	}
	judged("the record of a part is gone", "the generator of sent-2.jsonl has left no record")
	if err := os.Remove(filepath.Join(out, "run.json")); err != nil {
		t.Fatal(err)
	}
	judged("the merged one, too", "execution segment 1/3:2/3 has left no record")
	if said, status := segments("--merge", "3", out); status != 3 || !strings.Contains(said, "no record of part 2 of 3") {
		t.Errorf("without a part: status %d, want 3:\n%s", status, said)
	}
	for _, args := range []string{"", "0 d s.js", "3 d", "--part 4 3 d s.js"} {
		if said, status := segments(strings.Fields(args)...); status != 2 || strings.Count(said, "\n") != 1 {
			t.Errorf("segments.sh %s: status %d: %s", args, status, said)
		}
	}
}

// checkUnion compares a merged record with its parts: counts, and the buckets of histograms one by one. It returns how many buckets those were.
func checkUnion(t *testing.T, merged *result.Record, parts ...*result.Record) (buckets int) {
	t.Helper()
	type sums struct {
		count   float64
		buckets map[int64]int64
	}
	union := map[string]sums{}
	add := func(to map[string]sums, r *result.Record) {
		for i := range r.Client.Series {
			s := &r.Client.Series[i]
			key := s.Metric + "{" + s.Tags.Key()
			have := to[key]
			if have.buckets == nil {
				have.buckets = map[int64]int64{}
			}
			have.count += float64(s.Passes + s.Fails)
			if s.Type == result.Counter && s.Stats != nil {
				have.count += s.Stats.Sum
			}
			if s.Histogram != nil {
				for bucket, n := range bucketsOf(t, s.Histogram) {
					have.buckets[bucket] += n
				}
			}
			to[key] = have
		}
	}
	for _, part := range parts {
		add(union, part)
	}
	got := map[string]sums{}
	add(got, merged)
	if len(got) != len(union) {
		t.Errorf("%d series, the parts have %d", len(got), len(union))
	}
	for key, want := range union {
		have := got[key]
		if have.count != want.count || len(have.buckets) != len(want.buckets) {
			t.Errorf("%s: %v in %d buckets, the parts have %v in %d", key, have.count, len(have.buckets), want.count, len(want.buckets))
		}
		for value, n := range want.buckets {
			if have.buckets[value] != n {
				t.Errorf("%s: %d values of %v, the parts have %d", key, have.buckets[value], value, n)
			}
		}
		buckets += len(want.buckets)
	}
	return buckets
}

// controlSecret makes the files that the pods have from the Secret that scripts/kubernetes/control-secret.sh prints.
func controlSecret(t *testing.T, dir string) string {
	t.Helper()
	said, err := exec.CommandContext(t.Context(), "../../scripts/kubernetes/control-secret.sh", "127.0.0.1").Output()
	if err != nil {
		t.Fatalf("control-secret.sh: %v", err)
	}
	var secret struct {
		StringData map[string]string `yaml:"stringData"`
		Data       map[string]string
	}
	decoder := yaml.NewDecoder(bytes.NewReader(said))
	if err := decoder.Decode(&secret); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "control")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, encoded := range secret.Data {
		text, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			t.Fatal(err)
		}
		secret.StringData[name] = string(text)
	}
	for name, text := range secret.StringData {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// kubernetesJudge runs what the Job in scripts/kubernetes/judge runs, over a directory that three runners left.
func kubernetesJudge(t *testing.T, bin, dir, control, sinks string) (said string, status int) {
	t.Helper()
	text, err := os.ReadFile("../../scripts/kubernetes/judge/job.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var job struct {
		Spec struct {
			Template struct {
				Spec struct {
					Containers []struct{ Command, Args []string }
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &job); err != nil {
		t.Fatal(err)
	}
	judge := job.Spec.Template.Spec.Containers[0]
	line := append(judge.Command, judge.Args...)
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "RESULTS="+dir, "PARALLELISM=3", "SINKS="+sinks, "CONTROL="+control)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// bucketsOf returns what a histogram holds, by the lower end of each bucket in its own unit; -1 is what is below all of them.
func bucketsOf(t *testing.T, h *result.Histogram) map[int64]int64 {
	t.Helper()
	encoded, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var fields struct{ HDR string }
	if err := json.Unmarshal(encoded, &fields); err != nil {
		t.Fatal(err)
	}
	buckets := map[int64]int64{}
	if tiny := h.Zero() + h.Below(); tiny > 0 {
		buckets[-1] = int64(tiny)
	}
	if fields.HDR == "" {
		return buckets
	}
	decoded, err := hdrhistogram.DecodePacked([]byte(fields.HDR))
	if err != nil {
		t.Fatal(err)
	}
	decoded.ForEachBucket(func(value, count int64) bool {
		buckets[value] += count
		return true
	})
	return buckets
}
