package xk6smtp_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// testQuietBuild runs the build as a user does, without any variable that keeps k6 from calling home: a module that isn't there is refused
// at once.
func testQuietBuild(t *testing.T, binary string) {
	cmd, out := k6(t, binary, "run", "--no-color", script(t, "import { Client } from 'k6/x/smpt'; export default () => new Client({ host: 'x' });"))
	cmd.Env = withoutK6Variables()
	if err := cmd.Run(); err == nil {
		t.Error("k6 ended with status 0")
	}
	for _, not := range []string{"provision", "report this issue", "bug report"} {
		if strings.Contains(out.String(), not) {
			t.Errorf("k6 looks for another k6:\n%s", out)
		}
	}
	if !strings.Contains(out.String(), "k6/x/smpt") {
		t.Errorf("the culprit is not named:\n%s", out)
	}
}

func withoutK6Variables() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "K6_") {
			env = append(env, e)
		}
	}
	return env
}

// testRecordKeepsSecrets has k6 called with secrets in every form, and looks for them in the record.
func testRecordKeepsSecrets(t *testing.T, binary string) {
	record := filepath.Join(t.TempDir(), "run.json")
	cmd, out := k6(t, binary, "run", "--no-color", "--quiet", "-eSMTP_PASSWORD=hunter2", "-e", "PW=hunter2", "-e", "SMTP_URL=smtp://u:hunter2@h", "--env=A=hunter2",
		"--env", "RATE=7", "-o", "smtpstorm="+record, script(t, "export default function () {}"))
	cmd.Env = append(cmd.Env, "K6_SMTP_TOKEN=hunter2")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("hunter2")) {
		t.Errorf("a secret stands in the record:\n%s", text)
	}
	got, err := result.Read(record)
	if err != nil {
		t.Fatal(err)
	}
	if line := strings.Join(got.Provenance.CommandLine, " "); !strings.Contains(line, "-eSMTP_PASSWORD=*** -e PW=*** -e SMTP_URL=*** --env=A=*** --env RATE=7") {
		t.Errorf("command line %s", line)
	}
}

// testServersApart has one script speak to two sinks, and leaks its clients on the way.
func testServersApart(t *testing.T, binary string) {
	record := filepath.Join(t.TempDir(), "run.json")
	cmd, out := k6(t, binary, "run", "--no-color", "--quiet", "-e", "K6_SMTP_SERVER_TAG=1", "-o", "smtpstorm="+record, script(t, `
		import { Client, Message } from 'k6/x/smtp';
		import { Sink } from 'k6/x/smtp/sink';
		export const options = { scenarios: { s: { executor: 'shared-iterations', vus: 1, iterations: 60 } }, noVUConnectionReuse: __ENV.ONCE === '1',
			thresholds: { 'smtp_errors{error_code:1550}': ['count<1'] } };
		const message = new Message({ from: 'a@src.test', to: 'b@dst.test', text: 'x' });
		export const setup = async () => [await Sink.start({ reply: 'rcpt=550' }), await Sink.start()];
		const kept = [];
		export default async function (data) {
			const { host, port } = data[__ITER % 2];
			kept.push(new Client({ host, port }));
			await kept[kept.length - 1].send(message);
		}
		export const teardown = async (data) => { for (const d of data) await Sink.attach(d).stop(); };`))
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, err := result.Read(record)
	if err != nil {
		t.Fatal(err)
	}
	servers := map[string]float64{}
	for _, s := range got.Client.Find("smtp_messages", nil) {
		servers[s.Tags["server"]] += s.Summary().Sum
	}
	if len(servers) != 2 || servers[""] != 0 {
		t.Errorf("servers %v", servers)
	}
	if n := strings.Count(out.String(), "create clients in the init context"); n != 1 {
		t.Errorf("the leak is told %d times:\n%s", n, out)
	}
	if !strings.Contains(out.String(), "negative replies are smtp_replies{code:550}") {
		t.Errorf("nothing tells of the threshold:\n%s", out)
	}
}

// testScriptingExamples runs the examples of scripting.md.
func testScriptingExamples(t *testing.T, binary string) {
	page, err := os.ReadFile("../docs/scripting.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```javascript\n(.*?)```").FindAllSubmatch(page, -1)
	if len(examples) != 3 {
		t.Fatalf("%d examples", len(examples))
	}
	cmd, out := k6(t, binary, "run", "--no-color", "--quiet", script(t, string(examples[0][1])))
	if err := cmd.Run(); err != nil || strings.Contains(out.String(), "level=error") {
		t.Errorf("steps: %v\n%s", err, out)
	}
	at := sinktest.Start(t)
	_, sinkPort, err := net.SplitHostPort(at.Addr("").String())
	if err != nil {
		t.Fatal(err)
	}
	cmd, out = k6(t, binary, "run", "--no-color", "--quiet", "--env", "DURATION=1s", "--env", "SMTP_PORT="+sinkPort, script(t, string(examples[1][1])))
	if err := cmd.Run(); err != nil || strings.Contains(out.String(), "level=error") {
		t.Errorf("workload: %v\n%s", err, out)
	}
	// A server that takes a PROXY header, and tells what came.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	told := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		all := ""
		line := func(reply string) {
			text, _ := in.ReadString('\n')
			all += text
			_, _ = io.WriteString(conn, reply)
		}
		line("220 mx\r\n")
		line("250-mx\r\n250 PIPELINING\r\n")
		line("")
		line("")
		line("250 ok\r\n250 ok\r\n354 go\r\n")
		rest, _ := io.ReadAll(in)
		told <- all + string(rest)
	}()
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	cmd, out = k6(t, binary, "run", "--no-color", "--quiet", "-e", "SMTP_HOST="+host, "-e", "SMTP_PORT="+port, script(t, string(examples[2][1])))
	if err := cmd.Run(); err != nil {
		t.Errorf("octets: %v\n%s", err, out)
	}
	want := "PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r\nEHLO localhost\r\nMAIL FROM:<a@src.test>\r\nRCPT TO:<b@dst.test>\r\nDATA\r\nSubject: cut off\r\n\r\nHalf a li"
	select {
	case got := <-told:
		if got != want {
			t.Errorf("the server got %q", got)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("the connection was not closed\n%s", out)
	}
}
