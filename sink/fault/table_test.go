package fault

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func TestRFCTable(t *testing.T) {
	cites := regexp.MustCompile(`^RFC \d+`)
	seen := map[string]bool{}
	perStage := map[smtp.Stage]int{}
	for _, row := range RFC() {
		pair := fmt.Sprintf("%v %d", row.Stage, row.Code)
		if seen[pair] {
			t.Errorf("%s stands twice", pair)
		}
		seen[pair] = true
		perStage[row.Stage]++
		if !cites.MatchString(row.Source) {
			t.Errorf("%s has the source %q, want an RFC", pair, row.Source)
		}
		if !Allowed(row.Stage, row.Code) {
			t.Errorf("%s stands in the table but isn't allowed", pair)
		}
	}
	for _, row := range Source() {
		if !Allowed(row.Stage, row.Code) {
			t.Errorf("the rfc table lacks %v %d of the source table", row.Stage, row.Code)
		}
	}
	for i := range smtp.NumStages {
		s := smtp.Stage(i)
		if perStage[s] < 3 {
			t.Errorf("stage %v has %d codes, want at least 3", s, perStage[s])
		}
		if !Allowed(s, PlainCode(s)) || !Allowed(s, 421) {
			t.Errorf("stage %v doesn't allow its plain code %d, or 421 (RFC 5321 section 4.3.2)", s, PlainCode(s))
		}
	}
	for _, c := range []struct {
		stage smtp.Stage
		code  smtp.Code
	}{
		{smtp.StageConnect, 521}, {smtp.StageConnect, 554}, {smtp.StageStartTLS, 454}, {smtp.StageAuth, 535}, {smtp.StageMail, 555},
		{smtp.StageRcpt, 556}, {smtp.StageVrfy, 252}, {smtp.StageBdat, 503}, {smtp.StageEtrn, 458}, {smtp.StageUnknown, 502},
	} {
		if !Allowed(c.stage, c.code) {
			t.Errorf("the rfc table lacks %d at %v", c.code, c.stage)
		}
	}
	for _, c := range []struct {
		stage smtp.Stage
		code  smtp.Code
	}{{smtp.StageData, 250}, {smtp.StageConnect, 250}, {smtp.StageMail, 354}, {smtp.StageQuit, 550}, {smtp.StageRcpt, 571}} {
		if Allowed(c.stage, c.code) {
			t.Errorf("the rfc table has %d at %v", c.code, c.stage)
		}
	}
}

func TestPlainReplies(t *testing.T) {
	want := map[smtp.Stage]smtp.Code{
		smtp.StageConnect: 220, smtp.StagePregreet: 220, smtp.StageStartTLS: 220, smtp.StageAuth: 235, smtp.StageData: 354, smtp.StageQuit: 221,
		smtp.StageHelp: 214, smtp.StageVrfy: 252, smtp.StageExpn: 252, smtp.StageTurn: 502, smtp.StageUnknown: 500,
	}
	for i := range smtp.NumStages {
		s, code := smtp.Stage(i), smtp.Code(250)
		if c, special := want[s]; special {
			code = c
		}
		text, _ := smtp.TextAt(s, code)
		r := Plain(s)
		if r.Code != code || len(r.Lines) != 1 || r.Lines[0] != text || r.Enhanced != smtp.DefaultEnhanced(s, code) {
			t.Errorf("plain reply at %v is %q, want code %d with the catalogue's text and enhanced status code", s, r, code)
		}
	}
}

// TestForceEveryPair forces each of the 111 pairs of the source table by --reply.
func TestForceEveryPair(t *testing.T) {
	for _, pair := range Source() {
		spec, err := CompileFlags(Flags{Replies: []string{fmt.Sprintf("%v=%d", pair.Stage, pair.Code)}})
		if err != nil {
			t.Errorf("%v %d: %v", pair.Stage, pair.Code, err)
			continue
		}
		p := mustPlan(t, spec)
		d := p.Decide(&Occurrence{Stage: pair.Stage})
		reply := d.Reply
		if reply == nil {
			reply = Plain(pair.Stage)
		}
		text, ok := smtp.TextAt(pair.Stage, pair.Code)
		if d.Cause != CauseRule || reply.Code != pair.Code || !ok || reply.Lines[0] != text || reply.Enhanced != smtp.DefaultEnhanced(pair.Stage, pair.Code) {
			t.Errorf("--reply %v=%d gives %q by %v, want that code with %q", pair.Stage, pair.Code, reply, d.Cause, text)
		}
	}
}

func mustPlan(t testing.TB, spec PlanSpec) *Plan {
	t.Helper()
	p, err := NewPlan(spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustCompile(t testing.TB, f Flags) *Plan {
	t.Helper()
	spec, err := CompileFlags(f)
	if err != nil {
		t.Fatal(err)
	}
	return mustPlan(t, spec)
}
