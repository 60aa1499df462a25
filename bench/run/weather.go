package run

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

// weather is what the sink does in a leg: a plan and where it came from.
type weather struct {
	plan   *fault.Plan // nil: every reply is the plain positive one
	source result.Plan
}

// calm is the weather without a plan.
func calm() weather {
	return weather{source: result.Plan{Name: "calm", Text: "every reply is the plain positive one"}}
}

// storm returns the weather that the options name: a plan, flags, or otherwise that plan of the bundle.
func (o *Options) storm(b *bundle, otherwise string) (weather, error) {
	if o.hasPlanFlags() {
		return fromFlags(o.Flags, o.seed)
	}
	if o.Plan == "" {
		return fromFile(b.plan, otherwise, o.seed)
	}
	return fromFile(b.planFile, o.Plan, o.seed)
}

// seed replaces a plan's seed if the user gave one.
func (o *Options) seed(spec *fault.PlanSpec) {
	if o.SeedSet {
		spec.Seed = o.Seed
	}
}

func fromFile(load func(name string) (*plan.File, error), path string, seed func(*fault.PlanSpec)) (weather, error) {
	file, err := load(path)
	if err != nil {
		return weather{}, &InputError{err}
	}
	spec := file.Spec
	seed(&spec)
	p, err := fault.NewPlan(spec)
	if err != nil {
		return weather{}, &InputError{err}
	}
	name := p.Name()
	if name == "" {
		name = filepath.Base(path)
	}
	return weather{p, result.Plan{Name: name, Text: string(file.Text), SHA256: file.SHA256}}, nil
}

func fromFlags(flags fault.Flags, seed func(*fault.PlanSpec)) (weather, error) {
	spec, err := fault.CompileFlags(flags)
	if err != nil {
		return weather{}, &InputError{err}
	}
	seed(&spec)
	text := flagText(flags, spec.Seed)
	spec.Name = text
	p, err := fault.NewPlan(spec)
	if err != nil {
		return weather{}, &InputError{err}
	}
	sum := sha256.Sum256([]byte(text))
	return weather{p, result.Plan{Name: text, Text: text, SHA256: hex.EncodeToString(sum[:])}}, nil
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
