//go:build !race

package sink_test

// raceDetector says whether the race detector runs, which needs time and memory of its own.
const raceDetector = false
