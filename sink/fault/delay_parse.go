package fault

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const delayForms = "20ms, fixed(20ms), uniform(5ms,50ms), normal(mean,deviation), lognormal(median,sigma), exponential(mean), percentiles(50=20ms,99=1s,100=2s)"

// ParseDelay parses a delay as flags and plans write it:
//
//	20ms or fixed(20ms)                  always the same; "none" or "0s" is no delay
//	uniform(5ms,50ms)                    evenly between the bounds
//	normal(100ms,20ms)                   mean and standard deviation, truncated at 0
//	lognormal(200ms,0.5)                 median, and standard deviation of the logarithm
//	exponential(100ms)                   mean
//	percentiles(0=1ms,50=20ms,99=1s,100=2s)   measured percentiles, linear in between; 0 may be left out and is then 0s; 100 is needed
//
// Durations are Go's: 5ms, 1.5s, 2m. The error names the culprit and the valid forms.
func ParseDelay(text string) (Delay, error) { return readDelay(text, distributions) }

// ParsePlanDelay parses what ParseDelay does, and delays that go by the level of a standing, as rules of a reaction's treatment may have them:
//
//	doubling(1s,5m)    1 s at level 1, twice as much at each level, at most 5 minutes
//	halving(1m,1s)     half as much at each level, at least 1 s
//	per-level(10s,2m)  10 s more at each level, at most 2 minutes
func ParsePlanDelay(text string) (Delay, error) { return readDelay(text, delayNames[:]) }

func readDelay(text string, kinds []string) (Delay, error) {
	d, err := parseDelay(strings.TrimSpace(text), kinds)
	if err == nil {
		err = d.Validate()
	}
	if err != nil {
		return Delay{}, fmt.Errorf("invalid delay %q: %w", text, err)
	}
	return d, nil
}

func parseDelay(text string, kinds []string) (Delay, error) {
	name, rest, call := strings.Cut(text, "(")
	if !call {
		if text == "none" {
			return Delay{}, nil
		}
		v, err := parseDuration(text)
		return fixed(v), err
	}
	body, ok := strings.CutSuffix(rest, ")")
	if !ok {
		return Delay{}, fmt.Errorf("no closing parenthesis")
	}
	args := strings.Split(body, ",")
	for i := range args {
		args[i] = strings.TrimSpace(args[i])
	}
	kind, err := parseName[DelayKind]("distribution", name, kinds, 1)
	if err != nil {
		return Delay{}, err
	}
	d := Delay{Kind: kind}
	switch d.Kind {
	case DelayFixed, DelayExponential:
		err = parseArgs(args, &d.A)
	case DelayUniform, DelayNormal, DelayDoubling, DelayHalving, DelayPerLevel:
		err = parseArgs(args, &d.A, &d.B)
	case DelayLognormal:
		err = parseArgs(args, &d.A, &d.Sigma)
	case DelayPercentiles:
		d.Table, err = parsePercentiles(args)
	}
	if d.Kind == DelayFixed {
		d = fixed(d.A)
	}
	return d, err
}

// fixed returns a fixed delay, in its only form: none for 0.
func fixed(v time.Duration) Delay {
	if v == 0 {
		return Delay{}
	}
	return Delay{Kind: DelayFixed, A: v}
}

func parseArgs(args []string, into ...any) error {
	if len(args) != len(into) {
		return fmt.Errorf("%d parameters (want %d)", len(args), len(into))
	}
	for i, target := range into {
		arg := args[i]
		var err error
		switch v := target.(type) {
		case *time.Duration:
			*v, err = parseDuration(arg)
		case *float64:
			if *v, err = strconv.ParseFloat(arg, 64); err != nil {
				err = fmt.Errorf("invalid number %q", arg)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func parseDuration(text string) (time.Duration, error) {
	v, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("no duration or distribution %q (valid: %s)", text, delayForms)
	}
	return v, nil
}

func parsePercentiles(args []string) ([]Percentile, error) {
	var table []Percentile
	for i, arg := range args {
		left, right, _ := strings.Cut(arg, "=")
		percent, err := strconv.ParseFloat(strings.TrimSpace(left), 64)
		if err != nil || !(percent >= 0 && percent <= 100) {
			return nil, fmt.Errorf("invalid percentile %q (want PERCENT=DURATION with 0 to 100, such as 99.9=1s)", arg)
		}
		value, err := parseDuration(strings.TrimSpace(right))
		if err != nil {
			return nil, err
		}
		if i == 0 && percent > 0 {
			table = append(table, Percentile{})
		}
		table = append(table, Percentile{Percent: percent, Value: value})
	}
	return table, nil
}

// String returns the delay as ParseDelay reads it.
func (d Delay) String() string {
	switch d.Kind {
	case DelayFixed:
		return d.A.String()
	case DelayUniform, DelayNormal, DelayDoubling, DelayHalving, DelayPerLevel:
		return fmt.Sprintf("%v(%v,%v)", d.Kind, d.A, d.B)
	case DelayLognormal:
		return fmt.Sprintf("%v(%v,%s)", d.Kind, d.A, formatFloat(d.Sigma))
	case DelayExponential:
		return fmt.Sprintf("%v(%v)", d.Kind, d.A)
	case DelayPercentiles:
		rows := make([]string, len(d.Table))
		for i, row := range d.Table {
			rows[i] = fmt.Sprintf("%s=%v", formatFloat(row.Percent), row.Value)
		}
		return fmt.Sprintf("%v(%s)", d.Kind, strings.Join(rows, ","))
	}
	return "none"
}

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
