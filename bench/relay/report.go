package relay

import (
	"encoding/json"
	"io"
	"maps"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/queue"
)

// logLine is a line of mta.jsonl.
type logLine struct {
	Time      time.Time `json:"time"`
	QueueID   string    `json:"queue_id"`
	Event     string    `json:"event"`
	Sender    string    `json:"sender"`
	Recipient string    `json:"recipient"`
	Code      int       `json:"code,omitempty"`
	Text      string    `json:"text,omitempty"`
}

// logEvent writes an event, unless it is of a copy that nobody shall know of.
func (r *Relay) logEvent(m *message, event string, of *result) {
	if r.cfg.Log == nil || m.secret || r.logErr != nil {
		return
	}
	line, err := json.Marshal(logLine{time.Now().UTC(), m.name(), event, m.sender, of.address, int(of.Code), of.text()})
	if err == nil {
		_, err = r.cfg.Log.Write(append(line, '\n'))
	}
	r.logErr = err
}

func (r *Relay) logResults(m *message, event string, results []result) {
	for i := range results {
		r.logEvent(m, event, &results[i])
	}
}

// Depth returns how many messages the relay holds, copies that it keeps secret and notifications among them.
func (r *Relay) Depth() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.spool.messages)
}

// Told returns how often each lie was told so far, by messages that it struck.
func (r *Relay) Told() map[Kind]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.lies.told)
}

// Spool returns what a relay that starts after this one was killed goes on with.
func (r *Relay) Spool() *Spool { return r.spool }

// listed calls f for the messages of the queue that a listing shows, in the order of their arrival.
func (r *Relay) listed(f func(*queue.Entry, *message) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.queue.Entries() {
		if m := r.spool.messages[e.ID]; !m.secret {
			if err := f(&e, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// WriteQueue writes the queue as queue.jsonl, a line for each recipient. Its error is the writer's.
func (r *Relay) WriteQueue(w io.Writer) error {
	out := json.NewEncoder(w)
	return r.listed(func(_ *queue.Entry, m *message) error {
		line := struct {
			Token     string `json:"token,omitempty"`
			Sender    string `json:"sender"`
			StormID   string `json:"storm_id,omitempty"`
			MessageID string `json:"message_id,omitempty"`
			Recipient string `json:"recipient"`
			Kind      string `json:"kind"`
		}{Token: m.envid, Sender: m.sender, Kind: "message"}
		header, _ := split(m.content)
		line.StormID, _, _ = field(header, "X-Storm-Id")
		line.MessageID, _, _ = field(header, "Message-ID")
		if m.notification {
			line.Kind = "dsn"
		}
		for _, to := range m.recipients {
			line.Recipient = to.address
			if err := out.Encode(line); err != nil {
				return err
			}
		}
		return nil
	})
}

// WritePostqueue writes the queue as Postfix's postqueue -j does, a line for each message. Its error is the writer's.
func (r *Relay) WritePostqueue(w io.Writer) error {
	type address struct {
		Address string `json:"address"`
	}
	out := json.NewEncoder(w)
	return r.listed(func(e *queue.Entry, m *message) error {
		line := struct {
			Queue      string    `json:"queue_name"`
			ID         string    `json:"queue_id"`
			Arrival    int64     `json:"arrival_time"`
			Size       int       `json:"message_size"`
			Sender     string    `json:"sender"`
			Recipients []address `json:"recipients"`
		}{Queue: e.State.String(), ID: m.name(), Arrival: m.arrived.Unix(), Size: len(m.content), Sender: m.sender}
		if m.sender == "" {
			line.Sender = "MAILER-DAEMON"
		}
		for _, to := range m.recipients {
			line.Recipients = append(line.Recipients, address{to.address})
		}
		return out.Encode(line)
	})
}
