//go:build race

package client

// raceEnabled says that pools lose objects on purpose, so that allocations can't be counted.
const raceEnabled = true
