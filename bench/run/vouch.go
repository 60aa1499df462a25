package run

import (
	"net"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/k6"
)

// checkHost refuses an address that the user gives a script in place of the sink's, where it is one beyond loopback. A name is looked
// at when it is dialled.
func (o *Options) checkHost() error {
	for _, e := range o.Env {
		host, ok := strings.CutPrefix(e, "SMTP_HOST=")
		if ip := net.ParseIP(strings.Trim(host, "[]")); ok && ip != nil && !ip.IsLoopback() && !o.OwnTarget {
			return input.Errorf("--env %s is not a loopback address: %s", e, k6.Unvouched)
		}
	}
	return nil
}

// givesHost reports whether the user names another server to a script than the sink.
func (o *Options) givesHost() bool {
	for _, e := range o.Env {
		if strings.HasPrefix(e, "SMTP_HOST=") {
			return true
		}
	}
	return false
}
