package fault

import "github.com/smtpstorm/xk6-smtp/sink/smtp"

// plainCodes are the codes of the plain replies. Three stages say something else than 220, 250, 354, 221 or 214:
// VRFY and EXPN 252, since a sink has no mailboxes to name in a 250 (RFC 5321 sections 3.5.3 and 7.3); AUTH 235 (RFC 4954
// section 4). Two have no positive reply that would be true: TURN 502, since a 250 would swap the roles of client and server
// (RFC 5321 appendix F.1), and an unknown command 500 (RFC 5321 section 4.2.4).
var plainCodes = [smtp.NumStages]smtp.Code{
	smtp.StageConnect:  220,
	smtp.StagePregreet: 220,
	smtp.StageHelo:     250,
	smtp.StageEhlo:     250,
	smtp.StageStartTLS: 220,
	smtp.StageAuth:     235,
	smtp.StageMail:     250,
	smtp.StageRcpt:     250,
	smtp.StageData:     354,
	smtp.StageMessage:  250,
	smtp.StageBdat:     250,
	smtp.StageRset:     250,
	smtp.StageSend:     250,
	smtp.StageSoml:     250,
	smtp.StageSaml:     250,
	smtp.StageVrfy:     252,
	smtp.StageExpn:     252,
	smtp.StageHelp:     214,
	smtp.StageNoop:     250,
	smtp.StageQuit:     221,
	smtp.StageTurn:     502,
	smtp.StageEtrn:     250,
	smtp.StageUnknown:  500,
}

var plainReplies = mustPlainReplies()

func mustPlainReplies() (replies [smtp.NumStages]*smtp.Reply) {
	for s, code := range plainCodes {
		reply, err := smtp.NewReply(smtp.Stage(s), code, smtp.Enhanced{})
		if err != nil {
			panic("plain reply: " + err.Error())
		}
		replies[s] = reply
	}
	return replies
}

// PlainCode returns the code of the stage's plain reply.
func PlainCode(s smtp.Stage) smtp.Code { return plainCodes[s] }

// Plain returns the stage's plain reply: what the sink says when no rule speaks. It is shared and must not be changed. The session
// renders the greeting and the HELO, EHLO and BDAT replies itself, with the same codes, since they hold its name, its
// capabilities and the octets received.
func Plain(s smtp.Stage) *smtp.Reply { return plainReplies[s] }
