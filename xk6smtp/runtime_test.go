package xk6smtp

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/grafana/sobek"
	"go.k6.io/k6/v2/js/modulestest"
	"go.k6.io/k6/v2/lib"
	"go.k6.io/k6/v2/lib/netext"
	"go.k6.io/k6/v2/lib/types"
	"go.k6.io/k6/v2/metrics"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// vu is one VU with the module in it, whose samples are collected.
type vu struct {
	t       testing.TB
	rt      *modulestest.Runtime
	root    *RootModule
	samples chan metrics.SampleContainer
	dialer  *netext.Dialer
	tags    *metrics.TagSet
}

// newVU has Client, Message and expectedReplies as globals, and is in the init context.
func newVU(t testing.TB) *vu {
	t.Helper()
	return newVUWithEnv(t, nil)
}

// newVUWithEnv is newVU with k6's option --env.
func newVUWithEnv(t testing.TB, env map[string]string) *vu {
	t.Helper()
	v := &vu{t: t, rt: modulestest.NewRuntime(t), root: New(), samples: make(chan metrics.SampleContainer, 1000)}
	v.rt.VU.InitEnvField.TestPreInitState.RuntimeOptions.Env = env
	v.tags = v.rt.VU.InitEnvField.Registry.RootTagSet().With("scenario", "default")
	for name, value := range v.root.NewModuleInstance(v.rt.VU).Exports().Named {
		if err := v.rt.VU.Runtime().Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range NewSinkModule(v.root).NewModuleInstance(v.rt.VU).Exports().Named {
		if err := v.rt.VU.Runtime().Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(v.root.end)
	return v
}

// activate ends the init context.
func (v *vu) activate() *vu {
	resolver := netext.NewResolver(net.LookupIP, 0, types.DNSfirst, types.DNSpreferIPv4)
	v.dialer = netext.NewDialer(net.Dialer{Timeout: 10 * time.Second}, resolver)
	v.rt.MoveToVUContext(&lib.State{
		Dialer: v.dialer, Samples: v.samples, Tags: lib.NewVUStateTags(v.tags), VUID: 1, BuiltinMetrics: v.rt.BuiltinMetrics,
	})
	return v
}

// global sets a global.
func (v *vu) global(name string, value any) *vu {
	v.t.Helper()
	if err := v.rt.VU.Runtime().Set(name, value); err != nil {
		v.t.Fatal(err)
	}
	return v
}

// run runs the body of an async function to its end and returns what it returned, as a string; an exception comes as "throws ".
// It is one iteration.
func (v *vu) run(body string) string {
	v.t.Helper()
	var out string
	v.global("settle", func(s string) { out = s })
	_, err := v.rt.RunOnEventLoop("(async () => {" + body + "})().then(r => settle(String(r)), e => settle(`throws ${e}`))")
	if err != nil {
		return "throws " + err.Error()
	}
	return out
}

// iteration ends the iteration under way and begins the next.
func (v *vu) iteration() {
	v.rt.CancelContext()
	v.rt.VU.CtxField, v.rt.CancelContext = context.WithCancel(context.Background())
}

// eval runs a synchronous expression.
func (v *vu) eval(code string) (sobek.Value, error) { return v.rt.VU.Runtime().RunString(code) }

// collected returns what was pushed: the containers' number, and sums of values by "metric{tags}"; the tag scenario is left out.
func (v *vu) collected() (containers int, sums map[string]float64) {
	sums = make(map[string]float64)
	for {
		select {
		case container := <-v.samples:
			containers++
			for _, s := range container.GetSamples() {
				sums[seriesName(s)] += s.Value
			}
		default:
			return containers, sums
		}
	}
}

func seriesName(s metrics.Sample) string {
	var tags []string
	for name, value := range s.Tags.Map() {
		if name != "scenario" {
			tags = append(tags, name+":"+value)
		}
	}
	sort.Strings(tags)
	if len(tags) == 0 {
		return s.Metric.Name
	}
	return s.Metric.Name + "{" + strings.Join(tags, ",") + "}"
}

// counts are the series that are no trends, as "series value".
func counts(sums map[string]float64) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		if !strings.HasPrefix(name, "smtp_msg_") && !strings.HasPrefix(name, "smtp_conn_") || strings.Contains(name, "_failed") {
			list = append(list, fmt.Sprintf("%s %v", name, sums[name]))
		}
	}
	return list
}

// trends are the names of the series that are trends.
func trends(sums map[string]float64) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		if (strings.HasPrefix(name, "smtp_msg_") || strings.HasPrefix(name, "smtp_conn_")) && !strings.Contains(name, "_failed") {
			list = append(list, name)
		}
	}
	return list
}

func expectLines(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n\t%s\nexpected:\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// newHosts is k6's option hosts with one entry.
func newHosts(name, ip string) (*types.Hosts, error) {
	host, err := types.NewHost(net.ParseIP(ip), "")
	if err != nil {
		return nil, err
	}
	return types.NewHosts(map[string]types.Host{name: *host})
}
