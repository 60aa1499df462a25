package result

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/count"
)

func sample(t *testing.T) *Record {
	t.Helper()
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	status := 99
	r := New("storm")
	r.Provenance = Provenance{Started: start, Ended: start.Add(time.Minute), Seed: 7, SinkMode: SinkEmbedded, Versions: map[string]string{"k6": "v2.2.0"}}
	r.Load = Load{Script: "bounce-storm.js", VUs: 50, IterationsPlanned: 10, ExitStatus: &status, Thresholds: []Threshold{{Metric: "smtp_msg_failed", Expression: "rate<0.5", OK: true}}}
	r.Client = &Client{
		Series:  []Series{{Metric: "smtp_msg_waiting", Type: Trend, Unit: UnitMillis, Tags: Tags{"code": "250"}, Histogram: recorded(1, 2, 3)}, {Metric: "smtp_msg_failed", Type: Rate, Passes: 1, Fails: 3}},
		Windows: []Window{{Start: start, LengthSeconds: 1, Series: []WindowSeries{{Index: 0, Histogram: recorded(1, 2, 3)}}}},
	}
	c := count.New()
	c.Replies = []count.Reply{replied(t, "message", 250, "2.0.0", count.CausePlain, 3)}
	c.Lateness = &count.Distribution{Count: 1, MaxMicros: 10, Buckets: []count.Bucket{{Micros: 10, Count: 1}}}
	r.Sink = NewSink(c, nil)
	r.Warn("only %d samples", 3)
	r.Warn("only %d samples", 3)
	return r
}

func TestWriteThenRead(t *testing.T) {
	r := sample(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "run.json")
	if err := r.Write(path); err != nil {
		t.Fatal(err)
	}
	back, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	if err := errors.Join(r.Encode(&a), back.Encode(&b)); err != nil {
		t.Fatal(err)
	}
	if a.String() != b.String() {
		t.Errorf("read back:\n%s\nwritten:\n%s", &b, &a)
	}
	if len(back.Warnings) != 1 {
		t.Errorf("warnings: got %q, want the same one once", back.Warnings)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("directory after Write: %v, %v; want the record alone", files, err)
	}
}

func TestWriteLeavesNothingBehindWhenItFails(t *testing.T) {
	dir := t.TempDir()
	r := sample(t)
	r.Schema = "smtpstorm/run/0"
	if err := r.Write(filepath.Join(dir, "run.json")); err == nil {
		t.Error("a record of another schema was written")
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("directory after a failed Write: %v, %v; want it empty", files, err)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ content, want string }{
		"a later schema":      {`{"schema":"smtpstorm/run/3"}`, `run.json: unknown schema "smtpstorm/run/3" (this program reads smtpstorm/run/1 and smtpstorm/run/2)`},
		"no schema":           {`{}`, "run.json: not a run record: it names no schema"},
		"no JSON":             {`hello`, "run.json: not a run record"},
		"half a record":       {`{"schema":"smtpstorm/run/1",`, "run.json: not a run record"},
		"an unknown type":     {`{"schema":"smtpstorm/run/1","client":{"series":[{"metric":"m","type":"guess"}]}}`, `unknown type "guess" (trend, counter, rate or gauge)`},
		"a dangling window":   {`{"schema":"smtpstorm/run/1","client":{"series":[],"windows":[{"series":[{"i":4}]}]}}`, "refers to series 4 of 0"},
		"a corrupt histogram": {`{"schema":"smtpstorm/run/1","client":{"series":[{"metric":"m","type":"trend","histogram":{"count":1}}]}}`, "histogram"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "run.json")
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Read(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got error %v, want it to name %s and say %q", err, path, tt.want)
			}
		})
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	r, err := Decode(strings.NewReader(`{"schema":"smtpstorm/run/1","label":"x","from_the_future":{"a":1}}`))
	if err != nil || r.Label != "x" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestTagsKey(t *testing.T) {
	if got, want := (Tags{"phase": "rcpt", "code": "450", "a": ""}).Key(), "a=,code=450,phase=rcpt"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if a, b := (Tags{"a": "1,b=2"}).Key(), (Tags{"a": "1", "b": "2"}).Key(); a == b {
		t.Errorf("different tags share the key %q", a)
	}
}

func TestClientQueries(t *testing.T) {
	c := &Client{Series: []Series{
		{Metric: "smtp_msg_waiting", Type: Trend, Tags: Tags{"code": "250"}, Histogram: recorded(1, 2)},
		{Metric: "smtp_msg_waiting", Type: Trend, Tags: Tags{"code": "450"}, Histogram: recorded(3)},
		counter("smtp_messages", 3, nil),
	}}
	if got := c.Total("smtp_msg_waiting", nil).Count(); got != 3 {
		t.Errorf("total over all tags: got %d values, want 3", got)
	}
	if got := c.Total("smtp_msg_waiting", Tags{"code": "450"}).Summary().Max; got != 3 {
		t.Errorf("total of code 450: got max %v, want 3", got)
	}
	if got := c.Sum("smtp_messages", nil); got != 3 {
		t.Errorf("sum: got %v, want 3", got)
	}
	if got, want := c.Metrics(Trend), []string{"smtp_msg_waiting"}; !reflect.DeepEqual(got, want) {
		t.Errorf("trends: got %v, want %v", got, want)
	}
}

func TestJoinTakesSeedAndPlanFromTheSink(t *testing.T) {
	generator, sink := sample(t), sample(t)
	generator.Sink, sink.Client = nil, nil
	sink.Provenance.Seed = 11
	sink.Provenance.Plan.Name = "bounce"
	sink.Provenance.Versions = map[string]string{"k6": "other", "smtpsink": "v1"}
	joined, err := Join(generator, sink)
	if err != nil {
		t.Fatal(err)
	}
	p := joined.Provenance
	if joined.Client == nil || joined.Sink == nil || p.Seed != 11 || p.Plan.Name != "bounce" || p.Versions["k6"] != "v2.2.0" || p.Versions["smtpsink"] != "v1" {
		t.Errorf("joined provenance: %+v", p)
	}
	if _, err := Join(sink, sink); err == nil {
		t.Error("a record without a client part was joined as the generator's")
	}
	if _, err := Join(generator, generator); err == nil {
		t.Error("a record without a sink part was joined as the sink's")
	}
}

func TestCollectReadsTheMachine(t *testing.T) {
	root := fstest.MapFS{
		"etc/os-release":                 {Data: []byte("NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n")},
		"proc/sys/kernel/osrelease":      {Data: []byte("6.12.1-amd64\n")},
		"proc/sys/kernel/random/boot_id": {Data: []byte("0b1d5c9e-4a0f-4b6c-9d53-0c8e3c1f2a77\n")},
		"proc/cpuinfo":                   {Data: []byte("processor\t: 0\nmodel name\t: Imaginary CPU @ 3 GHz\n")},
		"proc/meminfo":                   {Data: []byte("MemTotal:        1048576 kB\nMemFree: 1 kB\n")},
		"proc/self/limits":               {Data: []byte("Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 524288               files     \n")},
	}
	p := Collect(root, time.Unix(5, 0), []string{"smtpbench", "run"})
	if p.OS != "Debian GNU/Linux 13 (trixie)" || p.Kernel != "6.12.1-amd64" || p.CPUModel != "Imaginary CPU @ 3 GHz" || p.MemoryBytes != 1<<30 || p.OpenFilesLimit != 1024 {
		t.Errorf("collected %+v", p)
	}
	if len(p.Machine) != 12 || strings.Contains("0b1d5c9e4a0f4b6c9d530c8e3c1f2a77", p.Machine) {
		t.Errorf("machine %q", p.Machine)
	}
	if p.Cores < 1 || p.GOMAXPROCS < 1 || p.Versions["go"] == "" || !p.Started.Equal(time.Unix(5, 0)) {
		t.Errorf("collected %+v", p)
	}
}

func TestCollectWithoutProc(t *testing.T) {
	p := Collect(fstest.MapFS{}, time.Time{}, nil)
	if p.OS == "" || p.Kernel != "" || p.CPUModel != "" || p.MemoryBytes != 0 || p.OpenFilesLimit != 0 {
		t.Errorf("collected %+v, want the Go runtime's facts only", p)
	}
}

// TestBadRecordsAreWordedForPeople: none of the program's own names.
func TestBadRecordsAreWordedForPeople(t *testing.T) {
	for text, want := range map[string]string{
		`[]`: "not a run record: it is JSON, but of another kind: array",
		`{"schema":"smtpstorm/run/2","load":{"iterations_complete":-1}}`:                "load.iterations_complete: number -1 is out of place (at octet ",
		`{"schema":"smtpstorm/run/2","label":{}}`:                                       "label: object is out of place (at octet ",
		`{"schema":"smtpstorm/run/2","provenance":{"started":"yesterday"}}`:             "\"yesterday\" is no time such as 2026-01-31T10:20:30Z",
		`{"schema":"smtpstorm/run/2","client":{"series":[{"histogram":{"count":-5}}]}}`: "number -5 is out of place (at octet ",
	} {
		_, err := Decode(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Go ") || strings.Contains(err.Error(), "2006") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
