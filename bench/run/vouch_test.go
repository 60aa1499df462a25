package run

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/k6"
)

func TestAScriptsServerIsVouchedFor(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"elsewhere", func(o *Options) { o.Env = []string{"SMTP_HOST=192.0.2.1", "SMTP_PORT=25"} }, "--env SMTP_HOST=192.0.2.1 is not a loopback address: load goes to others' servers only with --i-own-this-target"},
		{"elsewhere, IPv6", func(o *Options) { o.Env = []string{"SMTP_HOST=[2001:db8::1]"} }, "--i-own-this-target"},
		{"the last one counts", func(o *Options) { o.Env = []string{"SMTP_HOST=127.0.0.1", "SMTP_HOST=192.0.2.1"} }, "--i-own-this-target"},
		{"loopback", func(o *Options) { o.Env = []string{"SMTP_HOST=127.0.0.2"} }, ""},
		{"vouched", func(o *Options) { o.Env, o.OwnTarget = []string{"SMTP_HOST=192.0.2.1"}, true }, ""},
		{"a vouched script", func(o *Options) { o.Script, o.OwnTarget = "x.js", true }, ""},
		{"nothing to vouch for", func(o *Options) { o.OwnTarget = true }, "goes with --target"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{}
			tt.change(&o)
			o.withDefaults()
			err := o.validate()
			var input *input.Error
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (!errors.As(err, &input) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestNoLoadLeavesTheMachine lets scripts connect elsewhere, each in its own way. The addresses are such that no kernel would send
// anything to them: multicast ones, to which TCP never connects.
func TestNoLoadLeavesTheMachine(t *testing.T) {
	program := realK6(t)
	for name, tt := range map[string]struct{ script, env, who string }{
		"by smtp": {script: `
			import { Client } from 'k6/x/smtp';
			export const options = { hosts: { 'mx.example.test': '224.0.0.1' }, blacklistIPs: ['192.0.2.0/24'], iterations: 3 };
			const client = new Client({ host: 'mx.example.test', port: 25 });
			export default async function () { await client.connect(); }`, who: "an address"},
		"by http": {script: `
			import http from 'k6/http';
			export default function () { http.get('http://224.0.0.1:2525/'); }`, who: "224.0.0.1"},
		"in setup": {script: `
			import http from 'k6/http';
			export function setup() { http.get('http://[ff02::1]:2525/', { throw: true }); }
			export default function () {}`, who: "ff02::1"},
		"by a name in --env": {env: "SMTP_HOST=mx.example.test", script: `
			import { Client } from 'k6/x/smtp';
			export const options = { hosts: { 'mx.example.test': '224.0.0.1' } };
			const client = new Client({ host: __ENV.SMTP_HOST, port: 25 });
			export default async function () { await client.connect(); }`, who: "an address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			script := filepath.Join(dir, "mine.js")
			if err := os.WriteFile(script, []byte(tt.script), 0o644); err != nil {
				t.Fatal(err)
			}
			o := Options{K6: program, Scripts: scriptsDir, Script: script, Out: filepath.Join(dir, "out"), Console: newConsole()}
			if tt.env != "" {
				o.Env = []string{tt.env}
			}
			_, err := Run(t.Context(), o)
			var input *input.Error
			if !errors.As(err, &input) || !strings.Contains(err.Error(), "connect to "+tt.who+" beyond loopback") || !strings.Contains(err.Error(), k6.Unvouched) {
				t.Errorf("got %v, want an error that names %s and the flag", err, tt.who)
			}
			if _, err := os.Stat(o.Out); err == nil {
				t.Error("results were written")
			}
		})
	}
}
