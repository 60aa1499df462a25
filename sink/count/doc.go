// Package count is the one vocabulary of what a sink counts: replies by listener, phase, stage, code, cause and fault, each with how many
// were planned, decided, sent and perhaps unread; what each rule has drawn; the final results of attempts; what the driver, the shared state
// and the ledger have done; and what the sink finds of itself.
//
// The shards of sink/metrics are merged into it, smtpsink prints it, a run record holds it as it is, the samples of a sink within k6 and all
// reports are made from it. Merging, the difference of two points in time, the JSON form and its older version are methods of Counts.
//
// Left out: counting while a sink runs (sink/metrics), what clients observed (bench/result), and rendering. Nothing here is safe for
// concurrent mutation.
package count
