package explain

import (
	"strings"
	"testing"

	"github.com/solopod/solopod/oom/record"
)

const mi = 1 << 20

func mebi(n int64) *int64 {
	n *= mi
	return &n
}

// dead is a java of a pod that had so much anonymous memory, at the limit of so much.
func dead(owner record.Owner, limit, anon int64, change ...func(*record.Record)) record.Record {
	r := record.Record{
		ID: "1", Pod: record.PodName{UID: "u", Namespace: "default", Name: "web"}, Container: "main", Process: "java", PID: 17, Owner: owner,
		Victim: record.Victim{AnonRSS: anon * mi}, Source: record.Log,
	}
	if limit > 0 {
		r.Cgroup, r.Limit, r.Usage = "/c", mebi(limit), mebi(limit)
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

func TestSentence(t *testing.T) {
	yes, no := true, false
	isMain := func(is *bool) func(*record.Record) { return func(r *record.Record) { r.Main = is } }
	group := func(r *record.Record) { r.Group = true }
	outside := func(r *record.Record) { r.Pod, r.Container = record.PodName{}, "" }
	for name, c := range map[string]struct {
		r    record.Record
		spec Spec
		want string
	}{
		"its limit": {
			dead(record.Container, 256, 240, isMain(&yes)), Spec{Limit: 256 * mi},
			"killed at its limit of 256Mi: 240Mi anonymous in java (pid 17); raise the limit to about 340Mi or look for a leak",
		},
		"a small limit": {
			dead(record.Container, 32, 31), Spec{Limit: 32 * mi},
			"killed at its limit of 32Mi: 31Mi anonymous in java (pid 17); raise the limit to about 43Mi or look for a leak",
		},
		"a large limit": {
			dead(record.Container, 6144, 6000), Spec{Limit: 6 << 30},
			"killed at its limit of 6Gi: 5.9Gi anonymous in java (pid 17); raise the limit to about 8Gi or look for a leak",
		},
		"raised since": {
			dead(record.Container, 256, 240), Spec{Limit: 512 * mi},
			"killed at its limit of 256Mi: 240Mi anonymous in java (pid 17); the limit is 512Mi now",
		},
		"a child": {
			dead(record.Container, 256, 240, isMain(&no)), Spec{},
			"killed at its limit of 256Mi: 240Mi anonymous in java (pid 17); the container lived on; raise the limit to about 340Mi or look for a leak",
		},
		"a group": {
			dead(record.Container, 256, 240, isMain(&no), group), Spec{},
			"killed at its limit of 256Mi: 240Mi anonymous in java (pid 17); its cgroup was killed as a whole; raise the limit to about 340Mi or look for a leak",
		},
		"tmpfs": {
			dead(record.Container, 256, 1, func(r *record.Record) { r.Split.Shmem = mebi(250) }), Spec{},
			"killed at its limit of 256Mi: 250Mi in tmpfs and shared memory; java (pid 17) had 1Mi; empty or bound its emptyDir volumes in memory and /dev/shm, or raise the limit",
		},
		"the kernel's": {
			dead(record.Container, 256, 1, func(r *record.Record) {
				r.Split.Kernel, r.Split.Slab, r.Split.PageTables = mebi(200), mebi(150), mebi(50)
			}), Spec{},
			"killed at its limit of 256Mi: 200Mi in the kernel (slab 150Mi, page tables 50Mi); java (pid 17) had 1Mi; raise the limit to about 340Mi or look for a leak",
		},
		"kernel memory of an unknown kind": {
			dead(record.Container, 256, 1, func(r *record.Record) { r.Split.Kernel = mebi(200) }), Spec{},
			"killed at its limit of 256Mi: 200Mi in the kernel (slab, page tables and the like); java (pid 17) had 1Mi; raise the limit to about 340Mi or look for a leak",
		},
		"many processes": {
			dead(record.Container, 256, 40, func(r *record.Record) {
				r.Split.Anon, r.Largest = mebi(240), []record.Process{{Name: "java", PID: 17, RSS: 40 * mi}, {Name: "java", PID: 18, RSS: 39 * mi}}
			}), Spec{},
			"killed at its limit of 256Mi: 240Mi anonymous in many processes, of which the largest 2 had 79Mi; killed was java (pid 17) with 40Mi; raise the limit to about 340Mi or look for a leak",
		},
		"mapped files": {
			dead(record.Container, 256, 0, func(r *record.Record) { r.Victim.FileRSS = 100 * mi }), Spec{},
			"killed at its limit of 256Mi: 100Mi in java (pid 17); raise the limit to about 340Mi or look for a leak",
		},
		"shared memory that it maps": {
			dead(record.Container, 256, 0, func(r *record.Record) { r.Victim.ShmemRSS = 100 * mi }), Spec{},
			"killed at its limit of 256Mi: 100Mi of shared memory in java (pid 17); raise the limit to about 340Mi or look for a leak",
		},
		"a limit that the log does not tell": {
			dead(record.Container, 0, 240), Spec{},
			"killed at its limit: 240Mi anonymous in java (pid 17)",
		},
		"the pod's limit": {
			dead(record.Pod, 512, 300), Spec{Limit: 400 * mi, PodLimit: 512 * mi},
			"killed at the pod's limit of 512Mi, not at the container's of 400Mi: 300Mi anonymous in java (pid 17); raise the pod's limit to about 680Mi, or give its containers limits of their own",
		},
		"the containers' limits together": {
			dead(record.Pod, 512, 300), Spec{Limit: 400 * mi},
			"killed at the pod's limit of 512Mi, the sum of its containers', not at the container's of 400Mi: 300Mi anonymous in java (pid 17); raise its containers' limits, or have less in volumes in memory, which count for the pod",
		},
		"the pod's limit, with none of the container's": {
			dead(record.Pod, 512, 300), Spec{},
			"killed at the pod's limit of 512Mi, not at the container's, which has none: 300Mi anonymous in java (pid 17); raise the pod's limit to about 680Mi, or give its containers limits of their own",
		},
		"all pods'": {
			dead(record.Pods, 7168, 300), Spec{},
			"killed at the limit of 7Gi of all pods together: 300Mi anonymous in java (pid 17); give that cgroup more, or the pods less",
		},
		"above": {
			dead(record.Ancestor, 7168, 300), Spec{},
			"killed at the limit of 7Gi of /c, a cgroup above the pods: 300Mi anonymous in java (pid 17); give that cgroup more, or the pods less",
		},
		"the machine, three times its request": {
			dead(record.Machine, 0, 310), Spec{Request: 100 * mi},
			"killed because the machine was full, at no limit of the pod's: 310Mi anonymous in java (pid 17), 3 times the container's request of 100Mi; give containers limits, or the machine more memory",
		},
		"the machine, over its request": {
			dead(record.Machine, 0, 110), Spec{Request: 100 * mi},
			"killed because the machine was full, at no limit of the pod's: 110Mi anonymous in java (pid 17), more than the container's request of 100Mi; give containers limits, or the machine more memory",
		},
		"the machine, within its request": {
			dead(record.Machine, 0, 90), Spec{Request: 100 * mi},
			"killed because the machine was full, at no limit of the pod's: 90Mi anonymous in java (pid 17), within the container's request of 100Mi; give containers limits, or the machine more memory",
		},
		"the machine, without request": {
			dead(record.Machine, 0, 90), Spec{},
			"killed because the machine was full, at no limit of the pod's: 90Mi anonymous in java (pid 17); the container has no memory request, and such go first; give containers limits, or the machine more memory",
		},
		"the machine, by what the pod used": {
			dead(record.Machine, 0, 110, func(r *record.Record) { r.PodUsage, r.PodRequest, r.Request = mebi(310), mebi(100), mebi(100) }), Spec{Request: 400 * mi},
			"killed because the machine was full, at no limit of the pod's: 110Mi anonymous in java (pid 17); the pod used 310Mi, 3 times its request of 100Mi; give containers limits, or the machine more memory",
		},
		"the machine, by what a pod without request used": {
			dead(record.Machine, 0, 110, func(r *record.Record) { r.PodUsage, r.PodRequest = mebi(310), mebi(0) }), Spec{},
			"killed because the machine was full, at no limit of the pod's: 110Mi anonymous in java (pid 17); the pod used 310Mi and has no memory request, and such go first; give containers limits, or the machine more memory",
		},
		"the machine, by the request of then": {
			dead(record.Machine, 0, 310, func(r *record.Record) { r.Request = mebi(100) }), Spec{Request: 400 * mi},
			"killed because the machine was full, at no limit of the pod's: 310Mi anonymous in java (pid 17), 3 times the container's request of 100Mi; give containers limits, or the machine more memory",
		},
		"all pods', by what the pod used": {
			dead(record.Pods, 7168, 300, func(r *record.Record) { r.PodUsage, r.PodRequest = mebi(90), mebi(100) }), Spec{},
			"killed at the limit of 7Gi of all pods together: 300Mi anonymous in java (pid 17); the pod used 90Mi, within its request of 100Mi; give that cgroup more, or the pods less",
		},
		"growth": {
			dead(record.Container, 256, 240, grows(mi*12/10, 180)), Spec{Limit: 256 * mi},
			"killed at its limit of 256Mi: 240Mi anonymous in java (pid 17); grew 1.2Mi/s for 3 min, from 40Mi; raise the limit to about 340Mi, which at that rate is full 70 s later, or look for a leak",
		},
		"slow growth": {
			dead(record.Container, 256, 240, grows(20<<10, 36000)), Spec{Limit: 256 * mi},
			"killed at its limit of 256Mi: 240Mi anonymous in java (pid 17); grew 20Ki/s for 10 h, from 40Mi; raise the limit to about 340Mi, which at that rate is full 72 min later, or look for a leak",
		},
		"growth to the pod's limit": {
			dead(record.Pod, 512, 300, grows(mi, 50)), Spec{Limit: 400 * mi, PodLimit: 512 * mi},
			"killed at the pod's limit of 512Mi, not at the container's of 400Mi: 300Mi anonymous in java (pid 17); grew 1Mi/s for 50 s, from 40Mi; raise the pod's limit to about 680Mi, or give its containers limits of their own",
		},
		"in a storm": {
			dead(record.Unknown, 0, 90), Spec{},
			"killed for memory; the kernel left out at which limit: 90Mi anonymous in java (pid 17)",
		},
		"counted": {
			dead(record.Unknown, 0, 0, func(r *record.Record) { r.Source, r.Process, r.PID = record.Counter, "", 0 }), Spec{},
			"a process was killed for memory; the kernel's log does not tell which, nor at which limit",
		},
		"counted, at the container's limit": {
			dead(record.Container, 32, 0, func(r *record.Record) { r.Source, r.Process, r.PID = record.Counter, "", 0 }), Spec{},
			"a process was killed at the container's limit of 32Mi; the kernel's log does not tell which; raise the limit to about 43Mi or look for a leak",
		},
		"counted, at the limit of all pods": {
			dead(record.Pods, 512, 0, func(r *record.Record) { r.Source, r.Process, r.PID = record.Counter, "", 0 }), Spec{},
			"a process was killed at the limit of 512Mi of all pods together; the kernel's log does not tell which; give that cgroup more, or the pods less",
		},
		"counted while nobody looked": {
			dead(record.Unknown, 0, 0, func(r *record.Record) { r.Source, r.Process, r.PID, r.Before = record.Counter, "", 0, true }), Spec{},
			"a process was killed for memory at some time before this, while Solopod did not run; the kernel's log does not tell which, nor at which limit",
		},
		"gone, the pod's limit": {
			dead(record.Pod, 512, 300), Spec{},
			"killed at the pod's limit of 512Mi, not at the container's: 300Mi anonymous in java (pid 17)",
		},
		"gone, the machine": {
			dead(record.Machine, 0, 90), Spec{},
			"killed because the machine was full, at no limit of the pod's: 90Mi anonymous in java (pid 17); give containers limits, or the machine more memory",
		},
		"a part of the machine": {
			dead(record.Machine, 0, 90, func(r *record.Record) { r.Part = true }), Spec{Request: 100 * mi},
			"killed because the part of the machine's memory that it was bound to was full, at no limit of the pod's: 90Mi anonymous in java (pid 17), within the container's request of 100Mi; bind it to more memory nodes, or less to them",
		},
		"no pod's": {
			dead(record.Ancestor, 256, 90, outside), Spec{},
			"java (pid 17), which belongs to no pod and had 90Mi, was killed at the limit of 256Mi of /c",
		},
		"no pod's, of a full machine": {
			dead(record.Machine, 0, 90, outside), Spec{},
			"java (pid 17), which belongs to no pod and had 90Mi, was killed because the machine was full",
		},
		"no pod's, in a storm": {
			dead(record.Unknown, 0, 0, outside, func(r *record.Record) { r.Process = "" }), Spec{},
			"a process, which belongs to no pod, was killed for memory",
		},
	} {
		c.spec.Known = !strings.HasPrefix(name, "gone, ")
		if got := Sentence(c.r, c.spec); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

func grows(perSecond, seconds int64) func(*record.Record) {
	return func(r *record.Record) {
		r.Growth = &record.Growth{PerSecond: perSecond, Seconds: seconds, From: 40 * mi}
	}
}

// What stands in a container's status says what happened, and gives no advice.
func TestShort(t *testing.T) {
	for want, r := range map[string]record.Record{
		"killed at its limit of 256Mi: 240Mi anonymous in java (pid 17); grew 1.2Mi/s for 3 min, from 40Mi": dead(record.Container, 256, 240, grows(mi*12/10, 180)),
		"killed at the pod's limit of 512Mi, not at the container's: 300Mi anonymous in java (pid 17)":      dead(record.Pod, 512, 300),
		"killed because the machine was full, at no limit of the pod's: 310Mi anonymous in java (pid 17); the pod used 310Mi, 3 times its request of 100Mi": dead(record.Machine, 0, 310, func(r *record.Record) {
			r.PodUsage, r.PodRequest = mebi(310), mebi(100)
		}),
		"": dead(record.Unknown, 0, 0, func(r *record.Record) { r.Source = record.Counter }),
	} {
		if got := Short(r); got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	}
	if got := Short(dead(record.Machine, 0, 1, func(r *record.Record) { r.Pod = record.PodName{} })); got != "" {
		t.Errorf("of no pod: %s", got)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 17: "17", 2048: "2Ki", 1536: "1.5Ki", 20000: "20Ki", 256 * mi: "256Mi", 1 << 30: "1Gi", 3 << 29: "1.5Gi", 300 << 30: "300Gi", 1023 * mi: "1023Mi"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d is %s, not %s", n, got, want)
		}
	}
}
