// Package prometheus shows the counts of a sink to a Prometheus, in the text and protobuf formats that it asks for. Nothing is
// counted for it: a scrape reads what package count has. No label holds what a client made up, and there is a bound on all of them.
//
// It leaves out who may scrape, and where (package control).
package prometheus
