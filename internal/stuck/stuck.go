// Package stuck makes things that do not answer or have no room, for tests: a disk that is frozen, or small, a pipe that is full.
package stuck

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Disk mounts an empty ext4 of 4 MiB at root and returns how it is frozen: who writes to it waits until thaw is called, or the test
// has ended. It is unmounted with the test.
func Disk(t *testing.T, root string) (freeze, thaw func()) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk")
	if out, err := exec.Command("sh", "-ec", "truncate -s 4M $0; mke2fs -q -t ext4 $0; mount -o loop $0 $1", image, root).CombinedOutput(); err != nil {
		t.Fatalf("cannot mount a disk of its own: %v\n%s", err, out)
	}
	dir, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(errors.Join(err, unix.Unmount(root, unix.MNT_DETACH)))
	}
	frozen := false
	set := func(request uint, to bool) {
		t.Helper()
		if err := unix.IoctlSetInt(dir, request, 0); err != nil {
			t.Fatal(err)
		}
		frozen = to
	}
	const toFreeze, toThaw = 0xC0045877, 0xC0045878 // FIFREEZE, FITHAW of linux/fs.h
	t.Cleanup(func() {
		var err error
		if frozen {
			err = unix.IoctlSetInt(dir, toThaw, 0)
		}
		if err := errors.Join(err, unix.Close(dir), unix.Unmount(root, unix.MNT_DETACH)); err != nil {
			t.Error(err)
		}
	})
	return func() { set(toFreeze, true) }, func() { set(toThaw, false) }
}

// Pipe returns a pipe that takes nothing more: to write to it waits. size is how many bytes are in it. The read end takes deadlines.
// It is closed with the test, and a write that still waits fails then; the write end is the caller's.
func Pipe(t *testing.T) (r, w *os.File, size int) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil { // deadlines need it
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(fds[0]), "read end"), os.NewFile(uintptr(fds[1]), "write end")
	t.Cleanup(func() { r.Close() }) //nolint:errcheck // the test may have closed it
	if err := unix.SetNonblock(fds[1], true); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := unix.Write(fds[1], make([]byte, 4096))
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		size += n
	}
	if err := unix.SetNonblock(fds[1], false); err != nil {
		t.Fatal(err)
	}
	return r, w, size
}

// Small mounts an empty file system of so many KiB, which is soon full, and returns where. It is unmounted with the test, and must not be
// in use then.
func Small(t *testing.T, kib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dk", kib)); err != nil {
		t.Fatalf("cannot mount a tmpfs (these tests run as root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH)))
		}
	})
	return dir
}

// Fill leaves no room on the file system of a directory, until free is called.
func Fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "fill")
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // what is in it does not matter
	for err == nil {
		_, err = unix.Write(fd, make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// FileSystem mounts at dir a file system that answers nothing, as one of the network whose server is gone: who looks at what lies
// there waits until answer is called, and gets an error then, or until the test has ended.
func FileSystem(t *testing.T, dir string) (answer func()) {
	t.Helper()
	server, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("the kernel has no FUSE: ", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", server)
	if err := unix.Mount("stuck", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		t.Fatal(errors.Join(fmt.Errorf("cannot mount a file system of its own: %w", err), unix.Close(server)))
	}
	answer = sync.OnceFunc(func() {
		if err := errors.Join(unix.Close(server), unix.Unmount(dir, unix.MNT_DETACH)); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(answer)
	return answer
}
