// Package compare takes two groups of run records, A and B, and says how they differ: findings, tables and series as values, which bench/report
// renders. It reads records and decides what is compared with what; the tests and intervals are bench/stat's.
//
// A run is the unit of evidence: each gives one value of a measure (a percentile of one phase and one outcome, a share of messages), and
// what varies from run to run is what a difference is held against. Nothing within a run can replace a second run; see Distribution
// for what one run can say of itself.
//
// Differences are B-A, ratios B/A. Nothing here prints, reads a clock or draws without a seed that the caller gave. A value is not for
// concurrent mutation.
package compare
