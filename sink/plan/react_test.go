package plan

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReactionsAreWrittenAsTheyAreRead: those of the transcripts, which are the examples of the documentation.
func TestReactionsAreWrittenAsTheyAreRead(t *testing.T) {
	paths, err := filepath.Glob("../session/testdata/reactions/*.txt")
	if err != nil || len(paths) < 7 {
		t.Fatal("too few transcripts", paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		planned, _, _ := strings.Cut(string(text), "\n---\n")
		f, err := Parse(path, []byte("version: 1\n"+planned))
		if err != nil {
			t.Error(err)
			continue
		}
		roundTrip(t, f.Spec)
		var words bytes.Buffer
		if err := Explain(&words, f, Serving{}); err != nil {
			t.Fatal(err)
		}
		for _, r := range f.Plan.Reactions() {
			if !strings.Contains(words.String(), "\nreaction \""+r.Name+"\", for each ") {
				t.Errorf("%s: nothing is said of reaction %q", path, r.Name)
			}
		}
		if strings.Contains(words.String(), "never begins") {
			t.Errorf("%s: a reaction is said never to begin", path)
		}
	}
}

func TestReactionErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"rules: [{stage: rcpt, delay: \"doubling(1s,5m)\"}]", `rules[0].delay: doubling goes by the level of a standing (valid within then of a reaction)`},
		{"react: [{name: a, of: client, when: {code: 550}, then: {rules: [{stage: mail, delay: \"halving(1s,5m)\"}]}}]", `invalid delay "halving(1s,5m)": halving begins below its least value (want the value at level 1 first)`},
		{"react: [{name: a, of: client, when: {code: 550}, then: {rules: [{stage: mail, delay: \"doubling(1s,5h)\"}]}}]", `delay 5h0m0s is out of range (want 0s to 30m0s)`},
		{"react: [{of: client, when: {stage: rcpt}}]", `react[0].name: missing (want a name`},
		{"react: [{name: a, when: {stage: rcpt}}]", `react[0].of: missing (want whose occurrences count together, such as client)`},
		{"react: [{name: a, of: client}]", `react[0].when: missing (want what counts, such as {stage: rcpt, code: 550})`},
		{"react: [{name: a, of: host, when: {stage: rcpt}}]", `react[0].of: unknown scope "host" (valid: client network helo connection sender`},
		{"react: [{name: a, of: [client, all], when: {stage: rcpt}}]", `all stands alone`},
		{"react: [{name: a, of: client, when: {}}]", `react[0].when: no condition`},
		{"react: [{name: a, of: client, when: {stage: lunch}}]", `react[0].when.stage: unknown stage "lunch" (valid: connect`},
		{"react: [{name: a, of: client, when: {code: 6xx}}]", `react[0].when.code: invalid code "6xx" (want a code such as 550`},
		{"react: [{name: a, of: client, on: {stage: rcpt}}]", `unknown key "on" (valid: name of when after within for worse back pace except then)`},
		{"react: [{name: a, of: client, when: {stage: rcpt, rule: x}}]", `react[0].when.rule: unknown rule "x" (the plan has none)`},
		{"rules: [{name: y, stage: rcpt}]\nreact: [{name: a, of: client, when: {rule: x}}]", `react[0].when.rule: unknown rule "x" (valid: "y")`},
		{"react: [{name: a, of: client, when: {react: b}}]", `react[0].when.react: unknown reaction "b" (valid: "a")`},
		{"limits: [{name: l, kind: size, max: 1}]\nreact: [{name: a, of: client, when: {early: l}}]", `react[0].when.early: unknown greylist "l" (the plan has none)`},
		{"react: [{name: a, of: client, when: {limit: l}}]", `react[0].when.limit: unknown limit "l" (the plan has none)`},
		{"react: [{name: a, of: sender, when: {stage: connect}}]", `react[0].when.stage: the sender is not known at stage connect (known at: mail rcpt data bdat message)`},
		{"react: [{name: a, of: client, when: {stage: connect, sender: a@b.c}}]", `react[0].when.sender: not known yet at stage connect`},
		{"react: [{name: a, of: client, when: {stage: rcpt, level: 2}}]", `react[0].when.level: there is no standing whose level it could be`},
		{"react: [{name: a, of: client, when: {stage: rcpt}, after: -1}]", `react[0].after: -1 is out of range (want 0 to 1000000000)`},
		{"react: [{name: a, of: client, when: {stage: rcpt}, for: [1h, 0s]}]", `react[0].for[1]: 0s is out of range`},
		{"react: [{name: a, of: client, when: {stage: rcpt}, worse: {stage: rcpt, after: 0}}]", `react[0].worse.after: 0 is out of range (want 1`},
		{"react: [{name: a, of: client, when: {stage: rcpt}, then: {}}]", `react[0].then: no limits and no rules`},
		{"react: [{name: a, of: client, when: {stage: rcpt}, then: {rules: [{stage: lunch}]}}]", `react[0].then.rules[0].stage: unknown stage "lunch"`},
		{"react: [{name: a, of: client, when: {stage: rcpt}, then: {rules: [{stage: [rcpt, rcpt]}]}}]", `stage rcpt is given twice`},
		{"react: [{name: a, of: client, when: {stage: rcpt}, then: {limits: [{name: l, kind: quota, per: 1d, max: \"doubling(8,4)\"}]}}]", `max: doubling begins above its greatest value`},
		{"limits: [{name: l, kind: rate, rate: \"halving(8/s,4/s)\"}]", `limits[0].rate: halving goes by the level of a standing (valid within then of a reaction)`},
		{"rules: [{stage: rcpt, match: {level: 2}}]", `rules[0].match.level: there is no standing whose level it could be (valid within then of a reaction)`},
		{"rules: [{stage: rcpt, match: {standing: a}}]", `rules[0].match.standing: unknown reaction "a" (the plan has none)`},
		{"react: [{name: a, of: client, when: {stage: rcpt}, except: {standing: a}}]", `a reaction's exceptions don't go by standings`},
		{"react: [{name: a, of: client, when: {stage: rcpt}}, {name: a, of: client, when: {stage: rcpt}}]", `react[1].name: name is taken by react[0]`},
		{"react: [" + strings.Repeat("{name: a, of: client, when: {stage: rcpt}}, ", 65) + "]", `react: 65 reactions (want at most 64)`},
	} {
		_, err := Parse("test.yaml", []byte("version: 1\n"+tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "test.yaml:") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s\nerror is %v\nwant one line with %s", tt.text, err, tt.want)
		}
	}
}

// TestWhatIsSaidOfReactions: which never begin, and whose outcomes depend on how clients come in between each other.
func TestWhatIsSaidOfReactions(t *testing.T) {
	f, err := Parse("test.yaml", []byte(`version: 1
rules: [{name: gone, stage: rcpt, match: {recipient: "*@gone.test"}, reply: 550}]
react:
  - {name: code, of: client, when: {stage: rcpt, code: 550/5.7.1}, then: {rules: [{stage: mail, reply: 421}]}}
  - {name: chain, of: client, when: {react: code}}
  - {name: circle, of: client, when: {react: circle}, then: {rules: [{stage: mail, reply: 421}]}}
  - {name: mark, of: sender-domain, when: {rule: gone}}
  - {name: of mark, of: client, when: {react: mark}}
  - {name: errors, of: all, when: {code: 5xx}}
  - {name: greeted, of: network, when: {stage: ehlo, code: 250}}
`))
	if err != nil {
		t.Fatal(err)
	}
	x := NewExplanation(f, Serving{})
	said := strings.Join(append(x.Warnings, x.Replay...), "\n")
	for _, never := range []string{"code", "chain", "circle", "of mark"} {
		if !strings.Contains(said, "reaction \""+never+"\" never begins: nothing in the plan leads to ") {
			t.Errorf("%q is not said never to begin:\n%s", never, said)
		}
	}
	if n := strings.Count(said, "never begins"); n != 4 {
		t.Errorf("%d are said never to begin, want 4:\n%s", n, said)
	}
	for _, want := range []string{
		`reaction "mark" breaks it: what a client meets depends on how it and others come in between each other, who share a key (sender domain)`,
		`reaction "errors" breaks it: what a client meets depends on how it and others come in between each other, who share a key (everybody)`,
		`reaction "code" breaks it: what a client meets depends on what it did before and when, but not on other clients`,
		`reaction "greeted" breaks it: what a client meets depends on what its network did before and when`,
	} {
		if !strings.Contains(said, want) {
			t.Errorf("missing: %s\nin\n%s", want, said)
		}
	}
}
