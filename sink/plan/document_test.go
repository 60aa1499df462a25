package plan_test

import (
	"encoding/json"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// These types are the plan format as JSON Schema is generated from: one per mapping, with the decoder's keys in the decoder's
// order, which TestSchemaHasTheDecodersKeys checks.

type document struct {
	Version        version        `json:"version" jsonschema_description:"Format version."`
	Name           string         `json:"name,omitempty" jsonschema_description:"Name of the plan, in records and logs."`
	Description    string         `json:"description,omitempty" jsonschema_description:"What the plan is for, one line or many."`
	Seed           uint64         `json:"seed,omitempty" jsonschema_description:"Seed of all draws; the same seed gives the same weather."`
	Start          start          `json:"start,omitempty" jsonschema_description:"What starts the first phase."`
	Restart        bool           `json:"restart,omitempty" jsonschema_description:"The storm starts anew when this plan replaces another; otherwise its clock goes on."`
	Listeners      []listener     `json:"listeners,omitempty" jsonschema_description:"Named addresses to listen on; none: the server's own."`
	ListenerFaults listenerFaults `json:"listener_faults,omitempty" jsonschema_description:"Faults of listeners outside of phases, and in phases that say nothing about them."`
	Limits         []limit        `json:"limits,omitempty" jsonschema_description:"Asked before all rules; the first that refuses decides."`
	Rules          []rule         `json:"rules,omitempty" jsonschema_description:"In every phase, before the phase's own; the first that matches decides."`
	Phases         []phase        `json:"phases,omitempty" jsonschema_description:"The storm: phases in order. Afterwards only the plan's own rules and limits are left."`
}

type listener struct {
	Name     string   `json:"name" jsonschema:"minLength=1" jsonschema_description:"What rules match."`
	Address  string   `json:"address" jsonschema:"minLength=1" jsonschema_description:"host:port, [IPv6]:port or unix:/path; port 0 is any free one."`
	Protocol protocol `json:"protocol,omitempty"`
	TLS      tlsMode  `json:"tls,omitempty" jsonschema_description:"implicit: TLS from the first octet on."`
	Proxied  bool     `json:"proxied,omitempty" jsonschema_description:"Clients come through a proxy, which takes replies that they may never get: the ledger then says told only where the octets of a later body show it."`
	DSN      bool     `json:"dsn,omitempty" jsonschema_description:"All that comes is taken for delivery status notifications, whatever its sender: see smtpsink --dsn-dir."`
}

type limit struct {
	Name   string  `json:"name" jsonschema:"minLength=1" jsonschema_description:"What refusals are counted under, as limit:NAME."`
	Kind   kind    `json:"kind"`
	Scope  scope   `json:"scope,omitempty" jsonschema_description:"Who shares the count; the default is the kind's first."`
	Stage  stage   `json:"stage,omitempty" jsonschema_description:"Where it is asked; the default is the kind's first."`
	Match  *match  `json:"match,omitempty" jsonschema_description:"Whom it is for; everybody by default."`
	Except matches `json:"except,omitempty" jsonschema_description:"Whom of these it is not for."`
	Rate   rate    `json:"rate,omitempty" jsonschema_description:"Kind rate: tokens per s, m or h."`
	Burst  float64 `json:"burst,omitempty" jsonschema:"minimum=1" jsonschema_description:"Kind rate: tokens at most; default: one second's, at least 1."`
	Max    octets  `json:"max,omitempty" jsonschema_description:"Kinds concurrency, messages, recipients and size."`
	Delay  dur     `json:"delay,omitempty" jsonschema_description:"Kind greylist: from the first sight of a triple to the first acceptance."`
	Window dur     `json:"window,omitempty" jsonschema_description:"Kind greylist: from the first sight to a retry that still counts, and how long an accepted triple is known."`
	Reply  refusal `json:"reply,omitempty" jsonschema_description:"4xx or 5xx; the kind has a usual one."`
}

type phase struct {
	Name           string         `json:"name,omitempty" jsonschema_description:"Unique within the plan; of a group: none."`
	Duration       dur            `json:"duration,omitempty" jsonschema_description:"Of a group: none."`
	Ramp           *ramp          `json:"ramp,omitempty" jsonschema_description:"Share of the occurrences that the phase's rules apply to, from its beginning to its end."`
	Repeat         int            `json:"repeat,omitempty" jsonschema:"minimum=1,maximum=10000" jsonschema_description:"How often it happens."`
	ListenerFaults listenerFaults `json:"listener_faults,omitempty"`
	Limits         []limit        `json:"limits,omitempty" jsonschema_description:"Asked after the plan's own."`
	Rules          []rule         `json:"rules,omitempty" jsonschema_description:"Asked after the plan's own."`
	Phases         []phase        `json:"phases,omitempty" jsonschema:"minItems=1" jsonschema_description:"Makes it a group: these happen in turn, repeat times. Groups don't nest."`
}

type ramp struct {
	From share `json:"from,omitempty"`
	To   share `json:"to,omitempty"`
}

type rule struct {
	Name     string    `json:"name,omitempty" jsonschema_description:"Unique within the plan; default: rule N."`
	Stage    stage     `json:"stage"`
	Match    *match    `json:"match,omitempty" jsonschema_description:"Everybody by default."`
	Reply    reply     `json:"reply,omitempty"`
	Mode     mode      `json:"mode,omitempty"`
	Outcomes []outcome `json:"outcomes,omitempty" jsonschema:"minItems=1"`
	Delay    delay     `json:"delay,omitempty" jsonschema_description:"Of each outcome that has none of its own."`
	Key      key       `json:"key,omitempty" jsonschema_description:"What draws depend on."`
	Strict   bool      `json:"strict,omitempty" jsonschema:"default=true" jsonschema_description:"With mode only; false keeps its table whole."`
	faults
}

type outcome struct {
	Weight float64 `json:"weight,omitempty" jsonschema:"minimum=0,default=1" jsonschema_description:"In relation to the sum over the rule's outcomes."`
	Reply  reply   `json:"reply,omitempty"`
	Delay  delay   `json:"delay,omitempty" jsonschema_description:"Overrides the rule's; none: no delay."`
	faults
}

type faults struct {
	Silence      bool         `json:"silence,omitempty" jsonschema_description:"No reply is ever sent."`
	Dribble      *dribble     `json:"dribble,omitempty" jsonschema_description:"The reply is sent a few octets at a time."`
	Split        *split       `json:"split,omitempty" jsonschema_description:"The reply is sent in several packets."`
	Malformed    malformed    `json:"malformed,omitempty" jsonschema_description:"How the reply's syntax is broken."`
	Close        closing      `json:"close,omitempty" jsonschema_description:"How the connection is closed; a word alone means before the reply, which is never sent."`
	Delivery     delivery     `json:"delivery,omitempty" jsonschema_description:"At message: whether it counts as delivered: as the reply says, or whatever the client is told."`
	Body         *body        `json:"body,omitempty" jsonschema_description:"At data and bdat: what happens in mid-body."`
	Missing      words        `json:"missing,omitempty" jsonschema_description:"At ehlo: capabilities that the reply leaves out of the sink's own."`
	Capabilities capabilities `json:"capabilities,omitempty" jsonschema_description:"At ehlo: what the reply announces: all, or these lines; beside a text of one's own, without it nothing."`
	TLS          tlsFault     `json:"tls,omitempty" jsonschema_description:"At starttls, and at connect of listeners with implicit TLS: what goes wrong with the handshake."`
}

type dribble struct {
	Octets int `json:"octets" jsonschema:"minimum=1,maximum=512"`
	Every  dur `json:"every"`
}

type split struct {
	Packets int `json:"packets" jsonschema:"minimum=2,maximum=64"`
	Pause   dur `json:"pause,omitempty"`
}

type body struct {
	After       octets    `json:"after,omitempty" jsonschema_description:"Octets of the body."`
	Close       closeKind `json:"close,omitempty"`
	StopReading bool      `json:"stop_reading,omitempty" jsonschema_description:"The client meets a zero window."`
	For         dur       `json:"for,omitempty" jsonschema_description:"How long reading stops; default: until the client goes away or the longest hold is over."`
}

type match struct {
	Listener   words    `json:"listener,omitempty"`
	Client     words    `json:"client,omitempty" jsonschema_description:"Addresses or networks."`
	Helo       words    `json:"helo,omitempty" jsonschema_description:"host.example or *.example."`
	Sender     words    `json:"sender,omitempty" jsonschema_description:"<>, user@domain, *@domain or *.domain; without a domain root, <first.last> or *@."`
	Recipient  words    `json:"recipient,omitempty" jsonschema_description:"user@domain, *@domain or *.domain; without a domain root, <first.last> or *@; at message any accepted one, in LMTP that one."`
	Attempt    ordinal  `json:"attempt,omitempty" jsonschema_description:"n-th RCPT of the (sender, recipient) pair."`
	Message    ordinal  `json:"message,omitempty" jsonschema_description:"n-th message of the connection."`
	Connection ordinal  `json:"connection,omitempty" jsonschema_description:"n-th connection of the client."`
	TLS        bool     `json:"tls,omitempty" jsonschema_description:"Whether the connection is encrypted."`
	Header     header   `json:"header,omitempty" jsonschema_description:"At message: patterns of header fields, with * and ?."`
	Sequence   sequence `json:"sequence,omitempty" jsonschema_description:"bad: commands that are refused as out of order, and no others."`
}

// Scalars and unions, whose schemas are written out.
type (
	version        int
	start          string
	protocol       string
	tlsMode        string
	kind           string
	scope          string
	stage          string
	key            string
	rate           string
	octets         string
	dur            string
	delay          string
	share          float64
	malformed      string
	delivery       string
	tlsFault       string
	closeKind      string
	closing        string
	ordinal        string
	words          string
	capabilities   string
	sequence       string
	matches        string
	header         string
	listenerFaults string
	reply          string
	refusal        string
	mode           string
)

const (
	durationPattern = `^([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)([0-9].*)?$`
	octetsPattern   = `^[0-9]+ ?(KiB|MiB|GiB)?$`
	enhancedPattern = `^[245]\.[0-9]{1,3}\.[0-9]{1,3}$`
)

func pattern(p string) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Pattern: p} }

func anyOf(s ...*jsonschema.Schema) *jsonschema.Schema { return &jsonschema.Schema{AnyOf: s} }

func integer(low, high string) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Minimum: json.Number(low), Maximum: json.Number(high)}
}

// enum lists the names that values from i on have.
func enum(i int, name func(i int) string) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for ; !strings.ContainsRune(name(i), '('); i++ {
		s.Enum = append(s.Enum, name(i))
	}
	return s
}

// object is a mapping; properties alternate keys and schemas.
func object(required []string, properties ...any) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), Required: required, AdditionalProperties: jsonschema.FalseSchema}
	for i := 0; i < len(properties); i += 2 {
		s.Properties.Set(properties[i].(string), properties[i+1].(*jsonschema.Schema))
	}
	return s
}

// mapOf is a mapping from any key to values.
func mapOf(values *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", AdditionalProperties: values}
}

func oneOrMore(s *jsonschema.Schema) *jsonschema.Schema {
	one := uint64(1)
	return anyOf(s, &jsonschema.Schema{Type: "array", Items: s, MinItems: &one})
}

func (version) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Enum: []any{1}}
}
func (start) JSONSchema() *jsonschema.Schema {
	return pattern(`^(first-connection|clock|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt].+)$`)
}
func (protocol) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Enum: []any{"smtp", "lmtp"}}
}
func (tlsMode) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Enum: []any{"none", "implicit"}}
}
func (kind) JSONSchema() *jsonschema.Schema {
	return enum(0, func(i int) string { return fault.LimitKind(i).String() })
}
func (scope) JSONSchema() *jsonschema.Schema {
	return enum(1, func(i int) string { return fault.LimitScope(i).String() })
}
func (stage) JSONSchema() *jsonschema.Schema {
	return enum(0, func(i int) string { return smtp.Stage(i).String() })
}
func (key) JSONSchema() *jsonschema.Schema {
	return enum(1, func(i int) string { return fault.KeyKind(i).String() })
}
func (malformed) JSONSchema() *jsonschema.Schema {
	return enum(0, func(i int) string { return fault.Malformation(i).String() })
}
func (delivery) JSONSchema() *jsonschema.Schema {
	return enum(0, func(i int) string { return fault.Delivery(i).String() })
}
func (tlsFault) JSONSchema() *jsonschema.Schema {
	return enum(0, func(i int) string { return fault.TLSFault(i).String() })
}
func (closeKind) JSONSchema() *jsonschema.Schema {
	return enum(0, func(i int) string { return fault.CloseKind(i).String() })
}
func (closing) JSONSchema() *jsonschema.Schema {
	return anyOf(closeKind("").JSONSchema(), object([]string{"mode"}, "mode", closeKind("").JSONSchema(),
		"when", enum(0, func(i int) string { return fault.CloseWhen(i).String() })))
}
func (rate) JSONSchema() *jsonschema.Schema {
	return anyOf(&jsonschema.Schema{Type: "number", ExclusiveMinimum: "0"}, pattern(`^[0-9.eE+]+ ?(/ ?[smh])?$`))
}
func (octets) JSONSchema() *jsonschema.Schema {
	return anyOf(&jsonschema.Schema{Type: "integer", Minimum: "0"}, pattern(octetsPattern))
}
func (dur) JSONSchema() *jsonschema.Schema { return pattern(durationPattern) }
func (delay) JSONSchema() *jsonschema.Schema {
	return pattern(`^(none|0|` + strings.Trim(durationPattern, "^$") + `|(fixed|uniform|normal|lognormal|exponential|percentiles)\(.+\))$`)
}
func (share) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "number", Minimum: "0", Maximum: "1"}
}
func (ordinal) JSONSchema() *jsonschema.Schema {
	return anyOf(&jsonschema.Schema{Type: "integer", Minimum: "1"}, pattern(`^[1-9][0-9]*(-([1-9][0-9]*)?)?$`))
}
func (words) JSONSchema() *jsonschema.Schema { return oneOrMore(&jsonschema.Schema{Type: "string"}) }
func (capabilities) JSONSchema() *jsonschema.Schema {
	return anyOf(&jsonschema.Schema{Type: "string", Enum: []any{"all"}}, &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{Type: "string"}})
}
func (sequence) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Enum: []any{"bad"}}
}
func (matches) JSONSchema() *jsonschema.Schema {
	return oneOrMore(&jsonschema.Schema{Ref: "#/$defs/match"})
}
func (header) JSONSchema() *jsonschema.Schema { return mapOf(words("").JSONSchema()) }
func (listenerFaults) JSONSchema() *jsonschema.Schema {
	return mapOf(enum(0, func(i int) string { return fault.ListenerFault(i).String() }))
}

func replySchema(low, pick string) *jsonschema.Schema {
	return anyOf(integer(low, "599"), pattern(pick), object([]string{"code"}, "code", integer(low, "599"),
		"enhanced", pattern(enhancedPattern), "text", words("").JSONSchema()))
}
func (reply) JSONSchema() *jsonschema.Schema {
	return replySchema("200", `^(plain|[2-5][0-9]{2}(/[245]\.[0-9]{1,3}\.[0-9]{1,3})?)$`)
}
func (refusal) JSONSchema() *jsonschema.Schema {
	return replySchema("400", `^[45][0-9]{2}(/[45]\.[0-9]{1,3}\.[0-9]{1,3})?$`)
}
func (mode) JSONSchema() *jsonschema.Schema {
	name := enum(1, func(i int) string { return fault.Mode(i).String() })
	accept := &jsonschema.Schema{Type: "number", ExclusiveMinimum: "0", ExclusiveMaximum: "1"}
	return anyOf(name, object([]string{"name"}, "name", name, "accept", accept,
		"weights", mapOf(&jsonschema.Schema{Type: "number", Minimum: "0"})))
}
