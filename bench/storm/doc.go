// Package storm puts a mail transfer agent through a bounce storm: fill its queue, let its next hop fail, recover, drain, judge. It
// starts a private instance of the MTA and a sink in this process, submits messages as an open loop, watches the queue, and gives what it
// saw to package reconcile, which judges it, and to bench/storm/measure, which makes figures of it.
//
// It leaves out how an MTA is run (bench/mta), how a queue is watched (bench/pipeline), and the load of k6 (bench/run).
package storm
