package stat

import (
	"math"
	"testing"
)

// TestIncidenceAsR compares with survfit of R's package survival (testdata/survival.R).
func TestIncidenceAsR(t *testing.T) {
	for _, v := range vectors(t, "survival") {
		var endings []Ending
		causes := v.numbers("cause")
		for i, at := range v.numbers("time") {
			endings = append(endings, Ending{Time: at, Cause: int(causes[i]), Count: 1})
		}
		got, err := AalenJohansen(endings, 2)
		if err != nil {
			t.Fatal(err)
		}
		for column, values := range map[string][]float64{"times": got.Times, "share1": got.Share[0], "share2": got.Share[1], "waiting": got.Waiting, "se1": got.StdErr[0], "se2": got.StdErr[1]} {
			want := v.numbers(column)
			if len(values) != len(want) {
				t.Errorf("%s: %d values of %s, R has %d", v.name(), len(values), column, len(want))
				continue
			}
			for i := range want {
				if math.Abs(values[i]-want[i]) > 1e-9 {
					t.Errorf("%s: %s[%d] is %v, R has %v", v.name(), column, i, values[i], want[i])
				}
			}
		}
	}
}

// Counts stand for so many messages; shares and what waits sum to 1.
func TestIncidenceOfCounts(t *testing.T) {
	single, err := AalenJohansen([]Ending{{1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {2, 0, 1}, {2, 0, 1}, {2, 2, 1}, {3, 1, 1}}, 3)
	if err != nil {
		t.Fatal(err)
	}
	counted, err := AalenJohansen([]Ending{{3, 1, 1}, {2, 2, 1}, {2, 0, 2}, {1, 1, 2}, {1, 1, 1}, {9, 1, 0}}, 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(counted.Times) != 3 {
		t.Fatalf("times %v", counted.Times)
	}
	for i := range counted.Times {
		sum := counted.Waiting[i]
		for k := range counted.Share {
			sum += counted.Share[k][i]
			near(t, "share by counts", counted.Share[k][i], single.Share[k][i], 1e-15)
			near(t, "standard error by counts", counted.StdErr[k][i], single.StdErr[k][i], 1e-12)
		}
		near(t, "sum of all shares", sum, 1, 1e-12)
	}
	share, iv := counted.At(1, 2.5, 0.95)
	near(t, "share at 2.5", share, 3.0/7, 1e-12)
	if !(iv.Lo > 0 && iv.Lo < share && iv.Hi > share && iv.Hi < 1) {
		t.Errorf("interval %+v of %v", iv, share)
	}
	if share, iv = counted.At(3, 2.5, 0.95); share != 0 || !math.IsNaN(iv.Lo) {
		t.Errorf("a cause without endings: %v, %+v", share, iv)
	}
	for _, bad := range []Ending{{-1, 1, 1}, {math.NaN(), 1, 1}, {math.Inf(1), 1, 1}, {1, 4, 1}, {1, -1, 1}} {
		if _, err := AalenJohansen([]Ending{bad}, 3); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

// A hundred thousand messages, each with its own time, take one pass.
func BenchmarkIncidence(b *testing.B) {
	endings := make([]Ending, 100_000)
	for i := range endings {
		endings[i] = Ending{Time: float64(i*7919%100_003) / 1000, Cause: i % 3, Count: 1}
	}
	for b.Loop() {
		if _, err := AalenJohansen(endings, 2); err != nil {
			b.Fatal(err)
		}
	}
}
