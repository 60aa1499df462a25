//go:build linux && race

package reactor

// raceEnabled: the race detector allocates, and makes pools forget.
const raceEnabled = true
