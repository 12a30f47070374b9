package container

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/apparmor"
	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/reference"
	"github.com/solopod/solopod/runner/spec"
)

var update = flag.Bool("update", false, "write the golden files anew")

// What a container is made from, in runtime specs as the runtime gets them.
func TestSpecGolden(t *testing.T) {
	for name, spec := range map[string]string{
		"plain": "containers: [{name: c, image: app, args: [--port, $(PORT)], env: [{name: PORT, value: '80'}, {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]}]",
		"host": `
hostNetwork: true
hostIPC: true
hostPID: true
containers: [{name: c, image: app, command: [sh], tty: true, workingDir: /tmp, terminationMessagePath: /tmp/message}]
`,
		"volumes": `
shareProcessNamespace: true
volumes: [{name: disk, emptyDir: {}}, {name: memory, emptyDir: {medium: Memory}}, {name: settings, configMap: {name: settings}}]
containers:
- name: c
  image: app
  env: [{name: PART, value: sub}]
  envFrom: [{configMapRef: {name: settings}}]
  volumeMounts:
  - {name: disk, mountPath: /disk}
  - {name: disk, mountPath: /part, subPathExpr: $(PART), readOnly: true}
  - {name: memory, mountPath: /memory}
  - {name: settings, mountPath: /etc/settings}
  securityContext: {runAsUser: 1000, readOnlyRootFilesystem: true, seccompProfile: {type: Localhost, localhostProfile: own.json}}
  resources: {requests: {cpu: 250m, memory: 16Mi}, limits: {cpu: 500m, memory: 64Mi}}
`,
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			pod := testbox.Pod(t, name, spec)
			in := &reference.Inputs{Pod: pod, Objects: reference.Objects{ConfigMaps: map[string]*v1.ConfigMap{"settings": {Data: map[string]string{"KEY": "value"}}}}}
			in.Pod.Status.PodIP, in.Pod.Status.PodIPs = "10.1.2.3", []v1.PodIP{{IP: "10.1.2.3"}}
			profile := filepath.Join(l.Dirs.Root, "seccomp", "own.json")
			if err := os.MkdirAll(filepath.Dir(profile), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(profile, []byte(`{"defaultAction": "SCMP_ACT_ERRNO"}`), 0o644); err != nil {
				t.Fatal(err)
			}
			if made := l.Sandboxes.SetUp(t.Context(), plan.SetUp{Pod: pod, Inputs: in}); made.Problem != (state.Problem{}) {
				t.Fatalf("%+v", made)
			}
			w := l.create(pod, "c", "the-id")
			w.Inputs = in
			made := l.Create(t.Context(), w)
			if made.Problem != (state.Problem{}) {
				t.Fatalf("%+v", made)
			}
			r, _ := l.engine.Request("the-id")
			golden(t, name, l.portable(r.Spec))
			if left := l.binds(pod); len(left) > 0 {
				t.Errorf("mounts that were made for the container are left: %v", left)
			}
			l.Delete(t.Context(), plan.Delete{Target: w.Target})
			if got := l.Sandboxes.Clear(t.Context(), plan.Clear{Pod: pod, All: true, Gone: true}); got.Problem != (state.Problem{}) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// binds are the mounts that were made for containers of the pod.
func (l *lab) binds(pod *v1.Pod) []string {
	entries, err := os.ReadDir(filepath.Join(l.Dirs.StateDir(string(pod.UID)), "binds", "c"))
	if err != nil && !os.IsNotExist(err) {
		l.t.Error(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// portable is what of a spec is the same on every machine, without the test's directory.
func (l *lab) portable(s *specs.Spec) string {
	s.Process.Capabilities, s.Process.OOMScoreAdj = nil, nil
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths, s.Linux.Devices = nil, nil, nil
	if r := s.Linux.Resources; r != nil {
		r.Unified, r.Devices = nil, nil
	}
	var namespaces []specs.LinuxNamespace
	var mounts []specs.Mount
	for _, ns := range s.Linux.Namespaces {
		if ns.Type != specs.CgroupNamespace {
			namespaces = append(namespaces, ns)
		}
	}
	for _, m := range s.Mounts {
		if strings.HasPrefix(m.Source, "/") {
			mounts = append(mounts, m)
		}
	}
	s.Linux.Namespaces, s.Mounts = namespaces, mounts
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		l.t.Fatal(err)
	}
	root := l.Cgroups.Root()
	return strings.NewReplacer(l.dir, "$DIR", root, "/solopod").Replace(string(data)) + "\n"
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	got = strings.ReplaceAll(got, "HOSTNAME="+host+`"`, `HOSTNAME=$HOST"`)
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the spec is not that of %s (go test -update writes it):\n%s", path, diff(string(want), got))
	}
}

// diff are the lines that differ.
func diff(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	var out strings.Builder
	for i := range max(len(a), len(b)) {
		var x, y string
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			fmt.Fprintf(&out, "-%s\n+%s\n", x, y)
		}
	}
	return out.String()
}

// Files of volumes fill an environment, and no link leads out of the volume.
func TestEnvFromFile(t *testing.T) {
	l := newLab(t)
	pod := l.pod("web", `
volumes: [{name: v, emptyDir: {}}]
containers: [{name: c, image: app, env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: env, key: A}}}]}]
`, state.Grant{})
	w := l.create(pod, "c", "id-1")
	path := filepath.Join(l.Volumes.Find(pod)["v"], "env")
	if err := os.WriteFile(path, []byte("A=from-file\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if env, err := l.inputs(t.Context(), w).Env(w.Spec); err != nil || strings.Join(env, " ") != "A=from-file" {
		t.Errorf("%v (%v)", env, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", path); err != nil {
		t.Fatal(err)
	}
	if env, err := l.inputs(t.Context(), w).Env(w.Spec); err == nil {
		t.Errorf("a link that leads out was followed: %v", env)
	}
	if w.Inputs.ReadFile != nil {
		t.Error("the plan's own inputs were changed")
	}
}

// What a Secret's value may be in is not shown to containerd's database: nothing that the manifest sets.
func TestShown(t *testing.T) {
	l := newLab(t)
	pod := l.pod("web", `
containers:
- {name: secret, image: app, args: ["$(A)", b], env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: a}}}, {name: B, value: "<$(A)>"}]}
- {name: plain, image: app, args: ["$(A)"], env: [{name: A, value: open}]}
`, state.Grant{})
	secret, plain := l.create(pod, "secret", "id-1"), l.create(pod, "plain", "id-2")
	secret.Inputs.Objects.Secrets = map[string]*v1.Secret{"s": {Data: map[string][]byte{"a": []byte("hunter2")}}}
	for _, w := range []plan.Create{secret, plain} {
		if made := l.Create(t.Context(), w); made.Problem != (state.Problem{}) {
			t.Fatal(made.Problem)
		}
	}
	r, _ := l.engine.Request("id-1")
	if p := r.Spec.Process; !slices.Contains(p.Env, "B=<hunter2>") || !slices.Equal(p.Args, []string{"/app", "hunter2", "b"}) {
		t.Errorf("the process gets %q %q", p.Env, p.Args)
	}
	if s := r.Shown; s == nil || !slices.Equal(s.Env, []string{"PATH=/bin", "HOSTNAME=web"}) || !slices.Equal(s.Args, []string{"/app", "$(A)", "b"}) {
		t.Errorf("shown is %+v", s)
	}
	if r, _ := l.engine.Request("id-2"); r.Shown != nil || !slices.Contains(r.Spec.Process.Args, "open") {
		t.Errorf("without a Secret: %+v, %q", r.Shown, r.Spec.Process.Args)
	}
}

// The users of an image are read once.
func TestUsersAreReadOnce(t *testing.T) {
	l := newLab(t)
	pod := l.pod("web", "containers: [{name: a, image: app}, {name: b, image: app}]", state.Grant{})
	l.run(l.create(pod, "a", "id-a"))
	l.run(l.create(pod, "b", "id-b"))
	if got := l.engine.Calls("ReadFiles"); len(got) != 1 {
		t.Errorf("containerd was asked for %v", got)
	}
}

// withoutUsers says why this kernel gives no user namespaces; empty when it does.
func withoutUsers(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("/proc/self/ns/user"); err != nil {
		return err.Error()
	}
	most, err := os.ReadFile("/proc/sys/user/max_user_namespaces")
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(most)) == "0" {
		return "/proc/sys/user/max_user_namespaces is 0"
	}
	return ""
}

// A pod with users of its own sees volumes and files through mounts of their own, which go when the container has them.
func TestOwnUsersBinds(t *testing.T) {
	if why := withoutUsers(t); why != "" {
		t.Skip("this kernel gives no users of its own: " + why)
	}
	l := newLab(t)
	spec := "hostUsers: false\nvolumes: [{name: v, emptyDir: {}}]\ncontainers: [{name: c, image: app, volumeMounts: [{name: v, mountPath: /v}]}]"
	grant := state.Grant{FirstID: 1 << 20}
	pod := testbox.Pod(t, "users", spec)
	made := l.Sandboxes.SetUp(t.Context(), plan.SetUp{Pod: pod, Grant: grant, Inputs: &reference.Inputs{Pod: pod}})
	t.Cleanup(func() {
		if got := l.Sandboxes.Clear(context.Background(), plan.Clear{Pod: pod, All: true, Gone: true}); got.Problem != (state.Problem{}) {
			t.Errorf("the sandbox cannot be cleared: %+v", got.Problem)
		}
	})
	if made.Problem != (state.Problem{}) {
		t.Fatalf("the sandbox cannot be set up: %+v", made.Problem)
	}
	w := l.create(pod, "c", "id-1")
	w.Grant = grant
	got := l.Create(t.Context(), w)
	if strings.Contains(got.Problem.Message, "id-mapped") || strings.Contains(got.Problem.Message, "idmap") {
		t.Skip("the test's file system maps no users: " + got.Problem.Message)
	}
	if got.Problem != (state.Problem{}) {
		t.Fatalf("%+v", got)
	}
	r, _ := l.engine.Request("id-1")
	if r.IDs == nil || r.IDs.HostID != 1<<20 || r.IDs.Size != manifests.IDsPerPod {
		t.Errorf("the container's ids are %+v", r.IDs)
	}
	for _, m := range r.Spec.Mounts {
		if (m.Destination == "/v" || m.Destination == "/etc/hosts") && !strings.Contains(m.Source, "/binds/") {
			t.Errorf("%s is bound from %s", m.Destination, m.Source)
		}
	}
	if left := l.binds(pod); len(left) > 0 {
		t.Errorf("mounts are left: %v", left)
	}
}

// Who gets which profile on which machine, as with the kubelet and CRI.
func TestAppArmor(t *testing.T) {
	l := newLab(t)
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(l.dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	enabled, profiles := file("enabled", "Y\n", 0o644), file("profiles", "own (enforce)\n", 0o644)
	parser := file("parser", "#!/bin/sh\ncat >/dev/null\n", 0o755)
	machines := map[string]*apparmor.AppArmor{
		"uses it": {Enabled: enabled, Profiles: profiles, Parsers: []string{parser}}, "has no parser": {Enabled: enabled, Profiles: profiles},
		"does not use it": {Enabled: enabled + ".none", Profiles: profiles + ".none"},
		"cannot load it":  {Enabled: enabled, Profiles: profiles, Parsers: []string{file("broken", "#!/bin/sh\nexit 1\n", 0o755)}},
	}
	const privileged = "securityContext: {privileged: true}"
	for _, c := range []struct{ machine, pod, container, want, err, warning string }{
		{machine: "uses it", want: apparmor.Default},
		{machine: "uses it", container: "securityContext: {appArmorProfile: {type: RuntimeDefault}}", want: apparmor.Default},
		{machine: "uses it", pod: "securityContext: {appArmorProfile: {type: Unconfined}}"},
		{machine: "uses it", pod: "securityContext: {appArmorProfile: {type: Unconfined}}", container: "securityContext: {appArmorProfile: {type: RuntimeDefault}}", want: apparmor.Default},
		{machine: "uses it", container: "securityContext: {appArmorProfile: {type: Localhost, localhostProfile: own}}", want: "own"},
		{machine: "uses it", container: "securityContext: {appArmorProfile: {type: Localhost, localhostProfile: none}}", err: "is not loaded"},
		{machine: "uses it", container: privileged},
		{machine: "uses it", pod: "securityContext: {appArmorProfile: {type: RuntimeDefault}}", container: privileged},
		{machine: "uses it", container: "securityContext: {privileged: true, appArmorProfile: {type: Localhost, localhostProfile: own}}", want: "own"},
		{machine: "has no parser", warning: "install the package apparmor"},
		{machine: "has no parser", container: privileged},
		{machine: "has no parser", container: "securityContext: {appArmorProfile: {type: RuntimeDefault}}", err: "no apparmor_parser"},
		{machine: "has no parser", container: "securityContext: {appArmorProfile: {type: Localhost, localhostProfile: own}}", want: "own"},
		{machine: "does not use it"},
		{machine: "does not use it", container: "securityContext: {appArmorProfile: {type: Unconfined}}"},
		{machine: "does not use it", container: "securityContext: {appArmorProfile: {type: RuntimeDefault}}", err: "this machine does not use AppArmor"},
		{machine: "does not use it", container: "securityContext: {appArmorProfile: {type: Localhost, localhostProfile: own}}", err: "this machine does not use AppArmor"},
		{machine: "cannot load it", err: "cannot load the default AppArmor profile"},
		{machine: "cannot load it", container: "securityContext: {appArmorProfile: {type: Unconfined}}"},
	} {
		l.AppArmor = machines[c.machine]
		w := l.create(testbox.Pod(t, "web", c.pod+"\ncontainers: [{name: c, image: app"+strings.TrimSuffix(", "+c.container, ", ")+"}]"), "c", "id-1")
		got, err := l.confine(t.Context(), w)
		if err == nil {
			s, buildErr := spec.Build(spec.Input{Pod: w.Pod, Container: w.Spec, Image: ocispec.ImageConfig{Cmd: []string{"x"}}, AppArmor: got.appArmor})
			if buildErr != nil {
				t.Fatal(buildErr)
			}
			if s.Process.ApparmorProfile != c.want {
				t.Errorf("%+v: the spec's profile is %q", c, s.Process.ApparmorProfile)
			}
		}
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%+v: the error is %v", c, err)
		}
		warned := ""
		for _, r := range warnings(w, l.AppArmor) {
			warned += r.Message
		}
		if c.warning == "" && warned != "" || !strings.Contains(warned, c.warning) {
			t.Errorf("%+v: the warning is %q", c, warned)
		}
	}
}

func TestMounts(t *testing.T) {
	c := &v1.Container{VolumeMounts: []v1.VolumeMount{{Name: "v"}}}
	if !mounts(c, "v") || mounts(c, "w") {
		t.Error("what a container mounts is not known")
	}
	if got := allowedOOMScore(5); got != 5 {
		t.Errorf("a score that everybody may have is %d", got)
	}
}
