package compare

import (
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

func TestHistoriesNameTheCommitOfAChange(t *testing.T) {
	var runs []made
	for i := range 24 {
		ms, commit := 10+0.1*float64(i*7%5), "aaaaaaaaaaaaaaaa"
		if i >= 14 {
			ms, commit = ms+5, "bbbbbbbbbbbbbbbb"
		}
		runs = append(runs, made{ms: ms, at: i, change: func(r *result.Record) { r.Provenance.Commit = commit }})
	}
	for i, j := 0, len(runs)-1; i < j; i, j = i+1, j-1 { // the order of time is that of the records, not that in which they are given
		runs[i], runs[j] = runs[j], runs[i]
	}
	histories, err := Histories(side(t, runs...).Runs, Family(), 1)
	if err != nil {
		t.Fatal(err)
	}
	p50, failed := histories[0], histories[2]
	if len(p50.Points) != 24 || len(p50.Changes) != 1 || p50.Changes[0].Index != 14 || p50.Changes[0].Commit != "bbbbbbbbbbbbbbbb" || p50.Changes[0].After != "aaaaaaaaaaaaaaaa" {
		t.Fatalf("%+v", p50.Changes)
	}
	if said := p50.Changes[0].Words(&p50); !strings.Contains(said, "p50 of the whole message went from 10.2 ms to 15.2 ms at commit bbbbbbbbbbbb, after aaaaaaaaaaaa (run 15 of 24, ") {
		t.Errorf("it says %q", said)
	}
	if len(failed.Changes) != 0 || failed.Unit != "share" {
		t.Errorf("nothing changed in the share that failed: %+v", failed)
	}
	few := side(t, runs...).Runs
	few[3].Load.Script = "other.js"
	if _, err := Histories(few, Family(), 1); err == nil || !strings.Contains(err.Error(), "runs of different scripts") {
		t.Errorf("two scripts: %v", err)
	}
}
