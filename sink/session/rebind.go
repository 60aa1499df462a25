package session

// Rebind gives the session another Env: that of a driver, or of a goroutine, that takes its connection over. What it leads to must be
// the same but for the Recorder. Call it between two calls of other methods.
func (s *Session) Rebind(env *Env) { s.env = env }
