package volume

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/manifests/policy"
)

// bounded is a directory of the host that pods may mount, another one that they may not, and a manager that knows it.
func bounded(t *testing.T, r func(allowed string) policy.Rules) (m Manager, allowed, secret string) {
	t.Helper()
	dir := t.TempDir()
	allowed, secret = filepath.Join(dir, "allowed"), filepath.Join(dir, "secret")
	for _, d := range []string{allowed, secret} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p, err := policy.New(policy.PodSecurity{}, r(allowed))
	if err != nil {
		t.Fatal(err)
	}
	return Manager{Root: t.TempDir(), State: t.TempDir(), Claims: t.TempDir(), Bounds: p.HostPath}, allowed, secret
}

func onlyAllowed(allowed string) policy.Rules {
	return policy.Rules{HostPaths: []policy.HostPath{{PathPrefix: allowed}}}
}

func mounting(path string, kind v1.HostPathType) *v1.Pod {
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default", UID: "uid"}, Spec: v1.PodSpec{Volumes: []v1.Volume{hostPath(path, kind)}}}
}

// No link that somebody makes below an allowed path has a pod mount what lies outside of it, and nothing is made there either.
func TestHostPathStaysBelow(t *testing.T) {
	m, allowed, secret := bounded(t, onlyAllowed)
	if err := os.MkdirAll(filepath.Join(allowed, "data", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"absolute": secret, "relative": "../secret", "deep": "data/../../secret", "root": "/", "dangling": filepath.Join(secret, "new"),
		"inside": "data", "file": filepath.Join(secret, "new-file"),
	} {
		if err := os.Symlink(target, filepath.Join(allowed, name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, good := range map[string]bool{
		"": true, "data": true, "data/deep": true, "inside": true, "inside/deep": true, "new": true, "data/new/newer": true, "inside/made": true,
		"absolute": false, "relative": false, "deep": false, "root": false, "dangling": false, "absolute/x": false, "root/etc": false, "file": false,
	} {
		for _, kind := range []v1.HostPathType{v1.HostPathUnset, v1.HostPathDirectoryOrCreate} {
			err := m.SetUp(mounting(filepath.Join(allowed, path), kind), nil, nil)
			if (err == nil) != good {
				t.Errorf("%q, type %q: %v", path, kind, err)
			}
			if !good && !strings.Contains(err.Error(), "policy.hostPaths") {
				t.Errorf("%q, type %q: it does not say why: %v", path, kind, err)
			}
		}
	}
	for path, good := range map[string]bool{"data/file": true, "inside/file2": true, "absolute/file": false, "file": false} {
		err := m.SetUp(mounting(filepath.Join(allowed, path), v1.HostPathFileOrCreate), nil, nil)
		if (err == nil) != good {
			t.Errorf("a file at %q: %v", path, err)
		}
	}
	if entries, err := os.ReadDir(secret); err != nil || len(entries) > 0 {
		t.Errorf("outside there is %v, %v", entries, err)
	}
	// What was let in before another configuration is found as ever.
	if err := m.SetUp(mounting(secret, v1.HostPathDirectory), nil, nil); err != nil {
		t.Error("a path that no rule names: ", err)
	}
}

// The operator's own path may have links; a narrower rule below a wider one starts at what that leads to.
func TestHostPathRoots(t *testing.T) {
	var link string
	m, allowed, secret := bounded(t, func(allowed string) policy.Rules {
		link = filepath.Join(filepath.Dir(allowed), "link")
		return policy.Rules{HostPaths: []policy.HostPath{{PathPrefix: link}, {PathPrefix: link + "/conf"}, {PathPrefix: link + "/certs", ReadOnly: true}}}
	})
	if err := os.Symlink(allowed, link); err != nil {
		t.Fatal(err)
	}
	if err := m.SetUp(mounting(link+"/conf/made", v1.HostPathDirectoryOrCreate), nil, nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(allowed, "conf", "made")); err != nil {
		t.Error(err)
	}
	// Where pods may only read nothing is made for them.
	for _, pod := range []*v1.Pod{
		mounting(link+"/certs", v1.HostPathUnset), mounting(link+"/certs/x", v1.HostPathDirectoryOrCreate), mounting(link+"/certs", v1.HostPathFileOrCreate),
	} {
		if err := m.SetUp(pod, nil, nil); err == nil || !strings.Contains(err.Error(), "lets pods only read there") {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(filepath.Join(allowed, "certs")); !os.IsNotExist(err) {
		t.Error("it was made: ", err)
	}
	if err := os.Mkdir(filepath.Join(allowed, "certs"), 0o755); err != nil {
		t.Fatal(err)
	}
	certs := mounting(link+"/certs", v1.HostPathUnset)
	if err := m.SetUp(certs, nil, nil); err != nil {
		t.Error(err)
	}
	if _, err := m.Bind("uid", "c", Bind{Name: "0", Source: link + "/certs", SubPath: "new", Bounds: m.BoundsOf(certs, "v")}); !errors.Is(err, os.ErrNotExist) {
		t.Error("a part that does not exist: ", err)
	}
	// Who may write in the wider one can swap the narrower one; not for what lies outside of both, and not to leave the narrower one.
	if err := os.RemoveAll(filepath.Join(allowed, "conf")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(allowed, "conf")); err != nil {
		t.Fatal(err)
	}
	if err := m.SetUp(mounting(link+"/conf", v1.HostPathDirectory), nil, nil); err == nil {
		t.Error("a link in the place of a root is followed out of the root above it")
	}
	if err := m.SetUp(mounting(link+"/conf/x", v1.HostPathUnset), nil, nil); err == nil {
		t.Error("a link in the place of a root is followed out of the root above it")
	}
}

// While somebody swaps a directory for a link all the time, each mount is of what lies below the allowed path, or fails.
func TestHostPathSwapped(t *testing.T) {
	m, allowed, secret := bounded(t, onlyAllowed)
	good, bad, name := filepath.Join(allowed, "good"), filepath.Join(allowed, "bad"), filepath.Join(allowed, "name")
	for path, text := range map[string]string{good: "good", secret: "secret"} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "file"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(secret, bad); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("good", name); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, bad, unix.AT_FDCWD, name, unix.RENAME_EXCHANGE) //nolint:errcheck // again and again
			}
		}
	})
	defer swapping.Wait()
	defer close(stop)
	pod := mounting(name, v1.HostPathUnset)
	mounts, refused := 0, 0
	for end := time.Now().Add(time.Minute); mounts+refused < 300 || mounts == 0 || refused == 0; {
		if time.Now().After(end) {
			t.Fatalf("%d were mounted and %d refused: nothing was tried", mounts, refused)
		}
		target, err := m.Bind("uid", "c", Bind{Name: "0", Source: name, Bounds: m.BoundsOf(pod, "v")})
		if err != nil {
			refused++
			continue
		}
		mounts++
		text, err := os.ReadFile(filepath.Join(target, "file"))
		if string(text) != "good" {
			t.Errorf("the mount shows %q, %v", text, err)
		}
		if err := m.ReleaseBinds("uid", "c"); err != nil {
			t.Fatal(err)
		}
	}
}

// A device that no rule names is none, wherever it lies and whatever the manifest calls it.
func TestHostPathIsNoDevice(t *testing.T) {
	m, allowed, _ := bounded(t, func(string) policy.Rules { return policy.Rules{Devices: []string{"/dev/null"}} })
	node := filepath.Join(allowed, "node")
	if err := unix.Mknod(node, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(allowed, "link")); err != nil {
		t.Fatal(err)
	}
	for path, good := range map[string]bool{node: false, filepath.Join(allowed, "link"): false, allowed: true, "/dev/null": true} {
		err := m.SetUp(mounting(path, v1.HostPathUnset), nil, nil)
		if (err == nil) != good || !good && !strings.Contains(err.Error(), "policy.devices") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A file and a socket below an allowed path are bound as directories are.
func TestBindBelow(t *testing.T) {
	m, allowed, _ := bounded(t, onlyAllowed)
	file, socket := filepath.Join(allowed, "file"), filepath.Join(allowed, "socket")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for path, mode := range map[string]os.FileMode{file: 0, socket: os.ModeSocket, allowed: os.ModeDir} {
		target, err := m.Bind("uid", "c", Bind{Name: "0", Source: path, Bounds: m.BoundsOf(mounting(path, v1.HostPathUnset), "v")})
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(target)
		if err != nil || info.Mode().Type() != mode {
			t.Errorf("%s is %v, %v", path, info, err)
		}
		if err := m.ReleaseBinds("uid", "c"); err != nil {
			t.Error(err)
		}
	}
}
