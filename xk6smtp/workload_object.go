package xk6smtp

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/grafana/sobek"

	"github.com/smtpstorm/xk6-smtp/xk6smtp/workload"
)

const workloadOwner = "Workload"

// Bounds of a workload's options.
const (
	maxWorkloadRate   = 1e6
	maxPerDay         = 1e11
	maxWorkloadRcpts  = 1000
	maxWorkloadNumber = 1 << 53 // the whole numbers that JavaScript counts to
)

// workloadOptions are the options of new Workload.
type workloadOptions struct {
	rate, perDay      float64
	seed              int64
	profile           *workload.Profile
	sizes, recipients []workload.Entry
}

// arrival is what JavaScript sees of a message of a workload.
type arrival struct {
	ID         string  `js:"id"`
	At         float64 `js:"at"` // ms since the slot began
	Size       int     `js:"size"`
	Recipients int     `js:"recipients"`
}

// newWorkload is the constructor of Workload. What it draws follows from the options alone, in every VU.
func (m *module) newWorkload(call sobek.ConstructorCall) *sobek.Object {
	rt := m.vu.Runtime()
	o, err := parseWorkloadOptions(rt, call.Argument(0))
	if err != nil {
		m.throw(err)
	}
	w := &workload.Workload{Seed: uint64(o.seed)} // #nosec G115 -- parsed as 0 or more
	if w.Sizes, err = workload.NewTable(o.sizes, 1, maxMessage); err != nil {
		m.throw(&optionError{workloadOwner, "sizes", err.Error()})
	}
	if w.Recipients, err = workload.NewTable(o.recipients, 1, maxWorkloadRcpts); err != nil {
		m.throw(&optionError{workloadOwner, "recipients", err.Error()})
	}
	slot := func(call sobek.FunctionCall) sobek.Value {
		n, err := option{owner: "slot", key: "n", value: call.Argument(0), rt: rt}.integer(0, maxWorkloadNumber)
		if err != nil {
			m.throw(err)
		}
		out := []any{}
		for i, one := range w.Slot(uint64(n)) { // #nosec G115 -- 0 or more
			out = append(out, arrival{fmt.Sprintf("%d-%d", n, i), one.At * 1000 / o.rate, one.Size, one.Recipients})
		}
		return rt.NewArray(out...)
	}
	for name, value := range map[string]any{"rate": o.rate, "sizes": w.Sizes.Values(), "slot": slot} {
		if err := call.This.DefineDataProperty(name, rt.ToValue(value), sobek.FLAG_FALSE, sobek.FLAG_FALSE, sobek.FLAG_TRUE); err != nil {
			m.throw(err)
		}
	}
	return nil
}

// parseWorkloadOptions reads the argument of new Workload. A table of the script's own goes before that of the profile.
func parseWorkloadOptions(rt *sobek.Runtime, value sobek.Value) (*workloadOptions, error) {
	o := &workloadOptions{}
	var sizes, recipients []workload.Entry
	err := parseOptions(rt, workloadOwner, value, map[string]parser{
		"rate": func(v option) (err error) {
			o.rate, err = v.positive(maxWorkloadRate)
			return err
		},
		"perDay": func(v option) (err error) {
			o.perDay, err = v.positive(maxPerDay)
			return err
		},
		"seed": func(v option) (err error) {
			o.seed, err = v.integer(0, maxWorkloadNumber)
			return err
		},
		"profile": func(v option) (err error) {
			o.profile, err = v.profile()
			return err
		},
		"sizes": func(v option) (err error) {
			sizes, err = v.entries()
			return err
		},
		"recipients": func(v option) (err error) {
			recipients, err = v.entries()
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	o.sizes, o.recipients = []workload.Entry{{Value: 1024, Weight: 1}}, []workload.Entry{{Value: 1, Weight: 1}}
	if o.profile != nil {
		o.sizes, o.recipients = o.profile.Sizes, o.profile.Recipients
	}
	if sizes != nil {
		o.sizes = sizes
	}
	if recipients != nil {
		o.recipients = recipients
	}
	switch {
	case o.rate != 0 && o.perDay != 0:
		return nil, &optionError{workloadOwner, "perDay", `and "rate" exclude each other`}
	case o.perDay != 0 && o.profile == nil:
		return nil, &optionError{workloadOwner, "perDay", `goes with "profile", which says what share of the day the peak hour has`}
	case o.perDay != 0:
		o.rate = o.perDay * o.profile.PeakHour / 3600
	case o.rate == 0:
		return nil, &optionError{workloadOwner, "rate", `is needed, in messages per second (or "perDay", with a profile)`}
	}
	return o, nil
}

// positive reads a number above 0.
func (o option) positive(most float64) (float64, error) {
	f := math.NaN()
	if k := kind(o.value); k == reflect.Int64 || k == reflect.Float64 {
		f = o.value.ToFloat()
	}
	if !(f > 0 && f <= most) {
		return 0, o.fail(fmt.Sprintf("a number above 0 and at most %.0f", most))
	}
	return f, nil
}

// profile reads the name of a shipped profile.
func (o option) profile() (*workload.Profile, error) {
	profiles := workload.Profiles()
	name, err := o.string()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(profiles, func(p workload.Profile) bool { return p.Name == name })
	if i < 0 {
		var names []string
		for _, p := range profiles {
			names = append(names, fmt.Sprintf("%q", p.Name))
		}
		return nil, o.fail("a profile by its name, " + strings.Join(names, " or "))
	}
	return &profiles[i], nil
}

// entries reads an array of pairs, [[value, weight], ...].
func (o option) entries() ([]workload.Entry, error) {
	const want = "an array of pairs, [[value, weight], ...]"
	if kind(o.value) != reflect.Slice {
		return nil, o.fail(want)
	}
	array := o.value.ToObject(o.rt)
	length := array.Get("length").ToInteger()
	out := []workload.Entry{}
	for i := range length {
		one := array.Get(fmt.Sprint(i))
		if kind(one) != reflect.Slice || one.ToObject(o.rt).Get("length").ToInteger() != 2 {
			return nil, o.fail(want)
		}
		pair := one.ToObject(o.rt)
		value, err := option{o.owner, fmt.Sprintf("%s[%d][0]", o.key, i), pair.Get("0"), o.rt}.integer(1, maxMessage)
		if err != nil {
			return nil, err
		}
		weight := pair.Get("1")
		if k := kind(weight); k != reflect.Int64 && k != reflect.Float64 {
			return nil, option{o.owner, fmt.Sprintf("%s[%d][1]", o.key, i), weight, o.rt}.fail("a weight, a number from 0")
		}
		out = append(out, workload.Entry{Value: int(value), Weight: weight.ToFloat()})
	}
	return out, nil
}
