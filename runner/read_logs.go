package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/logs"
)

// ErrNotFound is returned for a pod, container or log that does not exist; its text says which.
var ErrNotFound = errors.New("not found")

// Pod returns a pod with its status, or ErrNotFound.
func (r *Runner) Pod(namespace, name string) (*v1.Pod, error) {
	var found *v1.Pod
	for _, pod := range r.Pods() {
		// While a pod of another UID takes a name over, both exist: the one that stays counts.
		if pod.Namespace == namespace && pod.Name == name && (found == nil || found.DeletionTimestamp != nil) {
			found = pod
		}
	}
	if found == nil {
		return nil, fmt.Errorf("pod %s/%s: %w", namespace, name, ErrNotFound)
	}
	return found, nil
}

// Logs writes a container's log to w; an empty container name means the pod's only one.
func (r *Runner) Logs(ctx context.Context, namespace, name, container string, previous bool, o logs.ReadOptions, w io.Writer) error {
	pod, err := r.Pod(namespace, name)
	if err != nil {
		return err
	}
	status, err := pickContainer(pod, container)
	if err != nil {
		return err
	}
	attempt := int(status.RestartCount)
	if previous {
		if attempt--; attempt < 0 {
			return fmt.Errorf("container %s of pod %s/%s has no earlier attempt: %w", status.Name, namespace, name, ErrNotFound)
		}
		o.Follow = false
	}
	path := r.logFile(pod, status.Name, attempt)
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("container %s of pod %s/%s has no log yet: %w", status.Name, namespace, name, ErrNotFound)
	}
	watched, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := r.whenEnded(watched, pod, status.Name, attempt)
	if previous || status.State.Running == nil {
		// The container has ended: its last words are on their way.
		select {
		case <-ended:
		case <-time.After(lastWords):
		case <-ctx.Done():
		}
	}
	return logs.Read(ctx, path, o, w, ended)
}

// logDir holds a pod's logs, with a kubelet's names.
func (r *Runner) logDir(pod *v1.Pod) string {
	return filepath.Join(r.logRoot(), pod.Namespace+"_"+pod.Name+"_"+string(pod.UID))
}

func (r *Runner) logFile(pod *v1.Pod, container string, attempt int) string {
	return filepath.Join(r.logDir(pod), container, strconv.Itoa(attempt)+".log")
}

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
		return nil, fmt.Errorf("pod %s/%s has several containers; choose one of %s: %w",
			pod.Namespace, pod.Name, strings.Join(names, ", "), ErrNotFound)
	}
	return nil, fmt.Errorf("pod %s/%s has no container %q; it has %s: %w",
		pod.Namespace, pod.Name, name, strings.Join(names, ", "), ErrNotFound)
}

// whenEnded closes its channel once an attempt of a container is over and its log is complete: the directory of its
// FIFOs is then gone.
func (r *Runner) whenEnded(ctx context.Context, pod *v1.Pod, container string, attempt int) <-chan struct{} {
	ended := make(chan struct{})
	changes, cancel := r.Subscribe()
	dir := filepath.Join(r.stateDir(string(pod.UID)), "containers", container, fmt.Sprint(attempt))
	go func() {
		defer cancel()
		for {
			if _, err := os.Stat(dir); err != nil {
				close(ended)
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-changes:
			}
		}
	}()
	return ended
}
