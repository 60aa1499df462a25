package relay

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Kind names a way in which the relay does wrong on purpose.
type Kind string

// The kinds of lies. Each strikes whole messages, with all their recipients, and no message is struck twice.
const (
	Truth Kind = "" // none

	// Struck when a message is accepted.
	Lose             Kind = "lose"               // said 250, and thrown away
	Copy             Kind = "copy"               // delivered, and a copy to a stranger, as it is
	CopyBare         Kind = "copy-bare"          // the same, without X-Storm-Id and ENVID, and from another sender
	Misdeliver       Kind = "misdeliver"         // delivered to another recipient instead
	Cross            Kind = "cross"              // delivered to a recipient of the message before instead
	ChangeBody       Kind = "change-body"        // a line more at the end of the body
	DropStormID      Kind = "drop-storm-id"      // without X-Storm-Id
	DropMessageID    Kind = "drop-message-id"    // without Message-ID
	RewriteMessageID Kind = "rewrite-message-id" // with another Message-ID
	SwapContents     Kind = "swap-contents"      // N pairs whose headers and bodies are exchanged
	SwapBodies       Kind = "swap-bodies"        // N pairs whose bodies are exchanged
	Split            Kind = "split"              // a transaction for each recipient
	HangUp           Kind = "hang-up"            // leaves after the final dot without the reply, and tries again as if it had been lost
	Duplicate        Kind = "duplicate"          // delivered again at once, after a 250 that was read
	DuplicateLate    Kind = "duplicate-late"     // delivered again Config.Late after that
	ForgeDSN         Kind = "forge-dsn"          // notified as failed although it was delivered
	RetryRefused     Kind = "retry-refused"      // tried once more after a permanent refusal
	DoubleDSN        Kind = "double-dsn"         // two notifications of a refusal
	WithholdDSN      Kind = "withhold-dsn"       // none
	RetrySoon        Kind = "retry-soon"         // tried again at once after a deferral
)

// occasion is when it is decided whether a message is struck.
type occasion uint8

const (
	accepted  occasion = iota
	delivered          // a 2xx was read after the body
	refused            // a 5xx was read
	deferred           // the first deferral

	numOccasions = int(deferred) + 1
)

var occasions = [...]struct {
	kind Kind
	when occasion
}{
	{Lose, accepted}, {Copy, accepted}, {CopyBare, accepted}, {Misdeliver, accepted}, {Cross, accepted}, {ChangeBody, accepted}, {DropStormID, accepted},
	{DropMessageID, accepted}, {RewriteMessageID, accepted}, {SwapContents, accepted}, {SwapBodies, accepted}, {Split, accepted},
	{HangUp, accepted}, {Duplicate, delivered}, {DuplicateLate, delivered}, {ForgeDSN, delivered}, {RetryRefused, refused},
	{DoubleDSN, refused}, {WithholdDSN, refused}, {RetrySoon, deferred},
}

// Kinds returns all kinds of lies.
func Kinds() []Kind {
	out := make([]Kind, len(occasions))
	for i := range occasions {
		out[i] = occasions[i].kind
	}
	return out
}

// when returns the occasion of a kind.
func (k Kind) when() (occasion, bool) {
	for _, o := range occasions {
		if o.kind == k {
			return o.when, true
		}
	}
	return 0, false
}

// pairs reports whether the kind strikes two messages at a time.
func (k Kind) pairs() bool { return k == SwapContents || k == SwapBodies }

// Lie is a lie that is told Count times.
type Lie struct {
	Kind  Kind
	Count int // of messages, or of pairs of them
	// Of is among how many messages the victims are drawn: the first so many that are accepted, delivered, refused or deferred, whichever
	// the lie needs. 0: the first ones are the victims.
	Of int
}

// ParseLie parses KIND=COUNT or KIND=COUNT/OF. The error names what is valid.
func ParseLie(text string) (l Lie, err error) {
	kind, numbers, _ := strings.Cut(text, "=")
	count, of, among := strings.Cut(numbers, "/")
	l.Kind = Kind(kind)
	if _, ok := l.Kind.when(); !ok {
		return l, fmt.Errorf("unknown lie %q (valid: %s)", kind, strings.Trim(fmt.Sprint(Kinds()), "[]"))
	}
	if l.Count, err = strconv.Atoi(count); err == nil && among {
		l.Of, err = strconv.Atoi(of)
	}
	if err != nil || l.Count < 1 || l.Of < 0 || among && l.Of < l.victims() {
		return l, fmt.Errorf("invalid numbers in %q (want KIND=COUNT or KIND=COUNT/OF, with as many messages as are struck)", text)
	}
	return l, nil
}

// victims returns how many messages the lie strikes.
func (l Lie) victims() int {
	if l.Kind.pairs() {
		return 2 * l.Count
	}
	return l.Count
}

// lies hand out, on each occasion, exactly the lies that were ordered, in an order that the seed decides.
type lies struct {
	left [numOccasions][]Kind
	told map[Kind]int
}

// newLies fails if a kind is unknown.
func newLies(ordered []Lie, seed uint64) (*lies, error) {
	l := &lies{told: map[Kind]int{}}
	var size [numOccasions]int
	for _, o := range ordered {
		when, ok := o.Kind.when()
		if !ok || o.Count < 0 {
			return nil, fmt.Errorf("relay: the lie %q can't be told %d times", o.Kind, o.Count)
		}
		for range o.victims() {
			l.left[when] = append(l.left[when], o.Kind)
		}
		size[when] = max(size[when], o.Of)
	}
	for when := range l.left {
		for len(l.left[when]) < size[when] {
			l.left[when] = append(l.left[when], Truth)
		}
		r := rand.New(rand.NewPCG(seed, uint64(when))) // #nosec G404 G115 -- a choice that a seed has to repeat
		r.Shuffle(len(l.left[when]), func(i, j int) { l.left[when][i], l.left[when][j] = l.left[when][j], l.left[when][i] })
	}
	return l, nil
}

// strike returns which lie is told of a message on an occasion, and notes it. A message that was struck before, a copy or a notification
// is no occasion.
func (l *lies) strike(m *message, when occasion) Kind {
	if m.lie != Truth || m.secret || m.notification || len(l.left[when]) == 0 {
		return Truth
	}
	kind := l.left[when][0]
	l.left[when] = l.left[when][1:]
	if kind != Truth {
		m.lie = kind
		l.told[kind]++
	}
	return kind
}
