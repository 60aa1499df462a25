package reactor

import (
	"reflect"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/durations"
)

// Merge misses no field.
func TestStatsMerge(t *testing.T) {
	var a, total Stats
	v := reflect.ValueOf(&a).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Uint64:
			f.SetUint(3)
		case reflect.Int64:
			f.SetInt(3)
		default:
			f.Addr().Interface().(*durations.Histogram).Record(3 * time.Microsecond)
		}
	}
	total.Merge(&a)
	total.Merge(&a)
	v = reflect.ValueOf(total)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		switch f := v.Field(i); f.Kind() {
		case reflect.Uint64:
			if f.Uint() != 6 {
				t.Errorf("%s is %d, expected 6", name, f.Uint())
			}
		case reflect.Int64:
			if f.Int() != 6 {
				t.Errorf("%s is %d, expected 6", name, f.Int())
			}
		default:
			if h := f.Interface().(durations.Histogram); h.Count() != 2 || h.Max != 3*time.Microsecond {
				t.Errorf("%s counts %d, max %v; expected 2 and 3us", name, h.Count(), h.Max)
			}
		}
	}
}

func TestCloseModeNames(t *testing.T) {
	for mode, want := range map[CloseMode]string{CloseFIN: "fin", CloseRST: "rst", CloseAbort: "abort", CloseHalf: "half", 0: "unknown"} {
		if mode.String() != want {
			t.Errorf("%d is %q, expected %q", mode, mode, want)
		}
	}
}
