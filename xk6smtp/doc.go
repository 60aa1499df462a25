// Package xk6smtp is the k6 extension: the JavaScript module k6/x/smtp with its Client and Message and their metrics, the module
// k6/x/smtp/sink, which runs the project's sink within k6, and the output smtpstorm, which writes a run record.
//
// The module is asynchronous only. A call prepares its work on the event loop, where the JavaScript runtime, the VU's context
// and its tags may be touched; it runs on the client's own goroutine, one call after the other; and it settles its promise on
// the event loop again. Samples are pushed while that promise is pending, never later: k6 has closed its channel by then.
//
// Sinks are shared by all VUs through the module root, since setup, VUs and teardown are JavaScript runtimes of their own: only plain
// data crosses between them, and a sink is found again by its id.
//
// What is sent is claimed: in a file, if the environment wants one, and to the judge of each sink of the process. Package reconcile alone
// says what became of a message.
//
// The dialogue itself, with its clocks, is package client's. What is kept between a run and the next command, and compared, is
// package result's.
package xk6smtp
