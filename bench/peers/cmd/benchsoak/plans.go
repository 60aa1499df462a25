package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// parts are what plans are made of: rules that hold for a while. %d is a number of the plan, so that names are new ones.
var parts = []string{
	"  - {name: busy %d, stage: mail, outcomes: [{weight: 9}, {weight: 1, reply: 451}, {weight: 0.3, reply: 421}, {weight: 0.2, reply: 550}]}",
	"  - {name: boxes %d, stage: rcpt, outcomes: [{weight: 8}, {weight: 2, reply: 450/4.2.1, delay: 'uniform(1ms,9ms)'}, {weight: 1, reply: 550/5.1.1}, {weight: 0.5, reply: 552}]}",
	"  - {name: filters %d, stage: message, outcomes: [{weight: 8, delay: 'lognormal(3ms,0.8)'}, {weight: 1, reply: 452}, {weight: 0.5, reply: 554/5.6.0}, {weight: 0.2, reply: 421}]}",
	"  - {name: turned away %d, stage: connect, outcomes: [{weight: 9}, {weight: 1, reply: 421}, {weight: 0.5, reply: 554}, {weight: 0.5, close: rst}]}",
	"  - {name: lost replies %d, stage: message, outcomes: [{weight: 9}, {weight: 1, close: fin, delivery: keep}, {weight: 1, close: rst, delivery: keep}, {weight: 0.5, close: fin, delivery: discard}]}",
	"  - {name: broken replies %d, stage: message, outcomes: [{weight: 9}, {weight: 0.5, malformed: bad-code}, {weight: 0.5, malformed: no-code}, {weight: 0.5, malformed: missing-crlf}, {weight: 0.5, malformed: over-long}]}",
	"  - {name: broken earlier %d, stage: rcpt, outcomes: [{weight: 19}, {weight: 0.5, malformed: bad-code}, {weight: 0.5, close: half}]}",
	"  - {name: in pieces %d, stage: message, outcomes: [{weight: 9}, {weight: 1, dribble: {octets: 3, every: 2ms}}, {weight: 1, split: {packets: 4, pause: 3ms}}, {weight: 0.3, close: {mode: rst, when: after}}, {weight: 0.3, close: {mode: fin, when: after}}]}",
	"  - {name: cut bodies %d, stage: data, outcomes: [{weight: 19}, {weight: 0.5, body: {after: 300, close: rst}}, {weight: 0.5, body: {after: 1KiB, close: fin}}, {weight: 0.2, body: {after: 1KiB, stop_reading: true, for: 300ms}}]}",
	"  - {name: no capabilities %d, stage: ehlo, outcomes: [{weight: 9}, {weight: 1, missing: [PIPELINING, STARTTLS]}, {weight: 0.5, capabilities: []}]}",
	"  - {name: bad handshakes %d, stage: starttls, outcomes: [{weight: 3}, {weight: 1, tls: garbage}, {weight: 1, tls: reset}, {weight: 1, tls: refused}]}",
	"  - {name: no answer %d, stage: rcpt, outcomes: [{weight: 300}, {weight: 1, silence: true}]}",
	"  - {name: by domain %d, stage: rcpt, match: {recipient: '*@d3.soak.test'}, key: recipient, outcomes: [{weight: 3}, {weight: 1, reply: 451}]}",
	"  - {name: first attempts %d, stage: rcpt, match: {attempt: 1}, outcomes: [{weight: 7}, {weight: 1, reply: 450}]}",
	"  - {name: by header %d, stage: message, match: {header: {subject: '*7*'}}, outcomes: [{weight: 9}, {weight: 1, reply: 451}]}",
}

// limits hold for a while, too. Those of rate and greylist remember.
var limits = []string{
	"  - {name: pace %d, kind: rate, scope: recipient-domain, rate: 40/s, burst: 60}",
	"  - {name: crowd %d, kind: concurrency, max: 60}",
	"  - {name: per connection %d, kind: messages, max: 20}",
	"  - {name: recipients %d, kind: recipients, max: 3}",
	"  - {name: size %d, kind: size, max: 50KiB}",
	"  - {name: greylist %d, kind: greylist, delay: 10ms, window: 10m, match: {recipient: '*@d1.soak.test'}}",
}

// phases are a storm that flaps.
const phases = `phases:
  - repeat: 50
    phases:
      - name: bad
        duration: 400ms
        rules:
          - {name: bad mail, stage: mail, outcomes: [{weight: 1}, {weight: 1, reply: 451}]}
          - {name: bad message, stage: message, outcomes: [{weight: 1}, {weight: 1, reply: 452}]}
      - {name: coming back, duration: 300ms, ramp: {from: 1, to: 0}, rules: [{name: coming back, stage: rcpt, reply: 451}]}
      - {name: good, duration: 300ms}
`

// renewed is how many plans share their names: then come new ones. So names do recur, and new ones never end.
const renewed = 4

// planText makes the n-th plan.
func planText(n int, random *rand.Rand) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\nname: soak %d\nseed: %d\n", n, random.IntN(1000))
	if random.IntN(4) == 0 {
		b.WriteString("restart: true\n")
	}
	chosen := func(key string, from []string, share int) {
		first := true
		for _, part := range from {
			if random.IntN(share) > 0 {
				continue
			}
			if first {
				b.WriteString(key + ":\n")
				first = false
			}
			fmt.Fprintf(&b, part+"\n", n/renewed)
		}
	}
	chosen("limits", limits, 6)
	chosen("rules", parts, 3)
	if random.IntN(3) > 0 {
		b.WriteString(phases)
	}
	return b.String()
}
