// Package stat has the statistics of the bench: numbers in, numbers out. It knows no record (bench/compare does) and draws no conclusion
// about one system or the other.
//
//   - Two sets of runs: MannWhitney, SignedRank, Holm, LeastP, MinRuns, Detectable; ShiftFunction; CompareShares.
//   - Times of which some never came: Sample, Later.
//   - One run: CutBlocks, OrderStatistics, MinSamples, Wilson, ProportionDifference.
//   - Runs in an order: Trend, EDivisive.
//   - What became of messages that waited: AalenJohansen.
//
// Tests are exact, by all relabellings of whole runs, or say that they aren't. Random numbers come from a seed that the caller passes. Sides are A
// and B, in this order; every difference is B-A. Distributions are gonum's where it has them. docs/statistics.md says why each was chosen and when it
// refuses to answer; the files in testdata are R's answers.
package stat
