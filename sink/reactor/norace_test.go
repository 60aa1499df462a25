//go:build linux && !race

package reactor

const raceEnabled = false
