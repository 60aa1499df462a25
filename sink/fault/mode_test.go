package fault

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func TestModeTable(t *testing.T) {
	for _, c := range []struct {
		mode  Mode
		stage smtp.Stage
		loose bool
		want  string // codes, or the start of an error
	}{
		{ModeAccept, smtp.StageMessage, false, "250 251 252 253"},
		{ModeAccept, smtp.StageRcpt, false, "250 251"},
		{ModeAccept, smtp.StageMail, false, "250"},
		{ModeAccept, smtp.StageVrfy, false, "250 251 252"},
		{ModeAccept, smtp.StageEtrn, false, "250 251 252 253"},
		{ModeAccept, smtp.StageConnect, false, "220"},
		{ModeAccept, smtp.StageStartTLS, false, "220"},
		{ModeAccept, smtp.StageAuth, false, "235"},
		{ModeAccept, smtp.StageData, false, "354"},
		{ModeAccept, smtp.StageQuit, false, "221"},
		{ModeAccept, smtp.StageHelp, false, "214"},
		{ModeAccept, smtp.StageQuit, true, "250 251 252 253"},
		{ModeAccept, smtp.StageUnknown, false, "mode accept has no code that stage unknown allows (valid there: bounce unavailable; strict: false"},
		{ModeBounce, smtp.StageMessage, false, "421 431 450 451 452 454 458 459 521 534 550 551 552 553 554 571"},
		{ModeBounce, smtp.StageRcpt, false, "421 450 451 452 521 550 551 552 553 554"},
		{ModeBounce, smtp.StageMail, false, "421 450 451 452 550 552 553 554"},
		{ModeBounce, smtp.StageConnect, false, "421 521 554"},
		{ModeBounce, smtp.StageQuit, false, "421"},
		{ModeBounce, smtp.StageQuit, true, "421 431 450 451 452 454 458 459 521 534 550 551 552 553 554 571"},
		{ModeOffline, smtp.StageMessage, false, "521"},
		{ModeOffline, smtp.StageConnect, false, "521"},
		{ModeOffline, smtp.StageData, false, "mode offline has no code that stage data allows (valid there: accept bounce unavailable random; strict: false"},
		{ModeOffline, smtp.StageData, true, "521"},
		{ModeUnavailable, smtp.StageNoop, false, "421"},
		{ModeRandom, smtp.StageConnect, false, "220 421 521 554"},
		{ModeRandom, smtp.StageUnknown, false, "mode random has no code that stage unknown allows"},
		{ModeNone, smtp.StageMail, false, "no mode (valid: accept bounce offline unavailable random)"},
	} {
		t.Run(fmt.Sprintf("%v at %v loose=%v", c.mode, c.stage, c.loose), func(t *testing.T) {
			table, err := ModeSpec{Mode: c.mode, Loose: c.loose}.Table(c.stage)
			got := make([]string, len(table))
			for i, row := range table {
				got[i] = fmt.Sprint(row.Code)
			}
			if err != nil {
				if !strings.HasPrefix(err.Error(), c.want) {
					t.Errorf("error is %q, want %q", err, c.want)
				}
			} else if strings.Join(got, " ") != c.want {
				t.Errorf("codes are %v, want %s", got, c.want)
			}
		})
	}
}

// TestUnavailableEverywhere holds RFC 5321 section 4.3.2: 421 is allowed at every stage.
func TestUnavailableEverywhere(t *testing.T) {
	for s := range smtp.NumStages {
		table, err := ModeSpec{Mode: ModeUnavailable}.Table(smtp.Stage(s))
		if err != nil || len(table) != 1 || table[0].Code != 421 {
			t.Errorf("mode unavailable at %v: %v, %v, want 421", smtp.Stage(s), table, err)
		}
	}
}

func TestRandomOdds(t *testing.T) {
	sum := func(table []WeightedCode) (accept, bounce float64) {
		for _, row := range table {
			if row.Code.Positive() {
				accept += row.Weight
			} else {
				bounce += row.Weight
			}
		}
		return accept, bounce
	}
	for _, c := range []struct{ given, want float64 }{{0, 0.5}, {0.9, 0.9}, {0.001, 0.001}} {
		table, err := ModeSpec{Mode: ModeRandom, RandomAccept: c.given}.Table(smtp.StageMessage)
		if err != nil {
			t.Fatal(err)
		}
		accept, bounce := sum(table)
		if len(table) != 20 || math.Abs(accept-c.want) > 1e-12 || math.Abs(accept+bounce-1) > 1e-12 {
			t.Errorf("odds %v: %d codes, accept %v, bounce %v, want 20 codes and accept %v", c.given, len(table), accept, bounce, c.want)
		}
	}
	table, err := ModeSpec{Mode: ModeRandom, Weights: map[smtp.Code]float64{251: 0, 252: 0, 253: 0, 421: 15}}.Table(smtp.StageMessage)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(table, func(w WeightedCode) bool { return w.Code == 421 })
	if table[0].Weight != 0.5 || table[i].Weight != 0.25 {
		t.Errorf("weights of 250 and 421 are %v and %v, want 0.5 and 0.25: weights count within each half", table[0].Weight, table[i].Weight)
	}
	for _, odds := range []float64{-0.1, 1, 1.5, math.NaN()} {
		if _, err := (ModeSpec{Mode: ModeRandom, RandomAccept: odds}).Table(smtp.StageMessage); err == nil {
			t.Errorf("odds of %v are taken, want an error", odds)
		}
	}
}

func TestModeWeights(t *testing.T) {
	table, err := ModeSpec{Mode: ModeBounce, Weights: map[smtp.Code]float64{450: 9}}.Table(smtp.StageQuit)
	if want := "mode bounce has no code 450 at stage quit (valid: 421)"; err == nil || err.Error() != want {
		t.Errorf("got %v, %v, want the error %q", table, err, want)
	}
	table, err = ModeSpec{Mode: ModeAccept, Weights: map[smtp.Code]float64{251: 3}}.Table(smtp.StageRcpt)
	if err != nil || !slices.Equal(table, []WeightedCode{{250, 1}, {251, 3}}) {
		t.Errorf("got %v, %v, want 250 with weight 1 and 251 with weight 3", table, err)
	}
	if _, err := (ModeSpec{Mode: ModeBounce, Weights: map[smtp.Code]float64{421: math.Inf(1)}}).Table(smtp.StageMessage); err == nil {
		t.Error("an infinite weight is taken, want an error")
	}
}
