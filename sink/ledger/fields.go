package ledger

import (
	"net/netip"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// The helpers make the setter of a field from the place that it fills.

func instant(at func(*event.Row) *time.Time) func(*decoder, *event.Row, jsonl.Value) error {
	return func(_ *decoder, r *event.Row, v jsonl.Value) (err error) { *at(r), err = v.Instant(); return err }
}

func name(at func(*event.Row) *string) func(*decoder, *event.Row, jsonl.Value) error {
	return func(d *decoder, r *event.Row, v jsonl.Value) (err error) { *at(r), err = d.name(v); return err }
}

// words are a text that each row has anew.
func words(at func(*event.Row) *string) func(*decoder, *event.Row, jsonl.Value) error {
	return func(_ *decoder, r *event.Row, v jsonl.Value) error {
		text, err := v.Text()
		*at(r) = string(text)
		return err
	}
}

func octets(at func(*event.Row) *[]byte) func(*decoder, *event.Row, jsonl.Value) error {
	return func(_ *decoder, r *event.Row, v jsonl.Value) (err error) { *at(r), err = v.Text(); return err }
}

func number(at func(*event.Row) *uint64) func(*decoder, *event.Row, jsonl.Value) error {
	return func(_ *decoder, r *event.Row, v jsonl.Value) (err error) { *at(r), err = v.Uint(64); return err }
}

func flag(at func(*event.Row) *bool) func(*decoder, *event.Row, jsonl.Value) error {
	return func(_ *decoder, r *event.Row, v jsonl.Value) (err error) { *at(r), err = v.Bool(); return err }
}

func client(at func(*event.Row) *netip.AddrPort) func(*decoder, *event.Row, jsonl.Value) error {
	return func(d *decoder, r *event.Row, v jsonl.Value) (err error) { *at(r), err = d.client.of(v); return err }
}

func via(d *decoder, r *event.Row, v jsonl.Value) (err error) {
	r.Connection.Via, err = d.via.of(v)
	return err
}

func stage(at func(*event.Row) *smtp.Stage) func(*decoder, *event.Row, jsonl.Value) error {
	return func(_ *decoder, r *event.Row, v jsonl.Value) (err error) { *at(r), err = stageOf(v); return err }
}

func code(at func(*event.Row) *smtp.Code) func(*decoder, *event.Row, jsonl.Value) error {
	return func(_ *decoder, r *event.Row, v jsonl.Value) (err error) { *at(r), err = codeOf(v); return err }
}

func enhanced(at func(*event.Row) *smtp.Enhanced) func(*decoder, *event.Row, jsonl.Value) error {
	return func(_ *decoder, r *event.Row, v jsonl.Value) (err error) { *at(r), err = enhancedOf(v); return err }
}

func ending(at func(*event.Row) *event.Ending) func(*decoder, *event.Row, jsonl.Value) error {
	return func(_ *decoder, r *event.Row, v jsonl.Value) (err error) { *at(r), err = endingOf(v); return err }
}

func told(at func(*event.Row) *event.Told) func(*decoder, *event.Row, jsonl.Value) error {
	return func(_ *decoder, r *event.Row, v jsonl.Value) (err error) { *at(r), err = toldOf(v); return err }
}

const required, optional = true, false

// rowFields lists the keys of each kind, beside "kind". Others are ignored, so that a later version may add some.
var rowFields = [event.NumKinds][]field{
	event.KindStart: {
		{"format", required, func(_ *decoder, _ *event.Row, v jsonl.Value) error { return formatOf(v) }},
		{"run", optional, name(func(r *event.Row) *string { return &r.Start.Run })},
		{"time", required, instant(func(r *event.Row) *time.Time { return &r.Start.Time })},
		{"plan", required, name(func(r *event.Row) *string { return &r.Start.Plan })},
		{"plan_hash", required, name(func(r *event.Row) *string { return &r.Start.PlanHash })},
		{"seed", required, number(func(r *event.Row) *uint64 { return &r.Start.Seed })},
		{"durability", required, func(_ *decoder, r *event.Row, v jsonl.Value) (err error) {
			r.Start.Durability, err = durabilityOf(v)
			return err
		}},
		{"reactions", optional, name(func(r *event.Row) *string { return &r.Start.Reactions })},
	},
	event.KindSwap: {
		{"time", required, instant(func(r *event.Row) *time.Time { return &r.Swap.Time })},
		{"plan", required, name(func(r *event.Row) *string { return &r.Swap.Plan })},
		{"plan_hash", required, name(func(r *event.Row) *string { return &r.Swap.PlanHash })},
		{"seed", required, number(func(r *event.Row) *uint64 { return &r.Swap.Seed })},
		{"restart", optional, flag(func(r *event.Row) *bool { return &r.Swap.Restart })},
		{"reactions", optional, name(func(r *event.Row) *string { return &r.Swap.Reactions })},
	},
	event.KindGap: {
		{"rows", required, number(func(r *event.Row) *uint64 { return &r.Gap.Rows })},
		{"error", required, name(func(r *event.Row) *string { return &r.Gap.Error })},
	},
	event.KindConnection: {
		{"conn", required, number(func(r *event.Row) *uint64 { return &r.Connection.Conn })},
		{"listener", required, name(func(r *event.Row) *string { return &r.Connection.Listener })},
		{"client", optional, client(func(r *event.Row) *netip.AddrPort { return &r.Connection.Client })},
		{"time", required, instant(func(r *event.Row) *time.Time { return &r.Connection.Time })},
		{"end", required, instant(func(r *event.Row) *time.Time { return &r.Connection.End })},
		{"via", optional, via},
		{"phase", optional, name(func(r *event.Row) *string { return &r.Connection.Phase })},
		{"helo", optional, octets(func(r *event.Row) *[]byte { return &r.Connection.Helo })},
		{"extended", optional, flag(func(r *event.Row) *bool { return &r.Connection.Extended })},
		{"tls", optional, name(func(r *event.Row) *string { return &r.Connection.TLS })},
		{"messages", required, number(func(r *event.Row) *uint64 { return &r.Connection.Messages })},
		{"attempts", required, number(func(r *event.Row) *uint64 { return &r.Connection.Attempts })},
		{"delivered", required, number(func(r *event.Row) *uint64 { return &r.Connection.Delivered })},
		{"octets_in", required, number(func(r *event.Row) *uint64 { return &r.Connection.OctetsIn })},
		{"octets_out", required, number(func(r *event.Row) *uint64 { return &r.Connection.OctetsOut })},
		{"undeclared_8bit", optional, number(func(r *event.Row) *uint64 { return &r.Connection.Undeclared8Bit })},
		{"pregreet", optional, flag(func(r *event.Row) *bool { return &r.Connection.Pregreet })},
		{"user", optional, name(func(r *event.Row) *string { return &r.Connection.User })},
		{"injections", optional, number(func(r *event.Row) *uint64 { return &r.Connection.Injections })},
		{"bad_switches", optional, number(func(r *event.Row) *uint64 { return &r.Connection.BadSwitches })},
		{"bad_switch", optional, name(func(r *event.Row) *string { return &r.Connection.BadSwitch })},
		{"long_headers", optional, number(func(r *event.Row) *uint64 { return &r.Connection.LongHeaders })},
		{"stage", optional, stage(func(r *event.Row) *smtp.Stage { return &r.Connection.Stage })},
		{"code", optional, code(func(r *event.Row) *smtp.Code { return &r.Connection.Code })},
		{"enhanced", optional, enhanced(func(r *event.Row) *smtp.Enhanced { return &r.Connection.Enhanced })},
		{"text", optional, words(func(r *event.Row) *string { return &r.Connection.Text })},
		{"refused", optional, stage(func(r *event.Row) *smtp.Stage { return &r.Connection.Refusal.Stage })},
		{"refused_code", optional, code(func(r *event.Row) *smtp.Code { return &r.Connection.Refusal.Code })},
		{"refused_enhanced", optional, enhanced(func(r *event.Row) *smtp.Enhanced { return &r.Connection.Refusal.Enhanced })},
		{"refused_cause", optional, name(func(r *event.Row) *string { return &r.Connection.Refusal.Cause })},
		{"cause", optional, name(func(r *event.Row) *string { return &r.Connection.Cause })},
		{"fault", optional, name(func(r *event.Row) *string { return &r.Connection.Fault })},
		{"reason", required, func(d *decoder, r *event.Row, v jsonl.Value) (err error) {
			r.Connection.Reason, err = d.reason(v)
			return err
		}},
		{"error", optional, name(func(r *event.Row) *string { return &r.Connection.Error })},
		{"told", optional, told(func(r *event.Row) *event.Told { return &r.Connection.Told })},
		{"cut", optional, name(func(r *event.Row) *string { return &r.Connection.Cut })},
	},
	event.KindTransaction: {
		{"conn", required, number(func(r *event.Row) *uint64 { return &r.Transaction.Conn })},
		{"listener", required, name(func(r *event.Row) *string { return &r.Transaction.Listener })},
		{"client", optional, client(func(r *event.Row) *netip.AddrPort { return &r.Transaction.Client })},
		{"time", required, instant(func(r *event.Row) *time.Time { return &r.Transaction.Time })},
		{"end", required, instant(func(r *event.Row) *time.Time { return &r.Transaction.End })},
		{"message", optional, number(func(r *event.Row) *uint64 { return &r.Transaction.Message })},
		{"phase", optional, name(func(r *event.Row) *string { return &r.Transaction.Phase })},
		{"sender", required, octets(func(r *event.Row) *[]byte { return &r.Transaction.Sender })},
		{"n", optional, number(func(r *event.Row) *uint64 { return &r.Transaction.N })},
		{"token", required, octets(func(r *event.Row) *[]byte { return &r.Transaction.Token })},
		{"ending", required, ending(func(r *event.Row) *event.Ending { return &r.Transaction.Ending })},
		{"stage", required, stage(func(r *event.Row) *smtp.Stage { return &r.Transaction.Stage })},
		{"code", optional, code(func(r *event.Row) *smtp.Code { return &r.Transaction.Code })},
		{"enhanced", optional, enhanced(func(r *event.Row) *smtp.Enhanced { return &r.Transaction.Enhanced })},
		{"text", optional, words(func(r *event.Row) *string { return &r.Transaction.Text })},
		{"cause", optional, name(func(r *event.Row) *string { return &r.Transaction.Cause })},
		{"fault", optional, name(func(r *event.Row) *string { return &r.Transaction.Fault })},
		{"reply_sent", required, flag(func(r *event.Row) *bool { return &r.Transaction.ReplySent })},
		{"handed", optional, instant(func(r *event.Row) *time.Time { return &r.Transaction.Handed })},
		{"ambiguous", optional, flag(func(r *event.Row) *bool { return &r.Transaction.Ambiguous })},
		{"cut", optional, name(func(r *event.Row) *string { return &r.Transaction.Cut })},
	},
	event.KindAttempt: {
		{"conn", required, number(func(r *event.Row) *uint64 { return &r.Attempt.Conn })},
		{"listener", required, name(func(r *event.Row) *string { return &r.Attempt.Listener })},
		{"client", optional, client(func(r *event.Row) *netip.AddrPort { return &r.Attempt.Client })},
		{"time", required, instant(func(r *event.Row) *time.Time { return &r.Attempt.Time })},
		{"end", required, instant(func(r *event.Row) *time.Time { return &r.Attempt.End })},
		{"message", optional, number(func(r *event.Row) *uint64 { return &r.Attempt.Message })},
		{"phase", optional, name(func(r *event.Row) *string { return &r.Attempt.Phase })},
		{"sender", required, octets(func(r *event.Row) *[]byte { return &r.Attempt.Sender })},
		{"recipient", required, octets(func(r *event.Row) *[]byte { return &r.Attempt.Recipient })},
		{"n", optional, number(func(r *event.Row) *uint64 { return &r.Attempt.N })},
		{"token", required, octets(func(r *event.Row) *[]byte { return &r.Attempt.Token })},
		{"storm_id", optional, octets(func(r *event.Row) *[]byte { return &r.Attempt.StormID })},
		{"message_id", optional, octets(func(r *event.Row) *[]byte { return &r.Attempt.MessageID })},
		{"orcpt", optional, octets(func(r *event.Row) *[]byte { return &r.Attempt.ORCPT })},
		{"mail", optional, instant(func(r *event.Row) *time.Time { return &r.Attempt.Mail })},
		{"ending", required, ending(func(r *event.Row) *event.Ending { return &r.Attempt.Ending })},
		{"stage", required, stage(func(r *event.Row) *smtp.Stage { return &r.Attempt.Stage })},
		{"code", optional, code(func(r *event.Row) *smtp.Code { return &r.Attempt.Code })},
		{"enhanced", optional, enhanced(func(r *event.Row) *smtp.Enhanced { return &r.Attempt.Enhanced })},
		{"text", optional, words(func(r *event.Row) *string { return &r.Attempt.Text })},
		{"cause", optional, name(func(r *event.Row) *string { return &r.Attempt.Cause })},
		{"fault", optional, name(func(r *event.Row) *string { return &r.Attempt.Fault })},
		{"delivered", required, flag(func(r *event.Row) *bool { return &r.Attempt.Delivered })},
		{"reply_sent", required, flag(func(r *event.Row) *bool { return &r.Attempt.ReplySent })},
		{"handed", optional, instant(func(r *event.Row) *time.Time { return &r.Attempt.Handed })},
		{"ambiguous", optional, flag(func(r *event.Row) *bool { return &r.Attempt.Ambiguous })},
		{"size", optional, func(_ *decoder, r *event.Row, v jsonl.Value) (err error) { r.Attempt.Size, err = sizeOf(v); return err }},
		{"amends", optional, flag(func(r *event.Row) *bool { return &r.Attempt.Amends })},
		{"cut", optional, name(func(r *event.Row) *string { return &r.Attempt.Cut })},
	},
	event.KindMessage: {
		{"conn", required, number(func(r *event.Row) *uint64 { return &r.Message.Conn })},
		{"message", required, number(func(r *event.Row) *uint64 { return &r.Message.Message })},
		{"time", required, instant(func(r *event.Row) *time.Time { return &r.Message.Time })},
		{"storm_id", optional, func(_ *decoder, r *event.Row, v jsonl.Value) (err error) {
			r.Message.Headers = true
			r.Message.StormID, err = v.Text()
			return err
		}},
		{"message_id", optional, func(_ *decoder, r *event.Row, v jsonl.Value) (err error) {
			r.Message.Headers = true
			r.Message.MessageID, err = v.Text()
			return err
		}},
		{"body_xxh64", optional, func(_ *decoder, r *event.Row, v jsonl.Value) (err error) {
			r.Message.Hashed = true
			r.Message.Body, err = v.Hash()
			return err
		}},
		{"size", optional, func(_ *decoder, r *event.Row, v jsonl.Value) (err error) { r.Message.Size, err = sizeOf(v); return err }},
		{"queue_id", optional, func(_ *decoder, r *event.Row, v jsonl.Value) (err error) {
			r.Message.QueueID, err = queueIDOf(v)
			return err
		}},
		{"seven_bit", optional, flag(func(r *event.Row) *bool { return &r.Message.SevenBit })},
	},
	event.KindTold: {
		{"conn", required, number(func(r *event.Row) *uint64 { return &r.Told.Conn })},
		{"message", required, number(func(r *event.Row) *uint64 { return &r.Told.Message })},
		{"recipient", optional, octets(func(r *event.Row) *[]byte { return &r.Told.Recipient })},
		{"told", required, told(func(r *event.Row) *event.Told { return &r.Told.Told })},
	},
	event.KindPhase: {
		{"time", required, instant(func(r *event.Row) *time.Time { return &r.Phase.Time })},
		{"phase", required, name(func(r *event.Row) *string { return &r.Phase.Phase })},
	},
	event.KindStorm: {
		{"time", required, instant(func(r *event.Row) *time.Time { return &r.Storm.Time })},
		{"action", required, name(func(r *event.Row) *string { return &r.Storm.Action })},
		{"phase", required, name(func(r *event.Row) *string { return &r.Storm.Phase })},
		{"index", required, number(func(r *event.Row) *uint64 { return &r.Storm.Index })},
		{"by_ns", optional, func(_ *decoder, r *event.Row, v jsonl.Value) error {
			by, err := v.Uint(63)
			r.Storm.By = time.Duration(by) // #nosec G115 -- 63 bits
			return err
		}},
	},
	event.KindReset: {
		{"time", required, instant(func(r *event.Row) *time.Time { return &r.Reset.Time })},
		{"epoch", required, number(func(r *event.Row) *uint64 { return &r.Reset.Epoch })},
		{"state", optional, flag(func(r *event.Row) *bool { return &r.Reset.State })},
	},
	event.KindStanding: {
		{"time", required, instant(func(r *event.Row) *time.Time { return &r.Standing.Time })},
		{"conn", optional, number(func(r *event.Row) *uint64 { return &r.Standing.Conn })},
		{"react", required, name(func(r *event.Row) *string { return &r.Standing.React })},
		{"reaction", required, func(_ *decoder, r *event.Row, v jsonl.Value) (err error) {
			r.Standing.Reaction, err = v.Hash()
			return err
		}},
		{"key", required, name(func(r *event.Row) *string { return &r.Standing.Key })},
		{"fingerprint", required, func(_ *decoder, r *event.Row, v jsonl.Value) (err error) {
			r.Standing.Fingerprint, err = fingerprintOf(v)
			return err
		}},
		{"from", required, func(_ *decoder, r *event.Row, v jsonl.Value) (err error) {
			r.Standing.From, err = levelOf(v)
			return err
		}},
		{"to", required, func(_ *decoder, r *event.Row, v jsonl.Value) (err error) { r.Standing.To, err = levelOf(v); return err }},
		{"until", optional, instant(func(r *event.Row) *time.Time { return &r.Standing.Until })},
		{"reason", required, func(_ *decoder, r *event.Row, v jsonl.Value) (err error) {
			r.Standing.Reason, err = standingReasonOf(v)
			return err
		}},
		{"stage", optional, stage(func(r *event.Row) *smtp.Stage { return &r.Standing.Stage })},
		{"code", optional, code(func(r *event.Row) *smtp.Code { return &r.Standing.Code })},
		{"enhanced", optional, enhanced(func(r *event.Row) *smtp.Enhanced { return &r.Standing.Enhanced })},
		{"cause", optional, name(func(r *event.Row) *string { return &r.Standing.Cause })},
		{"cut", optional, name(func(r *event.Row) *string { return &r.Standing.Cut })},
	},
	event.KindStop: {
		{"time", required, instant(func(r *event.Row) *time.Time { return &r.Stop.Time })},
		{"rows", optional, number(func(r *event.Row) *uint64 { return &r.Stop.Rows })},
	},
}
