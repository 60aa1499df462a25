package xk6smtp

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/grafana/sobek"
	"go.k6.io/k6/v2/js/common"
	"go.k6.io/k6/v2/lib/types"
)

// optionError is a wrong option: it becomes a TypeError.
type optionError struct {
	owner   string // what has the option: "Client", "send"
	key     string
	problem string
}

func (e *optionError) Error() string {
	if e.key == "" {
		return fmt.Sprintf("%s: %s", e.owner, e.problem)
	}
	return fmt.Sprintf("%s: option %q %s", e.owner, e.key, e.problem)
}

// option is the value of one key, with what is needed to complain about it.
type option struct {
	owner, key string
	value      sobek.Value
	rt         *sobek.Runtime
}

// parser reads one option into its place.
type parser func(option) error

// parseOptions hands every key of an options object to its parser. Unknown keys are errors that list the valid ones; a key whose
// value is undefined counts as absent. A missing object has no keys.
func parseOptions(rt *sobek.Runtime, owner string, value sobek.Value, parsers map[string]parser) error {
	return parseEach(rt, owner, value, parsers, func(parse parser, v option) error { return parse(v) })
}

// parseInto is parseOptions for a table that is made once: its parsers are told where the values go.
func parseInto[T any](rt *sobek.Runtime, owner string, value sobek.Value, into *T, parsers map[string]func(*T, option) error) error {
	return parseEach(rt, owner, value, parsers, func(parse func(*T, option) error, v option) error { return parse(into, v) })
}

// parseEach hands every key's value to call together with its parser.
func parseEach[P any](rt *sobek.Runtime, owner string, value sobek.Value, parsers map[string]P, call func(P, option) error) error {
	if common.IsNullish(value) {
		return nil
	}
	if kind(value) != reflect.Map {
		return &optionError{owner: owner, problem: fmt.Sprintf("wants an object of options, not %s", describe(value))}
	}
	object := value.ToObject(rt)
	for _, key := range object.Keys() {
		parse, ok := parsers[key]
		if !ok {
			return &optionError{owner, key, "is unknown (valid: " + validKeys(parsers) + ")"}
		}
		v := object.Get(key)
		if v == nil || sobek.IsUndefined(v) {
			continue
		}
		if err := call(parse, option{owner, key, v, rt}); err != nil {
			return err
		}
	}
	return nil
}

func validKeys[P any](parsers map[string]P) string {
	return strings.Join(slices.Sorted(maps.Keys(parsers)), " ")
}

// kind is the kind of what a value exports to: Map for plain objects, Slice for arrays.
func kind(value sobek.Value) reflect.Kind {
	if common.IsNullish(value) || value.ExportType() == nil {
		return reflect.Invalid
	}
	return value.ExportType().Kind()
}

// describe says what a value is, for messages.
func describe(value sobek.Value) string {
	if common.IsNullish(value) {
		return value.String()
	}
	switch kind(value) {
	case reflect.String:
		return fmt.Sprintf("the string %q", value.String())
	case reflect.Int64, reflect.Float64:
		return "the number " + value.String()
	case reflect.Bool:
		return value.String()
	case reflect.Slice:
		return "an array"
	case reflect.Func:
		return "a function"
	}
	return "an object"
}

func (o option) fail(want string) error {
	return &optionError{o.owner, o.key, fmt.Sprintf("wants %s, not %s", want, describe(o.value))}
}

func (o option) string() (string, error) {
	if kind(o.value) != reflect.String {
		return "", o.fail("a string")
	}
	return o.value.String(), nil
}

func (o option) bool() (bool, error) {
	if kind(o.value) != reflect.Bool {
		return false, o.fail("true or false")
	}
	return o.value.ToBoolean(), nil
}

// integer reads a whole number within [low, high].
func (o option) integer(low, high int64) (int64, error) {
	f := math.NaN()
	if k := kind(o.value); k == reflect.Int64 || k == reflect.Float64 {
		f = o.value.ToFloat()
	}
	if f != math.Trunc(f) || f < float64(low) || f > float64(high) {
		return 0, o.fail(fmt.Sprintf("a whole number from %d to %d", low, high))
	}
	return int64(f), nil
}

// duration reads milliseconds or a string such as "1m30s".
func (o option) duration() (time.Duration, error) {
	const want = `milliseconds or a duration such as "30s"`
	switch kind(o.value) {
	case reflect.Int64, reflect.Float64, reflect.String:
		d, err := types.GetDurationValue(o.value.Export())
		if err != nil || d < 0 {
			return 0, o.fail(want)
		}
		return d, nil
	}
	return 0, o.fail(want)
}

// strings reads one string or an array of them.
func (o option) strings() ([]string, error) {
	const want = "a string or an array of strings"
	switch kind(o.value) {
	case reflect.String:
		return []string{o.value.String()}, nil
	case reflect.Slice:
		var list []string
		array := o.value.ToObject(o.rt)
		for i := range array.Get("length").ToInteger() {
			item := array.Get(fmt.Sprint(i))
			if item == nil || kind(item) != reflect.String {
				return nil, o.fail(want)
			}
			list = append(list, item.String())
		}
		return list, nil
	}
	return nil, o.fail(want)
}

// pair is a name and a value.
type pair struct{ name, value string }

// pairs reads an object whose values are strings, and with scalars numbers and booleans too, in the object's order.
func (o option) pairs(scalars bool) ([]pair, error) {
	object, item := "an object of strings", "a string"
	if scalars {
		object, item = "an object of strings, numbers and booleans", "a string, a number or a boolean"
	}
	if kind(o.value) != reflect.Map {
		return nil, o.fail(object)
	}
	values := o.value.ToObject(o.rt)
	var list []pair
	for _, key := range values.Keys() {
		v := values.Get(key)
		switch k := kind(v); {
		case k == reflect.String:
		case scalars && (k == reflect.Bool || k == reflect.Int64 || k == reflect.Float64):
		default:
			return nil, option{owner: o.owner, key: o.key + "." + key, value: v}.fail(item)
		}
		list = append(list, pair{key, v.String()})
	}
	return list, nil
}

// tags reads metric tags, sorted by name: sets that are built in one order share their nodes.
func (o option) tags() ([]pair, error) {
	list, err := o.pairs(true)
	slices.SortFunc(list, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	return list, err
}
