package xk6smtp_test

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// trap is a proxy that notes what it is asked for and grants nothing.
type trap struct {
	addr  string
	mu    sync.Mutex
	asked []string
}

func newTrap(t *testing.T) *trap {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &trap{addr: ln.Addr().String()}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				line, _ := bufio.NewReader(nc).ReadString('\n')
				p.mu.Lock()
				p.asked = append(p.asked, strings.TrimSpace(line))
				p.mu.Unlock()
				_ = nc.Close()
			}()
		}
	}()
	return p
}

func (p *trap) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.asked
	p.asked = nil
	return asked
}

// testSubcommand holds k6 x smtp to what smtpsink and smtpbench are, with a k6 whose main is k6's own, which calls home by itself, and without any
// variable that keeps it from that.
func testSubcommand(t *testing.T, binary string) {
	proxy := newTrap(t)
	dir := t.TempDir()
	env := append(withoutK6Variables(), "HOME="+dir, "XDG_CACHE_HOME="+dir)
	for _, name := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
		env = append(env, name+"=http://"+proxy.addr)
	}
	call := func(args ...string) (said string, status int) {
		t.Helper()
		cmd, out := k6(t, binary, args...)
		cmd.Env, cmd.Dir = env, dir
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return out.String(), cmd.ProcessState.ExitCode()
	}
	if said, _ := call("x", "no-such-extension"); len(proxy.take()) == 0 {
		t.Errorf("the proxy sees nothing of a k6 that looks for an extension, and so proves nothing: %s", said)
	}
	proxy.take()
	script := `import { Client, Message } from 'k6/x/smtp';
		export const options = { scenarios: { s: { executor: 'shared-iterations', vus: 2, iterations: 60 } } };
		const client = new Client({ host: __ENV.SMTP_HOST, port: Number(__ENV.SMTP_PORT) });
		const message = new Message({ from: 'a@src.test', to: 'b@dst.test', text: 'x' });
		export default async function () { await client.send(message); }`
	if err := os.WriteFile(filepath.Join(dir, "own.js"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	ledger, err := filepath.Abs("../sink/reconcile/testdata/ledger.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args   string
		status int
		want   string
	}{
		{"", 0, "k6 x smtp sink --plan bounce-storm"},
		{"--help", 0, "put a real MTA's retry queue through a bounce storm"},
		{"nope", 2, `unknown command "nope" (valid: sink `},
		{"ctl info", 2, `unknown command "ctl"; did you mean sink ctl? (valid: sink `},
		{"sink --help", 0, "smtpsink [flags] [host:port]"},
		{"sink --listen bad", 2, "smtpsink: --listen: invalid listener"},
		{"sink ledger summarize " + ledger, 0, "runs "},
		{"sink ledger reconcile " + ledger + " --sent " + filepath.Join(filepath.Dir(ledger), "sent.jsonl"), 1, ""},
		{"compare missing.json too.json", 2, "smtpbench: "},
		{"judge missing", 2, "smtpbench: "},
		{"storm list", 0, "outage-421"},
		{"storm --mta none-such", 2, "smtpbench: "},
		{"report missing.json", 2, "smtpbench: "},
		{"run own.js --out results", 0, "verdict"},
		{"report results/calm.json", 0, "smtp"},
	} {
		said, status := call(append([]string{"x", "smtp"}, strings.Fields(test.args)...)...)
		if status != test.status || !strings.Contains(said, test.want) {
			t.Errorf("k6 x smtp %s: status %d, want %d and %q:\n%s", test.args, status, test.status, test.want, said)
		}
		if status != 0 && strings.Contains(said, "level=error") {
			t.Errorf("k6 x smtp %s: k6 says it once more:\n%s", test.args, said)
		}
		if asked := proxy.take(); len(asked) > 0 {
			t.Errorf("k6 x smtp %s calls %q", test.args, asked)
		}
	}
	got, err := result.Read(filepath.Join(dir, "results", "calm.json"))
	if err != nil {
		t.Fatal(err)
	}
	if n := got.Client.Sum("smtp_messages", nil); n != 60 {
		t.Errorf("k6 x smtp run has sent %v messages, want 60", n)
	}
	if call("help", "x", "smtp"); len(proxy.take()) > 0 {
		t.Error("k6 help x smtp calls home")
	}
}
