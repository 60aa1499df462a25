package result

import (
	"strings"
	"testing"
)

func TestMissingSegment(t *testing.T) {
	for segments, want := range map[string]string{
		"0:1/3 1/3:2/3 2/3:1": "", "2/3:1 0:1/3 1/3:2/3": "", "0:1": "", "1": "", "0:1/2 0:1/2 1/2:1": "",
		"0:1/3 2/3:1": "1/3:2/3", "1/3:2/3 2/3:1": "0:1/3", "0:1/3 1/3:2/3": "2/3:1", "0:0.5 3/4:1": "1/2:3/4", "1/2": "1/2:1",
		"half": "", "0:x": "",
	} {
		if got := missingSegment(strings.Fields(segments)); got != want {
			t.Errorf("%s: %q is missing, want %q", segments, got, want)
		}
	}
}

// What kept one of several generators from its load kept all of them from theirs, whichever it was; and so does a part without a record.
func TestMergeTellsOfALoadThatWasNotCarriedOut(t *testing.T) {
	of := func(change func(*Load)) *Record {
		r := New("part")
		r.Client = &Client{Tool: "k6"}
		change(&r.Load)
		return r
	}
	whole := func(l *Load) {}
	broken := func(l *Load) { l.Stopped = "k6 ended the test early: interrupted" }
	killed := func(l *Load) { l.Interrupted = true }
	first, second, third := func(l *Load) { l.Segments = []string{"0:1/3"} }, func(l *Load) { l.Segments = []string{"1/3:2/3"} }, func(l *Load) { l.Segments = []string{"2/3:1"} }
	for name, test := range map[string]struct {
		parts       []func(*Load)
		stopped     string
		interrupted bool
	}{
		"all whole":                 {[]func(*Load){whole, whole}, "", false},
		"the first broke":           {[]func(*Load){broken, whole}, "k6 ended the test early: interrupted", false},
		"the second broke":          {[]func(*Load){whole, broken}, "k6 ended the test early: interrupted", false},
		"the second was killed":     {[]func(*Load){whole, killed}, "", true},
		"three parts":               {[]func(*Load){first, second, third}, "", false},
		"one of three is missing":   {[]func(*Load){first, third}, "execution segment 1/3:2/3 has left no record", false},
		"merged, and one more part": {[]func(*Load){func(l *Load) { l.Segments = []string{"0:1/3", "1/3:2/3"} }, third}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			var records []*Record
			for _, change := range test.parts {
				records = append(records, of(change))
			}
			merged, err := Merge(records...)
			if err != nil {
				t.Fatal(err)
			}
			if merged.Load.Stopped != test.stopped || merged.Load.Interrupted != test.interrupted {
				t.Errorf("stopped %q, interrupted %v; want %q, %v", merged.Load.Stopped, merged.Load.Interrupted, test.stopped, test.interrupted)
			}
		})
	}
}
