package fault

import (
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func TestLimits(t *testing.T) {
	p := mustPlan(t, PlanSpec{Limits: []LimitSpec{
		{Name: "pace", Kind: LimitRate, Rate: 2.5},
		{Name: "all", Kind: LimitRate, Rate: 0.1, Burst: 7, Scope: ScopeAll, Stage: smtp.StageConnect, HasStage: true},
		{Name: "crowd", Kind: LimitConcurrency, Max: 3},
		{Name: "batch", Kind: LimitMessages, Max: 20, Code: 451, Enhanced: smtp.Enhanced{Class: 4, Subject: 7, Detail: 0}, Text: []string{"Enough"}},
		{Name: "wide", Kind: LimitRecipients, Max: 2},
		{Name: "big", Kind: LimitSize, Max: 1000},
		{Name: "grey", Kind: LimitGreylist, Delay: time.Minute, Window: time.Hour},
		{Name: "senders", Kind: LimitConcurrency, Max: 3, Scope: ScopeHelo | ScopeClient},
		{Name: "domains", Kind: LimitConcurrency, Max: 3, Scope: ScopeRecipientDomain},
		{Name: "day", Kind: LimitQuota, Max: 3, Per: time.Hour},
		{Name: "newcomers", Kind: LimitQuota, Max: 3, Per: time.Hour, Scope: ScopeNetwork, Stage: smtp.StageConnect, HasStage: true},
	}})
	for _, c := range []struct {
		scope Scope
		stage smtp.Stage
		reply string
	}{
		{ScopeClient, smtp.StageRcpt, "451 4.7.1 Rate limit exceeded, try again later"},
		{ScopeAll, smtp.StageConnect, "421 Rate limit exceeded, try again later"},
		{ScopeClient, smtp.StageConnect, "421 Too many concurrent connections, try again later"},
		{ScopeConnection, smtp.StageMail, "451 4.7.0 Enough"},
		{ScopeConnection, smtp.StageRcpt, "452 4.5.3 Too many recipients"},
		{ScopeConnection, smtp.StageMessage, "552 5.3.4 Message is too big"},
		{ScopeNetwork | ScopeSender | ScopeRecipient, smtp.StageRcpt, "451 4.7.1 Greylisted, try again later"},
		{ScopeHelo | ScopeClient, smtp.StageMail, "421 4.7.0 Too many concurrent messages, try again later"},
		{ScopeRecipientDomain, smtp.StageRcpt, "421 4.7.0 Too many concurrent messages, try again later"},
		{ScopeClient, smtp.StageRcpt, "451 4.7.1 Quota exceeded, try again later"},
		{ScopeNetwork, smtp.StageConnect, "421 Quota exceeded, try again later"},
	} {
		l := p.AllLimits()[0]
		p.limits = p.limits[1:]
		if l.Scope != c.scope || l.Stage != c.stage || l.Reply.String() != c.reply {
			t.Errorf("limit %s is per %v at %v with %q, want %+v", l.Name, l.Scope, l.Stage, l.Reply, c)
		}
		if d := l.Decision(); d.Cause != CauseLimit || d.Limit != l || d.Reply != l.Reply {
			t.Errorf("limit %s refuses with %+v", l.Name, d)
		}
	}
	rcpt := p.Limits(smtp.StageRcpt)
	if len(rcpt) != 5 || rcpt[0].Name != "pace" || rcpt[1].Name != "wide" || rcpt[2].Name != "grey" || len(p.Limits(smtp.StageData)) != 0 {
		t.Errorf("limits at rcpt are %v, want pace, wide and grey in this order", rcpt)
	}
	if rcpt[0].Burst != 3 || p.Limits(smtp.StageConnect)[0].Burst != 7 {
		t.Errorf("bursts are %v and %v, want 3, a second's worth, and 7", rcpt[0].Burst, p.Limits(smtp.StageConnect)[0].Burst)
	}
	for _, c := range []struct {
		stage smtp.Stage
		name  string
		o     Occurrence
		want  bool
	}{
		{smtp.StageMail, "batch", Occurrence{MessageN: 20}, true},
		{smtp.StageMail, "batch", Occurrence{MessageN: 21}, false},
		{smtp.StageRcpt, "wide", Occurrence{Recipients: 1}, true},
		{smtp.StageRcpt, "wide", Occurrence{Recipients: 2}, false},
		{smtp.StageMessage, "big", Occurrence{Size: 1000}, true},
		{smtp.StageMessage, "big", Occurrence{Size: 1001}, false},
		{smtp.StageRcpt, "grey", Occurrence{}, true},
	} {
		for _, l := range p.Limits(c.stage) {
			if l.Name == c.name && l.Fits(&c.o) != c.want {
				t.Errorf("limit %s: %+v fits: %v, want %v", l.Name, c.o, !c.want, c.want)
			}
		}
	}
}

// TestLimitsApply: a limit is for those whom its match names, but for those whom its exceptions name.
func TestLimitsApply(t *testing.T) {
	p := mustPlan(t, PlanSpec{Limits: []LimitSpec{{
		Name: "l", Kind: LimitRate, Rate: 1, Match: Match{Recipients: []string{"*@example.org"}, Listeners: []string{"mx1"}},
		Except: []Match{{Senders: []string{"<>"}}, {Clients: prefixes("192.0.2.0/24"), Helos: []string{"*.example.net"}}},
	}}})
	for name, c := range map[string]struct {
		change func(o *Occurrence)
		want   bool
	}{
		"matched":                   {func(*Occurrence) {}, true},
		"other listener":            {func(o *Occurrence) { o.Listener = "mx2" }, false},
		"other recipient":           {func(o *Occurrence) { o.Recipient = []byte("a@b.example") }, false},
		"null sender":               {func(o *Occurrence) { o.Sender = nil }, false},
		"excepted client and HELO":  {func(o *Occurrence) { o.Helo = []byte("a.example.net") }, false},
		"excepted HELO, but client": {func(o *Occurrence) { o.Helo, o.Client = []byte("a.example.net"), netip.MustParseAddr("203.0.113.1") }, true},
	} {
		o := golden(smtp.StageRcpt)
		c.change(o)
		l := p.Limits(smtp.StageRcpt)[0]
		if got := l.Applies(o); got != c.want {
			t.Errorf("%s: applies: %v, want %v", name, got, c.want)
		}
		if n := testing.AllocsPerRun(100, func() { l.Applies(o) }); n != 0 {
			t.Errorf("%s: Applies allocates %v times, want 0", name, n)
		}
	}
}

func TestLimitErrors(t *testing.T) {
	ok := LimitSpec{Name: "l", Kind: LimitRate, Rate: 1}
	for _, c := range []struct {
		change func(l *LimitSpec)
		want   string
	}{
		{func(l *LimitSpec) { l.Name = "" }, "limits[0]: name: missing"},
		{func(l *LimitSpec) { l.Kind = 99 }, `limits[0] "l": kind: unknown limit`},
		{func(l *LimitSpec) { l.Stage, l.HasStage = smtp.StageQuit, true }, `limits[0] "l": stage: quit has no limit rate (valid at: rcpt connect mail data message)`},
		{func(l *LimitSpec) { l.Scope, l.Stage, l.HasStage = ScopeRecipientDomain, smtp.StageMail, true }, `limits[0] "l": scope: the recipient domain is not known at stage mail (known at: rcpt)`},
		{func(l *LimitSpec) { l.Scope, l.Stage, l.HasStage = ScopeConnection, smtp.StageConnect, true }, `limits[0] "l": scope: a connection has one greeting only`},
		{func(l *LimitSpec) { l.Scope = ScopeAll | ScopeClient }, `limits[0] "l": scope: all stands alone`},
		{func(l *LimitSpec) { l.Scope = NetworkScope(40, 64) }, `limits[0] "l": scope: unknown scope`},
		{func(l *LimitSpec) { l.Scope = 1 << 12 }, `limits[0] "l": scope: unknown scope`},
		{func(l *LimitSpec) { l.Scope, l.Stage, l.HasStage = ScopeHelo, smtp.StageConnect, true }, `limits[0] "l": scope: the HELO is not known at stage connect`},
		{func(l *LimitSpec) { l.Per = time.Hour }, `limits[0] "l": per: limit rate has no per`},
		{func(l *LimitSpec) { l.From = QuotaClock }, `limits[0] "l": from: limit rate has no from`},
		{func(l *LimitSpec) { *l = LimitSpec{Name: "l", Kind: LimitQuota, Max: 1, Per: -time.Hour} }, `limits[0] "l": per: -1h0m0s is out of range`},
		{func(l *LimitSpec) { *l = LimitSpec{Name: "l", Kind: LimitConcurrency, Max: 1, Scope: ScopeConnection} }, `limits[0] "l": scope: limit concurrency has no scope connection (valid: client network helo sender`},
		{func(l *LimitSpec) { *l = LimitSpec{Name: "l", Kind: LimitMessages, Max: 1, Scope: ScopeAll} }, `limits[0] "l": scope: limit messages has no scope all (valid: connection)`},
		{func(l *LimitSpec) { l.Rate = 0 }, `limits[0] "l": rate: 0 per second is out of range`},
		{func(l *LimitSpec) { l.Rate = math.NaN() }, `limits[0] "l": rate: NaN per second`},
		{func(l *LimitSpec) { l.Burst = 0.5 }, `limits[0] "l": burst: 0.5 is out of range (want 1 to 1e+09)`},
		{func(l *LimitSpec) { l.Max = 1 }, `limits[0] "l": max: limit rate has no max`},
		{func(l *LimitSpec) { l.Delay = 1 }, `limits[0] "l": delay: limit rate has no delay`},
		{func(l *LimitSpec) { l.Window = 1 }, `limits[0] "l": window: limit rate has no window`},
		{func(l *LimitSpec) { *l = LimitSpec{Name: "l", Kind: LimitSize} }, `limits[0] "l": max: 0 is out of range`},
		{func(l *LimitSpec) { *l = LimitSpec{Name: "l", Kind: LimitSize, Max: 1, Rate: 1} }, `limits[0] "l": rate: limit size has no rate`},
		{func(l *LimitSpec) { *l = LimitSpec{Name: "l", Kind: LimitGreylist, Window: time.Hour} }, `limits[0] "l": delay: 0s is out of range`},
		{func(l *LimitSpec) {
			*l = LimitSpec{Name: "l", Kind: LimitGreylist, Delay: time.Hour, Window: time.Hour}
		}, `limits[0] "l": window: 1h0m0s is out of range (want above the delay`},
		{func(l *LimitSpec) { l.Code = 250 }, `limits[0] "l": reply: 250 is no refusal (want 400 to 599)`},
		{func(l *LimitSpec) { l.Text = []string{"x"} }, `limits[0] "l": reply: enhanced status code or text without a code`},
		{func(l *LimitSpec) { l.Code, l.Text = 450, []string{"a\r\nb"} }, `limits[0] "l": reply: reply text "a\r\nb" holds CR, LF or NUL`},
		{func(l *LimitSpec) { l.Match = Match{Headers: []HeaderPattern{{"subject", []string{"*"}}}} }, `limits[0] "l": match.header: not known yet at stage rcpt`},
		{func(l *LimitSpec) { l.Except = []Match{{}} }, `limits[0] "l": except[0]: no condition`},
		{func(l *LimitSpec) { l.Except = []Match{{Senders: []string{"x.example"}}} }, `limits[0] "l": except[0].sender: invalid pattern "x.example"`},
	} {
		l := ok
		c.change(&l)
		if _, err := NewPlan(PlanSpec{Limits: []LimitSpec{l}}); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: error is %v, want %s", l, err, c.want)
		}
	}
	if _, err := NewPlan(PlanSpec{Limits: []LimitSpec{ok, ok}}); err == nil || err.Error() != `limits[1] "l": name: name is taken by limits[0]` {
		t.Errorf("two limits of a name: error is %v", err)
	}
}

func TestParseRate(t *testing.T) {
	for in, want := range map[string]float64{"20/s": 20, "20": 20, "600/m": 10, "3600/h": 1, "1.5/s": 1.5, "1 / m": 1.0 / 60, "86400/d": 1} {
		if got, err := ParseRate(in); err != nil || math.Abs(got-want) > 1e-12 {
			t.Errorf("rate %q is %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0/s", "-1/s", "1/y", "1/", "fast", "Inf/s", "NaN"} {
		if got, err := ParseRate(in); err == nil {
			t.Errorf("rate %q is read as %v, want an error", in, got)
		}
	}
}
