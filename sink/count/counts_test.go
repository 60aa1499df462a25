package count

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// filled returns counts in which nothing is zero, n times what filled(1) has where a count can be multiplied.
func filled(n uint64) *Counts {
	c := New()
	c.Plan, c.Hash, c.Seed, c.Driver, c.Loops, c.Started, c.Seconds, c.Phase = "bad", strings.Repeat("ab", 32), 7, "epoll", 2, start, 10*float64(n), "outage"
	c.Traffic = Traffic{Connections: 5 * n, Open: 1, BytesIn: 100 * n, BytesOut: 50 * n}
	c.Replies = []Reply{
		{Kind: Kind{"one", "outage", smtp.StageRcpt, 450, smtp.Enhanced{Class: 4, Subject: 2}, "rule:r", "silence"}, Planned: float64(n), Decided: 3 * n, Sent: 2 * n, Unread: n, Struck: 3 * n},
		{Kind: Kind{Listener: "one", Stage: smtp.StageMessage, Code: 250, Cause: CausePlain}, Decided: 4 * n, Sent: 4 * n},
	}
	slices.SortFunc(c.Replies, func(a, b Reply) int { return a.Kind.Compare(b.Kind) })
	c.Accepted = Accepted{Transactions: 6 * n, Recipients: 5 * n, Messages: 4 * n}
	c.Rules = []Rule{{"r", smtp.StageRcpt, "outage", 3 * n, 2 * n, []Outcome{
		{450, smtp.Enhanced{Class: 4, Subject: 2}, "silence", 0.5, 2 * n, 2 * n, n}, {Code: 550, Probability: 0.5, Injected: n, Distinct: n},
	}}}
	c.Phases = []string{"outage"}
	c.Attempts = Attempts{4 * n, 3 * n, 2 * n, n, n}
	c.Destinations = []Destination{{"one", "example.org", Attempts{4 * n, 3 * n, 2 * n, n, n}}}
	c.Ungreeted, c.StateCapacity, c.ReopenFailures, c.ListenOverflows = n, 1000, n, 3
	c.Lateness = &Distribution{MaxMicros: 90, Buckets: []Bucket{{10, 3 * n}, {90, n}}}
	c.Lateness.Summarise()
	c.Delays = &Distribution{MaxMicros: 80, Buckets: []Bucket{{20, 2 * n}, {80, n}}}
	c.Delays.Summarise()
	c.Folded = Folded{n, 2 * n}
	c.Clients = &Clients{n, n, n, n, n, n, []string{"RCPT 999+b@x.test"}}
	c.Ordinals, c.Limits = Ordinals{1, 2, 3, n}, Limits{1, 2, 3, 4, n}
	c.Reactions, c.StandingKeys = []Reaction{{"react", "client", 3 * n, 2 * n, 4, 5 * n, n, n}}, 9
	c.Ledger = &Ledger{n, 2 * n, n, n, n, n, n, 1, true, "disk full"}
	c.DSN = &Notifications{n, n, n, n, n, "disk full"}
	c.Captures = &Captures{n, n, n, n, "disk full", n, n}
	c.Net = Net{4 * n, n, 9 * n, 8 * n, 7 * n, n, 2 * n, n, n, 5, 11_000, 12_000}
	c.SelfCheck = c.Check()
	c.Windows = []Window{{start, float64(n), 5 * n, 4 * n, 100 * n, []WindowReply{{smtp.StageRcpt, 450, 2 * n}, {smtp.StageMessage, 250, 4 * n}}}}
	return c
}

// TestFilledLeavesNothingOut: a count that filled doesn't know would be tried by no test of merging, of decoding and of the schema.
func TestFilledLeavesNothingOut(t *testing.T) {
	var look func(v reflect.Value, path string)
	look = func(v reflect.Value, path string) {
		switch {
		case v.Kind() == reflect.Pointer && !v.IsNil():
			look(v.Elem(), path)
		case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
			for i := range v.NumField() {
				look(v.Field(i), path+"."+v.Type().Field(i).Name)
			}
		case v.IsZero() && !strings.HasPrefix(path, ".SelfCheck."):
			t.Errorf("filled leaves %s out", path)
		}
	}
	look(reflect.ValueOf(filled(1)), "")
}

func toJSON(t *testing.T, c *Counts) string {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCountsAreReadAsTheyWereWritten(t *testing.T) {
	c := filled(1)
	for i, v := 0, reflect.ValueOf(*c); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("%s is zero in the example", v.Type().Field(i).Name)
		}
	}
	back, err := Decode([]byte(toJSON(t, c)))
	if err != nil || toJSON(t, back) != toJSON(t, c) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, back, c)
	}
}

// What two sinks counted is together what one would have counted that did the work of both, and the difference takes it away again.
func TestMergeAndMinus(t *testing.T) {
	one, two, sum := filled(1), filled(2), filled(1)
	two.Windows[0].Start = start.Add(-500 * time.Millisecond) // its middle lies in one's first window
	sum.Merge(two)
	want := filled(3)
	want.Seconds, want.SelfCheck, want.Windows[0].LengthSeconds = 20, nil, 1
	want.Open, want.Net.Pending = 2, 10
	want.Ordinals.Connections, want.Ordinals.Mails, want.Ordinals.Recipients = 1, 2, 3
	if got, want := toJSON(t, sum), toJSON(t, want); got != want {
		t.Errorf("merged\n%s\nwant\n%s", got, want)
	}
	if got := toJSON(t, one); got != toJSON(t, filled(1)) {
		t.Errorf("an operand was changed: %s", got)
	}

	later := filled(3)
	got := later.Minus(filled(1))
	want = filled(2)
	want.Started, want.SelfCheck, want.ListenOverflows, want.Windows = start, nil, 0, later.Windows
	want.Captures.Kept, want.Captures.Octets = 3, 3 // are of now
	if got, want := toJSON(t, got), toJSON(t, want); got != want {
		t.Errorf("the difference\n%s\nwant\n%s", got, want)
	}
	if got := toJSON(t, later); got != toJSON(t, filled(3)) {
		t.Errorf("an operand was changed: %s", got)
	}
}

// Merging with what is known to neither keeps both.
func TestMergeKeepsWhatOnlyOneHas(t *testing.T) {
	a, b := New(), filled(1)
	a.Replies = []Reply{{Kind: Kind{Listener: "two", Stage: smtp.StageQuit, Code: 221, Cause: CausePlain}, Decided: 9, Sent: 9}}
	a.Windows = []Window{{Start: start.Add(time.Hour), LengthSeconds: 1, Connections: 2}}
	a.Merge(b)
	if len(a.Replies) != 3 || len(a.Rules) != 1 || len(a.Windows) != 2 || a.Windows[1].Connections != 2 || a.Clients == nil || a.Ledger.Rows != 1 {
		t.Errorf("%+v", a)
	}
}

func TestRepliesAreAddedUp(t *testing.T) {
	kind := func(listener, phase, fault string) Kind {
		return Kind{Listener: listener, Phase: phase, Stage: smtp.StageRcpt, Code: 450, Cause: "rule:r", Fault: fault}
	}
	c := &Counts{Replies: []Reply{
		{Kind: kind("one", "", ""), Decided: 5, Sent: 5, Unread: 1}, {Kind: kind("two", "outage", ""), Decided: 3, Sent: 1},
		{Kind: kind("two", "outage", "split"), Planned: 4, Decided: 0},
	}}
	want := Reply{Kind: Kind{Stage: smtp.StageRcpt, Code: 450, Cause: "rule:r"}, Decided: 8, Sent: 6, Unread: 1}
	if got := c.Caused(); len(got) != 1 || got[0] != want {
		t.Errorf("caused: %+v, want %+v", got, want)
	}
	if got := c.InFlight(); len(got) != 1 || got[0].Unsent() != 2 || got[0].Unread != 1 || got[0].Planned != 4 {
		t.Errorf("in flight: %+v, want two unsent and one unread", got)
	}
	if got := c.InPhase("outage"); len(got) != 2 || got[0].Decided != 3 {
		t.Errorf("in phase outage: %+v, want 3", got)
	}
}

// Version 1 had the replies of all phases in one list, those of each phase in another, and those in flight in a third.
func TestVersion1IsRead(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "version1.json"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	var decided, planned float64
	for _, r := range c.Replies {
		if r.Stage == smtp.StageRcpt {
			decided, planned = decided+float64(r.Decided), planned+r.Planned
		}
	}
	if c.Version != Version || c.Plan != "golden" || c.Seed != 7 || c.Messages != 32 || !slices.Equal(c.Phases, []string{"calm", "outage"}) ||
		decided != 60 || math.Abs(planned-60) > 1e-9 || AcceptedOf(c.Replies) != c.Accepted || c.Lateness.Count != 18 {
		t.Errorf("%v decided at rcpt, %v planned: %+v", decided, planned, c)
	}
	const flight = `{"driver":"net","replies":[{"stage":"quit","code":221,"cause":"plain","count":5}],"phases":[{"name":"p","replies":[{"stage":"quit","code":221,"cause":"plain","count":2}]}],
		"in_flight":[{"stage":"quit","code":221,"unwritten":4,"unread":1}],"from_the_future":1}`
	if c, err = Decode([]byte(flight)); err != nil {
		t.Fatal(err)
	}
	if f := c.InFlight(); len(c.Replies) != 2 || len(f) != 1 || f[0].Decided != 5 || f[0].Unsent() != 4 || f[0].Unread != 1 || c.InPhase("p")[0].Decided != 2 {
		t.Errorf("%+v, in flight %+v", c.Replies, c.InFlight())
	}
}

func TestDecodeRefuses(t *testing.T) {
	many, torn, wrapping := filled(1), filled(1), filled(1)
	many.Replies[0].Decided = 1 << 60
	torn.Lateness.Count++
	wrapping.Lateness.Buckets = append(wrapping.Lateness.Buckets, Bucket{Micros: 5, Count: math.MaxUint64})
	future := filled(1)
	future.Version = 3
	for want, c := range map[string]*Counts{
		"the count 1152921504606846976 is more than any sink counts": many,
		"lateness of 5 replies is in buckets that hold 4":            torn,
		"the count 18446744073709551615 is more":                     wrapping,
		"version 3 (this program reads versions 1 to 2)":             future,
	} {
		if _, err := Decode([]byte(toJSON(t, c))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// The schema in docs describes what is written: all of it, and nothing else.
func TestSchema(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "counts.schema.json")
	s, err := jsonschema.NewCompiler().Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(text string) error {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(v)
	}
	text := toJSON(t, filled(1))
	if err := check(text); err != nil {
		t.Error(err)
	}
	for _, broken := range []string{strings.Replace(text, `"decided"`, `"decoded"`, 1), strings.Replace(text, `"version":2`, `"version":"2"`, 1)} {
		if check(broken) == nil {
			t.Errorf("the schema takes %s", broken)
		}
	}
	var written map[string]any
	var document struct {
		Properties map[string]any `json:"properties"`
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &written); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	for key := range written {
		if document.Properties[key] == nil {
			t.Errorf("the schema lacks %q", key)
		}
	}
	if len(document.Properties) != len(written) {
		t.Errorf("%d keys in the schema, %d in the counts", len(document.Properties), len(written))
	}
}
