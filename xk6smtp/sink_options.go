package xk6smtp

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/grafana/sobek"
	"go.k6.io/k6/v2/js/common"

	"github.com/smtpstorm/xk6-smtp/scripts"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/sasl"
)

const sinkOwner = "Sink.start"

// parseSink reads the arguments of Sink.start.
func parseSink(rt *sobek.Runtime, planValue, value sobek.Value) (*sink.Config, error) {
	cfg := &sink.Config{Hostname: "sink.test"}
	listener := sink.Listener{Name: "sink", Address: "127.0.0.1:0"}
	users := sasl.Users{}
	err := parseOptions(rt, sinkOwner, value, map[string]parser{
		"listen": func(v option) error {
			text, err := v.string()
			if err != nil {
				return err
			}
			if listener, err = sink.ParseListener("sink=" + text); err != nil {
				return v.fail("host:port, such as \"127.0.0.1:0\", or unix:/path")
			}
			return nil
		},
		"hostname": func(v option) (err error) {
			if cfg.Hostname, err = v.string(); err == nil && !isDomainOrLiteral(cfg.Hostname) {
				return v.fail("a host name")
			}
			return err
		},
		"lmtp": func(v option) (err error) {
			listener.LMTP, err = v.bool()
			return err
		},
		"tls": func(v option) error {
			name, err := v.oneOf("auto", "never", "always", "required", "implicit")
			if err != nil {
				return err
			}
			switch name {
			case "required":
				cfg.TLS.Offer, cfg.TLS.Require = sink.TLSOfferAlways, true
				return nil
			case "implicit":
				listener.ImplicitTLS = true
				return nil
			}
			cfg.TLS.Offer, err = sink.ParseTLSOffer(name)
			return err
		},
		"auth": func(v option) error {
			accounts, err := v.pairs(false)
			for _, a := range accounts {
				users[a.name] = a.value
			}
			cfg.Auth.Accounts = users
			return err
		},
		"authRequired": func(v option) (err error) {
			cfg.Auth.Require, err = v.bool()
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	if cfg.Auth.Require && len(users) == 0 {
		return nil, &optionError{sinkOwner, "authRequired", "needs accounts in auth"}
	}
	if err := parsePlan(rt, planValue, cfg); err != nil {
		return nil, err
	}
	if cfg.Plan == nil || len(cfg.Plan.Listeners()) == 0 {
		cfg.Listeners = []sink.Listener{listener}
	}
	return cfg, nil
}

// parsePlan reads a plan: YAML text, the name of a built-in one, an object of the same form, or an object of what command-line flags say; nothing means
// that the sink accepts everything.
func parsePlan(rt *sobek.Runtime, value sobek.Value, cfg *sink.Config) error {
	if common.IsNullish(value) {
		return nil
	}
	text := ""
	switch kind(value) {
	case reflect.String:
		if text = value.String(); !strings.ContainsAny(text, ":\n") { // a plan has a version: at least
			file, err := builtIn(text)
			if err != nil {
				return &optionError{owner: sinkOwner, problem: "plan " + err.Error()}
			}
			cfg.Plan, cfg.PlanHash = file.Plan, file.SHA256
			return nil
		}
	case reflect.Map:
		if value.ToObject(rt).Get("version") == nil {
			return parseFlags(rt, value, cfg)
		}
		data, err := json.Marshal(value.Export()) // JSON is YAML
		if err != nil {
			return &optionError{owner: sinkOwner, problem: "plan: " + err.Error()}
		}
		text = string(data)
	default:
		return &optionError{owner: sinkOwner, problem: "wants a plan as YAML text or an object, not " + describe(value)}
	}
	file, err := plan.Parse("plan", []byte(text))
	if err != nil {
		return &optionError{owner: sinkOwner, problem: err.Error()}
	}
	cfg.Plan, cfg.PlanHash = file.Plan, file.SHA256
	return nil
}

// builtIn returns the built-in plan of a name.
func builtIn(name string) (*plan.File, error) {
	f, ok := scripts.Find(scripts.Plans(), name)
	if !ok {
		return nil, fmt.Errorf("%q is not built in (valid: %s)", name, scripts.Names(scripts.Plans()))
	}
	return plan.Parse(f.Base()+" (built in)", f.Text())
}

// parseFlags reads a plan as smtpsink's command line has it: {seed, mode, at, weight, randomAccept, reply, delay}, or {seed, plan}.
func parseFlags(rt *sobek.Runtime, value sobek.Value, cfg *sink.Config) error {
	var flags fault.Flags
	var file *plan.File
	for _, key := range value.ToObject(rt).Keys() {
		if value.ToObject(rt).Get("plan") != nil && key != "plan" && key != "seed" {
			return &optionError{sinkOwner, key, "can't be combined with plan, which says what is injected"}
		}
	}
	seedGiven := false
	list := func(into *[]string) parser {
		return func(v option) (err error) {
			*into, err = v.strings()
			return err
		}
	}
	err := parseOptions(rt, sinkOwner, value, map[string]parser{
		"seed": func(v option) error {
			n, err := v.integer(0, 1<<53)
			flags.Seed, seedGiven = uint64(n), true // #nosec G115 -- from 0, see integer
			return err
		},
		"plan": func(v option) error {
			name, err := v.string()
			if err == nil {
				if file, err = builtIn(name); err != nil {
					return &optionError{v.owner, v.key, err.Error()}
				}
			}
			return err
		},
		"mode": func(v option) (err error) {
			flags.Mode, err = v.string()
			return err
		},
		"randomAccept": func(v option) error {
			if k := kind(v.value); k != reflect.Float64 && k != reflect.Int64 {
				return v.fail("a number between 0 and 1")
			}
			flags.RandomAccept = v.value.ToFloat()
			return nil
		},
		"at":     list(&flags.At),
		"weight": list(&flags.Weights),
		"reply":  list(&flags.Replies),
		"delay":  list(&flags.Delays),
	})
	if err != nil {
		return err
	}
	var spec fault.PlanSpec
	if file != nil {
		if spec, cfg.PlanHash = file.Spec, file.SHA256; seedGiven {
			spec.Seed = flags.Seed
		}
	} else {
		spec, err = fault.CompileFlags(flags)
	}
	if err == nil {
		cfg.Plan, err = fault.NewPlan(spec)
	}
	if err != nil {
		return &optionError{owner: sinkOwner, problem: withoutFlags(err.Error())}
	}
	return nil
}

// flagName is a flag of smtpsink's as its errors name it, or what they quote, which is the script's own.
var flagName = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|(^|[ (])--([a-z]+)(?:-([a-z])([a-z]*))?`)

// withoutFlags names the keys of the options instead of the flags that mean the same on a command line, which a script has not.
func withoutFlags(text string) string {
	return flagName.ReplaceAllStringFunc(text, func(flag string) string {
		part := flagName.FindStringSubmatch(flag)
		if part[2] == "" {
			return flag
		}
		return part[1] + part[2] + strings.ToUpper(part[3]) + part[4]
	})
}

// sinkStats is what a sink did, as scripts see it.
type sinkStats struct {
	Connections  uint64      `js:"connections"`
	Open         int64       `js:"open"`
	Transactions uint64      `js:"transactions"`
	Recipients   uint64      `js:"recipients"`
	Messages     uint64      `js:"messages"`
	BytesIn      uint64      `js:"bytesIn"`
	BytesOut     uint64      `js:"bytesOut"`
	Phase        string      `js:"phase"`
	Replies      []sinkReply `js:"replies"`
}

type sinkReply struct {
	Stage        string `js:"stage"`
	Code         int    `js:"code"`
	EnhancedCode string `js:"enhancedCode"`
	Cause        string `js:"cause"`
	Count        uint64 `js:"count"`
}

func newSinkStats(s *sink.Stats) *sinkStats {
	stats := &sinkStats{
		Connections: s.Connections, Open: s.Open, Transactions: s.Transactions, Recipients: s.Recipients, Messages: s.Messages,
		BytesIn: s.BytesIn, BytesOut: s.BytesOut, Phase: s.Phase, Replies: []sinkReply{},
	}
	for _, r := range s.Caused() {
		stats.Replies = append(stats.Replies, sinkReply{r.Stage.String(), int(r.Code), r.Enhanced.String(), r.Cause, r.Decided})
	}
	return stats
}
