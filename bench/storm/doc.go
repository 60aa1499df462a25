// Package storm puts a mail transfer agent through a bounce storm: fill its queue, let its next hop fail, recover, drain, judge. It
// starts a private instance of the MTA and a sink in this process, submits messages as an open loop, watches the queue, and gives what it
// saw to package reconcile, which judges it, and to bench/storm/measure, which makes figures of it.
package storm
