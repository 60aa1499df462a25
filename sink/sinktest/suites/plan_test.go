package suites

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// turn is what a server says at one point: to the greeting, a command, a response of AUTH, a chunk, or a message.
type turn struct {
	stage  smtp.Stage
	octets []byte        // said
	after  time.Duration // it is silent for so long before
	close  bool          // it closes behind it
	code   smtp.Code     // what it has to be taken for; 0: what it says
	last   bool          // of the last chunk, which is of stage bdat where it is refused
	mute   bool          // neither says nor closes
	pause  time.Duration // within what it says
}

// planOf writes a dialogue down as a plan: a rule for each reply, by connection and by its place in it.
func planOf(d *dialogue) (fault.PlanSpec, error) {
	var spec fault.PlanSpec
	for n, steps := range d.conns {
		turns, err := turnsOf(steps, d.lmtp)
		if err != nil {
			return spec, fmt.Errorf("connection %d: %w", n+1, err)
		}
		for i := range turns {
			t := &turns[i]
			match := fault.Match{Connections: fault.Range{From: uint64(n + 1), To: uint64(n + 1)}}
			match.Turns = fault.Range{From: uint64(i + 1), To: uint64(i + 1)}
			rule := fault.RuleSpec{Stage: t.stage, Match: match, Outcomes: []fault.OutcomeSpec{t.outcome()}}
			spec.Rules = append(spec.Rules, rule)
			if t.stage != smtp.StageConnect { // also where the sink would refuse it
				rule.Match.Errors = []fault.ErrorPattern{{}}
				spec.Rules = append(spec.Rules, rule)
			}
			if t.last {
				rule.Stage = smtp.StageBdat
				spec.Rules = append(spec.Rules, rule)
			}
		}
	}
	return spec, nil
}

// outcome says what the turn says: as a reply where it is one.
func (t *turn) outcome() fault.OutcomeSpec {
	o := fault.OutcomeSpec{Weight: 1}
	if t.after > 0 {
		o.Delay, _ = fault.ParseDelay(t.after.String())
	}
	switch {
	case t.mute:
		o.Silence = true
		return o
	case len(t.octets) == 0 && t.close:
		o.Close = fault.Close{Mode: fault.CloseFIN}
		return o
	case t.close:
		o.Close = fault.Close{Mode: fault.CloseFIN, When: fault.CloseAfter}
	}
	if t.pause > 0 {
		o.Split = fault.Split{Packets: 2, Pause: t.pause}
	}
	code, text, plain := plainReply(t.octets)
	if plain && (t.code == 0 || t.code == code) {
		o.Code, o.Text, o.NoEnhanced = code, text, true
		if t.stage == smtp.StageConnect || t.stage == smtp.StageHelo || t.stage == smtp.StageEhlo {
			o.NoEnhanced = false
		}
		return o
	}
	o.Raw, o.Code = append([]byte{}, t.octets...), t.code
	if o.Code == 0 {
		if o.Code = code; o.Code == 0 {
			o.Code = fault.PlainCode(t.stage)
		}
	}
	return o
}

// plainReply takes one reply apart whose words a plan can have.
func plainReply(octets []byte) (code smtp.Code, text []string, ok bool) {
	code, _ = smtp.ParseCode(string(octets[:min(3, len(octets))]))
	for rest := octets; ; {
		line, after, whole := bytes.Cut(rest, []byte("\r\n"))
		last := len(after) == 0
		switch {
		case !whole, code == 0, len(line) < 5, string(line[:3]) != string(octets[:3]), line[3] != ' ' && line[3] != '-', (line[3] == ' ') != last:
			return code, nil, false
		}
		words := string(line[4:])
		if strings.ContainsAny(words, "\r\n\t\x00") || strings.TrimSpace(words) != words || len(words) > 400 || strings.Contains(words, "{{") {
			return code, nil, false
		}
		if text = append(text, words); last {
			return code, text, true
		}
		rest = after
	}
}

// turnsOf finds out what is said to what.
func turnsOf(steps []step, lmtp bool) (turns []turn, err error) {
	turns = []turn{{stage: smtp.StageConnect}}
	heard := 0       // of the turns at the end nothing was said to so many, but for the last
	said := false    // something was said to the last turn
	recipients := 0  // that were accepted since MAIL
	closed := false  // the client has
	pausing := false // the server was silent behind what it said
	var pause time.Duration
	for i := 0; i < len(steps); i++ {
		s := &steps[i]
		last := &turns[len(turns)-1]
		switch s.kind {
		case wait:
			if said {
				pausing, pause = true, s.wait
			} else {
				last.after += s.wait
			}
		case say:
			switch boundary := lmtp && last.stage == smtp.StageMessage; {
			case !pausing:
			case boundary || !whole(last.octets): // a pause within a reply, or before that to another recipient
				last.pause, pausing = pause, false
			default:
				return nil, fmt.Errorf("says something unasked, after a time of its own")
			}
			last.octets = append(last.octets, s.octets...)
			said = true
		case leave:
			closed = true
		case hear, body, chunk:
			if s.kind == chunk && i > 0 && steps[i-1].kind == hear { // belongs to its BDAT
				continue
			}
			if !said {
				heard++
			} else {
				turns, recipients = spread(turns, heard, lmtp, recipients)
				heard = 0
			}
			said, pausing = false, false
			last = &turns[len(turns)-1]
			class := classOf(last)
			inAuth := last.stage == smtp.StageAuth && class == 3
			inData := last.stage == smtp.StageData
			next := turn{}
			switch {
			case s.kind == body:
				if !inData {
					return nil, fmt.Errorf("hears a message that no DATA began")
				}
				if class != 3 && len(last.octets) > 0 {
					last.code = 354
				}
				next.stage = smtp.StageMessage
			case inAuth:
				next.stage = smtp.StageAuth
			default:
				if inData && class == 3 && len(last.octets) > 0 {
					last.code = 554 // a command comes instead of the message
				}
				next.stage = smtp.ParseCommand([]byte(s.line)).Verb.Stage()
				if next.stage == smtp.StageBdat && strings.Contains(strings.ToUpper(s.line), "LAST") {
					next.stage, next.last = smtp.StageMessage, true
				}
			}
			if last.stage == smtp.StageStartTLS && class == 2 {
				return nil, fmt.Errorf("goes on in plain text after STARTTLS")
			}
			if last.stage == smtp.StageQuit && !last.mute {
				return nil, fmt.Errorf("goes on after QUIT")
			}
			if classOf(last) == 4 && bytes.HasPrefix(last.octets, []byte("421")) {
				last.code = 450 // it goes on
			}
			turns = append(turns, next)
		}
	}
	last := &turns[len(turns)-1]
	switch {
	case !said && !closed:
		last.close = true
	case !said:
		last.mute = true
	case !closed && last.stage != smtp.StageQuit && !bytes.HasPrefix(last.octets, []byte("421")):
		last.close = true
	}
	if said {
		turns, _ = spread(turns, heard, lmtp, recipients)
	}
	return turns, nil
}

func classOf(t *turn) uint8 {
	if len(t.octets) == 0 {
		return 0
	}
	return t.octets[0] - '0'
}

// spread gives each of the last turns that were heard before anything was said its own reply, as a client reads them. In LMTP the end of a
// message has as many as recipients were accepted.
func spread(turns []turn, heard int, lmtp bool, recipients int) ([]turn, int) {
	last := &turns[len(turns)-1]
	var replies [][]byte
	for rest := last.octets; len(rest) > 0; {
		n := replyLength(rest)
		replies = append(replies, rest[:n])
		rest = rest[n:]
	}
	if heard > 0 {
		group := turns[len(turns)-1-heard:]
		if len(replies) == len(group) {
			for i := range group {
				group[i].octets = replies[i]
			}
		} else { // all of it is said at last
			for i := range group[:heard] {
				group[i].octets, group[i].code = []byte{}, fault.PlainCode(group[i].stage)
			}
		}
	}
	switch last.stage {
	case smtp.StageMail:
		recipients = 0
	case smtp.StageRcpt:
		if classOf(last) == 2 {
			recipients++
		}
	case smtp.StageMessage:
		if lmtp && len(replies) > 1 && recipients > 1 {
			close, code := last.close, last.code
			last.octets, last.close = replies[0], false
			for i := 1; i < len(replies); i++ {
				turns = append(turns, turn{stage: smtp.StageMessage, octets: replies[i], code: code})
			}
			turns[len(turns)-1].close = close
		}
	}
	return turns, recipients
}

// whole reports whether octets end with the end of a reply.
func whole(octets []byte) bool {
	for len(octets) > 0 {
		n := replyLength(octets)
		if n == len(octets) {
			line := octets[bytes.LastIndexByte(bytes.TrimSuffix(octets, []byte("\n")), '\n')+1:]
			return octets[n-1] == '\n' && (len(line) < 4 || line[3] != '-')
		}
		octets = octets[n:]
	}
	return true
}

// replyLength returns how many octets the reply at the beginning has.
func replyLength(octets []byte) int {
	for n := 0; n < len(octets); {
		i := bytes.IndexByte(octets[n:], '\n')
		if i < 0 {
			return len(octets)
		}
		line := octets[n : n+i+1]
		if n += i + 1; len(line) < 4 || line[3] != '-' {
			return n
		}
	}
	return len(octets)
}
