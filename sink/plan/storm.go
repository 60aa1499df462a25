package plan

import (
	"fmt"

	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// rules reads a list of rules.
func (d *decoder) rules(n *yaml.Node, path string, into *[]fault.RuleSpec) error {
	return d.sequence(n, path, func(n *yaml.Node, path string) error {
		rule, err := d.rule(n, path)
		*into = append(*into, rule)
		return err
	})
}

func (d *decoder) listener(n *yaml.Node, path string) (l fault.Listener, err error) {
	err = d.mapping(n, path, []field{
		{"name", func(n *yaml.Node, path string) error { return d.text(n, path, &l.Name) }},
		{"address", func(n *yaml.Node, path string) error { return d.text(n, path, &l.Address) }},
		{"protocol", func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "smtp or lmtp", oneOf("protocol", "smtp", "lmtp"), &l.LMTP)
		}},
		{"tls", func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "none or implicit", oneOf("TLS", "none", "implicit"), &l.ImplicitTLS)
		}},
		{"proxied", func(n *yaml.Node, path string) error { return d.boolean(n, path, &l.Proxied) }},
		{"dsn", func(n *yaml.Node, path string) error { return d.boolean(n, path, &l.DSN) }},
	})
	return l, err
}

// oneOf returns a parser of two words, the second of which is true.
func oneOf(what, no, yes string) func(text string) (bool, error) {
	return func(text string) (bool, error) {
		if text != no && text != yes {
			return false, fmt.Errorf("unknown %s %q (valid: %s %s)", what, text, no, yes)
		}
		return text == yes, nil
	}
}

// listenerFaults reads a mapping from names of listeners to faults.
func (d *decoder) listenerFaults(n *yaml.Node, path string, into *[]fault.ListenerFaultSpec) error {
	n, err := d.resolve(n, path)
	if err != nil {
		return err
	}
	if n.Kind != yaml.MappingNode {
		return d.errorf(n, path, "%s (want a mapping from names of listeners, or *, to faults)", describe(n))
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		var s fault.ListenerFaultSpec
		if err := d.text(n.Content[i], path, &s.Listener); err != nil {
			return err
		}
		key := join(path, s.Listener)
		if seen[s.Listener] {
			return d.errorf(n.Content[i], key, "key is given twice")
		}
		seen[s.Listener] = true
		if err := parsed(d, n.Content[i+1], key, "a listener fault", fault.ParseListenerFault, &s.Fault); err != nil {
			return err
		}
		*into = append(*into, s)
	}
	return nil
}

func (d *decoder) limits(n *yaml.Node, path string, into *[]fault.LimitSpec) error {
	return d.sequence(n, path, func(n *yaml.Node, path string) error {
		limit, err := d.limit(n, path)
		*into = append(*into, limit)
		return err
	})
}

func (d *decoder) limit(n *yaml.Node, path string) (l fault.LimitSpec, err error) {
	kind := false
	err = d.mapping(n, path, []field{
		{"name", func(n *yaml.Node, path string) error { return d.text(n, path, &l.Name) }},
		{"kind", func(n *yaml.Node, path string) error {
			kind = true
			return parsed(d, n, path, "a kind of limit", fault.ParseLimitKind, &l.Kind)
		}},
		{"scope", func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "a scope", fault.ParseLimitScope, &l.Scope)
		}},
		{"stage", func(n *yaml.Node, path string) error {
			l.HasStage = true
			return parsed(d, n, path, "a stage", smtp.ParseStage, &l.Stage)
		}},
		{"match", func(n *yaml.Node, path string) error { return d.match(n, path, &l.Match) }},
		{"except", func(n *yaml.Node, path string) error {
			return d.oneOrMore(n, path, func(n *yaml.Node, path string) error {
				var m fault.Match
				err := d.match(n, path, &m)
				l.Except = append(l.Except, m)
				return err
			})
		}},
		{"rate", func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "a rate such as 20/s", fault.ParseRate, &l.Rate)
		}},
		{"burst", func(n *yaml.Node, path string) error { return d.number(n, path, &l.Burst) }},
		{"max", func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "a whole number", parseOctets, &l.Max)
		}},
		{"delay", func(n *yaml.Node, path string) error { return d.duration(n, path, &l.Delay) }},
		{"window", func(n *yaml.Node, path string) error { return d.duration(n, path, &l.Window) }},
		{"reply", func(n *yaml.Node, path string) error {
			var o fault.OutcomeSpec
			err := d.reply(n, path, &o)
			if l.Code, l.Enhanced, l.Text = o.Code, o.Enhanced, o.Text; err == nil && o.Code == 0 {
				err = d.errorf(n, path, "the plain reply is no refusal (want 400 to 599)")
			}
			return err
		}},
	})
	if err == nil && !kind {
		err = d.errorf(n, join(path, "kind"), "missing (want what the limit counts)")
	}
	return l, err
}

func (d *decoder) phases(n *yaml.Node, path string, into *[]fault.PhaseSpec) error {
	*into = []fault.PhaseSpec{}
	return d.sequence(n, path, func(n *yaml.Node, path string) error {
		phase, err := d.phase(n, path)
		*into = append(*into, phase)
		return err
	})
}

func (d *decoder) phase(n *yaml.Node, path string) (p fault.PhaseSpec, err error) {
	err = d.mapping(n, path, []field{
		{"name", func(n *yaml.Node, path string) error { return d.text(n, path, &p.Name) }},
		{"duration", func(n *yaml.Node, path string) error { return d.duration(n, path, &p.Duration) }},
		{"ramp", func(n *yaml.Node, path string) error {
			p.Ramp = &fault.Ramp{From: 0, To: 1}
			return d.mapping(n, path, []field{
				{"from", func(n *yaml.Node, path string) error { return d.number(n, path, &p.Ramp.From) }},
				{"to", func(n *yaml.Node, path string) error { return d.number(n, path, &p.Ramp.To) }},
			})
		}},
		{"repeat", func(n *yaml.Node, path string) error {
			err := d.count(n, path, &p.Repeat)
			if err == nil && p.Repeat == 0 {
				err = d.errorf(n, path, "0 is out of range (want 1 to %d)", fault.MaxRepeat)
			}
			return err
		}},
		{"listener_faults", func(n *yaml.Node, path string) error { return d.listenerFaults(n, path, &p.Listeners) }},
		{"limits", func(n *yaml.Node, path string) error { return d.limits(n, path, &p.Limits) }},
		{"rules", func(n *yaml.Node, path string) error { return d.rules(n, path, &p.Rules) }},
		{"phases", func(n *yaml.Node, path string) error { return d.phases(n, path, &p.Phases) }},
	})
	return p, err
}

// headers reads a mapping from names of header fields to one glob or several.
func (d *decoder) headers(n *yaml.Node, path string, into *[]fault.HeaderPattern) error {
	n, err := d.resolve(n, path)
	if err != nil {
		return err
	}
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		return d.errorf(n, path, "%s (want a mapping from names of header fields to patterns)", describe(n))
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		var p fault.HeaderPattern
		if err := d.text(n.Content[i], path, &p.Name); err != nil {
			return err
		}
		key := join(path, p.Name)
		if seen[p.Name] {
			return d.errorf(n.Content[i], key, "key is given twice")
		}
		seen[p.Name] = true
		if err := d.texts(n.Content[i+1], key, &p.Globs); err != nil {
			return err
		}
		*into = append(*into, p)
	}
	return nil
}
