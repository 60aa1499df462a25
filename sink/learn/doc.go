// Package learn makes a plan of what an MTA's log tells about those it sends to: per destination the share of each reply at each stage, how the
// shares change with the attempt and with time, and how late the replies are. It keeps no address: of a sender and a recipient there is one
// number, which no output has.
//
// It leaves out reading logs (package mtalog) and running the plan. It draws nothing and reads no clock.
package learn
