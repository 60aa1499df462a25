package plan_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

// FuzzParseService: how a listener serves, LIMITS among it, comes from a flag, too. What is accepted is within bounds, and the same when a plan
// writes it anew; the rest is one line.
func FuzzParseService(f *testing.F) {
	for _, seed := range []string{
		"{limits: {mailmax: 20, rcptmax: 50, rcptdomainmax: 1}}", "{limits: {rcptmax: 0}}", "{limits: {mailmax: 100001}}", "{limits: {}}", "{limits: {rcptmax: 1e2, x: 1}}",
		"{max_size: none, idle_timeout: 5m, auth: [PLAIN, LOGIN], tls_versions: 1.2-, requiretls: refuse}", "{proxy_protocol: true, xclient: loopback}",
		"{xclient: [192.0.2.0/24, '2001:db8::/32']}", "{max_size: 10MiB, tls_versions: 1.0-1.1, requiretls: accept, xclient: 192.0.2.1}", "{", "[]", "", "&a {limits: *a}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := plan.ParseService(data)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("more than a line: %q", err)
			}
			return
		}
		for _, most := range []int{s.Limits.MailMax, s.Limits.RcptMax, s.Limits.RcptDomainMax} {
			if most < 0 || most > fault.MaxServiceLimit {
				t.Errorf("%q has the limits %v", data, s.Limits)
			}
		}
		if words := s.Limits.String(); words != "" && len("250-LIMITS \r\n")+len(words) > 512 {
			t.Errorf("EHLO would announce %q", words)
		}
		spec := fault.PlanSpec{Listeners: []fault.Listener{{Name: "l", Address: "127.0.0.1:0", Service: s}}}
		text := plan.Encode(spec)
		again, err := plan.Parse("encoded.yaml", text)
		if err != nil {
			t.Fatalf("%q is written as\n%s\n%v", data, text, err)
		}
		if got := again.Spec.Listeners[0].Service; !reflect.DeepEqual(got, s) {
			t.Errorf("%q is written as\n%s\nand read as\n%+v\nwant\n%+v", data, text, got, s)
		}
	})
}
