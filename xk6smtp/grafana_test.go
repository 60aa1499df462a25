package xk6smtp_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// boardScript makes every series that the board shows: replies of all classes, a failed connection, a delivery, arrivals that are dropped.
const boardScript = `
import { Client, Message } from 'k6/x/smtp';
import { Sink } from 'k6/x/smtp/sink';
export const options = { scenarios: { load: { executor: 'constant-arrival-rate', rate: 40, duration: '5s', preAllocatedVUs: 2 } } };
export async function setup() {
  return Sink.start({ version: 1, rules: [{ stage: 'message', delay: '60ms', outcomes: [{ weight: 2 }, { weight: 1, reply: 451 }, { weight: 1, reply: 554 }] }] });
}
const message = new Message({ from: 'a@src.test', to: 'b@dst.test', subject: 'board', text: 'board' });
const nobody = new Client({ host: '127.0.0.1', port: Number(__ENV.CLOSED) });
let client;
export default async function (data) {
  client = client || new Client({ host: data.host, port: data.port });
  const sent = await client.send(message, { from: __VU + '-' + __ITER + '@src.test' });
  if (__ITER % 10 === 9) {
    await client.close(); // a session ends, and the next one counts
    client = null;
  }
  if (sent.ok) {
    await Sink.attach(data).waitFor(sent.token, { timeout: '5s' });
  } else if (__ITER % 5 === 0) {
    try {
      await nobody.send(message);
    } catch (e) {
      // refused: it counts as an error
    }
  }
}
export async function teardown(data) { await Sink.attach(data).stop(); }
`

// TestGrafanaBoard asks a real Prometheus, which k6 writes to, for every expression of docs/grafana.json: each must find series.
func TestGrafanaBoard(t *testing.T) {
	program := sinktest.RequireTool(t, "prometheus", "prometheus")
	dir := t.TempDir()
	binary := builtK6(t)
	base := startPrometheus(t, program, dir)
	script := filepath.Join(dir, "board.js")
	if err := os.WriteFile(script, []byte(boardScript), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, out := k6(t, binary, "run", "--quiet", "-o", "experimental-prometheus-rw", "--env", "CLOSED="+strconv.Itoa(closedPort(t)), script)
	cmd.Env = append(cmd.Env, "K6_PROMETHEUS_RW_SERVER_URL="+base+"/api/v1/write", "K6_PROMETHEUS_RW_PUSH_INTERVAL=1s",
		"K6_PROMETHEUS_RW_TREND_STATS=p(50),p(95),p(99),max")
	if err := cmd.Run(); err != nil {
		t.Fatalf("k6: %v\n%s", err, out)
	}
	for title, expressions := range boardExpressions(t) {
		for _, expression := range expressions {
			// "or vector(0)" would find something whatever there is.
			bare, _, _ := strings.Cut(expression, " or vector(0)")
			bare = strings.NewReplacer("$__rate_interval", "5m", "$__range", "5m").Replace(bare)
			if strings.Contains(bare, "$") {
				t.Errorf("%s: %s has a variable that this test doesn't know", title, expression)
			}
			if n, err := seriesOf(t, base, bare); err != nil || n == 0 {
				t.Errorf("%s: %s finds %d series, %v; k6 said\n%.3000s", title, bare, n, err, out)
			}
		}
	}
	if n, err := seriesOf(t, base, "k6_smtp_no_such_metric"); err != nil || n != 0 {
		t.Errorf("what is not there finds %d series, %v", n, err)
	}
}

// boardExpressions returns the expressions of each panel.
func boardExpressions(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "grafana.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			all[p.Title] = append(all[p.Title], target.Expr)
		}
	}
	if len(all) < 10 {
		t.Fatalf("the board has %d panels", len(all))
	}
	return all
}

// seriesOf asks for an expression as of now.
func seriesOf(t *testing.T, base, expression string) (int, error) {
	t.Helper()
	response, err := http.Get(base + "/api/v1/query?query=" + url.QueryEscape(expression))
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.Status != "success" {
		return 0, fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return len(answer.Data.Result), nil
}

// startPrometheus starts a private instance that k6 may write to, and returns its URL.
func startPrometheus(t *testing.T, program, dir string) string {
	t.Helper()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: {scrape_interval: 1h}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "prometheus.log"))
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(closedPort(t)))
	cmd := exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, // #nosec G204 -- as RequireTool found it
		"--web.enable-remote-write-receiver")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = log.Close()
	})
	base := "http://" + address
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(time.Minute); ; {
		if response, err := http.Get(base + "/-/ready"); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return base
			}
		}
		select {
		case <-ticker.C:
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("prometheus ended:\n%s", text)
		case <-deadline:
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("prometheus is not ready after a minute:\n%s", text)
		}
	}
}

// closedPort returns a port of 127.0.0.1 on which nobody listens.
func closedPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
