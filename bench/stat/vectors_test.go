package stat

import (
	"encoding/csv"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

// vector is one line of a file that a script in testdata made with R.
type vector struct {
	t      *testing.T
	fields map[string]string
}

// vectors reads testdata/NAME.csv; see NAME.R beside it.
func vectors(t *testing.T, name string) []vector {
	t.Helper()
	f, err := os.Open("testdata/" + name + ".csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []vector
	for _, row := range rows[1:] {
		v := vector{t, map[string]string{}}
		for i, column := range rows[0] {
			v.fields[column] = row[i]
		}
		out = append(out, v)
	}
	return out
}

func (v vector) name() string { return v.fields["name"] }

func (v vector) is(column, value string) bool { return v.fields[column] == value }

func (v vector) number(column string) float64 {
	v.t.Helper()
	if v.fields[column] == "NA" {
		return math.NaN()
	}
	x, err := strconv.ParseFloat(v.fields[column], 64)
	if err != nil {
		v.t.Fatalf("%s, column %s: %v", v.name(), column, err)
	}
	return x
}

func (v vector) numbers(column string) []float64 {
	v.t.Helper()
	var out []float64
	for _, s := range strings.Fields(v.fields[column]) {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil {
			v.t.Fatalf("%s, column %s: %v", v.name(), column, err)
		}
		out = append(out, x)
	}
	return out
}

// expect compares with R to a relative 1e-9, which is more than both sides' rounding and less than any other statistic.
func (v vector) expect(column string, got float64) {
	v.t.Helper()
	want := v.number(column)
	if !(math.Abs(got-want) <= 1e-9*max(1e-3, math.Abs(want))) {
		v.t.Errorf("%s: %s is %.12g, R has %.12g", v.name(), column, got, want)
	}
}
