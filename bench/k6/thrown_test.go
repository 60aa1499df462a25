package k6

import (
	"strings"
	"testing"
)

// The lines are k6's own (2.2.0).
func TestThrown(t *testing.T) {
	const (
		start    = `time="2026-11-27T07:54:34Z" level=`
		rejected = start + `error msg="Uncaught (in promise) TypeError: send: wants a Message, not an object\n\tat github.com/smtpstorm/xk6-smtp/xk6smtp.(*smtpClient).jsSend-fm (native)\n\tat default (file:///tmp/a b/mini.js:4:48(12))\n" executor=shared-iterations scenario=default` + "\n"
		thrown   = start + `error msg="Error: odd \"one\"\nsecond\n\tat default (file:///tmp/f.js:6:97(20))\n" executor=constant-vus hint="script exception" scenario=a source=stacktrace` + "\n"
		failed   = start + `error msg="GoError: on purpose\n\tat go.k6.io/k6/v2/internal/js/modules/k6.(*K6).Fail-fm (native)\n\tat default (file:///tmp/f.js:6:54(10))\n" executor=constant-vus hint="script exception" scenario=a source=stacktrace` + "\n"
		text     = start + `error msg="Uncaught (in promise) str" executor=constant-vus scenario=a` + "\n"
		bare     = start + `error msg=str executor=constant-vus scenario=a` + "\n"
		console  = start + `error msg="by hand executor=x scenario=y" source=console` + "\n"
		crossed  = start + `error msg="thresholds on metrics 'smtp_msg_failed' have been crossed"` + "\n"
		warning  = start + `warning msg="Error: x" executor=constant-vus scenario=a` + "\n"
		object   = `{"executor":"constant-vus","level":"error","msg":"RangeError: odd\n\tat default (file:///f.js:6:97(20))\n","scenario":"a","source":"stacktrace","time":"2026-11-27T07:54:34Z"}` + "\n"
	)
	for _, tt := range []struct {
		name, log string
		want      Thrown
	}{
		{"nothing", console + crossed + warning + "a line\n{\n", Thrown{}},
		{"a rejected promise", rejected, Thrown{Errors: 1, First: "TypeError: send: wants a Message, not an object (mini.js:4:48)"}},
		{"several", console + thrown + rejected + rejected + thrown + failed, Thrown{Errors: 2, First: "TypeError: send: wants a Message, not an object (mini.js:4:48)", Others: 3}},
		{"an error of its own", thrown + failed, Thrown{First: `Error: odd "one" (f.js:6:97)`, Others: 2}},
		{"only fail()", failed + failed, Thrown{First: "GoError: on purpose (f.js:6:54)", Others: 2}},
		{"no error object", text, Thrown{First: "str", Others: 1}},
		{"no quotes", bare, Thrown{First: "str", Others: 1}},
		{"JSON", object + object, Thrown{Errors: 2, First: "RangeError: odd (f.js:6:97)"}},
		{"a long line before", start + "info msg=" + strings.Repeat("x", 3*maxLogLine) + "\n" + text, Thrown{First: "str", Others: 1}},
		{"no end of line", strings.TrimSuffix(text, "\n"), Thrown{First: "str", Others: 1}},
	} {
		if got, err := readThrown(strings.NewReader(tt.log)); err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
}
