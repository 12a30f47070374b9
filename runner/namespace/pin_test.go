package namespace

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// The mount that namespaces are pinned in goes when nothing is pinned there, and only if it was made for that.
func TestLeaveDir(t *testing.T) {
	held := t.TempDir()
	through := filepath.Join(t.TempDir(), "link") // as /var/run is one
	if err := errors.Join(
		unix.Mount(held, held, "", unix.MS_BIND, ""), // private, whatever the machine's mounts are
		unix.Mount("", held, "", unix.MS_PRIVATE, ""),
		os.Symlink(held, through),
	); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(held, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(through, "pods")
	mounts := func(want int, when string) {
		t.Helper()
		list, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(filepath.Join(held, "pods")))
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != want {
			t.Fatalf("%s there are %d mounts, not %d", when, len(list), want)
		}
	}
	prepare := func() {
		t.Helper()
		if err := PrepareDir(dir); err != nil {
			t.Fatal(err)
		}
	}
	leave := func() {
		t.Helper()
		if err := LeaveDir(dir); err != nil {
			t.Fatal(err)
		}
	}

	prepare()
	prepare()
	mounts(1, "after two starts")
	ns, err := Pin(filepath.Join(dir, "ns"), "host", Share{})
	if err != nil {
		t.Fatal(err)
	}
	leave()
	mounts(1, "while a namespace is pinned")
	if !isPinned(ns.Network) {
		t.Fatal("the namespace is not pinned any more")
	}
	if err := Unpin(filepath.Join(dir, "ns")); err != nil {
		t.Fatal(err)
	}
	leave()
	mounts(0, "after the last namespace")
	leave()
	mounts(0, "after a second end")

	if err := errors.Join(unix.Mount("disk", dir, "tmpfs", 0, "size=64k"), unix.Mount("", dir, "", unix.MS_PRIVATE, "")); err != nil {
		t.Fatal(err)
	}
	prepare()
	leave()
	mounts(1, "with a file system of somebody else")
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
}
