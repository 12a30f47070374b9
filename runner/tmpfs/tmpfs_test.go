package tmpfs

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A file system in memory comes and goes, with its options, and its absence is no error.
func TestMount(t *testing.T) {
	for name, mount := range map[string]func(source, dir string, flags uintptr, options string) error{"": Mount, "unswapped": MountUnswapped} {
		dir := filepath.Join(t.TempDir(), "dir")
		if err := Unmount(dir); err != nil {
			t.Errorf("%s: what does not exist: %v", name, err)
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := Unmount(dir); err != nil || Mounted(dir) {
			t.Errorf("%s: what is not mounted: %v, mounted %t", name, err, Mounted(dir))
		}
		if err := mount("test", dir, unix.MS_NOEXEC, "mode=0711,size=64k"); err != nil {
			t.Fatal(err)
		}
		var st unix.Statfs_t
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm() != 0o711 || !Mounted(dir) {
			t.Errorf("%s: %v, %v, mounted %t", name, info, err, Mounted(dir))
		}
		if err := unix.Statfs(dir, &st); err != nil || st.Type != unix.TMPFS_MAGIC || st.Flags&unix.ST_NOEXEC == 0 || int64(st.Blocks)*st.Bsize != 64<<10 {
			t.Errorf("%s: %+v, %v", name, st, err)
		}
		if err := Unmount(dir); err != nil || Mounted(dir) {
			t.Errorf("%s: still mounted %t, %v", name, Mounted(dir), err)
		}
		if err := mount("test", filepath.Join(dir, "none"), 0, "mode=0700"); err == nil {
			t.Errorf("%s: mounted on what does not exist", name)
		}
	}
}
