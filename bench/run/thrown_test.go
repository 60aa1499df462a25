package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// k6 ends with status 0 when its script throws: what it threw is the cause that the verdict names, and nobody looks for another one.
func TestAScriptThatThrows(t *testing.T) {
	t.Parallel()
	program := realK6(t)
	const begin = `import { Client, Message } from 'k6/x/smtp'; import { fail } from 'k6';
export const options = { vus: 1, iterations: 3 };
const c = new Client({ host: __ENV.SMTP_HOST, port: Number(__ENV.SMTP_PORT) });
const m = new Message({ from: 'a@src.test', to: 'b@dst.test', subject: 'x', text: 'x' });
export default async function () {
`
	for _, tt := range []struct{ name, body, verdict, also string }{
		{"each iteration", "await c.send({});", "UNDETERMINED: not all of the load was carried out (calm: errors of the script ended 3 iterations, the first: TypeError: send: wants a Message, not an object (load.js:6:", ""},
		{"one of them", "await c.send(m); if (__ITER == 1) undefined.x;", "errors of the script ended 1 iteration, the first: TypeError: Cannot read property 'x' of undefined (load.js:6:", "none is lost and none is duplicated without cause"},
		{"on purpose", "await c.send(m); if (__ITER == 1) fail('enough');", "SOUND", "the script ended 1 iteration by throw or fail()"},
		{"on purpose, before anything", "fail('enough');", "nothing was sent, and the script ended 3 iterations by throw or fail(), the first: GoError: enough (load.js:6:", ""},
		{"nothing at all", "", "FAULTS: 2 harness-mismatch (calm: the sink saw no client", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o, console := soundOptions(t)
			o.K6, o.Script, o.Rate, o.Messages = program, filepath.Join(t.TempDir(), "load.js"), 0, 0
			if err := os.WriteFile(o.Script, []byte(begin+tt.body+"\n}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			outcome, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			again := agree(t, o.Out, console.String(), outcome.Exit)
			want := reconcile.ExitUndetermined
			switch {
			case strings.HasPrefix(tt.verdict, "SOUND"):
				want = 0
			case strings.HasPrefix(tt.verdict, "FAULTS"):
				want = reconcile.ExitFaults
			}
			if outcome.Exit != want || !strings.Contains(again.Verdict.Sentence, tt.verdict) || !strings.Contains(flat(console.String()), tt.also) {
				t.Errorf("exit status %d, want %d, with %q and %q:\n%s", outcome.Exit, want, tt.verdict, tt.also, console)
			}
		})
	}
}
