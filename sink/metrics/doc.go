// Package metrics counts what a sink did: every reply that was decided, what became of it, the work of each rule, the final
// result of every delivery attempt, how late delayed replies were, and the same over time.
//
// Its cardinality is fixed by the plan and the code, never by a client: nothing here is keyed by an address or a text. A Set has
// one Shard per loop; a shard's counters are written with plain atomic additions and merged only when somebody reads, so that
// counting stops nobody. A snapshot taken while traffic runs may therefore be apart by the events that are under way; taken when
// all connections have ended it is exact.
//
// Left out: sampling clocks (Series.Sample is told the time), output formats other than the JSON tags of its types, and what a
// client observed (bench/result).
package metrics
