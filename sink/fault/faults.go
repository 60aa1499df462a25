package fault

import (
	"fmt"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Faults are the edits of an outcome beside its reply and delay. The zero value edits nothing. They are edits of what happens,
// never of a socket: a session turns them into effects.
type Faults struct {
	// Silence sends no reply at all: the connection is held until the client goes away or the session's maximum hold is over,
	// and then closed with FIN. It leaves nothing for other edits to work on, except Delivery.
	Silence bool
	// Dribble sends the reply a few octets at a time.
	Dribble Dribble
	// Split sends the reply in several writes, each drained before the next.
	Split Split
	// Cut sends the beginning of the reply, and never the rest.
	Cut Cut
	// Malformed breaks the reply's syntax.
	Malformed Malformation
	// Raw are the octets that are sent in the place of the reply, whose code says what the sink takes them for; nil: none.
	Raw []byte
	// Bandwidth is that of the connection from this reply on.
	Bandwidth Bandwidth
	// Close ends the connection, instead of the reply or after it.
	Close Close
	// Delivery says whether the message counts as delivered. Only at message.
	Delivery Delivery
	// Body is what happens in mid-body. Only at data, where the reply must be 3yz, and bdat.
	Body BodyFault
	// Missing are the capabilities, in upper case, that this reply to EHLO leaves out of the sink's own. Only at ehlo, where the reply
	// must be 2yz.
	Missing []string
	// Capabilities are those that this reply to EHLO announces. Nil: the sink's own, or none when the reply has words of its own.
	// Only at ehlo, where the reply must be 2yz.
	Capabilities *Capabilities
	// TLS is what goes wrong with the handshake. Only at starttls, where the reply must be 2yz, and at connect of listeners with
	// implicit TLS, before the greeting.
	TLS TLSFault

	unreadable bool // see Unreadable
}

// Capabilities are what a reply to EHLO announces (RFC 5321 section 4.1.1.1), below its first line.
type Capabilities struct {
	All   bool     // the sink's own, whatever the reply's words are
	Lines []string // or these, a keyword with its parameters each, in this order; none: nothing
}

// announces reports whether the capabilities in the reply to EHLO are not the usual ones.
func (f *Faults) announces() bool { return len(f.Missing) > 0 || f.Capabilities != nil }

// Unsent reports whether the reply is never sent: Silence, or Close before it.
func (f *Faults) Unsent() bool {
	return f.Silence || f.Close.Mode != CloseNone && f.Close.When == CloseBefore
}

// Limits of the parameters of faults.
const (
	MaxDribbleOctets = 512 // octets per tick
	MaxSplitPackets  = 64
	MaxCutOctets     = 4096
	MaxBodyAfter     = 1 << 40 // octets
)

// Dribble sends a reply Octets octets at a time, one piece every Every. The zero value sends it at once.
type Dribble struct {
	Octets int           // 1 to MaxDribbleOctets
	Every  time.Duration // 1 ms to MaxDelay
}

// Split sends a reply in Packets pieces of about equal length, each drained and followed by Pause. The zero value sends it in one.
type Split struct {
	Packets int           // 2 to MaxSplitPackets
	Pause   time.Duration // 0 to MaxDelay
}

// Cut sends the first Octets octets of a reply, but never its last one, and then closes the connection, or holds it without another word. The
// zero value sends it all.
type Cut struct {
	Octets int       // 1 to MaxCutOctets
	Close  CloseKind // CloseNone: the connection is held, as by Silence
}

// Malformation is a way to break the syntax of a reply (RFC 5321 section 4.2).
type Malformation uint8

// The malformations.
const (
	MalformedNone        Malformation = iota
	MalformedBadCode                  // the code is no number
	MalformedNoCode                   // the text alone
	MalformedMissingCRLF              // the last line isn't ended
	MalformedOverLong                 // a line far above MaxReplyLine
	MalformedWrongCode                // a code that has no meaning at the stage
	MalformedMixedCodes               // a multi-line reply whose lines differ in code
)

var malformations = [...]string{"none", "bad-code", "no-code", "missing-crlf", "over-long", "wrong-code", "mixed-codes"}

// String returns the name as plans write it.
func (m Malformation) String() string { return nameOf(malformations[:], int(m)) }

// ParseMalformation parses a name; the error names the valid ones.
func ParseMalformation(name string) (Malformation, error) {
	return parseName[Malformation]("malformation", name, malformations[:], 0)
}

// CloseKind is a way to end a connection.
type CloseKind uint8

// The ways.
const (
	CloseNone CloseKind = iota
	CloseFIN            // in order: FIN, what the client still sends is discarded
	CloseRST            // abortive: RST
	CloseHalf           // FIN, and the sink goes on reading
)

var closeKinds = [...]string{"none", "fin", "rst", "half"}

// String returns the name as plans write it.
func (c CloseKind) String() string { return nameOf(closeKinds[:], int(c)) }

// ParseCloseKind parses a name; the error names the valid ones.
func ParseCloseKind(name string) (CloseKind, error) {
	return parseName[CloseKind]("close", name, closeKinds[:], 0)
}

// CloseWhen says on which side of the reply a connection is closed.
type CloseWhen uint8

// The sides.
const (
	CloseBefore CloseWhen = iota // the reply is never sent
	CloseAfter                   // once it was sent, and for CloseRST acknowledged by the client's kernel
)

var closeWhens = [...]string{"before", "after"}

// String returns "before" or "after".
func (c CloseWhen) String() string { return nameOf(closeWhens[:], int(c)) }

// ParseCloseWhen parses "before" or "after".
func ParseCloseWhen(name string) (CloseWhen, error) {
	return parseName[CloseWhen]("time to close", name, closeWhens[:], 0)
}

// Close ends a connection around a reply. The zero value doesn't.
type Close struct {
	Mode CloseKind
	When CloseWhen
}

// Delivery says whether a message counts as delivered, and the ledger's rows with it.
type Delivery uint8

// The choices.
const (
	DeliveryFollow  Delivery = iota // as the reply says that was sent: delivered when it is 2xx
	DeliveryKeep                    // delivered, whatever the client is told: the lost reply after the final dot
	DeliveryDiscard                 // not delivered, whatever the client is told: a message that vanishes
)

var deliveries = [...]string{"follow", "keep", "discard"}

// String returns the name as plans write it.
func (d Delivery) String() string { return nameOf(deliveries[:], int(d)) }

// ParseDelivery parses a name; the error names the valid ones.
func ParseDelivery(name string) (Delivery, error) {
	return parseName[Delivery]("delivery", name, deliveries[:], 0)
}

// BodyFault is what happens once After octets of the body were read: the sink speaks, the connection is closed, or the sink stops reading, so
// that the client meets a zero window. The zero value is nothing.
type BodyFault struct {
	After       int64         // octets of the body, 0 to MaxBodyAfter; at bdat, of the chunk
	Reply       *BodyReply    // that nobody has asked for; nil: none. Without Close, the dialogue goes on
	Close       CloseKind     // or StopReading
	StopReading bool          // or Reply, or Close
	For         time.Duration // how long reading stops, 0 to MaxDelay; 0: until the client goes away or the session's maximum hold is over
}

// BodyReply is a reply in mid-body. It is no reply of a stage.
type BodyReply struct {
	Code     smtp.Code
	Enhanced smtp.Enhanced // absent: the catalogue's default after the body
	Text     []string      // none: the catalogue's
}

// Reply returns the reply, its text and enhanced status code filled in. The error is that of smtp.NewReply.
func (r *BodyReply) Reply() (*smtp.Reply, error) {
	return smtp.NewReply(smtp.StageMessage, r.Code, r.Enhanced, r.Text...)
}

// TLSFault is what goes wrong with a TLS handshake.
type TLSFault uint8

// The faults. That TLS is not to be had now is no fault of the handshake: it is the reply 454 to STARTTLS.
const (
	TLSNone       TLSFault = iota
	TLSGarbage             // octets that are no TLS record, instead of the server's hello
	TLSStall               // the client's hello is never answered
	TLSReset               // RST during the handshake
	TLSExpired             // the certificate is expired
	TLSSelfSigned          // the certificate is its own issuer
	TLSWrongName           // the certificate is for another host
	TLSRefused             // the alert handshake_failure instead of the server's hello (RFC 8446 section 6.2)
)

var tlsFaults = [...]string{"none", "garbage", "stall", "reset", "expired", "self-signed", "wrong-name", "refused"}

// String returns the name as plans write it.
func (f TLSFault) String() string { return nameOf(tlsFaults[:], int(f)) }

// ParseTLSFault parses a name; the error names the valid ones.
func ParseTLSFault(name string) (TLSFault, error) {
	return parseName[TLSFault]("TLS fault", name, tlsFaults[:], 0)
}

// capabilities are the EHLO keywords that a plan may leave out.
var capabilities = []string{
	"8BITMIME", "AUTH", "BINARYMIME", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES", "ETRN", "EXPN", "HELP", "LIMITS", "PIPELINING",
	"REQUIRETLS", "SIZE", "SMTPUTF8", "STARTTLS", "VRFY", "XCLIENT",
}

// maxCapability is the longest capability in octets: what a reply line has room for.
const maxCapability = smtp.MaxReplyLine - len("250-\r\n")

// validateCapability lets through what real servers announce, such as "AUTH=LOGIN PLAIN" or "X-EXPS GSSAPI", whatever its keyword.
func validateCapability(line string) error {
	switch {
	case line == "" || line[0] == ' ':
		return fmt.Errorf("empty capability (want a keyword with its parameters, such as SIZE 1000)")
	case len(line) > maxCapability:
		return fmt.Errorf("capability of %d octets is too long (want at most %d)", len(line), maxCapability)
	case strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("capability %q holds a control character", line)
	}
	return nil
}

func (b *BodyFault) validate() error {
	switch {
	case *b == BodyFault{}:
	case b.After < 0 || b.After > MaxBodyAfter:
		return fmt.Errorf("after %d octets is out of range (want 0 to %d)", b.After, int64(MaxBodyAfter))
	case b.StopReading && (b.Close != CloseNone || b.Reply != nil), !b.StopReading && b.Close == CloseNone && b.Reply == nil:
		return fmt.Errorf("nothing or two things to do after %d octets (want reply, close, both of them, or stop_reading)", b.After)
	case b.For != 0 && !b.StopReading:
		return fmt.Errorf("a time to stop reading for, but reading does not stop")
	case b.For < 0 || b.For > MaxDelay:
		return fmt.Errorf("time %v is out of range (want 0s to %v)", b.For, MaxDelay)
	}
	if b.Reply != nil {
		_, err := b.Reply.Reply()
		return err
	}
	return nil
}

// validateTogether refuses edits of a reply that is never sent, and those that a reply leaves no room for.
func (f *Faults) validateTogether(code smtp.Code, s smtp.Stage, reply *smtp.Reply, delayed bool) (field string, err error) {
	switch {
	case f.Silence && (reply != nil || delayed || f.beside() || f.Close.Mode != CloseNone):
		return ".silence", fmt.Errorf("no reply is sent: it goes with delivery only")
	case f.Unsent() && (reply != nil || f.beside()):
		return ".close", fmt.Errorf("closed before the reply, which is never sent: it goes with delay and delivery only (or: when: after)")
	case f.Raw != nil && (f.Malformed != MalformedNone || f.announces()):
		return ".raw", fmt.Errorf("beside malformed, missing or capabilities (the octets are all that is sent)")
	case f.Cut != Cut{} && (f.Dribble != Dribble{} || f.Split != Split{} || f.Close.Mode != CloseNone):
		return ".cut", fmt.Errorf("not together with dribble, split or close (want cut alone; it has a close of its own)")
	case f.Cut != Cut{} && (f.Body != BodyFault{} || f.TLS != TLSNone):
		return ".cut", fmt.Errorf("nothing follows a reply that is cut")
	case f.Dribble != Dribble{} && f.Split != Split{}:
		return ".dribble", fmt.Errorf("both dribble and split (want one of them)")
	case f.Body != BodyFault{} && f.Close.Mode != CloseNone:
		return ".body", fmt.Errorf("the connection is closed before there is a body")
	case f.Body != BodyFault{} && s == smtp.StageData && code.Class() != 3:
		return ".body", fmt.Errorf("reply %d opens no body (want 354, or another from 300 to 399)", code)
	case len(f.Missing) > 0 && f.Capabilities != nil:
		return ".missing", fmt.Errorf("both missing and capabilities (want one of them)")
	case len(f.Missing) > 0 && code.Class() != 2:
		return ".missing", fmt.Errorf("reply %d announces no capabilities that it could leave out (want the plain reply, or 200 to 299)", code)
	case f.Capabilities != nil && code.Class() != 2:
		return ".capabilities", fmt.Errorf("reply %d announces no capabilities (want the plain reply, or 200 to 299)", code)
	case f.TLS != TLSNone && code.Class() != 2:
		return ".tls", fmt.Errorf("reply %d starts no handshake (want 220, or another from 200 to 299)", code)
	}
	return "", nil
}

func stageList(stages []smtp.Stage) string {
	names := make([]string, len(stages))
	for i, s := range stages {
		names[i] = s.String()
	}
	return strings.Join(names, " ")
}
