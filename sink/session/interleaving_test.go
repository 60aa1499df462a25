package session_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// reactive has reactions of all keys that clients don't share, over anything that a client can do.
const reactive = `version: 1
seed: 5
limits: [{name: grey, kind: greylist, scope: [client, sender, recipient], delay: 5s, window: 1d, except: {recipient: "*@gone.test"}}]
react:
  - {name: errors, of: connection, when: {code: [4xx, 5xx]}, after: 4, then: {rules: [{stage: [mail, rcpt, noop], reply: 421/4.7.0}]}}
  - {name: door, of: client, when: {react: errors}, for: [20s, 1m], worse: {stage: connect, after: 2}, then: {rules: [{stage: connect, match: {level: 1}, close: fin}, {stage: connect, reply: 554}]}}
  - {name: harvester, of: client, when: {stage: rcpt, code: 550/5.1.1}, after: 3, within: 1m, for: 40s, then: {limits: [{name: slow, kind: rate, stage: mail, rate: "halving(1/s,2/m)"}]}}
  - {name: warm, of: [client, sender-domain], after: 0, when: {stage: message, code: 2xx}, pace: 15s, for: 2m, back: {rule: gone}, then: {limits: [{name: ramp, kind: quota, stage: mail, max: "doubling(2,64)", per: 20s}]}}
  - {name: known, of: client, when: {stage: ehlo, code: 250}, for: 30s}
  - {name: hasty, of: client, when: {early: grey}, for: 1m, then: {rules: [{stage: rcpt, match: {level: 2-}, outcomes: [{weight: 1, reply: 450}, {weight: 1}]}]}}
rules:
  - {name: gone, stage: rcpt, match: {recipient: "*@gone.test"}, reply: 550/5.1.1}
  - {stage: connect, match: {standing: known}, outcomes: [{weight: 4}, {weight: 1, reply: 421}]}
`

// TestInterleavingChangesNoClientsOutcomes: six clients do what they do at the same times, and are answered the same whoever comes first
// at each of them, and whether the others are there at all.
func TestInterleavingChangesNoClientsOutcomes(t *testing.T) {
	const clients, rounds, orders = 6, 150, 20
	script := func(seed uint64) (lines []string) {
		r := rand.New(rand.NewPCG(seed, 1))
		pick := func(of ...string) { lines = append(lines, of[r.IntN(len(of))]) }
		for len(lines) < rounds {
			pick("connect")
			pick("EHLO c.test", "EHLO c.test", "HELO c.test", "BOGUS")
			for range 1 + r.IntN(3) {
				pick("MAIL FROM:<s@one.test>", "MAIL FROM:<s@one.test>", "MAIL FROM:<s@two.test>")
				for range 1 + r.IntN(3) {
					pick("RCPT TO:<a@x.test>", "RCPT TO:<a@x.test>", "RCPT TO:<b@x.test>", "RCPT TO:<u@gone.test>")
				}
				pick("message", "message", "RSET", "NOOP")
			}
		}
		return lines[:rounds]
	}
	var scripts [clients][]string
	for i := range scripts {
		scripts[i] = script(uint64(i))
	}
	// run plays all rounds, a second apart, with the clients of each in the order that the seed gives, and returns what each was answered.
	run := func(seed uint64, present ...int) (said [clients]string) {
		w := newWorld(t, reactive)
		r := rand.New(rand.NewPCG(seed, 2))
		for round := range rounds {
			start := w.now
			for _, i := range r.Perm(len(present)) {
				client := present[i]
				name, line := string(rune('A'+client)), scripts[client][round]
				if line != "connect" && (w.conns[name] == nil || w.conns[name].closed) {
					line = "connect"
				}
				line = strings.Replace(line, "<s@", "<"+name+"@", 1) // attempts are counted by sender and recipient
				said[client] += fmt.Sprintf("%s: %s\n", line, w.say(name, line))
			}
			w.now = start.Add(time.Second)
		}
		return said
	}
	everybody := []int{0, 1, 2, 3, 4, 5}
	want := run(0, everybody...)
	all := strings.Join(want[:], "")
	for _, reply := range []string{"connect: 220", "connect: closed", "connect: 554", ": 421 4.7.0", "message: 250", ": 451 4.7.1 Greylisted", ": 451 4.7.1 Quota", ": 550 5.1.1"} {
		if !strings.Contains(all, reply) {
			t.Errorf("nobody met %q: the script shows too little", reply)
		}
	}
	for seed := uint64(1); seed <= orders; seed++ {
		if got := run(seed, everybody...); got != want {
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("order %d: client %d: %s", seed, i, firstDifference(got[i], want[i]))
				}
			}
		}
	}
	for client := range clients {
		if got := run(0, client); got[client] != want[client] {
			t.Errorf("client %d alone: %s", client, firstDifference(got[client], want[client]))
		}
	}
}

// firstDifference tells what comes before the first line that differs.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	i := 0
	for i < min(len(g), len(w))-1 && g[i] == w[i] {
		i++
	}
	return fmt.Sprintf("line %d, after\n%s\nis\n%s\nwant\n%s", i+1, strings.Join(g[:i], "\n"), g[i], w[i])
}
