package smtp

import (
	"strings"
	"testing"
)

func TestStages(t *testing.T) {
	names := "connect pregreet helo ehlo starttls auth mail rcpt data message bdat rset send soml saml vrfy expn help noop quit turn etrn unknown"
	var got []string
	for s := range Stage(NumStages) {
		got = append(got, s.String())
		parsed, err := ParseStage(s.String())
		if err != nil || parsed != s {
			t.Errorf("ParseStage(%q) = %v, %v", s, parsed, err)
		}
		var unmarshaled Stage
		text, err := s.MarshalText()
		if err != nil {
			t.Error(err)
		}
		if err := unmarshaled.UnmarshalText(text); err != nil || unmarshaled != s {
			t.Errorf("UnmarshalText(%q) = %v, %v", text, unmarshaled, err)
		}
	}
	if strings.Join(got, " ") != names {
		t.Errorf("stages are\n%v, want\n%s", got, names)
	}
	if got := Stage(99).String(); got != "stage(99)" {
		t.Errorf("Stage(99) is %q", got)
	}
	want := `unknown stage "RCPT" (valid: ` + names + ")"
	if _, err := ParseStage("RCPT"); err == nil || err.Error() != want {
		t.Errorf("ParseStage(RCPT) gives %v, want %s", err, want)
	}
	s := StageRcpt
	if err := s.UnmarshalText([]byte("nonsense")); err == nil || s != StageRcpt {
		t.Errorf("UnmarshalText(nonsense) = %v and the stage %v, want an error and the stage as it was", err, s)
	}
}
