//go:build !linux

package sink

const haveEpoll = false

// newDriver returns the driver that the server runs on.
func (s *Server) newDriver() (driver, error) { return newNetDriver(s), nil }
