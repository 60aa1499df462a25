package xk6smtp

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"path/filepath"
	"slices"

	"go.k6.io/k6/v2/lib"
	"go.k6.io/k6/v2/lib/executor"
	"go.k6.io/k6/v2/lib/fsext"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// load describes the work that the script asked for, and how much of it was done.
func (o *recordOutput) load() result.Load {
	l := result.Load{
		VUs:                int(lib.GetMaxPossibleVUs(o.params.ExecutionPlan)), // #nosec G115 -- k6 keeps numbers of VUs in int64, and memory bounds them
		IterationsComplete: uint64(o.counted.sum("iterations")),
		IterationsDropped:  uint64(o.counted.sum("dropped_iterations")),
		Thresholds:         o.verdicts(),
	}
	if segment := o.params.ScriptOptions.ExecutionSegment; segment != nil {
		l.Segments = []string{segment.String()}
	}
	if script := o.params.ScriptPath; script != nil {
		l.Script = path.Base(script.Path)
		if text, err := fsext.ReadFile(o.params.FS, script.Path); err == nil {
			sum := sha256.Sum256(text)
			l.ScriptSHA256 = hex.EncodeToString(sum[:])
		}
	}
	// Several scenarios have no common executor, rate and duration.
	if len(o.params.ScriptOptions.Scenarios) != 1 {
		return l
	}
	for name, config := range o.params.ScriptOptions.Scenarios {
		l.Scenario, l.Executor = name, config.GetType()
		if c, ok := config.(*executor.ConstantArrivalRateConfig); ok && c.TimeUnit.TimeDuration() > 0 {
			l.RatePerSecond = float64(c.Rate.Int64) / c.TimeUnit.TimeDuration().Seconds()
			l.DurationSeconds = c.Duration.TimeDuration().Seconds()
			l.IterationsPlanned = uint64(l.RatePerSecond * l.DurationSeconds)
		}
	}
	return l
}

// verdicts lists the script's thresholds with what k6 found at the end; none when k6 did not look.
func (o *recordOutput) verdicts() []result.Threshold {
	if o.params.RuntimeOptions.NoThresholds.Bool {
		return nil
	}
	var list []result.Threshold
	for metric, thresholds := range o.thresholds {
		for _, t := range thresholds.Thresholds {
			list = append(list, result.Threshold{Metric: metric, Expression: t.Source, OK: !t.LastFailed})
		}
	}
	slices.SortStableFunc(list, func(a, b result.Threshold) int {
		return slices.Compare([]string{a.Metric, a.Expression}, []string{b.Metric, b.Expression})
	})
	return list
}

// commandLine is how k6 was called, without the directory of its binary and without secrets.
func commandLine(args []string) []string {
	line := result.PublicCommandLine(args)
	if len(line) > 0 {
		line[0] = filepath.Base(line[0])
	}
	return line
}
