package result

import (
	"bytes"
	"math"
	"path/filepath"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/count"
)

// readSchema1 reads a record that a program of schema 1 has written, and checks that it can be written and read again.
func readSchema1(t *testing.T, name string) *Record {
	t.Helper()
	r, err := Read(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := r.Encode(&text); err != nil {
		t.Fatal(err)
	}
	again, err := Decode(&text)
	if err != nil || again.Schema != Schema || again.Sink.Messages != r.Sink.Messages || len(again.Sink.Replies) != len(r.Sink.Replies) {
		t.Errorf("written again: %v, %+v", err, again)
	}
	return r
}

// A record of schema 1 says what it said: the figures are those that its own program printed.
func TestSchema1IsRead(t *testing.T) {
	r := readSchema1(t, "schema1.json")
	got := Reconcile(r.Client, r.Sink)
	want := []Row{
		{Kind: kind(t, "connect", 220, ""), Planned: 4, Injected: 4, Observed: 4},
		{Kind: kind(t, "ehlo", 250, ""), Planned: 4, Injected: 4, Observed: 4},
		{Kind: kind(t, "mail", 250, "2.1.0"), Planned: 60, Injected: 60, Observed: 60},
		{Kind: kind(t, "rcpt", 250, "2.1.5"), Planned: 48, Drawn: 46, Injected: 46, Observed: 46},
		{Kind: kind(t, "rcpt", 450, "4.2.0"), Planned: 12, Drawn: 14, Injected: 14, Observed: 14},
		{Kind: kind(t, "data", 354, ""), Planned: 46, Injected: 46, Observed: 46},
		{Kind: kind(t, "data", 554, "5.5.1"), Planned: 14, Injected: 14, Observed: 14},
		{Kind: kind(t, "message", 250, "2.0.0"), Planned: 30, Drawn: 18, Injected: 32, Observed: 32},
		{Kind: kind(t, "message", 451, "4.3.0"), Planned: 16, Drawn: 14, Injected: 14, Observed: 14},
		{Kind: kind(t, "rset", 250, "2.0.0"), Planned: 12, Injected: 12, Observed: 12},
	}
	if !got.Balanced || len(got.Rows) != len(want) {
		t.Fatalf("balanced is %t, problems %q, rows %+v", got.Balanced, got.Problems, got.Rows)
	}
	for i, row := range got.Rows {
		row.Planned = math.Round(row.Planned*1e6) / 1e6
		if row != want[i] {
			t.Errorf("row %v: planned %v, drawn %d, injected %d, observed %d; want %#v", row.Kind, row.Planned, row.Drawn, row.Injected, row.Observed, want[i])
		}
	}
	s := r.Sink
	if s.Messages != 32 || s.Attempts != (count.Attempts{Delivered: 32, Deferred: 28}) || s.Driver != "epoll" || len(s.Rules) != 2 || len(s.Windows) == 0 {
		t.Errorf("the sink's part is %+v", s.Counts)
	}
	if late := s.Lateness; late == nil || late.Count != 18 || late.P50Micros == 0 || late.MaxMicros < late.P99Micros {
		t.Errorf("lateness %+v, want that of 18 replies", late)
	}
	if s.SelfCheck == nil || !s.SelfCheck.OK {
		t.Errorf("self-check %+v", s.SelfCheck)
	}
	if len(s.Phases) != 2 || len(s.InPhase("outage")) == 0 {
		t.Errorf("phases %q, replies %+v", s.Phases, s.Replies)
	}
}

// A sink within k6 told schema 1 its replies alone: nothing is known to be planned.
func TestSchema1OfASinkWithinK6IsRead(t *testing.T) {
	r := readSchema1(t, "schema1-in-process.json")
	got := Reconcile(r.Client, r.Sink)
	if !got.Balanced || got.Injected != 137 || got.Observed != 137 {
		t.Errorf("balanced is %t, problems %q, %d injected, %d observed; want 137 each", got.Balanced, got.Problems, got.Injected, got.Observed)
	}
	for _, row := range got.Rows {
		if row.Drawn != 0 || row.Planned != float64(row.Injected) {
			t.Errorf("row %+v, want nothing that is planned", row)
		}
	}
}
