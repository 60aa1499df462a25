package ledger

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
)

// Values that a peer chooses are cut and named, and the row can be read; what fits is left as it is.
func TestRowsCutLongValues(t *testing.T) {
	long := bytes.Repeat([]byte{0x80}, 60_000)
	a := attemptOf("short")
	a.MessageID, a.Cause = long, "rule:"+strings.Repeat("r", 2000)
	a.StormID = bytes.Repeat([]byte("s"), MaxValue)
	line := appendAttempt(nil, a, RoomWide)
	if most := 9 * MaxValue; len(line) > most {
		t.Errorf("a row of %d octets, want at most %d", len(line), most)
	}
	var d decoder
	var got event.Row
	if err := d.decode(bytes.TrimSuffix(line, []byte("\n")), &got); err != nil {
		t.Fatal(err)
	}
	if g := &got.Attempt; g.Cut != "message_id cause" || !bytes.Equal(g.MessageID, long[:MaxValue]) || !bytes.Equal(g.StormID, a.StormID) || len(g.Cause) != MaxValue {
		t.Errorf("cut %q; Message-ID of %d octets, X-Storm-Id of %d, cause of %d", g.Cut, len(g.MessageID), len(g.StormID), len(g.Cause))
	}
	if again := Append(nil, &got); !bytes.Equal(again, line) {
		t.Errorf("written again, the row is\n%s want\n%s", again, line)
	}
	c := event.Connection{Helo: long, Error: string(long), Fault: string(long), Listener: string(long), Phase: string(long), Reason: "quit"}
	if line := AppendConnection(nil, &c); len(line) > jsonl.MaxLine || !bytes.Contains(line, []byte(`"cut":"listener phase helo fault error"`)) {
		t.Errorf("a row of a connection of %d octets: ...%s", len(line), line[len(line)-80:])
	}
	h := event.Start{Plan: string(long)}
	if line := AppendStart(nil, &h); len(line) > 7*MaxValue {
		t.Errorf("a first row of %d octets", len(line))
	}
}

// A tight row has a bounded length whatever is in it, but for the recipient, which its client sends for each row, and names.
func TestTightRows(t *testing.T) {
	octets := rapid.SliceOfN(rapid.Byte(), 0, 200)
	rapid.Check(t, func(t *rapid.T) {
		a := attemptOf("x")
		a.Sender, a.Token, a.StormID, a.MessageID = octets.Draw(t, "sender"), octets.Draw(t, "token"), octets.Draw(t, "storm id"), octets.Draw(t, "message id")
		line := appendAttempt(nil, a, RoomTight)
		if len(line) > 900 {
			t.Fatalf("%d octets: %s", len(line), line)
		}
		var d decoder
		var got event.Row
		if err := d.decode(bytes.TrimSuffix(line, []byte("\n")), &got); err != nil {
			t.Fatal(err)
		}
		g := &got.Attempt
		for _, v := range []struct {
			key         string
			whole, kept []byte
			piece       bool
		}{{"sender", a.Sender, g.Sender, true}, {"token", a.Token, g.Token, true}, {"storm_id", a.StormID, g.StormID, false}, {"message_id", a.MessageID, g.MessageID, false}} {
			cut := strings.Contains(" "+g.Cut+" ", " "+v.key+" ")
			switch {
			case !cut && !bytes.Equal(v.kept, v.whole):
				t.Fatalf("%s is %q, not cut; want %q", v.key, v.kept, v.whole)
			case cut && (len(v.kept) >= len(v.whole) || !bytes.HasPrefix(v.whole, v.kept) || !v.piece && len(v.kept) > 0):
				t.Fatalf("%s is %q, cut from %q", v.key, v.kept, v.whole)
			case cut && len(v.whole) <= tightValue/jsonl.LongestEscape:
				t.Fatalf("%s %q was cut", v.key, v.whole)
			}
		}
		if !json.Valid(line) && bytes.IndexByte(line, 0x80) >= 0 {
			t.Fatalf("no JSON: %s", line)
		}
	})
}

// A summary says how many rows were cut, since units in them may be mistaken for one another.
func TestSummaryCountsCutRows(t *testing.T) {
	long := bytes.Repeat([]byte("x"), MaxValue+1)
	text := AppendStart(nil, &event.Start{Plan: "p"})
	for _, messageID := range [][]byte{long, []byte("short"), long} {
		a := attemptOf("x")
		a.MessageID = messageID
		text = append(text, appendAttempt(nil, a, RoomWide)...)
	}
	text = append(text, AppendConnection(nil, &event.Connection{Helo: long, Reason: "quit"})...)
	got, err := Summarize(Input{"ledger.jsonl", bytes.NewReader(text)})
	if err != nil || got.CutRows != 3 {
		t.Errorf("%+v, %v; want 3 rows that were cut", got, err)
	}
}
