package e2e

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"
)

// bundle is the spec that the runtime was given for a container.
func (b *box) bundle(p *v1.Pod) specs.Spec {
	b.t.Helper()
	id := strings.TrimPrefix(status(p, "main").ContainerID, "containerd://")
	var s specs.Spec
	if err := json.Unmarshal([]byte(readFile(b.t, b.path("state/containerd/io.containerd.runtime.v2.task/solopod/"+id+"/config.json"))), &s); err != nil {
		b.t.Fatal(err)
	}
	return s
}

// machineCgroups is how the machine has mounted its cgroups.
func machineCgroups(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(readFile(t, "/proc/self/mountinfo")) {
		if strings.Contains(line, " /sys/fs/cgroup ") {
			return line
		}
	}
	return ""
}

// What the runtime is given, and what the kernel then holds a container to, is no weaker than the kubelet's and containerd's: of a
// default, a restricted and a privileged container. runner/spec compares each field.
func TestSpecOfBundle(t *testing.T) {
	b := newBox(t, embedded)
	before := machineCgroups(t)
	confined := "solopod-default"
	if enabled, err := os.ReadFile("/sys/module/apparmor/parameters/enabled"); err != nil || !strings.HasPrefix(string(enabled), "Y") {
		confined = ""
	}
	for name, c := range map[string]struct {
		sc                  string
		caps                int // how many; negative: more than the default's
		restricted, machine bool
	}{
		"default":    {caps: 14},
		"restricted": {sc: "{runAsUser: 1000, runAsNonRoot: true, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}", restricted: true},
		"privileged": {sc: "{privileged: true}", caps: -1, machine: true},
	} {
		extra := ""
		if c.sc != "" {
			extra = indent(4, "securityContext: "+c.sc) + "\n"
		}
		b.apply(name+".yaml", strings.Replace(shell(name, forever, ""), "  hostNetwork: true\n", "", 1)+extra)
		s := b.bundle(b.waitReady(name))
		n := len(s.Process.Capabilities.Bounding)
		if c.caps >= 0 && n != c.caps || c.caps < 0 && n <= 14 || len(s.Process.Capabilities.Inheritable)+len(s.Process.Capabilities.Ambient) > 0 {
			t.Errorf("%s: capabilities %+v", name, s.Process.Capabilities)
		}
		if s.Process.NoNewPrivileges != c.restricted || s.Root.Readonly != c.restricted || (s.Linux.Seccomp != nil) != c.restricted {
			t.Errorf("%s: no new privileges %t, read-only root %t, seccomp %t", name, s.Process.NoNewPrivileges, s.Root.Readonly, s.Linux.Seccomp != nil)
		}
		if want := strings.Repeat(confined, map[bool]int{false: 1}[c.machine]); s.Process.ApparmorProfile != want {
			t.Errorf("%s: the AppArmor profile is %q, want %q", name, s.Process.ApparmorProfile, want)
		}
		if masked := slices.Contains(s.Linux.MaskedPaths, "/proc/kcore") && slices.Contains(s.Linux.ReadonlyPaths, "/proc/sys"); masked == c.machine {
			t.Errorf("%s: masked %q, read-only %q", name, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths)
		}
		if first := s.Linux.Resources.Devices[0]; first.Allow != c.machine || len(s.Linux.Devices) > 0 != c.machine {
			t.Errorf("%s: the first rule of devices is %+v, and there are %d", name, first, len(s.Linux.Devices))
		}
		mode := map[bool]string{false: "rw", true: "ro"}
		for place, option := range map[string]string{
			"/etc/hosts": mode[c.restricted], "/etc/hostname": mode[c.restricted], "/etc/resolv.conf": mode[c.restricted], "/dev/termination-log": "rw",
			"/sys": mode[!c.machine], "/sys/fs/cgroup": mode[!c.machine], "/proc": "nosuid", "/dev/mqueue": "noexec", "/dev/pts": "newinstance", "/dev/shm": "rprivate",
		} {
			at := slices.IndexFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == place })
			if at < 0 || !slices.Contains(s.Mounts[at].Options, option) {
				t.Errorf("%s: %s is not mounted %s: %+v", name, place, option, s.Mounts)
			}
		}
		for _, kind := range []specs.LinuxNamespaceType{specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.PIDNamespace, specs.MountNamespace} {
			if !slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind }) {
				t.Errorf("%s: it shares the machine's %s namespace", name, kind)
			}
		}
	}
	// What the kernel makes of it.
	const script = "echo x >/dev/termination-log && echo written; grep -cE ' /etc/(hosts|hostname|resolv.conf) ro[ ,]' /proc/self/mountinfo; grep -E 'CapEff|CapInh|CapAmb|NoNewPrivs|Seccomp:' /proc/self/status; " +
		"grep -o ' /proc/sys ro' /proc/self/mountinfo; echo 1 2>/dev/null >/proc/sys/vm/drop_caches || echo refused"
	const none = "0000000000000000\n"
	for name, want := range map[string]string{
		"restricted": "written\n3\nCapInh:\t" + none + "CapEff:\t" + none + "CapAmb:\t" + none + "NoNewPrivs:\t1\nSeccomp:\t2\n /proc/sys ro\nrefused\n",
		"default":    "written\n0\nCapInh:\t" + none + "CapEff:\t00000000a80425fb\nCapAmb:\t" + none + "NoNewPrivs:\t0\nSeccomp:\t0\n /proc/sys ro\nrefused\n",
	} {
		if out, err := b.try("exec", name, "--", "sh", "-c", script); err != nil || out != want {
			t.Errorf("%s: the kernel holds it to\n%s(%v), want\n%s", name, out, err, want)
		}
	}
	if after := machineCgroups(t); after != before {
		t.Errorf("the machine's cgroups were mounted as\n%sand are now\n%s", before, after)
	}
}
