package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

var controlLine = regexp.MustCompile(`^smtpsink: (?:the control API|monitoring) is at (?:http://)?(\S+)\n$`)

// steerable starts a sink that has a control API at a free port, and returns that.
func steerable(t *testing.T, args ...string) (p *process, control string) {
	t.Helper()
	p = start(t, 1, append([]string{"--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"}, args...)...)
	for {
		if match := controlLine.FindStringSubmatch(p.line()); match != nil {
			return p, match[1]
		}
	}
}

// steer runs ctl, which must end with that status.
func steer(t *testing.T, status int, args ...string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, got := invoke(t, append([]string{"ctl"}, args...)...)
	if got != status {
		t.Errorf("ctl %s: exit status %d, want %d: %s%s", strings.Join(args, " "), got, status, stdout, stderr)
	}
	return stdout, stderr
}

func codeOf(err error) int {
	var said *textproto.Error
	if errors.As(err, &said) {
		return said.Code
	}
	return 0
}

// A sink is steered from outside: the next mail fails, the event is seen, the storm jumps, the plan is replaced, counts are reset.
func TestCtl(t *testing.T) {
	plan := filepath.Join(t.TempDir(), "plan.yaml")
	if err := os.WriteFile(plan, []byte("version: 1\nname: two\nstart: clock\nphases:\n  - {name: calm, duration: 1h}\n  - {name: outage, duration: 1h, rules: [{stage: mail, reply: 451}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ledger := filepath.Join(t.TempDir(), "ledger.jsonl")
	p, control := steerable(t, "--plan", plan, "--ledger", ledger)
	at := func(args ...string) []string { return append(args, "--control", control) }
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watch := exec.CommandContext(ctx, binary, at("ctl", "events", "--follow", "--kind", "attempt", "--code", "4xx", "--count", "1", "--json")...)
	said, err := watch.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	watch.Stdout = &seen
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(said).ReadString('\n'); err != nil || line != "smtpsink: watching "+control+"\n" {
		t.Fatalf("it says %q, %v", line, err)
	}
	steer(t, 0, at("next", "add", "--reply", "450/4.2.1", "--recipient", "b@recipient.test", "--id", "one")...)
	if got := codeOf(deliver(t, p.addr[0])); got != 450 {
		t.Errorf("the next mail is answered %d, want 450", got)
	}
	if err := deliver(t, p.addr[0]); err != nil {
		t.Errorf("the one after: %v", err)
	}
	if err := watch.Wait(); err != nil {
		t.Errorf("watching: %v", err)
	}
	var event struct {
		Control, ID string
		Row         struct{ Cause, Recipient string }
	}
	if err := json.Unmarshal([]byte(seen.String()), &event); err != nil || event.Control != control || event.Row.Cause != "next:one" || event.Row.Recipient != "b@recipient.test" {
		t.Errorf("%v in %s", err, seen.String())
	}
	if out, _ := steer(t, 0, at("next")...); !strings.Contains(out, "one") {
		t.Errorf("%s", out)
	}
	if out, _ := steer(t, 0, at("storm", "jump", "outage")...); !strings.HasPrefix(out, "phase outage (2 of 2)") {
		t.Errorf("%s", out)
	}
	if got := codeOf(deliver(t, p.addr[0])); got != 451 {
		t.Errorf("in the outage: %d, want 451", got)
	}
	steer(t, 0, at("storm", "extend", "5m")...)
	if out, _ := steer(t, 0, at("storm", "stop", "--generation", "1")...); out != "the storm is over\n" {
		t.Errorf("%s", out)
	}
	steer(t, 1, at("storm", "stop")...)
	if out, _ := steer(t, 0, at("plan")...); !strings.Contains(out, "name: two") {
		t.Errorf("%s", out)
	}
	if out, _ := steer(t, 0, at("plan", "put", "bounce-storm", "--dry-run")...); !strings.Contains(out, "would come into force, as generation 2") {
		t.Errorf("%s", out)
	}
	steer(t, 1, at("plan", "put", "calm", "--if-match", `"sha256:0"`)...)
	steer(t, 0, at("plan", "put", "calm")...)
	steer(t, 0, at("plan", "check")...)
	if out, _ := steer(t, 0, at("messages", "--recipient", "b@recipient.test")...); !strings.Contains(out, "450 4.2.1 at rcpt, next:one") {
		t.Errorf("%s", out)
	}
	var stats struct {
		Result struct {
			Epoch  int
			Counts struct {
				Attempts struct{ Delivered, Deferred int }
			}
		}
	}
	out, _ := steer(t, 0, at("stats", "--json")...)
	if err := json.Unmarshal([]byte(out), &stats); err != nil || stats.Result.Counts.Attempts.Delivered != 1 || stats.Result.Counts.Attempts.Deferred != 1 {
		t.Errorf("%v in %s", err, out)
	}
	steer(t, 0, at("stats")...)
	if out, _ := steer(t, 0, at("reset", "counts", "next")...); out != "epoch 2\n" {
		t.Errorf("%s", out)
	}
	if out, _ := steer(t, 0, at("next")...); out != "nothing is asked for\n" {
		t.Errorf("%s", out)
	}
	steer(t, 1, at("reset", "capture")...)
	steer(t, 1, at("messages", "raw", "x")...)
	sinktest.RequireTool(t, "curl", "curl")
	curl := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(ctx, "curl", append([]string{"-sS"}, args...)...).CombinedOutput()
		if err != nil {
			t.Errorf("curl %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	if out := curl("http://" + control + "/v1/stats"); !strings.Contains(out, `"epoch":2`) {
		t.Errorf("%s", out)
	}
	if out := curl("-H", "Host: evil.example", "http://"+control+"/v1/stats"); !strings.Contains(out, "foreign-host") {
		t.Errorf("%s", out)
	}
	if out := curl("-d", `{"what": ["counts"]}`, "http://"+control+"/v1/reset"); !strings.Contains(out, "media-type") { // as a form
		t.Errorf("%s", out)
	}
	claims := filepath.Join(t.TempDir(), "sent.jsonl")
	if err := os.WriteFile(claims, []byte(`{"token":"a@sender.test","recipient":"b@recipient.test","ack":"yes"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := steer(t, 0, at("judge", claims)...); !strings.Contains(out, "SOUND") {
		t.Errorf("%s", out)
	}
	fetched := filepath.Join(t.TempDir(), "fetched.jsonl")
	steer(t, 0, at("ledger", "--out", fetched)...)
	if _, stderr, status := p.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("the sink ends with %d: %s", status, stderr)
	}
	whole, err := os.ReadFile(ledger)
	part, failed := os.ReadFile(fetched)
	if err != nil || failed != nil || len(part) == 0 || !strings.HasPrefix(string(whole), string(part)) {
		t.Errorf("%v, %v: what was fetched is no beginning of the ledger", err, failed)
	}
	steer(t, 1, at("stats")...) // nobody is there any more
}

// Several sinks are asked at once, each for itself; one that is gone doesn't keep the others from it.
func TestCtlOfSeveralSinks(t *testing.T) {
	one, first := steerable(t)
	two, second := steerable(t)
	both := func(args ...string) []string { return append(args, "--control", first, "--control", second) }
	steer(t, 0, both("next", "add", "--reply", "550")...)
	for _, p := range []*process{one, two} {
		if got := codeOf(deliver(t, p.addr[0])); got != 550 {
			t.Errorf("answered %d, want 550", got)
		}
	}
	out, _ := steer(t, 0, both("stats", "--json")...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], first) || !strings.Contains(lines[1], second) || !strings.Contains(lines[1], `"bounced":1`) {
		t.Errorf("%s", out)
	}
	if out, _ := steer(t, 0, both("events", "--kind", "attempt")...); strings.Count(out, "\n") != 2 || !strings.Contains(out, first+" {") {
		t.Errorf("%s", out)
	}
	two.stop(syscall.SIGTERM)
	out, stderr := steer(t, 1, both("reset", "counts")...)
	if !strings.Contains(out, "epoch 2") || !strings.Contains(stderr, second) || !strings.Contains(stderr, "1 of 2 sinks have not done it") {
		t.Errorf("%s%s", out, stderr)
	}
	steer(t, 2, both("ledger")...)
	one.stop(syscall.SIGTERM)
}

// Tokens are read from files, and never shown; a unix socket is its owner's, and needs none; what is left there by a killed sink is replaced.
func TestCtlTokensAndSockets(t *testing.T) {
	dir := t.TempDir()
	write, _ := steer(t, 0, "token", "write")
	read, _ := steer(t, 0, "token", "read")
	files := map[string]string{"tokens": write + read, "reader": read, "wrong": "write wrong-0123456789-abcdefgh\n"}
	path := func(name string) string { return filepath.Join(dir, name) }
	for name, content := range files {
		if err := os.WriteFile(path(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	socket := path("control.sock")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	_ = left.Close()
	p, control := steerable(t, "--control-token-file", path("tokens"), "--control", "unix:"+socket, "--metrics-listen", "127.0.0.1:0")
	if match := controlLine.FindStringSubmatch(p.line()); match == nil || match[1] != "unix:"+socket {
		t.Errorf("it says %v", match)
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	at := func(args ...string) []string { return append(args, "--control", control) }
	_, stderr := steer(t, 1, at("stats")...)
	if !strings.Contains(stderr, "a token is needed") || !strings.Contains(stderr, "--token-file") {
		t.Errorf("%s", stderr)
	}
	steer(t, 0, at("ready")...)
	steer(t, 1, at("stats", "--token-file", path("wrong"))...)
	steer(t, 0, at("stats", "--token-file", path("reader"))...)
	steer(t, 1, at("reset", "counts", "--token-file", path("reader"))...)
	steer(t, 0, at("reset", "counts", "--token-file", path("tokens"))...)
	steer(t, 0, "reset", "counts", "--control", "unix:"+socket)
	_, taken, status := invoke(t, "--listen", "127.0.0.1:0", "--control", "unix:"+socket)
	if status != 2 || !strings.Contains(taken, "address already in use") {
		t.Errorf("a second sink on the socket: %d %s", status, taken)
	}
	_, said, _ := p.stop(syscall.SIGTERM)
	secret := strings.Fields(write)[1]
	if strings.Contains(said, secret) || strings.Contains(stderr, secret) {
		t.Error("a token was shown")
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestBadInputOfControl(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("write secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	listen := []string{"--listen", "127.0.0.1:0"}
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"--control", "2580"}, []string{"--control", "127.0.0.1:2580"}},
		{[]string{"--control", "foo"}, []string{`--control foo: invalid address "foo" (want host:port or unix:/path, such as 127.0.0.1:2580)`}},
		{[]string{"--metrics-listen", "foo"}, []string{`--metrics-listen foo: invalid address "foo" (want host:port, such as 127.0.0.1:9090)`}},
		{[]string{"--control", "unix:"}, []string{"--control", "empty"}},
		{[]string{"--control", "unix:" + file}, []string{"--control", "something else than a socket"}},
		{[]string{"--control", "unix:" + filepath.Join(dir, "missing", "s")}, []string{"--control", "no such file"}},
		{[]string{"--control", "0.0.0.0:0"}, []string{"--control 0.0.0.0:0", "--control-token-file"}},
		{[]string{"--control", ":0"}, []string{"--control", "--control-token-file"}},
		{[]string{"--control-token-file", file}, []string{"--control-token-file", "no --control"}},
		{[]string{"--control-listeners"}, []string{"--control-listeners", "no --control"}},
		{[]string{"--control", "127.0.0.1:0", "--control-token-file", file}, []string{"--control-token-file", "file:1", "too easy to guess"}},
		{[]string{"--control", "127.0.0.1:0", "--control-token-file", filepath.Join(dir, "missing")}, []string{"--control-token-file", "no such file"}},
		{[]string{"--control", "127.0.0.1:0", "--control-cert", file}, []string{"--control-cert", "--control-key"}},
		{[]string{"--control", "127.0.0.1:0", "--control-host", "http://x"}, []string{"--control-host", "host name"}},
		{[]string{"--metrics-listen", "unix:/x"}, []string{"--metrics-listen", "host:port"}},
	} {
		_, stderr, status := invoke(t, append(test.args, listen...)...)
		line := oneLine(t, stderr)
		for _, want := range test.want {
			if status != 2 || !strings.Contains(line, want) || strings.Contains(line, "secret") {
				t.Errorf("%v: status %d, %q, want it to say %s", test.args, status, line, want)
			}
		}
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{}, "valid: events info"}, {[]string{"sats"}, `did you mean stats?`}, {[]string{"next", "add"}, "--reply"}, {[]string{"next", "add", "--reply", "450", "--outcome", "{}"}, "not together"},
		{[]string{"next", "add", "--outcome", "{"}, "no JSON"}, {[]string{"next", "remove"}, "--all"}, {[]string{"next", "add", "--reply", "450", "--times", "0"}, "--times: invalid number 0 (want 1 to 1000000)"}, {[]string{"storm", "jump"}, "--index"}, {[]string{"reset"}, "counts state next capture"},
		{[]string{"stats", "--control", "nowhere"}, `invalid address "nowhere" (want host:port`}, {[]string{"stats", "--control", "ftp://x:1"}, "want host:port"}, {[]string{"stats", "--control", "a:1", "--control", "a:1"}, "given twice"},
		{[]string{"stats", "--token-file", filepath.Join(dir, "missing")}, "--token-file"}, {[]string{"stats", "--ca", file}, "no certificate"}, {[]string{"stats", "--timeout", "0"}, "--timeout"},
		{[]string{"plan", "put", "nowhere"}, "no built-in plan"}, {[]string{"token"}, "read write"}, {[]string{"token", "admin"}, "read write"}, {[]string{"judge"}, "claims"},
		{[]string{"judge", filepath.Join(dir, "missing")}, "no such file"}, {[]string{"events", "--count", "-1"}, "--count"},
	} {
		_, stderr := steer(t, 2, test.args...)
		if line := oneLine(t, stderr); !strings.Contains(line, test.want) {
			t.Errorf("ctl %v: %q, want %q", test.args, line, test.want)
		}
	}
}

// Whom the plan treats is listed, and forgiven.
func TestCtlStandings(t *testing.T) {
	plan := filepath.Join(t.TempDir(), "plan.yaml")
	if err := os.WriteFile(plan, []byte("version: 1\nreact:\n  - {name: full once, of: client, when: {stage: rcpt}, for: 1h, then: {rules: [{stage: mail, reply: 421}]}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, control := steerable(t, "--plan", plan)
	at := func(args ...string) []string {
		return append(append([]string{"standings"}, args...), "--control", control)
	}
	list := func(want string, args ...string) {
		t.Helper()
		if out, _ := steer(t, 0, at(args...)...); !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%v: %s", args, out)
		}
	}
	list("^no standing is in force\n$")
	if err := deliver(t, p.addr[0]); err != nil {
		t.Errorf("the first: %v", err)
	}
	if got := codeOf(deliver(t, p.addr[0])); got != 421 {
		t.Errorf("the second: %d, want 421", got)
	}
	list(`^reaction +level +since +until +came back +key\nfull once +1 +\d{4}-\S+ \S+ +\d{4}-\S+ \S+ +yes +127\.0\.0\.1\n$`)
	list(`"standings":\[\{"react":"full once","key":"127\.0\.0\.1","level":1,`, "--react", "full once", "--key", "127.0.0.1", "--json")
	list("^no standing is in force\n$", "--after", "full%20once/127.0.0.1")
	for _, tt := range []struct {
		status int
		want   string
		args   []string
	}{
		{1, `unknown reaction "full" (valid: "full once")`, []string{"--react", "full"}},
		{1, `unknown reaction "full" (valid: "full once")`, []string{"forgive", "full", "127.0.0.1"}},
		{1, `no standing of reaction "full once" is in force for the key "127.0.0.2"`, []string{"forgive", "full once", "127.0.0.2"}},
		{2, "after: invalid value", []string{"--after", "x"}},
		{2, "forgive: got 1 arguments, want two: a reaction's name and a key", []string{"forgive", "full once"}},
		{2, "forgive: an empty name", []string{"forgive", "full once", ""}},
	} {
		if _, stderr := steer(t, tt.status, at(tt.args...)...); !strings.Contains(stderr, tt.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: %q, want one line with %q", tt.args, stderr, tt.want)
		}
	}
	steer(t, 0, at("forgive", "full once", "127.0.0.1")...)
	list("^no standing is in force\n$")
	if err := deliver(t, p.addr[0]); err != nil {
		t.Errorf("after it was forgiven: %v", err)
	}
	p.stop(syscall.SIGTERM)
}
