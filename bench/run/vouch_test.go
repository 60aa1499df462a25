package run

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBeyondLoopbackIsEverythingElse(t *testing.T) {
	var ranges []*net.IPNet
	for text := range strings.SplitSeq(beyondLoopback(), ",") {
		_, n, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		ranges = append(ranges, n)
	}
	for address, want := range map[string]bool{
		"127.0.0.1": false, "127.255.255.255": false, "127.0.0.0": false, "::1": false, "::ffff:127.0.0.1": false,
		"126.255.255.255": true, "128.0.0.0": true, "0.0.0.0": true, "255.255.255.255": true, "10.0.0.1": true, "192.0.2.1": true,
		"::": true, "::2": true, "::ffff:192.0.2.1": true, "fe80::1": true, "2001:db8::1": true, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": true,
		"8000::1": true, "0:0:0:0:0:0:1:1": true, "64:ff9b::7f00:1": true,
	} {
		ip := net.IP(netip.MustParseAddr(address).AsSlice())
		got := false
		for _, n := range ranges {
			got = got || n.Contains(ip)
		}
		if got != want {
			t.Errorf("%s is beyond loopback: %v, want %v", address, got, want)
		}
	}
}

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
			var input *InputError
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
	k6 := realK6(t)
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
			o := Options{K6: k6, Scripts: scriptsDir, Script: script, Out: filepath.Join(dir, "out"), Console: newConsole()}
			if tt.env != "" {
				o.Env = []string{tt.env}
			}
			_, err := Run(t.Context(), o)
			var input *InputError
			if !errors.As(err, &input) || !strings.Contains(err.Error(), "connect to "+tt.who+" beyond loopback") || !strings.Contains(err.Error(), unvouched) {
				t.Errorf("got %v, want an error that names %s and the flag", err, tt.who)
			}
			if _, err := os.Stat(o.Out); err == nil {
				t.Error("results were written")
			}
		})
	}
}
