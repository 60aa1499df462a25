// Command benchk6 measures k6 with this project's extension, all metrics on, side by side with Postfix's smtp-source: the same messages over
// as many connections to the same server, in interleaved rounds. Try benchk6 --help.
//
// It reports CPU time per message and messages per second, without pipelining, with it, and with chunking as well (a message in one write), as ratios within a round, with their median and a
// distribution-free 95% interval (golang.org/x/perf/benchmath). Starting k6 is left out of both: of the CPU time by subtracting a run of
// one message per VU in the same round, of the rate since k6 tells how long the test itself ran. k6's summary at the end is counted. It
// also reports what an idle connection adds to k6's memory.
//
// Client and server share the machine, so that a rate is that of the pair. Linux only, on loopback only.
package main
