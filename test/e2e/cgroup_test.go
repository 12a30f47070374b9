package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	v1 "k8s.io/api/core/v1"
)

const cgroupMount = "/sys/fs/cgroup"

// unified says whether the machine has cgroup v2 only.
func unified() bool {
	_, err := os.Stat(cgroupMount + "/cgroup.controllers")
	return err == nil
}

// systemdCgroups says whether systemd makes the cgroups.
func systemdCgroups() bool {
	_, err := os.Stat("/run/systemd/system")
	return *driver == "systemd" || *driver == "" && err == nil && unified()
}

// cgroupRoot, podCgroup and containerCgroup are paths below the mountpoint, as the operator's documentation has them.
func (b *box) cgroupRoot() string {
	if systemdCgroups() {
		return "/" + b.slice("")
	}
	return b.cgroup
}

// slice names one of the box's slices: a dash separates levels, so there is none in the levels' names.
func (b *box) slice(below string) string {
	return strings.ReplaceAll(strings.Trim(b.cgroup, "/"), "-", "_") + below + ".slice"
}

func (b *box) podCgroup(p *v1.Pod) string {
	class, uid := strings.ToLower(string(p.Status.QOSClass)), string(p.UID)
	if systemdCgroups() {
		return path.Join(b.cgroupRoot(), b.slice("-"+class), b.slice("-"+class+"-pod"+strings.ReplaceAll(uid, "-", "_")))
	}
	return path.Join(b.cgroup, class, "pod"+uid)
}

func (b *box) containerCgroup(p *v1.Pod, container string) string {
	id := strings.TrimPrefix(status(p, container).ContainerID, "containerd://")
	if systemdCgroups() {
		id = "solopod-" + id + ".scope"
	}
	return path.Join(b.podCgroup(p), id)
}

// shimCgroup is below which the shims are.
func (b *box) shimCgroup() string {
	if systemdCgroups() {
		return path.Join(b.cgroupRoot(), strings.TrimSuffix(b.slice("-shims"), ".slice")+".scope")
	}
	return path.Join(b.cgroup, "shims")
}

// hasPod says whether a line of /proc/<pid>/cgroup is of a process of the pod with that UID.
func hasPod(cgroup []byte, uid string) bool {
	text := string(cgroup)
	return strings.Contains(text, "pod"+uid) || strings.Contains(text, "pod"+strings.ReplaceAll(uid, "-", "_"))
}

// cgroupFile reads a file of a cgroup. controller names the hierarchy with cgroup v1.
func (b *box) cgroupFile(cgroup, controller, file string) string {
	b.t.Helper()
	base := filepath.Join(cgroupMount, controller)
	if unified() {
		base = cgroupMount
	}
	out, err := os.ReadFile(filepath.Join(base, cgroup, file))
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// cgroups lists what there is below the box's root, and the root. A slice that was started stays, empty, until it is
// stopped; that is no leftover.
func (b *box) cgroups() []string {
	var out []string
	roots := []string{cgroupMount}
	if !unified() {
		var err error
		if roots, err = filepath.Glob(cgroupMount + "/*"); err != nil {
			b.t.Error(err)
		}
	}
	for _, root := range roots {
		top := filepath.Join(root, b.cgroupRoot())
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && (path != top || !systemdCgroups()) {
				out = append(out, path)
			}
			return nil
		})
		if err != nil {
			b.t.Error(err)
		}
	}
	return out
}

// stopSlices ends the box's slices with all that is in them.
func (b *box) stopSlices() {
	if !systemdCgroups() {
		return
	}
	if out, err := exec.Command("systemctl", "stop", b.slice("")).CombinedOutput(); err != nil {
		b.t.Errorf("systemctl stop: %v: %s", err, out)
	}
}

// differs says how a file of a cgroup differs from what it should hold.
func (b *box) differs(cgroup, controller, file, want string) error {
	if got := b.cgroupFile(cgroup, controller, file); got != want {
		return fmt.Errorf("%s/%s is %s, not %s", cgroup, file, got, want)
	}
	return nil
}
