package plan_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// exampleOfDoc returns the plan in the package comment.
func exampleOfDoc(t testing.TB) string {
	t.Helper()
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for line := range strings.Lines(string(source)) {
		if yaml, ok := strings.CutPrefix(line, "//\t"); ok {
			text.WriteString(yaml)
		}
	}
	return text.String()
}

// TestEveryKey reads the file of the package comment, which has every key that there is.
func TestEveryKey(t *testing.T) {
	f, err := plan.Parse("doc.yaml", []byte(exampleOfDoc(t)))
	if err != nil {
		t.Fatalf("the example of the package comment: %v", err)
	}
	rules := f.Plan.OwnRules()
	if len(rules) != 3 || f.Plan.Name() != "unreliable" || f.Plan.Seed() != 7 || f.Plan.Description() != "one line or many" {
		t.Fatalf("%d rules, name %q, seed %d, description %q", len(rules), f.Plan.Name(), f.Plan.Seed(), f.Plan.Description())
	}
	m := rules[0].Match
	if got, want := fmt.Sprint(m.Listeners, m.Clients, m.Helos, m.Senders, m.Recipients, m.Attempts, m.Messages, m.Connections, m.Size, m.Times),
		"[mx1 mx2] [192.0.2.0/24 2001:db8::1/128] [mail.example.com *.example.net] [<> user@example.com *@example.com *.example.net] [*@example.org bounce+*@ abuse@*] 1-3 21- 1 {1024 10485760} [08:00-18:00 Europe/Berlin 22:00-06:00]"; got != want {
		t.Errorf("match is\n %s, want\n %s", got, want)
	}
	if o := rules[0].Outcomes; rules[0].Name != "no bounces for bounces" || len(o) != 1 || o[0].Reply != nil {
		t.Errorf("rule 1 is %q with %+v, want the plain reply", rules[0].Name, o)
	}
	if r := rules[1]; r.Name != "rule 2" || r.Key != fault.KeyRecipient || len(r.Outcomes) != 3 {
		t.Fatalf("rule 2 is %+v", r)
	}
	for i, want := range []struct {
		p            float64
		reply, delay string
	}{
		{0.9, "<nil>", "lognormal(40ms,0.6)"},
		{0.07, "450 4.2.0 Requested mail action not taken: mailbox unavailable", "uniform(1s,3s)"},
		{0.03, "550-5.1.1 No such user / 550 5.1.1 Try elsewhere", "lognormal(40ms,0.6)"},
	} {
		o, reply := rules[1].Outcomes[i], "<nil>"
		if o.Reply != nil {
			reply = o.Reply.String()
		}
		if o.Probability != want.p || reply != want.reply || o.Delay.String() != want.delay {
			t.Errorf("outcome %d is %v, %s after %v, want %+v", i, o.Probability, reply, o.Delay, want)
		}
	}
	if r := rules[2]; r.Mode != fault.ModeBounce || r.Stage != smtp.StageMessage || len(r.Outcomes) != 16 {
		t.Errorf("rule 3 is %+v, want mode bounce", r)
	}
}

// rules is a plan file with these rules, each a YAML flow mapping.
func rules(flow ...string) string {
	return "version: 1\nrules:\n  - " + strings.Join(flow, "\n  - ") + "\n"
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, text string
		check      func(p *fault.Plan) bool
	}{
		{"nothing but the version", "version: 1", func(p *fault.Plan) bool { return len(p.Rules()) == 0 }},
		{"largest seed", "version: 1\nseed: 18446744073709551615", func(p *fault.Plan) bool { return p.Seed() == 1<<64-1 }},
		{"reply alone", rules("{stage: data, reply: 554}"), func(p *fault.Plan) bool { return p.Rules()[0].Outcomes[0].Reply.Code == 554 }},
		{"one value for a list", rules("{stage: rcpt, match: {client: 192.0.2.1, recipient: '*@a.example'}}"), func(p *fault.Plan) bool {
			return len(p.Rules()[0].Match.Recipients) == 1 && p.Rules()[0].Match.Clients[0].Bits() == 32
		}},
		{"no delay for one outcome", rules("{stage: rcpt, delay: 1s, outcomes: [{reply: 450, delay: none}, {weight: 3}]}"), func(p *fault.Plan) bool {
			o := p.Rules()[0].Outcomes
			return o[0].Delay.IsZero() && o[1].Delay.At(0) == time.Second && o[1].Probability == 0.75
		}},
		{"mode with weights", rules("{stage: rcpt, mode: {name: random, accept: 0.75, weights: {251: 0}}}"), func(p *fault.Plan) bool {
			o := p.Rules()[0].Outcomes
			return math.Abs(o[0].Probability-0.75) < 1e-15 && o[1].Probability == 0
		}},
		{"not strict", rules("{stage: quit, mode: bounce, strict: false}"), func(p *fault.Plan) bool { return len(p.Rules()[0].Outcomes) == 16 }},
		{"strict", rules("{stage: quit, mode: bounce, strict: true}"), func(p *fault.Plan) bool { return len(p.Rules()[0].Outcomes) == 1 }},
		{"alias", rules("{stage: rcpt, outcomes: &o [{reply: 450}, {reply: plain}]}", "{stage: mail, outcomes: *o}"), func(p *fault.Plan) bool {
			return p.Rules()[1].Outcomes[0].Reply.Code == 450
		}},
	} {
		f, err := plan.Parse("test.yaml", []byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if !c.check(f.Plan) {
			t.Errorf("%s: read as %+v", c.name, f.Spec)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "test.yaml: "},
		{"[]", "test.yaml:1:1: a list (want a mapping with the keys: version name description seed start restart listeners listener_faults plain limits rules react phases)"},
		{"name: x", "test.yaml:1:1: version: missing: the plan must say which format it has (add the line \"version: 1\")"},
		{"version: 2", `test.yaml:1:10: version: unknown format version "2" (valid: 1)`},
		{"version: 1\n---\nversion: 1", "test.yaml"},
		{"version: 1\nrules: [", "test.yaml:3:1: while parsing a flow node: "},
		{"version: 1\nversion: 1", "test.yaml:2:1: version: key is given twice"},
		{"version: 1\nclimate: bad", `test.yaml:2:1: unknown key "climate" (valid: version name`},
		{"version: 1\nseed: -1", `test.yaml:2:7: seed: invalid number "-1"`},
		{"version: 1\nseed:", "test.yaml:2:6: seed: empty (want a whole number)"},
		{"version: 1\nname: [a]", "test.yaml:2:7: name: a list (want text)"},
		{"version: 1\nrules: {stage: rcpt}", "test.yaml:2:8: rules: a mapping (want a list)"},
		{rules("rcpt"), `test.yaml:3:5: rules[0]: "rcpt" (want a mapping with the keys: name stage match except reply mode outcomes delay key strict silence `},
		{rules("{reply: 450}"), "test.yaml:3:5: rules[0].stage: missing"},
		{rules("{stage: lunch}"), `test.yaml:3:13: rules[0].stage: unknown stage "lunch" (valid: connect pregreet helo`},
		{rules("{stage: rcpt, reply: 450, mode: bounce}"), "test.yaml:3:5: rules[0]: more than one of reply, mode and outcomes"},
		{rules("{stage: rcpt, outcomes: []}"), "test.yaml:3:5: rules[0].outcomes: no outcomes"},
		{rules("{stage: rcpt, reply: 600}"), `test.yaml:3:26: rules[0].reply: invalid reply "600"`},
		{rules("{stage: rcpt, reply: {enhanced: 5.1.1}}"), "test.yaml:3:26: rules[0].reply.code: missing"},
		{rules("{stage: rcpt, reply: {code: 45}}"), `test.yaml:3:33: rules[0].reply.code: invalid reply code "45"`},
		{rules("{stage: rcpt, reply: {code: 450, enhanced: 5.1.1}}"), "test.yaml:3:26: rules[0].reply: enhanced status code 5.1.1 contradicts reply code 450"},
		{rules(`{stage: rcpt, reply: {code: 450, text: "a\r\n250 OK"}}`), `test.yaml:3:26: rules[0].reply: reply text "a\r\n250 OK" holds CR, LF or NUL`},
		{rules("{stage: rcpt, reply: {code: 450, text: []}}"), "test.yaml:3:44: rules[0].reply.text: empty list"},
		{rules("{stage: rcpt}", "{stage: rcpt, outcomes: [{weight: 1}, {weight: 2, reply: 450/5.1.1}]}"), "test.yaml:4:62: rules[1].outcomes[1].reply: enhanced status code 5.1.1 contradicts"},
		{rules("{stage: rcpt, outcomes: [{weight: 0}]}"), "test.yaml:3:29: rules[0].outcomes: the weights sum to 0"},
		{rules("{stage: rcpt, outcomes: [{weight: many}]}"), `test.yaml:3:39: rules[0].outcomes[0].weight: invalid number "many"`},
		{rules("{stage: rcpt, outcomes: [{wait: 1}]}"), `test.yaml:3:31: rules[0].outcomes[0]: unknown key "wait" (valid: weight reply delay silence`},
		{rules("{stage: rcpt, mode: angry}"), `test.yaml:3:25: rules[0].mode: unknown mode "angry" (valid: accept bounce offline unavailable random)`},
		{rules("{stage: data, mode: offline}"), "test.yaml:3:25: rules[0].mode: mode offline has no code that stage data allows (valid there: accept bounce unavailable random"},
		{rules("{stage: rcpt, mode: {weights: {450: 1}}}"), "test.yaml:3:25: rules[0].mode.name: missing"},
		{rules("{stage: rcpt, mode: {name: bounce, accept: 0.5}}"), "test.yaml:3:25: rules[0].mode.accept: only mode random"},
		{rules("{stage: rcpt, mode: {name: random, accept: 1}}"), "test.yaml:3:48: rules[0].mode.accept: invalid odds 1"},
		{rules("{stage: rcpt, mode: {name: bounce, weights: {450: 1, 450: 2}}}"), "test.yaml:3:58: rules[0].mode.weights.450: key is given twice"},
		{rules("{stage: rcpt, mode: {name: bounce, weights: 450}}"), `test.yaml:3:49: rules[0].mode.weights: "450" (want a mapping`},
		{rules("{stage: rcpt, strict: false}"), "test.yaml:3:27: rules[0].strict: there is no mode"},
		{rules("{stage: rcpt, mode: bounce, strict: maybe}"), `test.yaml:3:41: rules[0].strict: invalid value "maybe" (want true or false)`},
		{rules("{stage: rcpt, delay: soon}"), `test.yaml:3:26: rules[0].delay: invalid delay "soon": no duration or distribution "soon" (valid: 20ms`},
		{rules("{stage: rcpt, key: house}"), `test.yaml:3:24: rules[0].key: unknown key "house" (valid: attempt recipient message connection)`},
		{rules("{stage: mail, key: recipient}"), "test.yaml:3:24: rules[0].key: key recipient is not known yet at stage mail"},
		{rules("{stage: mail, match: {recipient: '*@a.example'}}"), "test.yaml:3:38: rules[0].match.recipient: not known yet at stage mail"},
		{rules("{stage: rcpt, match: {recipient: [a@b.example, '*']}}"), `test.yaml:3:38: rules[0].match.recipient: invalid pattern "*"`},
		{rules("{stage: rcpt, match: {attempt: 0}}"), `test.yaml:3:36: rules[0].match.attempt: invalid range "0"`},
		{rules("{stage: rcpt, match: {client: [192.0.2.1/24]}}"), `test.yaml:3:36: rules[0].match.client[0]: network "192.0.2.1/24" has bits set behind its mask (want 192.0.2.0/24)`},
		{rules("{stage: rcpt, match: {client: here}}"), `test.yaml:3:35: rules[0].match.client: invalid network "here"`},
		{rules("{stage: rcpt, match: {listener: []}}"), "test.yaml:3:37: rules[0].match.listener: empty list"},
		{rules("{stage: rcpt, match: {colour: 1}}"), `test.yaml:3:27: rules[0].match: unknown key "colour" (valid: listener client helo sender recipient attempt message connection tls mechanism step turn rcpt parameter header repeats size time sequence error standing level)`},
		{rules("{stage: rcpt, name: a}", "{stage: rcpt, name: a}"), "test.yaml:4:25: rules[1].name: name is taken by rule 1"},
		{rules("{stage: rcpt, <<: {reply: 450}}"), `test.yaml:3:19: rules[0]: unknown key "<<": YAML's merge key is not read (want the keys themselves`},
		{"version: 1\nname: !dark weather", `test.yaml:2:7: name: unknown tag "!dark"`},
		{"version: 1\nname: !!binary aGVsbG8=", `test.yaml:2:7: name: unknown tag "!!binary"`},
		{"version: 1\nrules: !my [{stage: rcpt}]", `test.yaml:2:8: rules: unknown tag "!my"`},
		{"version: 1\nseed: '7'", `test.yaml:2:7: seed: the text "7" (want a whole number, without quotes)`},
		{"version: '1'", `test.yaml:1:10: version: the text "1" (want 1, without quotes)`},
		{"version: 1\nrestart: \"true\"", `test.yaml:2:10: restart: the text "true" (want true or false, without quotes)`},
		{rules("{stage: rcpt, outcomes: [{weight: lots}]}"), `test.yaml:3:39: rules[0].outcomes[0].weight: invalid number "lots" (want a finite one such as 0.5)`},
		{rules("{stage: rcpt, outcomes: [{weight: .inf}]}"), `test.yaml:3:39: rules[0].outcomes[0].weight: invalid number ".inf" (want`},
		{rules("{stage: message, match: {header: {}}}"), "test.yaml:3:38: rules[0].match.header: an empty mapping (want one from names"},
		{"version: 1\nlisteners: [{name: a}]", "test.yaml:2:13: listeners[0].address: missing (want host:port, [IPv6]:port or unix:/path)"},
		{"version: 1\nlimits: [{name: a, kind: rate}]", "test.yaml:2:10: limits[0].rate: missing (want above 0"},
		{"version: 1\nlimits: [{name: a, kind: greylist, window: 1h}]", "test.yaml:2:10: limits[0].delay: missing (want above 0s"},
		{"version: 1\nphases: [{name: a}]", "test.yaml:2:10: phases[0].duration: missing (want above 0s"},
		{"version: 1\nlisteners: [{name: a, address: '127.0.0.1:0', limits: {mailmax: 3, rcptmax: 0}}]", "test.yaml:2:77: listeners[0].limits.rcptmax: 0 is out of range (want 1 to 100000)"},
	} {
		_, err := plan.Parse("test.yaml", []byte(c.text))
		var e *plan.Error
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || !errors.As(err, &e) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error is\n %v, want\n %s", c.text, err, c.want)
		}
	}
}

// TestAliasBomb: aliases that stand for millions of values are an error, quickly, and not memory.
func TestAliasBomb(t *testing.T) {
	var text strings.Builder
	text.WriteString("version: 1\nrules:\n  - &r {stage: rcpt, outcomes: &o [")
	for range 3000 {
		text.WriteString("{weight: 1},")
	}
	text.WriteString("]}\n")
	for i := range 3000 {
		fmt.Fprintf(&text, "  - {name: r%d, stage: rcpt, outcomes: *o}\n", i)
	}
	_, err := plan.Parse("bomb.yaml", []byte(text.String()))
	if err == nil || !strings.HasPrefix(err.Error(), "bomb.yaml:") {
		t.Errorf("9 million values: error is %v, want one", err)
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.yaml")
	if err := os.WriteFile(large, []byte("version: 1\n#"+strings.Repeat("x", plan.MaxSize)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "none.yaml: no such file or directory",
		dir:                             dir + ": is a directory",
		large:                           "large.yaml: larger than 8388608 octets",
	} {
		if f, err := plan.Load(path); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, %v, want the error %q", path, f, err, want)
		}
	}
	if _, err := plan.Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error of a missing file is %v, want one that is os.ErrNotExist", err)
	}
}

// FuzzParse: no input panics; every error is one line that starts with the file; what is accepted, decides, and is the same
// when it was written anew.
func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob("../../scripts/plans/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(rules("{stage: rcpt, match: {client: 192.0.2.1, attempt: 1-3}, mode: {name: random, accept: 0.5, weights: {450: 2}}, strict: false}")))
	f.Add([]byte(exampleOfDoc(f)))
	f.Add([]byte("version: 1\nlimits: [{name: d, kind: quota, scope: [client, network/16/48, sender-domain], stage: mail, max: 5, per: 1d12h, from: clock}, {name: r, kind: rate, rate: 200/d, burst: 20}]"))
	f.Add([]byte(rules("{stage: message, match: {size: 10MiB-, tls: 1.0-1.1, repeats: {received: 30-, date: 0}, time: [22:00-06:00, 08:00-18:00 Europe/Berlin], recipient: [bounce+*@, abuse@*]}, reply: 450}")))
	f.Add([]byte(rules("{stage: rcpt, except: [{sender: '<>'}, {client: 192.0.2.0/24, attempt: 2-}], reply: 450}")))
	f.Add([]byte(rules("&a {stage: rcpt, outcomes: [*a]}")))
	f.Add([]byte("version: 1\nrules: &r [*r]"))
	f.Add([]byte("? [version]\n: 1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := plan.Parse("fuzz.yaml", data)
		if err != nil {
			if text := err.Error(); !strings.HasPrefix(text, "fuzz.yaml:") || strings.ContainsAny(text, "\r\n") {
				t.Errorf("error is %q, want one line that starts with the file", text)
			}
			return
		}
		encoded := plan.Encode(file.Spec)
		again, err := plan.Parse("encoded.yaml", encoded)
		if err != nil {
			t.Fatalf("%q is written as\n%s\n%v", data, encoded, err)
		}
		if !reflect.DeepEqual(again.Spec, file.Spec) || string(plan.Encode(again.Spec)) != string(encoded) {
			t.Errorf("%q is written as\n%s\nand read as\n%+v", data, encoded, again.Spec)
		}
		start := time.Unix(0, 0)
		for s := range smtp.NumStages {
			o := &fault.Occurrence{Stage: smtp.Stage(s), Recipient: []byte("r@example.org"), AcceptedRecipients: [][]byte{[]byte("r@example.org")}}
			file.Plan.View(time.Time{}, time.Time{}).Decide(o)
			for at := range 3 {
				v := file.Plan.View(start.Add(time.Duration(at)*time.Second), start)
				v.Decide(o)
				for _, l := range v.Limits(o.Stage) {
					l.Applies(o)
				}
			}
		}
		if err := plan.Explain(io.Discard, file, plan.Serving{}); err != nil {
			t.Error(err)
		}
	})
}
