package vm

import "testing"

// TestConfinement tries what only such a machine has: AppArmor, CRIU, crun, users of its own with cgroup v2, and in a second boot
// SELinux. That is in permissive mode: labels are given and checked, and forbid nothing, as the machine's files have none.
func TestConfinement(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.install()
	b.run("systemctl disable --now solopod")
	b.endToEnd("-test.run 'TestAppArmor|TestSpecOfBundle|TestCheckpoint|TestHostUsers/embedded'")
	b.endToEnd("-test.run '(TestLifecycle|TestOOM$)/embedded' -runtime crun")
	b.run("sync")
	b.m.Cut()
	b.m.KernelArgs = "security=selinux selinux=1 enforcing=0"
	b.boot()
	b.expect("cat /sys/fs/selinux/enforce", "0")
	b.endToEnd("-test.run TestSELinux")
}
