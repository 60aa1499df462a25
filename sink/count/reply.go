package count

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Other names what was counted together because there was no room to count it apart.
const Other = "(other)"

// Causes of a reply, as Kind.Cause has them. A rule, a limit or what was asked for adds its name after the colon.
const (
	CausePlain    = "plain"    // the stage's plain positive reply: nothing was injected
	CauseProtocol = "protocol" // the client broke the protocol's rules
	CauseTrigger  = "trigger"  // an address or a header asked for it
	CauseNext     = "next:"    // it was asked for from outside, for the next occurrences
	CauseReact    = "react:"   // the treatment of a reaction to what the client, or who else it is about, did before
	CauseRule     = "rule:"    // a rule of the plan drew it
	CauseLimit    = "limit:"   // a limit refused (rate, quota, concurrency, greylist)
)

// Kind is what is told apart of replies. The zero value of a field stands for all, where it was not told apart.
type Kind struct {
	Listener string        `json:"listener,omitempty"`
	Phase    string        `json:"phase,omitempty"` // of the storm; empty outside of any
	Stage    smtp.Stage    `json:"stage"`
	Code     smtp.Code     `json:"code"`
	Enhanced smtp.Enhanced `json:"enhanced,omitzero"` // as it stands on the wire: absent when the session had none to give
	Cause    string        `json:"cause,omitempty"`
	Fault    string        `json:"fault,omitempty"` // what is done besides the reply and its delay, such as "silence"
}

// OnTheWire returns what a client can see of the kind.
func (k Kind) OnTheWire() Kind { return Kind{Stage: k.Stage, Code: k.Code, Enhanced: k.Enhanced} }

// String returns what a client can see of the kind, such as "rcpt 450 4.2.0".
func (k Kind) String() string { return k.Stage.String() + " " + k.Words() }

// Words returns the same without the stage.
func (k Kind) Words() string { return strings.TrimSpace(fmt.Sprint(k.Code, " ", k.Enhanced)) }

// Reply is how often a kind of reply was given.
type Reply struct {
	Kind
	// Planned is how many of them the rule's weights let one expect, given how often it spoke; 0 where no rule draws.
	Planned float64 `json:"planned,omitempty"`
	Decided uint64  `json:"decided"`          // whatever became of it
	Sent    uint64  `json:"sent,omitempty"`   // handed over for writing
	Unread  uint64  `json:"unread,omitempty"` // of Sent: the connection ended without a sign that the client had read them
	// Struck is how often the kind's fault has happened: one in a body or a handshake may not, and at bdat it may without a reply.
	Struck uint64 `json:"struck,omitempty"`
}

// Unsent returns how many replies were decided and never handed over, or not yet: no client can have read them.
func (r *Reply) Unsent() uint64 { return r.Decided - min(r.Decided, r.Sent) }

func (r *Reply) combine(o *Reply, k uint64) {
	if k == once {
		r.Planned += o.Planned
	} else {
		r.Planned -= o.Planned
	}
	r.Decided += k * o.Decided
	r.Sent += k * o.Sent
	r.Unread += k * o.Unread
	r.Struck += k * o.Struck
}

// By adds up the replies whose kinds have the same image under of, such as Kind.OnTheWire, in the order of their listeners, phases, stages
// and codes.
func By(replies []Reply, of func(Kind) Kind) []Reply {
	at := make(map[Kind]int, len(replies))
	var out []Reply
	for i := range replies {
		kind := of(replies[i].Kind)
		j, known := at[kind]
		if !known {
			j = len(out)
			at[kind] = j
			out = append(out, Reply{Kind: kind})
		}
		out[j].combine(&replies[i], once)
	}
	slices.SortFunc(out, func(a, b Reply) int { return a.Kind.Compare(b.Kind) })
	return out
}

// Caused adds up the replies that were given, by what a client can see of them and why: whatever the listener, the phase and the fault.
func (c *Counts) Caused() []Reply { return Caused(c.Replies) }

// Caused does the same for some of the replies.
func Caused(replies []Reply) []Reply {
	given := slices.DeleteFunc(slices.Clone(replies), func(r Reply) bool { return r.Decided == 0 })
	return By(given, func(k Kind) Kind { return Kind{Stage: k.Stage, Code: k.Code, Enhanced: k.Enhanced, Cause: k.Cause} })
}

// InFlight adds up, by what a client can see of them, the replies of which the sink can't say that the client has read them.
func (c *Counts) InFlight() []Reply {
	return slices.DeleteFunc(By(c.Replies, Kind.OnTheWire), func(r Reply) bool { return r.Unsent() == 0 && r.Unread == 0 })
}

// InPhase returns the replies that were decided in a phase of the storm; those outside of any are in the phase "".
func (c *Counts) InPhase(phase string) []Reply {
	return slices.DeleteFunc(slices.Clone(c.Replies), func(r Reply) bool { return r.Phase != phase })
}

// Compare orders kinds by listener and phase, then as a dialogue has them.
func (k Kind) Compare(o Kind) int {
	return cmp.Or(cmp.Compare(k.Listener, o.Listener), cmp.Compare(k.Phase, o.Phase), cmp.Compare(k.Stage, o.Stage), cmp.Compare(k.Code, o.Code),
		cmp.Compare(k.Enhanced.Class, o.Enhanced.Class), cmp.Compare(k.Enhanced.Subject, o.Enhanced.Subject),
		cmp.Compare(k.Enhanced.Detail, o.Enhanced.Detail), cmp.Compare(k.Cause, o.Cause), cmp.Compare(k.Fault, o.Fault))
}

// Accepted are the positive replies to MAIL and RCPT and after a body.
type Accepted struct {
	Transactions uint64 `json:"transactions"` // to MAIL
	Recipients   uint64 `json:"recipients"`   // to RCPT
	Messages     uint64 `json:"messages"`     // after the final dot, or BDAT LAST; in LMTP one per recipient
}

// AcceptedOf returns what was accepted by the replies that were sent.
func AcceptedOf(replies []Reply) (a Accepted) {
	for i := range replies {
		switch r := &replies[i]; {
		case r.Code.Class() != 2:
		case r.Stage == smtp.StageRcpt:
			a.Recipients += r.Sent
		case r.Stage == smtp.StageMessage:
			a.Messages += r.Sent
		case r.Stage == smtp.StageMail || r.Stage == smtp.StageSend || r.Stage == smtp.StageSoml || r.Stage == smtp.StageSaml:
			a.Transactions += r.Sent
		}
	}
	return a
}

func (a *Accepted) combine(o *Accepted, k uint64) {
	a.Transactions += k * o.Transactions
	a.Recipients += k * o.Recipients
	a.Messages += k * o.Messages
}
