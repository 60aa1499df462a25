package xk6smtp

import (
	"fmt"
	"reflect"

	"github.com/grafana/sobek"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// codeRange is reply codes from min to max, both included.
type codeRange struct{ min, max smtp.Code }

// expectedReplies is the set of final reply codes that don't count as failure: 2xx unless a script says otherwise.
type expectedReplies struct{ ranges []codeRange }

// match reports whether a recipient's final reply is an expected one. A positive reply is one only after the message: 250 to
// DATA means that nothing was delivered.
func (e *expectedReplies) match(reply client.Reply) bool {
	switch {
	case reply.Code == 0 || (reply.Code.Positive() && reply.Phase != smtp.StageMessage):
		return false
	case e == nil:
		return reply.Code.Class() == 2
	}
	for _, r := range e.ranges {
		if r.min <= reply.Code && reply.Code <= r.max {
			return true
		}
	}
	return false
}

// parseExpected reads codes and {min, max} ranges: the arguments of expectedReplies().
func parseExpected(rt *sobek.Runtime, args []sobek.Value) (*expectedReplies, error) {
	const owner = "expectedReplies"
	if len(args) == 0 {
		return nil, &optionError{owner: owner, problem: "wants at least one reply code or {min, max} range"}
	}
	set := &expectedReplies{}
	for i, arg := range args {
		position := fmt.Sprintf("argument %d", i+1)
		if kind(arg) != reflect.Map {
			code, err := option{owner, position, arg, rt}.code()
			if err != nil {
				return nil, err
			}
			set.ranges = append(set.ranges, codeRange{code, code})
			continue
		}
		r := codeRange{}
		bound := func(into *smtp.Code) parser {
			return func(o option) (err error) {
				*into, err = o.code()
				return err
			}
		}
		if err := parseOptions(rt, owner, arg, map[string]parser{"min": bound(&r.min), "max": bound(&r.max)}); err != nil {
			return nil, err
		}
		if r.min == 0 || r.max == 0 || r.min > r.max {
			return nil, &optionError{owner, position, "wants both min and max, min not above max"}
		}
		set.ranges = append(set.ranges, r)
	}
	return set, nil
}

// code reads a reply code.
func (o option) code() (smtp.Code, error) {
	n, err := o.integer(200, 599)
	return smtp.Code(n), err // #nosec G115 -- 200 to 599, or 0 with the error
}

// expected reads the option expectedReplies: what expectedReplies() returned.
func (o option) expected() (*expectedReplies, error) {
	if set, ok := o.value.Export().(*expectedReplies); ok {
		return set, nil
	}
	return nil, o.fail("the result of expectedReplies()")
}
