package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// appArmorProfile forbids one directory.
const appArmorProfile = "profile solopod-e2e flags=(attach_disconnected) { file, signal, deny /own/forbidden/** w, }\n"

// AppArmor profiles where the machine has AppArmor; elsewhere a container that wants one is not started.
func TestAppArmor(t *testing.T) {
	b := newBox(t, embedded)
	localhost := func(name, profile string) string {
		return containers(name, "securityContext: {appArmorProfile: {type: Localhost, localhostProfile: "+profile+"}}", nil,
			container{"main", "mkdir -p /own/forbidden; " + forever, ""})
	}
	b.once("unconfined", "true", "securityContext: {appArmorProfile: {type: Unconfined}}", "")
	b.apply("none.yaml", localhost("none", "no-such-profile"))
	if _, err := os.Stat("/sys/kernel/security/apparmor/profiles"); err != nil {
		b.waiting("none", "this machine does not use it")
		return
	}
	b.waiting("none", "is not loaded")
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
	if out := b.once("default", "cat /proc/self/attr/current", "securityContext: {appArmorProfile: {type: RuntimeDefault}}", ""); strings.TrimSpace(out) != "solopod-default (enforce)" {
		t.Errorf("the default profile is %q", out)
	}
	out := strings.Replace(localhost("denied", "solopod-e2e"), forever, "touch /own/allowed && ! touch /own/forbidden/x 2>&1", 1)
	b.apply("denied.yaml", strings.Replace(out, "spec:\n", "spec:\n  restartPolicy: Never\n", 1))
	b.eventually("the profile forbids", func() error { return b.says("denied", "Permission denied") })
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
