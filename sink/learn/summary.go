package learn

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fit"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Summary is a model as JSON.
type Summary struct {
	Format       string               `json:"format"` // of the logs
	Lines        int                  `json:"lines"`
	Events       Tally                `json:"events"`
	First        time.Time            `json:"first"` // attempt
	Last         time.Time            `json:"last"`
	Phases       []PhaseSummary       `json:"phases"` // empty: nothing changes with time
	Destinations []DestinationSummary `json:"destinations"`
}

// PhaseSummary is a time in which nothing changes.
type PhaseSummary struct {
	From    time.Time `json:"from"`
	Seconds float64   `json:"seconds"` // in the log
	Outage  []string  `json:"outage"`  // destinations that hardly took anything
}

// DestinationSummary is one domain, or all others.
type DestinationSummary struct {
	Domain   string         `json:"domain"` // empty: the others
	Domains  int            `json:"domains"`
	Attempts int            `json:"attempts"`
	Pairs    int            `json:"pairs"`  // distinct (sender, recipient)
	Merged   int            `json:"merged"` // attempts whose replies were too rare to be told apart
	Replies  []ReplySummary `json:"replies"`
}

// ReplySummary is what was said, or happened, at a stage.
type ReplySummary struct {
	Phase    int          `json:"phase"`   // from 1; 0: in all
	Attempt  string       `json:"attempt"` // such as 1, 2-3 or 4-; empty: any
	Stage    smtp.Stage   `json:"stage"`
	Sticky   bool         `json:"sticky"`
	Code     smtp.Code    `json:"code"` // 0: none
	Enhanced string       `json:"enhanced"`
	Text     string       `json:"text"`
	Failure  string       `json:"failure"` // answered, refused, timed-out, lost, tls-failed or unclear
	Count    int          `json:"count"`
	Of       int          `json:"of"` // attempts that reached the stage
	Share    float64      `json:"share"`
	Bounds   fit.Interval `json:"bounds"` // Clopper-Pearson, 95%
}

// Summary returns the model as it is printed as JSON. Successes are the rest of each stage.
func (m *Model) Summary(format string, lines int) *Summary {
	s := &Summary{Format: format, Lines: lines, Events: m.Tally, First: m.First, Last: m.Last, Phases: []PhaseSummary{}, Destinations: []DestinationSummary{}}
	for i := range m.Phases {
		p := &m.Phases[i]
		s.Phases = append(s.Phases, PhaseSummary{p.From, p.Length.Seconds(), append([]string{}, p.Outage...)})
	}
	for _, d := range m.Destinations {
		out := DestinationSummary{d.Domain, d.Domains, d.Attempts, d.Pairs, d.Merged, []ReplySummary{}}
		for i, p := range d.Parts {
			phase := i + 1
			if d.constant {
				phase = 0
			}
			for k := range p.Tables {
				out.Replies = append(out.Replies, p.Tables[k].replies(phase, p.Sticky)...)
			}
		}
		s.Destinations = append(s.Destinations, out)
	}
	return s
}

func (t *Table) replies(phase int, sticky bool) (out []ReplySummary) {
	all := t.all()
	for i := range t.Cells {
		c := &t.Cells[i]
		enhanced := ""
		if !c.enhanced.IsZero() {
			enhanced = c.enhanced.String()
		}
		out = append(out, ReplySummary{
			Phase: phase, Attempt: t.attempts(), Stage: t.Stage, Sticky: sticky, Code: c.code, Enhanced: enhanced, Text: c.text, Failure: c.failure.String(),
			Count: c.Count, Of: all, Share: float64(c.Count) / float64(all), Bounds: bounds(c.Count, all),
		})
	}
	return out
}
