package session

import (
	"net/netip"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// Env is what a session shares with others: any of its members, and Env itself, may serve many sessions. It must not be changed
// while a session uses it.
type Env struct {
	Plans    Plans    // nil: no rules, every reply is plain
	Attempts Attempts // nil: every ordinal is 0
	Recorder Recorder // nil: nobody counts
}

// Plans tells the plan that is in force now. A session asks at connect and at each MAIL: a transaction keeps its plan to its end.
type Plans interface {
	Current() *fault.Plan // nil: no rules
}

// Attempts counts what connections share. Each call counts one more and returns the ordinal, from 1. A session asks only for what
// Plan.Needs says. The slices are valid during the call only.
type Attempts interface {
	Connection(client netip.Addr) uint64
	Mail(sender []byte) uint64
	Recipient(sender, recipient []byte) uint64
}
