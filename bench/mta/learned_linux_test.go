package mta

import (
	"fmt"
	"maps"
	"os"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/learn"
	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// TestWhatTheSinkDidIsLearned: what is learned of an MTA's own log is what its next hop has said, reply by reply and attempt by attempt.
func TestWhatTheSinkDidIsLearned(t *testing.T) {
	const messages = 150
	const rules = `  - {name: DSNs pass, stage: rcpt, match: {sender: "<>"}, reply: plain}
  - name: first
    stage: rcpt
    match: {attempt: 1}
    outcomes:
      - {weight: 5}
      - {weight: 2, reply: {code: 450, enhanced: 4.2.0, text: Come again}}
      - {weight: 2, reply: {code: 550, enhanced: 5.1.1, text: [Nobody here, of that name]}}
      - {weight: 1, close: rst}
  - {name: spam, stage: message, match: {attempt: 1}, outcomes: [{weight: 9}, {weight: 1, reply: {code: 554, enhanced: 5.7.1, text: Spam}}]}`
	b := newTestbed(t, candidate("postfix"), rules, Options{Policy: Policy{MinimalBackoff: 3 * time.Second, MaximalBackoff: 3 * time.Second, Lifetime: time.Minute, Concurrency: 10}})
	d := b.dial()
	for i := range messages {
		d.submit(fmt.Sprintf("s%d@src.test", i), fmt.Sprintf("r%d@dst.test", i))
	}
	log := learn.NewLog()
	read := func() bool {
		file, err := os.Open(b.agent.LogPath())
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		log = learn.NewLog()
		err = mtalog.Read("postfix", file, file.Name(), mtalog.Options{Until: time.Now(), Location: time.UTC}, func(e *mtalog.Event) error { log.Add(e); return nil })
		return err == nil
	}
	// A line of the log may follow the reply by a moment.
	testkit.Await(t, "all of it in the log", func() bool {
		b.drained()
		return read() && log.Tally.Attempts >= len(sentBy(b))
	})
	b.end()

	model, err := log.Model(learn.Options{MinCount: 1, Destinations: 3, Phases: 1, Scale: 1})
	if err != nil {
		t.Fatal(err)
	}
	got, want := map[string]int{}, sentBy(b)
	all := 0
	for _, destination := range model.Summary("postfix", 0).Destinations {
		if destination.Domain != "dst.test" {
			t.Errorf("%+v is no destination", destination)
		}
		for _, r := range destination.Replies {
			got[fmt.Sprintf("%v %d %s %s", r.Stage, r.Code, r.Enhanced, map[bool]string{true: r.Failure}[r.Code == 0])] += r.Count
		}
		all += destination.Attempts
	}
	counted := map[string]int{}
	for _, what := range want {
		if what != "" {
			counted[what]++
		}
	}
	if !maps.Equal(got, counted) || all != len(want) {
		t.Errorf("learned of %d attempts is %v, the sink did %v in %d", all, got, counted, len(want))
	}
	text := model.Plan("a log of postfix")
	if _, err := plan.Parse("learned.yaml", []byte(text)); err != nil {
		t.Errorf("%v, in\n%s", err, text)
	}
}

// sentBy says of each attempt but those of notifications what the sink did; empty: it took the message.
func sentBy(b *testbed) (all []string) {
	for _, a := range b.received.Attempts() {
		switch {
		case a.Sender == "":
		case a.Delivered:
			all = append(all, "")
		case a.Code < 400: // decided, and never sent
			all = append(all, fmt.Sprintf("%v 0  lost", a.Stage))
		default:
			all = append(all, fmt.Sprintf("%v %d %s ", a.Stage, a.Code, a.Enhanced))
		}
	}
	return all
}
