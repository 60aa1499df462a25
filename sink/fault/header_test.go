package fault

import (
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func TestMatchHeaderAndTLS(t *testing.T) {
	pattern := func(name string, globs ...string) HeaderPattern { return HeaderPattern{name, globs} }
	for _, c := range []struct {
		name  string
		match Match
		want  bool
	}{
		{"with TLS", Match{TLS: TLSYes}, true},
		{"without TLS", Match{TLS: TLSNo}, false},
		{"field is there", Match{Headers: []HeaderPattern{pattern("X-Priority", "*")}}, true},
		{"empty field is there", Match{Headers: []HeaderPattern{pattern("x-empty", "*")}}, true},
		{"field is not there", Match{Headers: []HeaderPattern{pattern("x-other", "*")}}, false},
		{"value", Match{Headers: []HeaderPattern{pattern("x-priority", "1 (HIGHEST)")}}, true},
		{"prefix", Match{Headers: []HeaderPattern{pattern("x-priority", "1*")}}, true},
		{"any of two", Match{Headers: []HeaderPattern{pattern("x-priority", "2*", "*highest)")}}, true},
		{"all of two", Match{Headers: []HeaderPattern{pattern("x-priority", "1*"), pattern("subject", "*offer*")}}, false},
		{"and TLS", Match{TLS: TLSNo, Headers: []HeaderPattern{pattern("x-priority", "1*")}}, false},
	} {
		p := mustPlan(t, PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageMessage, Match: c.match}}})
		o := golden(smtp.StageMessage)
		o.TLS, o.Headers = true, header{"x-priority": "1 (Highest)", "x-empty": "", "subject": "Hello"}
		if got := p.Decide(o).Cause == CauseRule; got != c.want {
			t.Errorf("%s: matches: %v, want %v", c.name, got, c.want)
		}
		if p.Needs().Headers != (len(c.match.Headers) > 0) {
			t.Errorf("%s: needs headers: %v", c.name, p.Needs().Headers)
		}
		if o.Headers = nil; len(c.match.Headers) > 0 && p.Decide(o).Cause == CauseRule {
			t.Errorf("%s: matches without a header", c.name)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		glob, value string
		want        bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "abc", true}, {"?", "", false}, {"?", "x", true}, {"?", "xy", false},
		{"a*c", "abc", true}, {"a*c", "ac", true}, {"a*c", "acb", false}, {"a*c", "abcabc", true}, {"*b*", "abc", true}, {"**", "", true},
		{"a?c", "ABC", true}, {"a", "b", false}, {"*ab", "aaab", true}, {"*a?b", "aaaab", true}, {"a*b*c", "a1b2b3c", true}, {"a*b*c", "a1b2", false},
	} {
		if got := globMatches(c.glob, []byte(c.value)); got != c.want {
			t.Errorf("glob %q matches %q: %v, want %v", c.glob, c.value, got, c.want)
		}
	}
}

func TestHeaderPatternErrors(t *testing.T) {
	for _, c := range []struct {
		pattern HeaderPattern
		want    string
	}{
		{HeaderPattern{"", []string{"*"}}, "rule 1: match.header: empty header field name"},
		{HeaderPattern{"a b", []string{"*"}}, `rule 1: match.header: invalid header field name "a b"`},
		{HeaderPattern{"a:", []string{"*"}}, `rule 1: match.header: invalid header field name "a:"`},
		{HeaderPattern{"a", nil}, "rule 1: match.header: no pattern for a"},
		{HeaderPattern{"a", []string{""}}, "rule 1: match.header: pattern of 0 octets for a (want 1 to 256)"},
		{HeaderPattern{"a", []string{strings.Repeat("x", 257)}}, "rule 1: match.header: pattern of 257 octets"},
	} {
		_, err := NewPlan(PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageMessage, Match: Match{Headers: []HeaderPattern{c.pattern}}}}})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: error is %v, want %s", c.pattern, err, c.want)
		}
	}
	if _, err := NewPlan(PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageData, Match: Match{Headers: []HeaderPattern{{"a", []string{"*"}}}}}}}); err == nil ||
		!strings.HasPrefix(err.Error(), "rule 1: match.header: not known yet at stage data (known at: message)") {
		t.Errorf("header at data: error is %v", err)
	}
	if _, err := NewPlan(PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageData, Match: Match{TLS: 9}}}}); err == nil || err.Error() != "rule 1: match.tls: unknown value 9" {
		t.Errorf("unknown TLS condition: error is %v", err)
	}
}
