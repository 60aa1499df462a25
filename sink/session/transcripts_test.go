package session_test

import (
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// TestTranscripts runs the golden transcripts under virtual time. The drivers run the same ones over real connections.
func TestTranscripts(t *testing.T) {
	scripts := sinktest.Scripts(t)
	if len(scripts) < 30 {
		t.Errorf("there are %d transcripts, want at least 30", len(scripts))
	}
	for _, s := range scripts {
		t.Run(s.Name, func(t *testing.T) {
			sinktest.Run(t, s, sinktest.NewSessionConn(s.Setup, &session.Env{Attempts: counters{}, Recorder: &recording{}}))
		})
	}
}

// TestSuiteTranscripts plays servers of Exim's and curl's test suites, as plans have them.
func TestSuiteTranscripts(t *testing.T) {
	scripts := sinktest.SuiteScripts(t)
	if len(scripts) < 40 {
		t.Errorf("there are %d transcripts, want at least 40", len(scripts))
	}
	for _, s := range scripts {
		t.Run(s.Name, func(t *testing.T) {
			sinktest.Run(t, s, sinktest.NewSessionConn(s.Setup, &session.Env{Attempts: counters{}, Recorder: &recording{}}))
		})
	}
}

// TestFaultTranscripts does the same for faults, TLS and AUTH.
func TestFaultTranscripts(t *testing.T) {
	scripts := sinktest.FaultScripts(t)
	if len(scripts) < 60 {
		t.Errorf("there are %d transcripts, want at least 60", len(scripts))
	}
	for _, s := range scripts {
		t.Run(s.Name, func(t *testing.T) {
			p := sinktest.NewSessionConn(s.Setup, &session.Env{Attempts: counters{}, Recorder: &recording{}})
			sinktest.Run(t, s, p)
			if p.Closed() && !p.Session.AtRest() {
				t.Error("the session has ended and still owns something")
			}
		})
	}
}
