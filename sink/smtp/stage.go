package smtp

import (
	"fmt"
	"strings"
)

// Stage is a point in the dialogue at which the server answers, and so a point at which it can misbehave. The client uses the
// same words for its phases: the reply that a sink injects at stage rcpt is the reply that a client observes in phase rcpt.
type Stage uint8

// The stages. Each but four is named after the command that it answers.
const (
	StageConnect  Stage = iota // the greeting (RFC 5321 section 3.1)
	StagePregreet              // octets of a client that doesn't wait for the greeting (RFC 5321 section 4.3.1)
	StageHelo                  // HELO
	StageEhlo                  // EHLO, and LHLO in LMTP
	StageStartTLS              // STARTTLS (RFC 3207)
	StageAuth                  // AUTH and its continuations (RFC 4954)
	StageMail                  // MAIL
	StageRcpt                  // RCPT
	StageData                  // DATA: the reply before the body
	StageMessage               // the reply after the final dot, or after BDAT LAST
	StageBdat                  // a BDAT chunk that is not the last (RFC 3030)
	StageRset                  // RSET
	StageSend                  // SEND (RFC 821)
	StageSoml                  // SOML (RFC 821)
	StageSaml                  // SAML (RFC 821)
	StageVrfy                  // VRFY
	StageExpn                  // EXPN
	StageHelp                  // HELP
	StageNoop                  // NOOP
	StageQuit                  // QUIT
	StageTurn                  // TURN (RFC 821)
	StageEtrn                  // ETRN (RFC 1985)
	StageUnknown               // a command that no other stage answers

	// NumStages is the number of stages, for arrays indexed by Stage.
	NumStages = int(StageUnknown) + 1
)

var stageNames = [NumStages]string{
	"connect", "pregreet", "helo", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "message", "bdat", "rset",
	"send", "soml", "saml", "vrfy", "expn", "help", "noop", "quit", "turn", "etrn", "unknown",
}

// String returns the stage's name as flags, plans, tags and ledgers write it.
func (s Stage) String() string {
	if int(s) < NumStages {
		return stageNames[s]
	}
	return fmt.Sprintf("stage(%d)", uint8(s))
}

// ParseStage returns the stage of that name. The error names the valid stages.
func ParseStage(name string) (Stage, error) {
	for i, n := range stageNames {
		if n == name {
			return Stage(i), nil
		}
	}
	return 0, fmt.Errorf("unknown stage %q (valid: %s)", name, strings.Join(stageNames[:], " "))
}

// MarshalText implements encoding.TextMarshaler with the stage's name.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it accepts what ParseStage accepts.
func (s *Stage) UnmarshalText(text []byte) error {
	stage, err := ParseStage(string(text))
	if err != nil {
		return err
	}
	*s = stage
	return nil
}
