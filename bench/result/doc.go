// Package result holds what one run was and what came out of it: one versioned
// JSON record with provenance, the load that was offered, the client's
// measurements (histograms per metric and tag set, counters, time series), the
// sink's own counts and, for a run through a mail transfer agent, what was
// delivered. It also reconciles the two sides: every reply that the sink
// injected must have been observed by the client, except replies in flight.
//
// Records are data. This package compares no runs and draws nothing: see
// bench/compare, bench/plot and bench/report. Of this
// module it imports the vocabulary of counts alone, so that the k6 output extension, the sink's commands and the reports
// can all build on it.
//
// Nothing here is safe for concurrent mutation; a record that nobody changes
// may be read from several goroutines.
package result
