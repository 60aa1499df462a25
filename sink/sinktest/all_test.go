package sinktest

import "testing"

func TestTranscripts(t *testing.T) {
	for _, s := range Scripts(t) {
		t.Run(s.Name, func(t *testing.T) { Run(t, s, NewSessionPeer(s.Setup, nil)) })
	}
}
