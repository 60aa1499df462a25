package reconcile

import (
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// While a run lasts, claims and rows come as it goes: each claim before the first row that is about it. Who waits for what becomes of a
// message asks for its units as they stand.

// Provisional passes on what is known so far of the units of the message that an identity names, in the order of their claims: a token, or else a sender,
// an X-Storm-Id or a Message-ID that no other message has. It reports whether there is one. The fates are those that Finish would give if nothing more
// came, but for Lost: while more may come a unit is Undetermined. Replies that nothing has settled yet count as unknown. The unit is valid during the call only.
func (j *Judge) Provisional(id string, each func(*Unit)) bool {
	j.idBuf = appendID(j.idBuf[:0], []byte(id))
	m := int32(none)
	for _, x := range [...]*ids{&j.tokens, &j.senders, &j.stormIDs, &j.messageIDs} {
		if m == none {
			m = x.message(&j.texts, j.idBuf)
		}
	}
	if m < 0 {
		return false
	}
	var view Unit
	for i := j.messages.at(m).first; i >= 0; i = j.units.at(i).next {
		u := j.units.at(i)
		fate, _ := j.fate(i, u, false)
		view.reset()
		j.describe(u, fate, &view)
		each(&view)
	}
	return true
}

// Units returns how many units there are: claimed ones, and adopted ones.
func (j *Judge) Units() int { return j.units.n }

// adopt takes an attempt that belongs to no claim for one, if Options.Adopt wants it: of a message that is claimed for a recipient who is not; or else of a
// message that is known by its X-Storm-Id, and of another one that is known by its ENVID or sender. Their claims are of unknown acknowledgement.
func (l *Ledger) adopt(a *event.Attempt, f found, content *contents, end int64) (adopted bool) {
	j := l.judge
	if !j.options.Adopt || f.unit >= 0 && !j.adopted[j.units.at(f.unit).message] || len(a.Recipient) == 0 {
		return false
	}
	take := func(c *Claim) {
		c.Recipient, c.Ack = string(a.Recipient), AckUnknown
		if c.Token == "" || j.Claim(c) != nil {
			return
		}
		m := j.tokens.message(&j.texts, appendID(nil, []byte(c.Token)))
		if c.HasSender {
			j.adopted[m] = true
		}
		j.rcptBuf = appendAddress(j.rcptBuf[:0], a.Recipient)
		i := j.unitOf(m, j.rcptBuf)
		j.units.at(i).unknown = 1 // however often it is seen
		l.unitAttempt(a, i, content, end)
		adopted = true
	}
	if f.unit < 0 && f.message >= 0 {
		take(&Claim{Token: string(j.texts.get(j.messages.at(f.message).token))})
		return adopted
	}
	// Nobody has said that the sender has but one message: as a sender it names none.
	take(&Claim{Token: string(content.stormID), HasSender: true})
	token := a.Token
	if string(token) == string(a.Sender) && j.senders.message(&j.texts, appendID(nil, a.Sender)) == several {
		return adopted // which of the claimed messages it is nobody knows
	}
	if decoded, ok := smtp.DecodeXText(nil, token); ok && string(token) != string(a.Sender) {
		token = decoded
	}
	if string(token) != string(content.stormID) {
		take(&Claim{Token: string(token), HasSender: true})
	}
	return adopted
}
