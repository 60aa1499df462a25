package sink_test

import (
	"net"
	"slices"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// The golden transcripts of the session hold over real sockets, whatever drives them. Scripts that let time pass are for virtual
// time: on a busy machine a client can't tell that a reply came too early.
func TestTranscripts(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		played := 0
		for _, script := range sinktest.Scripts(t) {
			if slices.ContainsFunc(script.Steps, func(step sinktest.Step) bool { return step.Kind == sinktest.StepTime }) {
				continue
			}
			played++
			t.Run(script.Name, func(t *testing.T) {
				server := sinktest.Start(t, sinktest.WithDriver(kind), sinktest.With(func(cfg *sink.Config) {
					c := script.Setup.Config
					cfg.Plan, cfg.Hostname, cfg.BareLF = script.Setup.Plan, c.Hostname, c.BareLF
					cfg.MaxSize, cfg.MaxRecipients, cfg.MaxDiscard, cfg.IdleTimeout = c.MaxSize, c.MaxRecipients, c.MaxDiscard, c.IdleTimeout
					cfg.Listeners = []sink.Listener{{Address: "127.0.0.1:0", LMTP: c.LMTP}}
				}))
				conn, err := net.DialTimeout("tcp", server.Addr("").String(), patience)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				sinktest.Run(t, script, sinktest.NewNetConn(conn, patience))
			})
		}
		if played == 0 {
			t.Error("no script was played")
		}
	})
}
