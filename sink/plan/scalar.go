package plan

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// scalar is a single value that is not null, read by the parser that flags use too. text returns what parse reads.
func scalar[T any](want string, parse func(string) (T, error), text func(T) string, schema string) form[T] {
	return form[T]{
		read: func(d *decoder, n *yaml.Node, into *T) error {
			n, err := d.resolve(n)
			if err != nil {
				return err
			}
			if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
				return errorf(n, "%s (want %s)", describe(n), want)
			}
			if *into, err = parse(n.Value); err != nil {
				return errorAt(n, err)
			}
			return nil
		},
		write:  func(v *T) *yaml.Node { return written(text(*v)) },
		schema: func(definitions) string { return schema },
	}
}

// bare is a value that is no text: one in quotes is refused, as the schema does.
func (f form[T]) bare(want string) form[T] {
	read := f.read
	f.read = func(d *decoder, n *yaml.Node, into *T) error {
		const quoted = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
		err := read(d, n, into)
		if v := deref(n); err == nil && v.Style&quoted != 0 {
			return errorf(n, "the text %s (want %s, without quotes)", describe(v), want)
		}
		return err
	}
	return f
}

// enum is one of the names that values from first on have.
func enum[T interface {
	~uint8
	fmt.Stringer
}](want string, parse func(string) (T, error), first T) form[T] {
	var names []string
	for v := first; !strings.ContainsRune(v.String(), '('); v++ {
		names = append(names, v.String())
	}
	return scalar(want, parse, T.String, `{"type":"string","enum":`+asJSON(names)+`}`)
}

// eitherOf is one of two words, the second of which is true.
func eitherOf(what, no, yes string) form[bool] {
	return scalar(no+" or "+yes, func(text string) (bool, error) {
		if text != no && text != yes {
			return false, fmt.Errorf("unknown %s %q (valid: %s %s)", what, text, no, yes)
		}
		return text == yes, nil
	}, func(v bool) string {
		if v {
			return yes
		}
		return no
	}, `{"type":"string","enum":`+asJSON([]string{no, yes})+`}`)
}

// only is one word, which is true; there is no word for false.
func only(word, want, valid string) form[bool] {
	return scalar(want, func(text string) (bool, error) {
		if text != word {
			return false, fmt.Errorf("invalid value %q (want %s)", text, valid)
		}
		return true, nil
	}, func(bool) string { return word }, `{"type":"string","enum":`+asJSON([]string{word})+`}`)
}

const (
	durationPattern = `([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)([0-9].*)?`
	textLike        = `{"type":["string","number","boolean"]}` // a number is a text, too, where one is asked for
	someText        = `{"type":["string","number","boolean"],"minLength":1}`
)

var (
	textForm = form[string]{
		read: scalar("text", func(text string) (string, error) { return text, nil }, nil, "").read,
		write: func(v *string) *yaml.Node {
			return &yaml.Node{Kind: yaml.ScalarNode, Value: *v, Tag: "!!str"}
		},
		schema: func(definitions) string { return textLike },
	}
	textsForm = oneOrMore(textForm).named("words")
	boolean   = scalar("true or false", func(text string) (bool, error) {
		switch text {
		case "true", "false":
			return text == "true", nil
		}
		return false, fmt.Errorf("invalid value %q (want true or false)", text)
	}, strconv.FormatBool, `{"type":"boolean"}`).bare("true or false")
	count = scalar("a whole number", func(text string) (int, error) {
		v, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return 0, fmt.Errorf("invalid number %q (want a whole number)", text)
		}
		return int(v), nil
	}, strconv.Itoa, `{"type":"integer"}`).bare("a whole number")
	unsigned = scalar("a whole number", func(text string) (uint64, error) {
		v, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("invalid number %q (want 0 to %d)", text, uint64(math.MaxUint64))
		}
		return v, nil
	}, func(v uint64) string { return strconv.FormatUint(v, 10) }, `{"type":"integer","minimum":0}`).bare("a whole number")
	decimal  = scalar("a number", parseDecimal, decimalText, `{"type":"number"}`).bare("a number")
	duration = scalar("a duration such as 30s", parseDuration, durationText, patternSchema("^([0-9]+d|([0-9]+d)?"+durationPattern+")$")).named("dur")
	octets   = scalar("a number of octets", ParseOctets, OctetsText,
		`{"anyOf":[{"type":"integer","minimum":0},`+patternSchema(`^[0-9]+ ?(KiB|MiB|GiB)?$`)+`]}`).named("octets")
	network = scalar("an address or network", parseNetwork, func(p netip.Prefix) string {
		if p.IsSingleIP() {
			return p.Addr().String()
		}
		return p.String()
	}, `{"type":"string"}`)
)

// integer is a count whose schema has bounds; NewPlan checks them.
func integer(low, high int) form[int] {
	return count.described(fmt.Sprintf(`{"type":"integer","maximum":%d,"minimum":%d}`, high, low))
}

// given is an integer whose absence is 0, which is out of its bounds.
func given(low, high int) form[int] {
	return integer(low, high).checked(func(n *yaml.Node, v *int) error {
		if *v == 0 {
			return errorf(n, "0 is out of range (want %d to %d)", low, high)
		}
		return nil
	})
}

func patternSchema(pattern string) string {
	return `{"type":"string","pattern":` + asJSON(pattern) + `}`
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil { // of texts, numbers and lists of these
		panic(err)
	}
	return string(text)
}

func parseDecimal(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) || strings.ContainsAny(text, "xX_") {
		return 0, fmt.Errorf("invalid number %q (want a finite one such as 0.5)", text)
	}
	return v, nil
}

func decimalText(v float64) string {
	if a := math.Abs(v); a >= 1e15 || a < 1e-6 && a > 0 {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

const day = 24 * time.Hour

// parseDuration parses a duration as Go writes it, with days before it or alone.
func parseDuration(text string) (time.Duration, error) {
	days, rest, given := strings.Cut(text, "d")
	if !given {
		days, rest = "0", text
	}
	n, err := strconv.ParseUint(days, 10, 31)
	var v time.Duration
	if rest != "" || !given {
		v, err = time.ParseDuration(rest)
	}
	if err != nil || given && strings.HasPrefix(rest, "-") || n > uint64((math.MaxInt64-max(v, 0))/day) {
		return 0, fmt.Errorf("invalid duration %q (want for example 500ms, 30s, 5m, 4h or 1d)", text)
	}
	return time.Duration(n)*day + v, nil // #nosec G115 -- checked above
}

// durationText writes a duration: in days if it is so many and no more.
func durationText(v time.Duration) string {
	if v >= day && v%day == 0 {
		return strconv.FormatInt(int64(v/day), 10) + "d"
	}
	return text.Durations(v.String())
}

// units are those of sizes.
var units = [...]struct {
	suffix string
	octets int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// ParseOctets parses a number of octets: 65536, 64KiB or 10MiB.
func ParseOctets(text string) (int64, error) {
	number, unit := text, int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(text, u.suffix); ok {
			number, unit = strings.TrimSpace(rest), u.octets
		}
	}
	v, err := strconv.ParseInt(number, 10, 64)
	if err != nil || v < 0 || v > math.MaxInt64/unit {
		return 0, fmt.Errorf("invalid number of octets %q (want for example 65536, 64KiB or 10MiB)", text)
	}
	return v * unit, nil
}

// OctetsText writes a number of octets as ParseOctets reads it: in the largest unit of which it is a whole number.
func OctetsText(v int64) string {
	for _, u := range units {
		if v != 0 && v%u.octets == 0 {
			return strconv.FormatInt(v/u.octets, 10) + u.suffix
		}
	}
	return strconv.FormatInt(v, 10)
}

// parseNetwork parses a network in CIDR notation, or one address.
func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("invalid network %q (want for example 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32)", text)
	}
	if network != network.Masked() {
		return netip.Prefix{}, fmt.Errorf("network %q has bits set behind its mask (want %v)", text, network.Masked())
	}
	return network, nil
}
