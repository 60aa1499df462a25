//go:build race

package reactor

// raceEnabled: the race detector allocates, and makes pools forget.
const raceEnabled = true
