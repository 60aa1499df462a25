package run

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// experimentFile lies among the results of an experiment, from its begin on: by it a later call goes on where this one stopped.
const experimentFile = "experiment.json"

const experimentSchema = "smtpstorm/experiment/1"

// experimentPlan is what an experiment was to do.
type experimentPlan struct {
	Schema string `json:"schema"`
	ID     string `json:"experiment"` // as in the runs' records
	Seed   uint64 `json:"seed"`       // order and seeds of the blocks follow from it
	Blocks int    `json:"blocks"`
	// Alike is the same for calls that ask for the same runs, however many blocks of them.
	Alike string `json:"alike"`
	// The load that was chosen, perhaps after a probe.
	Messages int     `json:"messages,omitempty"`
	Rate     float64 `json:"rate_per_s,omitempty"`
	Probed   float64 `json:"probed_per_s,omitempty"`
	Note     string  `json:"note,omitempty"`
}

// alike sums up all that the runs of an experiment depend on.
func (r *runner) alike() (string, error) {
	o := &r.o
	said := []any{o.Seed, *o.Sides, o.given.messages, o.given.vus, o.given.rate, o.MaxTime, o.Env, o.Script, o.MTA, o.Target, o.SinkListen, o.QueueCommand, o.CutoffSeconds, o.K6, o.Scripts}
	if o.Script != "" && r.bundled == "" {
		script, err := os.ReadFile(o.Script)
		if err != nil {
			return "", err
		}
		said = append(said, script)
	}
	for _, s := range o.Sides {
		q, err := r.side(s)
		if err != nil {
			return "", err
		}
		faults, err := q.o.storm(&r.bundle, q.stormPlan())
		if err != nil {
			return "", err
		}
		said = append(said, faults.Source)
	}
	all, err := json.Marshal(said)
	sum := sha256.Sum256(all)
	return hex.EncodeToString(sum[:]), err
}

// earlier is an experiment of the same runs that did not get to its end.
type earlier struct {
	dir  string
	plan experimentPlan
	done map[string]*result.Record // by the name of the run; of a block both or none
}

// unfinishedExperiment looks for one at the place of the results, and beside it, where one that was killed is kept. Nil: there is none, and all is to be
// done. Of several the one with the most blocks counts.
func (r *runner) unfinishedExperiment(alike string) *earlier {
	kept, _ := filepath.Glob(escapeGlob(r.out.Final) + "-*")
	var best *earlier
	for _, dir := range append([]string{r.out.Final}, kept...) {
		e := readExperiment(dir)
		if e == nil || e.plan.Alike != alike || len(e.done) == 0 {
			continue
		}
		if len(e.done) >= 2*r.o.Runs { // it is complete: it is to be run again
			return nil
		}
		if best == nil || len(e.done) > len(best.done) {
			best = e
		}
	}
	return best
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// readExperiment reads what an experiment left; nil where it left nothing that can be used.
func readExperiment(dir string) *earlier {
	e := &earlier{dir: dir, done: map[string]*result.Record{}}
	whole, err := os.ReadFile(filepath.Join(dir, experimentFile)) // #nosec G304 -- at the place of the results that the user names
	if err != nil || json.Unmarshal(whole, &e.plan) != nil || e.plan.Schema != experimentSchema || e.plan.Blocks < 1 || e.plan.Blocks > maxBlocks {
		return nil
	}
	for block := range slices.Chunk(trials(e.plan.ID, e.plan.Blocks, e.plan.Seed), 2) {
		pair := map[string]*result.Record{}
		for _, t := range block {
			record, err := result.Read(filepath.Join(dir, t.name()+".json"))
			if err == nil && record.Client != nil && record.Design != nil && *record.Design == t.design && record.Provenance.Seed == t.seed {
				pair[t.name()] = record
			}
		}
		if len(pair) == len(block) {
			for name, record := range pair {
				e.done[name] = record
			}
		}
	}
	return e
}

// take copies all that belongs to a run that was done.
func (r *runner) take(e *earlier, name string) (*Leg, error) {
	entries, err := os.ReadDir(e.dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		from, to := filepath.Join(e.dir, entry.Name()), r.out.Path(entry.Name())
		switch {
		case entry.IsDir() && entry.Name() == name:
			err = os.CopyFS(to, os.DirFS(from))
		case entry.Type().IsRegular() && belongs(entry, name):
			err = copyFile(from, to)
		}
		if err != nil {
			return nil, fmt.Errorf("take over run %s: %w", name, err)
		}
	}
	return &Leg{Name: name, Record: e.done[name]}, nil
}

// belongs reports whether a file is a run's: 001-A.json, sink-001-A.json, k6-001-A.log.
func belongs(entry fs.DirEntry, name string) bool {
	before, after, ok := strings.Cut(entry.Name(), name)
	return ok && (before == "" || strings.HasSuffix(before, "-")) && (after == "" || strings.ContainsAny(after[:1], ".-"))
}

// resume says which experiment this is, with the load of an earlier one if it goes on with that.
func (r *runner) resume(l load) (plan experimentPlan, e *earlier, with load, err error) {
	alike, err := r.alike()
	if err != nil {
		return plan, nil, l, err
	}
	if e = r.unfinishedExperiment(alike); e != nil {
		plan = e.plan
		plan.Blocks = r.o.Runs
		if l.script != "" {
			l.messages, l.rate, l.probed, l.note = plan.Messages, plan.Rate, plan.Probed, plan.Note
		}
		r.progress.Say("resumed  %d %s of an experiment that did not come to its end are taken over from %s", len(e.done)/2, text.Plural(len(e.done)/2, "block"), e.dir)
		return plan, e, l, nil
	}
	return experimentPlan{Schema: experimentSchema, Seed: r.o.Seed, Blocks: r.o.Runs, Alike: alike}, nil, l, nil
}
