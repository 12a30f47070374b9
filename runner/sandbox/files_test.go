package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/resolver"
	"github.com/solopod/solopod/runner/tmpfs"
)

// message is where container c writes its termination message.
func (l *lab) message(pod *v1.Pod, attempt int) string {
	return TerminationFile(l.Dirs, string(pod.UID), "c", attempt)
}

// all are the files that a pod's containers can write to.
func (l *lab) all(pod *v1.Pod) map[string]string {
	out := l.Files(pod)
	out["message"] = l.message(pod, 0)
	return out
}

// What is written to a pod's files is bounded, and takes nothing from the state directory.
func TestFilesAreBounded(t *testing.T) {
	l := newLab(t)
	pod := testbox.Pod(t, "fills", "containers: [{name: c, image: app}]")
	l.setUp(pod, state.Grant{})
	if got := l.Attach(t.Context(), plan.Attach{Pod: pod}); got.Problem.Failed() {
		t.Fatalf("%+v", got)
	}
	var st unix.Stat_t
	if err := unix.Stat(l.Dirs.States(), &st); err != nil {
		t.Fatal(err)
	}
	outside := st.Dev
	write(t, l.message(pod, 0), "", 0o666)
	for inside, path := range l.all(pod) {
		if err := unix.Stat(path, &st); err != nil || st.Dev == outside {
			t.Errorf("%s lies in the state directory's file system, %v", inside, err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		var n int64
		for err == nil && n <= 2*filesSize {
			var wrote int
			wrote, err = f.Write(make([]byte, 64<<10))
			n += int64(wrote)
		}
		if !errors.Is(err, unix.ENOSPC) || n > filesSize {
			t.Errorf("%s took %d bytes: %v", inside, n, err)
		}
		f.Close()
	}
	if got := l.files(pod).usage() + l.files(pod).messageUsage("c", 0); got < filesSize/2 || got > filesSize {
		t.Errorf("they take up %d bytes", got)
	}
	// The next attempt has its file nevertheless, and the pod what it needs.
	write(t, l.message(pod, 1), "", 0o666)
	if !l.HasFiles(pod) {
		t.Error("the files count as lost")
	}
	l.clear(pod)
}

// asEarlier makes of a pod's sandbox what an earlier version would have made: the files lie in its state directory.
func (l *lab) asEarlier(pod *v1.Pod) (old map[string]string) {
	l.t.Helper()
	old = map[string]string{}
	dir := l.Dirs.StateDir(string(pod.UID))
	for inside, path := range l.Files(pod) {
		old[inside] = filepath.Join(dir, filepath.Base(path))
		write(l.t, old[inside], read(l.t, path), 0o644)
	}
	if err := errors.Join(tmpfs.Unmount(l.Dirs.Files(string(pod.UID))), os.Remove(l.Dirs.Files(string(pod.UID)))); err != nil {
		l.t.Fatal(err)
	}
	return old
}

// A pod of an earlier version goes on with its files, gets the new ones beside, and is cleared.
func TestFilesOfEarlierVersion(t *testing.T) {
	l := newLab(t)
	machine := filepath.Join(testbox.Dir(t), "resolv.conf")
	write(t, machine, "nameserver 192.0.2.1\n", 0o644)
	l.Resolver = resolver.New(machine)
	pod := testbox.Pod(t, "earlier", "containers: [{name: c, image: app}]")
	l.setUp(pod, state.Grant{})
	a := l.Attach(t.Context(), plan.Attach{Pod: pod}).Attachment
	old := l.asEarlier(pod)
	if got := l.Files(pod)["/etc/hosts"]; got != old["/etc/hosts"] || !l.HasFiles(pod) {
		t.Errorf("before anybody has looked at it its hosts are %s", got)
	}
	if got, want := l.message(pod, 1), l.Dirs.OldTerminationFile(string(pod.UID), "c", 1); got != want {
		t.Errorf("its message is %s, not %s", got, want)
	}
	write(t, old["/etc/hosts"], "10.0.0.1 changed\n", 0o644) // by a container
	w := plan.FindSandbox{Pod: pod, Network: &a, SameBoot: true}
	for range 2 {
		if found := l.Find(t.Context(), w); !found.Complete {
			t.Fatalf("%+v", found)
		}
		files := l.Files(pod)
		if got := read(t, files["/etc/hosts"]); files["/etc/hosts"] == old["/etc/hosts"] || got != "10.0.0.1 changed\n" {
			t.Errorf("%s is %q", files["/etc/hosts"], got)
		}
	}
	write(t, machine, "nameserver 192.0.2.2\n", 0o644)
	if got := l.ShowResolver(t.Context(), plan.ShowResolver{Pod: pod, Resolver: "r2"}); got.Problem.Failed() {
		t.Errorf("%+v", got)
	}
	for _, path := range []string{old["/etc/resolv.conf"], l.Files(pod)["/etc/resolv.conf"]} {
		if got := read(t, path); !strings.Contains(got, "192.0.2.2") {
			t.Errorf("%s is %q", path, got)
		}
	}
	write(t, l.Dirs.OldTerminationFile(string(pod.UID), "c", 0), strings.Repeat("x", 8<<10), 0o666)
	if got := l.files(pod).messageUsage("c", 0); got < 8<<10 {
		t.Errorf("an old message takes up %d bytes", got)
	}
	l.clear(pod)
}

// One that cannot be given a file system of its own runs on with what it has.
func TestFilesStay(t *testing.T) {
	l := newLab(t)
	pod := testbox.Pod(t, "stays", "containers: [{name: c, image: app}]")
	l.setUp(pod, state.Grant{})
	a := l.Attach(t.Context(), plan.Attach{Pod: pod}).Attachment
	old := l.asEarlier(pod)
	write(t, l.Dirs.Files(string(pod.UID)), "", 0o600) // in the way
	if found := l.Find(t.Context(), plan.FindSandbox{Pod: pod, Network: &a, SameBoot: true}); !found.Complete || l.Files(pod)["/etc/hosts"] != old["/etc/hosts"] || !l.HasFiles(pod) {
		t.Errorf("%+v, and its hosts are %s", found, l.Files(pod)["/etc/hosts"])
	}
	l.clear(pod)
}

// A set-up that was cut off behind the mount leaves nothing that a clear does not take away, also when nobody knows the pod any more.
func TestFilesOfCutOffSetUp(t *testing.T) {
	l := newLab(t)
	for name, text := range map[string]string{"known": "containers: [{name: c, image: app}]", "unknown": ""} {
		pod := testbox.Pod(t, name, text)
		if err := mountFiles(l.Dirs.Files(string(pod.UID))); err != nil {
			t.Fatal(err)
		}
		if l.HasFiles(pod) {
			t.Errorf("%s: files that were not made count as there", name)
		}
		l.clear(pod)
	}
}
