package xk6smtp_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// claimed is a sink with a ledger, and a k6 that claims what it sends there.
type claimed struct {
	*sink.Server
	t          *testing.T
	host, port string
	book, sent string
	record     string
}

func newClaimed(t *testing.T, text string) *claimed {
	t.Helper()
	dir := t.TempDir()
	c := &claimed{t: t, book: filepath.Join(dir, "ledger.jsonl"), sent: filepath.Join(dir, "sent.jsonl"), record: filepath.Join(dir, "run.json")}
	file, err := plan.Parse("test.yaml", []byte("version: 1\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	c.Server = sinktest.Start(t, sinktest.With(func(cfg *sink.Config) {
		cfg.Plan, cfg.Ledger = file.Plan, sink.LedgerConfig{Path: c.book, Durability: event.Batch}
	}))
	if c.host, c.port, err = net.SplitHostPort(c.Addr("").String()); err != nil {
		t.Fatal(err)
	}
	return c
}

// run prepares k6 for a script that finds the sink in HOST and PORT.
func (c *claimed) run(binary, text string) (*exec.Cmd, func() string) {
	cmd, out := k6(c.t, binary, "run", "--quiet", "--no-color", "--env", "HOST="+c.host, "--env", "PORT="+c.port, "-o", "smtpstorm="+c.record, script(c.t, text))
	cmd.Env = append(cmd.Env, "K6_SMTPSTORM_SENT="+c.sent)
	return cmd, out.String
}

// judge closes the sink and judges claims and ledger; the sender keeps no queue and gives no notifications.
func (c *claimed) judge() *reconcile.Result {
	c.t.Helper()
	if err := c.Close(); err != nil {
		c.t.Fatal(err)
	}
	open := func(name string) ledger.Input {
		f, err := os.Open(name)
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { _ = f.Close() })
		return ledger.Input{Name: name, R: f}
	}
	judged, err := reconcile.Reconcile(reconcile.Inputs{
		Claims: open(c.sent), Ledgers: []ledger.Input{open(c.book)}, Queue: ledger.Input{Name: "queue", R: strings.NewReader("")}, KnowNotifications: true,
	}, reconcile.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	return judged
}

// fatesOf are the fates that units have, and the findings that are no information.
func fatesOf(judged *reconcile.Result) string {
	var list []string
	for fate, n := range judged.Fates {
		if n > 0 {
			list = append(list, fmt.Sprintf("%d %v", n, reconcile.Fate(fate)))
		}
	}
	for _, f := range judged.Findings {
		if f.Severity != reconcile.Information {
			list = append(list, fmt.Sprintf("%s %d", f.Kind, f.Units))
		}
	}
	return strings.Join(list, ", ")
}

// testClaims has k6 send to recipients who are each treated in another way. What the judge makes of claims and ledger is known beforehand.
func testClaims(t *testing.T, binary string) {
	c := newClaimed(t, `rules:
  - {name: refused, stage: rcpt, match: {recipient: "*@refused.test"}, outcomes: [{reply: {code: 550, enhanced: 5.1.1, text: no}}]}
  - {name: deferred, stage: message, match: {recipient: "*@deferred.test"}, outcomes: [{reply: {code: 451, enhanced: 4.3.0, text: later}}]}
  - {name: late, stage: message, match: {recipient: "*@late.test"}, delay: 5s}
  - {name: cut, stage: data, match: {recipient: "*@cut.test"}, close: fin}
`)
	cmd, out := c.run(binary, `
		import exec from 'k6/execution';
		import { Client, Message } from 'k6/x/smtp';
		export const options = { scenarios: { s: { executor: 'shared-iterations', vus: 10, iterations: 200 } } };
		const client = new Client({ host: __ENV.HOST, port: Number(__ENV.PORT), timeout: { message: '4s' } });
		const message = new Message({ from: 'a@src.test', to: 'b@dst.test', text: 'for {{n}}', fields: { n: 0 } });
		const domains = ['taken', 'taken', 'refused', 'deferred', 'late', 'cut'];
		export default async function () {
			const n = exec.scenario.iterationInTest;
			const domain = domains[n % 20] || 'taken';
			await client.send(message, { from: 's+' + n + '@src.test', to: n + '@' + domain + '.test', fields: { n } });
		}`)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out())
	}
	testkit.Await(t, "the late replies", func() bool { return c.Stats().Open == 0 })
	judged := c.judge()
	// Nobody was told of the late ones: they are recovered.
	if got, want := fatesOf(judged), "10 recovered, 160 delivered, 10 refused, 20 never-accepted"; got != want || judged.Verdict.Verdict != "sound" {
		t.Errorf("%s, %s\nexpected %s", got, judged.Verdict.Sentence, want)
	}
	record, err := result.Read(c.record)
	if err != nil {
		t.Fatal(err)
	}
	accepted := record.Client.Sum("smtp_replies", result.Tags{"phase": "message", "code": "250"})
	if delivered := judged.Fates[reconcile.Delivered]; accepted != float64(delivered) || c.Stats().Messages != delivered+judged.Fates[reconcile.Recovered] {
		t.Errorf("the judge has %d delivered, clients had %v replies of 250, and the sink has kept %d messages", delivered, accepted, c.Stats().Messages)
	}
}

// testKilled kills k6 in the middle of a storm: whatever the sink has, was claimed before.
func testKilled(t *testing.T, binary string) {
	c := newClaimed(t, `rules:
  - {name: mixed, stage: message, outcomes: [{weight: 3}, {weight: 1, reply: {code: 451, text: later}}, {weight: 1, delay: 50ms}]}
`)
	cmd, out := c.run(binary, `
		import exec from 'k6/execution';
		import { Client, Message } from 'k6/x/smtp';
		export const options = { vus: 10, duration: '5m' };
		const client = new Client({ host: __ENV.HOST, port: Number(__ENV.PORT) });
		const message = new Message({ from: 'a@src.test', to: ['b@dst.test', 'c@dst.test', 'd@dst.test'], text: 'x' });
		export default async function () { await client.send(message, { from: 's+' + exec.scenario.iterationInTest + '@src.test' }); }`)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "messages", func() bool { return c.Stats().Messages > 300 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatalf("k6 was not killed:\n%s", out())
	}
	testkit.Await(t, "the end of its connections", func() bool { return c.Stats().Open == 0 })
	judged := c.judge()
	delivered := judged.Fates[reconcile.Delivered] + judged.Fates[reconcile.Recovered]
	if judged.Deliveries != delivered || judged.Foreign != 0 || judged.Verdict.Verdict != "sound" || judged.Fates[reconcile.Delivered] < 600 {
		t.Errorf("%d deliveries, %d foreign, %s: %s\n%s", judged.Deliveries, judged.Foreign, fatesOf(judged), judged.Verdict.Sentence, out())
	}
}
