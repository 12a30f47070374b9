package runner

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxEvents bounds the memory that events take.
const maxEvents = 1000

// Events collects what happened, in Kubernetes' form and with its reasons. Repetitions are counted, not listed. It is
// safe for concurrent use.
type Events struct {
	node    string
	mu      sync.Mutex
	list    []*v1.Event
	counter int
}

// NewEvents makes an empty collection for the node of that name.
func NewEvents(node string) *Events { return &Events{node: node} }

// List returns the events, the oldest first.
func (e *Events) List() []v1.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]v1.Event, len(e.list))
	for i, ev := range e.list {
		out[i] = *ev.DeepCopy()
	}
	return out
}

// Pod reports something about a pod, or about one of its containers.
func (e *Events) Pod(pod *v1.Pod, container, kind, reason, format string, args ...any) {
	ref := v1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}
	if container != "" {
		ref.FieldPath = "spec.containers{" + container + "}"
	}
	e.add(ref, kind, reason, fmt.Sprintf(format, args...), "container", container)
}

// Manifest reports something about a manifest file.
func (e *Events) Manifest(file, kind, reason, message string) {
	e.add(v1.ObjectReference{Kind: "Manifest", Name: file}, kind, reason, message)
}

// Object reports something about another object of the manifests.
func (e *Events) Object(kind, namespace, name, eventType, reason, message string) {
	e.add(v1.ObjectReference{Kind: kind, Namespace: namespace, Name: name}, eventType, reason, message)
}

// Node reports something about the machine.
func (e *Events) Node(kind, reason, message string) {
	e.add(v1.ObjectReference{Kind: "Node", Name: e.node}, kind, reason, message)
}

func (e *Events) add(ref v1.ObjectReference, kind, reason, message string, attrs ...any) {
	now := metav1.NewTime(time.Now())
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, old := range e.list {
		if old.InvolvedObject == ref && old.Reason == reason && old.Message == message {
			old.Count++
			old.LastTimestamp = now
			e.list = append(append(e.list[:i:i], e.list[i+1:]...), old)
			report(slog.LevelDebug, ref, reason, message, attrs) // said before; the log is no place for a timer
			return
		}
	}
	level := slog.LevelInfo
	if kind == v1.EventTypeWarning {
		level = slog.LevelWarn
	}
	report(level, ref, reason, message, attrs)
	e.counter++
	namespace := ref.Namespace
	if namespace == "" {
		namespace = v1.NamespaceDefault
	}
	e.list = append(e.list, &v1.Event{
		TypeMeta:       metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
		ObjectMeta:     metav1.ObjectMeta{Name: fmt.Sprintf("%s.%x", ref.Name, now.UnixNano()+int64(e.counter)), Namespace: namespace, CreationTimestamp: now},
		InvolvedObject: ref, Reason: reason, Message: message, Type: kind, Count: 1,
		FirstTimestamp: now, LastTimestamp: now,
		Source:              v1.EventSource{Component: "solopod", Host: e.node},
		ReportingController: "solopod", ReportingInstance: e.node,
	})
	if len(e.list) > maxEvents {
		e.list = e.list[len(e.list)-maxEvents:]
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
