package event

import (
	"encoding/json"
	"log/slog"
	"slices"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/durable"
)

// maxRead is how much of a file is read, of its end: more than any that Solopod writes.
const maxRead = 8 << 20

// load reads both files, and says which events are of this boot. What is no event is left out, and its file written anew; a
// file of nothing else is set aside.
func (s *store) load() (list []*v1.Event, ofBoot map[string]bool) {
	latest := map[string]*v1.Event{}
	order := map[string]int{} // times in the files have seconds, so that their order tells the rest
	ofBoot = map[string]bool{}
	n := 0
	for _, path := range []string{s.disk, s.memory} {
		events, whole, err := read(path)
		if err != nil {
			if told, err := durable.SetAside(path, err); err != nil {
				slog.Warn("the file of events is damaged", "file", path, "err", err)
			} else {
				slog.Warn("the file of events is damaged", "file", path, "done", told)
			}
			continue
		}
		s.anew[path] = !whole
		for _, ev := range events {
			if path == s.memory {
				ofBoot[ev.Name] = true
			}
			if old := latest[ev.Name]; old == nil || !ev.LastTimestamp.Before(&old.LastTimestamp) {
				n++
				latest[ev.Name], order[ev.Name] = ev, n
			}
		}
	}
	for _, ev := range latest {
		list = append(list, ev)
	}
	slices.SortFunc(list, func(a, b *v1.Event) int {
		if c := a.LastTimestamp.Compare(b.LastTimestamp.Time); c != 0 {
			return c
		}
		return order[a.Name] - order[b.Name]
	})
	return bound(list, ofBoot), ofBoot
}

// read returns the events of a file; whole says that nothing else was in it.
func read(path string) (events []*v1.Event, whole bool, err error) {
	whole, err = durable.ReadLines(path, maxRead, "event", func(line []byte) bool {
		ev := &v1.Event{}
		if line[0] != '{' || json.Unmarshal(line, ev) != nil || ev.Name == "" || ev.Kind != "Event" || ev.APIVersion != "v1" {
			return false
		}
		events = append(events, ev)
		return true
	})
	return events, whole, err
}
