package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/solopod/solopod/internal/stuck"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/session"
)

const oneContainer = "terminationGracePeriodSeconds: 1\ncontainers: [{name: c, image: app}]"

// A pod's life over two Solopods: the second one knows it, adopts what runs, and ends it when its manifest goes.
func TestLife(t *testing.T) {
	b := newBox(t)
	if known := b.start(); len(known) > 0 {
		t.Errorf("a first start knows %v", known)
	}
	pod := testbox.Pod(t, "web", oneContainer)
	if b.r.Ready() {
		t.Error("it is ready before the manifests have been read")
	}
	changes, cancel := b.r.Subscribe()
	b.r.Apply(snapshot(pod))
	<-changes
	cancel()
	id := b.runs("web")[0]
	<-b.r.Reconciled()
	if !b.r.Ready() {
		t.Error("it is not ready")
	}
	if b.r.Pid(id) == 0 || b.r.Pid("another") != 0 {
		t.Errorf("its process is %d", b.r.Pid(id))
	}
	b.event("Started", "Started container c (attempt 0)")
	b.event("Pulled", "")
	targets := b.r.Targets()
	if len(targets) != 1 || targets[0].ID != id || targets[0].Container != "c" || !targets[0].Running || targets[0].Pod != "web" || targets[0].HostNetwork ||
		targets[0].Cgroup != targets[0].PodCgroup+"/"+id || targets[0].LogDir != filepath.Join(b.config.LogDir, "pods/default_web_uid-of-web/c") {
		t.Errorf("the monitor sees %+v", targets)
	}
	if n := measured(t, b.r.Telemetry().PodStart); n != 1 {
		t.Errorf("%v pods were measured", n)
	}
	record := b.r.dirs.RecordPath("uid-of-web")
	testbox.Eventually(t, "the record names the container", func() bool {
		data, err := os.ReadFile(record)
		return err == nil && strings.Contains(string(data), id)
	})
	b.stop()

	if known := b.start(); !reflect.DeepEqual(known, []string{"default/web of web.yaml"}) {
		t.Errorf("the next start knows %v", known)
	}
	b.r.Apply(snapshot(pod))
	if ids := b.runs("web"); ids[0] != id || b.restarts("web") != 0 {
		t.Errorf("it runs as %v, after %d restarts", ids, b.restarts("web"))
	}
	if got := b.engine.Calls("Create", "Start", "Kill"); len(got) != 2 {
		t.Errorf("containerd was asked for %v", got)
	}
	b.engine.Exit(id, 1)
	testbox.Eventually(t, "it is restarted", func() bool { return b.restarts("web") == 1 })
	b.event("Exited", "exit code 1")
	b.clear()
}

// measured is the sum of a collector's series; a histogram counts its measurements.
func measured(t *testing.T, c prometheus.Collector) (sum float64) {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// A pod whose end has begun goes on ending in the next Solopod, which does not bring it back, unless its manifest does.
func TestGoingAway(t *testing.T) {
	b := newBox(t)
	b.start()
	pod := testbox.Pod(t, "web", "terminationGracePeriodSeconds: 3600\ncontainers: [{name: c, image: app}]")
	b.r.Apply(snapshot(pod))
	id := b.runs("web")[0]
	b.engine.Deaf = true
	b.r.Apply(snapshot())
	testbox.Eventually(t, "it is told to end", func() bool { return slices.Contains(b.engine.Calls("Kill"), "Kill "+id+" 15") })
	testbox.Eventually(t, "that is written down", func() bool { return strings.Contains(read(t, b.r.dirs.RecordPath("uid-of-web")), "deletedAt") })
	b.stop()
	if known := b.start(); len(known) > 0 {
		t.Errorf("the next start has the manifests begin with %v", known)
	}
	b.engine.Exit(id, 0)
	b.r.Apply(snapshot())
	b.gone("web")
	b.clear()
}

// Exits that nobody saw are found by a list, after a lost connection as after a start.
func TestLostExit(t *testing.T) {
	b := newBox(t)
	b.start()
	b.r.Apply(snapshot(testbox.Pod(t, "web", "restartPolicy: Never\n"+oneContainer)))
	b.engine.Lose(b.runs("web")[0])
	b.engine.Reconnect()
	b.event("ContainerStatusUnknown", "containerd no longer knows its process")
	testbox.Eventually(t, "the pod has failed", func() bool { return b.find("web").Status.Phase == v1.PodFailed })
	b.clear()
}

// A container of another daemon in the same containerd is nobody's here; what an earlier Solopod of this one left of a pod
// whose record is lost goes, or was never written: a kill came between the directory and the file.
func TestOrphans(t *testing.T) {
	b := newBox(t)
	labels := func(root, uid string) map[string]string {
		return map[string]string{"io.solopod.root": root, "io.kubernetes.pod.uid": uid, "io.kubernetes.container.name": "c", "io.solopod.attempt": "0"}
	}
	b.engine.Put(engine.Container{ID: "other", State: engine.Running, Labels: labels("/elsewhere", "uid-1")})
	b.engine.Put(engine.Container{ID: "lost", State: engine.Running, Labels: labels(b.config.Root, "uid-2")})
	write(t, filepath.Join(b.config.State, "pods", "uid-3", "hosts"), "")
	records := filepath.Join(b.config.Root, "pods")
	for _, name := range []string{"uid-4", "uid-of-web"} {
		if err := os.MkdirAll(filepath.Join(records, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(records, "uid-5", ".pod.json.123"), "{")
	write(t, filepath.Join(records, "uid-6", "of-somebody"), "")
	web := snapshot(testbox.Pod(t, "web", oneContainer))
	b.start()
	b.r.Apply(web)
	testbox.Eventually(t, "what is left of lost pods is gone", func() bool {
		_, err := os.Lstat(filepath.Join(b.config.State, "pods", "uid-3"))
		left, _ := os.ReadDir(records)
		return os.IsNotExist(err) && len(left) == 2 && left[0].Name() == "uid-6" && left[1].Name() == "uid-of-web" && len(b.engine.IDs()) == 2
	})
	b.runs("web")
	if len(b.r.Pods()) != 1 || b.hasEvent("Removed") {
		t.Errorf("an orphan is shown: %v", b.r.Pods())
	}
	b.r.Apply(snapshot())
	b.gone("web")
	testbox.Eventually(t, "nothing but another daemon's runs", func() bool { return reflect.DeepEqual(b.engine.IDs(), []string{"other"}) })
}

// What cannot be is refused with a kind that callers know.
func TestRestart(t *testing.T) {
	b := newBox(t)
	b.start()
	b.r.Apply(snapshot(testbox.Pod(t, "web", oneContainer)))
	before := b.runs("web")[0]
	ctx := t.Context()
	if err := b.r.Restart(ctx, "default", "nobody", ""); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("a pod that does not exist: %v", err)
	}
	if err := b.r.Restart(ctx, "default", "web", "nobody"); !errors.Is(err, session.ErrNotFound) || !strings.Contains(err.Error(), `no container "nobody" that can be restarted`) {
		t.Errorf("a container that does not exist: %v", err)
	}
	if err := b.r.Restart(ctx, "default", "web", "c"); err != nil {
		t.Fatal(err)
	}
	testbox.Eventually(t, "it runs anew", func() bool { ids := b.runs("web"); return ids[0] != before && b.restarts("web") == 1 })
	b.event("RestartRequested", "")

	b.engine.Deaf = true // its end takes a while
	b.r.Apply(snapshot())
	testbox.Eventually(t, "it is going away", func() bool { return b.find("web").DeletionTimestamp != nil })
	if err := b.r.Restart(ctx, "default", "web", ""); !errors.Is(err, session.ErrNotRunning) {
		t.Errorf("a pod that goes away: %v", err)
	}
	b.clear()
	if err := b.r.Restart(ctx, "default", "web", ""); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("a pod that is gone: %v", err)
	}
}

// An image that is not present is pulled with the pod's credentials, and what is wrong with these is told.
func TestPull(t *testing.T) {
	b := newBox(t)
	b.start()
	b.r.owner.ImagesScanned()
	pod := testbox.Pod(t, "web", `
imagePullSecrets: [{name: login}, {name: absent}, {name: broken}]
containers: [{name: c, image: registry.example/app, command: [run]}]
`)
	s := snapshot(pod)
	secret := func(name, text string) {
		o := &v1.Secret{Type: v1.SecretTypeDockerConfigJson, Data: map[string][]byte{v1.DockerConfigJsonKey: []byte(text)}}
		o.Namespace, o.Name = "default", name
		s.Secrets["default/"+name] = o
	}
	secret("login", `{"auths": {"registry.example": {"username": "me", "password": "secret"}}}`)
	secret("broken", `{`)
	b.engine.Fail("Pull", errors.New("the registry is down"))
	b.r.Apply(s)
	b.event("Failed", "the registry is down; without a registry import it: solopod images import FILE")
	b.event("FailedToRetrieveImagePullSecret", `Secret "absent" of imagePullSecrets is not in the manifests directory`)
	b.event("FailedToRetrieveImagePullSecret", "broken")
	if e := b.event("Pulling", `Pulling image "registry.example/app"`); e.InvolvedObject.FieldPath != "spec.containers{c}" {
		t.Errorf("the event is about %+v", e.InvolvedObject)
	}
	b.engine.Fail("Pull", nil)
	if _, err := b.r.Images().Pull(t.Context(), "registry.example/app", nil); err != nil { // by hand
		t.Fatal(err)
	}
	b.runs("web")
	if got := b.engine.Calls("Pull"); got[0] != "Pull registry.example/app:latest me" {
		t.Errorf("the registry was asked %v", got)
	}
	b.event("ImageReady", "images are ready: registry.example/app:latest")
	b.clear()
}

// Archives of the images directory are imported; one that is no image is told.
func TestWatchImages(t *testing.T) {
	b := newBox(t)
	dir := filepath.Join(b.dir, "images")
	write(t, filepath.Join(dir, "data.tar"), "data")
	b.start()
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan error)
	go func() { watched <- b.r.WatchImages(ctx, dir) }()
	b.r.Apply(snapshot(testbox.Pod(t, "web", "containers: [{name: c, image: data, command: [run], imagePullPolicy: Never}]")))
	b.runs("web")
	b.engine.Fail("Import", errors.New("no manifest in it"))
	write(t, filepath.Join(dir, "broken.tar"), "broken")
	b.event("ImageImportFailed", "broken.tar")
	cancel()
	if err := <-watched; err != nil {
		t.Error(err)
	}
	b.r.imageArchive("data.tar", fmt.Errorf("cut off: %w", context.Canceled)) // Solopod ends, and the next one reads on
	for _, e := range b.r.Events().List() {
		if strings.Contains(e.Message, "cut off") {
			t.Errorf("the end of Solopod is told as a failure: %s", e.Message)
		}
	}
	b.clear()
}

// Reports become events and numbers.
func TestReport(t *testing.T) {
	b := newBox(t)
	b.start()
	pod, x := testbox.Pod(t, "web", oneContainer), b.r.Telemetry()
	for _, r := range []state.Report{
		{Reason: state.PodStarted, Took: time.Second},
		{Reason: "Started", Container: "c", Took: time.Second, Message: "started"},
		{Reason: state.OOMKilling, Container: "c", Count: 3, Warning: true, Message: "killed"},
		{Reason: state.OOMKilling, Container: "c", Count: 3, Warning: true, Message: "killed"}, // as after a restart
		{Reason: state.OOMKilling, Container: "c", Count: 4, Warning: true, Message: "killed"},
		{Reason: "Evicted", Warning: true, Message: "too much"},
		{Reason: "EffectLeftBehind", Count: 1, Warning: true, Message: "it hangs"},
		{Reason: "EffectLeftBehind", Count: 1, Warning: true, Message: "this, too"},
		{Reason: "EffectReturned", Count: -1, Message: "it is back"},
	} {
		b.r.report(pod, r)
	}
	if evictions, left := measured(t, x.Evictions), measured(t, x.EffectsLeft); evictions != 1 || left != 1 {
		t.Errorf("%v evictions, %v effects", evictions, left)
	}
	if b.hasEvent(state.PodStarted) {
		t.Error("a measurement is an event")
	}
	if e := b.event("OOMKilling", "killed"); e.Count != 4 || e.Type != v1.EventTypeWarning || e.InvolvedObject.FieldPath != "spec.containers{c}" {
		t.Errorf("%+v", e)
	}
	b.r.probeAnswered("Liveness", pod, "c", time.Millisecond, nil)
	if n := measured(t, x.Probes()[0]); n != 1 {
		t.Errorf("%v probes are counted", n)
	}
	b.r.report(pod, state.Report{Reason: "Removed", Message: "gone"})
	if n := measured(t, x.Probes()[0]); n != 0 {
		t.Errorf("%v probes of a pod that is gone are counted", n)
	}
	b.r.report(pod, state.Report{Reason: state.OOMKilling, Container: "c", Count: 4, Warning: true, Message: "killed"})
	if e := b.event("OOMKilling", "killed"); e.Count != 8 {
		t.Errorf("with kills of a pod that came after one of its name there are %d", e.Count)
	}
}

// The kernel's kills are counted while a container runs.
func TestKills(t *testing.T) {
	b := newBox(t)
	k := b.config.OOM.(*kills)
	b.start()
	b.r.Apply(snapshot(testbox.Pod(t, "web", oneContainer)))
	id := b.runs("web")[0]
	testbox.Eventually(t, "kills are watched", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.report != nil {
			k.count = 2
			k.report(2)
		}
		return k.report != nil
	})
	if e := b.event("OOMKilling", "The kernel killed a process of container c for memory"); e.Count != 2 {
		t.Errorf("of two kills %d are told", e.Count)
	}
	testbox.Eventually(t, "the monitor sees them", func() bool { return b.r.Targets()[0].OOMKills == 2 })
	b.engine.Exit(id, 137)
	testbox.Eventually(t, "the container was ended by it", func() bool {
		s := b.find("web").Status.ContainerStatuses[0].LastTerminationState.Terminated
		return s != nil && s.Reason == "OOMKilled"
	})
	b.clear()
}

// Nothing that hangs outside makes the daemon sick, and it ends in time all the same.
func TestHangs(t *testing.T) {
	b := newBox(t)
	b.start()
	release := b.engine.Hang("Create", true)
	b.r.Apply(snapshot(testbox.Pod(t, "stuck", oneContainer)))
	testbox.Eventually(t, "the runtime is asked", func() bool { return len(b.engine.Calls("Create")) == 1 })
	if err := b.r.Stuck(time.Second); err != nil {
		t.Errorf("what a pod waits for counts: %v", err)
	}
	if n, took := b.r.Busy(); n != 1 || took > time.Second {
		t.Errorf("%d workers, the slowest at its turn for %s", n, took)
	}
	began := time.Now()
	b.stop()
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("it has ended after %s", took)
	}
	release()
}

// A node is what a cluster would show of this machine.
func TestNode(t *testing.T) {
	b := newBox(t)
	b.start()
	ready := func(n *v1.Node) v1.NodeCondition {
		for _, c := range n.Status.Conditions {
			if c.Type == v1.NodeReady {
				return c
			}
		}
		t.Fatalf("the node does not say whether it is ready: %+v", n.Status.Conditions)
		return v1.NodeCondition{}
	}
	if got := ready(b.r.Node("1.2.3")).Message; got != "the manifests have not been read yet" {
		t.Errorf("before the manifests were read: %q", got)
	}
	b.r.Apply(snapshot())
	n := b.r.Node("1.2.3")
	if n.Name != "box" || ready(n).Status != v1.ConditionTrue || len(n.Status.Conditions) != 5 || n.Status.NodeInfo.KubeletVersion != "solopod-1.2.3" ||
		n.Status.NodeInfo.ContainerRuntimeVersion != "containerd://0.0.0-memory" || n.Status.NodeInfo.BootID == "" || n.Status.Capacity.Cpu().IsZero() {
		t.Errorf("%+v", n)
	}
	if b.r.Stuck(0) != nil {
		t.Error("a daemon without pods is stuck")
	}
}

// The data of a claim outlive its pods, and are not removed while one uses them.
func TestClaims(t *testing.T) {
	b := newBox(t)
	b.start()
	claim := &v1.PersistentVolumeClaim{}
	claim.Namespace, claim.Name = "default", "data"
	claim.Spec.Resources.Requests = v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}
	s := snapshot(testbox.Pod(t, "web", "volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]\n"+oneContainer))
	s.Claims["default/data"] = claim
	b.r.Apply(s)
	b.runs("web")
	list, err := b.r.Claims(t.Context())
	if err != nil || len(list) != 1 || list[0].Size != "1Gi" || !reflect.DeepEqual(list[0].Pods, []string{"default/web"}) {
		t.Errorf("%+v (%v)", list, err)
	}
	if err := b.r.RemoveClaim("default", "data"); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "by pod default/web") {
		t.Errorf("a claim in use: %v", err)
	}
	b.r.Apply(snapshot())
	b.gone("web")
	if err := b.r.RemoveClaim("default", "data"); err != nil {
		t.Error(err)
	}
	if list, err := b.r.Claims(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%+v (%v)", list, err)
	}
	// A claim that cannot be written down keeps nobody.
	if err := errors.Join(os.RemoveAll(b.r.dirs.Claims()), os.WriteFile(b.r.dirs.Claims(), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	s = snapshot(testbox.Pod(t, "other", oneContainer))
	s.Claims["default/data"] = claim
	b.r.Apply(s)
	b.r.claims.Wait(t.Context(), []string{"default/data"})
	b.runs("other")
	b.clear()
}

// Claims whose disk does not answer hold a request up for a limit, and later ones not at all.
func TestStuckClaims(t *testing.T) {
	b := newBox(t)
	b.start()
	if err := os.MkdirAll(b.r.dirs.Claims(), 0o755); err != nil {
		t.Fatal(err)
	}
	answer := stuck.FileSystem(t, b.r.dirs.Claims())
	begun := time.Now()
	for range 100 {
		if _, err := b.r.Claims(t.Context()); !errors.Is(err, aside.ErrHangs) {
			t.Fatal(err)
		}
	}
	if took := time.Since(begun); took > 3*claimsLimit {
		t.Errorf("it took %s", took)
	}
	answer()
	testbox.Eventually(t, "they are listed again", func() bool {
		list, err := b.r.Claims(t.Context())
		return err == nil && len(list) == 0
	})
	b.clear()
}

// The input of a container that cannot be ended is told.
func TestCloseStdin(t *testing.T) {
	b := newBox(t)
	b.start()
	b.r.Apply(snapshot(testbox.Pod(t, "web", "containers: [{name: c, image: app, stdin: true, stdinOnce: true}]")))
	id := b.runs("web")[0]
	b.engine.Fail("CloseStdin", errors.New("the shim is gone"))
	b.r.CloseStdin(id)
	b.event("StdinNotClosed", "cannot end the input of container c: the shim is gone")
	b.clear()
}

// Files of manifests become events when something about them is new.
func TestManifestEvents(t *testing.T) {
	b := newBox(t)
	b.start()
	at := time.Now()
	file := manifests.File{Name: "web.yaml", State: manifests.StateInvalid, Pods: []string{"default/web"}, Since: at, Problems: manifests.Problems{
		{File: "web.yaml", Message: "is wrong"}, {File: "web.yaml", Message: "has no effect", Warning: true},
	}}
	s := snapshot()
	s.Files, s.DirectoryError = []manifests.File{file}, "it is gone"
	b.r.Apply(s)
	b.event("ManifestInvalid", "is wrong")
	b.event("FieldWithoutEffect", "has no effect")
	b.event("LastGoodVersionKept", "unchanged: default/web")
	b.event("ManifestsUnusable", "it is gone")
	if files, message, _ := b.r.Files(); len(files) != 1 || message != "it is gone" {
		t.Errorf("%+v, %q", files, message)
	}
	n := len(b.r.Events().List())
	b.r.Apply(s)
	if got := len(b.r.Events().List()); got != n {
		t.Errorf("what is known was told again: %d events, not %d", got, n)
	}
	file.State, file.Problems, file.Since = manifests.StateActive, nil, at.Add(time.Second)
	s.Files, s.DirectoryError = []manifests.File{file}, ""
	b.r.Apply(s)
	b.event("ManifestMended", "")
	b.event("ManifestsUsable", "")
}

// The machine goes down: pods end in order, and their histories stay.
func TestDrain(t *testing.T) {
	b := newBox(t)
	b.start()
	b.r.Apply(snapshot(testbox.Pod(t, "web", oneContainer)))
	id := b.runs("web")[0]
	b.r.Drain(t.Context(), 10*time.Second, time.Second)
	if got := b.engine.Calls("Kill"); len(got) != 1 || got[0] != "Kill "+id+" 15" {
		t.Errorf("containerd was asked for %v", got)
	}
	if entries, err := os.ReadDir(b.r.dirs.States()); err != nil || len(entries) > 0 {
		t.Errorf("of the sandbox is left: %v (%v)", entries, err)
	}
	b.stop()
	if known := b.start(); len(known) != 1 {
		t.Errorf("the next start knows %v", known)
	}
}

// A pod finds the objects of its own namespace.
func TestObjects(t *testing.T) {
	s := snapshot()
	for _, ns := range []string{"a", "b"} {
		m, secret := &v1.ConfigMap{}, &v1.Secret{}
		m.Namespace, m.Name, secret.Namespace, secret.Name = ns, "m", ns, "s"
		s.ConfigMaps[ns+"/m"], s.Secrets[ns+"/s"] = m, secret
	}
	got := objectsByNamespace(s)
	for _, ns := range []string{"a", "b"} {
		if got[ns].ConfigMaps["m"].Namespace != ns || got[ns].Secrets["s"].Namespace != ns || len(got) != 2 {
			t.Errorf("%+v", got)
		}
	}
}

// Every kind of work that the plan knows is done by somebody.
func TestUnknownWork(t *testing.T) {
	b := newBox(t)
	b.start()
	defer func() {
		if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "an effect that nobody does") {
			t.Errorf("it says %v", p)
		}
	}()
	effects{b.r}.Do(t.Context(), strange{}, nil)
}

type strange struct{}

func (strange) Is() plan.Identity { return plan.Identity{} }

// An edit of resources, a volume's content and of an image each take their way.
func TestEdits(t *testing.T) {
	b := newBox(t)
	b.engine.AddImage(testbox.Image{Image: engine.Image{Name: "docker.io/library/other:latest"}})
	b.start()
	spec := func(image, memory string) *v1.Pod {
		return testbox.Pod(t, "web", fmt.Sprintf(`
terminationGracePeriodSeconds: 5
volumes: [{name: v, configMap: {name: m}}, {name: d, emptyDir: {sizeLimit: 1Mi}}]
containers:
- {name: c, image: %s, command: [run], resources: {limits: {cpu: 1, memory: %s}}, resizePolicy: [{resourceName: memory, restartPolicy: NotRequired}], lifecycle: {postStart: {exec: {command: [hi]}}}, readinessProbe: {exec: {command: [ask]}}}
`, image, memory))
	}
	with := func(p *v1.Pod, text string) manifests.Snapshot {
		s := snapshot(p)
		m := &v1.ConfigMap{Data: map[string]string{"k": text}}
		m.Namespace, m.Name = "default", "m"
		s.ConfigMaps["default/m"] = m
		return s
	}
	b.r.Apply(with(spec("app", "64Mi"), "one"))
	id := b.runs("web")[0]
	path := filepath.Join(b.r.volumes.Find(b.find("web"))["v"], "k")
	if got := read(t, path); got != "one" {
		t.Errorf("the volume shows %q", got)
	}
	testbox.Eventually(t, "hook and probe were run", func() bool {
		return slices.Contains(b.engine.Calls("Exec"), "Exec "+id+" hi") && slices.Contains(b.engine.Calls("Exec"), "Exec "+id+" ask")
	})
	b.r.Apply(with(spec("app", "64Mi"), "two"))
	testbox.Eventually(t, "the volume shows the new content", func() bool { return read(t, path) == "two" })
	b.r.Apply(with(spec("app", "96Mi"), "two"))
	b.event("ResizeCompleted", "")
	if r := b.engine.Updated(id); r == nil || *r.Memory.Limit != 96<<20 {
		t.Errorf("the container was given %+v", r)
	}
	b.r.Apply(with(spec("other", "96Mi"), "two"))
	testbox.Eventually(t, "another container runs", func() bool { ids := b.runs("web"); return ids[0] != id })
	if got := b.find("web").Status.ContainerStatuses[0].ImageID; !strings.HasPrefix(got, "docker.io/library/other@sha256:") {
		t.Errorf("it runs %s", got)
	}
	b.clear()
}
