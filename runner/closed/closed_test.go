package closed

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// mkdir makes a directory of exactly this mode.
func mkdir(t *testing.T, path string, mode uint32) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func modeOf(t *testing.T, path string) uint32 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Mode & 0o7777
}

func TestRepair(t *testing.T) {
	base := t.TempDir()
	top := mkdir(t, filepath.Join(base, "pods"), 0o1777)
	pod := mkdir(t, filepath.Join(top, "uid"), 0o711)
	volumes := mkdir(t, filepath.Join(pod, "volumes"), 0o770)
	volume := mkdir(t, filepath.Join(volumes, "data"), 0o777)
	owned := mkdir(t, filepath.Join(top, "owned"), 0o700)
	if err := os.Chown(owned, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	fine := mkdir(t, filepath.Join(top, "fine"), 0o700)
	elsewhere := mkdir(t, filepath.Join(base, "elsewhere"), 0o755)
	if err := os.Symlink(elsewhere, filepath.Join(top, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(top, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	mounted := mkdir(t, filepath.Join(pod, "shm"), 0o711)
	if err := unix.Mount("shm", mounted, "tmpfs", 0, "mode=1777"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(mounted, unix.MNT_DETACH) }) //nolint:errcheck // it is a test's
	bound := mkdir(t, filepath.Join(pod, "bound"), 0o711)
	if err := unix.Mount(elsewhere, bound, "", unix.MS_BIND, ""); err != nil { // of the same file system
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(bound, unix.MNT_DETACH) }) //nolint:errcheck // it is a test's

	report := Repair(context.Background(), Dir{Path: top, Levels: 2}, Dir{Path: filepath.Join(base, "none")})
	if len(report.Failed) > 0 {
		t.Errorf("failed: %v", report.Failed)
	}
	if report.Repaired[0] != top+" (mode 1777)" {
		t.Errorf("%q is told first", report.Repaired[0])
	}
	slices.Sort(report.Repaired)
	want := []string{top + " (mode 1777)", owned + " (mode 0700, of user 65534)", pod + " (mode 0711)", volumes + " (mode 0770)"}
	slices.Sort(want)
	if !slices.Equal(report.Repaired, want) {
		t.Errorf("repaired are %q, not %q", report.Repaired, want)
	}
	for path, mode := range map[string]uint32{top: 0o700, pod: 0o700, volumes: 0o700, volume: 0o777, owned: 0o700, fine: 0o700, elsewhere: 0o755, mounted: 0o1777, bound: 0o755} {
		if got := modeOf(t, path); got != mode {
			t.Errorf("%s has mode %o, not %o", path, got, mode)
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(owned, &st); err != nil || st.Uid != 0 || st.Gid != 0 {
		t.Errorf("%s is of %d:%d, %v", owned, st.Uid, st.Gid, err)
	}
	if again := Repair(context.Background(), Dir{Path: top, Levels: 2}); len(again.Repaired)+len(again.Failed) > 0 {
		t.Errorf("once more: %+v", again)
	}
}

// The directories that the operator names may be seen by others, and are where links lead.
func TestPassed(t *testing.T) {
	base := t.TempDir()
	root, link := filepath.Join(base, "disk"), filepath.Join(base, "root")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[uint32]uint32{0o711: 0o711, 0o755: 0o755, 0o700: 0o700, 0o775: 0o711, 0o1777: 0o711} {
		mkdir(t, root, mode)
		report := Repair(context.Background(), Dir{Path: link, Passed: true})
		if got := modeOf(t, root); got != want || len(report.Failed) > 0 || (len(report.Repaired) > 0) != (mode != want) {
			t.Errorf("%o became %o: %+v", mode, got, report)
		}
	}
}

// What a link leads to is not changed: somebody may have put the link there. It is told.
func TestLink(t *testing.T) {
	base := t.TempDir()
	elsewhere, link := mkdir(t, filepath.Join(base, "elsewhere"), 0o755), filepath.Join(base, "pods")
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	report := Repair(context.Background(), Dir{Path: link, Levels: 2})
	if len(report.Repaired) > 0 || len(report.Failed) != 1 || !strings.Contains(report.Failed[0].Error(), link+" is a link") || modeOf(t, elsewhere) != 0o755 {
		t.Errorf("%+v, mode %o", report, modeOf(t, elsewhere))
	}
	mkdir(t, elsewhere, 0o700)
	if report := Repair(context.Background(), Dir{Path: link, Levels: 2}); len(report.Repaired)+len(report.Failed) > 0 {
		t.Errorf("a closed one: %+v", report)
	}
}

func TestRepairEnds(t *testing.T) {
	top := mkdir(t, filepath.Join(t.TempDir(), "pods"), 0o755)
	below := mkdir(t, filepath.Join(top, "uid"), 0o755)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if report := Repair(ctx, Dir{Path: top, Levels: 2}); len(report.Failed) != 1 || modeOf(t, top) != 0o700 || modeOf(t, below) != 0o755 {
		t.Errorf("%+v", report)
	}
}
