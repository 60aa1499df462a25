// Package testkit is what the tests of several packages share: the module's programs, built once for all of them, and one way to wait for
// what another process does.
package testkit
