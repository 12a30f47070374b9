package policy

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	standards "k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/solopod/solopod/manifests"
)

// fixtures is where the library keeps the pods that it is tested with: <level>/<version>/{pass,fail}/<control><number>.yaml.
func fixtures(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/pod-security-admission").Output()
	if err != nil {
		t.Fatal("cannot find the library: ", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "test", "testdata")
}

func podOf(t *testing.T, text string) *v1.Pod {
	t.Helper()
	pod := &v1.Pod{}
	if err := yaml.UnmarshalStrict([]byte(text), pod); err != nil {
		t.Fatal(err)
	}
	manifests.SetDefaults(pod)
	return pod
}

// Every pod that Kubernetes' own tests have for a control, in every version: refused ones with a field of that control, and the
// nearest allowed ones not.
func TestKubernetesOwnPods(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(fixtures(t), "*", "v*", "*", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	instead := map[string]string{} // controls of restricted that stand in for others
	for _, c := range standards.DefaultChecks() {
		for _, id := range c.Versions[len(c.Versions)-1].OverrideCheckIDs {
			instead[strings.ToLower(string(id))] = strings.ToLower(string(c.ID))
		}
	}
	seen := map[string]int{}
	pods := map[string]*v1.Pod{} // most are the same from version to version, and YAML is slow to read
	for _, file := range files {
		parts := strings.Split(file, "/")
		level, version, kind := parts[len(parts)-4], parts[len(parts)-3], parts[len(parts)-2]
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pod := pods[string(text)]
		if pod == nil {
			pod = podOf(t, string(text))
			pods[string(text)] = pod
		}
		p, err := New(PodSecurity{Enforce: level, EnforceVersion: version}, Rules{})
		if err != nil {
			t.Fatal(err)
		}
		seen[kind]++
		found := p.Judge(pod).Errors()
		if kind == "pass" {
			if len(found) > 0 {
				t.Errorf("%s %s %s is refused: %v", level, version, parts[len(parts)-1], found.Error())
			}
			continue
		}
		if len(found) == 0 {
			t.Errorf("%s %s %s passes", level, version, parts[len(parts)-1])
		}
		name := strings.TrimRight(strings.TrimSuffix(parts[len(parts)-1], ".yaml"), "0123456789")
		told := false // a pod that breaks one control can break another one with it
		for _, f := range found {
			id := strings.ToLower(strings.TrimPrefix(f.Control, "podSecurity/"))
			told = told || id == name || level == "restricted" && instead[name] == id
			if f.Path == "spec" || f.Path == "" {
				t.Errorf("%s %s %s: no field for %s", level, version, parts[len(parts)-1], f.Message)
			}
		}
		if !told {
			t.Errorf("%s %s %s: %s is not told", level, version, parts[len(parts)-1], name)
		}
	}
	if seen["fail"] < 1000 || seen["pass"] < 500 {
		t.Errorf("the library has %v pods; the test looks in the wrong place", seen)
	}
}

// The library's own evaluator, which does not say what a control's id is, comes to the same number of controls that are broken.
func TestAllControls(t *testing.T) {
	known := map[standards.CheckID]bool{}
	for _, c := range standards.DefaultChecks() {
		known[c.ID] = true
		if controls[c.ID].parts == nil || controls[c.ID].name == "" {
			t.Errorf("control %s has no row", c.ID)
		}
	}
	for id := range controls {
		if !known[id] {
			t.Errorf("the row %s is no control", id)
		}
	}
	evaluator, err := standards.NewEvaluator(standards.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	pod := podOf(t, `{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {hostNetwork: true, containers: [{name: c, image: i,
		securityContext: {privileged: true, capabilities: {add: [SYS_ADMIN]}}}]}}`)
	for _, level := range []api.Level{api.LevelPrivileged, api.LevelBaseline, api.LevelRestricted} {
		versions := []api.Version{api.LatestVersion(), api.MajorMinorVersion(1, 99)}
		for minor := range 38 {
			versions = append(versions, api.MajorMinorVersion(1, minor))
		}
		for _, version := range versions {
			lv := api.LevelVersion{Level: level, Version: version}
			theirs := 0
			for _, r := range evaluator.EvaluatePod(lv, &pod.ObjectMeta, &pod.Spec) {
				if !r.Allowed {
					theirs++
				}
			}
			ours := map[string]bool{}
			for _, b := range breaches(lv, "forbids it", pod) {
				ours[b.Control] = true
			}
			if len(ours) != theirs {
				t.Errorf("%s: %v are broken, and the library has %d", lv, slices.Collect(maps.Keys(ours)), theirs)
			}
		}
	}
}

// strict is a container that restricted allows; it can be made worse.
const strict = "{name: main, image: i, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}%s}%s}"

func strictPod(podExtra, securityExtra, containerExtra string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}\n  containers: [" +
		fmt.Sprintf(strict, securityExtra, containerExtra) + "]\n" + podExtra
}

// Fields to the letter: each pod breaks what stands beside it, and nothing else; none if nothing stands there.
func TestFields(t *testing.T) {
	const base, rest = "baseline", "restricted"
	main, side := "spec.containers[0].", "spec.initContainers[0]."
	init := func(securityExtra, more string) string {
		return "  initContainers: [" + strings.Replace(fmt.Sprintf(strict, securityExtra, more), "main", "init", 1) + "]\n"
	}
	for name, c := range map[string]struct {
		level, version, pod string
		paths               string
	}{
		"nothing":                  {rest, "latest", strictPod("", "", ""), ""},
		"windows' host process":    {base, "latest", strictPod("", ", windowsOptions: {hostProcess: true}", ""), main + "securityContext.windowsOptions.hostProcess"},
		"all host namespaces":      {base, "latest", strictPod("  hostNetwork: true\n  hostPID: true\n  hostIPC: true\n", "", ""), "spec.hostIPC spec.hostNetwork spec.hostPID"},
		"host namespaces false":    {base, "latest", strictPod("  hostNetwork: false\n  hostPID: false\n", "", ""), ""},
		"privileged":               {base, "latest", strictPod("", ", privileged: true", ""), main + "securityContext.privileged"},
		"not privileged":           {base, "latest", strictPod("", ", privileged: false", ""), ""},
		"privileged sidecar":       {base, "latest", strictPod(init(", privileged: true", ", restartPolicy: Always"), "", ""), side + "securityContext.privileged"},
		"privileged init":          {base, "latest", strictPod(init(", privileged: true", ""), "", ""), side + "securityContext.privileged"},
		"init as allowed":          {rest, "latest", strictPod(init("", ""), "", ""), ""},
		"hostPath":                 {base, "latest", strictPod("  volumes: [{name: a, emptyDir: {}}, {name: b, hostPath: {path: /}}]\n", "", ""), "spec.volumes[1].hostPath"},
		"volumes that may":         {rest, "latest", strictPod("  volumes: [{name: a, emptyDir: {}}, {name: b, configMap: {name: x}}, {name: c, secret: {secretName: x}}, {name: d, persistentVolumeClaim: {claimName: x}}, {name: e, image: {reference: x}}, {name: f, downwardAPI: {}}, {name: g, projected: {}}]\n", "", ""), ""},
		"nfs in baseline":          {base, "latest", strictPod("  volumes: [{name: a, nfs: {server: x, path: /}}]\n", "", ""), ""},
		"nfs":                      {rest, "latest", strictPod("  volumes: [{name: a, nfs: {server: x, path: /}}]\n", "", ""), "spec.volumes[0].nfs"},
		"host ports":               {base, "latest", strictPod("", "", ", ports: [{containerPort: 1}, {containerPort: 2, hostPort: 2}, {containerPort: 3, hostPort: 3}]"), main + "ports[1].hostPort " + main + "ports[2].hostPort"},
		"host in probes":           {base, "latest", strictPod("", "", ", livenessProbe: {httpGet: {port: 1, host: 10.0.0.1}}, readinessProbe: {tcpSocket: {port: 1, host: 10.0.0.1}}, startupProbe: {httpGet: {port: 1}}, lifecycle: {preStop: {httpGet: {port: 1, host: example.com}}, postStart: {tcpSocket: {port: 1, host: example.com}}}"), main + "lifecycle.postStart.tcpSocket.host " + main + "lifecycle.preStop.httpGet.host " + main + "livenessProbe.httpGet.host " + main + "readinessProbe.tcpSocket.host"},
		"host in probes, before":   {base, "v1.33", strictPod("", "", ", livenessProbe: {httpGet: {port: 1, host: 10.0.0.1}}"), ""},
		"pod's AppArmor":           {base, "latest", strings.Replace(strictPod("", "", ""), "seccompProfile:", "appArmorProfile: {type: Unconfined}, seccompProfile:", 1), "spec.securityContext.appArmorProfile.type"},
		"container's AppArmor":     {base, "latest", strictPod("", ", appArmorProfile: {type: Unconfined}", ""), main + "securityContext.appArmorProfile.type"},
		"AppArmor that may":        {base, "latest", strictPod("", ", appArmorProfile: {type: Localhost, localhostProfile: x}", ""), ""},
		"AppArmor by annotation":   {base, "latest", strings.Replace(strictPod("", "", ""), "{name: p}", "{name: p, annotations: {container.apparmor.security.beta.kubernetes.io/main: unconfined}}", 1), "metadata.annotations.container.apparmor.security.beta.kubernetes.io/main"},
		"seccomp by annotation":    {base, "v1.18", strings.Replace(strictPod("", "", ""), "{name: p}", "{name: p, annotations: {seccomp.security.alpha.kubernetes.io/pod: unconfined}}", 1), "metadata.annotations.seccomp.security.alpha.kubernetes.io/pod"},
		"SELinux":                  {base, "latest", strictPod("", ", seLinuxOptions: {type: spc_t, user: x, role: y, level: s0}", ""), main + "securityContext.seLinuxOptions.role " + main + "securityContext.seLinuxOptions.type " + main + "securityContext.seLinuxOptions.user"},
		"SELinux that may":         {base, "latest", strictPod("", ", seLinuxOptions: {type: container_engine_t, level: s0}", ""), ""},
		"SELinux of 1.31 before":   {base, "v1.30", strictPod("", ", seLinuxOptions: {type: container_engine_t}", ""), main + "securityContext.seLinuxOptions.type"},
		"procMount":                {base, "latest", strictPod("", ", procMount: Unmasked", ""), main + "securityContext.procMount"},
		"procMount, own users":     {base, "latest", strictPod("  hostUsers: false\n", ", procMount: Unmasked", ""), ""},
		"procMount, restricted":    {rest, "latest", strictPod("", ", procMount: Unmasked", ""), main + "securityContext.procMount"},
		"seccomp of the pod":       {base, "latest", strings.Replace(strictPod("", "", ""), "RuntimeDefault", "Unconfined", 1), "spec.securityContext.seccompProfile.type"},
		"seccomp of the container": {rest, "latest", strictPod("", ", seccompProfile: {type: Unconfined}", ""), main + "securityContext.seccompProfile.type"},
		"no seccomp":               {rest, "latest", strings.Replace(strictPod("", "", ""), ", seccompProfile: {type: RuntimeDefault}", "", 1), main + "securityContext.seccompProfile.type"},
		"no seccomp in baseline":   {base, "latest", strings.Replace(strictPod("", "", ""), ", seccompProfile: {type: RuntimeDefault}", "", 1), ""},
		"sysctls":                  {base, "latest", strings.Replace(strictPod("", "", ""), "seccompProfile:", "sysctls: [{name: net.ipv4.tcp_rmem, value: x}, {name: kernel.msgmax, value: x}], seccompProfile:", 1), "spec.securityContext.sysctls[1].name"},
		"sysctls of 1.32 before":   {base, "v1.31", strings.Replace(strictPod("", "", ""), "seccompProfile:", "sysctls: [{name: net.ipv4.tcp_rmem, value: x}], seccompProfile:", 1), "spec.securityContext.sysctls[0].name"},
		"capability":               {base, "latest", strictPod("", "", "") + "  initContainers: [{name: i, image: i, securityContext: {capabilities: {add: [CHOWN, NET_RAW, SYS_TIME]}}}]\n", side + "securityContext.capabilities.add[1] " + side + "securityContext.capabilities.add[2]"},
		"capability, restricted":   {rest, "latest", strictPod(strings.Replace(init("", ""), "drop: [ALL]", "drop: [KILL], add: [NET_BIND_SERVICE, CHOWN]", 1), "", ""), side + "securityContext.capabilities.add[1] " + side + "securityContext.capabilities.drop"},
		"escalation":               {rest, "latest", strings.Replace(strictPod("", "", ""), "allowPrivilegeEscalation: false, ", "", 1), main + "securityContext.allowPrivilegeEscalation"},
		"escalation, early":        {rest, "v1.7", strings.Replace(strictPod("", "", ""), "allowPrivilegeEscalation: false, ", "", 1), ""},
		"escalation, windows":      {rest, "latest", strings.Replace(strictPod("  os: {name: windows}\n", "", ""), "allowPrivilegeEscalation: false, ", "", 1), ""},
		"escalation, linux":        {rest, "latest", strings.Replace(strictPod("  os: {name: linux}\n", "", ""), "allowPrivilegeEscalation: false, ", "", 1), main + "securityContext.allowPrivilegeEscalation"},
		"root":                     {rest, "latest", strings.Replace(strictPod("", "", ""), "runAsNonRoot: true", "runAsNonRoot: false", 1), "spec.securityContext.runAsNonRoot"},
		"root, not said":           {rest, "latest", strings.Replace(strictPod(init("", ""), ", runAsNonRoot: true", ""), "securityContext: {runAsNonRoot: true, ", "securityContext: {", 1), side + "securityContext.runAsNonRoot"},
		"root, container":          {rest, "latest", strictPod("", ", runAsNonRoot: false", ""), main + "securityContext.runAsNonRoot"},
		"root, own users":          {rest, "latest", strictPod("  hostUsers: false\n", ", runAsNonRoot: false, runAsUser: 0", ""), ""},
		"root, own users, before":  {rest, "v1.34", strictPod("  hostUsers: false\n", ", runAsNonRoot: false, runAsUser: 0", ""), main + "securityContext.runAsNonRoot " + main + "securityContext.runAsUser"},
		"user 0":                   {rest, "latest", strings.Replace(strictPod("", ", runAsUser: 1", ""), "runAsNonRoot: true", "runAsNonRoot: true, runAsUser: 0", 1), "spec.securityContext.runAsUser"},
		"privileged level":         {"privileged", "latest", strictPod("  hostPID: true\n", ", privileged: true", ""), ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(PodSecurity{Enforce: c.level, EnforceVersion: c.version}, Rules{})
			if err != nil {
				t.Fatal(err)
			}
			pod := podOf(t, c.pod)
			paths := []string{}
			for _, f := range p.Judge(pod).Errors() {
				paths = append(paths, f.Path)
			}
			slices.Sort(paths)
			if got := strings.Join(paths, " "); got != c.paths {
				t.Errorf("refused for %q, not for %q", got, c.paths)
			}
			if err := p.Admit(pod); (err != nil) != (c.paths != "") {
				t.Errorf("admission says %v", err)
			}
		})
	}
}

func TestLevels(t *testing.T) {
	settings := func(text string) *PodSecurity {
		s := &PodSecurity{}
		if err := yaml.UnmarshalStrict([]byte(text), s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	privileged := podOf(t, strictPod("", ", privileged: true", ""))
	root := podOf(t, strictPod("", ", runAsUser: 0", ""))
	for _, c := range []struct {
		settings, namespace string
		pod                 *v1.Pod
		errors, warnings    int
	}{
		{"privileged", "default", privileged, 0, 0},
		{"baseline", "default", privileged, 1, 0},
		{"baseline", "default", root, 0, 0},
		{"{enforce: baseline, warn: restricted}", "default", root, 0, 1},
		{"{enforce: baseline, warn: restricted}", "default", privileged, 1, 0}, // what is refused is not warned of as well
		{"{warn: baseline}", "default", privileged, 0, 1},
		{"{enforce: restricted, enforceVersion: v1.22}", "default", root, 0, 0}, // runAsUser came with 1.23
		{"{enforce: restricted, enforceVersion: v1.23}", "default", root, 1, 0},
		{"{enforce: restricted, namespaces: {kube-system: privileged}}", "kube-system", privileged, 0, 0},
		{"{enforce: restricted, namespaces: {kube-system: privileged}}", "default", root, 1, 0},
		{"{enforce: privileged, namespaces: {web: {enforce: restricted, enforceVersion: v1.23}}}", "web", root, 1, 0},
		{"{enforce: baseline, warn: restricted, namespaces: {web: {enforce: privileged}}}", "web", root, 0, 1}, // the default's warning stays
	} {
		p, err := New(*settings(c.settings), Rules{})
		if err != nil {
			t.Fatal(c.settings, err)
		}
		pod := c.pod.DeepCopy()
		pod.Namespace = c.namespace
		found := p.Judge(pod)
		if len(found.Errors()) != c.errors || len(found.Warnings()) != c.warnings {
			t.Errorf("%s in %s: %v", c.settings, c.namespace, found.Error())
		}
	}
	for text, says := range map[string]string{
		"strict":                                 `podSecurity: enforce is privileged, baseline or restricted, not "strict"`,
		"{warn: x}":                              "warn is",
		"{enforce: baseline, enforceVersion: 1}": "enforceVersion",
		"{enforce: baseline, enforceVersion: v1.x}":   "enforceVersion is latest or a version like v1.37",
		"{warn: baseline, warnVersion: newest}":       "warnVersion is latest",
		"{enforced: baseline}":                        `did you mean "enforce"?`,
		"{namespaces: {a: {warnversion: v1.1}}}":      `did you mean "warnVersion"?`,
		"{namespaces: {a: }}":                         "has no value",
		"{namespaces: {a: {enforce: no-such-level}}}": "podSecurity.namespaces.a: enforce is",
		"{namespaces: {Kube_System: baseline}}":       "is no namespace",
		"{enforce: }":                                 "enforce has no value",
		"[baseline]":                                  "expected an object",
	} {
		s := &PodSecurity{}
		err := yaml.UnmarshalStrict([]byte(text), s)
		if err == nil {
			_, err = New(*s, Rules{})
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, not %q", text, err, says)
		}
	}
}
