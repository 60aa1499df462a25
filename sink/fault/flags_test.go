package fault

import (
	"fmt"
	"strings"
	"testing"
)

// describe writes a plan's rules as "name: code probability, ...; delay".
func describe(p *Plan) string {
	var rules []string
	for _, r := range p.Rules() {
		var outcomes []string
		for _, o := range r.Outcomes {
			text := fmt.Sprintf("%d %.3g", o.Code, o.Probability)
			if o.Reply != nil && !o.Reply.Enhanced.IsZero() {
				text = fmt.Sprintf("%d %v %.3g", o.Code, o.Reply.Enhanced, o.Probability)
			}
			if !o.Delay.IsZero() {
				text += " after " + o.Delay.String()
			}
			outcomes = append(outcomes, text)
		}
		rules = append(rules, r.Name+": "+strings.Join(outcomes, ", "))
	}
	return strings.Join(rules, "; ")
}

func TestCompileFlags(t *testing.T) {
	for _, c := range []struct {
		flags Flags
		want  string
	}{
		{Flags{}, ""},
		{Flags{Mode: "offline"}, "mode offline at message: 521 5.3.2 1"},
		{Flags{Mode: "unavailable", At: []string{"connect,mail", "rcpt"}}, "mode unavailable at connect: 421 1; mode unavailable at mail: 421 4.3.0 1; mode unavailable at rcpt: 421 4.3.0 1"},
		{Flags{Mode: "accept", At: []string{"data", "quit"}}, "mode accept at data: 354 1; mode accept at quit: 221 1"},
		{Flags{Mode: "bounce", At: []string{"connect"}, Weights: []string{"421:2,521:1", "554:1"}}, "mode bounce at connect: 421 0.5, 521 0.25, 554 0.25"},
		{Flags{Replies: []string{"rcpt=250:90,450:7,550:3", "message=250:99,451:1"}}, "reply rcpt: 250 0.9, 450 4.2.0 0.07, 550 5.1.1 0.03; reply message: 250 0.99, 451 4.3.0 0.01"},
		{Flags{Replies: []string{"rcpt = plain:3, 550/5.7.1:1"}}, "reply rcpt: 250 0.75, 550 5.7.1 0.25"},
		{Flags{Replies: []string{"data=599"}}, "reply data: 599 5.0.0 1"},
		{Flags{Replies: []string{"rcpt=450,451"}}, "reply rcpt: 450 4.2.0 0.5, 451 4.3.0 0.5"},
		{Flags{Delays: []string{"data=uniform(5ms,50ms)"}}, "delay data: 354 1 after uniform(5ms,50ms)"},
		{Flags{Replies: []string{"data=451"}, Delays: []string{"data=20ms"}}, "reply data, delay data: 451 4.3.0 1 after 20ms"},
		{Flags{Mode: "offline", Delays: []string{"message=percentiles(50=1ms,100=2ms)"}}, "mode offline at message, delay message: 521 5.3.2 1 after percentiles(0=0s,50=1ms,100=2ms)"},
	} {
		if got := describe(mustCompile(t, c.flags)); got != c.want {
			t.Errorf("%+v compile to\n %s, want\n %s", c.flags, got, c.want)
		}
	}
	if p := mustCompile(t, Flags{Seed: 7}); p.Seed() != 7 {
		t.Errorf("seed is %d, want 7", p.Seed())
	}
}

func TestCompileFlagsErrors(t *testing.T) {
	for _, c := range []struct {
		flags Flags
		want  string
	}{
		{Flags{Mode: "angry"}, `--mode: unknown mode "angry" (valid: accept bounce offline unavailable random)`},
		{Flags{Mode: "bounce", At: []string{"lunch"}}, `--at: unknown stage "lunch" (valid: connect pregreet helo`},
		{Flags{Mode: "offline", At: []string{"data"}}, "--mode offline --at data: mode offline has no code that stage data allows (valid there: accept bounce unavailable random;"},
		{Flags{Mode: "bounce", At: []string{"rcpt", "rcpt"}}, "--mode bounce: stage rcpt already has --mode bounce"},
		{Flags{Mode: "bounce", Weights: []string{"450"}}, `--weight: no weight in "450" (want CODE:WEIGHT`},
		{Flags{Mode: "bounce", Weights: []string{"450:x"}}, `--weight: invalid weight "x" of 450`},
		{Flags{Mode: "bounce", Weights: []string{"45:1"}}, `--weight: invalid reply code "45"`},
		{Flags{Mode: "bounce", Weights: []string{"450:1,450:2"}}, "--weight: code 450 has two weights"},
		{Flags{Mode: "bounce", Weights: []string{"250:1"}}, "--mode bounce --at message: mode bounce has no code 250 at stage message (valid: 421 431"},
		{Flags{Mode: "random", RandomAccept: 1}, "--mode random --at message: invalid odds 1"},
		{Flags{At: []string{"rcpt"}}, `--at "rcpt": there is no --mode`},
		{Flags{Weights: []string{"450:1"}}, `--weight "450:1": there is no --mode`},
		{Flags{Mode: "bounce", At: []string{"rcpt"}, Replies: []string{"rcpt=550"}}, `--reply "rcpt=550": stage rcpt already has --mode bounce (want one of them)`},
		{Flags{Replies: []string{"rcpt=550", "rcpt=450"}}, `--reply "rcpt=450": stage rcpt already has --reply "rcpt=550"`},
		{Flags{Replies: []string{"rcpt"}}, `--reply "rcpt": a stage is missing (want STAGE=..., such as rcpt=...)`},
		{Flags{Replies: []string{"lunch=450"}}, `--reply "lunch=450": unknown stage "lunch" (valid: connect`},
		{Flags{Replies: []string{"rcpt="}}, `--reply "rcpt=": invalid reply "" (want a code from 200 to 599`},
		{Flags{Replies: []string{"rcpt=600"}}, `--reply "rcpt=600": invalid reply "600"`},
		{Flags{Replies: []string{"rcpt=199"}}, `--reply "rcpt=199": invalid reply "199"`},
		{Flags{Replies: []string{"rcpt=550/5.x"}}, `--reply "rcpt=550/5.x": invalid enhanced status code "5.x"`},
		{Flags{Replies: []string{"rcpt=550/4.1.1"}}, `--reply "rcpt=550/4.1.1": enhanced status code 4.1.1 contradicts reply code 550`},
		{Flags{Replies: []string{"rcpt=550:-1"}}, `--reply "rcpt=550:-1": invalid weight "-1" of 550`},
		{Flags{Replies: []string{"rcpt=550:NaN"}}, `--reply "rcpt=550:NaN": invalid weight "NaN" of 550`},
		{Flags{Replies: []string{"rcpt=450:0,550:0"}}, `--reply "rcpt=450:0,550:0": the weights sum to 0`},
		{Flags{Delays: []string{"rcpt=soon"}}, `--delay "rcpt=soon": invalid delay "soon": no duration or distribution "soon" (valid: 20ms`},
		{Flags{Delays: []string{"rcpt=1s", "rcpt=2s"}}, `--delay "rcpt=2s": stage rcpt already has --delay "rcpt=1s"`},
	} {
		_, err := CompileFlags(c.flags)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: error is\n %v, want\n %s", c.flags, err, c.want)
		}
	}
}
