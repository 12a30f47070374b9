package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

func extract(t *testing.T, dir, rename string, r *bytes.Buffer) error {
	t.Helper()
	to, err := foreign.OpenDir(dir, foreign.Beneath)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	return Extract(to, r, rename)
}

// What is packed comes out the same, under its own name or another.
func TestPackAndExtract(t *testing.T) {
	from := filepath.Join(t.TempDir(), "tree")
	if err := os.MkdirAll(filepath.Join(from, "sub"), 0o750); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"a": "one", "sub/b": strings.Repeat("x", 1<<17), "empty": ""} {
		if err := os.WriteFile(filepath.Join(from, name), []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("sub/b", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	for rename, top := range map[string]string{"": "tree", "other": "other"} {
		var packed bytes.Buffer
		if err := Pack(&packed, from, "tree"); err != nil {
			t.Fatal(err)
		}
		to := t.TempDir()
		if err := extract(t, to, rename, &packed); err != nil {
			t.Fatal(err)
		}
		for name, size := range map[string]int{"a": 3, "sub/b": 1 << 17, "empty": 0, "link": 1 << 17} {
			content, err := os.ReadFile(filepath.Join(to, top, name))
			if err != nil || len(content) != size {
				t.Errorf("%s/%s: %d bytes, %v", top, name, len(content), err)
			}
		}
		if st, err := os.Stat(filepath.Join(to, top, "a")); err != nil || st.Mode().Perm() != 0o640 {
			t.Errorf("the mode: %v, %v", st, err)
		}
	}
}

// Nothing is written beside the directory, whatever the archive says.
func TestExtractStaysInside(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	file := func(name string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: 1}
	}
	link := func(name, target string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}
	}
	for what, headers := range map[string][]tar.Header{
		"up": {file("../x")}, "up within": {file("a/../../x")}, "absolute": {file(outside + "/x")},
		"through a link": {link("a", outside), file("a/x")}, "through two": {link("a", ".."), link("b", "a"), file("b/x")}, "onto a link": {link("x", outside+"/x"), file("x")},
	} {
		var packed bytes.Buffer
		out := tar.NewWriter(&packed)
		for _, h := range headers {
			if err := out.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if h.Size > 0 {
				if _, err := out.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		inside := filepath.Join(filepath.Dir(outside), "inside", what)
		if err := os.MkdirAll(inside, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := extract(t, inside, "", &packed); err == nil {
			t.Errorf("%s: no error", what)
		}
		if left, err := filepath.Glob(outside + "/*"); err != nil || len(left) > 0 {
			t.Errorf("%s: %v, %v", what, left, err)
		}
	}
	if err := extract(t, t.TempDir(), "", bytes.NewBufferString(strings.Repeat("no archive", 100))); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("no archive: %v", err)
	}
}

// A sparse file, which a few bytes describe, is not written out.
func TestExtractSparse(t *testing.T) {
	for _, form := range []string{"gnu", "posix --sparse-version=1.0", "posix --sparse-version=0.1", "posix --sparse-version=0.0"} {
		from, to := t.TempDir(), t.TempDir()
		if err := os.WriteFile(filepath.Join(from, "large"), []byte("a few"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(from, "large"), 1<<40); err != nil {
			t.Fatal(err)
		}
		packed, err := exec.Command("tar", append(strings.Fields("--format="+form), "--sparse", "-C", from, "-c", "large")...).Output()
		if err != nil || len(packed) > 1<<20 {
			t.Fatalf("%s: %d bytes, %v", form, len(packed), err)
		}
		if err := extract(t, to, "", bytes.NewBuffer(packed)); err == nil || !strings.Contains(err.Error(), `"large" of the archive is a sparse file`) {
			t.Errorf("%s: %v", form, err)
		}
		if left, err := os.ReadDir(to); err != nil || len(left) > 0 {
			t.Errorf("%s: %v, %v", form, left, err)
		}
	}
}

// The rights of a process are its user's and those of all of its groups, and of no group of this process.
func TestGroups(t *testing.T) {
	shared := filepath.Join(t.TempDir(), "shared")
	for dir := filepath.Dir(shared); dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(shared, 0o700), os.Chmod(shared, 0o770)); err != nil { // whatever the umask
		t.Fatal(err)
	}
	for group, want := range map[int]error{4321: nil, 0: fs.ErrPermission} {
		if err := os.Chown(shared, 0, group); err != nil {
			t.Fatal(err)
		}
		process := exec.Command("sleep", "600")
		process.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000, Groups: []uint32{7, 4321}}}
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			process.Process.Kill() //nolint:errcheck // it sleeps
			process.Wait()         //nolint:errcheck // it was killed
		})
		var packed bytes.Buffer
		source := filepath.Join(t.TempDir(), "a")
		if err := os.WriteFile(source, []byte("one"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Pack(&packed, source, "a"); err != nil {
			t.Fatal(err)
		}
		c := Container{Pid: uint32(process.Process.Pid)}
		if err := c.Write(shared, &packed); !errors.Is(err, want) {
			t.Errorf("written into a directory of group %d: %v, not %v", group, err, want)
		}
		if err := c.Read(shared, io.Discard); !errors.Is(err, want) {
			t.Errorf("a directory of group %d is read: %v, not %v", group, err, want)
		}
	}
	if groups, err := os.Getgroups(); err != nil || slices.Contains(groups, 4321) {
		t.Errorf("this process has the groups %v, %v", groups, err)
	}
}

// The rights and the root directory are those of the process: here this one's own.
func TestContainer(t *testing.T) {
	dir := t.TempDir()
	c := Container{Pid: uint32(os.Getpid())}
	var packed bytes.Buffer
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Read(filepath.Join(dir, "a"), &packed); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(filepath.Join(dir, "b"), &packed); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "b")); err != nil || string(got) != "one" {
		t.Errorf("%q, %v", got, err)
	}
	if err := c.Read("/proc/self/root", &packed); err == nil {
		t.Error("a magic link was followed")
	}
	if err := c.Read(dir+"/none", &packed); !os.IsNotExist(err) {
		t.Errorf("what is not there: %v", err)
	}
	if err := (Container{Pid: 1 << 30}).Read("/", &packed); err == nil {
		t.Error("a process that does not exist")
	}
}

// A FIFO or a device that a container has planted is neither read nor written, and nobody waits for it.
func TestPlanted(t *testing.T) {
	dir := t.TempDir()
	plant := func(name string, mode uint32, dev uint64) {
		if err := unix.Mknod(filepath.Join(dir, name), mode|0o666, int(dev)); err != nil {
			t.Fatal(err)
		}
	}
	plant("fifo", unix.S_IFIFO, 0)
	plant("char", unix.S_IFCHR, unix.Mkdev(1, 5))
	plant("block", unix.S_IFBLK, unix.Mkdev(7, 200))
	if err := errors.Join(os.Symlink("fifo", filepath.Join(dir, "link")), os.WriteFile(filepath.Join(dir, "file"), []byte("one"), 0o600)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c := Container{Pid: uint32(os.Getpid())}
		for _, name := range []string{"fifo", "char", "block", "link"} {
			var packed bytes.Buffer
			if err := Pack(&packed, filepath.Join(dir, "file"), name); err != nil {
				t.Error(err)
			}
			for what, err := range map[string]error{
				"read":             c.Read(filepath.Join(dir, name), io.Discard),
				"packed":           Pack(io.Discard, filepath.Join(dir, name), "x"),
				"written over":     c.Write(filepath.Join(dir, name), bytes.NewReader(packed.Bytes())),
				"written into dir": c.Write(dir, bytes.NewReader(packed.Bytes())),
			} {
				if !errors.Is(err, foreign.ErrNotRegular) || strings.Contains(err.Error(), "/proc/") {
					t.Errorf("%s, %s: %v", name, what, err)
				}
			}
		}
		var packed bytes.Buffer
		if err := c.Read(dir, &packed); err != nil {
			t.Error(err)
		}
		var names []string
		for in := tar.NewReader(&packed); ; {
			h, err := in.Next()
			if err != nil {
				break
			}
			names = append(names, path.Base(h.Name))
		}
		slices.Sort(names)
		if got, want := strings.Join(names, " "), path.Base(dir)+" file link"; got != want {
			t.Errorf("of the directory come %q, want %q", got, want)
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it waits")
	}
}
