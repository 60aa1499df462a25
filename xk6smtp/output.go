package xk6smtp

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"go.k6.io/k6/v2/errext"
	"go.k6.io/k6/v2/metrics"
	"go.k6.io/k6/v2/output"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// OutputName is how the command line names the output: k6 run -o smtpstorm=FILE.
const OutputName = "smtpstorm"

// flushPeriod is how often samples are counted. It has nothing to do with the length of a window.
const flushPeriod = 250 * time.Millisecond

// recordOutput is a k6 output that writes one run record (package result): per metric and tag set a histogram or the sums, as a
// total and per window. It keeps no sample, so that a run may last for days.
type recordOutput struct {
	output.SampleBuffer

	params     output.Params
	logger     logrus.FieldLogger
	thresholds map[string]metrics.Thresholds
	started    time.Time
	counted    *seriesSet
	file       *recordFile
	flusher    *output.PeriodicFlusher
	root       *RootModule // of the process; nil if nobody can start sinks
	failed     error       // the first write that failed: nothing is written after it
}

var (
	_ output.WithThresholds        = (*recordOutput)(nil)
	_ output.WithStopWithTestError = (*recordOutput)(nil)
)

// NewOutput implements output.Constructor: a record says when the process ran a sink of this root.
func (r *RootModule) NewOutput(params output.Params) (output.Output, error) {
	o, err := NewOutput(params)
	if err != nil {
		return nil, err
	}
	o.(*recordOutput).root = r
	return o, nil
}

// NewOutput implements output.Constructor.
func NewOutput(params output.Params) (output.Output, error) {
	if params.ConfigArgument == "" {
		return nil, errors.New("output " + OutputName + " wants a file: -o " + OutputName + "=FILE")
	}
	return &recordOutput{
		params: params,
		logger: params.Logger.WithFields(logrus.Fields{"output": OutputName, "filename": params.ConfigArgument}),
	}, nil
}

// Description implements output.Output.
func (o *recordOutput) Description() string {
	return fmt.Sprintf("%s (%s)", OutputName, o.params.ConfigArgument)
}

// SetThresholds implements output.WithThresholds. k6 updates what the map points to; after the run it holds the verdicts.
func (o *recordOutput) SetThresholds(thresholds map[string]metrics.Thresholds) {
	o.thresholds = thresholds
}

// Start implements output.Output.
func (o *recordOutput) Start() error {
	o.started = time.Now()
	o.counted = newSeriesSet(o.started)
	file, err := createRecordFile(o.params.FS, o.params.ConfigArgument)
	if err != nil {
		return fmt.Errorf("output %s: %w", OutputName, err)
	}
	o.file = file
	o.flusher, err = output.NewPeriodicFlusher(flushPeriod, o.flush)
	return err
}

// flush counts the samples that came since the last time, and writes the windows that ended.
func (o *recordOutput) flush() {
	for _, container := range o.GetBufferedSamples() {
		for _, sample := range container.GetSamples() {
			if o.counted.closes(sample.Time) {
				o.write(o.counted.close(sample.Time))
			}
			o.counted.add(&sample)
		}
	}
}

func (o *recordOutput) write(window *result.Window) {
	if window == nil || o.failed != nil {
		return
	}
	if o.failed = o.file.Window(window); o.failed != nil {
		o.logger.WithError(o.failed).Error("Windows are no longer written")
	}
}

// inProcess says what sinks in this process told, and who stood between them and the clients.
func (o *recordOutput) inProcess(record *result.Record) {
	record.Note("sink: in-process: it shared CPU, garbage collection and descriptors with k6")
	record.Provenance.SinkMode = result.SinkInProcess
	record.Sink = result.NewSink(o.root.sinks.counts(), nil)
	inside, outside := o.root.sinks.spokeTo()
	if outside == "" {
		return
	}
	record.Provenance.MTA = &result.MTA{Name: outside}
	if inside > 0 {
		record.Warn("clients spoke to the sink within k6 and to %s: the replies of the two can't be told apart", outside)
	}
}

// Stop implements output.Output; k6 calls StopWithTestError instead.
func (o *recordOutput) Stop() error { return o.StopWithTestError(nil) }

// StopWithTestError implements output.WithStopWithTestError: it completes the record, after Ctrl-C as well.
func (o *recordOutput) StopWithTestError(testErr error) error {
	err := o.complete(testErr)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("output %s: %w", OutputName, err)
	if testErr == nil && o.root != nil { // k6 would end with status 0
		o.logger.WithError(err).Error("The record of the run is lost")
		o.root.recordLost.Store(true)
		if !o.root.events.told() {
			// The script imports none of our modules, so that nobody hears of k6's exit. Ending k6's main goroutine here leaves it to what k6
			// has deferred: the summary, and an exit with the status that it began with, which is that of an output that can't be started.
			runtime.Goexit()
		}
	}
	return err
}

// complete writes what is missing.
func (o *recordOutput) complete(testErr error) error {
	o.flusher.Stop()
	ended := time.Now()
	o.write(o.counted.close(ended))
	record := result.New("")
	record.Provenance = result.Collect(os.DirFS("/"), o.started, commandLine(os.Args))
	record.Provenance.Ended = ended
	record.Load = o.load()
	record.Client = &result.Client{Tool: "k6", Series: o.counted.series(), Process: process(ended.Sub(o.started))}
	for _, warning := range o.counted.warnings() {
		o.logger.Warn(smtp.Visible(warning))
		record.Warn("%s", warning)
	}
	if o.root != nil && o.root.sinks.everStarted() {
		o.inProcess(record)
	}
	if testErr != nil {
		record.Note("k6: %v", testErr)
		record.Load.Stopped = stoppedBy(testErr)
	}
	if o.failed != nil {
		return errors.Join(fmt.Errorf("the record is incomplete: %w", o.failed), o.file.abandon())
	}
	return o.file.finish(record)
}

// stoppedBy says why k6 ended the load early, by its error; empty: it did not, and only the thresholds were crossed when all was over.
func stoppedBy(testErr error) string {
	var aborted errext.HasAbortReason
	if errors.As(testErr, &aborted) && aborted.AbortReason() == errext.AbortedByThresholdsAfterTestEnd {
		return ""
	}
	first, _, _ := strings.Cut(testErr.Error(), "\n")
	return "k6 ended the test early: " + result.CutUserInfo(first)
}
