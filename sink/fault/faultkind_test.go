package fault

import (
	"reflect"
	"strings"
	"testing"
)

// TestEveryFaultHasItsRow: each field of Faults is given by exactly the row of faultKinds that has its name.
func TestEveryFaultHasItsRow(t *testing.T) {
	fields := reflect.VisibleFields(reflect.TypeFor[Faults]())
	for _, field := range fields {
		if !field.IsExported() {
			continue
		}
		var f Faults
		some(reflect.ValueOf(&f).Elem().FieldByIndex(field.Index))
		var keys []string
		for _, k := range faultKinds {
			if k.given(&f) {
				keys = append(keys, k.key)
			}
		}
		if want := strings.ToLower(field.Name); strings.Join(keys, " ") != want || f.IsZero() {
			t.Errorf("with %s alone the faults %q are given, IsZero is %v; want %s", field.Name, keys, f.IsZero(), want)
		}
	}
	for _, k := range faultKinds {
		if k.given(&Faults{}) {
			t.Errorf("%s is given by the zero value", k.key)
		}
	}
}

// some makes a value one that is not zero.
func some(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(1)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Struct:
		some(v.Field(0))
	default:
		panic("a field of kind " + v.Kind().String())
	}
}
