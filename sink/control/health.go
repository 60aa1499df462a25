package control

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

func (s *Server) getInfo(w http.ResponseWriter, r *http.Request) error {
	if err := query(r); err != nil {
		return err
	}
	snap, build := s.cfg.Sink.Snapshot(), sink.ThisBuild()
	out := api.Info{
		API: api.Version, Version: build.Release, Commit: build.Commit, Instance: snap.Run, Started: snap.Total.Started.UTC(), Epoch: snap.Epoch,
		Generation: snap.Generation, Listeners: []api.Listener{}, Ledger: s.cfg.Ledger != "", Capture: s.cfg.Sink.Captured() != nil,
		Schemas: map[string]string{
			"plan": strconv.Itoa(plan.Version), "counts": fmt.Sprintf("%s/%d", count.Schema, count.Version), "ledger": ledger.Format, "summary": reconcile.SummarySchema,
		},
	}
	for _, l := range s.cfg.Sink.Listeners() {
		listener := api.Listener{Name: l.Name, Address: l.Addr.String()}
		if l.Fault != fault.ListenerUp {
			listener.Fault = l.Fault.String()
		}
		out.Listeners = append(out.Listeners, listener)
	}
	write(w, http.StatusOK, api.TypeJSON, out)
	return nil
}

func getHealth(w http.ResponseWriter, _ *http.Request) error {
	write(w, http.StatusOK, api.TypeJSON, api.Health{Status: "ok"})
	return nil
}

// getReady says whether the sink takes mail. A listener that the plan has refused is as it should be.
func (s *Server) getReady(w http.ResponseWriter, _ *http.Request) error {
	if err := readiness(s.cfg.Sink.Totals(), s.stopping.Load()); err != nil {
		return err
	}
	return getHealth(w, nil)
}

// readiness returns why a sink that has counted so much takes no mail, or none that is written down.
func readiness(counts *count.Counts, stopping bool) error {
	switch {
	case stopping:
		return problem(api.Stopping, "the sink is stopping")
	case counts.Started.IsZero():
		return problem(api.Stopping, "the sink has not started yet")
	case counts.Ledger != nil && counts.Ledger.Broken:
		return problem(api.Stopping, "the ledger can't be written any more")
	}
	return nil
}

func (s *Server) postReset(w http.ResponseWriter, r *http.Request) error {
	var in api.Reset
	if err := s.readJSON(w, r, map[string]any{"what": &in.What}); err != nil {
		return err
	}
	if len(in.What) == 0 {
		return flawedAt("/what", errors.New("nothing is named (valid: counts state next capture)"))
	}
	var reset sink.Reset
	capture := false
	for i, what := range in.What {
		switch what {
		case "counts":
			reset.Counts = true
		case "state":
			reset.State = true
		case "next":
			reset.Next = true
		case "capture":
			capture = true
		default:
			return flawedAt(fmt.Sprintf("/what/%d", i), fmt.Errorf("unknown part %.64q (valid: counts state next capture)", what))
		}
	}
	if capture {
		store := s.cfg.Sink.Captured()
		if store == nil {
			return noCapture()
		}
		store.Clear()
	}
	write(w, http.StatusOK, api.TypeJSON, api.Epoch{Epoch: s.cfg.Sink.Reset(reset)})
	return nil
}
