package suites

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// try writes the dialogue down as a plan, plays the client against a session with that plan, and compares the octets. The error says what a
// plan can't say.
func try(d *dialogue) (*fault.Plan, error) {
	spec, err := planOf(d)
	if err != nil {
		return nil, err
	}
	p, err := fault.NewPlan(spec)
	if err != nil {
		return nil, fmt.Errorf("the plan is refused: %w", err)
	}
	return p, playAll(d, p)
}

// playAll plays the client of a dialogue against a plan.
func playAll(d *dialogue, p *fault.Plan) error {
	setup := sinktest.Setup{Plan: p}
	setup.Config.LMTP, setup.Config.Hostname = d.lmtp, "sink.example"
	for n, steps := range d.conns {
		conn := session.ConnInfo{ID: uint64(n + 1), N: uint64(n + 1), Listener: "test", Client: netip.MustParseAddrPort("192.0.2.1:50000")}
		if err := play(sinktest.NewSessionConnFrom(setup, nil, conn, sinktest.Epoch), steps); err != nil {
			return fmt.Errorf("connection %d: %w", n+1, err)
		}
	}
	return nil
}

// play plays the client of a connection: what is heard in one go is sent in one go.
func play(p *sinktest.SessionConn, steps []step) error {
	var send, want []byte
	var silence time.Duration
	flush := func() error {
		if len(send) > 0 {
			if err := p.Send(send); err != nil {
				return err
			}
		}
		got := p.Output()
		for end := p.Now.Add(silence); p.Now.Before(end); {
			next := end
			if due := p.Session.Deadline(); due.After(p.Now) && due.Before(end) {
				next = due
			}
			if err := p.Pass(next.Sub(p.Now)); err != nil {
				return err
			}
			got = append(got, p.Output()...)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("to %.60q says %q, want %q", send, got, want)
		}
		send, want, silence = nil, nil, 0
		return p.Err()
	}
	left, waits := false, false
	for i, s := range steps {
		switch s.kind {
		case hear, body, chunk:
			if len(want) > 0 {
				if err := flush(); err != nil {
					return err
				}
			}
			waits = false
			switch s.kind {
			case hear:
				send = append(append(send, s.line...), "\r\n"...)
			case body:
				send = append(send, "Subject: x\r\n\r\nx\r\n.\r\n"...)
			default:
				send = append(send, s.octets...)
			}
		case wait:
			if i+1 < len(steps) && steps[i+1].kind == say {
				silence += s.wait
			}
			waits = waits || len(want) > 0
		case say:
			want = append(want, s.octets...)
		case leave:
			left = true
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if left {
		return p.CloseWrite()
	}
	if !p.Closed() && !waits {
		return fmt.Errorf("doesn't close")
	}
	return nil
}
