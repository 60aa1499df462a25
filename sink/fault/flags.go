package fault

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Flags are the command-line flags that make up a plan. The zero value is a plan without rules.
type Flags struct {
	Seed uint64
	// Mode is --mode: accept, bounce, offline, unavailable or random; empty for none.
	Mode string
	// At is --at: the stages that the mode speaks at, each a name or a list with commas; none means message.
	At []string
	// Weights is --weight: the mode's weights per code, each "450:9" or a list with commas; other codes weigh 1.
	Weights []string
	// RandomAccept is the odds to accept in mode random, above 0 and below 1; 0 means even odds.
	RandomAccept float64
	// Replies is --reply: "STAGE=REPLY[:WEIGHT][,...]", such as "rcpt=250:90,450:7,550/5.1.1:3" or "data=554".
	Replies []string
	// Delays is --delay: "STAGE=DELAY", such as "data=uniform(5ms,50ms)"; see ParseDelay.
	Delays []string
}

// CompileFlags makes a plan of flags: one rule per stage that a flag names, named after the flags. --delay joins the rule of
// --mode or --reply at the same stage, or stands alone; --mode and --reply at the same stage is an error. Errors are one line that
// starts with the flag.
func CompileFlags(f Flags) (PlanSpec, error) {
	c := flagCompiler{spec: PlanSpec{Seed: f.Seed}, rules: map[smtp.Stage]int{}, from: map[string]string{}}
	if err := c.mode(&f); err != nil {
		return PlanSpec{}, err
	}
	for _, text := range f.Replies {
		if err := c.reply(text); err != nil {
			return PlanSpec{}, err
		}
	}
	for _, text := range f.Delays {
		if err := c.delay(text); err != nil {
			return PlanSpec{}, err
		}
	}
	return c.spec, nil
}

type flagCompiler struct {
	spec  PlanSpec
	rules map[smtp.Stage]int // index of the stage's rule
	from  map[string]string  // "reply rcpt": the flag that gave it
}

// claim returns the stage's rule, which flag gives something to; name describes the flag in the rule's name. It refuses a second
// flag of the same kind, where kind is "reply" for --mode too.
func (c *flagCompiler) claim(kind string, s smtp.Stage, name, flag string) (*RuleSpec, error) {
	if earlier, taken := c.from[kind+" "+s.String()]; taken {
		return nil, fmt.Errorf("%s: stage %v already has %s (want one of them)", flag, s, earlier)
	}
	c.from[kind+" "+s.String()] = flag
	i, exists := c.rules[s]
	if !exists {
		i = len(c.spec.Rules)
		c.rules[s] = i
		c.spec.Rules = append(c.spec.Rules, RuleSpec{Stage: s, Name: name})
		return &c.spec.Rules[i], nil
	}
	c.spec.Rules[i].Name += ", " + name
	return &c.spec.Rules[i], nil
}

func (c *flagCompiler) mode(f *Flags) error {
	if f.Mode == "" {
		switch {
		case len(f.At) > 0:
			return fmt.Errorf("--at %q: there is no --mode that it could apply to", strings.Join(f.At, ","))
		case len(f.Weights) > 0:
			return fmt.Errorf("--weight %q: there is no --mode that it could apply to", strings.Join(f.Weights, ","))
		}
		return nil
	}
	mode, err := ParseMode(f.Mode)
	if err != nil {
		return fmt.Errorf("--mode: %w", err)
	}
	weights, err := parseWeights(f.Weights)
	if err != nil {
		return fmt.Errorf("--weight: %w", err)
	}
	at := f.At
	if len(at) == 0 {
		at = []string{smtp.StageMessage.String()}
	}
	flag := "--mode " + f.Mode
	for _, name := range strings.Split(strings.Join(at, ","), ",") {
		s, err := smtp.ParseStage(strings.TrimSpace(name))
		if err != nil {
			return fmt.Errorf("--at: %w", err)
		}
		spec := ModeSpec{Mode: mode, Weights: weights, RandomAccept: f.RandomAccept}
		if _, err := spec.Table(s); err != nil {
			return fmt.Errorf("%s --at %v: %w", flag, s, err)
		}
		rule, err := c.claim("reply", s, fmt.Sprintf("mode %v at %v", mode, s), flag)
		if err != nil {
			return err
		}
		rule.Mode = spec
	}
	return nil
}

func (c *flagCompiler) reply(text string) error {
	flag := fmt.Sprintf("--reply %q", text)
	s, right, err := cutStage(text)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	var outcomes []OutcomeSpec
	for _, item := range strings.Split(right, ",") {
		reply, weight, err := cutWeight(item)
		if err != nil {
			return fmt.Errorf("%s: %w", flag, err)
		}
		o, err := ParseReply(reply)
		if err != nil {
			return fmt.Errorf("%s: %w", flag, err)
		}
		o.Weight = weight
		outcomes = append(outcomes, o)
	}
	rule, err := c.claim("reply", s, "reply "+s.String(), flag)
	if err != nil {
		return err
	}
	rule.Outcomes = outcomes
	return c.check(flag, rule)
}

func (c *flagCompiler) delay(text string) error {
	flag := fmt.Sprintf("--delay %q", text)
	s, right, err := cutStage(text)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	d, err := ParseDelay(right)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	rule, err := c.claim("delay", s, "delay "+s.String(), flag)
	if err != nil {
		return err
	}
	rule.Delay = d
	return c.check(flag, rule)
}

// check finds what is wrong with a rule while its flag is known.
func (c *flagCompiler) check(flag string, rule *RuleSpec) error {
	if _, _, err := newRule(rule); err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	return nil
}

func cutStage(text string) (s smtp.Stage, right string, err error) {
	name, right, ok := strings.Cut(text, "=")
	if !ok {
		return 0, "", fmt.Errorf("a stage is missing (want STAGE=..., such as rcpt=...)")
	}
	s, err = smtp.ParseStage(strings.TrimSpace(name))
	return s, strings.TrimSpace(right), err
}

// cutWeight splits "450:7"; without a colon the weight is 1.
func cutWeight(item string) (reply string, weight float64, err error) {
	reply, text, given := strings.Cut(strings.TrimSpace(item), ":")
	if !given {
		return reply, 1, nil
	}
	weight, err = strconv.ParseFloat(text, 64)
	if err == nil {
		err = checkWeight(weight)
	}
	if err != nil {
		return "", 0, fmt.Errorf("invalid weight %q of %s (want a finite number of at least 0)", text, reply)
	}
	return reply, weight, nil
}

func parseWeights(lists []string) (map[smtp.Code]float64, error) {
	if len(lists) == 0 {
		return nil, nil
	}
	weights := map[smtp.Code]float64{}
	for _, item := range strings.Split(strings.Join(lists, ","), ",") {
		if !strings.Contains(item, ":") {
			return nil, fmt.Errorf("no weight in %q (want CODE:WEIGHT, such as 450:9)", item)
		}
		text, weight, err := cutWeight(item)
		if err != nil {
			return nil, err
		}
		code, err := smtp.ParseCode(text)
		if err != nil {
			return nil, err
		}
		if _, twice := weights[code]; twice {
			return nil, fmt.Errorf("code %d has two weights", code)
		}
		weights[code] = weight
	}
	return weights, nil
}
