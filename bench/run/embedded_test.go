package run

import (
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/stat"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/metrics"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// The record of a run says by how many distinct keys a sticky rule drew, and a report judges the rule by those: here one recipient
// whom the rule refuses came back again and again.
func TestRecordCountsDistinctKeys(t *testing.T) {
	stats := &sink.Stats{}
	stats.Rules = []metrics.RuleCount{{
		Name: "sticky", Stage: smtp.StageRcpt, Occurrences: 1000, DistinctKeys: 200,
		Outcomes: []metrics.OutcomeCount{
			{Probability: 0.9, Code: 250, Injected: 480, Distinct: 180},
			{Probability: 0.1, Code: 550, Injected: 520, Distinct: 20},
		},
	}}
	f := stat.Fits(sinkRecord(stats, nil))[0]
	if f.N != 200 || !f.Tested || f.Rejected() || f.Cells[1].Share != 0.1 {
		t.Errorf("%+v, want 200 draws that fit the odds", f)
	}
}
