package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/logs/spool"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/reference"
	"github.com/solopod/solopod/runner/resolver"
)

const oneContainer = `
containers: [{name: c, image: app, ports: [{containerPort: 80, hostPort: 8080}], resources: {limits: {memory: 64Mi}}}]
`

// A sandbox from its first claim to its end, with what a later Solopod finds of it.
func TestLife(t *testing.T) {
	l := newLab(t)
	pod := testbox.Pod(t, "web", oneContainer+`
hostAliases: [{ip: 10.9.9.9, hostnames: [db]}]
subdomain: sub
volumes: [{name: disk, emptyDir: {}}, {name: memory, emptyDir: {medium: Memory}}]
`)
	ctx := t.Context()
	claimed := l.Claim(ctx, plan.Claim{Pod: pod})
	if claimed.Problem != (state.Problem{}) {
		t.Fatalf("%+v", claimed)
	}
	limits := l.setUp(pod, claimed.Grant)

	// Not complete: it has no network yet.
	if found := l.Find(ctx, plan.FindSandbox{Pod: pod, SameBoot: true}); found.Complete {
		t.Error("a sandbox without a network counts as complete")
	}
	attached := l.Attach(ctx, plan.Attach{Pod: pod})
	if attached.Problem != (state.Problem{}) {
		t.Fatalf("%+v", attached)
	}
	a := attached.Attachment
	if len(a.IPs) != 2 || a.ByCNI || !reflect.DeepEqual(a.Ports, []state.Port{{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"}}) {
		t.Errorf("the attachment is %+v", a)
	}
	if _, err := netlink.LinkByName("box0"); err != nil {
		t.Errorf("there is no bridge: %v", err)
	}

	files := l.Files(pod)
	hosts := read(t, files["/etc/hosts"])
	for _, line := range []string{a.IPs[0] + "\tweb.sub.default.svc.cluster.local\tweb\n", a.IPs[1] + "\tweb.sub.default.svc.cluster.local\tweb\n", "10.9.9.9\tdb\n", "127.0.0.1\tlocalhost\n"} {
		if !strings.Contains(hosts, line) {
			t.Errorf("/etc/hosts lacks %q:\n%s", line, hosts)
		}
	}
	if got := read(t, files["/etc/hostname"]); got != "web\n" {
		t.Errorf("/etc/hostname is %q", got)
	}
	var shm unix.Statfs_t
	if err := unix.Statfs(l.Shm(pod), &shm); err != nil || shm.Type != unix.TMPFS_MAGIC || int64(shm.Blocks)*shm.Bsize != 64<<20 {
		t.Errorf("/dev/shm is %+v (%v)", shm, err)
	}
	if got := read(t, filepath.Join(memoryCgroup(l.Cgroup(pod)))); strings.TrimSpace(got) != "67108864" {
		t.Errorf("the pod's memory limit is %s", got)
	}

	// A later Solopod finds it, and its address and port stay its own.
	later := newLab(t)
	later.Dirs, later.Volumes, later.Cgroups = l.Dirs, l.Volumes, l.Cgroups
	w := plan.FindSandbox{Pod: pod, Grant: claimed.Grant, Network: &a, SameBoot: true}
	if found := later.Find(ctx, w); !found.Complete || found.Limits != limits {
		t.Errorf("a later Solopod finds %+v, not the limits %s", found, limits)
	}
	lost := newLab(t)
	lost.Dirs = l.Dirs
	twin := pod.DeepCopy()
	twin.UID = "twin"
	if err := KeepName(l.Dirs, lost.Claims, string(pod.UID)); err != nil {
		t.Error(err)
	}
	if got := lost.Claim(ctx, plan.Claim{Pod: twin}); !got.Problem.Claim || got.Problem.Reason != state.ReasonNameTaken {
		t.Errorf("a pod of the name of one whose record is lost begins: %+v", got)
	}
	other := testbox.Pod(t, "other", oneContainer)
	if got := later.Claim(ctx, plan.Claim{Pod: other}); !got.Problem.Claim || got.Problem.Reason != "HostPortConflict" {
		t.Errorf("the port of a pod that was found is given away: %+v", got)
	}
	w.SameBoot = false
	if found := later.Find(ctx, w); found.Complete {
		t.Error("a sandbox of another boot counts as complete")
	}

	// It goes without its data, and then with them; each can be repeated.
	write(t, filepath.Join(l.Volumes.Find(pod)["disk"], "data"), "kept", 0o644)
	for range 2 {
		if got := l.Clear(ctx, plan.Clear{Pod: pod}); got != (state.Cleared{}) {
			t.Fatalf("%+v", got)
		}
	}
	if l.freed != 1 {
		t.Errorf("others were told %d times that something is free", l.freed)
	}
	if got := read(t, filepath.Join(l.Volumes.Find(pod)["disk"], "data")); got != "kept" {
		t.Errorf("the data are %q", got)
	}
	if _, err := netlink.LinkByName("box0"); err == nil {
		t.Error("the bridge is left")
	}
	write(t, l.Dirs.LogFile(pod, "c", 0), "a line\n", 0o644)
	link := l.Dirs.LinkPath(pod, "c", strings.Repeat("a", 64))
	if err := errors.Join(os.MkdirAll(l.Dirs.LinkRoot(), 0o755), os.Symlink(l.Dirs.LogFile(pod, "c", 0), link)); err != nil {
		t.Fatal(err)
	}
	l.clear(pod)
	l.clear(pod)
	if _, err := os.Lstat(link); err == nil {
		t.Error("the link of log shippers is left")
	}
	if found := l.Find(ctx, plan.FindSandbox{Pod: pod, Network: &a, SameBoot: true}); found.Complete {
		t.Error("a sandbox that was cleared counts as complete")
	}
}

func memoryCgroup(pod string) string {
	if _, err := os.Stat("/sys/fs/cgroup/memory"); err == nil {
		return "/sys/fs/cgroup/memory" + pod + "/memory.limit_in_bytes"
	}
	return "/sys/fs/cgroup" + pod + "/memory.max"
}

// A pod with the host's network and IPC has no such namespaces, and sees the host's files.
func TestHostNamespaces(t *testing.T) {
	l := newLab(t)
	pod := testbox.Pod(t, "host", `
hostNetwork: true
hostIPC: true
hostAliases: [{ip: 10.9.9.9, hostnames: [db, base]}]
dnsPolicy: None
dnsConfig: {nameservers: [10.1.1.1], searches: [example.org]}
containers: [{name: c, image: app}]
`)
	l.setUp(pod, state.Grant{})
	attached := l.Attach(t.Context(), plan.Attach{Pod: pod})
	if attached.Problem.Failed() || !reflect.DeepEqual(attached.Attachment, state.Attachment{}) {
		t.Errorf("the attachment is %+v", attached) // the addresses are the machine's
	}
	ns := l.Namespaces(pod, state.Grant{})
	if ns.Network != "" || ns.IPC != "" {
		t.Errorf("the pod has namespaces of its own: %+v", ns)
	}
	if l.Shm(pod) != "/dev/shm" {
		t.Errorf("its /dev/shm is %s", l.Shm(pod))
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	files := l.Files(pod)
	if got := read(t, files["/etc/hostname"]); got != name+"\n" {
		t.Errorf("/etc/hostname is %q", got)
	}
	if got, want := read(t, files["/etc/hosts"]), read(t, "/etc/hosts")+"10.9.9.9\tdb\tbase\n"; got != want {
		t.Errorf("/etc/hosts is\n%s\nand not\n%s", got, want)
	}
	if got, want := read(t, files["/etc/resolv.conf"]), "search example.org\nnameserver 10.1.1.1\n"; got != want {
		t.Errorf("/etc/resolv.conf is %q", got)
	}
	l.clear(pod)
}

// Containers that share their processes have a first one, which ends with the sandbox.
func TestSharedProcesses(t *testing.T) {
	l := newLab(t)
	pod := testbox.Pod(t, "shared", "shareProcessNamespace: true\ncontainers: [{name: c, image: app}]")
	l.setUp(pod, state.Grant{})
	if l.Namespaces(pod, state.Grant{}).PID == "" {
		t.Error("there is no namespace of processes")
	}
	first := namespace.FirstProcess(l.Dirs.Namespaces(string(pod.UID)))
	if first == 0 {
		t.Fatal("it has no first process")
	}
	l.clear(pod)
	testbox.Eventually(t, "the first process ends", func() bool { return unix.Kill(first, 0) != nil })
}

// A pod with users of its own gets a range of ids that no other has, and gets it again.
func TestOwnUsers(t *testing.T) {
	l := newLab(t)
	spec := "hostUsers: false\ncontainers: [{name: c, image: app}]"
	one, two := testbox.Pod(t, "one", spec), testbox.Pod(t, "two", spec)
	first := l.Claim(t.Context(), plan.Claim{Pod: one}).Grant
	second := l.Claim(t.Context(), plan.Claim{Pod: two}).Grant
	if first.FirstID == 0 || second.FirstID == 0 || first.FirstID == second.FirstID {
		t.Fatalf("the ranges begin at %d and %d", first.FirstID, second.FirstID)
	}
	if m := IDMapping(first); m.HostID != first.FirstID || m.ContainerID != 0 || m.Size != 65536 {
		t.Errorf("the mapping is %+v", m)
	}
	if IDMapping(state.Grant{}) != nil {
		t.Error("a pod without users of its own has a mapping")
	}
	l.clear(two)
	if again := l.Claim(t.Context(), plan.Claim{Pod: two, Had: second}).Grant; again.FirstID != second.FirstID {
		t.Errorf("it has got %d, and had %d", again.FirstID, second.FirstID)
	}
	l.clear(one)
	l.clear(two)
}

func TestHostname(t *testing.T) {
	s := New(Config{ClusterDomain: "cluster.local"})
	long := strings.Repeat("a", 62) + ".-b"
	for name, c := range map[string]struct{ pod, spec, host, domain string }{
		"name":      {"web", "{}", "web", ""},
		"long name": {long, "{}", strings.Repeat("a", 62), ""},
		"hostname":  {"web", "hostname: www", "www", ""},
		"subdomain": {"web", "subdomain: sub", "web", "web.sub.default.svc.cluster.local"},
		"full":      {"web", "{subdomain: sub, setHostnameAsFQDN: true}", "web.sub.default.svc.cluster.local", "web.sub.default.svc.cluster.local"},
		"as long as the kernel takes": {
			strings.Repeat("a", 34), "{subdomain: sub, setHostnameAsFQDN: true}", strings.Repeat("a", 34) + ".sub.default.svc.cluster.local", strings.Repeat("a", 34) + ".sub.default.svc.cluster.local",
		},
		"too long for the kernel, and not used": {
			strings.Repeat("a", 35), "subdomain: sub", strings.Repeat("a", 35), strings.Repeat("a", 35) + ".sub.default.svc.cluster.local",
		},
		"override": {"web", "{subdomain: sub, hostnameOverride: other.example}", "other.example", ""},
	} {
		pod := testbox.Pod(t, c.pod, c.spec)
		if got := s.Hostname(pod); got != c.host {
			t.Errorf("%s: the host name is %q", name, got)
		}
		if got := manifests.DomainName(pod, s.ClusterDomain); got != c.domain {
			t.Errorf("%s: the full name is %q", name, got)
		}
	}
}

// What the machine does not have is said in the kubelet's words, and nothing is made.
func TestLacks(t *testing.T) {
	l := newLab(t)
	set := func(spec string) state.Problem {
		t.Helper()
		pod := testbox.Pod(t, "lacks", spec)
		made := l.SetUp(t.Context(), plan.SetUp{Pod: pod, Inputs: inputs(pod)})
		l.nothingLeft(pod)
		return made.Problem
	}
	const shows = "volumes: [{name: v, image: {reference: data}}]\ncontainers: [{name: c, image: app}]"
	if p := set("runtimeClassName: gvisor\ncontainers: [{name: c, image: app}]"); !strings.Contains(p.Message, `runtimeClassName "gvisor" is not configured`) {
		t.Errorf("a runtime class that is not configured: %+v", p)
	}
	if p := set(shows); p.Lacks != "data" || p.Reason != "FailedMount" {
		t.Errorf("an image volume without its image: %+v", p)
	}
	l.engine.Fail("Synced", errors.New("the database is gone"))
	if p := set(shows); p.Lacks != "" || p.Reason != "FailedMount" || !strings.HasPrefix(p.Message, `volume "v": `) {
		t.Errorf("an image volume whose image cannot be looked at: %+v", p)
	}
}

// A volume shows an image; it is let go of with the sandbox, and what cannot be let go of is tried again.
func TestImageVolume(t *testing.T) {
	l := newLab(t)
	l.engine.AddImage(testbox.Image{Image: engine.Image{Name: "docker.io/library/data:latest"}})
	pod := testbox.Pod(t, "shows", "runtimeClassName: known\nvolumes: [{name: v, image: {reference: data}}]\ncontainers: [{name: c, image: app}]")
	l.setUp(pod, state.Grant{})
	if got := l.engine.Calls("MountImage"); len(got) != 1 || got[0] != "MountImage v docker.io/library/data:latest" {
		t.Errorf("the engine was asked for %v", got)
	}
	l.engine.Fail("ReleaseImages", errors.New("the snapshotter is busy"))
	got := l.Clear(t.Context(), plan.Clear{Pod: pod, All: true, Gone: true})
	if got.Problem.Reason != "FailedKillPod" || !strings.Contains(got.Problem.Message, "the snapshotter is busy") {
		t.Errorf("a clear that failed says %+v", got)
	}
	if _, err := os.Stat(l.Dirs.StateDir(string(pod.UID))); err != nil {
		t.Errorf("the pod's directory is gone although something is left: %v", err)
	}
	l.engine.Fail("ReleaseImages", nil)
	l.clear(pod)
	if got := l.engine.Calls("ReleaseImages"); len(got) != 2 {
		t.Errorf("the engine was asked %v", got)
	}
}

// A set-up that fails, or is cancelled, half way leaves what a clear takes away.
func TestSetUpFails(t *testing.T) {
	for name, c := range map[string]struct{ reason, spec, says string }{
		"volume": {"FailedMount", "volumes: [{name: v, hostPath: {path: /nowhere/at/all, type: Directory}}]\ncontainers: [{name: c, image: app}]", "cannot set the volumes up: "},
		"object": {"FailedMount", "volumes: [{name: v, configMap: {name: settings}}]\ncontainers: [{name: c, image: app}]", `ConfigMap "settings"`},
		"limits": {"FailedCreatePodSandBox", "containers: [{name: c, image: app, resources: {limits: {hugepages-3Mi: 3Mi, cpu: 1, memory: 1Mi}}}]", "3M"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			pod := testbox.Pod(t, "fails", c.spec)
			made := l.SetUp(t.Context(), plan.SetUp{Pod: pod, Inputs: inputs(pod)})
			if made.Problem.Reason != c.reason || !strings.Contains(made.Problem.Message, c.says) {
				t.Errorf("it says %+v", made.Problem)
			}
			l.clear(pod)
		})
	}
	t.Run("forbidden", func(t *testing.T) {
		l := newLab(t)
		l.Admit = func(*v1.Pod) error { return errors.New("not here") }
		pod := testbox.Pod(t, "forbidden", "volumes: [{name: v, emptyDir: {}}]\ncontainers: [{name: c, image: app}]")
		made := l.SetUp(t.Context(), plan.SetUp{Pod: pod, Inputs: inputs(pod)})
		if made.Problem.Reason != "PodForbidden" || made.Problem.Message != "not here" {
			t.Errorf("it says %+v", made.Problem)
		}
		l.nothingLeft(pod)
	})
	t.Run("cancelled", func(t *testing.T) {
		l := newLab(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		pod := testbox.Pod(t, "cancelled", "volumes: [{name: v, emptyDir: {}}]\ncontainers: [{name: c, image: app}]")
		made := l.SetUp(ctx, plan.SetUp{Pod: pod, Inputs: inputs(pod)})
		if made.Problem == (state.Problem{}) {
			t.Error("a set-up that was cancelled says that it is complete")
		}
		if _, err := os.Stat(l.Volumes.Find(pod)["v"]); err == nil {
			t.Error("volumes were made nevertheless")
		}
		l.clear(pod)
	})
	t.Run("image hangs", func(t *testing.T) {
		l := newLab(t)
		l.engine.AddImage(testbox.Image{Image: engine.Image{Name: "docker.io/library/data:latest"}})
		defer l.engine.Hang("MountImage", false)()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		pod := testbox.Pod(t, "hangs", "volumes: [{name: v, image: {reference: data}}]\ncontainers: [{name: c, image: app}]")
		if made := l.SetUp(ctx, plan.SetUp{Pod: pod, Inputs: inputs(pod)}); made.Problem == (state.Problem{}) {
			t.Error("a set-up whose image hangs says that it is complete")
		}
		other := testbox.Pod(t, "other", "containers: [{name: c, image: app}]")
		l.setUp(other, state.Grant{})
		l.clear(other)
		l.clear(pod)
	})
}

// A plugin that does not answer ends with the effect's context, and one that fails is told; neither keeps other pods.
func TestAttachFails(t *testing.T) {
	l := newLab(t)
	write(t, filepath.Join(l.cni, "10-test.conflist"), `{"cniVersion":"1.0.0","name":"test","plugins":[{"type":"stuck"}]}`, 0o644)
	write(t, filepath.Join(l.cni, "stuck"), "#!/bin/sh\n[ $CNI_COMMAND = DEL ] && exit 0\nexec tail -f /dev/null\n", 0o755)
	pod := testbox.Pod(t, "stuck", "containers: [{name: c, image: app}]")
	l.setUp(pod, state.Grant{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	got := l.Attach(ctx, plan.Attach{Pod: pod})
	if !strings.HasPrefix(got.Problem.Message, "cannot connect the pod to the network: ") {
		t.Errorf("it says %+v", got)
	}
	host := testbox.Pod(t, "host", "hostNetwork: true\ncontainers: [{name: c, image: app}]")
	l.setUp(host, state.Grant{})
	if got := l.Attach(t.Context(), plan.Attach{Pod: host}); got.Problem != (state.Problem{}) {
		t.Errorf("another pod has the problem %+v", got)
	}
	l.clear(host)
	l.clear(pod)
}

// Files that cannot be filled are a problem of the attachment; a link in their place leads nowhere.
func TestFilesAreOurs(t *testing.T) {
	l := newLab(t)
	pod := testbox.Pod(t, "files", "hostNetwork: true\ncontainers: [{name: c, image: app}]")
	l.setUp(pod, state.Grant{})
	victim := filepath.Join(t.TempDir(), "victim")
	write(t, victim, "untouched", 0o644)
	hosts := l.Files(pod)["/etc/hosts"]
	if err := errors.Join(os.Remove(hosts), os.Symlink(victim, hosts)); err != nil {
		t.Fatal(err)
	}
	if got := l.Attach(t.Context(), plan.Attach{Pod: pod}); got.Problem == (state.Problem{}) {
		t.Error("a link in the place of /etc/hosts was followed")
	}
	if got := read(t, victim); got != "untouched" {
		t.Errorf("what it leads to is %q", got)
	}
	l.clear(pod)
}

func TestClaimProblems(t *testing.T) {
	l := newLab(t)
	one, two := testbox.Pod(t, "one", oneContainer), testbox.Pod(t, "two", oneContainer)
	if got := l.Claim(t.Context(), plan.Claim{Pod: one}); got.Problem != (state.Problem{}) {
		t.Fatalf("%+v", got)
	}
	if got := l.Claim(t.Context(), plan.Claim{Pod: two}).Problem; got.Reason != "HostPortConflict" || !got.Claim || !strings.Contains(got.Message, "default/one") {
		t.Errorf("a port that another pod has: %+v", got)
	}
	l.clear(one)
	if got := l.Claim(t.Context(), plan.Claim{Pod: two}); got.Problem != (state.Problem{}) || l.freed != 1 {
		t.Errorf("a port that was given back (told %d times): %+v", l.freed, got)
	}
	devices := testbox.Pod(t, "devices", "containers: [{name: c, image: app, resources: {limits: {vendor.example/gpu: 1}}}]")
	got := l.Claim(t.Context(), plan.Claim{Pod: devices}).Problem
	if got == (state.Problem{}) || got.Reason == "HostPortConflict" {
		t.Errorf("a device that the machine does not have: %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := l.Claim(ctx, plan.Claim{Pod: one}).Problem; got == (state.Problem{}) || got.Claim {
		t.Errorf("a claim that was cancelled: %+v", got)
	}
}

// TestPortOfTheMachine: a host port on which a program of the machine listens is refused, with its name, until it ends. What a pod has
// already is not asked for again.
func TestPortOfTheMachine(t *testing.T) {
	l := newLab(t)
	program, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	port := program.Addr().(*net.TCPAddr).Port
	withPort := func(name, of, rest string) *v1.Pod {
		return testbox.Pod(t, name, fmt.Sprintf("%s{name: c, image: app, ports: [{containerPort: %d, hostPort: %d%s}]}]", of, port, port, rest))
	}
	claim := func(p *v1.Pod) state.Problem { return l.Claim(t.Context(), plan.Claim{Pod: p}).Problem }
	pod := withPort("pod", "containers: [", "")
	got := claim(pod)
	if got.Reason != "HostPortConflict" || got.Claim || !strings.Contains(got.Message, fmt.Sprintf("%d/TCP (on 127.0.0.1): ", port)) ||
		!strings.Contains(got.Message, fmt.Sprintf("(pid %d)", os.Getpid())) {
		t.Fatalf("%+v", got)
	}
	if lost := l.Claim(t.Context(), plan.Claim{Pod: pod}); !lost.Released {
		t.Error("the pod is not told that it has nothing")
	}
	for _, free := range []*v1.Pod{
		withPort("elsewhere", "containers: [", ", hostIP: 127.0.0.2"), withPort("datagrams", "containers: [", ", protocol: UDP"),
		withPort("host", "hostNetwork: true\ncontainers: [", ""), // which may listen on another address
	} {
		if got := claim(free); got.Failed() {
			t.Errorf("%s: %+v", free.Name, got)
		}
		l.clear(free)
	}
	if err := program.Close(); err != nil {
		t.Fatal(err)
	}
	if got := claim(pod); got.Failed() {
		t.Errorf("the program has ended: %+v", got)
	}
	l.setUp(pod, state.Grant{})
	all, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	if got := l.Attach(t.Context(), plan.Attach{Pod: pod}).Problem; got.Reason != "HostPortConflict" {
		t.Errorf("a program that has begun during the set-up: %+v", got)
	}
	l.clear(pod)
	if got := claim(withPort("host", "hostNetwork: true\ncontainers: [", "")); got.Reason != "HostPortConflict" {
		t.Errorf("the program has all addresses: %+v", got)
	}
}

// TestShowResolver: a pod's resolver configuration follows the machine's, in place, unless a container has changed it.
func TestShowResolver(t *testing.T) {
	l := newLab(t)
	machine := filepath.Join(testbox.Dir(t), "resolv.conf")
	write(t, machine, "", 0o644)
	l.Resolver = resolver.New(machine)
	var warned []string
	l.Warn = func(p *v1.Pod, reason, message string) { warned = append(warned, p.Name+" "+reason+": "+message) }
	pods := map[string]*v1.Pod{
		"plain": testbox.Pod(t, "plain", "hostNetwork: true\ncontainers: [{name: c, image: app}]"),
		"more":  testbox.Pod(t, "more", "hostNetwork: true\ndnsConfig: {searches: [more]}\ncontainers: [{name: c, image: app}]"),
		"none":  testbox.Pod(t, "none", "hostNetwork: true\ndnsPolicy: None\ndnsConfig: {nameservers: [192.0.2.7]}\ncontainers: [{name: c, image: app}]"),
		"own":   testbox.Pod(t, "own", "hostNetwork: true\ncontainers: [{name: c, image: app}]"),
	}
	open := map[string]*os.File{} // as a container has it
	for name, p := range pods {
		l.setUp(p, state.Grant{})
		if got := l.Attach(t.Context(), plan.Attach{Pod: p, Resolver: "r1"}); got.Problem.Failed() || got.Resolver != "r1" {
			t.Fatalf("%+v", got)
		}
		f, err := os.Open(l.Files(p)["/etc/resolv.conf"])
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		open[name] = f
	}
	slices.Sort(warned)
	if len(warned) != 3 || !strings.HasPrefix(warned[0], "more NoNameserver: "+machine+" names no nameserver") {
		t.Errorf("told is %q", warned)
	}
	write(t, l.Files(pods["own"])["/etc/resolv.conf"], "nameserver 127.0.0.1\n", 0o644)
	is := func(name, want string) {
		t.Helper()
		if got := l.ShowResolver(t.Context(), plan.ShowResolver{Pod: pods[name], Resolver: "r2"}); got != (state.ResolverShown{Resolver: "r2"}) {
			t.Errorf("%s: %+v", name, got)
		}
		got := make([]byte, 1000)
		n, err := open[name].ReadAt(got, 0)
		if string(got[:n]) != want {
			t.Errorf("%s is %q (%v)", name, got[:n], err)
		}
	}
	for _, text := range []string{"search a-long-domain.example\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n", "nameserver 192.0.2.3\n"} {
		write(t, machine, text, 0o644)
		is("plain", text)
		is("none", "nameserver 192.0.2.7\n")
		is("own", "nameserver 127.0.0.1\n")
	}
	is("more", "search more\nnameserver 192.0.2.3\n")
	dir, copies := filepath.Dir(l.Files(pods["plain"])["/etc/resolv.conf"]), l.Dirs.StateDir(string(pods["plain"].UID))
	for cut, left := range map[string][3]string{ // resolv.conf, and its copies: written, next
		"before anything":       {"A", "A", ""},
		"in the note":           {"A", "A", "nameserver"},
		"before the file":       {"A", "A", "B"},
		"before its end":        {"B\n\n\n", "A", "B"},
		"before the copy":       {"B", "A", "B"},
		"in the copy":           {"B", "", "B"},
		"when all was done":     {"B", "B", "B"},
		"after a round":         {"A", "A", "A"},
		"in the note, a second": {"A", "A", ""},
	} {
		for i, file := range []string{filepath.Join(dir, "resolv.conf"), filepath.Join(copies, "resolv.conf.written"), filepath.Join(copies, "resolv.conf.next")} {
			write(t, file, strings.NewReplacer("A", "nameserver 192.0.2.3\n", "B", "nameserver 192.0.2.4\n").Replace(left[i]), 0o644)
		}
		for _, text := range []string{"nameserver 192.0.2.5\n", "nameserver 192.0.2.4\n"} { // changed meanwhile, or not
			write(t, machine, text, 0o644)
			is("plain", text)
		}
		if t.Failed() {
			t.Fatalf("killed %s", cut)
		}
	}
	for _, copied := range []string{"resolv.conf.written", "resolv.conf.next"} { // what is there is not written again, as with each start
		if err := os.Chtimes(filepath.Join(copies, copied), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		is("plain", "nameserver 192.0.2.4\n")
		if is, err := os.Stat(filepath.Join(copies, copied)); err != nil || is.ModTime() != time.Unix(1, 0) {
			t.Errorf("%s was written again at %v, %v", copied, is.ModTime(), err)
		}
	}
	large := "nameserver 192.0.2.9\n" + strings.Repeat("#", mostResolvConf)
	write(t, filepath.Join(dir, "resolv.conf"), large, 0o644) // by a container
	is("plain", large[:1000])
	unread := resolver.New(testbox.Dir(t)) // a directory cannot be read
	l.Resolver, unread = unread, l.Resolver
	is("more", "search more\nnameserver 192.0.2.3\n")
	l.Resolver = unread
	if err := os.Remove(l.Files(pods["more"])["/etc/resolv.conf"]); err != nil {
		t.Fatal(err)
	}
	if got := l.ShowResolver(t.Context(), plan.ShowResolver{Pod: pods["more"], Resolver: "r3"}); !got.Problem.Failed() {
		t.Errorf("a file that is gone: %+v", got)
	}
	for _, p := range pods {
		l.clear(p)
	}
}

// TestShowNames: pods that want to ask for names of services do so while somebody answers, those that run too, in place; what is too much for
// resolvers is left out and told.
func TestShowNames(t *testing.T) {
	l := newLab(t)
	machine := filepath.Join(testbox.Dir(t), "resolv.conf")
	write(t, machine, "search lan\nnameserver 192.0.2.1\n", 0o644)
	l.Resolver = resolver.New(machine)
	var warned []string
	l.Warn = func(p *v1.Pod, reason, message string) { warned = append(warned, p.Name+" "+reason+": "+message) }
	plain := testbox.Pod(t, "plain", "hostNetwork: true\ncontainers: [{name: c, image: app}]")
	asks := testbox.Pod(t, "asks", "hostNetwork: true\ndnsPolicy: ClusterFirstWithHostNet\ndnsConfig: {nameservers: [192.0.2.7, 192.0.2.8]}\ncontainers: [{name: c, image: app}]")
	is := func(p *v1.Pod, want string) {
		t.Helper()
		if got := l.ShowResolver(t.Context(), plan.ShowResolver{Pod: p, Resolver: "r2"}); got.Problem.Failed() {
			t.Errorf("%s: %+v", p.Name, got)
		}
		if got, err := os.ReadFile(l.Files(p)["/etc/resolv.conf"]); string(got) != want {
			t.Errorf("%s is %q (%v)", p.Name, got, err)
		}
	}
	const without = "search lan\nnameserver 192.0.2.1\nnameserver 192.0.2.7\nnameserver 192.0.2.8\n"
	for _, p := range []*v1.Pod{plain, asks} {
		l.setUp(p, state.Grant{})
		if got := l.Attach(t.Context(), plan.Attach{Pod: p, Resolver: "r1"}); got.Problem.Failed() {
			t.Fatalf("%+v", got)
		}
	}
	is(asks, without)
	if _, err := l.Resolver.Serve(resolver.Cluster{Servers: []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd00::a")}, Domain: "cluster.local"}); err != nil {
		t.Fatal(err)
	}
	const with = "search default.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.96.0.10\nnameserver fd00::a\nnameserver 192.0.2.7\noptions ndots:5\n"
	is(asks, with)
	is(plain, "search lan\nnameserver 192.0.2.1\n")
	if got := l.Attach(t.Context(), plan.Attach{Pod: asks, Resolver: "r2"}); got.Problem.Failed() {
		t.Errorf("%+v", got)
	}
	if len(warned) != 1 || !strings.HasPrefix(warned[0], "asks DNSConfigForming: Nameserver limits were exceeded") {
		t.Errorf("told is %q", warned)
	}
	is(asks, with)
	if _, err := l.Resolver.Serve(resolver.Cluster{}); err != nil {
		t.Fatal(err)
	}
	is(asks, without)
	l.clear(plain)
	l.clear(asks)
}

func TestSetLimits(t *testing.T) {
	l := newLab(t)
	pod := testbox.Pod(t, "limits", oneContainer)
	before := l.setUp(pod, state.Grant{})
	edited := testbox.Pod(t, "limits", strings.ReplaceAll(oneContainer, "64Mi", "32Mi"))
	got := l.SetLimits(t.Context(), plan.SetLimits{Pod: edited, Resized: "r2"})
	if got.Problem != (state.Problem{}) || got.Resized != "r2" || got.Limits == before || got.Limits == "" {
		t.Errorf("%+v", got)
	}
	if limit := read(t, memoryCgroup(l.Cgroup(pod))); strings.TrimSpace(limit) != "33554432" {
		t.Errorf("the limit is %s", limit)
	}
	wrong := testbox.Pod(t, "limits", "containers: [{name: c, image: app, resources: {limits: {hugepages-3Mi: 3Mi, cpu: 1, memory: 1Mi}}}]")
	if got := l.SetLimits(t.Context(), plan.SetLimits{Pod: wrong, Resized: "r3"}); got.Problem.Reason != "FailedResize" || got.Resized != "" {
		t.Errorf("limits that cannot be set: %+v", got)
	}
	l.clear(pod)
}

// Limits that the pod's cgroup has are not written again, and are known no longer when the cgroup goes.
func TestLimitOnce(t *testing.T) {
	l := newLab(t)
	pod := testbox.Pod(t, "limits", oneContainer)
	l.setUp(pod, state.Grant{})
	file := memoryCgroup(l.Cgroup(pod))
	if err := os.WriteFile(file, []byte("1073741824"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Limit(t.Context(), pod); err != nil || strings.TrimSpace(read(t, file)) != "1073741824" {
		t.Errorf("limits that it has were written again: %s (%v)", read(t, file), err)
	}
	l.clear(pod)
	l.setUp(pod, state.Grant{})
	if got := strings.TrimSpace(read(t, file)); got != "67108864" {
		t.Errorf("a sandbox that was made anew has the limit %s", got)
	}
	l.clear(pod)
}

// Files that were lost from the state directory, while the mounts in it stay, are made anew.
func TestFilesMended(t *testing.T) {
	l := newLab(t)
	pod := testbox.Pod(t, "mended", "containers: [{name: c, image: app}]")
	l.setUp(pod, state.Grant{})
	a := l.Attach(t.Context(), plan.Attach{Pod: pod}).Attachment
	files := l.Files(pod)
	want := read(t, files["/etc/hosts"])
	for _, path := range files {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if l.HasFiles(pod) {
		t.Error("files that are gone count as there")
	}
	w := plan.FindSandbox{Pod: pod, Network: &a, SameBoot: true}
	if found := l.Find(t.Context(), w); !found.Complete || read(t, files["/etc/hosts"]) != want {
		t.Errorf("%+v, and /etc/hosts is %q", found, read(t, files["/etc/hosts"]))
	}
	if err := errors.Join(os.Remove(files["/etc/hosts"]), os.Mkdir(files["/etc/hosts"], 0o755)); err != nil {
		t.Fatal(err)
	}
	if found := l.Find(t.Context(), w); found.Complete {
		t.Error("a sandbox with a directory for /etc/hosts counts as complete")
	}
	// What is made before something else fails, as in a crash, is whole: nobody would make it again.
	for inWay := range files {
		for inside, path := range files {
			err := os.RemoveAll(path)
			if inside == inWay && err == nil {
				err = os.Mkdir(path, 0o755)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		l.Find(t.Context(), w)
		for inside, path := range files {
			if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && info.Size() == 0 {
				t.Errorf("%s is empty", inside)
			}
		}
	}
	l.clear(pod)
}

// Mounted volumes show new content, and keep what they have while something is missing.
func TestShowVolumes(t *testing.T) {
	l := newLab(t)
	pod := testbox.Pod(t, "shows", "volumes: [{name: v, configMap: {name: settings}}]\ncontainers: [{name: c, image: app}]")
	in := func(text string) *reference.Inputs {
		return &reference.Inputs{Pod: pod, Objects: reference.Objects{ConfigMaps: map[string]*v1.ConfigMap{"settings": {Data: map[string]string{"key": text}}}}}
	}
	if made := l.SetUp(t.Context(), plan.SetUp{Pod: pod, Inputs: in("old")}); made.Problem != (state.Problem{}) {
		t.Fatalf("%+v", made)
	}
	path := filepath.Join(l.Volumes.Find(pod)["v"], "key")
	if got := l.ShowVolumes(t.Context(), plan.ShowVolumes{Pod: pod, Inputs: in("new"), Content: "c2"}); got != (state.VolumesShown{Content: "c2"}) || read(t, path) != "new" {
		t.Errorf("%+v, and it shows %q", got, read(t, path))
	}
	got := l.ShowVolumes(t.Context(), plan.ShowVolumes{Pod: pod, Inputs: inputs(pod), Content: "c3"})
	if got.Problem.Reason != "FailedMount" || got.Content != "c3" || read(t, path) != "new" {
		t.Errorf("%+v, and it shows %q", got, read(t, path))
	}
	l.clear(pod)
}

// Of a pod whose record is lost nothing but the UID is known: all the same everything of it goes.
func TestOrphan(t *testing.T) {
	l := newLab(t)
	pod := testbox.Pod(t, "lost", oneContainer+"volumes: [{name: v, emptyDir: {medium: Memory}}]")
	l.setUp(pod, state.Grant{})
	if got := l.Attach(t.Context(), plan.Attach{Pod: pod}); got.Problem != (state.Problem{}) {
		t.Fatalf("%+v", got)
	}
	orphan := state.Orphan(state.Host{}, 0, string(pod.UID))
	l.clear(orphan.Pod)
	if len(l.engine.Calls("ReleaseImages")) == 0 {
		t.Error("images that it may have shown are not let go of")
	}
}

// What was kept of a pod's logs, because their disk did not take it, is not delivered after the pod has gone.
func TestClearForgetsLogs(t *testing.T) {
	l := newLab(t)
	pod := testbox.Pod(t, "gone", "containers: [{name: c, image: app}]")
	l.setUp(pod, state.Grant{})
	rest, err := spool.New(l.Dirs.Unwritten()).Take(l.Dirs.LogFile(pod, "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := rest.Close(); err != nil {
		t.Fatal(err)
	}
	kept := func() int {
		t.Helper()
		entries, err := os.ReadDir(l.Dirs.Unwritten())
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	if got := l.Clear(t.Context(), plan.Clear{Pod: pod, All: true}); got.Problem != (state.Problem{}) || kept() != 1 {
		t.Errorf("the pod comes back, and %d rests are kept: %+v", kept(), got)
	}
	l.clear(pod)
	if n := kept(); n != 0 {
		t.Errorf("%d rests are kept of a pod that is gone", n)
	}
}
