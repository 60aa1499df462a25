package run

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	counts "github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// The sink's part of a record is what the sink counted, and what it says of itself.
func TestTheRecordKeepsWhatTheSinkKnows(t *testing.T) {
	c := counts.New()
	c.Connections, c.ListenOverflows = 5, 3
	c.Ledger = &counts.Ledger{Rows: 9}
	c.Clients = &counts.Clients{NotSMTP: 1}
	// One recipient whom the rule refuses came back again and again: a report judges it by its distinct keys.
	c.Rules = []counts.Rule{{
		Name: "sticky", Stage: smtp.StageRcpt, Occurrences: 1000, DistinctKeys: 200,
		Outcomes: []counts.Outcome{{Probability: 0.9, Code: 250, Injected: 480, Distinct: 180}, {Probability: 0.1, Fault: "silence", Injected: 520, Distinct: 20}},
	}}
	r := result.New("x")
	r.Sink = result.NewSink(c, nil)
	path := filepath.Join(t.TempDir(), "record.json")
	if err := r.Write(path); err != nil {
		t.Fatal(err)
	}
	r, err := result.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	got := r.Sink
	if got.Ledger == nil || got.Ledger.Rows != 9 || got.Clients == nil || got.Clients.NotSMTP != 1 || got.SelfCheck == nil || len(got.SelfCheck.Fits) != 1 || got.SelfCheck.OK {
		t.Errorf("the record has %+v", got)
	}
	f := got.Fits()[0]
	if f.N != 200 || !f.Tested || f.Rejected || f.Cells[1].Share != 0.1 || f.Cells[1].Label != "no reply silence" {
		t.Errorf("%+v, want 200 draws that fit the odds", f)
	}
	if warnings := compare.Warnings(r); len(warnings) != 1 || warnings[0] != "the sink: 3 connections met a full accept queue on this system" {
		t.Errorf("warnings %q", warnings)
	}
}

func TestCountersAreReadInAllForms(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, v any) string {
		t.Helper()
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	current := counts.New()
	current.Driver, current.Attempts.Delivered = "net", 4
	type document map[string]any
	replies := []document{{"stage": "quit", "code": 221, "cause": "plain", "count": 3}}
	attempts := document{"delivered": 4}
	for name, v := range map[string]any{
		"new.json":   current,
		"v1.json":    document{"schema": counts.Schema, "version": 1, "driver": "net", "replies": replies, "attempts": attempts},
		"first.json": document{"driver": "net", "replies": replies, "attempts": attempts}, // before there was a schema
	} {
		if _, sink, err := readHalf(write(name, v)); err != nil || sink == nil || sink.Attempts.Delivered != 4 {
			t.Errorf("%s: %+v, %v", name, sink, err)
		}
	}
	for name, tt := range map[string]struct {
		v    any
		want string
	}{
		"future.json": {document{"schema": counts.Schema, "version": 3}, "version 3 (this program reads versions 1 to 2)"},
		"many.json":   {document{"schema": counts.Schema, "version": 2, "messages": uint64(1 << 60)}, "the count 1152921504606846976 is more than any sink counts"},
		"other.json":  {document{"schema": "x/1"}, `schema "x/1" is neither`},
		"run.json":    {document{"schema": "smtpstorm/run/9"}, `unknown schema "smtpstorm/run/9"`},
	} {
		var input *input.Error
		if _, _, err := readHalf(write(name, tt.v)); !errors.As(err, &input) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}
