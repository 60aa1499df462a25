package fault

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// The header fields that ask for something, in lower case.
const (
	headerStormReply     = "x-storm-reply"
	headerStormMode      = "x-storm-mode"
	headerStormDelay     = "x-storm-delay"
	headerBlackholeMode  = "x-blackhole-mode"
	headerBlackholeDelay = "x-blackhole-delay"
)

var switchFields = [...]string{headerStormReply, headerStormMode, headerStormDelay, headerBlackholeMode, headerBlackholeDelay}

// SwitchFields returns the names of the fields that HeaderSwitch reads, in lower case.
func SwitchFields() []string { return switchFields[:] }

// maxSwitchValue is the longest value that can mean something, in octets: a reply's line has 512.
const maxSwitchValue = 1024

// MaxBlackholeDelay is blackhole's own cap of X-Blackhole-Delay, from its documentation.
const MaxBlackholeDelay = 60 * time.Second

// BadSwitches are the switches of a message that are there and mean nothing.
type BadSwitches struct {
	Count int
	First string // the first of them as it was written, "name: value", at most MaxBadSwitch octets
}

// MaxBadSwitch is how many octets of a switch that could not be read are kept.
const MaxBadSwitch = 120

// add counts a field.
func (b *BadSwitches) add(name string, value []byte) {
	if b.Count++; b.Count == 1 {
		b.First = CutSwitch(name + ": " + string(value[:min(len(value), MaxBadSwitch)]))
	}
}

// CutSwitch returns what is kept of a switch that could not be read: its beginning.
func CutSwitch(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), MaxBadSwitch)], "?")
}

// HeaderSwitch reads a message's header as a switch for the reply after its body:
//
//	X-Storm-Reply: 550 5.1.1 No such user   code; enhanced status code and text may be left out; 550-5.1.1 and 550/5.1.1 mean the same
//	X-Storm-Mode: bounce                    accept, bounce, offline, unavailable or random
//	X-Storm-Delay: 3s                       a delay as ParseDelay reads it, distributions too
//	X-Blackhole-Mode: random                as X-Storm-Mode
//	X-Blackhole-Delay: 10 or 10, 60         whole seconds, or a range of them that is drawn from evenly; above 60 counts as 60
//
// X-Storm-Reply goes before the modes, and X-Storm before X-Blackhole. Any blanks separate the words of a value. Fields that mean
// nothing are counted, and are as if absent: of several fields of one name the first counts that can be read. It allocates only for
// messages that ask for something.
func HeaderSwitch(h Headers) (s Switch, bad BadSwitches) {
	if h == nil {
		return Switch{}, bad
	}
	read := func(name string, parse func(value string) error) {
		value, next, ok := h.Header(name, 0)
		for ; ok; value, next, ok = h.Header(name, next) {
			if len(value) <= maxSwitchValue && parse(string(value)) == nil {
				return
			}
			bad.add(name, value)
		}
	}
	mode := func(value string) error {
		m, err := ParseMode(strings.ToLower(value))
		if err == nil {
			s.Mode = m
		}
		return err
	}
	delay := func(parse func(string) (Delay, error)) func(value string) error {
		return func(value string) error {
			d, err := parse(value)
			if err == nil {
				s.Delay, s.HasDelay = d, true
			}
			return err
		}
	}
	read(headerBlackholeMode, mode)
	read(headerStormMode, mode)
	read(headerStormReply, func(value string) (err error) {
		s.Reply, err = parseReplyHeader(value)
		return err
	})
	read(headerBlackholeDelay, delay(parseBlackholeDelay))
	read(headerStormDelay, delay(ParseDelay))
	return s, bad
}

// blanks are the white space of RFC 5322 section 2.2.2; a value that was unfolded has no other.
const blanks = " \t"

// parseReplyHeader parses "550", "550 5.1.1", "550 5.1.1 text" or "550 text". The enhanced status code may follow "-", as in an address,
// or "/", as in a plan.
func parseReplyHeader(value string) (*smtp.Reply, error) {
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return nil, errors.New("control characters")
	}
	code, rest := cutBlanks(value)
	code, joined, hasEnhanced := cutAny(code, "-/")
	if hasEnhanced {
		return parseSwitchReply(smtp.StageMessage, code, joined, true, rest)
	}
	word, text := cutBlanks(rest)
	if _, err := smtp.ParseEnhanced(word); err == nil {
		return parseSwitchReply(smtp.StageMessage, code, word, true, text)
	}
	return parseSwitchReply(smtp.StageMessage, code, "", false, rest)
}

// cutBlanks returns the first word and what follows the blanks behind it.
func cutBlanks(text string) (word, rest string) {
	if i := strings.IndexAny(text, blanks); i >= 0 {
		return text[:i], strings.Trim(text[i:], blanks)
	}
	return text, ""
}

// cutAny cuts text at the first of these characters.
func cutAny(text, characters string) (before, after string, found bool) {
	if i := strings.IndexAny(text, characters); i >= 0 {
		return text[:i], text[i+1:], true
	}
	return text, "", false
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
