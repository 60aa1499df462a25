// Package metrics counts what a sink did: every reply that was decided, what became of it, the work of each rule, the final
// result of every delivery attempt, how late delayed replies were, and the same over time.
//
// Its cardinality is bounded by constants of this package, whatever plans and clients make up: what is beyond is counted together, by
// count.Other, and how much that was is counted, too. A Set has one Shard per loop; a shard's counters are written with plain atomic additions
// and merged only when somebody reads, so that counting stops nobody. A snapshot taken while traffic runs may therefore be apart by the events that are under way; taken when
// all connections have ended it is exact.
//
// Left out: sampling clocks (Series.Sample is told the time), output formats other than the JSON tags of its types, and what a
// client observed (bench/result).
package metrics
