package report

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// ErrorCount is how often clients met something else than a reply.
type ErrorCount struct {
	Phase   string `json:"phase"` // of the dialogue, or connect
	Code    int    `json:"code"`  // as docs/api.md lists them
	Meaning string `json:"meaning,omitempty"`
	Count   uint64 `json:"count"`
}

// meanings are those of docs/api.md, Error codes.
var meanings = map[int]string{
	1020: "an address that can't be sent", 1021: "not ASCII, and the server has no extension for it", 1030: "another positive reply than was due",
	1040: "no mechanism of AUTH fits", 1041: "AUTH was ended by the client", 1050: "timeout", 1060: "aborted by the end of the iteration", 1070: "malformed reply",
	1100: "DNS", 1101: "no such host", 1110: "address is blocked", 1111: "host name is blocked", 1200: "TCP", 1201: "broken pipe", 1210: "can't connect",
	1211: "timeout while connecting", 1212: "connection refused", 1220: "connection reset", 1230: "closed by the server", 1300: "TLS", 1301: "what came is no TLS",
	1310: "unknown authority", 1311: "certificate of another host", 1320: "STARTTLS is not offered",
}

// errorsOf counts the errors of a run's clients, the most frequent first.
func errorsOf(c *result.Client) (out []ErrorCount) {
	if c == nil {
		return nil
	}
	for _, s := range c.Find("smtp_errors", nil) {
		code, _ := strconv.Atoi(s.Tags["error_code"]) // one that is no number has no meaning
		n := uint64(s.Summary().Sum)
		i := slices.IndexFunc(out, func(e ErrorCount) bool { return e.Phase == s.Tags["phase"] && e.Code == code })
		if i < 0 {
			i, out = len(out), append(out, ErrorCount{Phase: s.Tags["phase"], Code: code, Meaning: meanings[code]})
		}
		out[i].Count += n
	}
	out = slices.DeleteFunc(out, func(e ErrorCount) bool { return e.Count == 0 })
	slices.SortFunc(out, func(a, b ErrorCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Phase, b.Phase), cmp.Compare(a.Code, b.Code))
	})
	return out
}

// errorTable lays them out.
func errorTable(leg *Leg) string {
	if len(leg.Errors) == 0 {
		return ""
	}
	t := text.Table{Right: []int{2}}
	t.Row("instead of a reply: "+leg.Label, "", "")
	for _, e := range leg.Errors {
		t.Row(e.Phase, strconv.Itoa(e.Code)+" "+e.Meaning, count(e.Count))
	}
	return t.String()
}
