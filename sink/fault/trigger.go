package fault

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
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
		d.Outcome = r.table.index(Draw(seed, o.Stage, PurposeCode, key))
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
		id, _ = o.Headers.Header("message-id")
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

// The header fields that ask for something, in lower case.
const (
	headerStormReply     = "x-storm-reply"
	headerStormMode      = "x-storm-mode"
	headerStormDelay     = "x-storm-delay"
	headerBlackholeMode  = "x-blackhole-mode"
	headerBlackholeDelay = "x-blackhole-delay"
)

// MaxBlackholeDelay is blackhole's own cap of X-Blackhole-Delay, from its documentation.
const MaxBlackholeDelay = 60 * time.Second

// HeaderSwitch reads a message's header as a switch for the reply after its body:
//
//	X-Storm-Reply: 550 5.1.1 No such user   code; enhanced status code and text may be left out
//	X-Storm-Mode: bounce                    accept, bounce, offline, unavailable or random
//	X-Storm-Delay: 3s                       a delay as ParseDelay reads it, distributions too
//	X-Blackhole-Mode: random                as X-Storm-Mode
//	X-Blackhole-Delay: 10 or 10, 60         whole seconds, or a range of them that is drawn from evenly; above 60 counts as 60
//
// X-Storm-Reply goes before the modes, and X-Storm before X-Blackhole. malformed counts the fields that are there and mean nothing:
// they are as if absent. Of several fields of one name the first counts. It allocates only for messages that ask for something.
func HeaderSwitch(h Headers) (s Switch, malformed int) {
	if h == nil {
		return Switch{}, 0
	}
	read := func(name string, parse func(value string) error) {
		if value, ok := h.Header(name); ok && parse(unfold(value)) != nil {
			malformed++
		}
	}
	mode := func(value string) error {
		m, err := ParseMode(strings.ToLower(value))
		if err == nil {
			s.Mode = m
		}
		return err
	}
	read(headerBlackholeMode, mode)
	read(headerStormMode, mode)
	read(headerStormReply, func(value string) (err error) {
		s.Reply, err = parseReplyHeader(value)
		return err
	})
	read(headerBlackholeDelay, func(value string) error {
		d, err := parseBlackholeDelay(value)
		if err == nil {
			s.Delay, s.HasDelay = d, true
		}
		return err
	})
	read(headerStormDelay, func(value string) error {
		d, err := ParseDelay(value)
		if err == nil {
			s.Delay, s.HasDelay = d, true
		}
		return err
	})
	return s, malformed
}

// unfold joins the lines of a field's body (RFC 5322 section 2.2.3).
func unfold(value []byte) string {
	return strings.TrimSpace(strings.NewReplacer("\r\n", "", "\n", "").Replace(string(value)))
}

// parseReplyHeader parses "550", "550 5.1.1", "550 5.1.1 text" or "550 text".
func parseReplyHeader(value string) (*smtp.Reply, error) {
	code, rest, _ := strings.Cut(value, " ")
	rest = strings.TrimSpace(rest)
	word, text, _ := strings.Cut(rest, " ")
	if _, err := smtp.ParseEnhanced(word); err == nil {
		return parseSwitchReply(smtp.StageMessage, code, word, true, strings.TrimSpace(text))
	}
	return parseSwitchReply(smtp.StageMessage, code, "", false, rest)
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
	return smtp.NewReply(stage, c, e, text)
}

// parseBlackholeDelay parses "10" or "10, 60": whole seconds.
func parseBlackholeDelay(value string) (Delay, error) {
	low, high, span := strings.Cut(value, ",")
	from, err := parseSeconds(low)
	to := from
	if err == nil && span {
		to, err = parseSeconds(high)
	}
	switch {
	case err != nil:
		return Delay{}, err
	case to < from:
		return Delay{}, fmt.Errorf("empty range %q", value)
	}
	from, to = min(from, MaxBlackholeDelay), min(to, MaxBlackholeDelay)
	if from == to {
		return fixed(from), nil
	}
	return Delay{Kind: DelayUniform, A: from, B: to}, nil
}

func parseSeconds(text string) (time.Duration, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("invalid number of seconds %q", text)
	}
	return time.Duration(min(n, math.MaxInt32)) * time.Second, nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
