package xk6smtp

import (
	"errors"
	"fmt"
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
	events      events

	thresholdsSeen atomic.Bool // they were looked at
}

// New returns a module root without connections and sinks.
func New() *RootModule {
	return &RootModule{tokens: newTokens(), connections: newConnections(), sinks: newSinks()}
}

// end closes what no script has closed.
func (r *RootModule) end() {
	r.connections.closeAll()
	r.sinks.closeAll()
}

// NewModuleInstance implements modules.Module.
func (r *RootModule) NewModuleInstance(vu modules.VU) modules.Instance {
	m, err := registerMetrics(vu.InitEnv().Registry)
	if err != nil {
		common.Throw(vu.Runtime(), fmt.Errorf("%s: register metrics: %w", ImportPath, err))
	}
	r.events.atEnd(vu.Events(), r.end)
	return &module{root: r, vu: vu, metrics: m, debug: wantsDebug(vu)}
}

// module is the instance of one VU.
type module struct {
	root    *RootModule
	vu      modules.VU
	metrics *smtpMetrics
	debug   bool // every client has a transcript
}

// Exports implements modules.Instance.
func (m *module) Exports() modules.Exports {
	return modules.Exports{Named: map[string]any{
		"Client":          m.newClient,
		"Message":         m.newMessage,
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
		return rt.NewTypeError(err.Error())
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
