package ledger

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

var epoch = time.Date(2026, 1, 31, 10, 20, 30, 500_000_000, time.UTC)

// at returns the instant n seconds after the tests' epoch.
func at(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }

// goldenRows are one full and one sparse row of each kind, as they stand in a file.
var goldenRows = []struct {
	name string
	row  event.Row
	line string
}{
	{"start", event.Row{Kind: event.KindStart, Start: event.Start{Run: "R1", Time: at(0), Plan: "calm", PlanHash: "00c0ffee", Seed: 1<<64 - 1, Durability: event.Batch, Reactions: "00000000c0ffee00 0000000000000001"}},
		`{"kind":"start","format":"smtpstorm/ledger/2","run":"R1","time":"2026-01-31T10:20:30.5Z","plan":"calm","plan_hash":"00c0ffee","seed":18446744073709551615,"durability":"batch","reactions":"00000000c0ffee00 0000000000000001"}`},
	{"swap", event.Row{Kind: event.KindSwap, Swap: event.Swap{Time: at(1), Plan: "storm", PlanHash: "1f", Seed: 7, Restart: true, Reactions: "0000000000000001"}},
		`{"kind":"swap","time":"2026-01-31T10:20:31.5Z","plan":"storm","plan_hash":"1f","seed":7,"restart":true,"reactions":"0000000000000001"}`},
	{"gap", event.Row{Kind: event.KindGap, Gap: event.Gap{Rows: 12, Error: "no space left on device"}},
		`{"kind":"gap","rows":12,"error":"no space left on device"}`},
	{"connection, full", event.Row{Kind: event.KindConnection, Connection: event.Connection{
		Conn: 9, Listener: "mx1", Client: netip.MustParseAddrPort("[2001:db8::1]:40000"), Time: at(0), End: at(2), Phase: "outage", Helo: []byte("a.example"),
		Via: netip.MustParseAddrPort("192.0.2.9:9"), Extended: true, TLS: "TLS 1.3", Messages: 3, Attempts: 4, Delivered: 1, OctetsIn: 500, OctetsOut: 600, Undeclared8Bit: 1, Pregreet: true, User: "ann", Injections: 2, BadSwitches: 3, BadSwitch: "RCPT 999+a@x", LongHeaders: 4, Stage: smtp.StageMail,
		Code: 421, Enhanced: smtp.Enhanced{Class: 4, Subject: 3, Detail: 2}, Text: "mx closes\non 192.0.2.1",
		Refusal: event.Refusal{Stage: smtp.StageConnect, Code: 554, Enhanced: smtp.Enhanced{Class: 5, Subject: 7, Detail: 1}, Cause: "react:blocked"}, Cause: "rule:close", Fault: "rst-after", Reason: "error", Error: "connection reset by peer",
	}},
		`{"kind":"connection","conn":9,"listener":"mx1","client":"[2001:db8::1]:40000","time":"2026-01-31T10:20:30.5Z","end":"2026-01-31T10:20:32.5Z","via":"192.0.2.9:9","phase":"outage",` +
			`"helo":"a.example","extended":true,"tls":"TLS 1.3","messages":3,"attempts":4,"delivered":1,"octets_in":500,"octets_out":600,"undeclared_8bit":1,` +
			`"pregreet":true,"user":"ann","injections":2,"bad_switches":3,"bad_switch":"RCPT 999+a@x","long_headers":4,` +
			`"stage":"mail","code":421,"enhanced":"4.3.2","text":"mx closes\non 192.0.2.1","refused":"connect","refused_code":554,"refused_enhanced":"5.7.1","refused_cause":"react:blocked","cause":"rule:close","fault":"rst-after","reason":"error","error":"connection reset by peer"}`},
	{"connection over a unix socket", event.Row{Kind: event.KindConnection, Connection: event.Connection{Conn: 1, Listener: "lmtp", Time: at(0), End: at(0), Reason: "eof"}},
		`{"kind":"connection","conn":1,"listener":"lmtp","time":"2026-01-31T10:20:30.5Z","end":"2026-01-31T10:20:30.5Z","messages":0,"attempts":0,"delivered":0,"octets_in":0,"octets_out":0,"reason":"eof"}`},
	{"transaction", event.Row{Kind: event.KindTransaction, Transaction: event.Transaction{
		Conn: 9, Listener: "mx1", Client: netip.MustParseAddrPort("192.0.2.1:1025"), Time: at(0), End: at(1), Message: 2, Phase: "outage", Sender: []byte("s+1@src.example"), N: 3,
		Token: []byte("s+1@src.example"), Ending: event.EndReply, Stage: smtp.StageMail, Code: 450, Enhanced: smtp.Enhanced{Class: 4, Subject: 2, Detail: 0}, Text: "later, 192.0.2.1", Cause: "rule:defer", Fault: "split", ReplySent: true,
	}},
		`{"kind":"transaction","conn":9,"listener":"mx1","client":"192.0.2.1:1025","time":"2026-01-31T10:20:30.5Z","end":"2026-01-31T10:20:31.5Z","message":2,"phase":"outage",` +
			`"sender":"s+1@src.example","n":3,"token":"s+1@src.example","ending":"reply","stage":"mail","code":450,"enhanced":"4.2.0","text":"later, 192.0.2.1","cause":"rule:defer","fault":"split","reply_sent":true}`},
	{"attempt, full", event.Row{Kind: event.KindAttempt, Attempt: event.Attempt{
		Conn: 9, Listener: "mx1", Client: netip.MustParseAddrPort("192.0.2.1:1025"), Time: at(0), End: at(1), Message: 3, Phase: "calm", Sender: []byte("s+1@src.example"),
		Recipient: []byte("r1@a.example"), N: 2, Token: []byte("ENVID-1"), StormID: []byte("run-1"), MessageID: []byte("<1@src.example>"), Ending: event.EndReply, Stage: smtp.StageMessage,
		Code: 250, Enhanced: smtp.Enhanced{Class: 2}, Text: "kept as \"X\"", Cause: "plain", Fault: "rst-before", Delivered: true, ReplySent: true, Ambiguous: true, Size: 1024, Amends: true,
	}},
		`{"kind":"attempt","conn":9,"listener":"mx1","client":"192.0.2.1:1025","time":"2026-01-31T10:20:30.5Z","end":"2026-01-31T10:20:31.5Z","message":3,"phase":"calm",` +
			`"sender":"s+1@src.example","recipient":"r1@a.example","n":2,"token":"ENVID-1","storm_id":"run-1","message_id":"<1@src.example>","ending":"reply","stage":"message",` +
			`"code":250,"enhanced":"2.0.0","text":"kept as \"X\"","cause":"plain","fault":"rst-before","delivered":true,"reply_sent":true,"ambiguous":true,"size":1024,"amends":true}`},
	{"attempt without a reply", event.Row{Kind: event.KindAttempt, Attempt: event.Attempt{
		Conn: 9, Listener: "mx1", Time: at(0), End: at(1), Sender: []byte("a\"b\\\x01@x"), Recipient: []byte("g\xc3\xbcn@\xff\x80"), Token: []byte{}, Ending: event.EndLost, Stage: smtp.StageData,
	}},
		`{"kind":"attempt","conn":9,"listener":"mx1","time":"2026-01-31T10:20:30.5Z","end":"2026-01-31T10:20:31.5Z","sender":"a\"b\\\u0001@x","recipient":"gün@\udcff\udc80",` +
			`"token":"","ending":"lost","stage":"data","delivered":false,"reply_sent":false}`},
	{"message", event.Row{Kind: event.KindMessage, Message: event.Message{
		Conn: 9, Message: 3, Time: at(1), Headers: true, StormID: []byte("run-1"), Hashed: true, Body: 0xef46db3751d8e999, Size: 12, QueueID: 0xfabd08242b4d8374, SevenBit: true,
	}},
		`{"kind":"message","conn":9,"message":3,"time":"2026-01-31T10:20:31.5Z","storm_id":"run-1","message_id":"","body_xxh64":"ef46db3751d8e999","size":12,"queue_id":"FABD08242B4D8374","seven_bit":true}`},
	{"message of which nothing is known", event.Row{Kind: event.KindMessage, Message: event.Message{Conn: 9, Message: 3, Time: at(1)}},
		`{"kind":"message","conn":9,"message":3,"time":"2026-01-31T10:20:31.5Z"}`},
	{"told", event.Row{Kind: event.KindTold, Told: event.Exception{Conn: 9, Message: 3, Recipient: []byte("r1@a.example"), Told: event.ToldNo}},
		`{"kind":"told","conn":9,"message":3,"recipient":"r1@a.example","told":"untold"}`},
	{"phase", event.Row{Kind: event.KindPhase, Phase: event.Phase{Time: at(1), Phase: "outage"}}, `{"kind":"phase","time":"2026-01-31T10:20:31.5Z","phase":"outage"}`},
	{"storm", event.Row{Kind: event.KindStorm, Storm: event.Storm{Time: at(1), Action: "extend", Phase: "outage", Index: 1, By: 90 * time.Second}},
		`{"kind":"storm","time":"2026-01-31T10:20:31.5Z","action":"extend","phase":"outage","index":1,"by_ns":90000000000}`},
	{"reset", event.Row{Kind: event.KindReset, Reset: event.Reset{Time: at(1), Epoch: 2, State: true}}, `{"kind":"reset","time":"2026-01-31T10:20:31.5Z","epoch":2,"state":true}`},
	{"standing", event.Row{Kind: event.KindStanding, Standing: event.Standing{
		Time: at(1), Conn: 9, React: "harvester", Reaction: 0xc0ffee00, Key: "192.0.2.1", Fingerprint: [16]byte{0: 0xef, 15: 1}, From: 1, To: 2, Until: at(61), Reason: event.StandingWorse,
		Stage: smtp.StageRcpt, Code: 550, Enhanced: smtp.Enhanced{Class: 5, Subject: 1, Detail: 1}, Cause: "rule:unknown",
	}},
		`{"kind":"standing","time":"2026-01-31T10:20:31.5Z","conn":9,"react":"harvester","reaction":"00000000c0ffee00","key":"192.0.2.1","fingerprint":"ef000000000000000000000000000001",` +
			`"from":1,"to":2,"until":"2026-01-31T10:21:31.5Z","reason":"worse","stage":"rcpt","code":550,"enhanced":"5.1.1","cause":"rule:unknown"}`},
	{"standing, forgiven", event.Row{Kind: event.KindStanding, Standing: event.Standing{Time: at(1), React: "r", Key: "a.example", From: 62, Reason: event.StandingForgiven}},
		`{"kind":"standing","time":"2026-01-31T10:20:31.5Z","react":"r","reaction":"0000000000000000","key":"a.example","fingerprint":"00000000000000000000000000000000","from":62,"to":0,"reason":"forgiven"}`},
	{"stop", event.Row{Kind: event.KindStop, Stop: event.Stop{Time: at(1)}}, `{"kind":"stop","time":"2026-01-31T10:20:31.5Z"}`},
	{"stop that knows its rows", event.Row{Kind: event.KindStop, Stop: event.Stop{Time: at(1), Rows: 17}}, `{"kind":"stop","time":"2026-01-31T10:20:31.5Z","rows":17}`},
}

func TestRowsAsTheyStandInAFile(t *testing.T) {
	for _, g := range goldenRows {
		if got := string(Append(nil, &g.row)); got != g.line+"\n" {
			t.Errorf("%s:\n got %s want %s", g.name, got, g.line)
		}
		var d decoder
		var got event.Row
		if err := d.decode([]byte(g.line), &got); err != nil {
			t.Errorf("%s: decoding: %v", g.name, err)
		} else if !reflect.DeepEqual(normal(got), normal(g.row)) {
			t.Errorf("%s decoded as\n%+v\nwant\n%+v", g.name, got, g.row)
		}
	}
}

// normal makes empty slices nil, which encode the same.
func normal(r event.Row) event.Row {
	for _, b := range []*[]byte{&r.Connection.Helo, &r.Transaction.Sender, &r.Transaction.Token, &r.Attempt.Sender, &r.Attempt.Recipient, &r.Attempt.Token, &r.Attempt.StormID, &r.Attempt.MessageID,
		&r.Attempt.ORCPT, &r.Message.StormID, &r.Message.MessageID, &r.Told.Recipient} {
		if len(*b) == 0 {
			*b = nil
		}
	}
	return r
}

// drawRow draws a row of any kind with any octets in its strings.
func drawRow(t *rapid.T) event.Row {
	octets := func(label string) []byte { return rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, label) }
	text := func(label string) string { return string(octets(label)) }
	instant := func(label string) time.Time {
		return time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, label), rapid.Int64Range(0, 999_999_999).Draw(t, label+" ns")).UTC()
	}
	number := func(label string) uint64 { return rapid.Uint64().Draw(t, label) }
	flag := func(label string) bool { return rapid.Bool().Draw(t, label) }
	code := func() smtp.Code {
		if flag("has code") {
			return smtp.Code(rapid.IntRange(100, 999).Draw(t, "code"))
		}
		return 0
	}
	enhanced := func() smtp.Enhanced {
		return rapid.SampledFrom([]smtp.Enhanced{{}, {Class: 2}, {Class: 4, Subject: 999, Detail: 1}, {Class: 5, Subject: 1, Detail: 10}}).Draw(t, "enhanced")
	}
	stage := func() smtp.Stage { return smtp.Stage(rapid.IntRange(0, smtp.NumStages-1).Draw(t, "stage")) }
	end := func() event.Ending { return event.Ending(rapid.IntRange(0, event.NumEndings-1).Draw(t, "ending")) }
	client := rapid.SampledFrom([]netip.AddrPort{
		{}, netip.MustParseAddrPort("192.0.2.1:25"), netip.MustParseAddrPort("[::1]:65535"), netip.MustParseAddrPort("[::ffff:192.0.2.1]:0"), netip.MustParseAddrPort("[fe80::1%eth0\"]:1"),
	}).Draw(t, "client")
	r := event.Row{Kind: event.Kind(rapid.IntRange(0, event.NumKinds-1).Draw(t, "kind"))}
	switch r.Kind {
	case event.KindStart:
		r.Start = event.Start{Run: text("run"), Time: instant("time"), Plan: text("plan"), PlanHash: text("hash"), Seed: number("seed"), Durability: event.Durability(rapid.IntRange(0, event.NumDurabilities-1).Draw(t, "durability")), Reactions: text("reactions")}
	case event.KindSwap:
		r.Swap = event.Swap{Time: instant("time"), Plan: text("plan"), PlanHash: text("hash"), Seed: number("seed"), Restart: flag("restart"), Reactions: text("reactions")}
	case event.KindGap:
		r.Gap = event.Gap{Rows: number("rows"), Error: text("error")}
	case event.KindConnection:
		r.Connection = event.Connection{
			Conn: number("conn"), Listener: text("listener"), Client: client, Via: client, Time: instant("time"), End: instant("end"), Phase: text("phase"), Helo: octets("helo"), Extended: flag("extended"),
			TLS: text("tls"), Messages: number("messages"), Attempts: number("attempts"), Delivered: number("delivered"), OctetsIn: number("in"), OctetsOut: number("out"),
			Pregreet: flag("pregreet"), User: text("user"), Injections: number("injections"), BadSwitches: number("bad"), BadSwitch: text("switch"), LongHeaders: number("long"),
			Undeclared8Bit: number("8bit"), Code: code(), Fault: text("fault"), Reason: "r" + text("reason"), Error: text("error"), Told: event.Told(rapid.IntRange(0, event.NumTold-1).Draw(t, "told")),
		}
		if r.Connection.Code != 0 {
			r.Connection.Stage, r.Connection.Enhanced = stage(), enhanced()
		}
		if r.Connection.Cause = text("cause"); flag("refused") {
			r.Connection.Refusal = event.Refusal{Stage: stage(), Code: smtp.Code(rapid.IntRange(100, 999).Draw(t, "refused")), Enhanced: enhanced(), Cause: text("refused by")}
		}
	case event.KindTransaction:
		r.Transaction = event.Transaction{
			Conn: number("conn"), Listener: text("listener"), Client: client, Time: instant("time"), End: instant("end"), Message: number("message"), Phase: text("phase"), Sender: octets("sender"),
			N: number("n"), Token: octets("token"), Ending: end(), Stage: stage(), Code: code(), Enhanced: enhanced(), Text: text("text"), Cause: text("cause"), Fault: text("fault"), ReplySent: flag("sent"), Handed: instant("handed"), Ambiguous: flag("ambiguous"),
		}
	case event.KindAttempt:
		r.Attempt = event.Attempt{
			Conn: number("conn"), Listener: text("listener"), Client: client, Time: instant("time"), End: instant("end"), Message: number("message"), Phase: text("phase"), Sender: octets("sender"),
			Recipient: octets("recipient"), N: number("n"), Token: octets("token"), StormID: octets("storm"), MessageID: octets("id"), Ending: end(), Stage: stage(), Code: code(),
			Enhanced: enhanced(), Text: text("text"), Cause: text("cause"), Fault: text("fault"), Delivered: flag("delivered"), ReplySent: flag("sent"), Ambiguous: flag("ambiguous"),
			Size: rapid.Int64Range(0, 1<<62).Draw(t, "size"), Amends: flag("amends"), ORCPT: octets("orcpt"), Mail: instant("mail"), Handed: instant("handed"),
		}
	case event.KindMessage:
		r.Message = event.Message{Conn: number("conn"), Message: number("message"), Time: instant("time"), QueueID: number("queue id"), SevenBit: flag("seven bit")}
		if flag("headers") {
			r.Message.Headers, r.Message.StormID, r.Message.MessageID = true, octets("storm"), octets("id")
		}
		if flag("hashed") {
			r.Message.Hashed, r.Message.Body, r.Message.Size = true, number("body"), rapid.Int64Range(0, 1<<62).Draw(t, "size")
		}
	case event.KindTold:
		r.Told = event.Exception{Conn: number("conn"), Message: number("message"), Recipient: octets("recipient"), Told: event.Told(rapid.IntRange(1, event.NumTold-1).Draw(t, "told"))}
	case event.KindPhase:
		r.Phase = event.Phase{Time: instant("time"), Phase: text("phase")}
	case event.KindStorm:
		r.Storm = event.Storm{Time: instant("time"), Action: text("action"), Phase: text("phase"), Index: number("index"), By: time.Duration(rapid.Int64Range(0, 1<<62).Draw(t, "by"))}
	case event.KindReset:
		r.Reset = event.Reset{Time: instant("time"), Epoch: number("epoch"), State: flag("state")}
	case event.KindStanding:
		level := func(label string) uint64 { return rapid.Uint64Range(0, 62).Draw(t, label) }
		r.Standing = event.Standing{
			Time: instant("time"), React: text("react"), Reaction: number("reaction"), Key: text("key"), Fingerprint: [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "fingerprint")),
			From: level("from"), To: level("to"), Until: instant("until"), Reason: rapid.SampledFrom(standingReasons).Draw(t, "reason"),
		}
		if flag("an occurrence") {
			r.Standing.Conn = rapid.Uint64Range(1, 1<<63).Draw(t, "conn")
			r.Standing.Stage, r.Standing.Code, r.Standing.Enhanced, r.Standing.Cause = stage(), code(), enhanced(), text("cause")
		}
	case event.KindStop:
		r.Stop = event.Stop{Time: instant("time"), Rows: number("rows")}
	}
	return r
}

func TestAnyRowSurvivesTheWayThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		row := drawRow(t)
		line := Append(nil, &row)
		if n := bytes.IndexByte(line, '\n'); n != len(line)-1 {
			t.Fatalf("the row is not one line: %q", line)
		}
		var d decoder
		var got event.Row
		if err := d.decode(line[:len(line)-1], &got); err != nil {
			t.Fatalf("%v\n%s", err, line)
		}
		if !reflect.DeepEqual(normal(got), normal(row)) {
			t.Fatalf("got  %+v\nwant %+v\nline %s", got, row, line)
		}
	})
}

func TestStrictDecoder(t *testing.T) {
	gap := `{"kind":"gap","rows":1,"error":""}`
	tests := []struct{ name, line, want string }{
		{"whitespace and any order", ` { "error" : "" , "rows":1,"kind" :"gap"} `, ""},
		{"nothing", ``, "not a JSON object"},
		{"array", `[]`, "not a JSON object"},
		{"no kind", `{"rows":1}`, `key "kind": missing`},
		{"unknown kind", `{"kind":"gup"}`, `unknown kind "gup" (valid: start connection transaction attempt swap gap message told phase stop storm reset standing)`},
		{"kind of another shape", `{"kind":7}`, `key "kind": a number where a string is due`},
		{"missing key", `{"kind":"gap","rows":1}`, `key "error": missing`},
		{"key of a later version", `{"kind":"gap","rows":1,"error":"","x":1}`, ""},
		{"told without a value", `{"kind":"told","conn":1,"message":1,"told":""}`, `key "told": unknown value "" (valid: told untold unknown)`},
		{"a hash that is none", `{"kind":"message","conn":1,"message":1,"time":"2026-01-31T10:20:31.5Z","body_xxh64":"00C0FFEE00c0ffee"}`, `key "body_xxh64": "00C0FFEE00c0ffee" is not a hash`},
		{"key twice", `{"kind":"gap","rows":1,"rows":1,"error":""}`, `key "rows": given twice`},
		{"negative", `{"kind":"gap","rows":-1,"error":""}`, `key "rows": -1 is no whole number from 0 to 18446744073709551615`},
		{"fraction", `{"kind":"gap","rows":1.5,"error":""}`, `key "rows": 1.5 is no whole number`},
		{"too large", `{"kind":"gap","rows":18446744073709551616,"error":""}`, `key "rows": 18446744073709551616 is no whole number`},
		{"leading zero", `{"kind":"gap","rows":01,"error":""}`, `key "rows": "01" is no number`},
		{"null", `{"kind":"gap","rows":null,"error":""}`, `key "rows": null, an object or an array where a number is due`},
		{"text after it", gap + `{}`, "text after the object"},
		{"torn", gap[:21], `key "rows": no value`},
		{"string without end", `{"kind":"ga`, `key "kind": a string does not end`},
		{"escaped quote at the end", `{"kind":"ga\"`, `key "kind": a string does not end`},
		{"control character", "{\"kind\":\"g\x01p\"}", "control character"},
		{"not UTF-8", "{\"kind\":\"g\xff\"}", "not UTF-8"},
		{"lone high surrogate", `{"kind":"\ud800"}`, "invalid escape"},
		{"surrogate pair", `{"kind":"\ud83d\ude00"}`, `unknown kind "😀"`},
		{"bad time", `{"kind":"swap","time":"yesterday","plan":"","plan_hash":"","seed":0}`, `key "time": "yesterday" is no time such as`},
		{"bad format", `{"kind":"start","format":"smtpstorm/ledger/3"}`, `key "format": "smtpstorm/ledger/3" is unknown (valid: smtpstorm/ledger/2 smtpstorm/ledger/1)`},
	}
	for _, test := range tests {
		var d decoder
		var row event.Row
		err := d.decode([]byte(test.line), &row)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
	attempt := goldenRows[6].line
	for _, change := range []struct{ from, to, want string }{
		{`"code":250`, `"code":25`, `key "code": 25 is no reply code`},
		{`"stage":"message"`, `"stage":"dot"`, `key "stage": unknown stage "dot" (valid: connect`},
		{`"ending":"reply"`, `"ending":"well"`, `key "ending": unknown ending "well" (valid: reply abandoned lost timeout)`},
		{`"enhanced":"2.0.0"`, `"enhanced":"3.0.0"`, `key "enhanced": invalid enhanced status code "3.0.0"`},
		{`"client":"192.0.2.1:1025"`, `"client":"localhost"`, `key "client": "localhost" is no address and port`},
		{`"delivered":true`, `"delivered":"yes"`, `key "delivered": a string where a boolean is due`},
	} {
		line := strings.Replace(attempt, change.from, change.to, 1)
		var d decoder
		var row event.Row
		if err := d.decode([]byte(line), &row); err == nil || !strings.Contains(err.Error(), change.want) {
			t.Errorf("with %s: error %v, want %q", change.to, err, change.want)
		}
	}
}

func FuzzRows(f *testing.F) {
	for _, g := range goldenRows {
		f.Add([]byte(g.line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var d decoder
		var row, again event.Row
		if d.decode(line, &row) != nil {
			return
		}
		encoded := Append(nil, &row)
		if err := d.decode(bytes.TrimSuffix(encoded, []byte("\n")), &again); err != nil {
			t.Fatalf("%q was read, but not as it was written: %v\n%s", line, err, encoded)
		}
		if second := Append(nil, &again); !bytes.Equal(encoded, second) {
			t.Fatalf("written twice:\n%s%s", encoded, second)
		}
	})
}

func TestEncodingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	buf := make([]byte, 0, 4096)
	for _, g := range goldenRows {
		if n := testing.AllocsPerRun(100, func() { buf = Append(buf[:0], &g.row) }); n != 0 {
			t.Errorf("%s: %v allocations per row", g.name, n)
		}
	}
}

func TestDecodingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, g := range goldenRows {
		var d decoder
		var row event.Row
		line := []byte(g.line)
		if n := testing.AllocsPerRun(100, func() {
			if err := d.decode(line, &row); err != nil {
				t.Fatal(err)
			}
		}); n > 1 { // that of netip.AddrPort.UnmarshalText
			t.Errorf("%s: %v allocations per row", g.name, n)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	buf := make([]byte, 0, 4096)
	for _, i := range []int{6, 3} {
		row := &goldenRows[i].row
		b.Run(row.Kind.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buf = Append(buf[:0], row)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	line := []byte(goldenRows[6].line)
	var d decoder
	var row event.Row
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if err := d.decode(line, &row); err != nil {
			b.Fatal(err)
		}
	}
}

// ExampleAppend shows the line of a swap.
func ExampleAppend() {
	row := event.Row{Kind: event.KindSwap, Swap: event.Swap{Time: epoch, Plan: "calm", PlanHash: "2a", Seed: 1}}
	fmt.Printf("%s", Append(nil, &row))
	// Output: {"kind":"swap","time":"2026-01-31T10:20:30.5Z","plan":"calm","plan_hash":"2a","seed":1}
}
