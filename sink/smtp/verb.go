package smtp

import (
	"encoding/binary"
	"fmt"
)

// Verb is the keyword that starts a command.
type Verb uint8

// The verbs that are told apart. Every other keyword is VerbUnknown.
const (
	VerbUnknown  Verb = iota
	VerbHelo          // HELO
	VerbEhlo          // EHLO
	VerbLhlo          // LHLO, LMTP's EHLO (RFC 2033)
	VerbStartTLS      // STARTTLS (RFC 3207)
	VerbAuth          // AUTH (RFC 4954)
	VerbMail          // MAIL
	VerbRcpt          // RCPT
	VerbData          // DATA
	VerbBdat          // BDAT (RFC 3030)
	VerbRset          // RSET
	VerbSend          // SEND (RFC 821)
	VerbSoml          // SOML (RFC 821)
	VerbSaml          // SAML (RFC 821)
	VerbVrfy          // VRFY
	VerbExpn          // EXPN
	VerbHelp          // HELP
	VerbNoop          // NOOP
	VerbQuit          // QUIT
	VerbTurn          // TURN (RFC 821)
	VerbEtrn          // ETRN (RFC 1985)
	VerbXClient       // XCLIENT (Postfix)

	// NumVerbs is the number of verbs, for arrays indexed by Verb.
	NumVerbs = int(VerbXClient) + 1
)

var verbNames = [NumVerbs]string{
	"unknown", "HELO", "EHLO", "LHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT", "RSET",
	"SEND", "SOML", "SAML", "VRFY", "EXPN", "HELP", "NOOP", "QUIT", "TURN", "ETRN", "XCLIENT",
}

var verbStages = [NumVerbs]Stage{
	StageUnknown, StageHelo, StageEhlo, StageEhlo, StageStartTLS, StageAuth, StageMail, StageRcpt, StageData, StageBdat, StageRset,
	StageSend, StageSoml, StageSaml, StageVrfy, StageExpn, StageHelp, StageNoop, StageQuit, StageTurn, StageEtrn, StageUnknown,
}

// String returns the keyword in capitals as commands carry it, and "unknown" for VerbUnknown.
func (v Verb) String() string {
	if int(v) < NumVerbs {
		return verbNames[v]
	}
	return fmt.Sprintf("verb(%d)", uint8(v))
}

// Stage returns the stage that answers the verb: StageData for DATA and StageBdat for BDAT, although the reply after a body
// belongs to StageMessage, StageEhlo for LHLO, and StageUnknown for XCLIENT and VerbUnknown.
func (v Verb) Stage() Stage {
	if int(v) < NumVerbs {
		return verbStages[v]
	}
	return StageUnknown
}

// parseVerb returns the verb that word names in any mixture of cases (RFC 5321 section 2.4).
func parseVerb(word []byte) Verb {
	switch len(word) {
	case 4:
		return verbOf(binary.BigEndian.Uint32(word) & upper)
	case 7:
		if equalFold(word, "XCLIENT") {
			return VerbXClient
		}
	case 8:
		if binary.BigEndian.Uint32(word)&upper == 'S'<<24|'T'<<16|'A'<<8|'R' &&
			binary.BigEndian.Uint32(word[4:])&upper == 'T'<<24|'T'<<16|'L'<<8|'S' {
			return VerbStartTLS
		}
	}
	return VerbUnknown
}

// upper turns four ASCII letters into capitals. No octet but a letter turns into a capital letter by it: A to Z are 0x41 to
// 0x5a, which only they and 0x61 to 0x7a become when bit 0x20 is cleared.
const upper = 0xdfdfdfdf

func verbOf(word uint32) Verb {
	switch word {
	case 'H'<<24 | 'E'<<16 | 'L'<<8 | 'O':
		return VerbHelo
	case 'E'<<24 | 'H'<<16 | 'L'<<8 | 'O':
		return VerbEhlo
	case 'L'<<24 | 'H'<<16 | 'L'<<8 | 'O':
		return VerbLhlo
	case 'A'<<24 | 'U'<<16 | 'T'<<8 | 'H':
		return VerbAuth
	case 'M'<<24 | 'A'<<16 | 'I'<<8 | 'L':
		return VerbMail
	case 'R'<<24 | 'C'<<16 | 'P'<<8 | 'T':
		return VerbRcpt
	case 'D'<<24 | 'A'<<16 | 'T'<<8 | 'A':
		return VerbData
	case 'B'<<24 | 'D'<<16 | 'A'<<8 | 'T':
		return VerbBdat
	case 'R'<<24 | 'S'<<16 | 'E'<<8 | 'T':
		return VerbRset
	case 'S'<<24 | 'E'<<16 | 'N'<<8 | 'D':
		return VerbSend
	case 'S'<<24 | 'O'<<16 | 'M'<<8 | 'L':
		return VerbSoml
	case 'S'<<24 | 'A'<<16 | 'M'<<8 | 'L':
		return VerbSaml
	case 'V'<<24 | 'R'<<16 | 'F'<<8 | 'Y':
		return VerbVrfy
	case 'E'<<24 | 'X'<<16 | 'P'<<8 | 'N':
		return VerbExpn
	case 'H'<<24 | 'E'<<16 | 'L'<<8 | 'P':
		return VerbHelp
	case 'N'<<24 | 'O'<<16 | 'O'<<8 | 'P':
		return VerbNoop
	case 'Q'<<24 | 'U'<<16 | 'I'<<8 | 'T':
		return VerbQuit
	case 'T'<<24 | 'U'<<16 | 'R'<<8 | 'N':
		return VerbTurn
	case 'E'<<24 | 'T'<<16 | 'R'<<8 | 'N':
		return VerbEtrn
	}
	return VerbUnknown
}
