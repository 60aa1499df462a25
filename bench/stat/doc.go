// Package stat has the statistics of the bench: numbers in, numbers out. It knows no record (bench/compare does) and draws no conclusion.
// Random numbers come from a seed that the caller passes. Distributions and tests are gonum's where it has them.
package stat
