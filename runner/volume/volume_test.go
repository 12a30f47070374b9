package volume

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func hostPath(path string, kind v1.HostPathType) v1.Volume {
	return v1.Volume{Name: "v", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: path, Type: &kind}}}
}

// Every type of hostPath against every kind of file.
func TestHostPath(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(at("directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("file"), []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := unix.Mknod(at("char"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(at("block"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0))); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", at("link")); err != nil {
		t.Fatal(err)
	}
	fits := map[v1.HostPathType][]string{
		v1.HostPathUnset:             {"directory", "file", "socket", "char", "block", "link"},
		v1.HostPathDirectory:         {"directory"},
		v1.HostPathDirectoryOrCreate: {"directory"},
		v1.HostPathFile:              {"file", "link"},
		v1.HostPathFileOrCreate:      {"file", "link"},
		v1.HostPathSocket:            {"socket"},
		v1.HostPathCharDev:           {"char"},
		v1.HostPathBlockDev:          {"block"},
	}
	m := Manager{Root: t.TempDir(), State: t.TempDir(), Claims: t.TempDir()}
	for kind, good := range fits {
		for _, name := range fits[v1.HostPathUnset] {
			pod := &v1.Pod{Spec: v1.PodSpec{Volumes: []v1.Volume{hostPath(at(name), kind)}}}
			err := m.SetUp(pod, nil, nil)
			if want := strings.Contains(" "+strings.Join(good, " ")+" ", " "+name+" "); want != (err == nil) {
				t.Errorf("type %q, %s: %v", kind, name, err)
			} else if path := m.Find(pod)["v"]; want && path != at(name) {
				t.Errorf("type %q, %s: the path is %q", kind, name, path)
			}
		}
		err := m.SetUp(&v1.Pod{Spec: v1.PodSpec{Volumes: []v1.Volume{hostPath(at("none-"+string(kind)), kind)}}}, nil, nil)
		if creates := kind == v1.HostPathUnset || strings.HasSuffix(string(kind), "OrCreate"); creates != (err == nil) {
			t.Errorf("type %q, nothing there: %v", kind, err)
		}
	}
	if text, err := os.ReadFile(at("file")); err != nil || string(text) != "kept" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if info, err := os.Stat(at("none-FileOrCreate")); err != nil || info.Mode() != 0o644 {
		t.Errorf("the made file is %v, %v", info, err)
	}
	if err := m.SetUp(&v1.Pod{Spec: v1.PodSpec{Volumes: []v1.Volume{hostPath(at("no/dir/file"), v1.HostPathFileOrCreate)}}}, nil, nil); err == nil ||
		!strings.Contains(err.Error(), "not its directory") {
		t.Errorf("a file without its directory: %v", err)
	}
}

// An emptyDir lives over set-ups, lets any user write, and goes with the pod; one in memory has its size.
func TestEmptyDir(t *testing.T) {
	m := Manager{Root: t.TempDir(), State: t.TempDir(), Claims: t.TempDir()}
	size := resource.MustParse("1Mi")
	pod := &v1.Pod{}
	pod.UID = "u"
	pod.Spec.Volumes = []v1.Volume{
		{Name: "disk", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}},
		{Name: "memory", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory, SizeLimit: &size}}},
	}
	t.Cleanup(func() { m.TearDown("u") }) //nolint:errcheck // the test has asserted it, or failed
	for range 2 {
		if err := m.SetUp(pod, nil, nil); err != nil {
			t.Fatal(err)
		}
		for name, path := range m.Find(pod) {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o777 {
				t.Errorf("%s: %v, %v", name, info, err)
			}
			f, err := os.OpenFile(filepath.Join(path, "kept"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString("x"); err != nil {
				t.Error(err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	for name, path := range m.Find(pod) {
		if text, err := os.ReadFile(filepath.Join(path, "kept")); err != nil || string(text) != "xx" {
			t.Errorf("%s lost what was written: %q, %v", name, text, err)
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(m.Find(pod)["memory"], &st); err != nil || st.Type != unix.TMPFS_MAGIC || int64(st.Blocks)*st.Bsize != 1<<20 {
		t.Errorf("the volume in memory is %+v, %v", st, err)
	}
	for range 2 {
		if err := m.TearDown("u"); err != nil {
			t.Error(err)
		}
	}
	for name, path := range m.Find(pod) {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
}
