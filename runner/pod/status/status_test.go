package status_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/pod/status"
	"github.com/solopod/solopod/runner/pod/step"
)

var t0 = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// pod has an init container, a sidecar and a container.
func pod() *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: "uid"},
		Spec: v1.PodSpec{
			RestartPolicy: v1.RestartPolicyAlways, TerminationGracePeriodSeconds: ptr.To[int64](30),
			InitContainers: []v1.Container{{Name: "prepare", Image: "busybox:1"}, {Name: "car", Image: "car:1", RestartPolicy: ptr.To(v1.ContainerRestartPolicyAlways)}},
			Containers:     []v1.Container{{Name: "main", Image: "main:1"}},
		},
	}
}

func fresh() state.State {
	p := pod()
	return step.Step(state.New(state.Host{Node: "box", IPs: []string{"192.0.2.1"}}, 0, p, true), state.Desired{At: t0, Pod: p, File: "web.yaml"})
}

// up has a sandbox, and all containers as they should be.
func up(s state.State) state.State {
	s.SetUp, s.SharedRevision, s.Applied, s.StartTime, s.Initialized = true, s.Revisions.Shared, s.Pod, t0, true
	s.Network = &state.Attachment{IPs: []string{"10.0.0.2", "fd00::2"}}
	s.Containers = map[string]*state.Container{
		"prepare": {Revision: s.Revisions.Containers["prepare"], Ended: &state.Ending{ID: "p", Reason: state.ReasonCompleted, FinishedAt: t0}},
		"car":     {ID: "c", Revision: s.Revisions.Containers["car"], Running: true, Started: true, Ready: true},
		"main":    {ID: "m", Revision: s.Revisions.Containers["main"], Running: true, Started: true, Ready: true, Attempt: 2, Last: &state.Ending{ID: "l", ExitCode: 137, Reason: state.ReasonOOM}},
	}
	return s
}

// ended is main with an end.
func ended(s *state.State, e state.Ending, backoff state.Backoff) {
	e.ID, e.FinishedAt = "e", t0
	s.Containers["main"] = &state.Container{Revision: s.Revisions.Containers["main"], Ended: &e, Backoff: backoff}
}

// noSidecar ends the sidecar.
func noSidecar(s *state.State) {
	s.Containers["car"] = &state.Container{Revision: s.Revisions.Containers["car"], Ended: &state.Ending{ID: "c", FinishedAt: t0}}
}

// says is a status in one line.
func says(p *v1.Pod, container string) string {
	ready := v1.ConditionUnknown
	for _, c := range p.Status.Conditions {
		if c.Type == v1.PodReady {
			ready = c.Status
		}
	}
	out := fmt.Sprintf("%s ready=%s", p.Status.Phase, ready)
	for _, c := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
		if c.Name != container {
			continue
		}
		out += fmt.Sprintf("; restarts=%d ready=%v", c.RestartCount, c.Ready)
		switch s := c.State; {
		case s.Running != nil:
			out += " running"
		case s.Waiting != nil:
			out += " waiting:" + s.Waiting.Reason
		case s.Terminated != nil:
			out += fmt.Sprintf(" terminated:%s,%d,%d", s.Terminated.Reason, s.Terminated.ExitCode, s.Terminated.Signal)
		}
		if last := c.LastTerminationState.Terminated; last != nil {
			out += " last:" + last.Reason
		}
	}
	return out
}

func TestOf(t *testing.T) {
	crash := state.Backoff{Delay: 10 * time.Second, Set: t0}
	for name, test := range map[string]struct {
		change    func(s *state.State)
		container string
		want      string
	}{
		"new":               {func(s *state.State) { *s = fresh() }, "main", "Pending ready=False; restarts=0 ready=false waiting:PodInitializing"},
		"no room":           {func(s *state.State) { *s = fresh(); s.NoRoom = "OutOfmemory" }, "main", "Failed ready=False; restarts=0 ready=false waiting:PodInitializing"},
		"no room before":    {func(s *state.State) { s.NoRoom = "OutOfmemory" }, "main", "Running ready=True; restarts=2 ready=true running last:OOMKilled"},
		"new, init":         {func(s *state.State) { *s = fresh() }, "prepare", "Pending ready=False; restarts=0 ready=false waiting:PodInitializing"},
		"up":                {func(*state.State) {}, "main", "Running ready=True; restarts=2 ready=true running last:OOMKilled"},
		"init done":         {func(*state.State) {}, "prepare", "Running ready=True; restarts=0 ready=true terminated:Completed,0,0"},
		"init history lost": {func(s *state.State) { delete(s.Containers, "prepare") }, "prepare", "Running ready=True; restarts=0 ready=true terminated:Completed,0,0"},
		"sidecar":           {func(*state.State) {}, "car", "Running ready=True; restarts=0 ready=true running"},
		"sidecar not ready": {func(s *state.State) { s.Containers["car"].Ready = false }, "car", "Running ready=False; restarts=0 ready=false running"},
		"crash loop":        {func(s *state.State) { ended(s, state.Ending{ExitCode: 1, Reason: state.ReasonError}, crash) }, "main", "Running ready=False; restarts=0 ready=false waiting:CrashLoopBackOff last:Error"},
		"restarts at once":  {func(s *state.State) { ended(s, state.Ending{ExitCode: 1, Reason: state.ReasonError}, state.Backoff{}) }, "main", "Running ready=False; restarts=0 ready=false terminated:Error,1,0"},
		"killed": {func(s *state.State) {
			ended(s, state.Ending{ExitCode: 137, Reason: state.ReasonError}, state.Backoff{})
		}, "main", "Running ready=False; restarts=0 ready=false terminated:Error,137,9"},
		"succeeded": {func(s *state.State) { never(s); ended(s, state.Ending{Reason: state.ReasonCompleted}, state.Backoff{}) }, "main", "Running ready=False; restarts=0 ready=false terminated:Completed,0,0"},
		"succeeded, and its sidecar has ended": {func(s *state.State) {
			never(s)
			noSidecar(s)
			ended(s, state.Ending{Reason: state.ReasonCompleted}, state.Backoff{})
		}, "main", "Succeeded ready=False; restarts=0 ready=false terminated:Completed,0,0"},
		"succeeded, and its sidecar crashed": {func(s *state.State) {
			never(s)
			ended(s, state.Ending{Reason: state.ReasonCompleted}, state.Backoff{})
			s.Containers["car"] = &state.Container{
				Revision: s.Revisions.Containers["car"], Backoff: crash, Ended: &state.Ending{ID: "c", ExitCode: 1, Reason: state.ReasonError, FinishedAt: t0},
			}
		}, "car", "Succeeded ready=False; restarts=0 ready=false terminated:Error,1,0"},
		"succeeded, and its sidecar could not be made again": {func(s *state.State) {
			never(s)
			noSidecar(s)
			ended(s, state.Ending{Reason: state.ReasonCompleted}, state.Backoff{})
			s.Containers["car"].Now.WaitingReason = "CreateContainerError"
		}, "car", "Succeeded ready=False; restarts=0 ready=false terminated:,0,0"},
		"failed": {func(s *state.State) {
			never(s)
			noSidecar(s)
			ended(s, state.Ending{ExitCode: 1, Reason: state.ReasonError}, state.Backoff{})
		}, "main", "Failed ready=False; restarts=0 ready=false terminated:Error,1,0"},
		"evicted": {func(s *state.State) { s.Failed = &state.Failure{Reason: "Evicted"} }, "main", "Running ready=True; restarts=2 ready=true running last:OOMKilled"},
		"evicted, and all has ended": {func(s *state.State) {
			s.Failed = &state.Failure{Reason: "Evicted"}
			noSidecar(s)
			ended(s, state.Ending{ExitCode: 143, Reason: state.ReasonError}, state.Backoff{})
		}, "main", "Failed ready=False; restarts=0 ready=false terminated:Error,143,15"},
		"create failed":     {func(s *state.State) { hindered(s, "CreateContainerError") }, "main", "Pending ready=False; restarts=0 ready=false waiting:CreateContainerError"},
		"pulling":           {func(s *state.State) { lacks(s, state.Image{}) }, "main", "Pending ready=False; restarts=0 ready=false waiting:ContainerCreating"},
		"archives are read": {func(s *state.State) { lacks(s, state.Image{AwaitsScan: true}) }, "main", "Pending ready=False; restarts=0 ready=false waiting:ContainerCreating"},
		"pull failed":       {func(s *state.State) { lacks(s, state.Image{Reason: "ErrImagePull", Retry: state.Backoff{Failures: 1}}) }, "main", "Pending ready=False; restarts=0 ready=false waiting:ErrImagePull"},
		"pull failed again": {func(s *state.State) { lacks(s, state.Image{Reason: "ErrImagePull", Retry: state.Backoff{Failures: 2}}) }, "main", "Pending ready=False; restarts=0 ready=false waiting:ErrImagePull"},
		"pull waits": {func(s *state.State) {
			lacks(s, state.Image{Reason: "ErrImagePull", Retry: state.Backoff{Failures: 1}, BacksOff: true})
		}, "main", "Pending ready=False; restarts=0 ready=false waiting:ImagePullBackOff"},
		"no image's name": {func(s *state.State) { hindered(s, "InvalidImageName") }, "main", "Pending ready=False; restarts=0 ready=false waiting:InvalidImageName"},
		"replaced by an edit": {func(s *state.State) {
			ended(s, state.Ending{ExitCode: 1, Reason: state.ReasonError}, crash)
			s.Containers["main"].Replaced = true
		}, "main", "Running ready=False; restarts=0 ready=false terminated:Error,1,0"},
	} {
		t.Run(name, func(t *testing.T) {
			s := up(fresh())
			test.change(&s)
			if got := says(status.Of(s, t0), test.container); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// never makes a pod's end final.
func never(s *state.State) {
	p := pod()
	p.Spec.RestartPolicy = v1.RestartPolicyNever
	*s = up(step.Step(*s, state.Desired{At: t0, Pod: p}))
}

func hindered(s *state.State, reason string) {
	s.Containers["main"] = &state.Container{Now: state.Now{WaitingReason: reason}}
}

func lacks(s *state.State, image state.Image) {
	s.Containers["main"] = &state.Container{Now: state.Now{Lacks: "main:1"}}
	s.Images = map[string]*state.Image{"main:1": &image}
}

// TestDeletion: that a pod is going shows at once, with the time when that began.
func TestDeletion(t *testing.T) {
	s := step.Step(up(fresh()), state.Desired{At: t0})
	p := status.Of(s, t0.Add(time.Hour))
	if p.DeletionTimestamp == nil || !p.DeletionTimestamp.Time.Equal(t0) || *p.DeletionGracePeriodSeconds != 30 {
		t.Errorf("%v, %v", p.DeletionTimestamp, p.DeletionGracePeriodSeconds)
	}
	if p.Status.PodIP != "10.0.0.2" || len(p.Status.PodIPs) != 2 || p.Spec.NodeName != "box" || p.Annotations["solopod.io/manifest"] != "web.yaml" {
		t.Errorf("%+v", p.Status)
	}
}

// TestConditionsKeepTheirTimes: a condition that does not change keeps its time.
func TestConditionsKeepTheirTimes(t *testing.T) {
	s := up(fresh())
	s.Conditions = status.Of(s, t0).Status.Conditions
	s.Containers["main"].Ready = false
	for _, c := range status.Of(s, t0.Add(time.Hour)).Status.Conditions {
		moved := c.Type == v1.PodReady || c.Type == v1.ContainersReady
		if got := !c.LastTransitionTime.Time.Equal(t0); got != moved {
			t.Errorf("%s: moved %v", c.Type, got)
		}
	}
}

// TestConditionsOverARestart: until what an earlier run left was looked at, its conditions hold, and their times.
func TestConditionsOverARestart(t *testing.T) {
	for name, change := range map[string]func(s *state.State){
		"up":        func(*state.State) {},
		"ended":     func(s *state.State) { never(s); ended(s, state.Ending{ExitCode: 1}, state.Backoff{}); s.SetUp = false },
		"not ready": func(s *state.State) { s.Containers["main"].Ready = false },
	} {
		s := up(fresh())
		change(&s)
		before := status.Of(s, t0).Status.Conditions
		s.Conditions = before
		data, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		restored, err := state.Decode(data, "uid", s.Host, true)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range status.Of(restored, t0.Add(time.Hour)).Status.Conditions {
			if c.Status != before[i].Status || !c.LastTransitionTime.Equal(&before[i].LastTransitionTime) {
				t.Errorf("%s: %s was %s since %s, and is %s since %s", name, c.Type, before[i].Status, before[i].LastTransitionTime, c.Status, c.LastTransitionTime)
			}
		}
	}
}

// TestReadyOverAReboot: what ran before the machine was restarted is not ready, also before it was looked at; what runs on is.
func TestReadyOverAReboot(t *testing.T) {
	s := up(fresh())
	s.BootID = s.Host.BootID
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for boot, want := range map[string]string{s.Host.BootID: "True", "another": "False ContainersNotReady containers with unready status: [car main]"} {
		host := s.Host
		host.BootID = boot
		restored, err := state.Decode(data, "uid", host, true)
		if err != nil {
			t.Fatal(err)
		}
		if got := condition(status.Of(restored, t0.Add(time.Minute)), v1.PodReady); got != want {
			t.Errorf("in boot %s: %s, not %s", boot, got, want)
		}
	}
}

// condition is one of a pod's, in one line; empty when it has none of the type.
func condition(p *v1.Pod, of v1.PodConditionType) string {
	for _, c := range p.Status.Conditions {
		if c.Type == of {
			return strings.TrimSpace(fmt.Sprintf("%s %s %s", c.Status, c.Reason, c.Message))
		}
	}
	return ""
}

// TestConditions: reasons and messages are the kubelet's (pkg/kubelet/status/generate.go).
func TestConditions(t *testing.T) {
	two := func(s *state.State) {
		p := pod()
		p.Spec.InitContainers = []v1.Container{{Name: "i1", Image: "i:1"}, {Name: "i2", Image: "i:1"}}
		p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: "beside", Image: "main:1"})
		*s = step.Step(state.New(s.Host, 0, p, true), state.Desired{At: t0, Pod: p})
	}
	drained := func(s *state.State) { s.StopBy = t0.Add(time.Minute) }
	for name, test := range map[string]struct {
		change func(s *state.State)
		of     v1.PodConditionType
		want   string
	}{
		"init containers":       {two, v1.PodInitialized, "False ContainersNotInitialized containers with incomplete status: [i1 i2]"},
		"containers":            {two, v1.PodReady, "False ContainersNotReady containers with unready status: [main beside]"},
		"a sidecar comes first": {func(s *state.State) { s.Containers["car"].Ready, s.Containers["main"].Ready = false, false }, v1.ContainersReady, "False ContainersNotReady containers with unready status: [car main]"},
		"up":                    {func(*state.State) {}, v1.PodReady, "True"},
		"completed":             {func(s *state.State) { never(s); ended(s, state.Ending{}, state.Backoff{}); delete(s.Containers, "car") }, v1.PodReady, "False PodCompleted"},
		"completed, and init":   {func(s *state.State) { never(s); ended(s, state.Ending{}, state.Backoff{}); delete(s.Containers, "car") }, v1.PodInitialized, "True PodCompleted"},
		"failed": {func(s *state.State) {
			never(s)
			ended(s, state.Ending{ExitCode: 1}, state.Backoff{})
			delete(s.Containers, "car")
		}, v1.ContainersReady, "False PodFailed"},
		"undisturbed":       {func(*state.State) {}, v1.DisruptionTarget, ""},
		"evicted":           {func(s *state.State) { s.Failed = &state.Failure{Reason: state.ReasonEvicted, Message: "too much"} }, v1.DisruptionTarget, "True TerminationByKubelet too much"},
		"over its deadline": {func(s *state.State) { s.Failed = &state.Failure{Reason: "DeadlineExceeded"} }, v1.DisruptionTarget, ""},
		"drained":           {drained, v1.DisruptionTarget, "True TerminationByKubelet all pods are stopped, by a drain or because the machine goes down"},
		"ended, then drained": {func(s *state.State) {
			never(s)
			ended(s, state.Ending{}, state.Backoff{})
			delete(s.Containers, "car")
			drained(s)
		}, v1.DisruptionTarget, ""},
		"drained, then ended": {func(s *state.State) {
			never(s)
			drained(s)
			s.Conditions = status.Of(*s, t0).Status.Conditions
			ended(s, state.Ending{ExitCode: 143}, state.Backoff{})
			delete(s.Containers, "car")
			s.StopBy = time.Time{} // the next start
		}, v1.DisruptionTarget, "True TerminationByKubelet all pods are stopped, by a drain or because the machine goes down"},
		"begun anew after a drain": {func(s *state.State) {
			drained(s)
			s.Conditions = status.Of(*s, t0).Status.Conditions
			s.StopBy = time.Time{}
		}, v1.DisruptionTarget, ""},
	} {
		s := up(fresh())
		test.change(&s)
		if got := condition(status.Of(s, t0), test.of); got != test.want {
			t.Errorf("%s: %s is %q, not %q", name, test.of, got, test.want)
		}
	}
}

// TestMade: what runs is shown as it was made, whatever an edit asks for, until that is done.
func TestMade(t *testing.T) {
	mounts := func(name string) []v1.VolumeMount {
		return []v1.VolumeMount{
			{Name: name, MountPath: "/a"}, {Name: name, MountPath: "/b", ReadOnly: true},
			{Name: name, MountPath: "/c", ReadOnly: true, RecursiveReadOnly: ptr.To(v1.RecursiveReadOnlyIfPossible)},
		}
	}
	cpu := func(m int64) v1.ResourceRequirements {
		return v1.ResourceRequirements{Requests: v1.ResourceList{v1.ResourceCPU: *resource.NewMilliQuantity(m, resource.DecimalSI)}}
	}
	s := fresh()
	made := pod()
	made.Spec.Containers[0].VolumeMounts, made.Spec.Containers[0].Resources = mounts("old"), cpu(100)
	s = up(step.Step(s, state.Desired{At: t0, Pod: made}))
	main := s.Containers["main"]
	main.Image, main.ImageID, main.StopSignal = "registry.example/main:1", "registry.example/main@sha256:1", 12
	s.VolumeImages = map[string]string{"old": "shown@sha256:2"}
	main.User = &v1.ContainerUser{Linux: &v1.LinuxContainerUser{UID: 7, GID: 8, SupplementalGroups: []int64{8, 9}}}
	next := pod()
	next.Spec.Containers[0].Image, next.Spec.Containers[0].VolumeMounts, next.Spec.Containers[0].Resources = "main:2", mounts("new"), cpu(200)
	s = step.Step(s, state.Desired{At: t0.Add(time.Hour), Pod: next})

	p := status.Of(s, t0)
	c := p.Status.ContainerStatuses[0]
	if c.Image != "registry.example/main:1" || c.ImageID != "registry.example/main@sha256:1" || c.StopSignal == nil || *c.StopSignal != "SIGUSR2" || c.User.Linux.UID != 7 {
		t.Errorf("it shows %+v", c)
	}
	if got := c.AllocatedResources.Cpu().MilliValue(); got != 100 || c.Resources.Requests.Cpu().MilliValue() != 100 {
		t.Errorf("its resources are %d, %v", got, c.Resources)
	}
	var got []string
	for _, m := range c.VolumeMounts {
		got = append(got, fmt.Sprint(m.Name, m.MountPath, m.ReadOnly, ptr.Deref(m.RecursiveReadOnly, "-")))
	}
	if want := "old/afalse- old/btrueDisabled old/ctrueEnabled"; strings.Join(got, " ") != want {
		t.Errorf("its mounts are %v, not %s", got, want)
	}
	if v := c.VolumeMounts[0].VolumeStatus; v == nil || v.Image.ImageRef != "shown@sha256:2" {
		t.Errorf("the image of its volume is %v", v)
	}
	if p.Status.InitContainerStatuses[0].Image != "busybox:1" {
		t.Errorf("what did not run yet is shown as %+v", p.Status.InitContainerStatuses[0])
	}
}

// TestGeneration: edits of the spec are counted, and when the manifest was seen as it is; both outlive a restart.
func TestGeneration(t *testing.T) {
	s := up(fresh())
	says := func() string {
		p := status.Of(s, t0)
		for _, c := range p.Status.Conditions {
			if c.ObservedGeneration != p.Status.ObservedGeneration {
				t.Errorf("%s is of generation %d", c.Type, c.ObservedGeneration)
			}
		}
		if p.Annotations["kubernetes.io/config.hash"] == "" || p.Annotations["kubernetes.io/config.mirror"] != p.Annotations["kubernetes.io/config.hash"] {
			t.Errorf("its annotations are %v", p.Annotations)
		}
		return fmt.Sprintf("%d %d %s", p.Generation, p.Status.ObservedGeneration, p.Annotations["kubernetes.io/config.seen"])
	}
	expect := func(when, want string) {
		t.Helper()
		if got := says(); got != want {
			t.Errorf("%s: %s, not %s", when, got, want)
		}
	}
	restart := func() {
		data, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if s, err = state.Decode(data, "uid", s.Host, true); err != nil {
			t.Fatal(err)
		}
	}
	change := func(after time.Duration, change func(p *v1.Pod)) {
		p := s.Pod.DeepCopy()
		change(p)
		s = step.Step(s, state.Desired{At: t0.Add(after), Pod: p})
	}
	expect("new", "1 1 2026-01-01T12:00:00Z")
	change(time.Hour, func(*v1.Pod) {})
	expect("the same", "1 1 2026-01-01T12:00:00Z")
	change(time.Hour, func(p *v1.Pod) { p.Labels = map[string]string{"a": "b"} })
	expect("another label", "1 1 2026-01-01T13:00:00Z")
	change(2*time.Hour, func(p *v1.Pod) { p.Spec.Containers[0].Image = "main:2" })
	expect("another image, which is looked for", "2 1 2026-01-01T13:00:00Z")
	s = step.Step(s, state.EditDue{At: t0.Add(2 * time.Hour)})
	expect("another image", "2 2 2026-01-01T14:00:00Z")
	restart()
	expect("after a restart", "2 2 2026-01-01T14:00:00Z")
	change(3*time.Hour, func(*v1.Pod) {})
	expect("read again", "2 2 2026-01-01T14:00:00Z")
}

// TestSame: what changes the status changes what is compared.
func TestSame(t *testing.T) {
	a := up(fresh())
	for name, change := range map[string]func(s *state.State){
		"a message":        func(s *state.State) { s.Message = "no" },
		"an image":         func(s *state.State) { s.Images = map[string]*state.Image{"x": {}} },
		"ready":            func(s *state.State) { s.Containers["main"].Ready = false },
		"a failure":        func(s *state.State) { s.Failed = &state.Failure{} },
		"an edit":          func(s *state.State) { s.Generation = 7 },
		"a drain":          func(s *state.State) { s.StopBy = t0 },
		"its user":         func(s *state.State) { s.Containers["main"].User = &v1.ContainerUser{} },
		"its signal":       func(s *state.State) { s.Containers["main"].StopSignal = 9 },
		"what was applied": func(s *state.State) { s.Applied = pod() },
		"its going":        func(s *state.State) { s.DeletedAt = t0 },
	} {
		b := step.Step(a, state.ClaimsFree{})
		if !status.Same(&a, &b) {
			t.Fatal("nothing has changed")
		}
		if change(&b); status.Same(&a, &b) {
			t.Errorf("%s does not count", name)
		}
	}
}

// A container's own last words count before what is known of its end.
func TestExplained(t *testing.T) {
	for _, c := range []struct {
		end  state.Ending
		want string
	}{
		{state.Ending{Explained: "killed at its limit"}, "killed at its limit"},
		{state.Ending{Explained: "killed at its limit", Message: "bye"}, "bye"},
		{state.Ending{Explained: "killed at its limit", FromLog: true}, ""}, // its log is still to be read
		{state.Ending{}, ""},
	} {
		s := up(fresh())
		c.end.ID, c.end.ExitCode, c.end.Reason = "l", 137, state.ReasonOOM
		s.Containers["main"].Last = &c.end
		last := status.Of(s, t0).Status.ContainerStatuses[0].LastTerminationState.Terminated
		if last == nil || last.Message != c.want || last.Reason != "OOMKilled" {
			t.Errorf("%+v: %+v", c.end, last)
		}
	}
}
