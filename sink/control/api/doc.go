// Package api is the wire format of a sink's control API, version 1. It is data only. Within version 1 members are only added: a reader
// ignores those that it doesn't know.
package api
