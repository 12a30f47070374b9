// Package event collects what happens, in the form and with the reasons of Kubernetes' events, and keeps it over restarts and
// reboots.
package event

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxEvents bounds the memory that events take.
const maxEvents = 1000

// Log holds the last thousand events; where there are more, those give way of the object that has the most. Repetitions are counted, not
// listed. It is safe for concurrent use.
type Log struct {
	node     string
	mu       sync.Mutex
	list     []*v1.Event // by the time of the last repetition
	counter  int
	watchers map[chan v1.Event]bool
	// ofBoot are the names of those that happened since the machine was started.
	ofBoot map[string]bool
	store  *store
}

// New makes the log of the node of that name, with what earlier runs have kept: of this boot in state, of all in root. With both
// empty nothing is kept.
func New(node, state, root string) *Log {
	l := &Log{node: node, watchers: map[chan v1.Event]bool{}, ofBoot: map[string]bool{}}
	if state != "" {
		l.store = newStore(filepath.Join(state, "events.jsonl"), filepath.Join(root, "events.jsonl"))
		l.list, l.ofBoot = l.store.load()
		l.store.events = l.copies
		go l.store.run() // until Close
	}
	return l
}

// Close writes what has not been written, and waits for it no longer than seconds. Nothing may be reported afterwards.
func (e *Log) Close() {
	if e.store != nil {
		e.store.close()
	}
}

// copies are the events, and those of this boot, as they are now.
func (e *Log) copies() (all, ofBoot []*v1.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.list {
		c := ev.DeepCopy()
		all = append(all, c)
		if e.ofBoot[ev.Name] {
			ofBoot = append(ofBoot, c)
		}
	}
	return all, ofBoot
}

// sinceBoot are the events of this boot. e.mu is held.
func (e *Log) sinceBoot() []*v1.Event {
	return slices.DeleteFunc(slices.Clone(e.list), func(ev *v1.Event) bool { return !e.ofBoot[ev.Name] })
}

// Watch sends every event, and every repetition, from now on; the caller must call cancel. Who does not keep up loses the
// channel: it is closed.
func (e *Log) Watch() (events <-chan v1.Event, cancel func()) {
	c := make(chan v1.Event, 256)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.watchers[c] = true
	return c, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.drop(c)
	}
}

// drop ends a watch. e.mu is held.
func (e *Log) drop(c chan v1.Event) {
	if e.watchers[c] {
		delete(e.watchers, c)
		close(c)
	}
}

// tell passes an event on, to watchers and to the store. e.mu is held.
func (e *Log) tell(ev *v1.Event) {
	for c := range e.watchers {
		select {
		case c <- *ev.DeepCopy():
		default:
			e.drop(c)
		}
	}
	if e.store != nil {
		e.store.note(ev.DeepCopy())
	}
}

// List returns the events, the oldest first.
func (e *Log) List() []v1.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]v1.Event, len(e.list))
	for i, ev := range e.list {
		out[i] = *ev.DeepCopy()
	}
	return out
}

// Pod reports something about a pod, or about one of its containers.
func (e *Log) Pod(pod *v1.Pod, container, kind, reason, format string, args ...any) {
	e.add(podRef(pod, container), kind, reason, fmt.Sprintf(format, args...), 0, "container", container)
}

func podRef(pod *v1.Pod, container string) v1.ObjectReference {
	ref := v1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}
	if container != "" {
		ref.FieldPath = "spec.containers{" + container + "}"
	}
	return ref
}

// Manifest reports something about a manifest file.
func (e *Log) Manifest(file, kind, reason, message string) {
	e.add(v1.ObjectReference{Kind: "Manifest", Name: file}, kind, reason, message, 0)
}

// Object reports something about another object of the manifests.
func (e *Log) Object(kind, namespace, name, eventType, reason, message string) {
	e.add(v1.ObjectReference{Kind: kind, Namespace: namespace, Name: name}, eventType, reason, message, 0)
}

// Node reports something about the machine.
func (e *Log) Node(kind, reason, message string) {
	e.add(v1.ObjectReference{Kind: "Node", Name: e.node}, kind, reason, message, 0)
}

// maxMessage bounds an event's message, in bytes: it may hold what a program outside said.
const maxMessage = 4096

// add reports something. total is how often it has happened by now, where that is known, else zero.
func (e *Log) add(ref v1.ObjectReference, kind, reason, message string, total int, attrs ...any) {
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + " ..."
	}
	level := slog.LevelInfo
	switch again := e.note(ref, kind, reason, message, total); {
	case again:
		level = slog.LevelDebug // said before; the log is no place for a timer
	case kind == v1.EventTypeWarning:
		level = slog.LevelWarn
	case reason == "Created" || reason == "Pulled": // Started says as much
		level = slog.LevelDebug
	}
	report(level, ref, reason, message, attrs)
}

// note adds an event, or counts it when it is there already.
func (e *Log) note(ref v1.ObjectReference, kind, reason, message string, total int) (again bool) {
	now := metav1.NewTime(time.Now())
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, old := range e.list {
		if old.InvolvedObject == ref && old.Reason == reason && old.Message == message {
			more := count(old, total)
			if more == 0 {
				return true
			}
			old.Count += more
			old.LastTimestamp = now
			e.list = append(append(e.list[:i:i], e.list[i+1:]...), old)
			e.tell(old)
			return true
		}
	}
	e.counter++
	namespace := ref.Namespace
	if namespace == "" {
		namespace = v1.NamespaceDefault
	}
	ev := &v1.Event{
		TypeMeta:       metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
		ObjectMeta:     metav1.ObjectMeta{Name: fmt.Sprintf("%s.%x", ref.Name, now.UnixNano()+int64(e.counter)), Namespace: namespace, CreationTimestamp: now},
		InvolvedObject: ref, Reason: reason, Message: message, Type: kind, Count: 1,
		FirstTimestamp: now, LastTimestamp: now,
		Source:              v1.EventSource{Component: "solopod", Host: e.node},
		ReportingController: "solopod", ReportingInstance: e.node,
	}
	if total > 0 {
		ev.Count = count(ev, total)
	}
	e.list = append(e.list, ev)
	e.ofBoot[ev.Name] = true
	e.list = bound(e.list, e.ofBoot)
	e.tell(ev)
	return false
}

// Move moves the times of this boot's events along: the clock was set by so much.
func (e *Log) Move(by time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	moved := e.sinceBoot()
	for _, ev := range moved {
		for _, t := range []*metav1.Time{&ev.FirstTimestamp, &ev.LastTimestamp, &ev.CreationTimestamp} {
			t.Time = t.Add(by)
		}
	}
	if e.store != nil {
		e.store.replaceMemory()
	}
}

// report logs an event.
func report(level slog.Level, ref v1.ObjectReference, reason, message string, attrs []any) {
	object := ref.Name
	if ref.Namespace != "" {
		object = ref.Namespace + "/" + ref.Name
	}
	if len(attrs) == 2 && attrs[1] == "" {
		attrs = nil
	}
	key := strings.ToLower(ref.Kind)
	slog.Log(context.Background(), level, message, append([]any{"reason", reason, key, object}, attrs...)...)
}
