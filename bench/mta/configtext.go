package mta

import (
	"fmt"
	"regexp"
	"strings"
)

var number = regexp.MustCompile(`\b[0-9]+\b`)

// Config implements Agent. What each instance has of its own, its directory and its ports, stands in it by names, so that two instances
// that would do the same have the same text.
func (i *instance) Config() string {
	i.texts.Lock()
	text := i.config
	i.texts.Unlock()
	text = strings.NewReplacer(i.o.Dir, "$DIR", privateDir(), "$SMTPSTORM_MTAS").Replace(text)
	names := map[string]string{}
	for _, r := range i.o.Routes {
		for n, hop := range r.Hops {
			_, port := hostPort(hop)
			names[port] = fmt.Sprintf("$HOP_%d_OF_%s", n+1, r.Domain)
		}
	}
	_, next := i.relay()
	_, own := i.listen()
	names[next], names[own] = "$NEXT_HOP", "$LISTEN"
	return number.ReplaceAllStringFunc(text, func(digits string) string {
		if name := names[digits]; name != "" {
			return name
		}
		return digits
	})
}
