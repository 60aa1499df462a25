package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func lognormal(seed uint64, n int, median, sigma float64) *result.Histogram {
	r := rand.New(rand.NewPCG(seed, 0))
	h := &result.Histogram{}
	for range n {
		h.Record(median * math.Exp(sigma*r.NormFloat64()))
	}
	return h
}

func charts() []*Chart {
	var seconds, calm, storm []float64
	for i := range 30 {
		seconds = append(seconds, float64(i))
		calm = append(calm, 2+math.Sin(float64(i)/3))
		storm = append(storm, 20+10*math.Cos(float64(i)/4))
	}
	storm[10] = math.NaN()
	return []*Chart{
		Percentiles("percentiles", "Waiting for the final reply", []Curve{
			{Name: "calm", Hist: lognormal(1, 20000, 1, 0.5), Style: 0},
			{Name: "bounce storm", Hist: lognormal(2, 20000, 4, 0.9), Style: 1},
		}),
		Percentiles("percentiles-dropped", "With dropped iterations", []Curve{{Name: "spike", Hist: lognormal(1, 5000, 1, 0.5), Seen: 0.96}}),
		OverTime("overtime-linear", "Messages", "messages per second", false, []Line{{Name: "calm", Seconds: seconds, Values: calm}}),
		OverTime("overtime-log", "p99", "latency (ms)", true, []Line{
			{Name: "calm", Seconds: seconds, Values: calm, Style: 0}, {Name: "bounce storm", Seconds: seconds, Values: storm, Style: 1},
		}),
		Codes("codes", "Replies at rcpt", []CodeBar{
			{"250 2.1.5", 18000, 18031, 18031}, {"450 4.2.0", 1400, 1385, 1384}, {"550 5.1.1", 600, 584, 584},
		}),
		Codes("codes-sink-only", "Replies at rcpt, not observed", []CodeBar{{"250 2.1.5", 900, 905, math.NaN()}, {"450 4.2.0", 100, 95, math.NaN()}}),
	}
}

func svg(t *testing.T, c *Chart) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := c.SVG(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGoldenSVG(t *testing.T) {
	for _, c := range charts() {
		t.Run(c.Name, func(t *testing.T) {
			got := svg(t, c)
			path := filepath.Join("testdata", c.Name+".svg")
			if *update {
				if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, got, 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v (go test -update writes it)", err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs from %s: look at both, then go test -update", c.Name, path)
			}
		})
	}
}

func TestChartsAreWellFormed(t *testing.T) {
	for i, c := range charts() {
		inline, err := c.Inline()
		if err != nil {
			t.Fatal(err)
		}
		for what, doc := range map[string]string{"SVG": string(svg(t, c)), "inline": inline} {
			d := xml.NewDecoder(strings.NewReader(doc))
			for {
				_, err := d.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%s %s: %v", c.Name, what, err)
				}
			}
			if strings.Contains(doc, "NaN") || strings.Contains(doc, "Inf") {
				t.Errorf("%s %s holds a coordinate that is no number", c.Name, what)
			}
		}
		if strings.Contains(inline, hex(ink)) || !strings.Contains(inline, "currentColor") {
			t.Errorf("%s inline: ink is not the page's", c.Name)
		}
		var b bytes.Buffer
		if err := c.PNG(&b); err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(&b)
		if err != nil {
			t.Fatalf("%s PNG: %v", c.Name, err)
		}
		if w := img.Bounds().Dx(); w < 1000 {
			t.Errorf("%s PNG is %d pixels wide", c.Name, w)
		}
		if c.Empty() {
			t.Errorf("chart %d (%s) calls itself empty", i, c.Name)
		}
	}
}

func TestEmptyChartsSayAndDrawSo(t *testing.T) {
	for _, c := range []*Chart{
		Percentiles("a", "a", []Curve{{Name: "x", Hist: &result.Histogram{}}}),
		OverTime("b", "b", "y", false, nil),
		OverTime("c", "c", "y", true, []Line{{Name: "x"}}),
		Codes("d", "d", nil),
	} {
		if !c.Empty() {
			t.Errorf("%s: not empty", c.Name)
		}
		if s := string(svg(t, c)); strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
			t.Errorf("%s: a coordinate is no number", c.Name)
		}
	}
}

func TestCurveEndsWhereValuesEnd(t *testing.T) {
	h := lognormal(3, 1000, 1, 0.3)
	pts := curvePoints(Curve{Hist: h})
	last := pts[len(pts)-1]
	if math.Abs(last.X-nines(1-0.0005)) > 1e-9 || last.Y != h.Summary().Max {
		t.Errorf("1,000 values end at %v nines and %v ms, want %v and the maximum %v", last.X, last.Y, nines(1-0.0005), h.Summary().Max)
	}
	cut := curvePoints(Curve{Hist: h, Seen: 0.9})
	if x := cut[len(cut)-1].X; x > 1+1e-9 {
		t.Errorf("with a tenth dropped the curve goes to %v nines, want 1 at the most", x)
	}
	if len(pts) > 1200 {
		t.Errorf("%d points for one curve", len(pts))
	}
}

func TestTicks(t *testing.T) {
	var got []string
	for _, tick := range percentileTicks(0, 4.3) {
		got = append(got, tick.Label)
	}
	if s := strings.Join(got, " "); s != "0 50 90 99 99.9 99.99" {
		t.Errorf("percentile ticks: %s", s)
	}
	for v, want := range map[float64]string{0: "0", 0.05: "0.05", 12.5: "12.5", 9999: "9,999", 20000: "20,000", 1234567: "1,234,567"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
	if lo, hi := logRange(0.3, 70); math.Abs(lo-0.2) > 1e-12 || hi != 100 {
		t.Errorf("logRange(0.3, 70) = %v, %v, want 0.2, 100", lo, hi)
	}
}

// Two charts side by side have the axes of the wider one; an empty one has no say.
func TestAlike(t *testing.T) {
	fast := Heat("a", "A", []Cell{{From: 0, To: 10, Lo: 0.1, Hi: 1, Share: 1}})
	slow := Heat("b", "B", []Cell{{From: 0, To: 60, Lo: 100, Hi: 1000, Share: 1}})
	none := Heat("c", "C", nil)
	before := none.plot.Y.Max
	Alike(fast, nil, none, slow)
	if fast.plot.Y.Min != slow.plot.Y.Min || fast.plot.Y.Max != slow.plot.Y.Max || fast.plot.X.Max != slow.plot.X.Max {
		t.Errorf("latencies reach from %v to %v and from %v to %v, seconds to %v and %v", fast.plot.Y.Min, fast.plot.Y.Max, slow.plot.Y.Min, slow.plot.Y.Max, fast.plot.X.Max, slow.plot.X.Max)
	}
	if fast.plot.Y.Min > 0.1 || fast.plot.Y.Max < 1000 || fast.plot.X.Max < 60 || none.plot.Y.Max != before {
		t.Errorf("latencies from %v to %v, seconds to %v; the empty chart to %v, %v before", fast.plot.Y.Min, fast.plot.Y.Max, fast.plot.X.Max, none.plot.Y.Max, before)
	}
}
