package xk6smtp

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/grafana/sobek"
	"go.k6.io/k6/v2/js/common"
	"go.k6.io/k6/v2/js/modules"
)

// ImportPath is how scripts import the module.
const ImportPath = "k6/x/smtp"

// RootModule is what k6 registers: one for the process, shared by all VUs.
type RootModule struct {
	tokens      *tokens
	connections *connections
	sinks       *sinks
	messages    *messages
	events      events

	sentOnce sync.Once
	sent     *sentFile // what is sent is claimed here; nil: nowhere

	recordLost  atomic.Bool // of a run that went well otherwise
	exitProcess func(status int)

	thresholdsSeen atomic.Bool // they were looked at
	clientsLeak    sync.Once   // it was told that iterations make clients and don't close them
}

// New returns a module root without connections and sinks.
func New() *RootModule {
	return &RootModule{tokens: newTokens(), connections: newConnections(), sinks: newSinks(), messages: newMessages(), exitProcess: os.Exit}
}

// begin prepares for a run.
func (r *RootModule) begin() { r.sent.begin() }

// end closes what no script has closed.
func (r *RootModule) end() {
	r.connections.closeAll()
	r.sinks.closeAll()
	r.sent.close()
}

// claimTo opens the file of claims that the environment of the first VU names.
func (r *RootModule) claimTo(vu modules.VU) (err error) {
	r.sentOnce.Do(func() {
		state := vu.InitEnv().TestPreInitState
		r.sent, err = openSent(vu, func(err error) {
			r.recordLost.Store(true)
			state.Logger.Error(err)
		})
	})
	return err
}

// lostStatus is k6's own exit status when an output can't be started.
const lostStatus = 255

// exit ends the process when a record or a claim was lost: k6 logs that an output failed, and ends with status 0. It is called when everything else is done,
// the summary printed and the other outputs stopped.
func (r *RootModule) exit() {
	if r.recordLost.Load() {
		r.exitProcess(lostStatus)
	}
}

// NewModuleInstance implements modules.Module.
func (r *RootModule) NewModuleInstance(vu modules.VU) modules.Instance {
	m, err := registerMetrics(vu.InitEnv().Registry)
	if err != nil {
		common.Throw(vu.Runtime(), fmt.Errorf("%s: register metrics: %w", ImportPath, err))
	}
	if err := r.claimTo(vu); err != nil {
		common.Throw(vu.Runtime(), err)
	}
	r.events.subscribe(vu.Events(), r.begin, r.end, r.exit)
	return &module{root: r, vu: vu, metrics: m, debug: wants(vu, debugVariable), serverTag: wants(vu, serverTagVariable), unclosed: new(atomic.Int32)}
}

// module is the instance of one VU.
type module struct {
	root    *RootModule
	vu      modules.VU
	metrics *smtpMetrics
	debug   bool // every client has a transcript

	serverTag bool // every client tags its samples with the server

	unclosed *atomic.Int32 // open connections of clients that iterations made
}

// tooManyClients is how many open connections of clients that a VU's iterations made are taken for a leak.
const tooManyClients = 20

// Exports implements modules.Instance.
func (m *module) Exports() modules.Exports {
	return modules.Exports{Named: map[string]any{
		"Client":          m.newClient,
		"Message":         m.newMessage,
		"Workload":        m.newWorkload,
		"expectedReplies": m.expectedReplies,
	}}
}

// expectedReplies is the JavaScript function of that name.
func (m *module) expectedReplies(call sobek.FunctionCall) sobek.Value {
	set, err := parseExpected(m.vu.Runtime(), call.Arguments)
	if err != nil {
		m.throw(err)
	}
	return m.vu.Runtime().ToValue(set)
}

// throw raises err in JavaScript: a wrong option as a TypeError.
func (m *module) throw(err error) {
	panic(m.errorValue(err))
}

// errorValue is err as JavaScript sees it.
func (m *module) errorValue(err error) *sobek.Object {
	rt := m.vu.Runtime()
	var wrong *optionError
	if errors.As(err, &wrong) {
		return rt.NewTypeError("%s", err.Error()) // its first argument is a format
	}
	return m.newError(err.Error())
}

// newError is a plain Error.
func (m *module) newError(message string) *sobek.Object {
	rt := m.vu.Runtime()
	object, err := rt.New(rt.GlobalObject().Get("Error"), rt.ToValue(message))
	if err != nil { // the script has replaced Error by something that can't be constructed
		return rt.NewGoError(errors.New(message))
	}
	return object
}
