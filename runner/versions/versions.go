// Package versions remembers which version of each object of signed manifests this box has had, so that an older file, however well
// it is signed, is not taken again.
package versions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/turn"
)

const (
	// maxObjects is how many objects are remembered. Nothing is forgotten to make room: what is forgotten can come back.
	maxObjects = 16384
	// maxSize bounds the record's file, in bytes: the names of so many objects at their longest.
	maxSize = 8 << 20
	// patience is how long one waits for another's write to the disk.
	patience = 3 * time.Second
)

// had is the newest version that was had of an object.
type had struct {
	Version uint64 `json:"version"`
	// Content tells the file's content from others of the same version.
	Content string `json:"content"`
}

// form is the record's file.
type form struct {
	// Objects are by kind/namespace/name.
	Objects map[string]had `json:"objects"`
}

// Record is the memory, in a file. It may be used concurrently.
type Record struct {
	path string
	// turn is taken by who looks at or changes objects, over the write: records must reach the disk in their order. Nobody waits
	// for it longer than patience.
	turn    turn.Turn
	objects map[string]had
}

// Open reads the record; one that is missing remembers nothing. One that is damaged is set aside, and remembers nothing either: told is
// a sentence for that then.
func Open(path string) (r *Record, told string) {
	r = &Record{path: path, turn: turn.New(patience, fmt.Errorf("cannot note the version in %s before the file is used: the disk does not answer", path)), objects: map[string]had{}}
	f, told := durable.ReadJSON(path, maxSize, good)
	if told != "" {
		told = "which versions of signed manifests this box has had is not known any more, so that older ones would be taken: " + told
	}
	maps.Copy(r.objects, f.Objects)
	return r, told
}

// good says what is wrong with a record.
func good(f form) error {
	if f.Objects == nil {
		return errors.New("it holds no objects")
	}
	for name, h := range f.Objects {
		if h.Version == 0 {
			return fmt.Errorf("%s has no version", name)
		}
	}
	return nil
}

// Accept has it noted, on the disk, that a file with these objects is used. version is the file's, zero for none, and content tells
// what it holds from other contents. refused says why it must not be used; an error that it cannot be noted.
func (r *Record) Accept(objects []string, version uint64, content string) (refused string, err error) {
	give, err := r.turn.Take(context.Background())
	if err != nil {
		return "", err
	}
	defer give()
	now := had{version, content}
	if refused := older(r.objects, objects, now); refused != "" {
		return refused, nil
	}
	next, changed := with(r.objects, objects, now)
	if !changed {
		return "", nil
	}
	if len(next) > maxObjects {
		return fmt.Sprintf("cannot be used: this box remembers the versions of %d objects, which is as many as it can; stop Solopod, "+
			"take those that will not come again out of %s, and start it", len(r.objects), r.path), nil
	}
	data, err := json.MarshalIndent(form{next}, "", " ")
	if err == nil {
		err = durable.WriteFile(r.path, append(data, '\n'), 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("cannot note the version in %s before the file is used: %w", r.path, err)
	}
	r.objects = next
	return "", nil
}

// older says why a file with these objects is not used; empty when it is. An object that has had a version is not taken without
// one, and of a version there is but one content.
func older(known map[string]had, objects []string, now had) string {
	for _, name := range objects {
		before, ok := known[name]
		switch {
		case !ok:
		case now.Version == 0:
			return fmt.Sprintf("has no version, and this box has had version %d of %s: give an object of it the annotation "+
				"solopod.io/version, above %[1]d, and sign it again", before.Version, name)
		case now.Version < before.Version:
			return fmt.Sprintf("is older: it has version %d, and this box has had version %d of %s; to go back give the old text "+
				"a version above %[2]d, and sign it again", now.Version, before.Version, name)
		case now.Version == before.Version && now.Content != before.Content:
			return fmt.Sprintf("has version %d, of which this box has had another content with %s; raise the version, and sign it again",
				now.Version, name)
		}
	}
	return ""
}

// with is known with these objects in it; changed says whether that is another than known.
func with(known map[string]had, objects []string, now had) (next map[string]had, changed bool) {
	if now.Version == 0 {
		return known, false
	}
	for _, name := range objects {
		if known[name] == now {
			continue
		}
		if !changed {
			next, changed = maps.Clone(known), true
		}
		next[name] = now
	}
	if !changed {
		return known, false
	}
	return next, true
}
