package result

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func counter(metric string, value float64, tags Tags) Series {
	return Series{Metric: metric, Type: Counter, Tags: tags, Stats: &Summary{Count: uint64(value), Sum: value, Min: 1, Max: 1}}
}

func observed(stage string, code int, enhanced string, n float64) Series {
	return counter(MetricReplies, n, Tags{"phase": stage, "code": strconv.Itoa(code), "enhanced": enhanced, "scenario": "storm"})
}

func clientError(stage string, code int, n float64) Series {
	return counter(MetricErrors, n, Tags{"phase": stage, "error_code": strconv.Itoa(code)})
}

// replied counts replies of a sink, all of them sent.
func replied(t testing.TB, stage string, code int, enhanced, cause string, n uint64) count.Reply {
	t.Helper()
	k := kind(t, stage, code, enhanced)
	k.Cause = cause
	return count.Reply{Kind: k, Decided: n, Sent: n}
}

func kind(t testing.TB, stage string, code int, enhanced string) count.Kind {
	t.Helper()
	at, err := smtp.ParseStage(stage)
	var e smtp.Enhanced
	if err = errors.Join(err, e.UnmarshalText([]byte(enhanced))); err != nil {
		t.Fatal(err)
	}
	return count.Kind{Stage: at, Code: smtp.Code(code), Enhanced: e}
}

func TestReconcile(t *testing.T) {
	const timeout, reset, refused, bounced = 1050, 1220, 1212, 1550
	sink := func(replies ...count.Reply) Sink { return Sink{Counts: count.Counts{Replies: replies}} }
	accepted := func(n, unsent, unread uint64) count.Reply {
		r := replied(t, "message", 250, "2.0.0", count.CausePlain, n)
		r.Sent, r.Unread = n-unsent, unread
		return r
	}
	quit := replied(t, "quit", 221, "2.0.0", count.CausePlain, 7)
	quit.Unread = 7
	other := replied(t, "message", 250, "2.1.5", count.CausePlain, 4)
	other.Unread = 4
	ruled := sink(replied(t, "rcpt", 450, "4.2.0", "rule:refusals", 10))
	ruled.Rules = []count.Rule{{Name: "refusals", Stage: smtp.StageRcpt, Occurrences: 10, Outcomes: []count.Outcome{{Code: 450, Probability: 1, Injected: 9}}}}
	tests := []struct {
		name     string
		client   []Series
		sink     Sink
		inFlight uint64
		problems []string // each must be part of one problem, in order
	}{
		{
			name:   "equal",
			client: []Series{observed("message", 250, "2.0.0", 90), observed("message", 250, "2.0.0", 10)},
			sink:   sink(accepted(100, 0, 0)),
		},
		{
			name:     "one missing and nobody knows why",
			client:   []Series{observed("message", 250, "2.0.0", 99)},
			sink:     sink(accepted(100, 0, 0)),
			problems: []string{"message 250 2.0.0: injected 100, observed 99, in flight 0: 1 unexplained"},
		},
		{
			name:     "observed more than injected is never excused",
			client:   []Series{observed("message", 250, "2.0.0", 101), clientError("message", timeout, 5)},
			sink:     sink(accepted(100, 0, 5)),
			problems: []string{"message 250 2.0.0: observed 101 but injected only 100"},
		},
		{
			name:     "a reply the sink never wrote",
			client:   []Series{observed("message", 250, "2.0.0", 98)},
			sink:     sink(accepted(100, 2, 0)),
			inFlight: 2,
		},
		{
			name:     "a reply the sink never wrote was observed",
			client:   []Series{observed("message", 250, "2.0.0", 99)},
			sink:     sink(accepted(100, 2, 0)),
			inFlight: 1,
			problems: []string{"2 replies never left the sink, yet only 1 are missing"},
		},
		{
			name:   "unacknowledged replies may have been observed",
			client: []Series{observed("quit", 221, "2.0.0", 7)},
			sink:   sink(quit),
		},
		{
			name:     "more missing than the sink knows to be unfinished",
			client:   []Series{observed("message", 250, "2.0.0", 95)},
			sink:     sink(accepted(100, 0, 4)),
			inFlight: 4,
			problems: []string{"in flight 4: 1 unexplained"},
		},
		{
			name:     "the sink's unfinished replies excuse their own code only",
			client:   []Series{observed("message", 250, "2.0.0", 99), observed("message", 250, "2.1.5", 4)},
			sink:     sink(accepted(100, 0, 0), other),
			problems: []string{"1 unexplained"},
		},
		{
			name:     "the client gave up waiting: any code of that stage",
			client:   []Series{observed("message", 250, "2.0.0", 99), clientError("message", timeout, 1), clientError("message", reset, 1)},
			sink:     sink(accepted(100, 0, 0), replied(t, "message", 451, "4.3.0", count.CauseProtocol, 1)),
			inFlight: 2,
		},
		{
			name:     "each cut-short wait excuses one reply, not one per code",
			client:   []Series{observed("message", 250, "2.0.0", 99), clientError("message", timeout, 1)},
			sink:     sink(accepted(100, 0, 0), replied(t, "message", 451, "4.3.0", count.CauseProtocol, 1)),
			inFlight: 1,
			problems: []string{"message 451 4.3.0: injected 1, observed 0, in flight 0: 1 unexplained"},
		},
		{
			name:     "an error at another stage excuses nothing",
			client:   []Series{observed("message", 250, "2.0.0", 99), clientError("rcpt", timeout, 9)},
			sink:     sink(accepted(100, 0, 0)),
			problems: []string{"1 unexplained"},
		},
		{
			name:     "errors that end no wait excuse nothing",
			client:   []Series{observed("message", 250, "2.0.0", 99), clientError("message", refused, 9), clientError("message", bounced, 9)},
			sink:     sink(accepted(100, 0, 0)),
			problems: []string{"1 unexplained"},
		},
		{
			name:   "the wrong enhanced status code is two differences, whatever was in flight",
			client: []Series{observed("message", 250, "2.6.0", 100), clientError("message", timeout, 100)},
			sink:   sink(accepted(100, 0, 0)), inFlight: 100,
			problems: []string{"message 250 2.6.0: observed 100 but injected only 0"},
		},
		{
			name:     "a rule's outcomes must add up to the replies under its name",
			client:   []Series{observed("rcpt", 450, "4.2.0", 10)},
			problems: []string{`rule "refusals" drew 9 times but 10 replies carry its name`, `rule "refusals" spoke 10 times but its outcomes add up to 9`},
			sink:     ruled,
		},
		{
			name:     "a code tag that is no number is named",
			client:   []Series{observed("message", 250, "2.0.0", 100), counter(MetricReplies, 1, Tags{"phase": "data", "code": "x"})},
			sink:     sink(accepted(100, 0, 0)),
			problems: []string{`the code tag "x"`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Reconcile(&Client{Series: tt.client}, &tt.sink)
			if got.InFlight != tt.inFlight {
				t.Errorf("in flight: got %d, want %d", got.InFlight, tt.inFlight)
			}
			if got.Balanced != (len(tt.problems) == 0) {
				t.Errorf("balanced = %v with problems %q", got.Balanced, got.Problems)
			}
			if len(got.Problems) != len(tt.problems) {
				t.Fatalf("problems: got %q, want %q", got.Problems, tt.problems)
			}
			for i, want := range tt.problems {
				if !strings.Contains(got.Problems[i], want) {
					t.Errorf("problem %d: got %q, want it to say %q", i, got.Problems[i], want)
				}
			}
		})
	}
}

func TestWaitCutShort(t *testing.T) {
	for code, want := range map[int]bool{
		1000: true, 1050: true, 1060: true, 1200: true, 1201: true, 1220: true, 1230: true,
		1020: false, 1030: false, 1070: false, 1101: false, 1110: false, 1210: false, 1211: false, 1212: false, 1300: false, 1421: false, 1550: false,
	} {
		if got := WaitCutShort(code); got != want {
			t.Errorf("error code %d: got %v, want %v", code, got, want)
		}
	}
}

func TestPlannedIsWeightTimesOccurrences(t *testing.T) {
	planned := func(r count.Reply, n float64) count.Reply { r.Planned = n; return r }
	bare := planned(replied(t, "rcpt", 450, "", "rule:refusals", 5), 5.5)
	sink := &Sink{Counts: count.Counts{
		Replies: []count.Reply{
			planned(replied(t, "rcpt", 250, "2.1.5", "rule:refusals", 905), 900),
			replied(t, "rcpt", 250, "2.1.5", count.CausePlain, 50),
			planned(replied(t, "rcpt", 450, "4.2.0", "rule:refusals", 90), 94.5), bare, // to clients that have said HELO
			replied(t, "mail", 250, "2.1.0", count.CausePlain, 1050),
		},
		Rules: []count.Rule{{Name: "refusals", Stage: smtp.StageRcpt, Occurrences: 1000, Outcomes: []count.Outcome{
			{Code: 250, Probability: 0.9, Injected: 905}, {Code: 450, Probability: 0.1, Injected: 95},
		}}},
	}}
	client := &Client{Series: []Series{
		observed("rcpt", 250, "2.1.5", 955), observed("rcpt", 450, "4.2.0", 90), observed("rcpt", 450, "", 5), observed("mail", 250, "2.1.0", 1050),
	}}
	got := Reconcile(client, sink)
	if !got.Balanced {
		t.Fatalf("not balanced: %q", got.Problems)
	}
	want := []Row{
		{Kind: kind(t, "mail", 250, "2.1.0"), Planned: 1050, Injected: 1050, Observed: 1050},
		{Kind: kind(t, "rcpt", 250, "2.1.5"), Planned: 950, Drawn: 905, Injected: 955, Observed: 955},
		{Kind: kind(t, "rcpt", 450, ""), Planned: 5.5, Drawn: 5, Injected: 5, Observed: 5},
		{Kind: kind(t, "rcpt", 450, "4.2.0"), Planned: 94.5, Drawn: 90, Injected: 90, Observed: 90},
	}
	if !slices.Equal(got.Rows, want) {
		t.Errorf("rows:\n got %+v\nwant %+v", got.Rows, want)
	}
}
