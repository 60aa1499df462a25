package sinktest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/sasl"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// Setup is how the server of a script is set up.
type Setup struct {
	Config session.Config
	Plan   *fault.Plan           // never nil
	Auth   session.Authenticator // nil: no AUTH
}

// Hostname is the name of the server in scripts.
const Hostname = "sink.example"

// ParseFlags parses the flags of a script's head, which are those of smtpsink as far as they concern a session:
//
//	--mode MODE --at STAGE --weight CODE:WEIGHT --random-accept P --seed N --reply STAGE=... --delay STAGE=...
//	--hostname NAME --max-size OCTETS --max-recipients N --max-discard OCTETS --idle-timeout DURATION --max-hold DURATION
//	--bare-lf POLICY --lmtp --tls starttls --require-tls --auth USER:PASSWORD --auth-needs-tls --require-auth --triggers
//	--capture-headers --commit --capture null|all
//	--service {KEY: VALUE, ...}, how the listener serves, as in plans
func ParseFlags(words []string) (Setup, error) {
	setup := Setup{Config: session.Config{Hostname: Hostname}}
	switches := map[string]*bool{
		"--lmtp": &setup.Config.LMTP, "--require-tls": &setup.Config.RequireTLS, "--require-auth": &setup.Config.RequireAuth,
		"--auth-needs-tls": &setup.Config.AuthNeedsTLS, "--triggers": &setup.Config.Triggers,
		"--capture-headers": &setup.Config.CaptureHeaders, "--commit": &setup.Config.Commit,
	}
	var flags fault.Flags
	for len(words) > 0 {
		flag := words[0]
		words = words[1:]
		if on := switches[flag]; on != nil {
			*on = true
			continue
		}
		if len(words) == 0 {
			return Setup{}, fmt.Errorf("%s: unknown, or without a value", flag)
		}
		if err := setup.set(&flags, flag, words[0]); err != nil {
			return Setup{}, fmt.Errorf("%s: %w", flag, err)
		}
		words = words[1:]
	}
	spec, err := fault.CompileFlags(flags)
	if err != nil {
		return Setup{}, err
	}
	setup.Plan, err = fault.NewPlan(spec)
	return setup, err
}

func (s *Setup) set(flags *fault.Flags, flag, value string) (err error) {
	switch flag {
	case "--mode":
		flags.Mode = value
	case "--at":
		flags.At = append(flags.At, value)
	case "--weight":
		flags.Weights = append(flags.Weights, value)
	case "--random-accept":
		flags.RandomAccept, err = strconv.ParseFloat(value, 64)
	case "--seed":
		flags.Seed, err = strconv.ParseUint(value, 10, 64)
	case "--reply":
		flags.Replies = append(flags.Replies, value)
	case "--delay":
		flags.Delays = append(flags.Delays, value)
	case "--hostname":
		s.Config.Hostname = value
	case "--max-size":
		s.Config.MaxSize, err = strconv.ParseInt(value, 10, 64)
	case "--max-recipients":
		s.Config.MaxRecipients, err = strconv.Atoi(value)
	case "--max-discard":
		s.Config.MaxDiscard, err = strconv.ParseInt(value, 10, 64)
	case "--idle-timeout":
		s.Config.IdleTimeout, err = time.ParseDuration(value)
	case "--max-hold":
		s.Config.MaxHold, err = time.ParseDuration(value)
	case "--tls":
		err = s.setTLS(value)
	case "--auth":
		err = s.setAuth(value)
	case "--capture":
		s.Config.Capture = map[string]session.Capture{"null": session.CaptureNull, "all": session.CaptureAll}[value]
	case "--service":
		var service fault.Service
		if service, err = plan.ParseService([]byte(value)); err == nil {
			s.Config.Serve(&service)
		}
	case "--bare-lf":
		s.Config.BareLF, err = session.ParseBareLF(value)
	default:
		err = fmt.Errorf("unknown flag")
	}
	return err
}

func (s *Setup) setTLS(value string) error {
	for _, mode := range []session.TLSMode{session.TLSNever, session.TLSStart, session.TLSImplicit} {
		if mode.String() == value {
			s.Config.TLS = mode
			return nil
		}
	}
	return fmt.Errorf("unknown mode %q (valid: never starttls implicit)", value)
}

// setAuth lets one user in. The challenges are the same in each run.
func (s *Setup) setAuth(value string) error {
	user, password, ok := strings.Cut(value, ":")
	if !ok {
		return fmt.Errorf("invalid account %q (want user:password)", value)
	}
	s.Auth = &sasl.Provider{Accounts: sasl.Users{user: password}, Hostname: Hostname, Random: rand.NewChaCha8([32]byte{})}
	return nil
}

// splitWords splits at blanks, but not within double quotes, which it drops.
func splitWords(text string) (words []string, err error) {
	var word strings.Builder
	quoted, started := false, false
	for _, c := range text {
		switch {
		case c == '"':
			quoted, started = !quoted, true
		case c == ' ' && !quoted:
			if started {
				words = append(words, word.String())
			}
			word.Reset()
			started = false
		default:
			word.WriteRune(c)
			started = true
		}
	}
	if quoted {
		return nil, fmt.Errorf("a double quote is missing")
	}
	if started {
		words = append(words, word.String())
	}
	return words, nil
}
