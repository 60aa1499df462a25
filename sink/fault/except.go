package fault

import (
	"errors"
	"fmt"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// exceptions are those whom a rule or a limit is not for, although its match holds: whoever any of them holds for.
type exceptions []matcher

// newExceptions compiles them; sequence is what to say of one for commands out of order.
func newExceptions(except []Match, stage smtp.Stage, sequence error) (x exceptions, field string, err error) {
	for i := range except {
		if except[i].IsZero() {
			return nil, fmt.Sprintf("except[%d]", i), errors.New("no condition: nobody would be left")
		}
		if field, err := except[i].validate(stage); err != nil {
			return nil, fmt.Sprintf("except[%d]%s", i, strings.TrimPrefix(field, "match")), err
		}
		if except[i].Wrong() {
			return nil, fmt.Sprintf("except[%d].%s", i, except[i].wrongKey()), sequence
		}
		x = append(x, newMatcher(&except[i]))
	}
	return x, "", nil
}

// hold reports whether any exception holds. It does not allocate for addresses of up to 320 octets.
func (x exceptions) hold(o *Occurrence) bool {
	for i := range x {
		if x[i].holdsAll(o) {
			return true
		}
	}
	return false
}

func exceptionNeeds(except []Match) (needs Needs) {
	for i := range except {
		needs = needs.or(except[i].needs())
	}
	return needs
}
