package served

import (
	"net/netip"
	"reflect"
	"testing"
)

// TestEqual: each field, however deep, tells tables apart.
func TestEqual(t *testing.T) {
	whole := func() *Table {
		t := &Table{}
		fill(reflect.ValueOf(t).Elem())
		return t
	}
	if !whole().Equal(whole()) || !(&Table{}).Equal(&Table{}) || whole().Equal(&Table{}) {
		t.Fatal("what is the same differs, or the other way round")
	}
	changed := 0
	for n := 0; ; n++ {
		other, left := whole(), n
		if !change(reflect.ValueOf(other).Elem(), &left) {
			break
		}
		if changed++; whole().Equal(other) || other.Equal(whole()) {
			t.Errorf("change number %d is not seen: %+v", n, other)
		}
	}
	if changed < 40 {
		t.Errorf("only %d fields were changed", changed)
	}
}

var address = reflect.TypeFor[netip.Addr]()

// fill gives every field a value, and every list an element.
func fill(v reflect.Value) {
	switch v.Type() {
	case address:
		v.Set(reflect.ValueOf(netip.MustParseAddr("10.0.0.1")))
		return
	case reflect.TypeFor[netip.Prefix]():
		v.Set(reflect.ValueOf(netip.MustParsePrefix("10.0.0.0/8")))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.String:
		v.SetString("a")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(1)
	case reflect.Uint16:
		v.SetUint(1)
	default:
		panic("a field of a kind that is not known: " + v.Type().String())
	}
}

// change changes the field that is number *left in order, or the length of a list.
func change(v reflect.Value, left *int) bool {
	mine := func() bool { *left--; return *left < 0 }
	zero := func() bool {
		if !mine() {
			return false
		}
		v.SetZero()
		return true
	}
	if v.Type() == address || v.Type() == reflect.TypeFor[netip.Prefix]() {
		return zero()
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if change(v.Field(i), left) {
				return true
			}
		}
		return false
	case reflect.Slice:
		return change(v.Index(0), left) || zero()
	}
	return zero()
}
