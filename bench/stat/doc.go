// Package stat says how far the figures of run records can be trusted: intervals
// for percentiles and their differences, goodness of fit of drawn reply codes,
// bounds of proportions, and the warnings a reader must see.
//
// It draws no conclusion about which of two systems is faster: with one run a
// side every interval here is "within-run" and covers what varied inside the
// runs, not what would vary between runs. Everything is computed from the
// records alone; the random numbers of the bootstrap come from a seed that the
// caller passes. Distributions and tests are gonum's.
package stat
