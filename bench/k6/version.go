package k6

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/input"
)

// versionPatience is how long k6 may take to say its version, on a machine that is busy.
const versionPatience = time.Minute

// Check sees that a program is a k6 with the smtp extension: anything else would only be found out once it had left no record.
func Check(ctx context.Context, binary string) error {
	ctx, cancel := context.WithTimeout(ctx, versionPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "version") // #nosec G204 -- the k6 that the user names, or this program found; no shell
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout = &out
	err := cmd.Run()
	said := out.String()
	switch {
	case ctx.Err() != nil:
		return input.Errorf("k6 binary %s did not say its version within %v: name a k6 with the smtp extension by --k6, or build it with: make build", binary, versionPatience)
	case err != nil:
		return input.Errorf("k6 binary %s can't say its version (%v): name a k6 with the smtp extension by --k6, or build it with: make build", binary, input.Reason(err))
	case !strings.HasPrefix(said, "k6"):
		return input.Errorf("k6 binary %s is no k6: name a k6 with the smtp extension by --k6, or build it with: make build", binary)
	case !strings.Contains(said, "github.com/smtpstorm/xk6-smtp"):
		return input.Errorf("k6 binary %s lacks the smtp extension github.com/smtpstorm/xk6-smtp: build one that has it with: make build, or with xk6", binary)
	}
	return nil
}
