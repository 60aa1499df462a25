package cmd

import (
	"github.com/smtpstorm/xk6-smtp/sink"
)

// reload reads the plan file again and puts it into force. A plan that is broken, or whose listeners can't be opened, is reported and
// leaves the running one where it is.
func (o *options) reload(server *sink.Server) {
	if o.plan == "" {
		o.complain("SIGHUP: there is no --plan to read again")
		return
	}
	plan, hash, text, err := o.compilePlan()
	var done sink.Replaced
	if err == nil {
		done, err = server.Replace(sink.PlanChange{Plan: plan, Hash: hash, Text: text})
	}
	if err != nil {
		o.complain("the plan in force stays: %v", err)
		return
	}
	o.say("plan %s is in force", o.plan)
	if late := server.Late(); late != "" {
		if o.keeping.file != "" {
			late += ": start again with this plan, and they are counted from the beginning of the ledger"
		}
		o.say("%s", late)
	}
	if len(done.StandingsOver) > 0 {
		o.complain("%s", sink.StandingsOver(done.StandingsOver))
	}
	for _, line := range describe(plan) {
		o.say("%s", line)
	}
}
