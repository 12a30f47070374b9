package volume

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/runner/reference"
)

// show lists what a reader finds: name=content, for files of one level and below.
func show(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "..") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); err != nil {
			out = append(out, e.Name()+" leads nowhere")
		} else if info.IsDir() {
			out = append(out, e.Name()+"/("+show(t, path)+")")
		} else if text, err := os.ReadFile(path); err != nil {
			t.Fatal(err)
		} else {
			out = append(out, e.Name()+"="+string(text))
		}
	}
	return strings.Join(out, " ")
}

// Each content replaces the one before as a whole; who has a file open goes on reading the old one.
func TestFill(t *testing.T) {
	dir := t.TempDir()
	file := func(text string) reference.File { return reference.File{Data: []byte(text), Mode: 0o640} }
	var held *os.File
	for i, step := range []struct {
		files map[string]reference.File
		want  string
	}{
		{map[string]reference.File{"a": file("1"), "d/e/f": file("2")}, "a=1 d/(e/(f=2))"},
		{map[string]reference.File{"a": file("3"), "b": file("4")}, "a=3 b=4"},
		{map[string]reference.File{"d/x": file("5")}, "d/(x=5)"},
		{map[string]reference.File{}, ""},
		{map[string]reference.File{"a": file("6")}, "a=6"},
	} {
		if err := fill(dir, step.files, nil); err != nil {
			t.Fatal(err)
		}
		if got := show(t, dir); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
		if i == 0 {
			var err error
			if held, err = os.Open(filepath.Join(dir, "a")); err != nil {
				t.Fatal(err)
			}
			defer held.Close()
		}
	}
	text := make([]byte, 8)
	if n, err := held.Read(text); err != nil || string(text[:n]) != "1" {
		t.Errorf("an open file now reads %q, %v", text[:n], err)
	}
	old, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(dir, map[string]reference.File{"a": file("6")}, nil); err != nil {
		t.Fatal(err)
	}
	if now, err := os.Readlink(filepath.Join(dir, dataLink)); err != nil || now != old {
		t.Errorf("the same content was swapped: %s, %s, %v", old, now, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 { // a, ..data, and the version
		t.Errorf("left are %v, %v", entries, err)
	}
	if err := fill(dir, map[string]reference.File{"own": {Data: []byte("x"), Mode: 0o400, User: ptr.To[int64](7)}}, ptr.To[int64](8)); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "own"), &st); err != nil || st.Uid != 7 || st.Gid != 8 || st.Mode&0o777 != 0o440 {
		t.Errorf("the file is %o of %d:%d, %v", st.Mode&0o777, st.Uid, st.Gid, err)
	}
}

// Parts of a volume: what is there, what is made, and what leads out of it.
func TestBindSubPath(t *testing.T) {
	m := Manager{State: t.TempDir()}
	volume := t.TempDir()
	t.Cleanup(func() {
		if err := m.releaseAllBinds("u"); err != nil {
			t.Error(err)
		}
	})
	for _, dir := range []string{"dir", "dir/deep"} {
		if err := os.Mkdir(filepath.Join(volume, dir), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(volume, "dir/file"), []byte("here"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"in": "dir", "up": "..", "out": "/etc", "dir/back": "../dir/deep", "loop": "loop", "gone": "made/by/link", "proc": "/proc/self/root"} {
		if err := os.Symlink(target, filepath.Join(volume, name)); err != nil {
			t.Fatal(err)
		}
	}
	for sub, want := range map[string]string{
		"dir": "", "dir/": "", "./dir/deep": "", "dir/file": "", "in": "", "in/deep": "", "in/back": "", "new": "", "new/a/b": "", "in/new": "",
		"up": "leads out", "up/etc": "leads out", "out": "leads out", "out/passwd": "leads out", "proc": "leads out",
		"loop": "a link on the way", "dir/file/x": "not a directory",
	} {
		path, err := m.Bind("u", "c", Bind{Name: "0", Source: volume, SubPath: sub})
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", sub, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", sub, err)
			continue
		}
		var bound, named unix.Stat_t
		if err := unix.Stat(path, &bound); err != nil {
			t.Fatal(err)
		}
		if err := unix.Stat(filepath.Join(volume, sub), &named); err != nil || bound.Ino != named.Ino || bound.Dev != named.Dev {
			t.Errorf("%s is bound to another file: %v", sub, err)
		}
	}
	if _, err := os.Stat(filepath.Join(volume, "in/new")); err != nil {
		t.Error("a part below a link was not made:", err)
	}
	if err := m.ReleaseBinds("u", "c"); err != nil {
		t.Error(err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), m.State) {
		t.Errorf("something is still mounted: %v", err)
	}
}

// A claim is found again, also when its record is damaged, and never loses its data.
func TestClaimRecord(t *testing.T) {
	m := Manager{Claims: t.TempDir()}
	c, err := m.claim("n", "data")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Path, "kept"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(m.Claims, "n/data/claim.json")
	for _, text := range []string{"", "{", "null garbage", "null", `{"path":"/elsewhere","name":"other"}`, "a directory"} {
		err := os.WriteFile(record, []byte(text), 0o600)
		if text == "a directory" {
			err = errors.Join(os.Remove(record), os.Mkdir(record, 0o755))
		}
		if err != nil {
			t.Fatal(err)
		}
		again, err := m.claim("n", "data")
		if err != nil || again.Path != c.Path || again.Name != "data" {
			t.Errorf("%q: %+v, %v", text, again, err)
		}
	}
	for _, text := range []string{"{", ""} {
		if err := os.WriteFile(record, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := m.ListClaims()
		if err != nil || len(list) != 1 || list[0].Name != "data" || list[0].Path != c.Path || list[0].CreatedAt.IsZero() {
			t.Errorf("the list is %+v, %v", list, err)
		}
		if left, err := os.ReadFile(record); err != nil || string(left) != text {
			t.Errorf("who lists claims has changed a record: %q, %v", left, err)
		}
	}
	if _, err := os.Stat(filepath.Join(c.Path, "kept")); err != nil {
		t.Error("the data are gone:", err)
	}
	if err := m.RemoveClaim("n", "data"); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(m.Claims); err != nil || slices.ContainsFunc(left, func(e os.DirEntry) bool { return e.Name() == "n" }) {
		t.Errorf("left are %v, %v", left, err)
	}
}
