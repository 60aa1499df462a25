package prometheus_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/prometheus"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// fixed is a Source of counts that a test has made up.
type fixed struct{ counts *count.Counts }

func (f fixed) Totals() *count.Counts { return f.counts }

func scrape(t *testing.T, h http.Handler) string {
	t.Helper()
	r := httptest.NewRecorder()
	h.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text, err := io.ReadAll(r.Result().Body)
	if err != nil || r.Code != http.StatusOK {
		t.Fatal(r.Code, err, string(text))
	}
	return string(text)
}

// TestCardinality: whatever clients and plans make up, the number of series has a bound.
func TestCardinality(t *testing.T) {
	c := count.New()
	for i := range 2000 {
		name := fmt.Sprintf("made up %d \xff", i)
		for _, stage := range []smtp.Stage{smtp.StageRcpt, smtp.StageMessage} {
			c.Replies = append(c.Replies, count.Reply{Kind: count.Kind{Listener: name, Phase: name, Stage: stage, Code: smtp.Code(200 + i%400), Cause: "rule:" + name, Fault: name}, Decided: 1, Sent: 1})
		}
		c.Rules = append(c.Rules, count.Rule{Name: name, Stage: smtp.StageRcpt, Occurrences: 1, Outcomes: []count.Outcome{{Code: 450, Probability: 1, Injected: 1}}})
		c.Phases = append(c.Phases, name)
		c.Destinations = append(c.Destinations, count.Destination{Listener: name, Domain: name, Attempts: count.Attempts{Delivered: 1}})
	}
	text := scrape(t, prometheus.Handler(fixed{c}, "1"))
	series := map[string]int{}
	sums := map[string]float64{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, _, _ := strings.Cut(line, "{")
		value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		series[name]++
		sums[name] += value
	}
	for name, most := range map[string]int{
		"smtpsink_replies_sent_total": (prometheus.MaxNames + 1) * 2 * 60, "smtpsink_attempts_total": (prometheus.MaxNames + 1) * 5,
		"smtpsink_rule_outcomes_total": prometheus.MaxNames + 1, "smtpsink_storm_phase": prometheus.MaxNames,
	} {
		if series[name] > most || series[name] == 0 {
			t.Errorf("%s has %d series, want at most %d", name, series[name], most)
		}
	}
	// and none is lost
	for name, want := range map[string]float64{"smtpsink_replies_sent_total": 4000, "smtpsink_attempts_total": 2000, "smtpsink_rule_outcomes_total": 2000} {
		if sums[name] != want {
			t.Errorf("%s adds up to %v, want %v", name, sums[name], want)
		}
	}
}

const plan = `version: 1
name: monitored
seed: 4
rules:
  - {name: refused, stage: mail, outcomes: [{weight: 9, reply: 250}, {weight: 1, reply: 451}]}
  - {name: mixed, stage: rcpt, outcomes: [{weight: 7, reply: 250}, {weight: 2, reply: 450, delay: 3ms}, {weight: 1, reply: 550}]}
  - {name: after, stage: message, outcomes: [{weight: 8, reply: 250, delay: 1ms}, {weight: 1, reply: 452}, {weight: 1, reply: 554}]}
phases:
  - {name: storm, duration: 1h}
`

// load sends messages to a sink over some connections, until all are sent.
func load(t testing.TB, address string, conns, each int) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range conns {
		wg.Go(func() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			c := textproto.NewConn(conn)
			defer c.Close()
			say := func(format string, args ...any) int {
				if format != "" {
					if err := c.PrintfLine(format, args...); err != nil {
						t.Error(err)
						return 0
					}
				}
				code, _, err := c.ReadResponse(0)
				if err != nil {
					t.Error(err)
				}
				return code
			}
			say("")
			say("EHLO client.test")
			for n := range each {
				if say("MAIL FROM:<a%d@sender.test>", n) != 250 {
					continue
				}
				accepted := 0
				for r := range 2 {
					if say("RCPT TO:<r%d-%d-%d@recipient.test>", i, n, r) == 250 {
						accepted++
					}
				}
				if accepted == 0 {
					say("RSET")
					continue
				}
				say("DATA")
				say("Subject: load\r\n\r\ntext\r\n.")
			}
			say("QUIT")
		})
	}
	wg.Wait()
}

// TestPrometheusAgreesWithTheLedger: Debian's Prometheus scrapes a sink under load, with native histograms and without; in the end its
// counters are those of the ledger, every panel of the board finds series, and no alert fires but the start.
func TestPrometheusAgreesWithTheLedger(t *testing.T) {
	program := sinktest.RequireTool(t, "prometheus", "prometheus")
	for _, native := range []bool{false, true} {
		t.Run(fmt.Sprintf("native=%v", native), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			book := filepath.Join(dir, "ledger.jsonl")
			server := sinktest.Start(t, sinktest.WithPlan(plan), sinktest.With(func(cfg *sink.Config) { cfg.Ledger = sink.LedgerConfig{Path: book} }))
			web := httptest.NewServer(prometheus.Handler(server, "test"))
			defer web.Close()
			base := startPrometheus(t, program, dir, web.Listener.Addr().String(), native)
			load(t, server.Addr("").String(), 8, 25)
			testkit.Await(t, "all connections have ended", func() bool { s := server.Stats(); return s.Open == 0 }, func() string { return fmt.Sprint(server.Stats().Open) })
			load(t, server.Addr("").String(), 4, 25)
			testkit.Await(t, "all connections have ended", func() bool { s := server.Stats(); return s.Open == 0 && s.Net.Closed == 12 }, func() string { return fmt.Sprint(server.Stats().Net) })
			testkit.Await(t, "Prometheus has scraped the end", func() bool {
				return query(t, base, "sum(smtpsink_connections_closed_total)")[""] == 12
			}, func() string {
				return fmt.Sprint(query(t, base, "up"), query(t, base, "smtpsink_connections_closed_total"))
			})
			stats := server.Stats()
			board(t, base)
			if err := server.Close(); err != nil {
				t.Fatal(err)
			}
			rows := rowsOf(t, book)
			for expression, want := range map[string]uint64{
				"sum(smtpsink_connections_total)":                  rows["connections"],
				"sum(smtpsink_transactions_total)":                 rows["transactions"],
				"sum(smtpsink_attempts_total)":                     rows["attempts"],
				`sum(smtpsink_attempts_total{result="delivered"})`: rows["delivered"],
				`sum(smtpsink_attempts_total{result="deferred"})`:  rows["deferred"],
				`sum(smtpsink_attempts_total{result="bounced"})`:   rows["bounced"],
				"sum(smtpsink_ledger_rows_lost_total)":             0,
				"sum(smtpsink_received_bytes_total)":               rows["octets in"],
				`sum(smtpsink_replies_sent_total{stage="ehlo"})`:   12,
				"sum(smtpsink_messages_total)":                     stats.Messages,
				`sum(smtpsink_rule_outcomes_total{rule="mixed"})`:  stats.Rules[slices.IndexFunc(stats.Rules, func(r count.Rule) bool { return r.Name == "mixed" })].Occurrences,
				map[bool]string{true: "sum(histogram_count(smtpsink_reply_delay_seconds))", false: "sum(smtpsink_reply_delay_seconds_count)"}[native]: stats.Delays.Count,
			} {
				if got := query(t, base, expression)[""]; got != float64(want) {
					t.Errorf("%s is %v, want %d", expression, got, want)
				}
			}
			if rows["delivered"] == 0 || rows["deferred"] == 0 || rows["bounced"] == 0 {
				t.Errorf("the load has met too little: %v", rows)
			}
			sent := query(t, base, "sum by (stage, code) (smtpsink_replies_sent_total)")
			for _, r := range count.By(stats.Replies, func(k count.Kind) count.Kind { return count.Kind{Stage: k.Stage, Code: k.Code} }) {
				if got := sent[fmt.Sprintf("%d %v", r.Code, r.Stage)]; got != float64(r.Sent) {
					t.Errorf("%v %d: Prometheus has %v, the sink has sent %d", r.Stage, r.Code, got, r.Sent)
				}
			}
			// a delay of 3 ms lies in a bucket of 9%, or between the classic bounds 2.5 and 5 ms
			p99 := `histogram_quantile(0.99, sum by (le) (smtpsink_reply_delay_seconds_bucket)) or histogram_quantile(0.99, sum(smtpsink_reply_delay_seconds))`
			if got := query(t, base, p99)[""]; got < 0.0026 || got > 0.005 {
				t.Errorf("the 99th percentile of planned delays is %v s, want about 3 ms", got)
			}
			for _, alert := range firing(t, base) {
				if alert != "SinkRestarted" { // Prometheus may see the start
					t.Errorf("alert %s fires", alert)
				}
			}
		})
	}
}

// rowsOf adds up the rows of a ledger.
func rowsOf(t *testing.T, path string) map[string]uint64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows := map[string]uint64{}
	begun := map[[2]uint64]bool{}
	_, err = ledger.Each(ledger.Input{Name: path, R: f}, func(row *event.Row) error {
		switch row.Kind {
		case event.KindConnection:
			rows["connections"]++
			rows["octets in"] += row.Connection.OctetsIn
		case event.KindTransaction:
			if tx := &row.Transaction; tx.Stage != smtp.StageMail || tx.Code.Class() == 2 {
				begun[[2]uint64{tx.Conn, tx.Message}] = true
			}
		case event.KindAttempt:
			a := &row.Attempt
			begun[[2]uint64{a.Conn, a.Message}] = true
			rows["attempts"]++
			switch {
			case a.Delivered:
				rows["delivered"]++
			case a.Code.Temporary():
				rows["deferred"]++
			case a.Code.Permanent():
				rows["bounced"]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rows["transactions"] = uint64(len(begun))
	return rows
}

// startPrometheus starts a private instance that scrapes the target each second, with the alerts of the docs, and returns its URL.
func startPrometheus(t *testing.T, program, dir, target string, native bool) string {
	t.Helper()
	alerts, err := filepath.Abs("../../docs/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n  - {job_name: smtpsink, static_configs: [{targets: [%q]}]}\n", alerts, target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "prometheus.log"))
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	args := []string{"--config.file=" + config, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address}
	if native {
		args = append(args, "--enable-feature=native-histograms")
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	})
	base := "http://" + address
	testkit.Await(t, "Prometheus is ready and has scraped", func() bool {
		response, err := http.Get(base + "/-/ready")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK && query(t, base, "up")["smtpsink"] == 1
	}, func() string { said, _ := os.ReadFile(log.Name()); return string(said) })
	return base
}

type answer struct {
	Status, Error string
	Data          struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
		Alerts []struct {
			Labels map[string]string
			State  string
		}
	}
}

func ask(t *testing.T, url string) (a answer) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&a); err != nil || a.Status != "success" {
		t.Fatalf("%s: %v %s", url, err, a.Error)
	}
	return a
}

// query asks for an expression as of now: values by the labels in the order of their names, the instance left out.
func query(t *testing.T, base, expression string) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for _, r := range ask(t, base+"/api/v1/query?query="+url.QueryEscape(expression)).Data.Result {
		var names, labels []string
		for name := range r.Metric {
			if name != "instance" && name != "__name__" {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			labels = append(labels, r.Metric[name])
		}
		value, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.Join(labels, " ")] = value
	}
	return out
}

func firing(t *testing.T, base string) (names []string) {
	t.Helper()
	for _, a := range ask(t, base+"/api/v1/alerts").Data.Alerts {
		if a.State == "firing" {
			names = append(names, a.Labels["alertname"])
		}
	}
	return names
}

// board asks for every expression of docs/grafana-sink.json: each must find series.
func board(t *testing.T, base string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/grafana-sink.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil || len(board.Panels) < 10 {
		t.Fatal(err, len(board.Panels))
	}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			expression := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*").Replace(target.Expr)
			testkit.Await(t, p.Title+" finds series", func() bool { return len(query(t, base, expression)) > 0 }, func() string { return expression })
		}
	}
}

// TestAlerts has promtool check the rules, and try each: it fires where it shall, and only there.
func TestAlerts(t *testing.T) {
	promtool := sinktest.RequireTool(t, "promtool", "prometheus")
	for _, args := range [][]string{{"check", "rules", "../../docs/alerts.yaml"}, {"test", "rules", "testdata/alerts_test.yaml"}} {
		out, err := exec.Command(promtool, args...).CombinedOutput()
		if err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
	rules, err := os.ReadFile("../../docs/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tries, err := os.ReadFile("testdata/alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	metrics := scrape(t, prometheus.Handler(fixed{histograms()}, "1"))
	for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		if !strings.Contains(string(tries), "alertname: "+m[1]+"\n") {
			t.Errorf("alert %s isn't tried in testdata/alerts_test.yaml", m[1])
		}
	}
	for _, name := range regexp.MustCompile(`smtpsink_\w+`).FindAllString(string(rules), -1) {
		if !strings.Contains(metrics, "\n"+name) {
			t.Errorf("the alerts ask for %s, which the sink doesn't have", name)
		}
	}
}

func histograms() *count.Counts {
	c := count.New()
	c.Started = c.Started.AddDate(2025, 0, 0)
	c.Lateness = &count.Distribution{Buckets: []count.Bucket{{Micros: 0, Count: 1}, {Micros: 1000, Count: 2}, {Micros: 1 << 31, Count: 1}}}
	c.Lateness.Summarise()
	c.Delays = c.Lateness
	return c
}
