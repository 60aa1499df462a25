// Package mtatest is what every adapter of package mta has to pass: an agent delivers, retries, bounces, lists its queue, keeps it over
// a restart and over kill -9, logs what the sink saw, tells what it uses, and leaves nothing behind. It judges by what a sink behind the
// agent received, never by what the agent says alone.
//
// It leaves out how fast an agent is, and how it behaves in a storm: that is what benchmarks measure.
package mtatest
