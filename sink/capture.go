package sink

import (
	"fmt"

	"github.com/smtpstorm/xk6-smtp/sink/capture"
)

// CaptureConfig says whether the messages that come are kept, for those who want to see what was in them: each one whose body came to its
// end, whatever it was answered, with its envelope and its replies. The last ones are kept. Replies never wait for that.
type CaptureConfig struct {
	Memory bool   // keep them in memory
	Dir    string // or in this directory, as files; made when it isn't there, gone on with when it is
	Octets int64  // how much they may take; 0 means capture.DefaultOctets
	Count  int    // how many; 0 means capture.DefaultCount

	// Failing, if not nil, is told when writing files begins to fail, on another goroutine.
	Failing func(error)
}

func (c *CaptureConfig) wanted() bool { return c.Memory || c.Dir != "" }

// openCaptured opens the store of messages, if one is wanted. s.mu is held.
func (s *Server) openCaptured() (err error) {
	c := &s.cfg.Capture
	if !c.wanted() {
		return nil
	}
	s.captured, err = capture.Open(capture.Config{Dir: c.Dir, Octets: c.Octets, Count: c.Count, Run: s.run, Failing: c.Failing})
	if err != nil {
		return fmt.Errorf("captured messages: %w", err)
	}
	return nil
}

// Captured returns the messages that were captured; nil when none are, and before Start. It is usable after the server's end.
func (s *Server) Captured() *capture.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.captured
}
