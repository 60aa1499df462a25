package k6

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// Unvouched says what a user has to do before load leaves the machine.
const Unvouched = "load goes to others' servers only with --i-own-this-target"

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

// codeRefusedAddress is the error code, of k6's modules and of ours, of an address that k6 was told not to dial.
const codeRefusedAddress = "1110"

// refused is how k6's dialer words it, where a script lets the error through.
var refused = regexp.MustCompile(`IP \(([0-9a-fA-F.:]+)\) is in a blacklisted range`)

// stayedIn returns an *input.Error when the script of a k6 that has ended wanted to dial beyond loopback.
func (j *Job) stayedIn() error {
	if j.Beyond {
		return nil
	}
	times := 0.0
	if record, err := result.Read(j.Record); err == nil && record.Client != nil { // who needs the record complains about it
		for _, s := range record.Client.Series {
			if s.Type == result.Counter && s.Tags["error_code"] == codeRefusedAddress {
				times += s.Summary().Sum
			}
		}
	}
	log, _ := os.ReadFile(j.Stderr) // without it, the record has to do
	who := "an address"
	if found := refused.FindSubmatch(log); found != nil {
		who = string(bytes.ToLower(found[1]))
		times = max(times, 1)
	}
	if times == 0 {
		return nil
	}
	return input.Errorf("leg %s: the script wanted to connect to %s beyond loopback (%s): %s", j.Name, who, fmt.Sprintf("%.0f times at least, all refused", times), Unvouched)
}
