package step_test

import (
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/amount"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/reference"
)

// The manifest's signal counts before the image's.
func TestStopSignal(t *testing.T) {
	named := v1.Signal("SIGUSR1")
	c := v1.Container{Lifecycle: &v1.Lifecycle{StopSignal: &named}}
	if state.StopSignal(&c, "SIGINT") != 10 || state.StopSignal(&v1.Container{}, "SIGINT") != 2 {
		t.Error("the manifest's signal does not count before the image's")
	}
}

// TestPreStopPorts: names of ports are resolved when the container starts.
func TestPreStopPorts(t *testing.T) {
	p := web()
	p.Spec.Containers[0].Ports = []v1.ContainerPort{{Name: "http", ContainerPort: 80}}
	p.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PreStop: &v1.LifecycleHandler{
		HTTPGet: &v1.HTTPGetAction{Port: intstr.FromString("http")}, TCPSocket: &v1.TCPSocketAction{Port: intstr.FromInt32(1)},
	}}
	s := steps(restored(t, running()), state.Desired{At: t0, Pod: p})
	s = steps(s, state.Listed{Asked: t0, At: t0, Found: []state.Found{{
		ID: "m1", Name: "main", Attempt: 1, Status: state.FoundRunning, Revision: state.ContainerRevision(&p.Spec.Containers[0]),
	}}})
	if hook := s.Containers["main"].PreStop; hook == nil || hook.HTTPGet.Port.IntVal != 80 || hook.TCPSocket.Port.IntVal != 1 {
		t.Errorf("%+v", hook)
	}
}

// TestEviction: a pod that has written too much begins anew, later each time; one that is not to be restarted stays failed.
func TestEviction(t *testing.T) {
	over := effect(state.KindMeasure, "", "", "", state.Measured{Over: "too much"})
	s := steps(running(), over...)
	if s.Failed == nil || !s.Failed.Revive.After(t0) || s.Evictions != 1 || !s.MeasureAt.After(t0) {
		t.Errorf("failed %+v, %d evictions", s.Failed, s.Evictions)
	}
	if again := steps(s, over...); again.Evictions != 1 {
		t.Error("it was evicted twice")
	}
	s = steps(s, state.Desired{At: at(time.Second), Pod: func() *v1.Pod { p := web(); p.Spec.Hostname = "x"; return p }()})
	if !s.Failed.Revive.Equal(at(time.Second)) {
		t.Error("an edit does not revive it")
	}
	p := web()
	p.Spec.RestartPolicy = v1.RestartPolicyNever
	if s = steps(steps(fresh(), state.Desired{At: t0, Pod: p}), over...); s.Failed == nil || !s.Failed.Revive.IsZero() {
		t.Errorf("failed %+v", s.Failed)
	}
	limit := resource.MustParse("1Gi")
	for want, e := range map[int64]*v1.EmptyDirVolumeSource{1 << 30: {SizeLimit: &limit}, 0: {Medium: v1.StorageMediumMemory, SizeLimit: &limit}} {
		if got := amount.SizeLimit(&v1.Volume{VolumeSource: v1.VolumeSource{EmptyDir: e}}); got != want {
			t.Errorf("%d, not %d", got, want)
		}
	}
}

// TestNoRoom: a pod that has no room is shown as failed for that, until it has, and looks again when others give something back.
func TestNoRoom(t *testing.T) {
	claim := func(c state.Claimed) []state.Event { return effect(state.KindClaim, "", "", "", c) }
	full := claim(state.Claimed{Problem: state.Problem{Reason: "OutOfmemory", Message: "too little", Claim: true, NoRoom: true}})
	s := steps(steps(fresh(), state.Desired{At: t0, Pod: web()}), full...)
	if s.NoRoom != "OutOfmemory" || s.Message != "too little" || !s.LacksClaim || !s.Seeks() {
		t.Errorf("no room %q (%s), lacks %v", s.NoRoom, s.Message, s.LacksClaim)
	}
	if s = steps(s, state.ClaimsFree{}); s.LacksClaim || s.Retry != (state.Backoff{}) || s.NoRoom == "" {
		t.Errorf("it does not look again at once: %+v", s.Retry)
	}
	if taken := steps(s, claim(state.Claimed{Problem: state.Problem{Reason: "HostPortConflict", Claim: true}})...); taken.NoRoom != "" || taken.Seeks() {
		t.Error("what waits for a port keeps room from others")
	}
	if s = steps(s, claim(state.Claimed{})...); s.NoRoom != "" {
		t.Errorf("it has room, and says %q", s.NoRoom)
	}
}

// TestUnmeasuredIsToldOnce: limits that cannot be held are told once, until they can.
func TestUnmeasuredIsToldOnce(t *testing.T) {
	fails := effect(state.KindMeasure, "", "", "", state.Measured{Problem: state.Problem{Message: "it takes too long"}})
	works := effect(state.KindMeasure, "", "", "", state.Measured{})
	s, told := running(), 0
	for _, events := range [][]state.Event{fails, fails, works, fails} {
		s = steps(s, events...)
		for _, r := range s.Reports {
			if r.Reason == "FailedMeasure" && r.Warning && strings.Contains(r.Message, "it takes too long") {
				told++
			}
		}
	}
	if told != 2 || s.Failed != nil || !s.MeasureAt.After(t0) {
		t.Errorf("told %d times; failed %v, next %s", told, s.Failed, s.MeasureAt)
	}
}

// TestKillsForMemory: a main process that dies with a kill was killed for memory; one that dies some time after was not.
func TestKillsForMemory(t *testing.T) {
	for after, want := range map[time.Duration]string{time.Second: state.ReasonOOM, time.Minute: state.ReasonError} {
		s := steps(running(), state.Begun{Thing: "kills/main", Flight: state.Flight{Kind: state.KindWatchKills, Name: "main", ID: "m0", Token: 3}})
		s = steps(s, state.Said{Thing: "kills/main", Token: 3, At: t0, News: state.KillsSeen{Kills: 2}})
		if r := s.Reports; len(r) != 1 || r[0].Count != 2 {
			t.Errorf("told %+v", r)
		}
		s = steps(s, state.Exited{ID: "m0", Code: 137, When: at(after)},
			state.Begun{Thing: "end/main", Flight: state.Flight{Kind: state.KindExamine, Name: "main", ID: "m0", Token: 4}},
			state.Returned{Thing: "end/main", Token: 4, At: at(after), Result: state.Examined{Kills: 2}})
		if c := s.Containers["main"]; c.Ended.Reason != want || c.OOMKills != 2 {
			t.Errorf("after %s: %+v", after, c.Ended)
		}
	}
}

// Kills are told with their number over all attempts, and with the same words, also those of the time when no Solopod looked.
func TestKillsTold(t *testing.T) {
	s := running()
	s.Containers["main"].OOMKills = 5
	s = steps(s, effect(state.KindReadOutput, "main", "m0", "m0", state.OutputRead{Kills: 2})...)
	first := s.Reports
	if len(first) != 1 || first[0].Reason != state.OOMKilling || first[0].Count != 7 {
		t.Errorf("told %+v", first)
	}
	s = steps(s, state.Begun{Thing: "kills/main", Flight: state.Flight{Kind: state.KindWatchKills, Name: "main", ID: "m0", Token: 3}})
	for _, kills := range []uint64{2, 4} {
		s = steps(s, state.Said{Thing: "kills/main", Token: 3, At: t0, News: state.KillsSeen{Kills: kills}})
	}
	if r := s.Reports; len(r) != 1 || r[0].Count != 9 || len(first) != 1 || r[0].Message != first[0].Message {
		t.Errorf("told %+v", r)
	}
}

// TestKilledWhileAway: a container that ended by a kill while no Solopod looked was killed for memory, unless all kills were known before.
func TestKilledWhileAway(t *testing.T) {
	for name, test := range map[string]struct {
		known, found uint64
		want         string
	}{
		"killed meanwhile": {0, 1, state.ReasonOOM},
		"once more":        {2, 3, state.ReasonOOM},
		"killed before":    {2, 2, state.ReasonError},
		"never":            {0, 0, state.ReasonError},
	} {
		for order, first := range map[string]bool{"its output is taken over first": true, "its end is found first": false} {
			s := running()
			s.Containers["main"].Kills = test.known
			s = steps(restored(t, s), state.Desired{At: at(time.Hour), Pod: web()})
			if first {
				s = steps(s, state.Begun{Thing: "output/main", Flight: state.Flight{Kind: state.KindReadOutput, Name: "main", ID: "m0", Token: 3}},
					state.Returned{Thing: "output/main", Token: 3, At: at(time.Hour), Result: state.OutputRead{Kills: test.found}})
			}
			s = steps(s, state.Listed{Asked: at(time.Hour), At: at(time.Hour), Found: []state.Found{
				{ID: "m0", Name: "main", Status: state.FoundStopped, ExitCode: 137, ExitedAt: at(time.Minute)},
			}})
			s = steps(s, state.Begun{Thing: "end/main", Flight: state.Flight{Kind: state.KindExamine, Name: "main", ID: "m0", Token: 4}},
				state.Returned{Thing: "end/main", Token: 4, At: at(time.Hour), Result: state.Examined{Kills: test.found}})
			c := s.Containers["main"]
			if c.Ended == nil || c.Ended.Reason != test.want || c.OOMKills != test.found || c.Kills != 0 {
				t.Errorf("%s, %s: %+v, kills %d", name, order, c.Ended, c.OOMKills)
			}
		}
	}
}

// TestHookFellBack: that a hook was done by HTTP in place of HTTPS is told, whatever else it says.
func TestHookFellBack(t *testing.T) {
	for fellBack, want := range map[string]int{"": 0, "the server speaks HTTP": 1} {
		s := steps(running(), effect(state.KindPostStart, "main", "m0", "", state.HookEnded{FellBack: fellBack})...)
		if r := s.Reports; len(r) != want || want == 1 && (r[0].Reason != "LifecycleHTTPFallback" || r[0].Message != fellBack || !r[0].Warning) {
			t.Errorf("%q: %+v", fellBack, r)
		}
	}
}

// TestOtherDigest: who waits for an image is told that it is there with another digest.
func TestOtherDigest(t *testing.T) {
	for instead, want := range map[string]string{"": "policy is Never; import it", "main:1 with the digest sha256:2": "policy is Never; there is main:1 with the digest sha256:2; import it"} {
		want = strings.Replace(want, "policy", "imagePullPolicy", 1)
		p := web()
		p.Spec.Containers[0].ImagePullPolicy = v1.PullNever
		s := steps(up(), state.Desired{At: t0, Pod: p}, state.ImagesScanned{})
		s = steps(making(s, "m0", 0), state.Returned{Thing: "container/main", Token: 8, At: t0, Result: state.Made{Problem: state.Problem{Lacks: "main@sha256:1", Instead: instead}}})
		if c := s.Containers["main"]; c.Now.WaitingReason != "ErrImageNeverPull" || !strings.Contains(c.Now.WaitingMessage, want) {
			t.Errorf("%s: %s", c.Now.WaitingReason, c.Now.WaitingMessage)
		}
	}
}

// TestMessageFromLog: where the manifest asks for it, the log's end is the message.
func TestMessageFromLog(t *testing.T) {
	s := running()
	s.Applied = s.Applied.DeepCopy()
	s.Applied.Spec.Containers[0].TerminationMessagePolicy = v1.TerminationMessageFallbackToLogsOnError
	s = steps(s, state.Exited{ID: "m0", Code: 1, When: t0})
	s = steps(s, effect(state.KindExamine, "main", "m0", "m0", state.Examined{})...)
	if !s.Leftovers["m0"].FromLog {
		t.Fatal("nobody reads the log")
	}
	s = steps(s, effect(state.KindDrain, "m0", "m0", "", state.LogComplete{Text: "oh"})...)
	if e := s.Containers["main"].Ended; e.Message != "oh" || e.FromLog || s.Leftovers["m0"].Drain {
		t.Errorf("%+v", e)
	}
}

// TestSmallEvents: decisions and results that change one thing.
func TestSmallEvents(t *testing.T) {
	s := steps(up(), state.Initialized{}, state.PodFailed{Reason: "DeadlineExceeded", Message: "long"})
	if !s.Initialized || s.Failed.Reason != "DeadlineExceeded" {
		t.Errorf("initialized %v, failed %+v", s.Initialized, s.Failed)
	}
	s = steps(up(), effect(state.KindShowVolumes, "", "", "c", state.VolumesShown{Content: "c", Problem: state.Problem{Message: "no"}})...)
	if s.Content != "c" || len(s.Reports) != 1 {
		t.Errorf("content %q", s.Content)
	}
	s = steps(up(), effect(state.KindSetLimits, "", "", "r", state.LimitsSet{Resized: "r", Problem: state.Problem{Message: "no"}})...)
	if s.Resized == "r" || s.Pauses[state.ThingLimits].Failures != 1 {
		t.Error("limits that could not be set are set")
	}
	if s = steps(s, effect(state.KindSetLimits, "", "", "r", state.LimitsSet{Resized: "r"})...); s.Resized != "r" || len(s.Pauses) != 0 {
		t.Error("limits that were set are not")
	}
	s = steps(running(), effect(state.KindResize, "main", "m0", "k", state.Resized{Problem: state.Problem{Message: "no"}})...)
	if s.Containers["main"].Now.Retry.Failures != 1 {
		t.Error("a resize that failed is tried at once")
	}
	s = steps(running(), effect(state.KindWatchKills, "main", "m0", "m0", state.WatchEnded{Problem: state.Problem{Reason: "NotWatched", Message: "no"}})...)
	if s.Pauses["kills/main"].Failures != 1 {
		t.Error("a watch that broke is begun at once")
	}
	s = steps(running(), state.Drained{StopBy: at(time.Minute)}, state.Drained{StopBy: at(time.Hour)}, state.StopBegun{At: t0, Name: "main", EndsPod: true}, state.HookOver{At: t0, Name: "main"})
	if !s.StopBy.Equal(at(time.Minute)) || s.EndBy.IsZero() || s.Suspended() {
		t.Errorf("stop by %s, end by %s", s.StopBy, s.EndBy)
	}
	ended := steps(running(), state.Exited{ID: "m0", When: t0})
	ended = steps(ended, effect(state.KindExamine, "main", "m0", "m0", state.Examined{})...)
	s = steps(ended, state.BegunAnew{Trigger: "main", Backoff: state.Backoff{Delay: time.Second}}, state.BackingOff{Name: "main"})
	if c := s.Containers["main"]; !c.Replaced || c.Backoff.Delay != time.Second || !c.Now.BackoffTold {
		t.Errorf("%+v", c)
	}
	busy := steps(s, state.Begun{Thing: state.ThingSandbox, Flight: state.Flight{Kind: state.KindClear}})
	if !s.Settled() || busy.Settled() {
		t.Error("it is settled while its sandbox is cleared, or not otherwise")
	}
}

// TestVolumeImage: a volume whose image is missing waits for it, or says what to do.
func TestVolumeImage(t *testing.T) {
	for policy, waits := range map[v1.PullPolicy]bool{v1.PullIfNotPresent: true, v1.PullNever: false} {
		p := web()
		p.Spec.Volumes = []v1.Volume{{Name: "data", VolumeSource: v1.VolumeSource{Image: &v1.ImageVolumeSource{Reference: "data:1", PullPolicy: policy}}}}
		s := steps(state.New(host, 0, p, true), state.Desired{At: t0, Pod: p})
		s = steps(s, effect(state.KindSetUp, "", "", "", state.SandboxMade{Problem: state.Problem{Lacks: "data:1"}})...)
		if got := s.Images["data:1"] != nil; got != waits {
			t.Errorf("%s: waits %v", policy, got)
		}
		if s = steps(s, state.ImagesReady{Names: []string{"docker.io/library/data:1"}}); waits && (len(s.Images) > 0 || !s.Retry.Due().IsZero()) {
			t.Error("it still waits")
		}
	}
	s := steps(state.New(host, 0, web(), false), state.Desired{At: t0, Pod: web()})
	s = making(s, "m0", 0)
	s = steps(s, state.Returned{Thing: "container/main", Token: 8, At: t0, Result: state.Made{Problem: state.Problem{Lacks: "main:1"}}})
	if !s.Images["main:1"].AwaitsScan {
		t.Error("it is pulled before the archives were read")
	}
	if s = steps(s, state.ImagesScanned{}); s.Images["main:1"] != nil {
		t.Error("it still waits for the archives")
	}
}

// TestRestartOnChange: a container that asks for it is of another revision when an object that it uses changes, and keeps its
// revision while that is missing.
func TestRestartOnChange(t *testing.T) {
	p := web()
	p.Annotations = map[string]string{manifests.RestartOnChangeAnnotation: "environment"}
	p.Spec.Containers[0].EnvFrom = []v1.EnvFromSource{{ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "cfg"}}}}
	objects := func(value string) reference.Objects {
		return reference.Objects{ConfigMaps: map[string]*v1.ConfigMap{"cfg": {ObjectMeta: metav1.ObjectMeta{Name: "cfg"}, Data: map[string]string{"A": value}}}}
	}
	s := steps(state.New(host, 0, p, true), state.Desired{At: t0, Pod: p, Objects: objects("1")})
	first := s.Revisions.Containers["main"]
	if steps(s, state.Desired{At: t0, Pod: p, Objects: objects("2")}).Revisions.Containers["main"] == first {
		t.Error("a change does not count")
	}
	s.Containers["main"] = &state.Container{Revision: first, Running: true}
	if steps(s, state.Desired{At: t0, Pod: p}).Revisions.Containers["main"] != first {
		t.Error("an object that is missing restarts the container")
	}
}

// TestSecretRevisions: what identifies values of Secrets needs the key, and what an earlier version of Solopod wrote without one
// still holds, until something changes.
func TestSecretRevisions(t *testing.T) {
	p := web()
	p.Annotations = map[string]string{manifests.RestartOnChangeAnnotation: "environment"}
	p.Spec.Containers[0].EnvFrom = []v1.EnvFromSource{{SecretRef: &v1.SecretEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "pin"}}}}
	p.Spec.Volumes = []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "pin", DefaultMode: ptr.To[int32](0o600)}}}}
	objects := func(value string) reference.Objects {
		return reference.Objects{Secrets: map[string]*v1.Secret{"pin": {ObjectMeta: metav1.ObjectMeta{Name: "pin"}, Data: map[string][]byte{"PIN": []byte(value)}}}}
	}
	// found is a pod with what a record has of it, whose Secret has a value.
	found := func(key, revision, content, value string) (gotRevision, gotContent string) {
		h := host
		h.RevisionKey = key
		s := state.New(h, 0, p, true)
		s.Content = content
		if revision != "" {
			s.Containers["main"] = &state.Container{Revision: revision, Running: true}
		}
		s = steps(s, state.Desired{At: t0, Pod: p, Objects: objects(value)})
		return s.Revisions.Containers["main"], s.Shown
	}
	r1, c1 := found("key", "", "", "1234")
	if r2, c2 := found("key", "", "", "1234"); r2 != r1 || c2 != c1 {
		t.Error("the same is not the same")
	}
	if r2, c2 := found("key", r1, c1, "1235"); r2 == r1 || c2 == c1 {
		t.Error("a change does not count")
	}
	if r2, c2 := found("other", "", "", "1234"); r2 == r1 || c2 == c1 {
		t.Error("it does not need the key")
	}

	// As versions without a key wrote them.
	plain := state.ContainerRevision(&p.Spec.Containers[0])
	const revision, content = ".a757907919afbc16", "c4f8f91778e54cac"
	if r2, c2 := found("key", plain+revision, content, "1234"); r2 != plain+revision || c2 != content {
		t.Errorf("an upgrade changes %s and %s", r2, c2)
	}
	if r2, c2 := found("key", plain+revision, content, "1235"); r2 == plain+revision || c2 == content {
		t.Error("a change does not count after an upgrade")
	}

	// While the disk was full there was no key.
	keyless, shown := found("", "", "", "1234")
	if r2, c2 := found("key", keyless, shown, "1234"); r2 != keyless || c2 != shown {
		t.Errorf("the key changes %s and %s", r2, c2)
	}
	if r2, c2 := found("key", keyless, shown, "1235"); r2 == keyless || c2 == shown {
		t.Error("a change does not count after there is a key")
	}
}

// TestOrphan: what is left of a pod that nobody knows is to be cleared, and then it is over.
func TestOrphan(t *testing.T) {
	s := state.Orphan(host, 0, "uid")
	if s.Over() || !s.Orphan {
		t.Error("an orphan is over before it was cleared")
	}
	s = steps(s, state.Listed{Asked: t0, At: t0}, state.Desired{At: t0})
	if s = steps(s, effect(state.KindClear, "", "", state.ClearGone, state.Cleared{All: true})...); !s.Over() {
		t.Error("it is not over")
	}
	if noted, saved := s.AwaitsRecord(); noted || saved {
		t.Error("it waits for a record that it does not have")
	}
}

// A changed annotation of a Deployment's template has the containers replaced, also when it changed while Solopod was off; a label, or an
// annotation of Solopod's own, has none.
func TestTemplateAnnotations(t *testing.T) {
	owned := func(key, value string) *v1.Pod {
		p := web()
		p.Annotations = map[string]string{manifests.OwnerAnnotation: "deployment/web", key: value}
		return p
	}
	edit := func(s state.State, p *v1.Pod) state.State { return steps(s, state.Desired{At: t0, Pod: p}) }
	first := edit(running(), owned("checksum/config", "1"))
	if first.Containers["main"].Revision == "" {
		t.Error("a pod that becomes a Deployment's is replaced")
	}
	labelled := owned("checksum/config", "1")
	labelled.Labels = map[string]string{"a": "b"}
	if edit(first, labelled).Containers["main"].Revision == "" {
		t.Error("a label has the container replaced")
	}
	if s := edit(first, owned("checksum/config", "2")); s.Containers["main"].Revision != "" {
		t.Error("another checksum has no container replaced")
	}
	if s := edit(restored(t, first), owned("checksum/config", "2")); s.Containers["main"].Revision != "" {
		t.Error("after a start another checksum has no container replaced")
	}
}
