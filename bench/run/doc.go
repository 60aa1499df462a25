// Package run is the main job: it starts the sink in its own process, drives it with the k6 binary once in calm and once in a
// storm, optionally drives a real mail transfer agent whose next hop is the sink, and joins what was planned, injected and
// observed into one record per leg (bench/result).
//
// A leg's k6 results come in only through the output extension's record; the sink's come from its own counters after it was
// shut down, and so both are exact. Traffic goes to loopback addresses unless the caller says that the target is its own.
//
// It leaves out how k6 is run (bench/k6), what stands between it and the sink, the evidence and its judge (bench/pipeline), the directory of the
// results (bench/outdir), the statistics and their rendering (bench/stat, bench/plot, bench/report), the agents (bench/mta), and flags
// (bench/cmd).
package run
