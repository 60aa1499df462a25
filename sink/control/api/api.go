package api

import (
	"encoding/json"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/count"
)

// Version is the version of the API: the first part of its paths.
const Version = 1

// HeaderGeneration is the header of GET and PUT /v1/plan that has the plan's generation.
const HeaderGeneration = "Smtpstorm-Generation"

// Info says which sink this is: GET /v1.
type Info struct {
	API        int               `json:"api"`
	Version    string            `json:"version"`          // of the program
	Commit     string            `json:"commit,omitempty"` // that it was built from, where it knows
	Instance   string            `json:"instance"`         // this run of the sink, among all
	Started    time.Time         `json:"started"`
	Epoch      uint64            `json:"epoch"`      // from 1; each reset begins one
	Generation uint64            `json:"generation"` // of the plan in force, from 1
	Listeners  []Listener        `json:"listeners"`
	Ledger     bool              `json:"ledger"`  // there is one to get and to judge by
	Capture    bool              `json:"capture"` // messages are kept
	Schemas    map[string]string `json:"schemas"` // formats and their versions
}

// Listener is where the sink listens for mail.
type Listener struct {
	Name    string `json:"name"`
	Address string `json:"address"`         // with the real port
	Fault   string `json:"fault,omitempty"` // in force
}

// PlanChange says what a plan has led to, or would lead to: PUT /v1/plan.
type PlanChange struct {
	Generation    uint64   `json:"generation"` // of the new plan
	ETag          string   `json:"etag"`
	DryRun        bool     `json:"dry_run,omitempty"` // nothing was changed
	Warnings      []string `json:"warnings"`          // what looks like a mistake, a line each
	LimitsKept    []string `json:"limits_kept"`       // limits that go on with what they have counted
	StandingsKept []string `json:"standings_kept"`    // reactions whose standings go on
	Opened        []string `json:"opened"`            // listeners
	Closed        []string `json:"closed"`
	StormRestarts bool     `json:"storm_restarts"` // the clock of the storm starts again
}

// Storm says where the storm is: GET and POST /v1/storm. What is about a phase is absent unless it is running.
type Storm struct {
	State      string   `json:"state"` // none, waiting, running or over
	Phase      string   `json:"phase,omitempty"`
	Index      *int     `json:"index,omitempty"`           // of its occurrence among all of the storm, from 0
	Round      int      `json:"round,omitempty"`           // this is the phase's n-th occurrence, from 1
	Elapsed    *float64 `json:"phase_elapsed_s,omitempty"` // since the phase began
	Remaining  *float64 `json:"phase_remaining_s,omitempty"`
	Phases     []Phase  `json:"phases,omitzero"` // all occurrences, in order
	Generation uint64   `json:"generation"`
}

// Phase is an occurrence of a phase in the storm.
type Phase struct {
	Name     string  `json:"name"`
	Begin    float64 `json:"begin_s"` // since the storm's start
	Duration float64 `json:"duration_s"`
}

// StormMove moves the storm's clock: POST /v1/storm.
type StormMove struct {
	Action     string  `json:"action"`               // start, stop, jump or extend
	Phase      string  `json:"phase,omitempty"`      // of a jump
	Index      *int    `json:"index,omitempty"`      // of a jump without a phase: the occurrence among all, from 0
	By         string  `json:"by,omitempty"`         // of an extension, such as 30s
	Generation *uint64 `json:"generation,omitempty"` // of the plan that is meant; absent: whichever
}

// Next asks for the outcome of the next occurrences of a stage: POST /v1/next, PUT /v1/next/{id}.
type Next struct {
	ID      string          `json:"id,omitempty"`
	Stage   string          `json:"stage"`
	Match   json.RawMessage `json:"match,omitempty"` // as a plan's rule has it
	Outcome json.RawMessage `json:"outcome"`         // as an element of a rule's outcomes, without weight
	Times   int             `json:"times,omitempty"` // 1 by default
	TTL     string          `json:"ttl,omitempty"`   // such as 10m, which is the default
}

// NextStatus is what has become of a Next.
type NextStatus struct {
	ID        string          `json:"id"`
	Stage     string          `json:"stage"`
	Match     json.RawMessage `json:"match"`
	Outcome   json.RawMessage `json:"outcome"`   // what they meet, as an outcome of a plan without weight
	Remaining int             `json:"remaining"` // occurrences that will meet it
	Hits      int             `json:"hits"`      // occurrences that have met it
	Expires   time.Time       `json:"expires"`
}

// NextList is GET /v1/next, in the order in which they were asked for.
type NextList struct {
	Next []NextStatus `json:"next"`
}

// Stats is what was counted: GET /v1/stats.
type Stats struct {
	Instance   string    `json:"instance"`
	Seq        uint64    `json:"seq"`             // the last event before
	Since      uint64    `json:"since,omitempty"` // counts and rows are those after this one
	Time       time.Time `json:"time"`
	Epoch      uint64    `json:"epoch"`
	Generation uint64    `json:"generation"`
	// Rows counts events, exactly up to Seq, since the sink's start.
	Rows Rows `json:"rows"`
	// Counts are the sink's counters at Time, since the last reset of the counts. They may be ahead of Rows by what was under way.
	Counts *count.Counts `json:"counts"`
	Storm  Storm         `json:"storm"`
}

// Rows counts events by what they tell.
type Rows struct {
	Connections  uint64 `json:"connections"`  // that ended
	Transactions uint64 `json:"transactions"` // that ended without any RCPT command
	Messages     uint64 `json:"messages"`     // bodies that came to their end
	Attempts     uint64 `json:"attempts"`     // RCPT commands whose fate is known
	Deliveries   uint64 `json:"deliveries"`   // among them
}

// Event is a row of the ledger, with its place: a line of GET /v1/events. In a stream the place is the event's id and the row its data.
type Event struct {
	ID  string          `json:"id"` // INSTANCE-SEQ
	Row json.RawMessage `json:"row"`
}

// Gap says that events are gone: from and to are the ids of the first and the last of them.
type Gap struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Message is a message that came, as far as events are still there: GET /v1/messages.
type Message struct {
	ID         string    `json:"id"` // of this transfer within the run of the sink: CONNECTION-MESSAGE
	Time       time.Time `json:"time,omitzero"`
	Client     string    `json:"client,omitempty"`
	Sender     string    `json:"sender"`
	Token      string    `json:"token,omitempty"`
	StormID    string    `json:"storm_id,omitempty"`
	MessageID  string    `json:"message_id,omitempty"`
	Attempts   []Attempt `json:"attempts"`   // one for each RCPT command
	Deliveries int       `json:"deliveries"` // among them
	Captured   bool      `json:"captured"`   // GET /v1/messages/{id}/raw has it
}

// Attempt is what became of one recipient of a message.
type Attempt struct {
	Recipient string `json:"recipient"`
	Stage     string `json:"stage"` // of the reply that decided
	Code      int    `json:"code,omitempty"`
	Enhanced  string `json:"enhanced,omitempty"`
	Cause     string `json:"cause,omitempty"`
	Ending    string `json:"ending"`
	Delivered bool   `json:"delivered"`
}

// Messages is GET /v1/messages, in the order in which they came.
type Messages struct {
	Messages []Message `json:"messages"`
	Missing  bool      `json:"missing,omitempty"` // older events are gone, and what they told
}

// Standing is a standing that is in force: a client, a sender or whoever its reaction is of meets the treatment of that.
type Standing struct {
	React    string     `json:"react"`           // name of the reaction
	Key      string     `json:"key"`             // whose it is
	Level    int        `json:"level"`           // from 1
	Changed  time.Time  `json:"changed"`         // when it began, or its level changed last
	Until    *time.Time `json:"until,omitempty"` // absent: as long as the sink runs
	Returned bool       `json:"returned"`        // the key came back while it held
}

// Standings is GET /v1/standings, in the order of reactions' names and of keys.
type Standings struct {
	Standings []Standing `json:"standings"`
	Next      string     `json:"next,omitempty"` // there are more: after=NEXT asks for those
}

// Reset says what begins anew: POST /v1/reset. At least one of counts, state, next and capture.
type Reset struct {
	What []string `json:"what"`
}

// Epoch is the answer to a Reset.
type Epoch struct {
	Epoch uint64 `json:"epoch"`
}

// SignIn is POST /v1/session, by which a page gets a cookie for its token.
type SignIn struct {
	Token string `json:"token"`
}

// Session is the answer to a SignIn.
type Session struct {
	Role    string    `json:"role"` // read or write
	Expires time.Time `json:"expires"`
}

// Health is GET /healthz and GET /readyz.
type Health struct {
	Status string `json:"status"` // ok, or why it is not
}
