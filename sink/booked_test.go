package sink_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// parsePlan parses the keys of a plan after its version.
func parsePlan(t testing.TB, text string) *plan.File {
	t.Helper()
	file, err := plan.Parse("test.yaml", []byte("version: 1\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// booked is a sink with a ledger.
type booked struct {
	*sink.Server
	t       *testing.T
	path    string
	tooLate bool // what before had a client do came after the reply was sent
}

// faulty starts a sink with a plan and a ledger.
func faulty(t *testing.T, kind sink.DriverKind, text string, change func(*sink.Config)) *booked {
	t.Helper()
	b := &booked{t: t, path: filepath.Join(t.TempDir(), "ledger.jsonl")}
	file := parsePlan(t, text)
	b.Server = sinktest.Start(t, sinktest.WithDriver(kind), sinktest.With(func(cfg *sink.Config) {
		cfg.Plan, cfg.PlanHash = file.Plan, file.SHA256
		cfg.Ledger = sink.LedgerConfig{Path: b.path, Durability: event.None}
		if len(file.Plan.Listeners()) == 0 {
			cfg.Listeners = []sink.Listener{{Name: "test", Address: cmp.Or(os.Getenv(linkServer), "127.0.0.1") + ":0"}}
		}
		if change != nil {
			change(cfg)
		}
	}))
	return b
}

// rows waits until all connections have ended, closes the sink, and says what the ledger holds, a line for each row:
//
//	attempt RECIPIENT STAGE CODE ENDING CAUSE [FAULT] [delivered] [sent]
//	transaction SENDER STAGE CODE ENDING CAUSE [FAULT] [sent]
//	connection REASON [FAULT]
func (b *booked) rows() []string {
	b.t.Helper()
	eventually(b.t, b.Server, "all connections have ended", func(s *sink.Stats) bool { return s.Open == 0 })
	if err := b.Close(); err != nil {
		b.t.Fatal(err)
	}
	return ledgerRows(b.t, b.path)
}

func ledgerRows(t *testing.T, path string) []string {
	t.Helper()
	var lines []string
	readLedger(t, path, func(row *event.Row) {
		var words []string
		add := func(is bool, word string) {
			if is && word != "" {
				words = append(words, word)
			}
		}
		switch row.Kind {
		case event.KindAttempt:
			a := &row.Attempt
			words = []string{"attempt", string(a.Recipient), a.Stage.String(), fmt.Sprint(uint16(a.Code)), a.Ending.String()}
			add(true, a.Cause)
			add(true, a.Fault)
			add(a.Delivered, "delivered")
			add(a.ReplySent, "sent")
			add(a.Ambiguous, "ambiguous")
		case event.KindTransaction:
			x := &row.Transaction
			words = []string{"transaction", string(x.Sender), x.Stage.String(), fmt.Sprint(uint16(x.Code)), x.Ending.String()}
			add(true, x.Cause)
			add(true, x.Fault)
			add(x.ReplySent, "sent")
		case event.KindConnection:
			words = []string{"connection", row.Connection.Reason}
			add(true, row.Connection.Fault)
		default:
			return
		}
		lines = append(lines, strings.Join(words, " "))
	})
	return lines
}

func readLedger(t *testing.T, path string, each func(*event.Row)) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader := ledger.NewReader(file, path)
	var row event.Row
	for {
		if err := reader.Read(&row); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		each(&row)
	}
}

// envelope says everything up to the reply to RCPT, which it returns.
func (c *rawClient) envelope() string {
	c.t.Helper()
	c.command("MAIL FROM:<a@sender.test>", "250 ")
	c.send("RCPT TO:<b@recipient.test>\r\n")
	return c.reply()
}

const theMessage = "Subject: test\r\n\r\nbody\r\n.\r\n"

// message says everything up to the end of the body.
func (c *rawClient) message() {
	c.t.Helper()
	c.command("MAIL FROM:<a@sender.test>", "250 ")
	c.command("RCPT TO:<b@recipient.test>", "250 ")
	c.command("DATA", "354 ")
	c.send(theMessage)
}

// expectReset checks that the connection is reset now, without a further word.
func (c *rawClient) expectReset() {
	c.t.Helper()
	rest, err := io.ReadAll(c.in)
	if !errors.Is(err, syscall.ECONNRESET) || len(rest) > 0 {
		c.t.Fatalf("got %.100q and error %v, want a reset", rest, err)
	}
}

// expectSilence checks that nothing comes for a while, nor the end.
func (c *rawClient) expectSilence(d time.Duration) {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		c.t.Fatal(err)
	}
	if b, err := c.in.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("got %q and error %v, want silence", b, err)
	}
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
}

// raw reads everything up to the end of the connection.
func (c *rawClient) rest() (string, error) {
	c.t.Helper()
	rest, err := io.ReadAll(c.in)
	return string(rest), err
}

// faultCase is a fault, what a client meets of it, and what the ledger says.
type faultCase struct {
	name   string
	plan   string
	config func(*sink.Config)
	client func(c *rawClient)
	rows   []string
}

// meet lets a client meet each fault, over both drivers, and compares the ledger.
func meet(t *testing.T, cases []faultCase) {
	t.Helper()
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		for _, test := range cases {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				server := faulty(t, kind, test.plan, test.config)
				if test.client == nil { // it is not greeted
					dial(t, server.Server, "").expectEOF()
				} else {
					c := greeted(t, server.Server)
					test.client(c)
					_ = c.conn.Close() // or the sink would wait for it
				}
				if got := server.rows(); !slices.Equal(got, test.rows) {
					t.Errorf("the ledger says\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(test.rows, "\n\t"))
				}
			})
		}
	})
}
