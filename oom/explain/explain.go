// Package explain says in one sentence why the kernel killed a process for memory, and what can be done.
package explain

import (
	"fmt"
	"math"
	"strings"

	"github.com/solopod/solopod/oom/record"
)

// Spec is what the manifest gives a container of memory, in bytes; zero is nothing.
type Spec struct {
	Request, Limit int64
	// PodLimit is that of the pod as a whole, where its manifest has one.
	PodLimit int64
	// Known: there is a manifest. The pod may be gone.
	Known bool
}

// Sentence explains a record. It begins with a small letter: the subject, a container, a pod or the machine, stands before it.
func Sentence(r record.Record, s Spec) string {
	if r.Source == record.Counter {
		when := ""
		if r.Before {
			when = " at some time before this, while Solopod did not run"
		}
		if of := limitOf(r); of != "" {
			return join("a process was killed at the "+of+"; the kernel's log does not tell which", advice(r, s))
		}
		return "a process was killed for memory" + when + "; the kernel's log does not tell which, nor at which limit"
	}
	if r.Pod == (record.PodName{}) {
		return join(outside(r), grouped(r))
	}
	return join(killed(r, s), grew(r), grouped(r), livedOn(r), advice(r, s))
}

// limitOf is the limit at which a kill was that only a counter tells; empty where that is not known.
func limitOf(r record.Record) string {
	switch r.Owner {
	case record.Container:
		return "container's limit" + size(" of ", r.Limit)
	case record.Pod:
		return "pod's limit" + size(" of ", r.Limit)
	case record.Pods:
		return "limit" + size(" of ", r.Limit) + " of all pods together"
	case record.Ancestor:
		return "limit" + size(" of ", r.Limit) + " of " + r.Cgroup + ", a cgroup above the pods"
	}
	return ""
}

// Short explains a record of a pod's for the status of its container: what happened, without advice. It is empty where no more is known
// than the status says anyway.
func Short(r record.Record) string {
	if r.Source == record.Counter || r.Pod == (record.PodName{}) {
		return ""
	}
	return join(killed(r, Spec{}), grew(r))
}

// killed says at whose limit, and what the memory was used for.
func killed(r record.Record, s Spec) string {
	switch r.Owner {
	case record.Container:
		return "killed at its limit" + size(" of ", r.Limit) + ": " + consumer(r)
	case record.Pod:
		return atPodLimit(r, s)
	case record.Pods:
		return "killed at the limit" + size(" of ", r.Limit) + " of all pods together: " + consumer(r) + ofPod(r)
	case record.Ancestor:
		return "killed at the limit" + size(" of ", r.Limit) + " of " + r.Cgroup + ", a cgroup above the pods: " + consumer(r) + ofPod(r)
	case record.Machine:
		return "killed because " + full(r) + " was full, at no limit of the pod's: " + consumer(r) + beyondRequest(r, s)
	default:
		return "killed for memory; the kernel left out at which limit: " + consumer(r)
	}
}

// grew says how memory grew before the kill.
func grew(r record.Record) string {
	g := r.Growth
	if g == nil {
		return ""
	}
	return "grew " + Bytes(g.PerSecond) + "/s for " + duration(g.Seconds) + ", from " + Bytes(g.From)
}

// duration is a time in seconds as people say it.
func duration(seconds int64) string {
	switch {
	case seconds < 100:
		return fmt.Sprintf("%d s", seconds)
	case seconds < 100*60:
		return fmt.Sprintf("%d min", (seconds+30)/60)
	}
	return fmt.Sprintf("%d h", (seconds+1800)/3600)
}

// outside is of a process of no pod.
func outside(r record.Record) string {
	out := process(r) + ", which belongs to no pod"
	if rss := r.Victim.RSS(); rss > 0 {
		out += " and had " + Bytes(rss)
	}
	out += ", was killed"
	switch {
	case r.Owner == record.Machine:
		return out + " because " + full(r) + " was full"
	case r.Cgroup != "":
		return out + " at the limit" + size(" of ", r.Limit) + " of " + r.Cgroup
	}
	return out + " for memory"
}

// full is what there was no memory left in.
func full(r record.Record) string {
	if r.Part {
		return "the part of the machine's memory that it was bound to"
	}
	return "the machine"
}

func atPodLimit(r record.Record, s Spec) string {
	own := "not at the container's"
	switch {
	case s.Limit > 0:
		own += " of " + Bytes(s.Limit)
	case s.Known:
		own += ", which has none"
	}
	whole := "killed at the pod's limit" + size(" of ", r.Limit)
	if s.PodLimit == 0 && s.Limit > 0 { // as the kubelet: a pod has what its containers have together
		whole += ", the sum of its containers'"
	}
	return whole + ", " + own + ": " + consumer(r)
}

// consumer says what the memory was used for.
func consumer(r record.Record) string {
	rss := r.Victim.RSS()
	total := valueOf(r.Usage)
	parts := []struct {
		bytes int64
		says  string
	}{
		{valueOf(r.Split.Shmem), "in tmpfs and shared memory"},
		{valueOf(r.Split.Kernel), "in the kernel (" + ofKernel(r.Split) + ")"},
		{valueOf(r.Split.Sockets), "in sockets"},
	}
	for _, p := range parts {
		if total > 0 && p.bytes > total/2 && p.bytes > rss {
			return Bytes(p.bytes) + " " + p.says + "; " + process(r) + " had " + Bytes(rss)
		}
	}
	if n, sum := family(r); n > 1 && valueOf(r.Split.Anon) > 0 && r.Victim.AnonRSS < valueOf(r.Split.Anon)/2 {
		return fmt.Sprintf("%s anonymous in many processes, of which the largest %d had %s; killed was %s with %s",
			Bytes(*r.Split.Anon), n, Bytes(sum), process(r), Bytes(rss))
	}
	return used(r)
}

// used says what the killed process had.
func used(r record.Record) string {
	v := r.Victim
	switch rss := v.RSS(); {
	case rss == 0:
		return process(r)
	case v.AnonRSS >= rss/2:
		return Bytes(v.AnonRSS) + " anonymous in " + process(r)
	case v.ShmemRSS > v.FileRSS:
		return Bytes(v.ShmemRSS) + " of shared memory in " + process(r)
	default:
		return Bytes(rss) + " in " + process(r)
	}
}

// family is how many of the largest processes there were, and what they had.
func family(r record.Record) (n int, sum int64) {
	for _, p := range r.Largest {
		sum += p.RSS
	}
	return len(r.Largest), sum
}

func ofKernel(s record.Split) string {
	var out []string
	for _, p := range []struct {
		name  string
		bytes *int64
	}{{"slab", s.Slab}, {"page tables", s.PageTables}, {"stacks", s.Stacks}} {
		if n := valueOf(p.bytes); n > 0 {
			out = append(out, p.name+" "+Bytes(n))
		}
	}
	if out == nil {
		return "slab, page tables and the like"
	}
	return strings.Join(out, ", ")
}

// beyondRequest compares what was used with what was asked for when there was none left: of the pod, or, where it is not known what that
// used, of the process with its container's.
func beyondRequest(r record.Record, s Spec) string {
	if of := ofPod(r); of != "" {
		return of
	}
	request, known := s.Request, s.Known
	if r.Request != nil {
		request, known = *r.Request, true
	}
	switch {
	case !known:
		return ""
	case request == 0:
		return "; the container has no memory request, and such go first"
	}
	return beyond(r.Victim.RSS(), request, "the container's request")
}

// ofPod compares what the pod used with what it had asked for.
func ofPod(r record.Record) string {
	if r.PodUsage == nil || r.PodRequest == nil {
		return ""
	}
	used := "; the pod used " + Bytes(*r.PodUsage)
	if *r.PodRequest == 0 {
		return used + " and has no memory request, and such go first"
	}
	return used + beyond(*r.PodUsage, *r.PodRequest, "its request")
}

func beyond(used, request int64, name string) string {
	switch of := name + " of " + Bytes(request); {
	case used >= 2*request:
		return fmt.Sprintf(", %d times %s", int64(math.Round(float64(used)/float64(request))), of)
	case used > request:
		return ", more than " + of
	default:
		return ", within " + of
	}
}

func grouped(r record.Record) string {
	if r.Group {
		return "its cgroup was killed as a whole"
	}
	return ""
}

func livedOn(r record.Record) string {
	if r.Main != nil && !*r.Main && !r.Group {
		return "the container lived on"
	}
	return ""
}

// advice says what to do.
func advice(r record.Record, s Spec) string {
	switch r.Owner {
	case record.Container:
		if valueOf(r.Limit) == 0 {
			return ""
		}
		if valueOf(r.Split.Shmem) > *r.Limit/2 {
			return "empty or bound its emptyDir volumes in memory and /dev/shm, or raise the limit"
		}
		if s.Limit > *r.Limit { // it was raised since
			return "the limit is " + Bytes(s.Limit) + " now"
		}
		return "raise the limit to about " + Bytes(more(*r.Limit)) + later(r) + " or look for a leak"
	case record.Pod:
		if valueOf(r.Limit) == 0 || !s.Known {
			return ""
		}
		if s.PodLimit == 0 && s.Limit > 0 {
			return "raise its containers' limits, or have less in volumes in memory, which count for the pod"
		}
		return "raise the pod's limit to about " + Bytes(more(*r.Limit)) + ", or give its containers limits of their own"
	case record.Pods, record.Ancestor:
		return "give that cgroup more, or the pods less"
	case record.Machine:
		if r.Part {
			return "bind it to more memory nodes, or less to them"
		}
		return "give containers limits, or the machine more memory"
	}
	return ""
}

// later says when a higher limit would be full if memory grew on as it did.
func later(r record.Record) string {
	if r.Growth == nil || r.Growth.PerSecond <= 0 {
		return ""
	}
	return ", which at that rate is full " + duration((more(*r.Limit)-*r.Limit)/r.Growth.PerSecond) + " later,"
}

// more is a third more than a limit, of two figures where that is exact enough: what filled the old one, and asked for more, fills three
// quarters of it. How much was still to come nobody knows.
func more(limit int64) int64 {
	n := limit + limit/3
	unit := int64(1 << 20)
	for n/unit >= 100 {
		unit *= 10
	}
	return max((n+unit/2)/unit*unit, limit)
}

// process names the killed process, whose name is of its own making.
func process(r record.Record) string {
	if r.Process == "" {
		return "a process"
	}
	return fmt.Sprintf("%s (pid %d)", r.Process, r.PID)
}

func size(before string, n *int64) string {
	if n == nil || *n == 0 {
		return ""
	}
	return before + Bytes(*n)
}

func valueOf(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

func join(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, "; ")
}

// Bytes is an amount of memory as people and manifests write it.
func Bytes(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "Gi"}, {1 << 20, "Mi"}, {1 << 10, "Ki"}} {
		if n < u.size {
			continue
		}
		if n%u.size == 0 || n >= 10*u.size {
			return fmt.Sprintf("%.0f%s", float64(n)/float64(u.size), u.name)
		}
		return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/float64(u.size)), ".0") + u.name
	}
	return fmt.Sprint(n)
}
