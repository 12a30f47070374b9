package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// Tools replace a file by removing it and creating it anew: its pod runs on.
func TestReplacedManifest(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	text := shell("stays", forever, "")
	b.apply("stays.yaml", text)
	before := b.waitReady("stays")
	b.writeFile("copy.yaml", text+"# a copy\n")
	target := b.path("manifests/stays.yaml")
	for i := range 30 {
		var err error
		switch i % 4 {
		case 0:
			err = exec.Command("install", "-m", "644", b.path("copy.yaml"), target).Run()
		case 1: // as editors do
			err = errors.Join(os.Rename(target, target+"~"), os.WriteFile(target, []byte(text), 0o644), os.Remove(target+"~"))
		case 2:
			err = errors.Join(os.Remove(target), os.WriteFile(target, []byte(text+"# again\n"), 0o644))
		case 3:
			err = os.Remove(target)
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // the pace of a slow tool, not a wait for something
			err = errors.Join(err, os.WriteFile(target, []byte(text), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// What comes after the edits is known when this is.
	b.apply("later.yaml", shell("later", forever, ""))
	b.waitReady("later")
	b.eventually("the file is active", func() error { return b.fileIs("stays.yaml", "Active") })
	after := b.waitReady("stays")
	if a, c := status(before, "main"), status(after, "main"); a.ContainerID != c.ContainerID || c.RestartCount != 0 {
		t.Error("the container did not live on")
	}
	if out := b.run("get", "events"); strings.Contains(out, "Killing") {
		t.Errorf("something was killed:\n%s", out)
	}
	b.delete("stays.yaml")
	b.waitGone("stays")
}

// nested puts the manifests directory below another one; b.path("manifests") leads there.
func (b *box) nested() {
	b.t.Helper()
	if err := errors.Join(os.MkdirAll(b.path("conf/manifests"), 0o755), os.Remove(b.path("manifests"))); err != nil {
		b.t.Fatal(err)
	}
	b.link("conf/manifests", "manifests")
	b.flags = append(b.flags, "--manifests", b.path("conf/manifests"))
}

// A directory above the manifests is swapped, something is mounted over them and taken away again: what stands there then is
// followed, and what stands there unchanged lives on.
func TestSwappedManifests(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.nested()
	b.link(imageArchive, "images/box.tar")
	b.start()
	stays := shell("stays", forever, "")
	b.apply("stays.yaml", stays)
	b.apply("goes.yaml", shell("goes", forever, ""))
	before := b.waitReady("stays")
	b.waitReady("goes")
	same := func(when string) {
		t.Helper()
		if after := b.waitReady("stays"); status(after, "main").ContainerID != status(before, "main").ContainerID {
			t.Errorf("the container did not live on when %s", when)
		}
	}
	if err := os.MkdirAll(b.path("next/manifests"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.writeFile("next/manifests/stays.yaml", stays)
	b.writeFile("next/manifests/came.yaml", shell("came", forever, ""))
	if err := errors.Join(os.Rename(b.path("conf"), b.path("old")), os.Rename(b.path("next"), b.path("conf"))); err != nil {
		t.Fatal(err)
	}
	b.waitReady("came")
	b.waitGone("goes")
	b.apply("further.yaml", shell("further", forever, ""))
	b.waitReady("further")
	same("the parent was swapped")

	if err := os.Mkdir(b.path("over"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.writeFile("over/stays.yaml", stays)
	b.writeFile("over/mounted.yaml", shell("mounted", forever, ""))
	if err := unix.Mount(b.path("over"), b.path("conf/manifests"), "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	b.waitReady("mounted")
	b.waitGone("came")
	b.writeFile("over/second.yaml", shell("second", forever, ""))
	b.waitReady("second")
	same("something was mounted over the directory")
	if err := unix.Unmount(b.path("conf/manifests"), unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	b.waitReady("came")
	b.waitGone("mounted")
	same("it was unmounted")
}

// The manifests' disk goes from over an empty directory: that is told, and the pods stay while somebody puts it back.
func TestUnmountedManifests(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.nested()
	if err := os.Mkdir(b.path("disk"), 0o755); err != nil {
		t.Fatal(err)
	}
	mount := func() {
		t.Helper()
		if err := unix.Mount(b.path("disk"), b.path("conf/manifests"), "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
	mount()
	b.link(imageArchive, "images/box.tar")
	b.start()
	t.Cleanup(func() { // before the box's own: what it writes goes below
		unix.Unmount(b.path("conf/manifests"), unix.MNT_DETACH) //nolint:errcheck // it may be unmounted
	})
	b.apply("one.yaml", shell("one", forever, ""))
	b.apply("two.yaml", shell("two", forever, ""))
	before := b.waitReady("one")
	b.waitReady("two")
	if err := unix.Unmount(b.path("conf/manifests"), unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	b.eventually("it is told", func() error { return b.directoryError("is another one than before") })
	mount()
	b.eventually("all is well", func() error {
		if got := b.manifests().DirectoryError; got != "" {
			return errors.New(got)
		}
		return nil
	})
	after := b.waitReady("one")
	if status(after, "main").ContainerID != status(before, "main").ContainerID {
		t.Error("the container did not live on")
	}
	b.waitReady("two")
}

// The machine has no inotify instance left, which each watcher needs one of: the daemon starts, goes on, and notices changes.
// Other tests need theirs, so this one runs alone.
func TestNoInotify(t *testing.T) {
	b := newBox(t, embedded)
	b.apply("stays.yaml", shell("stays", forever, ""))
	before := b.waitReady("stays")
	var taken []int
	giveBack := func() {
		for _, fd := range taken {
			unix.Close(fd) // nothing was written
		}
		taken = nil
	}
	t.Cleanup(giveBack)
	take := func() {
		t.Helper()
		for {
			fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
			if errors.Is(err, unix.EMFILE) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			taken = append(taken, fd)
		}
	}
	take()
	b.restarts("stays")
	b.crash()
	take() // what the daemon had
	b.start()
	b.apply("new.yaml", shell("new", "echo hello; "+forever, ""))
	b.waitReady("new")
	b.expectLog("new", "hello\n")
	b.delete("new.yaml")
	b.waitGone("new")
	b.healthy()
	giveBack()
	b.apply("later.yaml", shell("later", forever, ""))
	b.waitReady("later")
	if after := b.waitReady("stays"); after.UID != before.UID || status(after, "main").RestartCount != 1 {
		t.Errorf("the pod is %+v", status(after, "main"))
	}
}

// badFiles are as large as a manifest may be, and cost much memory where they are decoded without bounds.
var badFiles = map[string]string{
	"flow.yaml":    "apiVersion: v1\nkind: Pod\nspec: [" + strings.Repeat("a,", 2_090_000) + "]",
	"list.yaml":    "apiVersion: v1\nkind: Pod\nspec:\n" + strings.Repeat("- \n", 1_390_000),
	"flow.json":    `{"apiVersion":"v1","kind":"Pod","spec":[` + strings.Repeat("0,", 2_090_000) + "0]}",
	"docs.yaml":    strings.Repeat("---\n", 1_040_000),
	"objects.yaml": strings.Repeat("a: b\n---\n", 460_000),
	"nested.json":  strings.Repeat("[", 4_190_000),
}

// memory is what the daemon's status says of its memory, in bytes: VmHWM is the most it has had since forgetPeak.
func (b *box) memory(name string) int {
	b.t.Helper()
	for _, line := range strings.Split(readFile(b.t, fmt.Sprintf("/proc/%d/status", b.daemon.Process.Pid)), "\n") {
		if kib, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(kib), " kB"))
			if err != nil {
				b.t.Fatal(err)
			}
			return n << 10
		}
	}
	b.t.Fatalf("the daemon's %s is not known", name)
	return 0
}

// forgetPeak has the daemon's peak of memory count from now on (proc_pid_clear_refs(5)).
func (b *box) forgetPeak() {
	b.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", b.daemon.Process.Pid), []byte("5"), 0); err != nil {
		b.t.Fatal(err)
	}
}

// A bad file of 4 MiB costs at most 64 MB.
func TestBadFilesMemory(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.apply("stays.yaml", shell("stays", forever, ""))
	b.waitReady("stays")
	const bound = 64 << 20
	for name, text := range badFiles {
		b.forgetPeak()
		before, program := b.memory("VmRSS"), b.memory("RssFile")
		b.apply(name, text)
		b.eventually(name+" is refused", func() error { return b.fileIs(name, "Invalid") })
		// Pages of the program are given back now and then, and come again.
		program = max(b.memory("RssFile")-program, 0)
		if grown := b.memory("VmHWM") - before - program; grown > bound {
			t.Errorf("%s of %d bytes has cost %d MiB", name, len(text), grown>>20)
		}
		b.delete(name)
		b.eventually(name+" is gone", func() error {
			if err := b.fileIs(name, "Invalid"); err == nil {
				return errors.New("it is listed")
			}
			return nil
		})
	}
	b.waitPod("stays", "running on", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 0 })
}
