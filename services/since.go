package services

import (
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// since notes when objects were seen first, by kind/namespace/name. What is gone is forgotten, unless a file that cannot be read may have it
// still.
func (o *objects) since(before map[string]time.Time, keep bool, now time.Time) map[string]time.Time {
	out := map[string]time.Time{}
	note := func(key string) {
		at, known := before[key]
		if !known {
			at = now.Truncate(time.Second) // as the API has times
		}
		out[key] = at
	}
	for key := range o.services {
		note("service/" + key)
	}
	for key := range o.slices {
		note("endpointslice/" + key)
	}
	for key := range o.policies {
		note("networkpolicy/" + key)
	}
	if keep {
		keepGone(out, before)
	}
	return out
}

// mostGone bounds how many objects are remembered that no file has: one that cannot be read may stay so for months, while others come and go.
const mostGone = 1000

// keepGone adds what was known before of what is not there.
func keepGone[V any](now, before map[string]V) {
	gone := 0
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if _, is := now[key]; is {
			continue
		}
		if gone++; gone > mostGone {
			return
		}
		now[key] = before[key]
	}
}

// dated are the objects as they are shown: with the times when they were seen first. Nobody's objects are changed.
func (o *objects) dated(since map[string]time.Time) objects {
	out := *o
	out.services = datedAs(o.services, "service/", since)
	out.slices = datedAs(o.slices, "endpointslice/", since)
	out.policies = datedAs(o.policies, "networkpolicy/", since)
	return out
}

// datedAs copies objects of a kind; V is its struct. A time that a manifest gives stays.
func datedAs[V any, P interface {
	*V
	metav1.Object
}](of map[string]P, kind string, since map[string]time.Time) map[string]P {
	out := make(map[string]P, len(of))
	for key, o := range of {
		if at := o.GetCreationTimestamp(); at.IsZero() {
			copied := *o
			o = &copied
			o.SetCreationTimestamp(metav1.NewTime(since[kind+key]))
		}
		out[key] = o
	}
	return out
}
