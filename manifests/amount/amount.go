// Package amount reads quantities as whole numbers. Quantity.Value and MilliValue give 0, or anything, where a number is larger than there can
// be, as 1e30 is, which people write: these give the largest one then.
package amount

import (
	"math"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Whole is a quantity rounded up to a whole number: bytes, files, devices.
func Whole(q resource.Quantity) int64 {
	switch {
	case q.CmpInt64(math.MaxInt64) >= 0:
		return math.MaxInt64
	case q.CmpInt64(-math.MaxInt64) <= 0:
		return -math.MaxInt64
	}
	return q.Value()
}

// Milli is a quantity in thousandths, rounded up: CPUs.
func Milli(q resource.Quantity) int64 {
	switch {
	case q.CmpInt64(math.MaxInt64/1000) >= 0:
		return math.MaxInt64
	case q.CmpInt64(-math.MaxInt64/1000) <= 0:
		return -math.MaxInt64
	}
	return q.MilliValue()
}

// IsWhole says whether a quantity is a whole number.
func IsWhole(q resource.Quantity) bool {
	rounded := q.DeepCopy()
	return rounded.RoundUp(0)
}

// Sum adds amounts that are not negative, up to the largest one that there is.
func Sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// SizeLimit is what an emptyDir on the disk may hold, in bytes; zero means no limit.
func SizeLimit(v *v1.Volume) int64 {
	if e := v.EmptyDir; e != nil && e.Medium == v1.StorageMediumDefault && e.SizeLimit != nil {
		return Whole(*e.SizeLimit)
	}
	return 0
}
