package event

import (
	"slices"

	v1 "k8s.io/api/core/v1"
)

// object is what an event is about, whichever part of it.
type object struct{ kind, namespace, name string }

func objectOf(ev *v1.Event) object {
	o := ev.InvolvedObject
	return object{o.Kind, o.Namespace, o.Name}
}

// bound lets go of events until there are no more than there may be: of the oldest of the object that has the most, so that what happens
// again and again to one pod takes nobody else's history. ofBoot forgets them too.
func bound(list []*v1.Event, ofBoot map[string]bool) []*v1.Event {
	if len(list) <= maxEvents {
		return list
	}
	count := map[object]int{}
	for _, ev := range list {
		count[objectOf(ev)]++
	}
	for len(list) > maxEvents {
		at, most := 0, 0
		for i, ev := range list {
			if n := count[objectOf(ev)]; n > most {
				at, most = i, n
			}
		}
		count[objectOf(list[at])]--
		delete(ofBoot, list[at].Name)
		list = slices.Delete(list, at, at+1)
	}
	return list
}
