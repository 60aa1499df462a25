package run

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// unvouched says what a user has to do before load leaves the machine.
const unvouched = "load goes to others' servers only with --i-own-this-target"

// beyondLoopback are all addresses but those of the loopback network, as k6 takes the ranges that it never dials: its dialer looks
// at every address, of whatever protocol, after names were resolved.
func beyondLoopback() string {
	var ranges []string
	for _, loopback := range []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")} {
		for bits := 1; bits <= loopback.Bits(); bits++ {
			ranges = append(ranges, sibling(loopback, bits).String())
		}
	}
	return strings.Join(ranges, ",")
}

// sibling returns the range of a length that shares all but its last bit with a longer one's. All siblings of a range are all addresses
// but the range.
func sibling(p netip.Prefix, bits int) netip.Prefix {
	address := p.Addr().AsSlice()
	address[(bits-1)/8] ^= 0x80 >> ((bits - 1) % 8)
	other, _ := netip.AddrFromSlice(address) // it has the length of an address: it was one
	return netip.PrefixFrom(other, bits).Masked()
}

// keepIn returns the setting by which k6 dials nothing beyond loopback, unless the user has vouched.
func (o *Options) keepIn() []string {
	if o.OwnTarget {
		return nil
	}
	return []string{"K6_BLACKLIST_IPS=" + beyondLoopback()}
}

// checkHost refuses an address that the user gives a script in place of the sink's, where it is one beyond loopback. A name is looked
// at when it is dialled.
func (o *Options) checkHost() error {
	for _, e := range o.Env {
		host, ok := strings.CutPrefix(e, "SMTP_HOST=")
		if ip := net.ParseIP(strings.Trim(host, "[]")); ok && ip != nil && !ip.IsLoopback() && !o.OwnTarget {
			return inputErrorf("--env %s is not a loopback address: %s", e, unvouched)
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

// codeRefusedAddress is the error code, of k6's modules and of ours, of an address that k6 was told not to dial.
const codeRefusedAddress = "1110"

// refused is how k6's dialer words it, where a script lets the error through.
var refused = regexp.MustCompile(`IP \(([0-9a-fA-F.:]+)\) is in a blacklisted range`)

// stayedIn returns an *InputError when the script of a k6 that has ended wanted to dial beyond loopback.
func (o *Options) stayedIn(j job) error {
	if o.OwnTarget {
		return nil
	}
	times := 0.0
	if record, err := result.Read(j.record); err == nil && record.Client != nil { // who needs the record complains about it
		for _, s := range record.Client.Series {
			if s.Type == result.Counter && s.Tags["error_code"] == codeRefusedAddress {
				times += s.Summary().Sum
			}
		}
	}
	log, _ := os.ReadFile(j.stderr) // without it, the record has to do
	who := "an address"
	if found := refused.FindSubmatch(log); found != nil {
		who = string(bytes.ToLower(found[1]))
		times = max(times, 1)
	}
	if times == 0 {
		return nil
	}
	return inputErrorf("leg %s: the script wanted to connect to %s beyond loopback (%s): %s", j.name, who, fmt.Sprintf("%.0f times at least, all refused", times), unvouched)
}
