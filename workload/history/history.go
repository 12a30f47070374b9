// Package history keeps which versions of the manifests' objects there were, and says which of them holds: what the manifest says, or
// what somebody has asked for (rollout undo, pause), or the last version that was ready where a new one does not become so.
package history

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/workload/record"
	"github.com/solopod/solopod/workload/revisions"
)

// Report says what has happened to an object.
type Report func(kind, namespace, name, eventType, reason, message string)

// Settings are what a History goes by.
type Settings struct {
	// After is how long versions may take to become ready that do not say it themselves; zero is for ever.
	After time.Duration
	// Count counts what goes back, by its kind; nil counts nothing.
	Count func(kind string)
}

// History is safe for concurrent use; Apply, Judge and Save are for one goroutine.
type History struct {
	settings Settings
	report   Report
	store    *record.Store

	mu      sync.Mutex
	objects map[string]*revisions.Object // by kind/namespace/name
	// changed: something else holds than at the last Apply. dirty: there is something to write.
	changed, dirty bool
	// asked are the objects of which something was asked for since the last Apply: what is known of their pods is of what held before.
	asked map[string]bool
	// since is from when on pods are waited for whose version is new.
	since map[string]time.Time
}

// file is the record.
type file struct {
	Objects map[string]*revisions.Object `json:"objects"`
}

// New makes a History that is kept in the file at path. A file that is none is set aside: there are no former versions then.
func New(path string, s Settings, report Report) *History {
	h := &History{settings: s, report: report, store: record.New(path), since: map[string]time.Time{}, asked: map[string]bool{}}
	var f file
	if err := h.store.Read(&f); err != nil {
		f = file{}
		h.store.SetAside("the record of former versions of objects", err)
	}
	h.objects = f.Objects
	if h.objects == nil {
		h.objects = map[string]*revisions.Object{}
	}
	maps.DeleteFunc(h.objects, func(key string, o *revisions.Object) bool {
		ofPod := strings.HasPrefix(key, "Pod/")
		return o == nil || len(o.Revisions) == 0 ||
			slices.ContainsFunc(o.Revisions, func(r revisions.Revision) bool { return (r.Pod != nil) != ofPod || (r.Template != nil) == ofPod })
	})
	for _, o := range h.objects {
		if o.Tried() {
			o.Starts++
			h.dirty = true
		}
	}
	return h
}

// Key names an object.
func Key(kind, namespace, name string) string { return kind + "/" + namespace + "/" + name }

// mostBytes bounds the record, so that it can be read again (record.MaxSize).
const mostBytes = record.MaxSize * 3 / 4

// Save has what has changed written, and waits within a limit until it is: what goes back must not come again after a crash.
func (h *History) Save() {
	h.mu.Lock()
	if h.dirty {
		h.dirty = false
		if text, err := h.text(); err == nil {
			h.store.SaveText(text)
		} else {
			slog.Error("cannot write down former versions of objects", "err", err)
		}
	}
	h.mu.Unlock()
	h.store.Await()
}

// Close waits, within a limit, until the record is written.
func (h *History) Close() { h.store.Close() }

// text is the record. As far as it is too long the oldest versions of those objects are forgotten that have the most.
func (h *History) text() ([]byte, error) {
	for {
		text, err := json.Marshal(file{h.objects})
		if err != nil || len(text) <= mostBytes || !h.shrink() {
			return text, err
		}
	}
}

// shrink forgets versions of one object; false where none has any to spare.
func (h *History) shrink() bool {
	most := ""
	for _, key := range slices.Sorted(maps.Keys(h.objects)) {
		if n := len(h.objects[key].Revisions); n > 2 && (most == "" || n > len(h.objects[most].Revisions)) {
			most = key
		}
	}
	if most == "" {
		return false
	}
	o := h.objects[most]
	o.Forget(len(o.Revisions) / 2)
	return true
}

// Changed says whether something else holds than at the last Apply.
func (h *History) Changed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

// Trying says whether there are pods of which it is not known yet whether their version is good.
func (h *History) Trying() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.objects {
		if r := o.Current(); r != nil && r.Pod != nil && o.Good != r.Hash {
			return true
		}
	}
	return false
}

// Images are those of the versions that hold, and of those to go back to, by the objects' names.
func (h *History) Images() map[string][]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string][]string{}
	for key, o := range h.objects {
		for i := range o.Revisions {
			r := &o.Revisions[i]
			if r != o.Current() && r.Hash != o.Good {
				continue
			}
			var spec v1.PodSpec
			if r.Template != nil {
				spec = r.Template.Spec
			} else {
				spec = r.Pod.Spec
			}
			out[key] = append(out[key], manifests.Images(&v1.Pod{Spec: spec})...)
		}
	}
	return out
}

// digest identifies a value of the Kubernetes API.
func digest(of any) string {
	text, err := json.Marshal(of)
	if err != nil {
		return "" // these always encode
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// ErrNotFound is returned for an object that has no history.
var ErrNotFound = errors.New("it has no versions: it must be a Deployment, StatefulSet or DaemonSet of a manifest")

// Shown is what is shown of an object.
type Shown struct {
	// Revision is the number of the version that holds.
	Revision int64
	// Reason is why that is not, or may not be, what the manifest says, as Message tells; both empty where it is.
	Reason, Message string
	// Paused: none takes its place. Waits: what the manifest says would, if it were not.
	Paused, Waits bool
}

// Show says what there is to show of an object.
func (h *History) Show(key string) (out Shown) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o := h.objects[key]; o != nil {
		out.Revision, out.Paused = o.Current().Number, !o.Paused.IsZero()
		out.Reason, out.Message = o.Held()
		out.Waits = out.Paused && o.Instead == nil && o.Current().Hash != o.Given
	}
	return out
}

// Notes are Show of all objects, but for pods.
func (h *History) Notes() map[string]Shown {
	h.mu.Lock()
	keys := slices.DeleteFunc(slices.Collect(maps.Keys(h.objects)), func(key string) bool { return strings.HasPrefix(key, "Pod/") })
	h.mu.Unlock()
	out := map[string]Shown{}
	for _, key := range keys {
		out[key] = h.Show(key)
	}
	return out
}

// Versions are an object's revisions, the oldest first, and which of them the manifest has, which may be none.
func (h *History) Versions(key string) (list []revisions.Revision, manifest string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.objects[key]
	if o == nil {
		return nil, "", ErrNotFound
	}
	return slices.Clone(o.Revisions), o.Given, nil
}

// said reports of an object.
func (h *History) said(key, eventType, reason, message string) {
	kind, namespace, name := parts(key)
	h.report(kind, namespace, name, eventType, reason, message)
}

// Undo has a former version of an object hold until its manifest is changed: that with a number, or with zero the one before. skipped says
// that it does already.
func (h *History) Undo(key string, to int64, now time.Time) (skipped bool, err error) {
	err = h.change(key, func(o *revisions.Object) error {
		if skipped, err = o.Undo(to, now); err == nil && !skipped {
			_, held := o.Held()
			if held == "" {
				held = "what the manifest says holds again"
			}
			h.said(key, v1.EventTypeNormal, "RolloutUndone", held)
		}
		return err
	})
	return skipped, err
}

// Errors of Pause and Resume, in kubectl's sense.
var (
	ErrPaused    = errors.New("it is paused already")
	ErrNotPaused = errors.New("it is not paused")
)

// Pause has an object stay as it is, whatever becomes of its template in the manifest, until Resume.
func (h *History) Pause(key string, now time.Time) error {
	return h.change(key, func(o *revisions.Object) error {
		if !o.Paused.IsZero() {
			return ErrPaused
		}
		o.Paused = now.UTC().Truncate(time.Second)
		h.said(key, v1.EventTypeNormal, "RolloutPaused", "no pod gets another version until it is resumed")
		return nil
	})
}

// Resume ends Pause.
func (h *History) Resume(key string) error {
	return h.change(key, func(o *revisions.Object) error {
		if o.Paused.IsZero() {
			return ErrNotPaused
		}
		o.Paused = time.Time{}
		h.said(key, v1.EventTypeNormal, "RolloutResumed", "pods get the version that holds")
		return nil
	})
}

func (h *History) change(key string, do func(*revisions.Object) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.objects[key]
	if o == nil {
		return ErrNotFound
	}
	if err := do(o); err != nil {
		return err
	}
	h.changed, h.dirty, h.asked[key] = true, true, true
	return nil
}

// back has an object's last good version hold. The lock is held.
func (h *History) back(key string, o *revisions.Object, why string, now time.Time) {
	o.Back(why, now)
	h.changed, h.dirty = true, true
	delete(h.since, key)
	_, held := o.Held()
	if held == "" {
		held = "what the manifest says holds again, as what was asked for did not become ready: " + why
	}
	h.said(key, v1.EventTypeWarning, "RolledBack", held)
	if h.settings.Count != nil {
		kind, _, _ := parts(key)
		h.settings.Count(kind)
	}
}

// late says that a version has not become ready in time.
func late(allowed time.Duration, why string) string {
	if why != "" {
		why = ": " + why
	}
	if allowed <= 0 {
		return "Solopod has begun anew too often before it was ready" + why
	}
	return fmt.Sprintf("not ready for %s%s", allowed, why)
}
