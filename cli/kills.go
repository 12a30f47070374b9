package cli

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/api/ooms"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/amount"
	"github.com/solopod/solopod/oom"
	"github.com/solopod/solopod/oom/explain"
	"github.com/solopod/solopod/oom/record"
	"github.com/solopod/solopod/oom/sample"
	"github.com/solopod/solopod/oom/store"
	"github.com/solopod/solopod/oom/watch"
	"github.com/solopod/solopod/runner"
	"github.com/solopod/solopod/runner/host"
	"github.com/solopod/solopod/runner/pressure"
	"github.com/solopod/solopod/runner/reference"
)

// kills are processes that were killed for memory.
type kills struct {
	*watch.Watcher
	samples *sample.Sampler
	records *store.Store
	of      *subjects
}

// newKills takes up what is known of earlier ones.
func newKills(c config) (*kills, error) {
	boot, err := host.BootID()
	if err != nil {
		return nil, err
	}
	k := &kills{of: &subjects{}}
	records, mark := store.Open(filepath.Join(c.Root, "ooms.jsonl"))
	k.records = records
	k.samples = sample.New(sample.Config{Subject: k.of.sampled, Machine: pressure.Linux{}.Memory, Numbers: watch.SeesAll()})
	k.Watcher = watch.New(watch.Config{Boot: boot, Root: c.cgroups().Root(), Subjects: k.of, Store: records, Mark: mark, Keeper: completing{records, k}})
	return k, nil
}

// counter counts the kills of containers.
func (k *kills) counter() counter {
	return counter{k.samples.Heard(k.Heard(oom.New())), k.Watcher}
}

// counter is what the runner counts kills with.
type counter struct {
	sample.Counter
	known *watch.Watcher
}

// Gone is asked by the runner where a counter is gone.
func (c counter) Gone(ctx context.Context, cgroupPath string, killed bool) uint64 {
	return c.known.Gone(ctx, cgroupPath, killed)
}

// completing is a store whose records have what was remembered of their containers, and of which their pods are told.
type completing struct {
	*store.Store
	k *kills
}

// Add implements watch.Keeper.
func (c completing) Add(r record.Record) {
	r = c.k.samples.Complete(r)
	c.Store.Add(r)
	c.k.of.tell(r)
}

// tellKept tells pods of kills that were recorded before this Solopod began: an earlier one may have ended before it had told them.
func (k *kills) tellKept() {
	for _, r := range k.records.List() {
		k.of.tell(r)
	}
}

// timed are the records whose time is known: of what was only counted while nobody looked it is not.
func (k *kills) timed() []record.Record {
	return slices.DeleteFunc(k.records.List(), func(r record.Record) bool { return r.Before })
}

// served is what /ooms shows.
func (k *kills) served(pods func() []*v1.Pod) ooms.Served {
	return ooms.Served{Records: k.records.List, Pods: pods}
}

// subjects are the runner's pods and containers, once there is one.
type subjects struct{ runner atomic.Pointer[runner.Runner] }

// use is called before the runner takes up what runs.
func (s *subjects) use(r *runner.Runner) { s.runner.Store(r) }

// target is the container of an id, and its pod.
func (s *subjects) target(id string) (t runner.Target, p *v1.Pod, ok bool) {
	if r := s.runner.Load(); r != nil {
		return runner.TargetOf(r, id)
	}
	return t, nil, false
}

// Container implements watch.Subjects.
func (s *subjects) Container(id string) (found watch.Subject, ok bool) {
	t, p, ok := s.target(id)
	if !ok {
		return found, false
	}
	found = subjectOf(p, t.Container, id)
	found.Container, found.Attempt, found.Started = t.Container, t.Attempt, t.StartedAt
	found.Only = isOnly(p, t.Container) // also of one that an edit has taken out
	if watch.SeesAll() {
		found.PID = int(t.Pid)
	}
	return found, true
}

// subjectOf is what a pod's manifest says of a container that has an id, as far as there is one of the name.
func subjectOf(p *v1.Pod, container, id string) watch.Subject {
	requests := manifests.TotalRequests(p)
	found := watch.Subject{
		Pod: record.PodName{UID: string(p.UID), Namespace: p.Namespace, Name: p.Name}, ID: id, PodRequest: amount.Whole(*requests.Memory()),
	}
	if c := manifests.ContainerOf(p, container); c != nil {
		found.Limit, found.Request = amount.Whole(*c.Resources.Limits.Memory()), amount.Whole(*c.Resources.Requests.Memory())
		found.Only = isOnly(p, container)
	}
	return found
}

// Former implements watch.Subjects.
func (s *subjects) Former(uid, id string) (found watch.Subject, ok bool) {
	r := s.runner.Load()
	if r == nil {
		return found, false
	}
	p := runner.PodOf(r, uid)
	if p == nil {
		return found, false
	}
	return formerOf(p, id), true
}

// formerOf is what a pod's status says of a container that has ended. Of attempts before the last one it says nothing: then it is known of
// which limit they were where the pod has one container only.
func formerOf(p *v1.Pod, id string) watch.Subject {
	name, started, attempt := "", time.Time{}, 0
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses) {
		for _, t := range []*v1.ContainerStateTerminated{c.State.Terminated, c.LastTerminationState.Terminated} {
			if t == nil || !strings.HasSuffix(t.ContainerID, "://"+id) {
				continue
			}
			name, started, attempt = c.Name, t.StartedAt.Time, int(c.RestartCount)
			if c.ContainerID != t.ContainerID {
				attempt--
			}
		}
	}
	of := name
	if name == "" && len(p.Spec.InitContainers) == 0 {
		of = p.Spec.Containers[0].Name
	}
	found := subjectOf(p, of, id)
	found.Container, found.Started, found.Attempt = name, started, attempt
	return found
}

// sampled is what samples of a container need.
func (s *subjects) sampled(id string) (found sample.Subject, ok bool) {
	t, p, ok := s.target(id)
	if !ok {
		return found, false
	}
	found.Started = t.StartedAt
	if c := manifests.ContainerOf(p, t.Container); c != nil {
		found.Command, found.Hidden = slices.Concat(c.Command, c.Args), reference.SecretEnv(c) || reference.SecretFiles(p, c)
	}
	return found, true
}

// tell tells a pod why a process of its was killed, for the status of its container.
func (s *subjects) tell(r record.Record) {
	if run, text := s.runner.Load(), explain.Short(r); run != nil && r.ContainerID != "" && text != "" {
		runner.Explain(run, r.Pod.UID, r.ContainerID, text, r.Time)
	}
}

// isOnly: no other container of the pod runs when that one does. Init containers run one after the other, before all others, but for
// those that go on.
func isOnly(p *v1.Pod, container string) bool {
	init, others := false, len(p.Spec.Containers)+len(p.Spec.EphemeralContainers)
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if manifests.IsSidecar(c) {
			return false
		}
		init = init || c.Name == container
	}
	return init || others == 1
}

// Pods implements watch.Subjects.
func (s *subjects) Pods() map[string]bool {
	r := s.runner.Load()
	if r == nil {
		return nil
	}
	out := map[string]bool{}
	for _, p := range r.Pods() {
		out[string(p.UID)] = true
	}
	return out
}

// Pod implements watch.Subjects.
func (s *subjects) Pod(uid string) (record.PodName, bool) {
	r := s.runner.Load()
	if r == nil {
		return record.PodName{}, false
	}
	p := runner.PodOf(r, uid)
	if p == nil {
		return record.PodName{}, false
	}
	return record.PodName{UID: uid, Namespace: p.Namespace, Name: p.Name}, true
}
