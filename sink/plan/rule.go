package plan

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// rule reads one element of rules.
func (d *decoder) rule(n *yaml.Node, path string) (fault.RuleSpec, error) {
	var rule fault.RuleSpec
	var given [4]string // stage, and which of reply, mode and outcomes decides
	var own string      // the first fault that the rule itself has
	single := fault.OutcomeSpec{Weight: 1}
	strict := true
	mark := func(i int, read func(n *yaml.Node, path string) error) func(n *yaml.Node, path string) error {
		return func(n *yaml.Node, path string) error {
			given[i] = path
			return read(n, path)
		}
	}
	var strictNode *yaml.Node
	fields := []field{
		{"name", func(n *yaml.Node, path string) error { return d.text(n, path, &rule.Name) }},
		{"stage", mark(0, func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "a stage", smtp.ParseStage, &rule.Stage)
		})},
		{"match", func(n *yaml.Node, path string) error { return d.match(n, path, &rule.Match) }},
		{"reply", mark(1, func(n *yaml.Node, path string) error { return d.reply(n, path, &single) })},
		{"mode", mark(2, func(n *yaml.Node, path string) error { return d.mode(n, path, &rule.Mode) })},
		{"outcomes", mark(3, func(n *yaml.Node, path string) error {
			rule.Outcomes = nil
			return d.sequence(n, path, func(n *yaml.Node, path string) error {
				outcome, err := d.outcome(n, path)
				rule.Outcomes = append(rule.Outcomes, outcome)
				return err
			})
		})},
		{"delay", func(n *yaml.Node, path string) error { return d.delay(n, path, &rule.Delay) }},
		{"key", func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "a key", fault.ParseKeyKind, &rule.Key)
		}},
		{"strict", func(n *yaml.Node, path string) error {
			strictNode = n
			return d.boolean(n, path, &strict)
		}},
	}
	fields = append(fields, d.faultFields(&single.Faults, func(path string) {
		if own == "" {
			own = path
		}
	})...)
	if err := d.mapping(n, path, fields); err != nil {
		return rule, err
	}
	deciders := 0
	for _, path := range given[1:] {
		if path != "" {
			deciders++
		}
	}
	switch {
	case given[0] == "":
		return rule, d.errorf(n, join(path, "stage"), "missing (want the stage that the rule speaks at)")
	case deciders > 1:
		return rule, d.errorf(n, path, "more than one of reply, mode and outcomes (want one of them, or none for the plain reply)")
	case given[3] != "" && len(rule.Outcomes) == 0:
		return rule, d.errorf(n, given[3], "no outcomes (want at least one)")
	case strictNode != nil && given[2] == "":
		return rule, d.errorf(strictNode, join(path, "strict"), "there is no mode that it could apply to")
	case own != "" && (given[2] != "" || given[3] != ""):
		return rule, d.errorf(n, own, "not beside mode or outcomes (want it in an element of outcomes)")
	case own != "" || given[1] != "":
		rule.Outcomes = []fault.OutcomeSpec{single}
	}
	rule.Mode.Loose = !strict
	return rule, nil
}

func (d *decoder) match(n *yaml.Node, path string, m *fault.Match) error {
	list := func(into *[]string) func(n *yaml.Node, path string) error {
		return func(n *yaml.Node, path string) error { return d.texts(n, path, into) }
	}
	ordinals := func(into *fault.Range) func(n *yaml.Node, path string) error {
		return func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "3, 1-3 or 4-", fault.ParseRange, into)
		}
	}
	return d.mapping(n, path, []field{
		{"listener", list(&m.Listeners)},
		{"client", func(n *yaml.Node, path string) error {
			return d.oneOrMore(n, path, func(n *yaml.Node, path string) error {
				var network netip.Prefix
				err := parsed(d, n, path, "an address or network", parseNetwork, &network)
				m.Clients = append(m.Clients, network)
				return err
			})
		}},
		{"helo", list(&m.Helos)},
		{"sender", list(&m.Senders)},
		{"recipient", list(&m.Recipients)},
		{"attempt", ordinals(&m.Attempts)},
		{"message", ordinals(&m.Messages)},
		{"connection", ordinals(&m.Connections)},
		{"tls", func(n *yaml.Node, path string) error {
			var encrypted bool
			err := d.boolean(n, path, &encrypted)
			if m.TLS = fault.TLSNo; encrypted {
				m.TLS = fault.TLSYes
			}
			return err
		}},
		{"header", func(n *yaml.Node, path string) error { return d.headers(n, path, &m.Headers) }},
		{"sequence", func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "bad", parseSequence, &m.OutOfOrder)
		}},
	})
}

// parseSequence parses the only value that sequence has: rules without it are for commands that are in order.
func parseSequence(text string) (bool, error) {
	if text != "bad" {
		return false, fmt.Errorf("invalid value %q (want bad, for commands out of order, or no such key)", text)
	}
	return true, nil
}

// parseNetwork parses a network in CIDR notation, or one address.
func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("invalid network %q (want for example 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32)", text)
	}
	if network != network.Masked() {
		return netip.Prefix{}, fmt.Errorf("network %q has bits set behind its mask (want %v)", text, network.Masked())
	}
	return network, nil
}

func (d *decoder) outcome(n *yaml.Node, path string) (fault.OutcomeSpec, error) {
	o := fault.OutcomeSpec{Weight: 1}
	fields := []field{
		{"weight", func(n *yaml.Node, path string) error { return d.number(n, path, &o.Weight) }},
		{"reply", func(n *yaml.Node, path string) error { return d.reply(n, path, &o) }},
		{"delay", func(n *yaml.Node, path string) error {
			err := d.delay(n, path, &o.Delay)
			o.NoDelay = o.Delay.IsZero()
			return err
		}},
	}
	err := d.mapping(n, path, append(fields, d.faultFields(&o.Faults, func(string) {})...))
	return o, err
}

// reply reads 450, 550/5.7.1, plain, or a mapping.
func (d *decoder) reply(n *yaml.Node, path string, o *fault.OutcomeSpec) error {
	if deref(n).Kind != yaml.MappingNode {
		var reply fault.OutcomeSpec
		err := parsed(d, n, path, "a code, or a mapping with code, enhanced and text", fault.ParseReply, &reply)
		o.Code, o.Enhanced = reply.Code, reply.Enhanced
		return err
	}
	err := d.mapping(n, path, []field{
		{"code", func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "a reply code", smtp.ParseCode, &o.Code)
		}},
		{"enhanced", func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "an enhanced status code", smtp.ParseEnhanced, &o.Enhanced)
		}},
		{"text", func(n *yaml.Node, path string) error { return d.texts(n, path, &o.Text) }},
	})
	if err == nil && o.Code == 0 {
		err = d.errorf(n, join(path, "code"), "missing (want 200 to 599)")
	}
	return err
}

// mode reads a mode's name, or a mapping.
func (d *decoder) mode(n *yaml.Node, path string, m *fault.ModeSpec) error {
	if deref(n).Kind != yaml.MappingNode {
		return parsed(d, n, path, "a mode", fault.ParseMode, &m.Mode)
	}
	err := d.mapping(n, path, []field{
		{"name", func(n *yaml.Node, path string) error { return parsed(d, n, path, "a mode", fault.ParseMode, &m.Mode) }},
		{"accept", func(n *yaml.Node, path string) error {
			err := d.number(n, path, &m.RandomAccept)
			if err == nil && !(m.RandomAccept > 0 && m.RandomAccept < 1) {
				err = d.errorf(n, path, "invalid odds %v (want above 0, below 1)", m.RandomAccept)
			}
			return err
		}},
		{"weights", func(n *yaml.Node, path string) error { return d.weights(n, path, m) }},
	})
	switch {
	case err != nil:
		return err
	case m.Mode == fault.ModeNone:
		return d.errorf(n, join(path, "name"), "missing (want the mode's name)")
	case m.RandomAccept != 0 && m.Mode != fault.ModeRandom:
		return d.errorf(n, join(path, "accept"), "only mode random has odds to accept")
	}
	return nil
}

// weights reads a mapping from codes to weights.
func (d *decoder) weights(n *yaml.Node, path string, m *fault.ModeSpec) error {
	n, err := d.resolve(n, path)
	if err != nil {
		return err
	}
	if n.Kind != yaml.MappingNode {
		return d.errorf(n, path, "%s (want a mapping from codes to weights)", describe(n))
	}
	m.Weights = map[smtp.Code]float64{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		var code smtp.Code
		if err := parsed(d, n.Content[i], path, "a reply code", smtp.ParseCode, &code); err != nil {
			return err
		}
		if _, twice := m.Weights[code]; twice {
			return d.errorf(n.Content[i], fmt.Sprintf("%s.%d", path, code), "key is given twice")
		}
		var weight float64
		if err := d.number(n.Content[i+1], fmt.Sprintf("%s.%d", path, code), &weight); err != nil {
			return err
		}
		m.Weights[code] = weight
	}
	return nil
}

func (d *decoder) delay(n *yaml.Node, path string, into *fault.Delay) error {
	return parsed(d, n, path, "a delay such as 20ms or uniform(5ms,50ms)", fault.ParseDelay, into)
}

// parsed reads a scalar with the parser that flags use too.
func parsed[T any](d *decoder, n *yaml.Node, path, want string, parse func(string) (T, error), into *T) error {
	text, err := d.scalar(n, path, want)
	if err != nil {
		return err
	}
	if *into, err = parse(text); err != nil {
		return d.wrap(n, path, err)
	}
	return nil
}

func (d *decoder) text(n *yaml.Node, path string, into *string) (err error) {
	*into, err = d.scalar(n, path, "text")
	return err
}

// texts reads one text or a list of them.
func (d *decoder) texts(n *yaml.Node, path string, into *[]string) error {
	return d.oneOrMore(n, path, func(n *yaml.Node, path string) error {
		var text string
		err := d.text(n, path, &text)
		*into = append(*into, text)
		return err
	})
}

// oneOrMore reads one value, or the elements of a list that is not empty.
func (d *decoder) oneOrMore(n *yaml.Node, path string, read func(n *yaml.Node, path string) error) error {
	list := deref(n)
	if list.Kind != yaml.SequenceNode {
		return read(n, path)
	}
	if len(list.Content) == 0 {
		return d.errorf(n, path, "empty list (want at least one, or no such key)")
	}
	return d.sequence(n, path, read)
}

func (d *decoder) version(n *yaml.Node, path string, into *int) error {
	text, err := d.scalar(n, path, strconv.Itoa(Version))
	if err != nil {
		return err
	}
	if text != strconv.Itoa(Version) {
		return d.errorf(n, path, "unknown format version %q (valid: %d)", text, Version)
	}
	*into = Version
	return nil
}

func (d *decoder) unsigned(n *yaml.Node, path string, into *uint64) error {
	return parsed(d, n, path, "a whole number", func(text string) (uint64, error) {
		v, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("invalid number %q (want 0 to %d)", text, ^uint64(0))
		}
		return v, nil
	}, into)
}

func (d *decoder) number(n *yaml.Node, path string, into *float64) error {
	return parsed(d, n, path, "a number", func(text string) (float64, error) {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || strings.ContainsAny(text, "xX_") {
			return 0, fmt.Errorf("invalid number %q", text)
		}
		return v, nil
	}, into)
}

func (d *decoder) boolean(n *yaml.Node, path string, into *bool) error {
	return parsed(d, n, path, "true or false", func(text string) (bool, error) {
		switch text {
		case "true", "false":
			return text == "true", nil
		}
		return false, fmt.Errorf("invalid value %q (want true or false)", text)
	}, into)
}
