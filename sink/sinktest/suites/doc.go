// Package suites has tests that write the scripted servers of other projects' test suites down as plans, and compare what a session with such a
// plan says, octet by octet. docs/suites.md has the counts.
package suites
