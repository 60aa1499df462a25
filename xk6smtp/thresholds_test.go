package xk6smtp

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"go.k6.io/k6/v2/lib"
	"go.k6.io/k6/v2/metrics"
)

func TestThresholdsThatLookAtNothing(t *testing.T) {
	options := &lib.Options{RunTags: map[string]string{"cause": "x"}, Thresholds: map[string]metrics.Thresholds{}}
	for _, name := range []string{
		"smtp_errors{error_code:1550}", "smtp_errors{error_code:1050}", "smtp_errors", "smtp_replies{code:550,phase:rcpt}", "smtp_replies{ 'phase' : \"nowhere\" }",
		"smtp_messages{code:250}", "smtp_msg_failed{phase:rcpt}", "smtp_messages{scenario:a,mine:b,cause:x}", "http_reqs{code:1}", "smtp_replies{error_code:1050}",
	} {
		options.Thresholds[name] = metrics.Thresholds{}
	}
	expectLines(t, "warnings", hopeless(options),
		"the threshold on smtp_errors{error_code:1550} looks at nothing: smtp_errors counts replies that never came; negative replies are smtp_replies{code:550}",
		"the threshold on smtp_messages{code:250} looks at nothing: smtp_messages has no tag code (it has: expected_response)",
		"the threshold on smtp_msg_failed{phase:rcpt} looks at nothing: smtp_msg_failed has no tag phase (it has: none)",
		`the threshold on smtp_replies{ 'phase' : "nowhere" } looks at nothing: "nowhere" is no phase`,
		"the threshold on smtp_replies{error_code:1050} looks at nothing: smtp_replies has no tag error_code (it has: code enhanced phase)",
	)
}

// TestTagsOfEveryMetricAreKnown holds the table to what is registered.
func TestTagsOfEveryMetricAreKnown(t *testing.T) {
	v := newVU(t)
	var registered []string
	for _, m := range v.rt.VU.InitEnvField.Registry.All() {
		if strings.HasPrefix(m.Name, "smtp_") {
			registered = append(registered, m.Name)
		}
	}
	slices.Sort(registered)
	expectLines(t, "metrics", slices.Sorted(maps.Keys(carried)), registered...)
}
