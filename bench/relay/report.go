package relay

import (
	"encoding/json"
	"io"
	"maps"
	"strconv"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/queue"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
)

// appendKeys appends keys and values, all but the first after a comma. Addresses may be of any octets.
func appendKeys(dst []byte, keysAndValues ...string) []byte {
	for i := 0; i+1 < len(keysAndValues); i += 2 {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsonl.AppendString(append(jsonl.AppendString(dst, keysAndValues[i]), ':'), keysAndValues[i+1])
	}
	return dst
}

// logEvent writes an event, unless it is of a copy that nobody shall know of.
func (r *Relay) logEvent(m *message, event string, of *result) {
	if r.cfg.Log == nil || m.secret || r.logErr != nil {
		return
	}
	line := appendKeys([]byte{'{'}, "time", time.Now().UTC().Format(time.RFC3339Nano), "queue_id", m.name(), "event", event, "sender", m.sender, "recipient", of.address)
	if of.Code != 0 {
		line = strconv.AppendInt(append(line, `,"code":`...), int64(of.Code), 10)
	}
	if text := of.text(); text != "" {
		line = appendKeys(append(line, ','), "text", text)
	}
	_, r.logErr = r.cfg.Log.Write(append(line, "}\n"...))
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
	return r.listed(func(_ *queue.Entry, m *message) error {
		kind := "message"
		if m.notification {
			kind = "dsn"
		}
		keys := []string{"kind", kind, "sender", m.sender}
		header, _ := split(m.content)
		storm, _, _ := field(header, "X-Storm-Id")
		id, _, _ := field(header, "Message-ID")
		for _, k := range [...][2]string{{"token", m.envid}, {"storm_id", storm}, {"message_id", id}} {
			if k[1] != "" {
				keys = append(keys, k[:]...)
			}
		}
		line := appendKeys([]byte{'{'}, keys...)
		for _, to := range m.recipients {
			whole := append(appendKeys(append(line[:len(line):len(line)], ','), "recipient", to.address), "}\n"...)
			if _, err := w.Write(whole); err != nil {
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
