package session_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// clients plays a script of several connections against one plan under virtual time. A line is a time since the start, the name of a
// connection, what it says, and the codes that come: "1m a RCPT TO:<b@s.example> -> 250". It connects by its address, and "gone" ends it.
func clients(t *testing.T, plan, script string) *state.Limits {
	t.Helper()
	limits := state.NewLimits(nil)
	setup := planned(t, plan)
	env := &session.Env{Limits: limits}
	peers := map[string]*sinktest.SessionConn{}
	var n uint64
	for line := range strings.Lines(script) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		said, want, _ := strings.Cut(line+" ", " -> ")
		want = strings.TrimSpace(want)
		words := strings.SplitN(said, " ", 3)
		after, err := time.ParseDuration(words[0])
		if err != nil {
			t.Fatal(err)
		}
		now := sinktest.Epoch.Add(after)
		got := ""
		if client, err := netip.ParseAddr(words[2]); err == nil {
			n++
			peers[words[1]] = sinktest.NewSessionConnFrom(setup, env, session.ConnInfo{ID: n, N: n, Listener: "test", Client: netip.AddrPortFrom(client, 50000)}, now)
			got = codes(t, peers[words[1]])
		} else if p := peers[words[1]]; words[2] == "gone" {
			p.Session.Closed(now, errors.New("gone"))
		} else {
			p.Now = now
			got = say(t, p, words[2])
		}
		if got != want {
			t.Errorf("%s: got %q", line, got)
		}
	}
	for _, p := range peers {
		p.Session.Closed(p.Now, errors.New("gone"))
	}
	if open := limits.Stats().Open; open != 0 {
		t.Errorf("%d places are taken after all have gone", open)
	}
	return limits
}

func TestScopesOfLimits(t *testing.T) {
	for _, c := range []struct{ name, plan, script string }{
		{"a quota of each sender and client, from the first use", "limits: [{name: q, kind: quota, scope: [sender, client], stage: mail, max: 1, per: 1d, reply: 452/4.7.1}]", `
			0s a 192.0.2.1 -> 220
			0s a HELO c -> 250
			1h a MAIL FROM:<x@c.example> -> 250
			1h a RSET -> 250
			2h a MAIL FROM:<x@C.EXAMPLE> -> 452
			2h a MAIL FROM:<X@c.example> -> 250
			2h a RSET -> 250
			2h a MAIL FROM:<> -> 250
			2h a RSET -> 250
			2h a MAIL FROM:<> -> 452
			24h b ::ffff:192.0.2.1 -> 220
			24h b HELO c -> 250
			24h59m b MAIL FROM:<x@c.example> -> 452
			25h b MAIL FROM:<x@c.example> -> 250
			25h c 192.0.2.2 -> 220
			25h c HELO c -> 250
			25h c MAIL FROM:<x@c.example> -> 250`},
		{"a quota by the clock", "limits: [{name: q, kind: quota, scope: recipient-domain, max: 2, per: 1h, from: clock}]", `
			50m a 192.0.2.1 -> 220
			50m a HELO c -> 250
			50m a MAIL FROM:<x@c.example> -> 250
			51m a RCPT TO:<1@s.example> -> 250
			52m a RCPT TO:<2@s.example> -> 250
			53m a RCPT TO:<3@s.example> -> 451
			53m a RCPT TO:<3@S.example> -> 451
			53m a RCPT TO:<3@other.example> -> 250
			59m59s a RCPT TO:<3@s.example> -> 451
			60m a RCPT TO:<3@s.example> -> 250
			60m a RCPT TO:<4@s.example> -> 250
			119m59s a RCPT TO:<5@s.example> -> 451
			120m a RCPT TO:<5@s.example> -> 250`},
		{"what another limit refuses is not counted", `limits:
			- {name: q, kind: quota, scope: client, max: 2, per: 1h}
			- {name: one at once, kind: rate, scope: recipient, rate: 1/d, burst: 1, reply: 450}`, `
			0s a 192.0.2.1 -> 220
			0s a HELO c -> 250
			0s a MAIL FROM:<x@c.example> -> 250
			0s a RCPT TO:<1@s.example> -> 250
			0s a RCPT TO:<1@s.example> -> 450
			0s a RCPT TO:<1@s.example> -> 450
			0s a RCPT TO:<2@s.example> -> 250
			0s a RCPT TO:<3@s.example> -> 451
			59m a RCPT TO:<3@s.example> -> 451
			60m a RCPT TO:<3@s.example> -> 250`},
		{"a quota of a connection, and of a sender on it", `limits:
			- {name: each, kind: quota, scope: [connection, sender], stage: mail, max: 1, per: 1h, reply: 450}
			- {name: all, kind: quota, scope: connection, stage: mail, max: 2, per: 1h, reply: 421}`, `
			0s a 192.0.2.1 -> 220
			0s a HELO c -> 250
			0s a MAIL FROM:<x@c.example> -> 250
			0s a RSET -> 250
			0s a MAIL FROM:<x@c.example> -> 450
			0s a MAIL FROM:<y@c.example> -> 250
			0s a RSET -> 250
			0s a MAIL FROM:<z@c.example> -> 421
			0s b 192.0.2.1 -> 220
			0s b HELO c -> 250
			0s b MAIL FROM:<x@c.example> -> 250`},
		{"a rate of a network", "limits: [{name: r, kind: rate, scope: network/16/48, stage: connect, rate: 1/h}]", `
			0s a 192.0.2.1 -> 220
			0s b 192.0.99.1 -> 421
			0s c 192.1.2.1 -> 220
			0s d 2001:db8:0:1::1 -> 220
			0s e 2001:db8:0:ffff::1 -> 421
			0s f 2001:db8:1::1 -> 220
			60m g 192.0.98.1 -> 220`},
		{"a rate of a HELO", "limits: [{name: r, kind: rate, scope: helo, rate: 1/m}]", `
			0s a 192.0.2.1 -> 220
			0s a HELO one.example -> 250
			0s a MAIL FROM:<> -> 250
			0s a RCPT TO:<1@s.example> -> 250
			0s b 192.0.2.2 -> 220
			0s b HELO ONE.example -> 250
			0s b MAIL FROM:<> -> 250
			0s b RCPT TO:<1@s.example> -> 451
			0s b HELO two.example -> 250
			0s b MAIL FROM:<> -> 250
			0s b RCPT TO:<1@s.example> -> 250`},
		{"transactions of a sender domain at once", "limits: [{name: c, kind: concurrency, scope: sender-domain, max: 1}]", `
			0s a 192.0.2.1 -> 220
			0s a HELO c -> 250
			0s b 192.0.2.2 -> 220
			0s b HELO c -> 250
			0s a MAIL FROM:<x@c.example> -> 250
			0s b MAIL FROM:<y@C.example> -> 421
			0s c 192.0.2.2 -> 220
			0s c HELO c -> 250
			0s c MAIL FROM:<> -> 250
			0s a RSET -> 250
			0s d 192.0.2.2 -> 220
			0s d HELO c -> 250
			0s d MAIL FROM:<y@c.example> -> 250
			0s d gone ->
			0s a MAIL FROM:<x@c.example> -> 250`},
		{"a MAIL that a rule refuses gives its place back", `limits: [{name: c, kind: concurrency, scope: sender, max: 1, reply: 450}]
rules: [{stage: mail, match: {helo: bad.example}, reply: 550}]`, `
			0s a 192.0.2.1 -> 220
			0s a HELO bad.example -> 250
			0s a MAIL FROM:<x@c.example> -> 550
			0s b 192.0.2.2 -> 220
			0s b HELO good.example -> 250
			0s b MAIL FROM:<x@c.example> -> 250
			0s a MAIL FROM:<x@c.example> -> 450`},
		{"transactions to a recipient domain at once: one takes one place for all its recipients there", `limits:
			- {name: c, kind: concurrency, scope: recipient-domain, max: 1, reply: 450}
			- {name: few, kind: recipients, max: 2}`, `
			0s a 192.0.2.1 -> 220
			0s a HELO c -> 250
			0s a MAIL FROM:<x@c.example> -> 250
			0s a RCPT TO:<1@s.example> -> 250
			0s a RCPT TO:<2@s.example> -> 250
			0s a RCPT TO:<3@s.example> -> 452
			0s a RCPT TO:<3@other.example> -> 452
			0s b 192.0.2.2 -> 220
			0s b HELO c -> 250
			0s b MAIL FROM:<y@c.example> -> 250
			0s b RCPT TO:<1@s.example> -> 450
			0s b RCPT TO:<1@other.example> -> 250
			0s a DATA -> 354
			0s b RCPT TO:<1@s.example> -> 450
			0s a . -> 250
			0s b RCPT TO:<1@s.example> -> 250`},
		{"a greylist of what the scope says", "limits: [{name: g, kind: greylist, scope: [client, sender-domain], delay: 5m, window: 1h}]", `
			0s a 192.0.2.1 -> 220
			0s a HELO c -> 250
			0s a MAIL FROM:<x@c.example> -> 250
			0s a RCPT TO:<1@s.example> -> 451
			4m a RCPT TO:<1@s.example> -> 451
			5m a RCPT TO:<2@s.example> -> 250
			5m b 192.0.2.2 -> 220
			5m b HELO c -> 250
			5m b MAIL FROM:<x@c.example> -> 250
			5m b RCPT TO:<1@s.example> -> 451`},
		{"a rule for all but some", `rules:
			- {stage: rcpt, match: {recipient: "*@s.example"}, except: [{sender: "<>"}, {recipient: "postmaster@s.example", helo: c}], reply: 550}
			- {stage: message, except: {recipient: "*@other.example"}, reply: 451}`, `
			0s a 192.0.2.1 -> 220
			0s a HELO c -> 250
			0s a MAIL FROM:<x@c.example> -> 250
			0s a RCPT TO:<1@s.example> -> 550
			0s a RCPT TO:<1@other.example> -> 250
			0s a RCPT TO:<postmaster@S.example> -> 250
			0s a DATA -> 354
			0s a . -> 250
			0s a MAIL FROM:<> -> 250
			0s a RCPT TO:<1@s.example> -> 250
			0s a DATA -> 354
			0s a . -> 451
			0s a HELO d -> 250
			0s a MAIL FROM:<x@c.example> -> 250
			0s a RCPT TO:<postmaster@s.example> -> 550`},
		{"bounces by their local part", `rules:
			- {stage: rcpt, match: {recipient: "bounce+*@"}, reply: 450}
			- {stage: mail, match: {sender: "*-owner@*.c.example"}, reply: 550}`, `
			0s a 192.0.2.1 -> 220
			0s a HELO c -> 250
			0s a MAIL FROM:<list-owner@mail.c.example> -> 550
			0s a MAIL FROM:<list-owner@c.example> -> 250
			0s a RCPT TO:<bounce+1=x@s.example> -> 450
			0s a RCPT TO:<bounce+2@other.example> -> 450
			0s a RCPT TO:<Bounce+2@other.example> -> 250
			0s a RCPT TO:<bounce@s.example> -> 250`},
		{"size as declared, and as counted", `rules:
			- {stage: mail, match: {size: 1MiB-}, reply: 552}
			- {stage: rcpt, match: {size: 1000-}, reply: 452}
			- {stage: data, match: {size: 500-}, reply: 451}
			- {stage: message, match: {size: 0-10}, reply: 554}`, `
			0s a 192.0.2.1 -> 220
			0s a EHLO c -> 250
			0s a MAIL FROM:<x@c.example> SIZE=1048576 -> 552
			0s a MAIL FROM:<x@c.example> SIZE=1048575 -> 250
			0s a RCPT TO:<1@s.example> -> 452
			0s a RSET -> 250
			0s a MAIL FROM:<x@c.example> SIZE=999 -> 250
			0s a RCPT TO:<1@s.example> -> 250
			0s a DATA -> 451
			0s a RSET -> 250
			0s a MAIL FROM:<x@c.example> -> 250
			0s a RCPT TO:<1@s.example> -> 250
			0s a DATA -> 354
			0s a 12345678 ->
			0s a . -> 554
			0s a MAIL FROM:<x@c.example> SIZE=10 -> 250
			0s a RCPT TO:<1@s.example> -> 250
			0s a DATA -> 354
			0s a 123456789 ->
			0s a . -> 250`},
		{"loops by the number of Received fields, and a missing one", `rules:
			- {stage: message, match: {repeats: {received: 3-}}, reply: 554}
			- {stage: message, match: {repeats: {date: 0}}, reply: 550}`, `
			0s a 192.0.2.1 -> 220
			0s a HELO c -> 250
			0s a MAIL FROM:<> -> 250
			0s a RCPT TO:<1@s.example> -> 250
			0s a DATA -> 354
			0s a Received: 1 ->
			0s a RECEIVED: 2 ->
			0s a Date: today ->
			0s a  ->
			0s a Received: in the body ->
			0s a . -> 250
			0s a MAIL FROM:<> -> 250
			0s a RCPT TO:<1@s.example> -> 250
			0s a DATA -> 354
			0s a Received: 1 ->
			0s a Received: 2 ->
			0s a Date: today ->
			0s a Received: 3 ->
			0s a . -> 554
			0s a MAIL FROM:<> -> 250
			0s a RCPT TO:<1@s.example> -> 250
			0s a DATA -> 354
			0s a Subject: no date ->
			0s a . -> 550`},
		{"closed at night, by a zone", `rules: [{stage: mail, except: {time: 08:00-18:00 America/New_York}, reply: 450}]`, `
			0s a 192.0.2.1 -> 220
			0s a HELO c -> 250
			12h59m59s a MAIL FROM:<> -> 450
			13h a MAIL FROM:<> -> 250
			22h59m a RSET -> 250
			22h59m a MAIL FROM:<> -> 250
			23h a RSET -> 250
			23h a MAIL FROM:<> -> 450`},
	} {
		t.Run(c.name, func(t *testing.T) { clients(t, strings.ReplaceAll(c.plan, "\t", " "), c.script) })
	}
}

// A client that names ever more senders costs the sink no more memory than its store has, and what was forgotten is counted.
func TestQuotasAreBounded(t *testing.T) {
	limits := state.NewLimits(state.NewStore(64 * state.EntryOctets))
	setup := planned(t, "limits: [{name: q, kind: quota, scope: [connection, sender], stage: mail, max: 1, per: 1d, reply: 450}]")
	p := sinktest.NewSessionConn(setup, &session.Env{Limits: limits})
	say(t, p, "HELO c")
	for i := range 1000 {
		if got := say(t, p, fmt.Sprintf("MAIL FROM:<%d@c.example>", i), "RSET"); got != "250 250" {
			t.Fatalf("sender %d got %s", i, got)
		}
	}
	if s := limits.Stats(); s.Quotas > 64 || s.Evictions != 1000-s.Quotas {
		t.Errorf("1,000 senders in a store for 64: %+v", s)
	}
}

// The version of TLS is known once the handshake is done.
func TestMatchTLSVersion(t *testing.T) {
	const text = "rules: [{stage: ehlo, match: {tls: 1.0-1.1}, reply: 550}, {stage: mail, match: {tls: 1.3}, reply: 450}, {stage: mail, match: {tls: true}, reply: 451}]"
	for version, want := range map[fault.TLSVersion]string{0: "250 250", fault.TLS10: "550 503", fault.TLS11: "550 503", fault.TLS12: "250 451", fault.TLS13: "250 450"} {
		p := sinktest.NewSessionConn(planned(t, text, "--tls", "starttls"), nil)
		say(t, p, "EHLO c")
		if version != 0 {
			p.TLSVersion = version
			say(t, p, "STARTTLS")
			if err := p.StartTLS(fault.TLSNone); err != nil {
				t.Fatal(err)
			}
		}
		if got := say(t, p, "EHLO c", "MAIL FROM:<>"); got != want {
			t.Errorf("TLS %v: got %s, want %s", version, got, want)
		}
	}
}
