package plan_test

import (
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with a file, or writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		g, w := lineOf(gotLines, i), lineOf(wantLines, i)
		if g != w {
			t.Fatalf("%s: line %d is\n  %s\nwant\n  %s\n(go test ./sink/plan -update writes it anew)", path, i+1, g, w)
		}
	}
}

func lineOf(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(end)"
}

func explained(t *testing.T, name, text string) string {
	t.Helper()
	f, err := plan.Parse(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := plan.Explain(&b, f, plan.Serving{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestExplainShippedPlans pins the words of every shipped plan; none of them may look like a mistake.
func TestExplainShippedPlans(t *testing.T) {
	paths, err := filepath.Glob("../../scripts/plans/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal("no plans", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		got := explained(t, name, string(text))
		golden(t, filepath.Join("testdata", "explain", strings.TrimSuffix(name, ".yaml")+".txt"), got)
		if !strings.HasSuffix(got, "\nwarnings\n  none\n") {
			t.Errorf("%s: has warnings:\n%s", name, got[strings.LastIndex(got, "warnings"):])
		}
	}
}

// TestExplainEveryKey explains the plan of the package comment, which has every key that there is.
func TestExplainEveryKey(t *testing.T) {
	golden(t, filepath.Join("testdata", "explain", "every-key.txt"), explained(t, "doc.yaml", exampleOfDoc(t)))
}

func TestExplainFindings(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"code outside the table", rules("{stage: data, match: {sender: '<>'}, reply: 250}"), `rule "rule 1": the RFCs don't allow 250 at data`},
		{"hidden rule", rules("{stage: noop}", "{stage: noop, reply: 421}"), `rule "rule 2" never speaks: "rule 1" before it speaks for everybody`},
		{"hidden by the plan's own", "version: 1\nrules: [{stage: noop}]\nphases: [{name: p, duration: 1s, rules: [{stage: noop, reply: 421}]}]", `rule "rule 2" never speaks: "rule 1"`},
		{"DSNs lost", rules("{stage: rcpt, reply: 450}"), `rule "rule 1" speaks to the null sender too`},
		{"limit", "version: 1\nlimits: [{name: l, kind: rate, rate: 1/s}]", `limit "l" breaks it`},
		{"quota", "version: 1\nlimits: [{name: day, kind: quota, max: 200, per: 1d, scope: [sender-domain, client]}]",
			`limit "day": 200 in 1d per (client, sender domain), at rcpt (a window begins`},
		{"quota by the clock", "version: 1\nlimits: [{name: h, kind: quota, max: 2, per: 90m, from: clock, stage: mail, scope: network/16/48}]",
			`limit "h": 2 in 1h30m per network (/16 or /48), at mail (windows by the`},
		{"what a quota keeps", "version: 1\nlimits: [{name: day, kind: quota, max: 200, per: 1d, scope: [sender-domain, client]}]", `limit "day": a window for each (client, sender domain)`},
		{"transactions", "version: 1\nlimits: [{name: l, kind: concurrency, max: 2, scope: sender}]", `limit "l": 2 transactions at once, at mail per sender; beyond: 421`},
		{"exceptions of a rule", rules("{stage: rcpt, match: {client: 192.0.2.0/24}, except: [{helo: a.example}, {sender: '<>'}], reply: 450}"),
			`"rule 1" for client 192.0.2.0/24; not for helo a.example; not for sender`},
		{"mail that is excepted", rules("{stage: rcpt, match: {client: 192.0.2.0/24}, except: {helo: a.example}, reply: 450}"), "mail with client 192.0.2.0/24, but not with helo a.example"},
		{"a rule with exceptions hides no other", rules("{stage: rcpt, except: {sender: '<>'}, reply: 450}", "{stage: rcpt, match: {sender: '*@a.example'}, reply: 550}"), "warnings\n  none"},
		{"connection-keyed", rules("{stage: rcpt, match: {sender: '<>'}, key: connection, outcomes: [{}, {reply: 450}]}"), "it draws by the client's n-th connection"},
		{"n-th connection", rules("{stage: connect, match: {connection: 3}, reply: 421}"), "it asks for the client's n-th connection"},
		{"n-th message", rules("{stage: mail, match: {message: 3}, reply: 421}"), "it asks for the n-th message of a connection"},
		{"MAIL", rules("{stage: mail, outcomes: [{}, {reply: 450}]}"), "it draws by the sender's n-th MAIL"},
		{"phase", "version: 1\nphases: [{name: p, duration: 1s, rules: [{stage: noop, reply: 421}]}]", `phase "p" comes and goes by the clock`},
		{"nobody can start it", "version: 1\nlistener_faults: {'*': refused}\nphases: [{name: p, duration: 1s}]", "waits for a first connection, but every listener is refused"},
		{"nobody talks too early", rules("{stage: connect}", "{stage: pregreet, reply: 521}"), `rule "rule 2" never speaks: no greeting is held back`},
		{"who talks early", rules("{stage: connect, delay: 1s}", "{stage: pregreet, match: {client: 192.0.2.1}}", "{stage: pregreet, reply: 521}"), "pregreet: a client that talks while its greeting is held back\n    \"rule 2\" for client 192.0.2.1/32: the greeting when it is due\n"},
		{"replays", rules("{stage: rcpt, match: {sender: '<>'}, outcomes: [{}, {reply: 450}]}"), "replay\n  the same mail meets the same outcomes again"},
	} {
		if got := explained(t, "x.yaml", c.text); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q is not in\n%s", c.name, c.want, got)
		}
	}
}

// TestExplainOdds checks the compounded chances against ones that were worked out by hand, or by counting all cases.
func TestExplainOdds(t *testing.T) {
	half := "outcomes: [{weight: 1}, {weight: 1, reply: %s}]"
	at := func(stage, reply string) string {
		return "{stage: " + stage + ", " + strings.Replace(half, "%s", reply, 1) + "}"
	}
	for _, c := range []struct {
		name string
		text string
		want [3][3]string // for 1, 5 and 50 recipients: accepted, deferred, bounced
	}{
		{"calm", "version: 1", [3][3]string{{"100%", "0%", "0%"}, {"100%", "0%", "0%"}, {"100%", "0%", "0%"}}},
		{"rcpt deferred", rules(at("rcpt", "450")), [3][3]string{{"50%", "50%", "0%"}, {"3.125%", "96.88%", "0%"}, {"<0.0001%", "100%", "0%"}}},
		{"rcpt bounced", rules(at("rcpt", "550")), [3][3]string{{"50%", "0%", "50%"}, {"3.125%", "0%", "96.88%"}, {"<0.0001%", "0%", "100%"}}},
		{"message deferred", rules(at("message", "450")), [3][3]string{{"50%", "50%", "0%"}, {"50%", "50%", "0%"}, {"50%", "50%", "0%"}}},
		{"mail then data", rules(at("mail", "550"), at("data", "451")), [3][3]string{{"25%", "25%", "50%"}, {"25%", "25%", "50%"}, {"25%", "25%", "50%"}}},
		// Half are deferred at rcpt; if any is accepted, half of the messages bounce.
		{"rcpt then message", rules(at("rcpt", "450"), at("message", "554")), [3][3]string{{"25%", "50%", "25%"}, {"1.563%", "50%", "48.44%"}, {"<0.0001%", "50%", "50%"}}},
		{"all recipients share a draw", rules("{stage: rcpt, key: message, outcomes: [{}, {reply: 550}]}"), [3][3]string{{"50%", "0%", "50%"}, {"50%", "0%", "50%"}, {"50%", "0%", "50%"}}},
		{"421 at rcpt ends it", rules(at("rcpt", "421")), [3][3]string{{"50%", "50%", "0%"}, {"3.125%", "96.88%", "0%"}, {"<0.0001%", "100%", "0%"}}},
		// a third each: accepted, bounced, over. For 5 recipients bounced is 1 - sum((1/3)^k)/3 for k below 5, less (1/3)^5.
		{"bounces before the end stay", rules("{stage: rcpt, outcomes: [{}, {reply: 550}, {close: fin}]}"), [3][3]string{{"33.33%", "33.33%", "33.33%"}, {"0.4115%", "49.79%", "49.79%"}, {"<0.0001%", "50%", "50%"}}},
		{"lost reply", rules("{stage: message, outcomes: [{weight: 3}, {close: fin, delivery: keep}]}"), [3][3]string{{"75%", "25%", "0%"}, {"75%", "25%", "0%"}, {"75%", "25%", "0%"}}},
	} {
		var got [3][3]string
		text := explained(t, "x.yaml", c.text)
		_, table, _ := strings.Cut(text, "bounced by any\n")
		for i, line := range strings.SplitN(table, "\n", 4)[:3] {
			copy(got[i][:], strings.Fields(line)[1:])
		}
		if got != c.want {
			t.Errorf("%s: chances are\n %v, want\n %v", c.name, got, c.want)
		}
	}
	if third := math.Pow(1.0/3, 5); math.Abs(1-(1-third)/2-third-0.4979) > 1e-4 {
		t.Error("the comment on bounces before the end is wrong")
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestExplainReportsTheWritersError(t *testing.T) {
	f, err := plan.Parse("x.yaml", []byte("version: 1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Explain(brokenWriter{}, f, plan.Serving{}); !errors.Is(err, errBroken) {
		t.Errorf("error is %v, want the writer's", err)
	}
}
