package fault

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// golden is an occurrence with every field set, whose keys the golden vectors hash.
func golden(s smtp.Stage) *Occurrence {
	recipient := []byte("rcpt@example.org")
	o := &Occurrence{
		Stage: s, Listener: "mx1", Client: netip.MustParseAddr("192.0.2.1"), ConnN: 5, Helo: []byte("client.example.com"),
		Sender: []byte("Sender@EXAMPLE.com"), MailN: 2, MessageN: 4,
		RecipientsHash: HashRecipient([]byte("b@Example.ORG")) + HashRecipient(recipient), MaxRcptN: 3, Recipients: 2,
		AcceptedRecipients: [][]byte{[]byte("b@Example.ORG"), recipient}, Nth: 9,
	}
	if s == smtp.StageRcpt {
		o.Recipient, o.RcptN = recipient, 3
	}
	return o
}

// TestGoldenDraws pins the hash. The vectors were computed by another implementation of xxhash64, from the layout that Draw and
// AppendKey document. A change here would change every recorded storm.
func TestGoldenDraws(t *testing.T) {
	for _, c := range []struct {
		name    string
		stage   smtp.Stage
		purpose Purpose
		kind    KeyKind
		want    uint64
	}{
		{"attempt at rcpt", smtp.StageRcpt, PurposeCode, KeyAttempt, 0xf2ce8170e3e0c9d4},
		{"the default is attempt", smtp.StageRcpt, PurposeCode, KeyDefault, 0xf2ce8170e3e0c9d4},
		{"delay at rcpt", smtp.StageRcpt, PurposeDelay, KeyAttempt, 0xed7d98fe099174bc},
		{"ramp at rcpt", smtp.StageRcpt, PurposeRamp, KeyAttempt, 0x5f8f4bad5725a445},
		{"recipient at rcpt", smtp.StageRcpt, PurposeCode, KeyRecipient, 0xebc5e817d8a64482},
		{"attempt at mail", smtp.StageMail, PurposeCode, KeyAttempt, 0xe2e1f10d61bccf46},
		{"message at mail", smtp.StageMail, PurposeCode, KeyMessage, 0xe2e1f10d61bccf46},
		{"attempt at message", smtp.StageMessage, PurposeCode, KeyAttempt, 0x647a443ac3c0f5fe},
		{"attempt at connect", smtp.StageConnect, PurposeCode, KeyAttempt, 0x79c2b002fd2787fc},
		{"connection at connect", smtp.StageConnect, PurposeCode, KeyConnection, 0x79c2b002fd2787fc},
		{"attempt at noop", smtp.StageNoop, PurposeCode, KeyAttempt, 0x91feadd7f4e3a0ec},
	} {
		if got := Draw(7, c.stage, c.purpose, AppendKey(nil, c.kind, golden(c.stage))); got != c.want {
			t.Errorf("%s: draw is %#x, want %#x", c.name, got, c.want)
		}
	}
	if got := Draw(0, smtp.StageRcpt, PurposeCode, nil); got != 0xa33ed664623ed8d9 {
		t.Errorf("empty key: draw is %#x, want 0xa33ed664623ed8d9", got)
	}
	if got := Draw(7, smtp.StageMessage, PurposeDelay, []byte("key")); got != 0x4e3e60e1c8228b6a {
		t.Errorf("key: draw is %#x, want 0x4e3e60e1c8228b6a", got)
	}
	unix := golden(smtp.StageConnect)
	unix.Client = netip.Addr{}
	if got := Draw(7, unix.Stage, PurposeCode, AppendKey(nil, KeyAttempt, unix)); got != 0xae186fbecdd9d963 {
		t.Errorf("unix socket: draw is %#x, want 0xae186fbecdd9d963", got)
	}
	if got := HashRecipient([]byte("rcpt@EXAMPLE.org")); got != 0x578b58ca1757cd9c {
		t.Errorf("recipient hash is %#x, want 0x578b58ca1757cd9c", got)
	}
}

// TestKeys says which facts each kind of key depends on, at each stage.
func TestKeys(t *testing.T) {
	facts := []struct {
		name   string
		change func(o *Occurrence)
	}{
		{"sender", func(o *Occurrence) { o.Sender = []byte("other@example.com") }},
		{"mailn", func(o *Occurrence) { o.MailN++ }},
		{"recipient", func(o *Occurrence) {
			if len(o.Recipient) > 0 {
				o.Recipient = []byte("other@example.org")
			} else {
				o.RecipientsHash++
			}
		}},
		{"n", func(o *Occurrence) { o.RcptN, o.MaxRcptN = o.RcptN+1, o.MaxRcptN+1 }},
		{"client", func(o *Occurrence) { o.Client = netip.MustParseAddr("192.0.2.2") }},
		{"connection", func(o *Occurrence) { o.ConnN++ }},
		{"nth", func(o *Occurrence) { o.Nth++ }},
	}
	for _, c := range []struct {
		stages string
		kind   KeyKind
		want   string
	}{
		{"rcpt message data bdat", KeyAttempt, "sender recipient n"},
		{"rcpt message data bdat", KeyRecipient, "sender recipient"},
		{"mail", KeyAttempt, "sender mailn"},
		{"mail rcpt data bdat message", KeyMessage, "sender mailn"},
		{"connect pregreet helo ehlo starttls auth", KeyAttempt, "client connection"},
		{"connect pregreet helo mail rcpt message noop quit", KeyConnection, "client connection"},
		{"rset noop quit vrfy expn help turn etrn unknown send soml saml", KeyAttempt, "client connection nth"},
	} {
		for _, name := range strings.Fields(c.stages) {
			s, err := smtp.ParseStage(name)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, fact := range facts {
				o := golden(s)
				fact.change(o)
				if string(AppendKey(nil, c.kind, o)) != string(AppendKey(nil, c.kind, golden(s))) {
					got = append(got, fact.name)
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("key %v at %v depends on %v, want %s", c.kind, s, got, c.want)
			}
		}
	}
}

// TestKeyLMTP: in LMTP the message stage occurs once per accepted recipient, each with its own draw.
func TestKeyLMTP(t *testing.T) {
	o := golden(smtp.StageMessage)
	o.Recipient, o.RcptN = []byte("rcpt@example.org"), 3
	rcpt := golden(smtp.StageRcpt)
	if got, want := AppendKey(nil, KeyAttempt, o), AppendKey(nil, KeyAttempt, rcpt); string(got) != string(want) {
		t.Errorf("key is %x, want that of its RCPT, %x", got, want)
	}
}

// TestKeyFieldsAreApart: length prefixes keep sender and recipient apart.
func TestKeyFieldsAreApart(t *testing.T) {
	a, b := golden(smtp.StageRcpt), golden(smtp.StageRcpt)
	a.Sender, a.Recipient = []byte("ab@c"), []byte("d@e")
	b.Sender, b.Recipient = []byte("ab@cd"), []byte("@e")
	if string(AppendKey(nil, KeyAttempt, a)) == string(AppendKey(nil, KeyAttempt, b)) {
		t.Error("two pairs have one key")
	}
}

func TestDrawDoesNotAllocate(t *testing.T) {
	key := AppendKey(nil, KeyAttempt, golden(smtp.StageRcpt))
	if n := testing.AllocsPerRun(100, func() { Draw(7, smtp.StageRcpt, PurposeCode, key) }); n != 0 {
		t.Errorf("Draw allocates %v times, want 0", n)
	}
	address := []byte("somebody@example.com")
	if n := testing.AllocsPerRun(100, func() { HashRecipient(address) }); n != 0 {
		t.Errorf("HashRecipient allocates %v times, want 0", n)
	}
}
