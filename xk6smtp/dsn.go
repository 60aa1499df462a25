package xk6smtp

import (
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// dsnOptions is what send wants to know of a message's fate.
type dsnOptions struct {
	client.DSN
	envIDIsToken bool
}

// parseDSN reads the option dsn of send (RFC 3461).
func parseDSN(v option) (*dsnOptions, error) {
	o := &dsnOptions{}
	err := parseOptions(v.rt, v.owner+": "+v.key, v.value, map[string]parser{
		"ret": func(v option) (err error) {
			o.Ret, err = v.oneOf("FULL", "HDRS")
			return err
		},
		"envid": func(v option) (err error) {
			if wanted, err := v.bool(); err == nil {
				o.envIDIsToken = wanted
				return nil
			}
			if o.EnvID, err = v.string(); err != nil {
				return v.fail("a string, or true for the message's token")
			}
			return nil
		},
		"notify": func(v option) (err error) {
			o.Notify, err = v.notify()
			return err
		},
		"orcpt": func(v option) (err error) {
			o.ORcpt, o.ORcptSelf, err = v.orcpt()
			return err
		},
	})
	return o, err
}

// oneOf reads one of some words.
func (o option) oneOf(words ...string) (string, error) {
	word, err := o.string()
	if err != nil || !slices.Contains(words, word) {
		return "", o.fail("one of " + strings.Join(words, " "))
	}
	return word, nil
}

// notify reads NEVER, or one or more of SUCCESS, FAILURE and DELAY (RFC 3461 section 4.1).
func (o option) notify() (string, error) {
	const want = `"NEVER", or some of "SUCCESS", "FAILURE" and "DELAY"`
	list, err := o.strings()
	if err != nil || len(list) == 0 {
		return "", o.fail(want)
	}
	for _, word := range list {
		if !slices.Contains([]string{"NEVER", "SUCCESS", "FAILURE", "DELAY"}, word) || word == "NEVER" && len(list) > 1 {
			return "", o.fail(want)
		}
	}
	return strings.Join(list, ","), nil
}

// isAtom reports whether s can be an address type (RFC 3461 section 4.2, RFC 5321 section 4.1.2), which no "+" and "=" of xtext may confuse.
func isAtom(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("()<>@,;:\\\".[]=+", r) })
}

// orcpt reads "type;address", or true for the recipient's own address.
func (o option) orcpt() (original string, self bool, err error) {
	if self, err := o.bool(); err == nil {
		return "", self, nil
	}
	original, err = o.string()
	if kind, address, ok := strings.Cut(original, ";"); err != nil || !ok || !isAtom(kind) || address == "" {
		return "", false, o.fail(`"type;address" such as "rfc822;a@x.test", or true for the recipient's own`)
	}
	return original, false, nil
}
