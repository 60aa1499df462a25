package prometheus

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/smtpstorm/xk6-smtp/sink/count"
)

// Source is a sink.
type Source interface {
	// Totals returns what was counted since the start. The time series may be left out.
	Totals() *count.Counts
}

// maxScrapes is how many scrapes may be under way; further ones are told 503.
const maxScrapes = 4

// Handler returns what serves the metrics of a sink, the CPU time, memory and descriptors of this process, and what Go's runtime tells of
// its heap and goroutines. version is that of the program.
func Handler(source Source, version string) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(&collector{source, version}, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
}
