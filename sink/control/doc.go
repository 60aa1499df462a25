// Package control is a sink's control API over HTTP: whoever tests asks a running sink for another plan, moves its storm, makes the next
// mail fail, and reads counts, events, messages and the ledger.
//
//	tail := sink.NewTail(0)
//	server, err := sink.New(sink.Config{Observer: tail, ...})
//	api, err := control.New(control.Config{Sink: server, Tail: tail})
//	go api.Serve(listener)
//	defer api.Close()
//
// The API's data are those of package api. A request passes, in this order: the
// check of its host (guard.go), of its origin, the table of routes (routes.go), the right of its token (token.go), the media type and
// the size of its body (body.go), and then its handler, one file a subject.
//
// The package does not listen: who embeds it opens the listeners, and wraps them for TLS. Without tokens everybody who can connect may
// do everything: so it belongs on loopback or on a unix socket then.
package control
