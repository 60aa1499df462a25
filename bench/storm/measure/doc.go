// Package measure makes figures of a bounce storm from what was seen: what was submitted, the attempts and deliveries at the sink, its
// connections, samples of the queue. It is pure: values in, figures out, no clock, no file.
//
// It judges nothing: fates come from package reconcile. A figure that was not measured is nil or absent, never 0.
package measure
