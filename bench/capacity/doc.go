// Package capacity finds the highest rate of messages at which the quality of service holds: it says which rate to try next, and what the
// answers come to.
//
// Who carries out a trial, and with which load, is its caller's business (bench/run). It reads no clock, starts nothing and prints nothing.
package capacity
