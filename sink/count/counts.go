package count

import "time"

// Schema and Version name the JSON form of Counts. Fields may be added within a version, and readers ignore those that they don't know; a
// change of meaning is a new version. See docs/counts.schema.json.
const (
	Schema  = "smtpstorm/sink-counts"
	Version = 2
)

// Counts is what a sink did since its start. Taken while connections are open, its figures may be apart by the events that are under way;
// after the sink's end they are exact.
type Counts struct {
	Schema  string    `json:"schema"`
	Version int       `json:"version"`
	Plan    string    `json:"plan,omitempty"`        // the name of the plan in force
	Hash    string    `json:"plan_sha256,omitempty"` // of its file's text, where it came from one
	Seed    uint64    `json:"seed"`                  // its seed; 0 without a plan
	Driver  string    `json:"driver,omitempty"`      // "epoll" or "net"
	Loops   int       `json:"loops,omitempty"`
	Started time.Time `json:"started,omitzero"`
	Seconds float64   `json:"seconds,omitempty"` // since Started, until now or the end
	Phase   string    `json:"phase,omitempty"`   // of the storm, now

	Traffic
	Accepted

	Replies  []Reply  `json:"replies"`          // in the order of Kind.Compare
	Rules    []Rule   `json:"rules,omitempty"`  // in the order of the plans and of their files
	Phases   []string `json:"phases,omitempty"` // of storms, in the order of the plans and of their files
	Attempts Attempts `json:"attempts"`
	// Destinations has the same attempts by listener and recipient domain, ordered by both.
	Destinations []Destination `json:"destinations,omitempty"`
	Ungreeted    uint64        `json:"ungreeted,omitempty"` // connections that a listener's fault no-banner kept from their greeting
	Lateness     *Distribution `json:"lateness,omitempty"`  // of delayed replies: handed to the kernel minus due; nil without one
	Delays       *Distribution `json:"delays,omitempty"`    // of delayed replies, as they were decided; nil without one
	Folded       Folded        `json:"folded,omitzero"`
	Clients      *Clients      `json:"clients,omitempty"` // nil when there is nothing to tell

	Ordinals       Ordinals       `json:"attempt_counters,omitzero"`
	Limits         Limits         `json:"limit_counters,omitzero"`
	Reactions      []Reaction     `json:"reactions,omitempty"`       // of the plan in force, in the order of its file
	StandingKeys   uint64         `json:"standing_keys,omitempty"`   // clients, senders and so on of which reactions know something now
	StateCapacity  uint64         `json:"state_capacity,omitempty"`  // how many counters, buckets, windows and greylisted triples there is room for
	ReopenFailures uint64         `json:"reopen_failures,omitempty"` // times a listener could not be opened again after a fault
	Ledger         *Ledger        `json:"ledger,omitempty"`          // nil without one
	DSN            *Notifications `json:"dsn,omitempty"`             // that were captured; nil where none are
	Captures       *Captures      `json:"captures,omitempty"`        // nil unless messages are captured
	// ListenOverflows counts connections that met a full accept queue since the start, on the whole system: Linux only, and 0 once a
	// listener was unaccepted, which fills its queue on purpose.
	ListenOverflows uint64     `json:"listen_overflows,omitempty"`
	Net             Net        `json:"net"`
	SelfCheck       *SelfCheck `json:"self_check,omitempty"` // set by who wants it: see Check

	Windows []Window `json:"windows,omitempty"` // the time series in ascending order
}

// New returns counts of nothing.
func New() *Counts { return &Counts{Schema: Schema, Version: Version} }

// Traffic is what came and went. All but Open count from the start.
type Traffic struct {
	Connections uint64 `json:"connections"`    // accepted
	Open        int64  `json:"open,omitempty"` // connections now
	BytesIn     uint64 `json:"bytes_in"`
	BytesOut    uint64 `json:"bytes_out"`
}

// Net is what the driver did. All but Pending count from the start.
type Net struct {
	Closed uint64 `json:"closed"`           // connections
	Failed uint64 `json:"failed,omitempty"` // of Closed: ended by an error, such as a reset

	Reads  uint64 `json:"reads"`           // system calls that read
	Writes uint64 `json:"writes"`          // system calls that wrote
	Waits  uint64 `json:"waits,omitempty"` // system calls that waited for events; epoll only

	AcceptPauses uint64 `json:"accept_pauses,omitempty"` // times accepting stopped for want of descriptors (EMFILE) or memory
	AcceptsHeld  uint64 `json:"accepts_held,omitempty"`  // times accepting stopped since there were as many connections as there may be
	AcceptErrors uint64 `json:"accept_errors,omitempty"` // other failures of accept
	HighWater    uint64 `json:"high_water,omitempty"`    // times a client that does not read made its input wait; epoll only
	Pending      int64  `json:"pending,omitempty"`       // octets of output that wait for clients now; epoll only

	LagP99Micros uint64 `json:"lag_p99_us,omitempty"` // how long a loop was busy between two waits; epoll only
	LagMaxMicros uint64 `json:"lag_max_us,omitempty"`
}

// Attempts counts RCPT commands by their final result.
type Attempts struct {
	Delivered  uint64 `json:"delivered"`
	Deferred   uint64 `json:"deferred"`            // 4xx, at whatever stage
	Bounced    uint64 `json:"bounced"`             // 5xx, at whatever stage
	Unanswered uint64 `json:"unanswered"`          // the connection ended before the final reply
	Discarded  uint64 `json:"discarded,omitempty"` // told 2xx, and thrown away as planned
}

// Total returns how many attempts there were.
func (a Attempts) Total() uint64 {
	return a.Delivered + a.Deferred + a.Bounced + a.Unanswered + a.Discarded
}

// Destination is what came to one listener for one recipient domain: what an MTA takes for a destination of its own.
type Destination struct {
	Listener string   `json:"listener"`
	Domain   string   `json:"domain"` // in lower case; empty for recipients without one; Other past what is told apart
	Attempts Attempts `json:"attempts"`
}

// Folded says how much was counted by Other alone, since clients or plans have made up more than is told apart. It is among the other
// counts.
type Folded struct {
	Replies  uint64 `json:"replies,omitempty"`
	Attempts uint64 `json:"attempts,omitempty"` // at domains past those that are told apart
}

// Clients says what clients did that no reply's count tells. It is counted when a connection ends.
type Clients struct {
	NotSMTP       uint64 `json:"not_smtp,omitempty"`      // connections that were closed since the client spoke another protocol
	Injections    uint64 `json:"injections,omitempty"`    // STARTTLS commands with plaintext behind them, which was thrown away (RFC 3207 section 6)
	Pregreets     uint64 `json:"pregreets,omitempty"`     // connections whose client talked before its greeting, which a plan held back and watched (stage pregreet)
	Authenticated uint64 `json:"authenticated,omitempty"` // connections whose client logged in by AUTH
	BadSwitches   uint64 `json:"bad_switches,omitempty"`  // address triggers and header switches that could not be read
	LongHeaders   uint64 `json:"long_headers,omitempty"`  // messages whose header was longer than what is looked at, when headers are looked at
	// BadSwitchExamples are the first bad switches of connections, as they were written, ordered; at most MaxExamples different ones.
	BadSwitchExamples []string `json:"bad_switch_examples,omitempty"`
}

// MaxExamples is how many different bad switches are kept.
const MaxExamples = 8

// Ordinals says how many attempts are counted for plans that ask which one it is. Evictions other than 0 mean that ordinals started again,
// and so that a replay of the same load may draw otherwise.
type Ordinals struct {
	Connections uint64 `json:"connections,omitempty"` // distinct clients now
	Mails       uint64 `json:"mails,omitempty"`       // distinct senders now
	Recipients  uint64 `json:"recipients,omitempty"`  // distinct (sender, recipient) pairs now
	Evictions   uint64 `json:"evictions,omitempty"`   // keys forgotten because the store was full, since the start
}

// Limits says what the limits of plans remember. Evictions other than 0 mean that limits were more generous, or greylists stricter, than
// planned.
type Limits struct {
	Buckets   uint64 `json:"buckets,omitempty"`   // token buckets now
	Quotas    uint64 `json:"quotas,omitempty"`    // windows of quotas now
	Open      uint64 `json:"open,omitempty"`      // clients (or whatever a limit tells apart) with open connections or transactions that a limit counts
	Greylist  uint64 `json:"greylist,omitempty"`  // triples now
	Evictions uint64 `json:"evictions,omitempty"` // forgotten because the store was full, since the start
}

// Notifications says what was captured of delivery status notifications.
type Notifications struct {
	Notifications uint64 `json:"notifications"`       // messages
	Recipients    uint64 `json:"recipients"`          // rows about them
	Malformed     uint64 `json:"malformed,omitempty"` // rows of what could not be read, or not in full
	Cut           uint64 `json:"cut,omitempty"`       // messages that were longer than what is kept of one
	Failed        uint64 `json:"failed,omitempty"`    // messages that could not be kept
	Error         string `json:"error,omitempty"`     // why the last of these could not
}

// Captures says what was captured of messages: those whose body came to its end, whatever they were answered.
type Captures struct {
	Messages uint64 `json:"messages"`          // since the start
	Cut      uint64 `json:"cut,omitempty"`     // of them: kept in part, since there was no room for all of it
	Dropped  uint64 `json:"dropped,omitempty"` // that had to make room for others
	Failed   uint64 `json:"failed,omitempty"`  // that could not be written
	Error    string `json:"error,omitempty"`   // why the last of these could not
	Kept     uint64 `json:"kept"`              // now
	Octets   uint64 `json:"octets"`            // that they take now, with those under way
}

// Ledger is what the writer of a ledger did.
type Ledger struct {
	Rows        uint64 `json:"rows"`            // written, header and gaps included
	Octets      uint64 `json:"octets"`          // of these rows
	Lost        uint64 `json:"lost"`            // that could not be written, or were cut off after a failed sync
	Writes      uint64 `json:"writes"`          // calls of write(2) that succeeded
	Syncs       uint64 `json:"syncs"`           // calls of fdatasync(2) that succeeded
	WriteErrors uint64 `json:"write_errors"`    // calls of write(2) that failed or were short
	SyncErrors  uint64 `json:"sync_errors"`     // calls of fdatasync(2) that failed
	Pending     int    `json:"pending"`         // tickets that wait for a sync
	Broken      bool   `json:"broken"`          // the file's end could not be repaired: nothing is written any more
	Error       string `json:"error,omitempty"` // the last error; empty when there was none
}
