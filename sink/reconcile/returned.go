package reconcile

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// reactCause is what the causes of replies begin with that a reaction of a plan decided (docs/plans.md, Receivers that react).
const reactCause = "react:"

// exchange is what a row tells of a client's mail and its reply.
type exchange struct {
	client netip.AddrPort
	conn   uint64
	begin  time.Time // when MAIL was read
	handed int64     // when the reply was handed over
	stage  smtp.Stage
	code   smtp.Code
	cause  string
	told   bool // the reply was sent, in a form that can be read
}

// blocked is a client whose mail a reaction has refused.
type blocked struct {
	client  netip.Addr
	cause   string
	stage   smtp.Stage // the first at which it was refused
	told    int64      // when it was first told so; 0: not since it got through
	conn    connKey    // where it was refused last
	returns uint64     // connections by which it came back since
	soonest int64      // the shortest time from the first refusal to the first return
	waits   bool       // it has not come back since it was told
}

// blockedClients has those of a ledger: standings are a sink's own.
type blockedClients struct {
	all      []blocked
	byClient map[netip.Addr][]int32
}

// exchanged looks whether a client comes back to a reaction that has told it to stay away. Its standing is over once mail of the client
// gets past the stage at which it was refused.
func (l *Ledger) exchanged(x *exchange) {
	b, reacted := &l.blocked, strings.HasPrefix(x.cause, reactCause)
	if !reacted && len(b.all) == 0 {
		return
	}
	key, begin, client := connKey{l.run, x.conn}, x.begin.UnixNano(), x.client.Addr().Unmap()
	known := b.byClient[client]
	if !reacted {
		for _, i := range known {
			if c := &b.all[i]; c.told != 0 && begin > c.told && x.code != 0 && x.cause != "protocol" && x.stage >= c.stage {
				c.told = 0
			}
		}
		return
	}
	if x.code.Class() < 4 {
		return
	}
	var c *blocked
	for _, i := range known {
		if b.all[i].cause == x.cause {
			c = &b.all[i]
		}
	}
	if c == nil {
		if b.byClient == nil {
			b.byClient = map[netip.Addr][]int32{}
		}
		b.byClient[client] = append(known, int32(len(b.all))) // #nosec G115 -- fewer than rows
		b.all = append(b.all, blocked{client: client, cause: strings.Clone(x.cause), stage: x.stage, conn: key})
		c = &b.all[len(b.all)-1]
	}
	c.stage = min(c.stage, x.stage)
	if c.told != 0 && key != c.conn && begin > c.told {
		if waited := begin - c.told; c.waits && (c.returns == 0 || waited < c.soonest) {
			c.soonest = waited
		}
		c.returns++
		c.conn, c.waits = key, false
	}
	if c.told == 0 && x.told {
		c.told, c.conn, c.waits = x.handed, key, true
	}
}

// forget takes all standings for over: the sink began anew with none, or was told to forget them.
func (b *blockedClients) forget() {
	for i := range b.all {
		b.all[i].told = 0
	}
}

// forgive takes the standing of a key for over. Where the key is no client's, nobody knows whose of those that the reaction has refused it is.
func (b *blockedClients) forgive(s *event.Standing) {
	client, err := netip.ParseAddr(s.Key)
	for i := range b.all {
		if c := &b.all[i]; c.cause == reactCause+s.React && (err != nil || c.client == client.Unmap()) {
			c.told = 0
		}
	}
}

// cameBack makes the findings of those who did.
func (l *Ledger) cameBack() {
	j := l.judge
	for i := range l.blocked.all {
		c := &l.blocked.all[i]
		if c.returns == 0 {
			continue
		}
		who := "unix"
		if c.client.IsValid() {
			who = c.client.String()
		}
		j.finding(KindReturned).Numbers["returns"] += c.returns
		j.find(KindReturned, "", "", fmt.Sprintf("%s came back %s while %s held, at the soonest %v after it was first refused",
			who, text.Counted(c.returns, "time"), c.cause, time.Duration(c.soonest).Round(time.Millisecond)))
	}
}

func transactionExchange(t *event.Transaction) *exchange {
	return &exchange{
		client: t.Client, conn: t.Conn, begin: t.Time, handed: handedAt(t.Handed, t.End.UnixNano()), stage: t.Stage, code: t.Code, cause: t.Cause,
		told: t.ReplySent && !t.Ambiguous,
	}
}

func attemptExchange(a *event.Attempt) *exchange {
	x := &exchange{
		client: a.Client, conn: a.Conn, begin: a.Mail, handed: handedAt(a.Handed, a.End.UnixNano()), stage: a.Stage, code: a.Code, cause: a.Cause,
		told: a.ReplySent && !a.Ambiguous,
	}
	if x.begin.IsZero() {
		x.begin = a.Time
	}
	return x
}
