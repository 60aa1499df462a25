package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// history writes a ledger row by row: a readable way to say what the sink saw.
type history struct {
	buf  []byte
	time int
}

func newHistory() *history {
	h := &history{}
	return h.run()
}

func (h *history) add(r event.Row) *history {
	h.buf = Append(h.buf, &r)
	return h
}

// run starts a run of the sink.
func (h *history) run() *history {
	return h.add(event.Row{Kind: event.KindStart, Start: event.Start{Time: at(h.time), Plan: "test", Durability: event.Batch}})
}

// attempt adds an attempt of message n of the connection, changed by the edits.
func (h *history) attempt(conn, n uint64, token, recipient string, code smtp.Code, edits ...func(*event.Attempt)) *history {
	h.time++
	a := event.Attempt{
		Conn: conn, Listener: "l", Client: netip.MustParseAddrPort("127.0.0.1:1"), Time: at(h.time), End: at(h.time), Message: n, Sender: []byte(token), Token: []byte(token),
		Recipient: []byte(recipient), Ending: event.EndReply, Stage: smtp.StageMessage, Code: code, Delivered: code.Class() == 2, ReplySent: true,
	}
	for _, edit := range edits {
		edit(&a)
	}
	return h.add(event.Row{Kind: event.KindAttempt, Attempt: a})
}

func (h *history) close(conn uint64) *history {
	return h.add(event.Row{Kind: event.KindConnection, Connection: event.Connection{Conn: conn, Listener: "l", Time: at(0), End: at(h.time), Reason: "quit"}})
}

func (h *history) mailRefused(conn, n uint64, token string, code smtp.Code) *history {
	return h.add(event.Row{Kind: event.KindTransaction, Transaction: event.Transaction{
		Conn: conn, Listener: "l", Time: at(h.time), End: at(h.time), Message: n, Sender: []byte(token), Token: []byte(token), Ending: event.EndReply, Stage: smtp.StageMail, Code: code, ReplySent: true,
	}})
}

func unsent(a *event.Attempt)      { a.Ending, a.ReplySent = event.EndLost, false }
func ambiguous(a *event.Attempt)   { a.Ambiguous = true }
func undelivered(a *event.Attempt) { a.Delivered = false }
func kept(a *event.Attempt)        { a.Delivered = true }
func atRcpt(a *event.Attempt)      { a.Stage, a.Delivered = smtp.StageRcpt, false }

func TestClasses(t *testing.T) {
	const token, rcpt = "s+1@src.example", "r1@a.example"
	sent := `{"token":"` + token + `","sender":"` + token + `","recipient":"` + rcpt + `","time":"2026-01-31T10:00:00Z","anything":{"else":[1]}}`
	inQueue := `{"sender":"` + token + `","recipient":"` + rcpt + `"}`
	dsn := func(status string) string {
		return `{"token":"` + token + `","recipient":"` + rcpt + `","action":"failed","status":"` + status + `"}`
	}
	const none, empty = "-", ""
	tests := []struct {
		name       string
		history    *history
		queue, dsn string
		want       Class
	}{
		{"delivered", newHistory().attempt(1, 1, token, rcpt, 250).close(1), none, none, ClassAcceptedOnce},
		{"delivered at the second attempt", newHistory().attempt(1, 1, token, rcpt, 451).close(1).attempt(2, 1, token, rcpt, 250).close(2), empty, empty, ClassAcceptedOnce},
		{"delivered, its reply never sent, never tried again", newHistory().attempt(1, 1, token, rcpt, 250, unsent, kept).close(1), empty, none, ClassAcceptedOnce},
		{"delivered and still queued", newHistory().attempt(1, 1, token, rcpt, 250).close(1), inQueue, none, ClassAcceptedOnce},
		{"delivered though refused at first", newHistory().attempt(1, 1, token, rcpt, 550, atRcpt).attempt(1, 2, token, rcpt, 250).close(1), empty, none, ClassAcceptedOnce},
		{"delivered in a connection that has no end", newHistory().attempt(1, 1, token, rcpt, 250), empty, none, ClassAcceptedOnce},
		{"other case of the domain", newHistory().attempt(1, 1, "s+1@SRC.example", "r1@A.Example", 250).close(1), none, none, ClassAcceptedOnce},

		{"delivered twice, told both times", newHistory().attempt(1, 1, token, rcpt, 250).close(1).attempt(2, 1, token, rcpt, 250).close(2), none, none, ClassDuplicatedUnexplained},
		{"delivered twice in one transaction", newHistory().attempt(1, 1, token, rcpt, 250).attempt(1, 1, token, rcpt, 250).close(1), none, none, ClassDuplicatedUnexplained},
		{"the reply of the first was never sent", newHistory().attempt(1, 1, token, rcpt, 250, unsent, kept).close(1).attempt(2, 1, token, rcpt, 250).close(2), none, none, ClassDuplicatedAmbiguous},
		{"the reply of the first was torn", newHistory().attempt(1, 1, token, rcpt, 250, ambiguous).close(1).attempt(2, 1, token, rcpt, 250).close(2), none, none, ClassDuplicatedAmbiguous},
		{"kept though the client was told 451", newHistory().attempt(1, 1, token, rcpt, 451, kept).close(1).attempt(2, 1, token, rcpt, 250).close(2), none, none, ClassDuplicatedAmbiguous},
		{"three times, never told before the last", newHistory().attempt(1, 1, token, rcpt, 250, ambiguous).attempt(1, 2, token, rcpt, 250, unsent, kept).close(1).attempt(2, 1, token, rcpt, 250).close(2),
			none, none, ClassDuplicatedAmbiguous},
		{"ambiguous, told, and again", newHistory().attempt(1, 1, token, rcpt, 250, ambiguous).close(1).attempt(2, 1, token, rcpt, 250).attempt(2, 2, token, rcpt, 250).close(2),
			none, none, ClassDuplicatedUnexplained},
		{"told, then an ambiguous one", newHistory().attempt(1, 1, token, rcpt, 250).close(1).attempt(2, 1, token, rcpt, 250, ambiguous).close(2), none, none, ClassDuplicatedUnexplained},
		{"the sink died before the reply", newHistory().attempt(1, 1, token, rcpt, 250).run().attempt(1, 1, token, rcpt, 250).close(1), none, none, ClassDuplicatedAmbiguous},
		{"the sink died, but the client had gone on", newHistory().attempt(1, 1, token, rcpt, 250).attempt(1, 2, "x", "y", 250).run().attempt(1, 1, token, rcpt, 250).close(1), none, none, ClassDuplicatedUnexplained},
		{"the sink died, but the client had tried MAIL", newHistory().attempt(1, 1, token, rcpt, 250).mailRefused(1, 2, "x", 450).run().attempt(1, 1, token, rcpt, 250).close(1), none, none, ClassDuplicatedUnexplained},

		{"refused at RCPT", newHistory().attempt(1, 1, token, rcpt, 550, atRcpt).close(1), none, none, ClassBounced},
		{"refused after the dot", newHistory().attempt(1, 1, token, rcpt, 554).close(1), empty, empty, ClassBounced},
		{"refused at MAIL", newHistory().mailRefused(1, 1, token, 550).close(1), empty, none, ClassBounced},
		{"refused and notified", newHistory().attempt(1, 1, token, rcpt, 550, atRcpt).close(1), empty, dsn("5.1.1"), ClassBounced},
		{"refused, and notified as Exim does", newHistory().attempt(1, 1, token, rcpt, 550, atRcpt).close(1), empty, dsn("5.0.0"), ClassBounced},

		{"never seen, queued", newHistory(), inQueue, none, ClassOpen},
		{"deferred, queued", newHistory().attempt(1, 1, token, rcpt, 450, atRcpt).close(1), inQueue, empty, ClassOpen},
		{"refused for good, but the sender goes on", newHistory().attempt(1, 1, token, rcpt, 550, atRcpt).close(1), inQueue, empty, ClassOpen},
		{"thrown away by the sink, but the sender goes on", newHistory().attempt(1, 1, token, rcpt, 250, undelivered).close(1), inQueue, empty, ClassOpen},

		{"given up after deferrals", newHistory().attempt(1, 1, token, rcpt, 450, atRcpt).close(1), empty, dsn("4.4.7"), ClassExpired},
		{"given up after deferrals, said as Exim does", newHistory().attempt(1, 1, token, rcpt, 450, atRcpt).close(1), none, dsn("5.0.0"), ClassExpired},
		{"given up, never seen", newHistory(), empty, dsn("4.4.1"), ClassExpired},
		{"given up, though a 550 was decided but never sent", newHistory().attempt(1, 1, token, rcpt, 550, unsent, atRcpt).close(1), empty, dsn("4.4.2"), ClassExpired},

		{"never seen, not queued", newHistory(), empty, none, ClassLost},
		{"deferred, not queued", newHistory().attempt(1, 1, token, rcpt, 450, atRcpt).close(1), empty, empty, ClassLost},
		{"a 550 that was never sent, not queued", newHistory().attempt(1, 1, token, rcpt, 550, unsent, atRcpt).close(1), empty, empty, ClassLost},
		{"MAIL deferred, not queued", newHistory().mailRefused(1, 1, token, 450).close(1), empty, empty, ClassLost},
		{"only another recipient was delivered", newHistory().attempt(1, 1, token, "other@a.example", 250).close(1), empty, empty, ClassLost},
		{"the sink said 250 and threw it away", newHistory().attempt(1, 1, token, rcpt, 250, undelivered).close(1), none, none, ClassLost},
		{"delayed notification, not queued", newHistory(), empty, strings.Replace(dsn("4.4.1"), "failed", "delayed", 1), ClassLost},

		{"never seen, no queue known", newHistory(), none, none, ClassOpenOrLost},
		{"deferred, no queue known", newHistory().attempt(1, 1, token, rcpt, 450, atRcpt).close(1), none, empty, ClassOpenOrLost},
		{"the connection was lost in the body, no queue known", newHistory().attempt(1, 1, token, rcpt, 0, unsent).close(1), none, none, ClassOpenOrLost},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := Inputs{Ledger: Input{"ledger", bytes.NewReader(test.history.buf)}, Sent: Input{"sent", strings.NewReader(sent + "\n")}}
			if test.queue != none {
				in.Queue = Input{"queue", strings.NewReader(test.queue)}
			}
			if test.dsn != none {
				in.Notifications = Input{"dsn", strings.NewReader(test.dsn)}
			}
			got, err := Reconcile(in)
			if err != nil {
				t.Fatal(err)
			}
			want := Counted{}
			*want.Of(test.want) = 1
			if got.Classes != want {
				t.Errorf("classes %+v, want %v alone\n%s", got.Classes, test.want, test.history.buf)
			}
			if wantClean := test.want != ClassLost && test.want != ClassDuplicatedUnexplained; got.Clean() != wantClean {
				t.Errorf("Clean() = %v, want %v", got.Clean(), wantClean)
			}
		})
	}
}

func TestWhatIdentifiesAMessage(t *testing.T) {
	identify := func(token, sender, storm, id string) func(*event.Attempt) {
		return func(a *event.Attempt) {
			a.Token, a.Sender, a.StormID, a.MessageID = []byte(token), []byte(sender), []byte(storm), []byte(id)
		}
	}
	sent := `{"token":"T1","sender":"s+1@x","storm_id":"storm-1","message_id":"<m1@x>","recipient":"r@y"}
{"token":"T2","sender":"s+2@x","storm_id":"storm-2","message_id":"<m2@x>","recipient":"r@y"}
{"token":"T3","sender":"shared@x","recipient":"r3@y"}
{"token":"T4","sender":"shared@x","recipient":"r4@y"}
{"token":"T4","sender":"shared@x","recipient":"r3@y"}
`
	tests := []struct {
		name           string
		recipient      string
		edit           func(*event.Attempt)
		want           string // token, or "foreign", "returned", "unattributed"
		contradictions uint64
	}{
		{"ENVID", "r@y", identify("T1", "rewritten@x", "", ""), "T1", 0},
		{"VERP sender where ENVID was lost", "r@y", identify("s+1@x", "s+1@x", "", ""), "T1", 0},
		{"VERP sender beside an ENVID that an MTA made up", "r@y", identify("queue-id", "s+1@x", "", ""), "T1", 0},
		{"X-Storm-Id alone", "r@y", identify("rewritten@x", "rewritten@x", "storm-2", ""), "T2", 0},
		{"Message-ID alone", "r@y", identify("rewritten@x", "rewritten@x", "", "<m2@x>"), "T2", 0},
		{"all agree", "r@y", identify("T1", "s+1@x", "storm-1", "<m1@x>"), "T1", 0},
		{"the envelope wins over the header", "r@y", identify("T1", "s+1@x", "storm-2", ""), "T1", 1},
		{"an unknown header contradicts", "r@y", identify("T1", "s+1@x", "storm-1", "<other@x>"), "T1", 1},
		{"a shared sender, told apart by the recipient", "r4@y", identify("shared@x", "shared@x", "", ""), "T4", 0},
		{"a shared sender that can't be told apart", "r3@y", identify("shared@x", "shared@x", "", ""), "foreign", 0},
		{"nobody's", "r9@y", identify("T1", "s+1@x", "", ""), "foreign", 0},
		{"a notification on its way home", "S+1@X", identify("", "", "", ""), "foreign", 0},
		{"a notification on its way home", "s+1@X", identify("", "", "", ""), "returned", 0},
		{"RCPT before MAIL", "r@y", func(a *event.Attempt) { identify("", "", "", "")(a); a.Delivered, a.Code = false, 503 }, "unattributed", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := NewReconciler()
			if err := ReadSent(strings.NewReader(sent), "sent", r.Claim); err != nil {
				t.Fatal(err)
			}
			if _, _, err := eachRow(Input{"ledger", bytes.NewReader(newHistory().attempt(1, 1, "", test.recipient, 250, test.edit).close(1).buf)}, r.Row); err != nil {
				t.Fatal(err)
			}
			got := "nobody"
			for i := range r.units {
				if r.units[i].deliveries > 0 {
					got = strings.ToUpper(r.messages[r.units[i].message].Token)
				}
			}
			out, err := r.Result()
			switch {
			case err != nil:
				t.Fatal(err)
			case out.Foreign.Units > 0:
				got = "foreign"
			case out.Returned.Delivered > 0:
				got = "returned"
			case out.Unattributed > 0:
				got = "unattributed"
			}
			if got != test.want || out.Contradictions != test.contradictions {
				t.Errorf("belongs to %s with %d contradictions, want %s with %d", got, out.Contradictions, test.want, test.contradictions)
			}
		})
	}
}

func TestSideCounts(t *testing.T) {
	h := newHistory().
		attempt(1, 1, "a", "r", 250).attempt(1, 2, "b", "r", 550, atRcpt).attempt(1, 3, "c", "r", 450, atRcpt).attempt(1, 4, "x", "r", 250).attempt(1, 5, "x", "r", 450).close(1).
		add(event.Row{Kind: event.KindGap, Gap: event.Gap{Rows: 3, Error: "full"}})
	h.buf = append(h.buf, `{"kind":"att`...)
	in := Inputs{
		Ledger: Input{"ledger", bytes.NewReader(h.buf)},
		Sent:   Input{"sent", strings.NewReader(`{"token":"a","recipient":"r"}` + "\n\n" + `{"token":"b","recipient":"r"}` + "\n" + `{"token":"c","recipient":"r"}`)},
		Queue:  Input{"queue", strings.NewReader(`{"token":"a","recipient":"r"}` + "\n" + `{"token":"zz","recipient":"r"}`)},
		Notifications: Input{"dsn", strings.NewReader(`{"token":"a","recipient":"r","action":"Failed"}
{"token":"c","recipient":"r","action":"failed","status":"5.0.0"}
{"token":"c","recipient":"r","action":"failed","status":"5.0.0"}
{"token":"c","recipient":"r","action":"delayed"}
{"token":"zz","recipient":"r","action":"failed"}
{"recipient":"r","action":"failed"}`)},
	}
	got, err := Reconcile(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Counted{AcceptedOnce: 1, Bounced: 1, Expired: 1}); got.Classes != want {
		t.Errorf("classes %+v, want %+v", got.Classes, want)
	}
	if want := (NotificationCounts{Failed: 5, Other: 1, Unmatched: 2, Repeated: 1, Delivered: 1, Missing: 1, GivenUp: 1}); got.Notifications != want {
		t.Errorf("notifications %+v, want %+v", got.Notifications, want)
	}
	if want := (QueueCounts{Listed: 2, Unmatched: 1, Delivered: 1}); got.Queue != want {
		t.Errorf("queue %+v, want %+v", got.Queue, want)
	}
	if want := (ForeignTraffic{Units: 1, Traffic: Traffic{Attempts: 2, Delivered: 1}}); got.Foreign != want {
		t.Errorf("foreign %+v, want %+v", got.Foreign, want)
	}
	if got.MissingRows != 3 || got.TornOctets != 12 || got.Runs != 1 || got.Attempts != 5 {
		t.Errorf("missing %d torn %d runs %d attempts %d, want 3 12 1 5", got.MissingRows, got.TornOctets, got.Runs, got.Attempts)
	}
}

func TestNotificationThatNamesOnlyAUniqueRecipient(t *testing.T) {
	got, err := Reconcile(Inputs{
		Ledger:        Input{"ledger", bytes.NewReader(newHistory().buf)},
		Sent:          Input{"sent", strings.NewReader(`{"token":"a","recipient":"r1"}` + "\n" + `{"token":"b","recipient":"r2"}`)},
		Notifications: Input{"dsn", strings.NewReader(`{"recipient":"r2","action":"failed","status":"4.4.7"}`)},
	})
	if err != nil || got.Classes.Expired != 1 || got.Classes.OpenOrLost != 1 {
		t.Errorf("classes %+v, %v; want one expired, one open or lost", got.Classes, err)
	}
}

func TestBadInputsNameFileLineAndKey(t *testing.T) {
	ok := `{"token":"a","recipient":"r"}` + "\n"
	header := newHistory().buf
	tests := []struct{ name, ledger, sent, queue, dsn, want string }{
		{"sent: no token", "", ok + `{"recipient":"r"}`, "", "", `sent.jsonl:2: key "token": missing (keys: token recipient, optional: sender storm_id message_id time, others are ignored)`},
		{"sent: empty token", "", `{"token":"","recipient":"r"}`, "", "", `sent.jsonl:1: key "token": is empty`},
		{"sent: recipient misspelt", "", `{"token":"a","recipent":"r"}`, "", "", `sent.jsonl:1: key "recipient": missing`},
		{"sent: shape", "", `{"token":"a","recipient":["r"]}`, "", "", `sent.jsonl:1: key "recipient": null, an object or an array where a string is due`},
		{"sent: time", "", `{"token":"a","recipient":"r","time":12}`, "", "", `sent.jsonl:1: key "time": a number where a string is due`},
		{"sent: twice", "", ok + ok, "", "", `sent.jsonl:2: key "recipient": token "a" to recipient "r" is claimed twice`},
		{"sent: two senders", "", ok + `{"token":"a","sender":"b","recipient":"s"}`, "", "", `sent.jsonl:2: key "sender": is "b", but "a" in an earlier claim of token "a"`},
		{"sent: no JSON", "", ok + "token,recipient\n", "", "", `sent.jsonl:2: not a JSON object`},
		{"sent: too long", "", strings.Repeat(" ", MaxLine+1), "", "", `sent.jsonl:1: a line of more than 1048576 octets`},
		{"queue: nothing to know it by", "", ok, `{"recipient":"r"}`, "", `queue.jsonl:1: key "token": missing (keys: recipient and one of`},
		{"dsn: no action", "", ok, "", `{"recipient":"r"}`, `dsn.jsonl:1: key "action": missing`},
		{"dsn: unknown action", "", ok, "", `{"recipient":"r","action":"bounced"}`, `dsn.jsonl:1: key "action": unknown action "bounced" (valid: failed delayed delivered relayed expanded)`},
		{"dsn: status", "", ok, "", `{"recipient":"r","action":"failed","status":"550"}`, `dsn.jsonl:1: key "status": invalid enhanced status code "550"`},
		{"ledger: empty", "-", ok, "", "", `ledger.jsonl: an empty file is no ledger`},
		{"ledger: something else", ok, ok, "", "", `ledger.jsonl:1: not a ledger: it does not start with a header row of smtpstorm/ledger/1, but with "{\"token\":\"a\"`},
		{"ledger: a later version", strings.Replace(string(header), "ledger/1", "ledger/2", 1), ok, "", "", `ledger.jsonl:1: key "format": "smtpstorm/ledger/2" is unknown (valid: smtpstorm/ledger/1)`},
		{"ledger: corrupt in the middle", string(header) + "{\"kind\":\x00\n" + string(header), ok, "", "", `ledger.jsonl:2: key "kind": no JSON value`},
	}
	for _, test := range tests {
		in := Inputs{Ledger: Input{"ledger.jsonl", bytes.NewReader(header)}, Sent: Input{"sent.jsonl", strings.NewReader(test.sent)}}
		if test.ledger != "" {
			in.Ledger.R = strings.NewReader(strings.TrimPrefix(test.ledger, "-"))
		}
		if test.queue != "" {
			in.Queue = Input{"queue.jsonl", strings.NewReader(test.queue)}
		}
		if test.dsn != "" {
			in.Notifications = Input{"dsn.jsonl", strings.NewReader(test.dsn)}
		}
		_, err := Reconcile(in)
		var input *InputError
		if !errors.As(err, &input) || !strings.HasPrefix(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s:\n got %v\nwant %s", test.name, err, test.want)
		}
	}
}

func TestImbalanceIsAnError(t *testing.T) {
	r := Reconciliation{Sent: 2, Classes: Counted{Lost: 1}}
	if err := r.balance(); !errors.Is(err, ErrImbalance) {
		t.Errorf("balance() = %v, want ErrImbalance", err)
	}
}

// TestEveryUnitIsInOneClass lets random senders meet random sinks, with lost replies, crashes, queues and notifications.
func TestEveryUnitIsInOneClass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tokens := rapid.IntRange(1, 4).Draw(t, "tokens")
		rcpts := rapid.IntRange(1, 3).Draw(t, "recipients")
		r := NewReconciler()
		for token := range tokens {
			for rcpt := range rcpts {
				if err := r.Claim(&Sent{IDs: IDs{Token: fmt.Sprint("t", token)}, Recipient: fmt.Sprint("r", rcpt)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		h := newHistory()
		delivered := map[[2]int]int{}
		steps := rapid.IntRange(0, 40).Draw(t, "steps")
		for range steps {
			conn := rapid.Uint64Range(1, 3).Draw(t, "conn")
			// One token and one recipient beyond the claims.
			unit := [2]int{rapid.IntRange(0, tokens).Draw(t, "token"), rapid.IntRange(0, rcpts).Draw(t, "recipient")}
			token, rcpt := fmt.Sprint("t", unit[0]), fmt.Sprint("r", unit[1])
			message := rapid.Uint64Range(0, 3).Draw(t, "message")
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				h.close(conn)
			case 1:
				h.run()
			case 2:
				h.mailRefused(conn, message, token, rapid.SampledFrom([]smtp.Code{450, 550}).Draw(t, "mail"))
			default:
				h.attempt(conn, message, token, rcpt, rapid.SampledFrom([]smtp.Code{0, 250, 354, 450, 550}).Draw(t, "code"), func(a *event.Attempt) {
					a.Stage = smtp.Stage(rapid.IntRange(0, smtp.NumStages-1).Draw(t, "stage"))
					a.Ending = event.Ending(rapid.IntRange(0, event.NumEndings-1).Draw(t, "ending"))
					a.Delivered, a.ReplySent = rapid.Bool().Draw(t, "delivered"), rapid.Bool().Draw(t, "sent")
					a.Ambiguous = rapid.Bool().Draw(t, "ambiguous")
					if a.Delivered && unit[0] < tokens && unit[1] < rcpts {
						delivered[unit]++
					}
				})
			}
		}
		if _, _, err := eachRow(Input{"ledger", bytes.NewReader(h.buf)}, r.Row); err != nil {
			t.Fatal(err)
		}
		queueKnown := rapid.Bool().Draw(t, "queue known")
		if queueKnown {
			r.KnowQueue()
			for range rapid.IntRange(0, 5).Draw(t, "queued") {
				_ = r.Queue(&Queued{IDs: IDs{Token: fmt.Sprint("t", rapid.IntRange(0, tokens).Draw(t, "q"))}, Recipient: fmt.Sprint("r", rapid.IntRange(0, rcpts).Draw(t, "q"))})
			}
		}
		for range rapid.IntRange(0, 5).Draw(t, "notified") {
			_ = r.Notify(&Notification{IDs: IDs{Token: fmt.Sprint("t", rapid.IntRange(0, tokens).Draw(t, "d"))}, Recipient: fmt.Sprint("r", rapid.IntRange(0, rcpts).Draw(t, "d")), Action: "failed"})
		}
		got, err := r.Result()
		if err != nil {
			t.Fatal(err)
		}
		if got.Sent != uint64(tokens*rcpts) || got.Classes.Sum() != got.Sent {
			t.Fatalf("sent %d, in classes %d, want %d", got.Sent, got.Classes.Sum(), tokens*rcpts)
		}
		// Deliveries are counted independently of the classes.
		var once, more uint64
		for _, n := range delivered {
			if n == 1 {
				once++
			} else {
				more++
			}
		}
		if got.Classes.AcceptedOnce != once || got.Classes.DuplicatedAmbiguous+got.Classes.DuplicatedUnexplained != more {
			t.Fatalf("%+v, want %d delivered once and %d more than once", got.Classes, once, more)
		}
		if queueKnown && got.Classes.OpenOrLost > 0 || !queueKnown && got.Classes.Open > 0 {
			t.Fatalf("%+v with the queue known: %v", got.Classes, queueKnown)
		}
	})
}

func TestExampleFilesReconcile(t *testing.T) {
	open := func(name string) Input {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return Input{name, bytes.NewReader(text)}
	}
	got, err := Reconcile(Inputs{Ledger: open("ledger.jsonl"), Sent: open("sent.jsonl"), Queue: open("queue.jsonl"), Notifications: open("dsn.jsonl")})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Counted{AcceptedOnce: 2, DuplicatedAmbiguous: 1, DuplicatedUnexplained: 1, Bounced: 1, Open: 1, Expired: 1, Lost: 1}); got.Classes != want {
		t.Errorf("classes %+v, want %+v", got.Classes, want)
	}
	var text strings.Builder
	if err := got.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "reconcile.txt", text.String())
	asJSON, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "reconcile.json", string(asJSON)+"\n")

	s, err := Summarize(open("ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	text.Reset()
	if err := s.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "summary.txt", text.String())
	if asJSON, err = json.MarshalIndent(s, "", "  "); err != nil {
		t.Fatal(err)
	}
	golden(t, "summary.json", string(asJSON)+"\n")
}

// golden compares with a file of testdata, which UPDATE_GOLDEN=1 writes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (UPDATE_GOLDEN=1 rewrites it):\n got:\n%s\nwant:\n%s", path, got, want)
	}
}

func FuzzInputs(f *testing.F) {
	for _, name := range []string{"sent.jsonl", "queue.jsonl", "dsn.jsonl", "ledger.jsonl"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		in := func() Input { return Input{"file", bytes.NewReader(text)} }
		check := func(err error) {
			var input *InputError
			if err != nil && (!errors.As(err, &input) || input.File != "file" || strings.Contains(err.Error(), "\n")) {
				t.Errorf("not one line about the file: %q", err)
			}
		}
		header := newHistory().buf
		got, err := Reconcile(Inputs{Ledger: Input{"l", bytes.NewReader(header)}, Sent: in()})
		check(err)
		if err == nil && got.Classes.OpenOrLost != got.Sent {
			t.Errorf("%+v with an empty ledger", got.Classes)
		}
		_, err = Reconcile(Inputs{Ledger: Input{"l", bytes.NewReader(header)}, Sent: Input{"s", strings.NewReader("")}, Queue: in()})
		check(err)
		_, err = Reconcile(Inputs{Ledger: Input{"l", bytes.NewReader(header)}, Sent: Input{"s", strings.NewReader("")}, Notifications: in()})
		check(err)
		_, err = Summarize(in())
		check(err)
	})
}
