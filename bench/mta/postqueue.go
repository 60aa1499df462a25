package mta

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// ListQueue returns the queue as postqueue -j prints it: a JSON object a line for each message. A message that moves from one queue to
// another meanwhile may be missed, or be there twice: only two listings some seconds apart prove an absence.
func (p *Postfix) ListQueue(ctx context.Context) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(p.binary), "postqueue"), "-c", p.path("etc"), "-j") // #nosec G204 -- Postfix's own tool, beside the postfix that was found
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("postqueue -j: %w", err)
	}
	return out, nil
}
