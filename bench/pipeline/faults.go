package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

// Faults are what the sink does on purpose: a plan and where it came from.
type Faults struct {
	Plan   *fault.Plan // nil: every reply is the plain positive one
	Source result.Plan
}

// Calm is no fault at all.
func Calm() Faults {
	return Faults{Source: result.Plan{Name: "calm", Text: "every reply is the plain positive one"}}
}

// FromFile reads a plan by load; change, such as of the seed, comes before it is compiled. Errors are *input.Errors.
func FromFile(load func(name string) (*plan.File, error), path string, change func(*fault.PlanSpec)) (Faults, error) {
	file, err := load(path)
	if err != nil {
		return Faults{}, &input.Error{Err: err}
	}
	spec := file.Spec
	change(&spec)
	p, err := fault.NewPlan(spec)
	if err != nil {
		return Faults{}, &input.Error{Err: err}
	}
	name := p.Name()
	if name == "" {
		name = filepath.Base(path)
	}
	return Faults{p, result.Plan{Name: name, Text: string(file.Text), SHA256: file.SHA256}}, nil
}

// FromFlags makes a plan of flags of the command line.
func FromFlags(flags fault.Flags, change func(*fault.PlanSpec)) (Faults, error) {
	spec, err := fault.CompileFlags(flags)
	if err != nil {
		return Faults{}, &input.Error{Err: err}
	}
	change(&spec)
	text := flagText(flags, spec.Seed)
	spec.Name = text
	p, err := fault.NewPlan(spec)
	if err != nil {
		return Faults{}, &input.Error{Err: err}
	}
	sum := sha256.Sum256([]byte(text))
	return Faults{p, result.Plan{Name: text, Text: text, SHA256: hex.EncodeToString(sum[:])}}, nil
}

// flagText writes flags as smtpsink takes them.
func flagText(f fault.Flags, seed uint64) string {
	var parts []string
	add := func(flag string, values ...string) {
		for _, v := range values {
			if strings.ContainsAny(v, " ()'\"*") {
				v = "'" + v + "'"
			}
			parts = append(parts, "--"+flag+" "+v)
		}
	}
	if f.Mode != "" {
		add("mode", f.Mode)
	}
	add("at", f.At...)
	add("weight", f.Weights...)
	if f.RandomAccept != 0 {
		add("random-accept", fmt.Sprint(f.RandomAccept))
	}
	add("reply", f.Replies...)
	add("delay", f.Delays...)
	add("seed", fmt.Sprint(seed))
	return strings.Join(parts, " ")
}
