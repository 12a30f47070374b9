// Package session is what people do with a pod: exec, attach, port-forward, copy, logs, checkpoint.
//
// It reads what pods publish of themselves, and never touches the state of a pod's worker. A session ends with its context: what
// it waits for longer than its limit is left behind, and holds nothing that others need.
package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/archive"
	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/layout"
)

// Errors that callers tell apart with errors.Is; their texts say which pod or container, and why.
var (
	// ErrNotFound is returned for a pod, container or log that does not exist.
	ErrNotFound = errors.New("not found")
	// ErrNotRunning is returned for a container that should be entered and does not run.
	ErrNotRunning = errors.New("not running")
)

// missing is an ErrNotFound whose text says all.
type missing string

func (m missing) Error() string { return string(m) }

// Is implements what errors.Is asks for.
func (m missing) Is(target error) bool { return target == ErrNotFound }

// NotFound is an ErrNotFound in the caller's words.
func NotFound(format string, args ...any) error { return missing(fmt.Sprintf(format, args...)) }

// Pods are the pods of this machine. Nothing of it may wait.
type Pods interface {
	// Pods lists them with their status, as it was published last; they are not to be changed.
	Pods() []*v1.Pod
	// Subscribe returns a channel that gets a token after a change, of a pod or of what lies in its directories. The caller
	// must call cancel.
	Subscribe() (changes <-chan struct{}, cancel func())
	// Pid is the main process of a container that runs, by the container's id; zero when it does not.
	Pid(id string) uint32
	// CloseStdin ends the input of a container for ever, soon: the one session has ended that it takes input from.
	CloseStdin(id string)
}

// Engine reaches containers by their ids. All of it returns soon after its context has ended.
type Engine interface {
	Executor
	Resize(ctx context.Context, id string, s engine.Size)
	Checkpoint(ctx context.Context, id, images, work string) (spec json.RawMessage, err error)
}

// Executor runs further processes in a container.
type Executor interface {
	// Process is the container's main process, as the pattern for others. The caller owns it.
	Process(ctx context.Context, id string) (*specs.Process, error)
	// Exec runs a process to its end and returns its exit code. dir exists, and is for FIFOs.
	Exec(ctx context.Context, id, dir string, process *specs.Process, sio engine.ExecIO) (uint32, error)
}

// Sessions serves the pods of one daemon. It is safe for concurrent use.
type Sessions struct {
	pods   Pods
	engine Engine
	dirs   layout.Dirs
	logs   aside.Places // the directories of logs
}

// New serves these pods. Nothing is to be closed.
func New(pods Pods, e Engine, dirs layout.Dirs) *Sessions {
	return &Sessions{pods: pods, engine: e, dirs: dirs}
}

// Pod returns a pod with its status, or ErrNotFound. It is not to be changed.
func (s *Sessions) Pod(namespace, name string) (*v1.Pod, error) {
	var found *v1.Pod
	for _, pod := range s.pods.Pods() {
		// Of two pods of one name the one that stays counts.
		if pod.Namespace == namespace && pod.Name == name && (found == nil || found.DeletionTimestamp != nil) {
			found = pod
		}
	}
	if found == nil {
		return nil, fmt.Errorf("pod %s/%s: %w", namespace, name, ErrNotFound)
	}
	return found, nil
}

// CanReach says whether there is such a pod. An empty uid means any.
func (s *Sessions) CanReach(ns, name, uid string) error {
	pod, err := s.Pod(ns, name)
	if err == nil && uid != "" && uid != string(pod.UID) {
		err = fmt.Errorf("pod %s/%s with the UID %s: %w", ns, name, uid, ErrNotFound)
	}
	return err
}

// CanEnter says why a container cannot be entered: it, or a pod with this UID, does not exist, or it does not run. An empty uid
// means any, and an empty container the pod's only one.
func (s *Sessions) CanEnter(ns, name, uid, container string) error {
	if err := s.CanReach(ns, name, uid); err != nil {
		return err
	}
	_, err := s.enter(ns, name, container)
	return err
}

// Archive is where the files of a running container can be read and written.
func (s *Sessions) Archive(ns, pod, container string) (archive.Container, error) {
	in, err := s.enter(ns, pod, container)
	if err != nil {
		return archive.Container{}, err
	}
	pid := s.pods.Pid(in.id)
	if pid == 0 {
		return archive.Container{}, fmt.Errorf("container %s of pod %s/%s is %w", in.spec.Name, ns, pod, ErrNotRunning)
	}
	return archive.Container{Pid: pid}, nil
}

// inside is a container that can be entered.
type inside struct {
	pod     *v1.Pod
	spec    *v1.Container
	id      string // in containerd
	attempt int
}

func (in *inside) uid() string { return string(in.pod.UID) }

// enter finds a running container; an empty name means the pod's only one.
func (s *Sessions) enter(ns, name, container string) (*inside, error) {
	pod, err := s.Pod(ns, name)
	if err != nil {
		return nil, err
	}
	status, err := pickContainer(pod, container)
	if err != nil {
		return nil, err
	}
	spec := manifests.ContainerOf(pod, status.Name)
	if status.State.Running == nil || spec == nil {
		why := "it has ended"
		if w := status.State.Waiting; w != nil {
			why = "it is waiting: " + w.Reason
		}
		return nil, fmt.Errorf("container %s of pod %s/%s is %w; %s", status.Name, ns, name, ErrNotRunning, why)
	}
	return &inside{
		pod: pod, spec: spec, id: strings.TrimPrefix(status.ContainerID, idPrefix), attempt: int(status.RestartCount),
	}, nil
}

// idPrefix is what a container's status begins its id with.
const idPrefix = "containerd://"

// pickContainer finds a container by its name, init containers too; without a name it is the pod's only one beside these.
func pickContainer(pod *v1.Pod, name string) (*v1.ContainerStatus, error) {
	var names []string
	for _, list := range [][]v1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range list {
			s := &list[i]
			if s.Name == name || name == "" && i == 0 && len(pod.Status.ContainerStatuses) == 1 {
				return s, nil
			}
			names = append(names, s.Name)
		}
	}
	if name == "" {
		return nil, NotFound("pod %s/%s has several containers; choose one of %s", pod.Namespace, pod.Name, strings.Join(names, ", "))
	}
	return nil, NotFound("pod %s/%s has no container %q; it has %s", pod.Namespace, pod.Name, name, strings.Join(names, ", "))
}
