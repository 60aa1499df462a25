package prometheus_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/prometheus"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// BenchmarkScrape is what a scrape costs a sink that has met three stages' worth of faults: with a scrape a second, its time is the share
// of a CPU.
func BenchmarkScrape(b *testing.B) {
	server := sinktest.Start(b, sinktest.WithPlan(plan))
	load(b, server.Addr("").String(), 4, 50)
	for _, accept := range []string{"text/plain", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"} {
		b.Run(accept[:8], func(b *testing.B) {
			h := prometheus.Handler(server, "1")
			request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			request.Header.Set("Accept", accept)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(discard{http.Header{}}, request)
			}
		})
	}
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return io.Discard.Write(p) }
func (d discard) WriteHeader(int)             {}
