package fault

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Switch is what a tester asks for one recipient, by its address, or for one message, by its header. It never outlives either.
// The zero value asks for nothing.
type Switch struct {
	Reply    *smtp.Reply // nil: none asked for
	Mode     Mode        // used without a Reply; ModeNone: none asked for
	Delay    Delay       // used if HasDelay
	HasDelay bool
}

// IsZero reports whether nothing is asked for.
func (s *Switch) IsZero() bool { return s.Reply == nil && s.Mode == ModeNone && !s.HasDelay }

// Decide returns the decision that the switch leads to. A reply or a mode decides alone, with CauseTrigger and without delay unless
// one is asked for; a delay alone leaves the reply to the plan's rules, and replaces their delay.
func (s *Switch) Decide(v *View, o *Occurrence) Decision {
	var seed uint64
	if p := v.Plan(); p != nil {
		seed = p.Seed()
	}
	key := s.appendKey(nil, o)
	d := Decision{Cause: CauseTrigger, Reply: s.Reply}
	switch {
	case s.Reply != nil:
	case s.Mode != ModeNone:
		r := switchRules[s.Mode]
		d.Outcome = int32(r.table.index(Draw(seed, o.Stage, PurposeCode, key))) // #nosec G115 -- a mode has few outcomes
		d.Chosen = &r.Outcomes[d.Outcome]
		d.Reply = d.Chosen.Reply
	default:
		d = v.Decide(o)
	}
	if s.HasDelay {
		d.Delay = s.Delay.At(Draw(seed, o.Stage, PurposeDelay, key))
	}
	return d
}

// appendKey appends the key of a switch's draws: sender, recipients, the Message-ID, and the ordinal of the attempt where the plan
// has it counted, otherwise that of the message in its connection. A plain sink counts no attempts.
func (s *Switch) appendKey(dst []byte, o *Occurrence) []byte {
	dst = appendAddressField(dst, o.Sender)
	n := max(o.MaxRcptN, o.RcptN)
	if n == 0 {
		n = o.MessageN
	}
	if len(o.Recipient) > 0 {
		dst = appendAddressField(dst, o.Recipient)
	} else {
		var sum uint64
		for _, recipient := range o.AcceptedRecipients {
			sum += HashRecipient(recipient)
		}
		dst = appendNumber(dst, sum)
	}
	var id []byte
	if o.Headers != nil {
		id, _, _ = o.Headers.Header("message-id", 0)
	}
	dst = appendField(dst, id)
	return appendNumber(dst, n)
}

// switchRules holds a rule at message for each mode: its table, ready to be drawn from.
var switchRules = mustSwitchRules()

func mustSwitchRules() (rules [len(modeNames)]*Rule) {
	for m := ModeAccept; int(m) < len(rules); m++ {
		r, _, err := newRule(&RuleSpec{Stage: smtp.StageMessage, Mode: ModeSpec{Mode: m}})
		if err != nil {
			panic("mode switch: " + err.Error())
		}
		rules[m] = r
	}
	return rules
}

// maxTrigger is the longest local part that is taken for an address trigger (RFC 5321 section 4.5.3.1.1).
const maxTrigger = 64

// AddressTrigger reads a recipient's local part as a switch for the reply to its RCPT:
//
//	450+anything@example.org                a code
//	550-5.1.1+anything@example.org          with an enhanced status code
//	delay-5s+anything@example.org           a delay, as Go writes durations, before whatever the plan replies
//	delay-5s+450-4.2.0+anything@example.org both
//
// What follows the last + may be empty. An address that begins like one of these but isn't one is malformed, and means nothing. It
// does not allocate for other addresses.
func AddressTrigger(recipient []byte) (s Switch, malformed bool) {
	if len(recipient) == 0 || !(isDigit(recipient[0]) || recipient[0] == 'd') || bytes.IndexByte(recipient, '+') < 0 {
		return Switch{}, false
	}
	local := recipient
	if i := bytes.LastIndexByte(recipient, '@'); i >= 0 {
		local = recipient[:i]
	}
	word, rest, ok := bytes.Cut(local, []byte("+"))
	if !ok {
		return Switch{}, false
	}
	if duration, isDelay := bytes.CutPrefix(word, []byte("delay-")); isDelay {
		if len(local) > maxTrigger {
			return Switch{}, true
		}
		v, err := time.ParseDuration(string(duration))
		if err != nil || checkDelay(v) != nil {
			return Switch{}, true
		}
		s.Delay, s.HasDelay = fixed(v), true
		if word, _, ok = bytes.Cut(rest, []byte("+")); !ok {
			return s, false
		}
	}
	if len(word) < 3 || !isDigit(word[0]) || !isDigit(word[1]) || !isDigit(word[2]) || len(word) > 3 && word[3] != '-' {
		return s, false
	}
	if len(local) > maxTrigger {
		return Switch{}, true
	}
	code, enhanced, _ := strings.Cut(string(word), "-")
	reply, err := parseSwitchReply(smtp.StageRcpt, code, enhanced, len(word) > 3, "")
	if err != nil {
		return Switch{}, true
	}
	s.Reply = reply
	return s, false
}

func parseSwitchReply(stage smtp.Stage, code, enhanced string, hasEnhanced bool, text string) (*smtp.Reply, error) {
	c, err := smtp.ParseCode(code)
	if err != nil {
		return nil, err
	}
	var e smtp.Enhanced
	if hasEnhanced {
		if e, err = smtp.ParseEnhanced(enhanced); err != nil {
			return nil, err
		}
	}
	if text == "" {
		return smtp.NewReply(stage, c, e)
	}
	if len(text) > smtp.MaxReplyText {
		return nil, fmt.Errorf("reply text of %d octets is too long (want at most %d)", len(text), smtp.MaxReplyText)
	}
	return smtp.NewReply(stage, c, e, text)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
