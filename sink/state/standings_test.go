package state_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

var midnight = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func planOf(t testing.TB, text string) *fault.Plan {
	t.Helper()
	f, err := plan.Parse("test.yaml", []byte("version: 1\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return f.Plan
}

// probe asks and tells Standings of one client at rcpt.
type probe struct {
	*state.Standings
	plan *fault.Plan
	now  time.Time
}

func newProbe(t testing.TB, memory int64, text string) *probe {
	p := &probe{state.NewStandings(memory), planOf(t, text), midnight}
	p.Use(p.now, p.plan)
	return p
}

func occurrence(client int) *fault.Occurrence {
	return &fault.Occurrence{Stage: smtp.StageRcpt, Client: netip.AddrFrom4([4]byte{10, byte(client >> 16), byte(client >> 8), byte(client)})}
}

func (p *probe) reactions() *fault.StageReactions {
	return p.plan.View(p.now, p.now).Reactions(smtp.StageRcpt)
}

// level returns the level of the first reaction's standing.
func (p *probe) level(client int) int {
	var levels fault.Levels
	p.Look(p.now, p.plan, p.reactions(), occurrence(client), &levels, nil)
	return int(levels[0])
}

// reply tells that a RCPT of the client was answered so.
func (p *probe) reply(client int, code smtp.Code) []state.Change {
	x, d, o := p.reactions(), fault.Decision{Reply: &smtp.Reply{Code: code}}, occurrence(client)
	if !x.MayCount(smtp.StageRcpt, &d) {
		return nil
	}
	return p.Count(p.now, p.plan, o, x.Counted(o, &d), nil)
}

const treatment = `, then: {rules: [{stage: rcpt, reply: 421}]}`

// TestLifeOfAStanding plays codes that a client is answered at times, and looks at the level after each.
func TestLifeOfAStanding(t *testing.T) {
	for _, tt := range []struct{ name, keys, play string }{
		{"one is enough", `when: {code: 5xx}`, "250:0 550:1 550:2"},
		{"after three", `when: {code: 550}, after: 3`, "550:0 250:0 551:0 550:0 550:1 550:1 550:1 550:2"},
		{"within a window that starts with the first", `when: {code: 550}, after: 2, within: 10s`, "550:0 +9s 550:1 +1s 550:1 +9s 550:2 +30s 550:2 +10s 550:2 +9s 550:3"},
		{"for a time from the last rise on", `when: {code: 550}, for: 1m`, "550:1 +59s 250:1 550:2 +59s 250:2 +1s 250:0 550:1"},
		{"for a time by level", `when: {code: 550}, for: [10s, 1m]`, "550:1 +9s 550:2 +59s 250:2 +1s 250:0 550:1 +10s 250:0"},
		{"counts begin anew when it ends", `when: {code: 550}, after: 2, for: 10s`, "550:0 550:1 550:1 +10s 550:0 550:1"},
		{"worse by something else", `when: {code: 550}, worse: {code: 451, after: 2}`, "451:0 451:0 550:1 550:1 451:1 451:2"},
		{"back", `when: {code: 550}, back: {code: 250}`, "250:0 550:1 550:2 250:1 250:0 550:1"},
		{"pace", `when: {code: 550}, pace: 1m`, "550:1 550:1 +59s 550:1 +1s 550:2 550:2"},
		{"from first sight on", `when: {code: 550}, after: 0, for: 1h, back: {code: 250}`, "250:1 550:2 +59m 451:2 250:1 250:1 550:2 +1h 451:1"},
	} {
		p := newProbe(t, 0, "react: [{name: r, of: client, "+tt.keys+treatment+"}]")
		for _, step := range strings.Fields(tt.play) {
			if wait, ok := strings.CutPrefix(step, "+"); ok {
				d, _ := time.ParseDuration(wait)
				p.now = p.now.Add(d)
				continue
			}
			var code smtp.Code
			var want int
			if _, err := fmt.Sscanf(step, "%d:%d", &code, &want); err != nil {
				t.Fatal(err)
			}
			p.level(1) // a client is looked at before it is answered
			p.reply(1, code)
			if got := p.level(1); got != want {
				t.Fatalf("%s: level %d after %s of %q", tt.name, got, step, tt.play)
			}
			if got := p.level(2); got != 0 && !strings.Contains(tt.keys, "after: 0") {
				t.Fatalf("%s: another client has level %d", tt.name, got)
			}
		}
	}
}

// TestLevelsEnd: the highest level is 62, and what goes on at it keeps the standing alive.
func TestLevelsEnd(t *testing.T) {
	p := newProbe(t, 0, `react: [{name: r, of: client, when: {code: 550}, for: 1m`+treatment+`}]`)
	for range 100 {
		p.reply(1, 550)
		p.now = p.now.Add(59 * time.Second)
	}
	if got := p.level(1); got != fault.MaxLevel {
		t.Errorf("level %d, want %d", got, fault.MaxLevel)
	}
}

// TestStandingsStayWithinTheirMemory: whatever comes; standings in force go last, and what was forgotten is counted.
func TestStandingsStayWithinTheirMemory(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const memory = 4 << 20
	before := heap()
	p := newProbe(t, memory, `react: [
{name: blocked, of: client, when: {code: 554}, for: 1h`+treatment+`},
{name: watched, of: client, when: {code: 550}, after: 100, then: {rules: [{stage: mail, reply: 421}]}}]`)
	const held = 2000
	for i := range held {
		p.reply(i, 554)
	}
	for i := range 200_000 {
		p.reply(held+i, 550)
	}
	if took := float64(heap() - before); took > memory*1.05 {
		t.Errorf("%.0f octets were taken, of %d", took, memory)
	}
	for i := range held {
		if p.level(i) != 1 {
			t.Fatalf("client %d has lost its standing", i)
		}
	}
	stats := p.Stats()
	room := memory / state.StandingOctets(2)
	if kept := 200_000 - int64(stats[1].Evictions); kept > room || kept < room*9/10-held || stats[0].Evictions != 0 || stats[0].Begun != held || stats[0].Keys != held {
		t.Errorf("%+v: want %d begun, and no more forgotten than needed with room for %d", stats, held, room)
	}
	for i := range 60_000 { // when all that is there is in force, the oldest of these goes
		p.reply(1_000_000+i, 554)
	}
	if took := float64(heap() - before); took > memory*1.05 {
		t.Errorf("%.0f octets were taken by standings in force, of %d", took, memory)
	}
	if p.level(1_059_999) != 1 || p.level(0) != 0 {
		t.Errorf("the newest has level %d, the oldest %d", p.level(1_059_999), p.level(0))
	}
	p.now = p.now.Add(2 * time.Hour)
	p.reply(5, 550)
	if got := p.level(1_059_999); got != 0 {
		t.Errorf("after its hour a standing has level %d", got)
	}
}

func TestStandingsDoNotAllocate(t *testing.T) {
	p := newProbe(t, 0, `react: [{name: r, of: client, when: {code: 550}, after: 3, for: 1h`+treatment+`}]`)
	for i := range 1000 {
		p.reply(i, 550)
	}
	var levels fault.Levels
	x, d, i := p.reactions(), fault.Decision{Reply: &smtp.Reply{Code: 550}}, 0
	o, changes := occurrence(0), make([]state.Change, 0, 1)
	for range 3000 { // their names are kept once
		o.Client = occurrence(i % 1000).Client
		p.Count(p.now, p.plan, o, x.Counted(o, &d), changes)
		i++
	}
	if n := testing.AllocsPerRun(3000, func() {
		o.Client = netip.AddrFrom4([4]byte{10, 0, byte(i % 1000 >> 8), byte(i % 1000)})
		p.Look(p.now, p.plan, x, o, &levels, changes)
		p.Count(p.now, p.plan, o, x.Counted(o, &d), changes)
		i++
	}); n != 0 {
		t.Errorf("%v allocations per occurrence, want none", n)
	}
}

// TestSwapKeepsStandings of reactions whose text is the same, wherever they stand.
func TestSwapKeepsStandings(t *testing.T) {
	const kept = `{name: kept, of: client, when: {code: 550}, after: 2, for: 1h` + treatment + `}`
	p := newProbe(t, 0, `react: [`+kept+`, {name: gone, of: client, when: {code: 550}`+treatment+`}]`)
	p.reply(1, 550)
	p.reply(2, 550)
	p.reply(2, 550)
	old := p.plan
	p.plan = planOf(t, `react: [`+kept+`, {name: gone, of: client, when: {code: 550}, for: 2h`+treatment+`}, {name: more, of: network, when: {code: 550}`+treatment+`}]`)
	if got := fmt.Sprint(p.Kept(p.plan), p.Use(p.now, p.plan)); got != "[kept] [kept]" {
		t.Errorf("kept %s, want what is unchanged", got)
	}
	if p.level(1) != 0 || p.level(2) != 1 {
		t.Errorf("levels %d and %d, want 0 and 1", p.level(1), p.level(2))
	}
	p.reply(1, 550)
	if p.level(1) != 1 {
		t.Error("what was counted before the swap is forgotten")
	}
	var levels fault.Levels
	p.Look(p.now, old, old.View(p.now, p.now).Reactions(smtp.StageRcpt), occurrence(2), &levels, nil)
	if levels != (fault.Levels{}) {
		t.Errorf("a transaction of the old plan has levels %v", levels)
	}
	if stats := p.Stats(); stats[0].Begun != 2 || stats[1].Begun != 1 {
		t.Errorf("%+v", stats)
	}
}

// TestConnectionsAreForgotten with all that is known of them.
func TestConnectionsAreForgotten(t *testing.T) {
	p := newProbe(t, 0, `react: [{name: r, of: connection, when: {code: 550}`+treatment+`}]`)
	for i := range 10_000 {
		o, d := &fault.Occurrence{Stage: smtp.StageRcpt, Connection: uint64(i)}, fault.Decision{Reply: &smtp.Reply{Code: 550}}
		p.Count(p.now, p.plan, o, p.reactions().Counted(o, &d), nil)
		p.End(uint64(i))
	}
	if n := p.Keys(); n != 0 {
		t.Errorf("%d connections are known", n)
	}
}
