// Package report renders run records for people: a text table in benchstat's
// manner, one HTML page that opens offline, and a JSON summary of the same
// figures. It computes nothing that bench/stat and bench/result don't, and
// names no winner: with one run a side, differences are labelled "within-run".
package report
