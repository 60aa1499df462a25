package storm

import (
	"encoding/json"
	"os"
)

// write writes record, summary and the sink's counts.
func (c *cell) write(r *Record) error {
	if err := r.Write(c.path(RecordFile)); err != nil {
		return err
	}
	for _, f := range []struct {
		name  string
		value any
	}{{summaryFile, r.Books}, {sinkFile, c.hop.counts}} {
		text, err := json.MarshalIndent(f.value, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.path(f.name), append(text, '\n'), 0o644); err != nil { // #nosec G306 -- results are for others to read
			return err
		}
	}
	return nil
}
