package xk6smtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grafana/sobek"
	"go.k6.io/k6/v2/js/common"
	"go.k6.io/k6/v2/js/modules"
	"go.k6.io/k6/v2/metrics"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// SinkImportPath is how scripts import the sink.
const SinkImportPath = ImportPath + "/sink"

// SinkModule is what k6 registers for SinkImportPath. It shares its sinks with the root that it was made for, which are thus the same
// ones in setup, in all VUs and in teardown of one process.
type SinkModule struct{ root *RootModule }

// NewSinkModule returns the module of the sinks of root.
func NewSinkModule(root *RootModule) *SinkModule { return &SinkModule{root} }

// NewModuleInstance implements modules.Module.
func (s *SinkModule) NewModuleInstance(vu modules.VU) modules.Instance {
	m, err := registerSinkMetrics(vu.InitEnv().Registry)
	if err != nil {
		common.Throw(vu.Runtime(), fmt.Errorf("%s: register metrics: %w", SinkImportPath, err))
	}
	s.root.events.subscribe(vu.Events(), s.root.begin, s.root.end, s.root.exit)
	return &sinkInstance{module: module{root: s.root, vu: vu}, metrics: m}
}

// sinkInstance is the instance of one VU.
type sinkInstance struct {
	module
	metrics *sinkMetrics
}

// Exports implements modules.Instance.
func (m *sinkInstance) Exports() modules.Exports {
	return modules.Exports{Named: map[string]any{"Sink": map[string]any{"start": m.start, "attach": m.attach}}}
}

// sinkMetrics is what the module registers.
type sinkMetrics struct {
	replies  *metrics.Metric // replies that the sink decided, by phase, code, enhanced and cause
	delivery *metrics.Metric // trend: from the begin of send to the sink's decision
}

func registerSinkMetrics(registry *metrics.Registry) (*sinkMetrics, error) {
	m := &sinkMetrics{}
	for _, r := range m.table() {
		metric, err := registry.NewMetric(r.name, r.typ, r.val)
		if err != nil {
			return nil, err
		}
		*r.into = metric
	}
	return m, nil
}

func (m *sinkMetrics) table() []tableRow {
	return []tableRow{
		{&m.replies, "smtp_sink_replies", metrics.Counter, metrics.Default, "Replies that a sink within k6 decided; sampled by sink.stop()."},
		{&m.delivery, "smtp_delivery_duration", metrics.Trend, metrics.Time, "From the begin of send to the decision of the sink within k6 on the first delivery; sampled by sink.waitFor()."},
	}
}

// embedded is a sink that runs within k6.
type embedded struct {
	data       sinkData
	server     *sink.Server
	deliveries *deliveries
}

// sinkData is what crosses from setup to VUs and teardown, as JSON.
type sinkData struct {
	ID   string `js:"id" json:"id"`
	Host string `js:"host" json:"host"`
	Port int    `js:"port" json:"port"`
	// CA is the certificate, in PEM, that clients must trust for the sink's own; empty without TLS.
	CA string `js:"ca" json:"ca"`
	// Listeners are all of them by name.
	Listeners map[string]sinkAddress `js:"listeners" json:"listeners"`
}

type sinkAddress struct {
	Host string `js:"host" json:"host"`
	Port int    `js:"port" json:"port"`
}

// sinks are the sinks of a process.
type sinks struct {
	any     atomic.Bool // a sink runs: looked at before mu, since every message asks
	mu      sync.Mutex
	running map[string]*embedded
	started int
	sent    *recent[*sending] // by token, while a sink runs
	ended   *count.Counts     // of those that were stopped, all together; nil as long as none was
	inside  int               // connections of clients to sinks of this process
	outside string            // the first other server that clients connected to while a sink ran
}

func newSinks() *sinks {
	return &sinks{running: make(map[string]*embedded), sent: newRecent[*sending]()}
}

func (s *sinks) add(run string, e *embedded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started++
	e.data.ID = fmt.Sprintf("%s-sink-%d", run, s.started)
	s.running[e.data.ID] = e
	s.any.Store(true)
}

func (s *sinks) find(id string) *embedded {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[id]
}

// take removes a sink, so that only one caller stops it.
func (s *sinks) take(id string) *embedded {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.running[id]
	delete(s.running, id)
	s.any.Store(len(s.running) > 0)
	return e
}

// everStarted reports whether the process ever ran a sink.
func (s *sinks) everStarted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.started > 0
}

// counts returns what all sinks that the process ever ran have counted, together.
func (s *sinks) counts() *count.Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.ended
	for _, e := range s.running {
		sum = merged(sum, e.server.Stats())
	}
	return sum
}

// stopped keeps the counts of a sink that has been taken, and stopped.
func (s *sinks) stopped(c *count.Counts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = merged(s.ended, c)
}

// merged returns the sum of two counts, of which the first is nil at first.
func merged(sum, more *count.Counts) *count.Counts {
	if sum == nil {
		return more
	}
	out := *sum
	out.Merge(more)
	return &out
}

// noteDial remembers whom clients connect to while a sink runs.
func (s *sinks) noteDial(remote net.Addr) {
	if s == nil || !s.any.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.running {
		if e.listens(remote) {
			s.inside++
			return
		}
	}
	if s.outside == "" {
		s.outside = remote.String()
	}
}

// spokeTo returns how many connections of clients led to sinks of this process, and the first other server that they connected to
// while a sink ran.
func (s *sinks) spokeTo() (inside int, outside string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inside, s.outside
}

// listens reports whether an address is one of the sink's listeners, of which some may be those of all interfaces.
func (e *embedded) listens(remote net.Addr) bool {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return false
	}
	for _, own := range e.data.Listeners {
		ip := net.ParseIP(own.Host)
		if own.Port == tcp.Port && (ip.Equal(tcp.IP) || ip.IsUnspecified()) {
			return true
		}
	}
	return false
}

// sending is a message that a client of this process sent.
type sending struct {
	at      time.Time // the begin of the first send
	sampled bool      // smtp_delivery_duration has it
}

// claim remembers what is sent for those who wait for its delivery, while a sink runs. A message that is sent again under the same token began with its first
// sending.
func (s *sinks) claim(c *reconcile.Claim) {
	if !s.any.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.sent.get(c.StormID); !ok && c.StormID != "" {
		s.sent.put(c.StormID, &sending{at: c.Sent})
	}
	timeless := *c // a sink's clock may be read once a turn: no row is too early
	timeless.Sent, timeless.Replied = time.Time{}, time.Time{}
	for _, e := range s.running {
		e.deliveries.claim(&timeless)
	}
}

// sentAt returns when a message was sent, zero if it was not sent by this process; and whether that is asked for the first time.
func (s *sinks) sentAt(token string) (at time.Time, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent, ok := s.sent.get(token)
	if !ok {
		return at, false
	}
	first, sent.sampled = !sent.sampled, true
	return sent.at, first
}

// closeAll stops what no script has stopped.
func (s *sinks) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, e := range s.running {
		e.deliveries.stop()
		// Nothing was promised to anybody any more; the error could only be told to nobody.
		_ = e.server.Close()
		s.ended = merged(s.ended, e.server.Stats())
		delete(s.running, id)
	}
	s.any.Store(false)
}

// start is Sink.start(plan, options).
func (m *sinkInstance) start(call sobek.FunctionCall) sobek.Value {
	return m.promise("Sink.start", func() (func(*operation) (any, error), error) {
		cfg, err := parseSink(m.vu.Runtime(), call.Argument(0), call.Argument(1))
		if err != nil {
			return nil, err
		}
		return func(*operation) (any, error) {
			e := &embedded{deliveries: newDeliveries()}
			cfg.Observer = e.deliveries
			if e.server, err = sink.New(*cfg); err != nil {
				return nil, err
			}
			if err = e.server.Start(); err != nil {
				return nil, err
			}
			e.describe(cfg)
			m.root.sinks.add(m.root.tokens.run, e)
			return m.vuData(e), nil
		}, nil
	})
}

// vuData is the plain data of a sink.
func (m *sinkInstance) vuData(e *embedded) any {
	listeners := map[string]any{}
	for name, a := range e.data.Listeners {
		listeners[name] = map[string]any{"host": a.Host, "port": a.Port}
	}
	return map[string]any{"id": e.data.ID, "host": e.data.Host, "port": e.data.Port, "ca": e.data.CA, "listeners": listeners}
}

// describe fills in the addresses; those of unix sockets have no port, and the path for a host.
func (e *embedded) describe(cfg *sink.Config) {
	address := func(name string) sinkAddress {
		switch a := e.server.Addr(name).(type) {
		case *net.TCPAddr:
			return sinkAddress{a.IP.String(), a.Port}
		case nil:
			return sinkAddress{}
		default:
			return sinkAddress{Host: a.String()}
		}
	}
	e.data.Listeners = map[string]sinkAddress{}
	if cfg.Plan != nil {
		for _, l := range cfg.Plan.Listeners() {
			e.data.Listeners[l.Name] = address(l.Name)
		}
	}
	for _, l := range cfg.Listeners {
		e.data.Listeners[l.Name] = address(l.Name)
	}
	first := address("")
	e.data.Host, e.data.Port, e.data.CA = first.Host, first.Port, string(e.server.Authority())
}

// attach is Sink.attach(data).
func (m *sinkInstance) attach(call sobek.FunctionCall) sobek.Value {
	rt := m.vu.Runtime()
	if m.vu.State() == nil {
		m.throw(errors.New("attach: there is no sink in the init context: call it in the default function or in teardown, with what setup returned"))
	}
	id := ""
	if data := call.Argument(0); !common.IsNullish(data) {
		if v := data.ToObject(rt).Get("id"); v != nil {
			id = v.String()
		}
	}
	if id == "" {
		m.throw(&optionError{owner: "Sink.attach", problem: "wants what Sink.start resolved with, not " + describe(call.Argument(0))})
	}
	e := m.root.sinks.find(id)
	if e == nil {
		m.throw(fmt.Errorf("attach: no sink %q runs in this k6 process: it was stopped, or another k6 process started it", id))
	}
	object := rt.NewObject()
	for name, value := range map[string]any{
		"id": e.data.ID, "host": e.data.Host, "port": e.data.Port, "ca": e.data.CA,
		"stats":   func(sobek.FunctionCall) sobek.Value { return rt.ToValue(newSinkStats(e.server.Stats())) },
		"waitFor": func(call sobek.FunctionCall) sobek.Value { return m.waitFor(e, call) },
		"stop":    func(sobek.FunctionCall) sobek.Value { return m.stop(e) },
	} {
		if err := object.DefineDataProperty(name, rt.ToValue(value), sobek.FLAG_FALSE, sobek.FLAG_FALSE, sobek.FLAG_TRUE); err != nil {
			m.throw(err)
		}
	}
	return object
}

// promise runs work on a goroutine and settles a promise; an error rejects it.
func (m *sinkInstance) promise(method string, prepare func() (func(*operation) (any, error), error)) sobek.Value {
	rt := m.vu.Runtime()
	promise, resolve, reject := rt.NewPromise()
	refuse := func(err error) sobek.Value {
		if err := reject(m.errorValue(err)); err != nil {
			m.throw(err)
		}
		return rt.ToValue(promise)
	}
	state := m.vu.State()
	if state == nil {
		return refuse(errors.New(method + ": a sink can't be used in the init context, only in setup, in the default function and in teardown"))
	}
	work, err := prepare()
	if err != nil {
		return refuse(err)
	}
	call := &operation{method: method, ctx: m.vu.Context(), state: state, tags: state.Tags.GetCurrentValues()}
	call.batch = batch{cache: &tagCache{}, tags: call.tags}
	callback := m.vu.RegisterCallback()
	go func() {
		value, err := work(call)
		call.batch.time = time.Now()
		call.push()
		callback(func() error {
			if err != nil {
				return reject(m.errorValue(fmt.Errorf("%s: %w", method, err)))
			}
			return resolve(rt.ToValue(value))
		})
	}()
	return rt.ToValue(promise)
}

// shutdownLimit is how long stop waits for transactions under way.
const shutdownLimit = 5 * time.Second

// stop stops the sink, and tells k6 what it has decided.
func (m *sinkInstance) stop(e *embedded) sobek.Value {
	return m.promise("Sink.stop", func() (func(*operation) (any, error), error) {
		return func(call *operation) (any, error) {
			if m.root.sinks.take(e.data.ID) == nil {
				return nil, fmt.Errorf("sink %q was stopped before", e.data.ID)
			}
			ctx, cancel := context.WithTimeout(call.ctx, shutdownLimit)
			defer cancel()
			defer e.deliveries.stop()
			if err := e.server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
				return nil, err
			}
			stats := e.server.Stats()
			m.root.sinks.stopped(stats)
			for _, r := range stats.Caused() {
				own := ownTags{phase: r.Stage, hasPhase: true, code: r.Code, enhanced: r.Enhanced, reply: true, cause: r.Cause}
				call.batch.add(m.metrics.replies, own, float64(r.Decided))
			}
			return newSinkStats(stats), nil
		}, nil
	})
}

// defaultWait is how long waitFor waits.
const defaultWait = time.Minute

// deliveryResult is what waitFor resolves with.
type deliveryResult struct {
	OK         bool    `js:"ok"`
	Token      string  `js:"token"`
	At         float64 `js:"at"`       // milliseconds since 1970, 0 if not delivered
	Duration   float64 `js:"duration"` // milliseconds, 0 if not delivered or not sent by this process
	Attempts   int     `js:"attempts"`
	Deliveries int     `js:"deliveries"`
	Code       int     `js:"code"` // of the last attempt's reply

	Recipients []recipientFate `js:"recipients"`
	Error      string          `js:"error"`
}

// waitFor waits until a message was delivered to the sink.
func (m *sinkInstance) waitFor(e *embedded, call sobek.FunctionCall) sobek.Value {
	return m.promise("Sink.waitFor", func() (func(*operation) (any, error), error) {
		const owner = "Sink.waitFor"
		token, err := option{owner: owner, key: "token", value: call.Argument(0), rt: m.vu.Runtime()}.string()
		if err != nil || token == "" {
			return nil, &optionError{owner, "token", "wants the token of a message, not " + describe(call.Argument(0))}
		}
		timeout := defaultWait
		err = parseOptions(m.vu.Runtime(), owner, call.Argument(1), map[string]parser{"timeout": func(v option) (err error) {
			timeout, err = v.duration()
			return err
		}})
		return func(call *operation) (any, error) {
			ctx, cancel := context.WithTimeout(call.ctx, timeout)
			defer cancel()
			fate, err := e.deliveries.wait(ctx, token)
			res := &deliveryResult{
				OK: err == nil, Token: token, Attempts: fate.attempts, Deliveries: fate.deliveries, Code: int(fate.code), Recipients: fate.recipients,
			}
			switch {
			case errors.Is(err, errSinkStopped):
				res.Error = "not delivered: " + err.Error()
			case err != nil && call.ctx.Err() != nil:
				res.Error = "the iteration ended before the delivery"
			case err != nil:
				res.Error = fmt.Sprintf("not delivered within %v", timeout)
			}
			if err != nil {
				return res, nil
			}
			res.At = float64(fate.at.UnixMicro()) / 1000
			if sent, first := m.root.sinks.sentAt(token); !sent.IsZero() {
				res.Duration = metrics.D(max(fate.at.Sub(sent), 0))
				if first {
					call.batch.add(m.metrics.delivery, ownTags{}, res.Duration)
				}
			}
			return res, nil
		}, err
	})
}
