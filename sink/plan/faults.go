package plan

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// faultFields are the keys of an outcome beside weight, reply and delay. given is called with the path of each that is there.
func (d *decoder) faultFields(f *fault.Faults, given func(path string)) []field {
	fields := []field{
		{"silence", func(n *yaml.Node, path string) error { return d.boolean(n, path, &f.Silence) }},
		{"dribble", func(n *yaml.Node, path string) error { return d.dribble(n, path, &f.Dribble) }},
		{"split", func(n *yaml.Node, path string) error { return d.split(n, path, &f.Split) }},
		{"malformed", func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "a malformation", fault.ParseMalformation, &f.Malformed)
		}},
		{"close", func(n *yaml.Node, path string) error { return d.close(n, path, &f.Close) }},
		{"delivery", func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "follow, keep or discard", fault.ParseDelivery, &f.Delivery)
		}},
		{"body", func(n *yaml.Node, path string) error { return d.body(n, path, &f.Body) }},
		{"missing", func(n *yaml.Node, path string) error {
			err := d.texts(n, path, &f.Missing)
			for i, name := range f.Missing {
				f.Missing[i] = strings.ToUpper(name)
			}
			return err
		}},
		{"capabilities", func(n *yaml.Node, path string) error { return d.capabilities(n, path, &f.Capabilities) }},
		{"tls", func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "a TLS fault", fault.ParseTLSFault, &f.TLS)
		}},
	}
	for i := range fields {
		read := fields[i].read
		fields[i].read = func(n *yaml.Node, path string) error {
			given(path)
			return read(n, path)
		}
	}
	return fields
}

func (d *decoder) dribble(n *yaml.Node, path string, into *fault.Dribble) error {
	return d.mapping(n, path, []field{
		{"octets", func(n *yaml.Node, path string) error { return d.count(n, path, &into.Octets) }},
		{"every", func(n *yaml.Node, path string) error { return d.duration(n, path, &into.Every) }},
	})
}

func (d *decoder) split(n *yaml.Node, path string, into *fault.Split) error {
	return d.mapping(n, path, []field{
		{"packets", func(n *yaml.Node, path string) error { return d.count(n, path, &into.Packets) }},
		{"pause", func(n *yaml.Node, path string) error { return d.duration(n, path, &into.Pause) }},
	})
}

// close reads fin, rst or half, which are before the reply, or a mapping.
func (d *decoder) close(n *yaml.Node, path string, into *fault.Close) error {
	mode := func(n *yaml.Node, path string) error {
		return parsed(d, n, path, "fin, rst or half", fault.ParseCloseKind, &into.Mode)
	}
	if deref(n).Kind != yaml.MappingNode {
		return mode(n, path)
	}
	return d.mapping(n, path, []field{
		{"mode", mode},
		{"when", func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "before or after", fault.ParseCloseWhen, &into.When)
		}},
	})
}

// capabilities reads all, or a list that may be empty.
func (d *decoder) capabilities(n *yaml.Node, path string, into **fault.Capabilities) error {
	c := &fault.Capabilities{}
	*into = c
	if deref(n).Kind == yaml.SequenceNode {
		return d.sequence(n, path, func(n *yaml.Node, path string) error {
			var line string
			err := d.text(n, path, &line)
			c.Lines = append(c.Lines, line)
			return err
		})
	}
	return parsed(d, n, path, "all, or a list such as [PIPELINING, SIZE 1000]", func(text string) (bool, error) {
		if text != "all" {
			return false, fmt.Errorf("invalid value %q (want all, or a list such as [PIPELINING, SIZE 1000])", text)
		}
		return true, nil
	}, &c.All)
}

func (d *decoder) body(n *yaml.Node, path string, into *fault.BodyFault) error {
	return d.mapping(n, path, []field{
		{"after", func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "a number of octets", parseOctets, &into.After)
		}},
		{"close", func(n *yaml.Node, path string) error {
			return parsed(d, n, path, "fin, rst or half", fault.ParseCloseKind, &into.Close)
		}},
		{"stop_reading", func(n *yaml.Node, path string) error { return d.boolean(n, path, &into.StopReading) }},
		{"for", func(n *yaml.Node, path string) error { return d.duration(n, path, &into.For) }},
	})
}

// parseOctets parses a number of octets: 65536, 64KiB or 10MiB.
func parseOctets(text string) (int64, error) {
	number, unit := text, int64(1)
	for _, u := range [...]struct {
		suffix string
		octets int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}} {
		if rest, ok := strings.CutSuffix(text, u.suffix); ok {
			number, unit = strings.TrimSpace(rest), u.octets
		}
	}
	v, err := strconv.ParseInt(number, 10, 64)
	if err != nil || v < 0 || v > math.MaxInt64/unit {
		return 0, fmt.Errorf("invalid number of octets %q (want for example 65536, 64KiB or 10MiB)", text)
	}
	return v * unit, nil
}

func (d *decoder) count(n *yaml.Node, path string, into *int) error {
	return parsed(d, n, path, "a whole number", func(text string) (int, error) {
		v, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return 0, fmt.Errorf("invalid number %q (want a whole number)", text)
		}
		return int(v), nil
	}, into)
}

func (d *decoder) duration(n *yaml.Node, path string, into *time.Duration) error {
	return parsed(d, n, path, "a duration such as 30s", func(text string) (time.Duration, error) {
		v, err := time.ParseDuration(text)
		if err != nil {
			return 0, fmt.Errorf("invalid duration %q (want for example 500ms, 30s, 5m or 4h)", text)
		}
		return v, nil
	}, into)
}
