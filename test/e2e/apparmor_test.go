package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// appArmorProfile forbids one directory.
const appArmorProfile = "profile solopod-e2e flags=(attach_disconnected) { file, signal, deny /own/forbidden/** w, }\n"

// AppArmor profiles where the machine has AppArmor; elsewhere a container that wants one is not started, and one that names none is.
func TestAppArmor(t *testing.T) {
	b := newBox(t, embedded)
	localhost := func(name, profile string) string {
		return containers(name, "securityContext: {appArmorProfile: {type: Localhost, localhostProfile: "+profile+"}}", nil,
			container{"main", "mkdir -p /own/forbidden; " + forever, ""})
	}
	b.once("unconfined", "true", "securityContext: {appArmorProfile: {type: Unconfined}}", "")
	b.apply("none.yaml", localhost("none", "no-such-profile"))
	// As before there was the field.
	annotated := func(name, profile string) string {
		return strings.Replace(shell(name, forever, ""), "  name: "+name+"\n", "  name: "+name+"\n  annotations: {container.apparmor.security.beta.kubernetes.io/main: "+profile+"}\n", 1)
	}
	b.apply("annotated.yaml", annotated("annotated", "localhost/no-such-profile"))
	b.apply("free.yaml", annotated("free", "unconfined"))
	free := b.waitReady("free")
	enabled, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	if err != nil || !strings.HasPrefix(string(enabled), "Y") {
		b.once("plain", "true", "", "")
		b.waiting("none", "this machine does not use AppArmor")
		b.waiting("annotated", "this machine does not use AppArmor")
		if n := strings.Count(b.daemonOutput(), "name no AppArmor profile run without one"); n != 1 {
			t.Errorf("the log says %d times that containers run without a profile", n)
		}
		return
	}
	b.waiting("none", "is not loaded")
	b.waiting("annotated", "is not loaded")
	for _, action := range []string{"--replace", "--remove"} {
		parser := exec.Command("apparmor_parser", action)
		parser.Stdin = strings.NewReader(appArmorProfile)
		run := func() {
			if out, err := parser.CombinedOutput(); err != nil {
				t.Errorf("apparmor_parser: %v: %s", err, out)
			}
		}
		if action == "--remove" {
			t.Cleanup(run)
		} else {
			run()
		}
	}
	b.apply("profile.yaml", localhost("profile", "solopod-e2e"))
	p := b.waitReady("profile")
	if got := b.appArmor(b.pid(p, "main")); got != "solopod-e2e (enforce)" {
		t.Errorf("the process is confined by %q", got)
	}
	b.apply("annotated.yaml", annotated("annotated", "localhost/solopod-e2e"))
	for pod, want := range map[*v1.Pod]string{b.waitReady("annotated"): "solopod-e2e (enforce)", free: "unconfined"} {
		if got := b.appArmor(b.pid(pod, "main")); got != want {
			t.Errorf("the process of %s is confined by %q, not %q", pod.Name, got, want)
		}
	}
	b.appArmorOfThose(t)
	if out := b.once("default", "cat /proc/self/attr/current", "securityContext: {appArmorProfile: {type: RuntimeDefault}}", ""); strings.TrimSpace(out) != "solopod-default (enforce)" {
		t.Errorf("the default profile is %q", out)
	}
	out := strings.Replace(localhost("denied", "solopod-e2e"), forever, "touch /own/allowed && ! touch /own/forbidden/x 2>&1", 1)
	b.apply("denied.yaml", strings.Replace(out, "spec:\n", "spec:\n  restartPolicy: Never\n", 1))
	b.eventually("the profile forbids", func() error { return b.says("denied", "Permission denied") })
}

// appArmorOfThose that name no profile: a plain container, what is executed in it and its hooks and probes have the default one, which
// forbids what its rules say; a privileged container and one that says so have none.
func (b *box) appArmorOfThose(t *testing.T) {
	const isDefault = "solopod-default (enforce)"
	b.apply("plain.yaml", shell("plain", forever, "")+indent(4, "securityContext: {capabilities: {add: [SYS_ADMIN]}}\n"+
		"readinessProbe: {exec: {command: [grep, -q, "+isDefault+", /proc/self/attr/current]}, periodSeconds: 1}\n"+
		"lifecycle: {postStart: {exec: {command: [grep, -q, "+isDefault+", /proc/self/attr/current]}}}")+"\n")
	p := b.waitReady("plain")
	if got := b.appArmor(b.pid(p, "main")); got != isDefault {
		t.Errorf("a plain container is confined by %q", got)
	}
	if got := strings.TrimSpace(b.run("exec", "plain", "--", "cat", "/proc/self/attr/current")); got != isDefault {
		t.Errorf("what is executed in it is confined by %q", got)
	}
	// It has the capability, and would be let by the kernel otherwise.
	if out, err := b.try("exec", "plain", "--", "mount", "-t", "tmpfs", "tmpfs", "/tmp"); err == nil || !strings.Contains(out, "denied") {
		t.Errorf("a plain container mounts: %s (%v)", out, err)
	}
	for name, sc := range map[string]string{"privileged": "{privileged: true}", "says-so": "{appArmorProfile: {type: Unconfined}}"} {
		if out := b.once(name, "cat /proc/self/attr/current", "", "securityContext: "+sc); strings.TrimSpace(out) != "unconfined" {
			t.Errorf("%s: confined by %q", name, out)
		}
	}
	if out := b.once("with-profile", "cat /proc/self/attr/current", "", "securityContext: {privileged: true, appArmorProfile: {type: Localhost, localhostProfile: solopod-e2e}}"); strings.TrimSpace(out) != "solopod-e2e (enforce)" {
		t.Errorf("a privileged container that names a profile: %q", out)
	}
	b.delete("plain.yaml")
	b.waitGone("plain") // the daemon may signal what is confined
}

// appArmor is the profile that confines a process.
func (b *box) appArmor(pid int) string {
	b.t.Helper()
	return strings.TrimSpace(readFile(b.t, fmt.Sprintf("/proc/%d/attr/current", pid)))
}

// says: the pod's log holds want.
func (b *box) says(pod, want string) error {
	out, err := b.try("logs", pod)
	if err == nil && !strings.Contains(out, want) {
		err = fmt.Errorf("the log of %s: %q", pod, out)
	}
	return err
}
