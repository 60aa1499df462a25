//go:build race

package session_test

// raceDetector says that sync.Pool drops things at random, to find races: counting allocations then means nothing.
const raceDetector = true
