package fault

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// faultKind is a kind of fault: what this package asks of each. What two of them have to do with each other is in validateTogether.
type faultKind struct {
	key    string               // as plans write it
	given  func(*Faults) bool   // whether the outcome has it
	name   func(*Faults) string // the word for it in ledgers, see Names
	check  func(*Faults) error  // whether its parameters are in range; nil: they can't be out of it
	stages []smtp.Stage         // at which it makes sense; nil: at all
	unsent bool                 // it makes sense, too, where no reply is sent
}

// faultKinds has every kind, in the order of Names.
var faultKinds = [...]faultKind{
	{key: "silence", given: func(f *Faults) bool { return f.Silence }, name: word("silence"), unsent: true},
	{key: "dribble", given: func(f *Faults) bool { return f.Dribble != Dribble{} }, name: word("dribble"), check: func(f *Faults) error {
		if d := f.Dribble; d.Octets < 1 || d.Octets > MaxDribbleOctets || d.Every < time.Millisecond || d.Every > MaxDelay {
			return fmt.Errorf("%d octets every %v is out of range (want 1 to %d octets every 1ms to %v)", d.Octets, d.Every, MaxDribbleOctets, MaxDelay)
		}
		return nil
	}},
	{key: "split", given: func(f *Faults) bool { return f.Split != Split{} }, name: word("split"), check: func(f *Faults) error {
		if p := f.Split; p.Packets < 2 || p.Packets > MaxSplitPackets || p.Pause < 0 || p.Pause > MaxDelay {
			return fmt.Errorf("%d packets with a pause of %v is out of range (want 2 to %d packets and 0s to %v)", p.Packets, p.Pause, MaxSplitPackets, MaxDelay)
		}
		return nil
	}},
	{key: "cut", given: func(f *Faults) bool { return f.Cut != Cut{} }, name: func(f *Faults) string {
		if f.Cut.Close == CloseNone {
			return "cut-stall"
		}
		return "cut-" + f.Cut.Close.String()
	}, check: func(f *Faults) error {
		if f.Cut.Octets < 1 || f.Cut.Octets > MaxCutOctets {
			return fmt.Errorf("%d octets is out of range (want 1 to %d)", f.Cut.Octets, MaxCutOctets)
		}
		return known(int(f.Cut.Close), closeKinds[:])
	}},
	{key: "malformed", given: func(f *Faults) bool { return f.Malformed != MalformedNone }, name: func(f *Faults) string { return "malformed-" + f.Malformed.String() },
		check: func(f *Faults) error { return known(int(f.Malformed), malformations[:]) }},
	{key: "raw", given: func(f *Faults) bool { return f.Raw != nil }, name: func(f *Faults) string {
		if f.unreadable {
			return "malformed-raw"
		}
		return "raw"
	}},
	{key: "bandwidth", given: func(f *Faults) bool { return f.Bandwidth != Bandwidth{} }, name: func(f *Faults) string {
		if !f.Bandwidth.limits() {
			return "bandwidth-none"
		}
		return "bandwidth"
	}, check: func(f *Faults) error { return f.Bandwidth.validate() }},
	{key: "close", given: func(f *Faults) bool { return f.Close != Close{} }, name: func(f *Faults) string { return f.Close.Mode.String() + "-" + f.Close.When.String() },
		unsent: true, check: func(f *Faults) error {
			if f.Close.When != CloseBefore && f.Close.Mode == CloseNone {
				return fmt.Errorf("a time but no mode (want fin, rst or half)")
			}
			if err := known(int(f.Close.Mode), closeKinds[:]); err != nil {
				return err
			}
			return known(int(f.Close.When), closeWhens[:])
		}},
	{key: "body", given: func(f *Faults) bool { return f.Body != BodyFault{} }, name: func(f *Faults) string {
		var words []string
		if f.Body.Reply != nil {
			words = append(words, "body-reply")
		}
		if f.Body.Close != CloseNone {
			words = append(words, "body-"+f.Body.Close.String())
		}
		if f.Body.StopReading {
			words = append(words, "body-stop")
		}
		return strings.Join(words, "+")
	}, check: func(f *Faults) error {
		if err := known(int(f.Body.Close), closeKinds[:]); err != nil {
			return err
		}
		return f.Body.validate()
	}, stages: []smtp.Stage{smtp.StageData, smtp.StageBdat}},
	{key: "missing", given: func(f *Faults) bool { return len(f.Missing) > 0 }, name: word("missing"), check: func(f *Faults) error {
		for _, name := range f.Missing {
			if !slices.Contains(capabilities, name) {
				return fmt.Errorf("unknown capability %q (valid: %s)", name, strings.Join(capabilities, " "))
			}
		}
		return nil
	}, stages: []smtp.Stage{smtp.StageEhlo}},
	{key: "capabilities", given: func(f *Faults) bool { return f.Capabilities != nil }, name: func(f *Faults) string {
		if f.Capabilities.All { // as ever
			return ""
		}
		return "capabilities"
	}, check: func(f *Faults) error {
		for _, line := range f.Capabilities.Lines {
			if err := validateCapability(line); err != nil {
				return err
			}
		}
		return nil
	}, stages: []smtp.Stage{smtp.StageEhlo}},
	{key: "tls", given: func(f *Faults) bool { return f.TLS != TLSNone }, name: func(f *Faults) string { return "tls-" + f.TLS.String() },
		check: func(f *Faults) error { return known(int(f.TLS), tlsFaults[:]) }, stages: []smtp.Stage{smtp.StageConnect, smtp.StageStartTLS}},
	{key: "delivery", given: func(f *Faults) bool { return f.Delivery != DeliveryFollow }, name: func(f *Faults) string { return f.Delivery.String() },
		check: func(f *Faults) error { return known(int(f.Delivery), deliveries[:]) }, stages: []smtp.Stage{smtp.StageMessage}, unsent: true},
}

func word(name string) func(*Faults) string { return func(*Faults) string { return name } }

// known refuses a value that has no name.
func known(value int, names []string) error {
	if value >= len(names) {
		return fmt.Errorf("unknown value %d", value)
	}
	return nil
}

// IsZero reports whether nothing is edited.
func (f *Faults) IsZero() bool {
	return !slices.ContainsFunc(faultKinds[:], func(k faultKind) bool { return k.given(f) })
}

// Names says what the faults do, for ledgers and messages to people: words joined by "+", such as "rst-before+keep"; empty when they
// do nothing. The words are silence, dribble, split, cut-stall and cut-KIND, malformed-KIND, raw (malformed-raw where a client can't read it), bandwidth (bandwidth-none where
// it ends), KIND-before and KIND-after (close), body-reply, body-KIND and body-stop, missing, capabilities, tls-KIND, and keep and discard (delivery).
func (f *Faults) Names() string {
	var words []string
	for _, k := range faultKinds {
		if k.given(f) {
			if name := k.name(f); name != "" {
				words = append(words, name)
			}
		}
	}
	return strings.Join(words, "+")
}

// beside reports whether any fault is given that makes no sense where no reply is sent.
func (f *Faults) beside() bool {
	return slices.ContainsFunc(faultKinds[:], func(k faultKind) bool { return !k.unsent && k.given(f) })
}

// validate checks the faults of an outcome at a stage, with the code and reply that it has; reply is nil for the plain one, and
// delayed is set when the outcome has a delay. The error has the field's name as plans write it.
func (f *Faults) validate(s smtp.Stage, code smtp.Code, reply *smtp.Reply, delayed bool) (field string, err error) {
	for _, k := range faultKinds {
		if k.given(f) && k.stages != nil && !slices.Contains(k.stages, s) {
			return "." + k.key, fmt.Errorf("not valid at stage %v (valid at: %s)", s, stageList(k.stages))
		}
	}
	for _, k := range faultKinds {
		if k.given(f) && k.check != nil {
			if err := k.check(f); err != nil {
				return "." + k.key, err
			}
		}
	}
	return f.validateTogether(code, s, reply, delayed)
}
