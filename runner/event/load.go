package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
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
	for len(list) > maxEvents {
		delete(ofBoot, list[0].Name)
		list = list[1:]
	}
	return list, ofBoot
}

// read returns the events of a file; whole says that nothing else was in it.
func read(path string) (events []*v1.Event, whole bool, err error) {
	data, whole, err := readEnd(path)
	if err != nil || len(data) == 0 {
		return nil, true, err
	}
	for line := range bytes.Lines(data) {
		ev := &v1.Event{}
		if line[0] != '{' || json.Unmarshal(line, ev) != nil || ev.Name == "" || ev.Kind != "Event" || ev.APIVersion != "v1" || !bytes.HasSuffix(line, []byte("\n")) {
			whole = false // such as the line that a power cut left
			continue
		}
		events = append(events, ev)
	}
	if len(events) == 0 && bytes.Contains(data, []byte("\n")) {
		return nil, false, errors.New("no event is in it")
	}
	return events, whole, nil
}

// readEnd returns the end of a regular file, and whether it is all of it. A file that is missing is empty.
func readEnd(path string) (data []byte, whole bool, err error) {
	f, err := durable.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return nil, true, err
	}
	defer f.Close() //nolint:errcheck // only read from
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	from := max(info.Size()-maxRead, 0)
	data, err = io.ReadAll(io.NewSectionReader(f, from, maxRead))
	return data, from == 0, err
}
