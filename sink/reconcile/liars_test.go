package reconcile

import (
	"fmt"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// TestLiars has a relay that lies in one way at a time, each exact in its number (docs/reconciliation.md, Findings).
func TestLiars(t *testing.T) {
	const n = 200
	sender := func(i int) string { return fmt.Sprintf("s+%d@src.example", i) }
	to := func(i int) string { return fmt.Sprintf("r%d@a.example", i) }
	storm := func(i int) string { return fmt.Sprintf("run-%d", i) }
	id := func(i int) string { return fmt.Sprintf("<%d@src.example>", i) }
	hash := func(i int) uint64 { return uint64(1000 + i) }
	type relayed struct {
		sender, to, storm, id string
		body                  uint64
	}
	relay := func(lie func(i int, m *relayed, send func(relayed)) bool) *history {
		b := newHistory()
		conn := uint64(0)
		send := func(m relayed) {
			conn++
			b.message(conn, 1, m.storm, m.id, m.body).attempt(conn, 1, m.sender, m.to, 250).close(conn, yes)
		}
		for i := range n {
			b.claim(sender(i), to(i), ids3(storm(i), id(i)), body(hash(i)))
			m := relayed{sender(i), to(i), storm(i), id(i), hash(i)}
			if lie(i, &m, send) {
				send(m)
			}
		}
		return b
	}
	tests := []struct {
		name string
		lie  func(i int, m *relayed, send func(relayed)) bool
		want string
	}{
		{"truthful", func(int, *relayed, func(relayed)) bool { return true }, "200 delivered, exit 0"},
		{"loses 16", func(i int, _ *relayed, _ func(relayed)) bool { return i >= 16 }, "184 delivered, 16 lost, fault lost 16, exit 1"},
		{"loses 2 and copies 2 to strangers", func(i int, m *relayed, send func(relayed)) bool {
			if i == 2 || i == 3 {
				c := *m
				c.to = fmt.Sprintf("stranger%d@z", i)
				send(c)
			}
			return i >= 2
		}, "198 delivered, 2 lost, fault lost 2, fault misrouted 2, exit 1"},
		{"loses 2 and copies 2 to strangers, without X-Storm-Id and sender", func(i int, m *relayed, send func(relayed)) bool {
			if i == 2 || i == 3 {
				c := *m
				c.to, c.storm, c.sender = fmt.Sprintf("stranger%d@z", i), "", "other@z"
				send(c)
			}
			return i >= 2
		}, "198 delivered, 2 lost, fault lost 2, fault misrouted 2, exit 1"},
		{"duplicates 8", func(i int, m *relayed, send func(relayed)) bool {
			if i < 8 {
				send(*m)
			}
			return true
		}, "8 duplicated, 192 delivered, fault duplicated 8, exit 1"},
		{"wrong recipient for 8", func(i int, m *relayed, _ func(relayed)) bool {
			if i < 8 {
				m.to = fmt.Sprintf("wrong%d@z", i)
			}
			return true
		}, "192 delivered, 8 misdelivered, fault misdelivered 8, exit 1"},
		{"body changed 8", func(i int, m *relayed, _ func(relayed)) bool {
			if i < 8 {
				m.body = uint64(i + 1)
			}
			return true
		}, "8 delivered-altered, 192 delivered, fault delivered-altered 8, exit 1"},
		{"X-Storm-Id dropped 8", func(i int, m *relayed, _ func(relayed)) bool {
			if i < 8 {
				m.storm = ""
			}
			return true
		}, "200 delivered, fault header-lost 8, exit 1"},
		{"contents swapped in 8 pairs", func(i int, m *relayed, _ func(relayed)) bool {
			if i < 16 {
				m.storm, m.id, m.body = storm(i^1), id(i^1), hash(i^1)
			}
			return true
		}, "16 delivered-altered, 184 delivered, fault delivered-altered 16, fault bodies-swapped 16, exit 1"},
		{"bodies swapped in 8 pairs", func(i int, m *relayed, _ func(relayed)) bool {
			if i < 16 {
				m.body = hash(i ^ 1)
			}
			return true
		}, "16 delivered-altered, 184 delivered, fault delivered-altered 16, fault bodies-swapped 16, exit 1"},
		{"Message-ID rewritten 8", func(i int, m *relayed, _ func(relayed)) bool {
			if i < 8 {
				m.id = fmt.Sprintf("<new%d@z>", i)
			}
			return true
		}, "200 delivered, warning message-id-rewritten 8, exit 0"},
		{"all at once", func(i int, m *relayed, send func(relayed)) bool {
			switch {
			case i < 4:
				return false
			case i < 8:
				send(*m)
			case i < 12:
				m.to = fmt.Sprintf("wrong%d@z", i)
			case i < 16:
				m.body = uint64(i)
			case i < 20:
				m.storm = ""
			case i < 24:
				m.body = hash(i ^ 1)
			case i < 28:
				c := *m
				c.to = "stranger@z"
				send(c)
			}
			return true
		}, "4 duplicated, 8 delivered-altered, 180 delivered, 4 misdelivered, 4 lost, fault lost 4, fault duplicated 4, fault delivered-altered 8, fault misdelivered 4, fault misrouted 4, fault bodies-swapped 4, fault header-lost 4, exit 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, _ := relay(test.lie).judge(t)
			if said(got) != test.want {
				t.Errorf("got  %s\nwant %s", said(got), test.want)
			}
		})
	}
}

func TestEightBitBodies(t *testing.T) {
	claim := func() *history { return newHistory().claim(tok, rcpt, body(7), func(c *Claim) { c.EightBit = true }) }
	sevenBit := func(m *event.Message) { m.SevenBit = true }
	for _, test := range []struct {
		b    *history
		want string
	}{
		{claim().message(1, 1, "", "", 8).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 delivered-altered, fault delivered-altered 1, exit 1"},
		{claim().message(1, 1, "", "", 8, sevenBit).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 delivered, information re-encoded 1, information body-not-compared 1, exit 0"},
		{claim().message(1, 1, "", "", 7, sevenBit).attempt(1, 1, tok, rcpt, 250).close(1, yes), "1 delivered, information body-not-compared 1, exit 0"},
	} {
		if got, _ := test.b.judge(t); said(got) != test.want {
			t.Errorf("got %s, want %s", said(got), test.want)
		}
	}
}
