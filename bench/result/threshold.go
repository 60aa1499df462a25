package result

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// expression is one condition of k6's thresholds: p(95)<500, rate<0.001, count>=1 (k6's documentation, "Threshold syntax").
var expression = regexp.MustCompile(`^\s*(p\(\s*([0-9.]+)\s*\)|[a-z]+)\s*(<=|>=|===|==|!=|<|>)\s*([0-9.eE+-]+)\s*$`)

// judgeThresholds judges the thresholds on the figures of the record as it is: after a merge those of all processes. Each was true of its own process's
// messages only, which says nothing of all.
func (r *Record) judgeThresholds() {
	crossed := false
	for i := range r.Load.Thresholds {
		t := &r.Load.Thresholds[i]
		name, _, _ := strings.Cut(t.Metric, "{")
		if ok, known := r.judge(*t); known {
			t.OK = ok
		} else if len(r.Client.Find(name, nil)) > 0 { // without a sample it holds as it held everywhere
			r.Warn("threshold %s %s can't be judged on the merged figures: it held where it held in every process", t.Metric, t.Expression)
		}
		crossed = crossed || !t.OK
	}
	switch status := r.Load.ExitStatus; {
	case status == nil, len(r.Load.Thresholds) == 0:
	case *status == 0 && crossed:
		r.Load.ExitStatus = statusOf(ThresholdsCrossed)
	case *status == ThresholdsCrossed && !crossed:
		r.Load.ExitStatus = statusOf(0)
	}
}

func statusOf(n int) *int { return &n }

// judge says whether a threshold holds; known is false where its figure is not kept. A percentile is that of nearest rank, k6 interpolates.
func (r *Record) judge(t Threshold) (ok, known bool) {
	m := expression.FindStringSubmatch(t.Expression)
	if m == nil {
		return false, false
	}
	limit, err := strconv.ParseFloat(m[4], 64)
	if err != nil {
		return false, false
	}
	name, filter, tagged := strings.Cut(t.Metric, "{")
	want := Tags{}
	if tagged {
		for _, pair := range strings.Split(strings.TrimSuffix(filter, "}"), ",") {
			tag, value, ok := strings.Cut(pair, ":")
			if !ok {
				return false, false
			}
			want[strings.TrimSpace(tag)] = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	v, known := r.aggregate(name, want, m[1], m[2])
	if !known {
		return false, false
	}
	switch m[3] {
	case "<":
		return v < limit, true
	case "<=":
		return v <= limit, true
	case ">":
		return v > limit, true
	case ">=":
		return v >= limit, true
	case "!=":
		return v != limit, true
	}
	return v == limit, true
}

// aggregate is one figure of a metric over all series with these tags.
func (r *Record) aggregate(name string, want Tags, method, percentile string) (float64, bool) {
	series := r.Client.Find(name, want)
	if len(series) == 0 {
		return 0, false
	}
	var sum Summary
	var passes, fails uint64
	last, h := 0.0, &Histogram{}
	for _, s := range series {
		sum.Merge(s.Summary())
		h.Merge(s.Histogram)
		passes, fails, last = passes+s.Passes, fails+s.Fails, s.Last
	}
	switch kind := series[0].Type; {
	case kind == Rate && method == "rate":
		if passes+fails == 0 {
			return 0, true
		}
		return float64(passes) / float64(passes+fails), true
	case kind == Counter && method == "count":
		return sum.Sum, true
	case kind == Counter && method == "rate":
		seconds := r.Provenance.Duration().Seconds()
		return sum.Sum / seconds, seconds > 0
	case kind == Gauge && method == "value":
		return last, len(series) == 1
	case kind != Trend || sum.Count == 0:
		return 0, false
	}
	switch method {
	case "avg":
		return sum.Mean(), true
	case "min":
		return sum.Min, true
	case "max":
		return sum.Max, true
	case "count":
		return float64(sum.Count), true
	case "med":
		return h.Quantile(0.5), h.Count() == sum.Count
	}
	p, err := strconv.ParseFloat(percentile, 64)
	if percentile == "" || err != nil || math.IsNaN(p) || p < 0 || p > 100 {
		return 0, false
	}
	return h.Quantile(p / 100), h.Count() == sum.Count
}
