package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/internal/stuck"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/reference"
)

// soon fails the test when f does not return.
func soon(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it waits")
	}
}

// A FIFO where a pod wants a file or a directory is told, whatever the type, and nobody waits for it.
func TestHostPathFIFO(t *testing.T) {
	dir := t.TempDir()
	fifo, link := filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	if err := errors.Join(unix.Mkfifo(fifo, 0o644), os.Symlink("fifo", link), os.Symlink("none", filepath.Join(dir, "dangling"))); err != nil {
		t.Fatal(err)
	}
	m := Manager{Root: t.TempDir(), State: t.TempDir(), Claims: t.TempDir()}
	for _, kind := range []v1.HostPathType{v1.HostPathDirectoryOrCreate, v1.HostPathDirectory, v1.HostPathFileOrCreate, v1.HostPathFile, v1.HostPathSocket, v1.HostPathCharDev, v1.HostPathBlockDev} {
		for _, path := range []string{fifo, link} {
			soon(t, func() {
				err := m.SetUp(&v1.Pod{Spec: v1.PodSpec{Volumes: []v1.Volume{hostPath(path, kind)}}}, nil, nil)
				if err == nil || kind != v1.HostPathDirectoryOrCreate && !strings.Contains(err.Error(), "is a FIFO") {
					t.Errorf("type %s, %s: %v", kind, filepath.Base(path), err)
				}
			})
		}
	}
	err := m.SetUp(&v1.Pod{Spec: v1.PodSpec{Volumes: []v1.Volume{hostPath(filepath.Join(dir, "dangling"), v1.HostPathFileOrCreate)}}}, nil, nil)
	if _, statErr := os.Lstat(filepath.Join(dir, "none")); err == nil || !errors.Is(statErr, fs.ErrNotExist) {
		t.Errorf("a file was made where a link leads: %v, %v", err, statErr)
	}
}

// The group gets what is in the volume: not what links lead to, not what is mounted there, and nothing is opened.
func TestGiveToGroup(t *testing.T) {
	base := t.TempDir()
	volume, outside := filepath.Join(base, "volume"), filepath.Join(base, "outside")
	at := func(name string) string { return filepath.Join(volume, name) }
	for _, dir := range []string{outside, at("dir"), at("mount")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{filepath.Join(outside, "file"), at("dir/file")} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(unix.Mkfifo(at("dir/fifo"), 0o600), os.Symlink(outside, at("link")), os.Symlink(filepath.Join(outside, "file"), at("dir/link")),
		unix.Mount(outside, at("mount"), "", unix.MS_BIND, "")); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(at("mount"), unix.MNT_DETACH) //nolint:errcheck // it is mounted
	soon(t, func() {
		if err := giveToGroup(volume, 4321, false); err != nil {
			t.Error(err)
		}
	})
	for path, want := range map[string]struct {
		gid  uint32
		mode uint32
	}{
		volume: {4321, 0o2770}, at("dir"): {4321, 0o2770}, at("dir/file"): {4321, 0o660}, at("dir/fifo"): {4321, 0o660},
		at("link"): {4321, 0o777}, outside: {0, 0o700}, filepath.Join(outside, "file"): {0, 0o600},
	} {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil || st.Gid != want.gid || want.mode&0o770 != st.Mode&0o770 || want.mode&0o2000 != st.Mode&0o2000 {
			t.Errorf("%s is %o of group %d, %v; want %o of %d", path, st.Mode, st.Gid, err, want.mode, want.gid)
		}
	}
	if err := os.Chmod(at("dir/file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for onlyIfRootDiffers, want := range map[bool]os.FileMode{true: 0o600, false: 0o660} {
		if err := errors.Join(os.Chmod(at("dir/file"), 0o600), giveToGroup(volume, 4321, onlyIfRootDiffers)); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(at("dir/file")); err != nil || info.Mode() != want {
			t.Errorf("only if the root differs: %v: %v, %v", onlyIfRootDiffers, info.Mode(), err)
		}
	}
}

// labelOf is a file's label, or a link's own; empty when it has none.
func labelOf(t *testing.T, path string) string {
	t.Helper()
	value := make([]byte, 256)
	n, err := unix.Lgetxattr(path, labelAttribute, value)
	if err != nil && !errors.Is(err, unix.ENODATA) {
		t.Fatal(err)
	}
	return strings.TrimRight(string(value[:max(n, 0)]), "\x00")
}

// All of a volume gets the label, links themselves too: not what they lead to, and not what is mounted there.
func TestLabel(t *testing.T) {
	base := t.TempDir()
	at := func(name string) string { return filepath.Join(base, name) }
	if err := errors.Join(os.MkdirAll(at("outside"), 0o700), os.MkdirAll(at("volume/dir"), 0o700), os.Mkdir(at("volume/mount"), 0o700), os.WriteFile(at("outside/file"), nil, 0o600),
		os.WriteFile(at("volume/dir/file"), nil, 0o600), unix.Mkfifo(at("volume/dir/fifo"), 0o600), os.Symlink(at("outside/file"), at("volume/dir/link")), os.Symlink(at("outside"), at("volume/link")),
		unix.Mount(at("outside"), at("volume/mount"), "", unix.MS_BIND, "")); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(at("volume/mount"), unix.MNT_DETACH) //nolint:errcheck // it is mounted
	const label = "system_u:object_r:container_file_t:s0:c1,c2"
	before := labelOf(t, at("outside/file")) // of a machine with SELinux
	soon(t, func() {
		if err := Label(at("volume"), label); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"volume", "volume/dir", "volume/dir/file", "volume/dir/fifo", "volume/dir/link", "volume/link"} {
		if got := labelOf(t, at(name)); got != label {
			t.Errorf("%s has the label %q", name, got)
		}
	}
	for _, name := range []string{"outside", "outside/file", "volume/mount"} {
		if got := labelOf(t, at(name)); got != before {
			t.Errorf("%s has the label %q", name, got)
		}
	}
}

// Whoever swaps a directory for a link while a volume is gone through does not have a file elsewhere changed or removed.
func TestSwappedMeanwhile(t *testing.T) {
	const label, group = "system_u:object_r:container_file_t:s0:c3,c4", 4321
	outside := t.TempDir()
	file := filepath.Join(outside, "inner", "file")
	if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o700), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	before := labelOf(t, file)
	for what, walk := range map[string]func(volume string) error{
		"group":  func(volume string) error { return giveToGroup(volume, group, false) },
		"label":  func(volume string) error { return Label(volume, label) },
		"remove": foreign.RemoveAll,
	} {
		t.Run(what, func(t *testing.T) {
			base := t.TempDir()
			for round := range 150 {
				volume := filepath.Join(base, strconv.Itoa(round))
				at := func(name string) string { return filepath.Join(volume, name) }
				err := errors.Join(os.MkdirAll(at("a/inner"), 0o700), os.WriteFile(at("a/inner/file"), nil, 0o600), os.Symlink(outside, at("b")),
					os.MkdirAll(at("d/inner"), 0o700), os.WriteFile(at("d/inner/file"), nil, 0o600), os.Symlink(filepath.Dir(file), at("c")))
				if err != nil {
					t.Fatal(err)
				}
				stop, stopped := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(stopped)
					for {
						select {
						case <-stop:
							return
						default: // they may be gone
							unix.Renameat2(unix.AT_FDCWD, at("a"), unix.AT_FDCWD, at("b"), unix.RENAME_EXCHANGE)       //nolint:errcheck // see above
							unix.Renameat2(unix.AT_FDCWD, at("d/inner"), unix.AT_FDCWD, at("c"), unix.RENAME_EXCHANGE) //nolint:errcheck // see above
						}
					}
				}()
				if err := walk(volume); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
				}
				close(stop)
				<-stopped
				var st unix.Stat_t
				if err := unix.Lstat(file, &st); err != nil || st.Gid != 0 || st.Mode&0o777 != 0o600 {
					t.Fatalf("round %d: the file elsewhere is %o of group %d, %v", round, st.Mode, st.Gid, err)
				}
				if got := labelOf(t, file); got != before {
					t.Fatalf("round %d: the file elsewhere has the label %q", round, got)
				}
			}
		})
	}
}

// What was mounted into volumes is unmounted when they go, and stays as it is where it comes from.
func TestTearDownMounts(t *testing.T) {
	m := Manager{Root: testbox.Dir(t), State: testbox.Dir(t), Claims: t.TempDir()}
	resolved := m.Root
	m.Root = filepath.Join(t.TempDir(), "link") // an operator may have moved it
	precious := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(precious, "file"), nil, 0o600), os.Mkdir(filepath.Join(precious, "inner"), 0o755), os.Symlink(resolved, m.Root)); err != nil {
		t.Fatal(err)
	}
	pod := &v1.Pod{}
	pod.UID = "u"
	pod.Spec.Volumes = []v1.Volume{
		{Name: "disk", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}},
		{Name: "memory", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}}},
	}
	pod.Spec.SecurityContext = &v1.PodSecurityContext{FSGroup: ptr.To[int64](4321)}
	if err := m.SetUp(pod, nil, nil); err != nil {
		t.Fatal(err)
	}
	for name, path := range m.Find(pod) {
		share := filepath.Join(path, "share")
		if err := os.MkdirAll(share, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			unix.Mount(precious, share, "", unix.MS_BIND, ""), unix.Mount("tmpfs", share, "tmpfs", 0, "size=64k"), // one above the other
			unix.Mount(precious, share, "", unix.MS_BIND, ""), unix.Mount("tmpfs", filepath.Join(share, "inner"), "tmpfs", 0, "size=64k"), // one in the other
		} {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	soon(t, func() {
		for range 2 {
			if err := m.TearDown("u"); err != nil {
				t.Error(err)
			}
		}
	})
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), resolved) || strings.Contains(string(mounts), m.State) {
		t.Errorf("something is still mounted: %v", err)
	}
	if _, err := os.Stat(filepath.Join(precious, "file")); err != nil {
		t.Errorf("what was mounted is removed: %v", err)
	}
	for _, dir := range []string{m.diskDir("u"), m.memoryDir("u"), m.imageDir("u"), m.filledDir("u")} {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	}
}

// The directory of a filled volume may be written to by others: what they put there is replaced, and leads nowhere.
func TestFillAmongForeignFiles(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	for name, err := range map[string]error{
		"file":      os.WriteFile(filepath.Join(dir, "file"), []byte("planted"), 0o600),
		"directory": os.Mkdir(filepath.Join(dir, "directory"), 0o755),
		"link":      os.Symlink(outside, filepath.Join(dir, "link")),
		"fifo":      unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
		"new link":  os.Symlink(outside, filepath.Join(dir, newDataLink)),
	} {
		if err != nil {
			t.Fatal(name, err)
		}
	}
	files := map[string]reference.File{"file": {Data: []byte("1"), Mode: 0o644}, "directory": {Data: []byte("2"), Mode: 0o644}, "link/x": {Data: []byte("3"), Mode: 0o644}}
	soon(t, func() {
		for range 2 {
			if err := fill(dir, files, nil); err != nil {
				t.Error(err)
			}
			if got, want := show(t, dir), "directory=2 file=1 link/(x=3)"; got != want {
				t.Errorf("it shows %q, want %q", got, want)
			}
		}
	})
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("a link was followed: %v, %v", left, err)
	}
}

// A claim whose data lie on a file system of their own is not removed: it is somebody's.
func TestRemoveMountedClaim(t *testing.T) {
	m := Manager{Claims: t.TempDir()}
	c, err := m.claim("n", "data")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", c.Path, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(c.Path, unix.MNT_DETACH) //nolint:errcheck // it is mounted
	if err := os.WriteFile(filepath.Join(c.Path, "kept"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.RemoveClaim("n", "data"); !errors.Is(err, foreign.ErrMounted) {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(c.Path, "kept")); err != nil {
		t.Error(err)
	}
}

// sharedTree is a mount as systemd makes them, which tells its copies of what is mounted and unmounted in it, with another one inside.
func sharedTree(t *testing.T) (tree, inner string) {
	t.Helper()
	tree = testbox.Dir(t)
	inner = filepath.Join(tree, "inner")
	err := errors.Join(unix.Mount("tmpfs", tree, "tmpfs", 0, "size=64k"), unix.Mount("", tree, "", unix.MS_SHARED, ""), os.Mkdir(inner, 0o755),
		unix.Mount("tmpfs", inner, "tmpfs", 0, "size=64k"), os.WriteFile(filepath.Join(inner, "file"), nil, 0o600))
	t.Cleanup(func() {
		for range 2 {
			unix.Unmount(inner, unix.MNT_DETACH) //nolint:errcheck // it may be gone
			unix.Unmount(tree, unix.MNT_DETACH)  //nolint:errcheck // see above
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree, inner
}

// What is mounted in a directory of the machine stays mounted there when a copy of the directory goes: one that was made for a container, and
// one that a privileged container has made in its volume.
func TestUnmountedCopies(t *testing.T) {
	tree, inner := sharedTree(t)
	m := Manager{Root: testbox.Dir(t), State: testbox.Dir(t), Claims: t.TempDir()}
	stays := func(what string) {
		t.Helper()
		if _, err := os.Stat(filepath.Join(inner, "file")); err != nil {
			t.Fatalf("%s: the machine's own mount went with its copy: %v", what, err)
		}
	}
	for _, shared := range []bool{false, true} {
		at, err := m.Bind("u", "main", Bind{Name: "tree", Source: tree, Shared: shared})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(at, "inner", "file")); err != nil {
			t.Errorf("what is mounted there is not shown: %v", err)
		}
		// What the container mounts in it.
		if err := unix.Mount("tmpfs", filepath.Join(at, "inner"), "tmpfs", 0, "size=64k"); err != nil {
			t.Fatal(err)
		}
		_, err = os.Stat(filepath.Join(inner, "file"))
		if seen := err != nil; seen != shared {
			t.Errorf("a mount that is shared: %v is seen by the machine: %v", shared, seen)
		}
		if err := unix.Unmount(filepath.Join(at, "inner"), 0); err != nil {
			t.Fatal(err)
		}
		if err := m.ReleaseBinds("u", "main"); err != nil {
			t.Error(err)
		}
		stays(fmt.Sprintf("a bind, shared: %v", shared))
	}
	pod := &v1.Pod{}
	pod.UID = "u"
	pod.Spec.Volumes = []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
	if err := m.SetUp(pod, nil, nil); err != nil {
		t.Fatal(err)
	}
	share, alone := filepath.Join(m.Find(pod)["v"], "share"), filepath.Join(m.Find(pod)["v"], "alone")
	if err := errors.Join(os.Mkdir(share, 0o755), unix.Mount(tree, share, "", unix.MS_BIND|unix.MS_REC, "")); err != nil {
		t.Fatal(err)
	}
	// And one that lies in a mount which is not shared.
	in := filepath.Join(alone, "share")
	if err := errors.Join(os.Mkdir(alone, 0o755), unix.Mount("tmpfs", alone, "tmpfs", 0, "size=64k"), unix.Mount("", alone, "", unix.MS_PRIVATE, ""),
		os.Mkdir(in, 0o755), unix.Mount(tree, in, "", unix.MS_BIND|unix.MS_REC, "")); err != nil {
		t.Fatal(err)
	}
	if err := m.TearDown("u"); err != nil {
		t.Error(err)
	}
	stays("a volume")
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), m.Root) || strings.Contains(string(mounts), m.State) {
		t.Errorf("something is still mounted: %v", err)
	}
}

// A file system that does not answer, as of a server that is gone, is unmounted where a pod has it: nobody waits for it.
func TestUnmountStuck(t *testing.T) {
	server := testbox.Dir(t)
	stuck.FileSystem(t, server)
	m := Manager{Root: testbox.Dir(t), State: testbox.Dir(t), Claims: t.TempDir()}
	pod := &v1.Pod{}
	pod.UID = "u"
	pod.Spec.Volumes = []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
	if err := m.SetUp(pod, nil, nil); err != nil {
		t.Fatal(err)
	}
	share := filepath.Join(m.Find(pod)["v"], "share")
	if err := errors.Join(os.Mkdir(share, 0o755), unix.Mount(server, share, "", unix.MS_BIND, "")); err != nil {
		t.Fatal(err)
	}
	soon(t, func() {
		if err := m.TearDown("u"); err != nil {
			t.Error(err)
		}
	})
	if _, err := os.Lstat(share); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the volume is left: %v", err)
	}
}
