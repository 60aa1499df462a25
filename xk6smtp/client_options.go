package xk6smtp

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/sobek"
	"go.k6.io/k6/v2/js/common"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// Defaults of the client's options.
const (
	smtpPort           = 25
	lmtpPort           = 24
	submissionsPort    = 465 // RFC 8314
	defaultTimeout     = time.Minute
	defaultIdleTimeout = time.Minute
)

// clientOptions is what new Client takes.
type clientOptions struct {
	config                client.Config // without its Dialer and Resolver, which are the VU's
	messagesPerConnection int           // 0: no limit
	idleTimeout           time.Duration // 0: no limit
	expected              *expectedReplies
	tags                  []pair
	throw                 bool
	tls                   tlsOptions
	transcript            bool
	phaseTrends           bool
	serverTag             bool
}

// parseClientOptions reads the argument of new Client.
func parseClientOptions(rt *sobek.Runtime, value sobek.Value) (*clientOptions, error) {
	const owner = "Client"
	o := &clientOptions{idleTimeout: defaultIdleTimeout, phaseTrends: true}
	host, port := "", int64(0)
	timeouts := client.AllTimeouts(defaultTimeout)
	err := parseOptions(rt, owner, value, map[string]parser{
		"host": func(v option) (err error) {
			host, err = v.host()
			return err
		},
		"port": func(v option) (err error) {
			port, err = v.integer(1, 65535)
			return err
		},
		"tls": func(v option) (err error) {
			o.config.TLS, err = parseTLSMode(v)
			return err
		},
		"tlsOptions": func(v option) error {
			parsed, err := parseTLSOptions(v)
			if err == nil {
				o.tls = *parsed
			}
			return err
		},
		"auth": func(v option) (err error) {
			o.config.Credentials, err = parseAuth(v)
			return err
		},
		"lmtp": func(v option) (err error) {
			o.config.LMTP, err = v.bool()
			return err
		},
		"chunking": func(v option) error {
			if wanted, err := v.bool(); err == nil {
				if wanted {
					o.config.ChunkSize = math.MaxInt
				}
				return nil
			}
			n, err := v.integer(1, 1<<31-1)
			o.config.ChunkSize = int(n)
			if err != nil {
				return v.fail("true, false, or the octets of a chunk")
			}
			return nil
		},
		"force8bit": func(v option) (err error) {
			o.config.Force8Bit, err = v.bool()
			return err
		},
		"transcript": func(v option) (err error) {
			o.transcript, err = v.bool()
			return err
		},
		"phaseTrends": func(v option) (err error) {
			o.phaseTrends, err = v.bool()
			return err
		},
		"serverTag": func(v option) (err error) {
			o.serverTag, err = v.bool()
			return err
		},
		"localName": func(v option) (err error) {
			if o.config.LocalName, err = v.string(); err != nil {
				return err
			}
			if !isDomainOrLiteral(o.config.LocalName) {
				return v.fail("a host name or an address literal such as [192.0.2.1]")
			}
			return nil
		},
		"pipelining": func(v option) error {
			wanted, err := v.bool()
			o.config.ForbidPipelining = !wanted
			return err
		},
		"messagesPerConnection": func(v option) error {
			n, err := v.integer(0, 1<<31-1)
			o.messagesPerConnection = int(n)
			return err
		},
		"timeout": func(v option) error { return parseTimeouts(v, &timeouts) },
		"idleTimeout": func(v option) (err error) {
			o.idleTimeout, err = v.duration()
			return err
		},
		"expectedReplies": func(v option) (err error) {
			o.expected, err = v.expected()
			return err
		},
		"tags": func(v option) (err error) {
			o.tags, err = v.tags()
			return err
		},
		"throw": func(v option) (err error) {
			o.throw, err = v.bool()
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	if host == "" {
		return nil, &optionError{owner, "host", "is required"}
	}
	if port == 0 {
		port = o.defaultPort()
	}
	o.config.Address = net.JoinHostPort(host, strconv.FormatInt(port, 10))
	o.config.Timeouts = timeouts
	o.config.Now = time.Now
	return o, nil
}

// host reads a host's name or address alone, and names the right form for what is more than that.
func (o option) host() (string, error) {
	host, err := o.string()
	if err != nil || host == "" {
		return "", err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return host, nil
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			if _, err := netip.ParseAddr(inner); err == nil {
				return "", o.fail(fmt.Sprintf("an address without brackets, %q", inner))
			}
		}
	}
	if bare, port, err := net.SplitHostPort(host); err == nil && bare != "" && !strings.Contains(bare, "/") {
		if n, err := strconv.Atoi(port); err == nil && n > 0 && n <= math.MaxUint16 {
			return "", o.fail(fmt.Sprintf("the host alone, {host: %q, port: %d}", bare, n))
		}
	}
	if strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`/:@[]\?#"<>,;`, r) }) {
		return "", o.fail(`a host name or an address, such as "mx.test", "192.0.2.1" or "::1"`)
	}
	return host, nil
}

// defaultPort is the registered one.
func (o *clientOptions) defaultPort() int64 {
	switch {
	case o.config.LMTP:
		return lmtpPort
	case o.config.TLS == client.TLSImplicit:
		return submissionsPort
	}
	return smtpPort
}

// timeoutPhases are the phases that have a time limit of their own.
var timeoutPhases = []smtp.Stage{
	smtp.StageConnect, smtp.StageEhlo, smtp.StageStartTLS, smtp.StageAuth, smtp.StageMail, smtp.StageRcpt, smtp.StageData, smtp.StageMessage,
	smtp.StageBdat, smtp.StageRset, smtp.StageNoop, smtp.StageVrfy, smtp.StageQuit,
}

// parseTimeouts reads one duration for all phases, or an object of phases with a duration each.
func parseTimeouts(v option, into *client.Timeouts) error {
	if d, err := v.duration(); err == nil {
		*into = client.AllTimeouts(d)
		return nil
	}
	parsers := make(map[string]parser, len(timeoutPhases))
	for _, phase := range timeoutPhases {
		parsers[phase.String()] = func(v option) (err error) {
			into[phase], err = v.duration()
			return err
		}
	}
	if _, err := v.pairs(true); err != nil {
		return v.fail(`milliseconds, a duration such as "30s", or an object of phases with a duration each`)
	}
	err := parseOptions(v.rt, v.owner+": timeout", v.value, parsers)
	into[smtp.StageHelo] = into[smtp.StageEhlo]
	return err
}

// isDomainOrLiteral reports whether s can be EHLO's argument without breaking the command line; it need not resolve.
func isDomainOrLiteral(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != "" && len(s) <= 255
}

// sendOptions is what send takes beside the message.
type sendOptions struct {
	from     *string
	to       []string
	tags     []pair
	expected *expectedReplies
	dsn      *dsnOptions
	fields   []pair
}

// sendParsers reads each option of send into its place. It is made once: a message must not pay for it.
var sendParsers = map[string]func(*sendOptions, option) error{
	"from": func(o *sendOptions, v option) error {
		s, err := v.string()
		if err != nil {
			return err
		}
		bare, err := v.address(s)
		o.from = &bare
		return err
	},
	"to": func(o *sendOptions, v option) error {
		list, err := v.strings()
		if err != nil {
			return err
		}
		if list == nil {
			list = []string{} // an empty list is not the same as none
		}
		for i, s := range list {
			if list[i], err = v.address(s); err != nil {
				return err
			}
		}
		o.to = list
		return nil
	},
	"tags": func(o *sendOptions, v option) (err error) {
		o.tags, err = v.tags()
		return err
	},
	"expectedReplies": func(o *sendOptions, v option) (err error) {
		o.expected, err = v.expected()
		return err
	},
	"dsn": func(o *sendOptions, v option) (err error) {
		o.dsn, err = parseDSN(v)
		return err
	},
	"fields": func(o *sendOptions, v option) (err error) {
		o.fields, err = v.pairs(true)
		return err
	},
}

// address reads one of an option's addresses, without its display name.
func (o option) address(s string) (string, error) {
	a, err := parseAddress(s)
	if err != nil {
		return "", &optionError{o.owner, o.key, fmt.Sprintf("wants a mail address, not %q: %v", s, err)}
	}
	return a.mailbox, nil
}

// noSendOptions is what send takes without a second argument; nobody changes it.
var noSendOptions = &sendOptions{}

// parseSendOptions reads the second argument of send.
func parseSendOptions(rt *sobek.Runtime, value sobek.Value) (*sendOptions, error) {
	if common.IsNullish(value) {
		return noSendOptions, nil
	}
	o := &sendOptions{}
	return o, parseInto(rt, "send", value, o, sendParsers)
}
