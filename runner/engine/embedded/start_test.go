package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A database that is gone while what it describes is there, and anything of another kind than it was, is damage.
func TestMisshapen(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(t *testing.T, root string)
		damaged bool
	}{
		"as it was":   {func(*testing.T, string) {}, false},
		"not there":   {func(t *testing.T, root string) { remove(t, root) }, false},
		"no metadata": {func(t *testing.T, root string) { remove(t, filepath.Join(root, metadataDir, "meta.db")) }, true},
		"no records of snapshots": {func(t *testing.T, root string) {
			remove(t, filepath.Join(root, overlayDir, "metadata.db"))
		}, true},
		"only databases": {func(t *testing.T, root string) {
			remove(t, filepath.Join(root, overlayDir, "snapshots"))
			remove(t, filepath.Join(root, contentDir))
		}, false},
		"a file as root": {func(t *testing.T, root string) { remove(t, root); put(t, root, "") }, true},
		"a file as a plugin's directory": {func(t *testing.T, root string) {
			remove(t, filepath.Join(root, contentDir))
			put(t, filepath.Join(root, contentDir), "")
		}, true},
		"a directory as a database": {func(t *testing.T, root string) {
			remove(t, filepath.Join(root, metadataDir, "meta.db"))
			put(t, filepath.Join(root, metadataDir, "meta.db", "x"), "")
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "containerd")
			put(t, filepath.Join(root, metadataDir, "meta.db"), "records")
			put(t, filepath.Join(root, overlayDir, "metadata.db"), "snapshots")
			put(t, filepath.Join(root, overlayDir, "snapshots", "1", "fs", "file"), "")
			put(t, filepath.Join(root, contentDir, "blobs", "sha256", "abc"), "")
			c.change(t, root)
			if found := misshapen(root); (found != "") != c.damaged {
				t.Errorf("found %q", found)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// What stands in for a read-only root reads as it, can be written, and leaves it alone.
func TestStandIn(t *testing.T) {
	root, state := filepath.Join(t.TempDir(), "containerd"), t.TempDir()
	put(t, filepath.Join(root, metadataDir, "meta.db"), "records")
	put(t, filepath.Join(root, overlayDir, "metadata.db"), "snapshots")
	put(t, filepath.Join(root, overlayDir, "snapshots", "1", "fs", "file"), "text")
	put(t, filepath.Join(root, contentDir, "blobs", "sha256", "abc"), "blob")
	standIn := filepath.Join(state, standInName)
	put(t, standIn, "no directory")
	t.Cleanup(func() { detachBelow(standIn) }) //nolint:errcheck // it was retired
	if err := makeStandIn(root, standIn); err != nil {
		t.Fatal(err)
	}
	// One that was killed before its end leaves a half behind, with mounts.
	if err := errors.Join(os.Rename(standIn, standIn+".new"), makeStandIn(root, standIn)); err != nil {
		t.Fatal(err)
	}
	if !isMountpoint(t, filepath.Join(standIn, overlayDir, "snapshots")) {
		t.Error("what containers write lies on the state directory's file system")
	}
	if damage := misshapen(standIn); damage != "" {
		t.Error(damage)
	}
	put(t, filepath.Join(standIn, metadataDir, "meta.db"), "changed")
	put(t, filepath.Join(standIn, overlayDir, "snapshots", "2", "fs", "file"), "new")
	if err := os.Remove(filepath.Join(standIn, overlayDir, "snapshots", "1")); err != nil { // as its removal does
		t.Fatal(err)
	}
	if err := retire(standIn); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(standIn + "*"); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	for path, want := range map[string]string{
		filepath.Join(root, metadataDir, "meta.db"):                        "records",
		filepath.Join(root, overlayDir, "snapshots", "1", "fs", "file"):    "text",
		filepath.Join(root, contentDir, "blobs", "sha256", "abc"):          "blob",
		filepath.Join(root, overlayDir, "snapshots", "2", "fs", "file"):    "",
		filepath.Join(standIn, overlayDir, "snapshots", "2", "fs", "file"): "",
	} {
		if text, _ := os.ReadFile(path); string(text) != want {
			t.Errorf("%s is %q, and not %q", path, text, want)
		}
	}
}

func isMountpoint(t *testing.T, path string) bool {
	t.Helper()
	is, err := mountinfo.Mounted(path)
	if err != nil {
		t.Fatal(err)
	}
	return is
}

// A shim that takes connections and does not answer is silent; one whose socket is dead is gone, and for containerd to clear up.
// A start that was killed while it hid bundles loses none.
func TestSilentShims(t *testing.T) {
	state, err := os.MkdirTemp("/tmp", "shims") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(state) })
	for _, id := range []string{"silent", "sibling", "dead", "gone"} {
		socket := filepath.Join(state, id)
		switch id {
		case "silent", "dead":
			listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			listener.SetUnlinkOnClose(false)
			if id == "dead" {
				listener.Close()
			} else {
				t.Cleanup(func() { listener.Close() })
			}
		case "sibling":
			socket = filepath.Join(state, "silent")
		}
		put(t, filepath.Join(namespaceDir(state), id, "bootstrap.json"),
			fmt.Sprintf(`{"version":3,"address":"unix://%s","protocol":"ttrpc"}`, socket))
	}
	put(t, filepath.Join(namespaceDir(state), "garbage", "bootstrap.json"), "\x00\x00")
	if err := unix.Mkfifo(filepath.Join(namespaceDir(state), "garbage", "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(namespaceDir(state), "odd", "bootstrap.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := newSleepers(state, "")
	silent := s.find(t.Context(), readBundles(state))
	for id, want := range map[string]bool{"silent": true, "sibling": true, "dead": false, "gone": false, "garbage": false} {
		if s.silent(id) != want {
			t.Errorf("%s: silent is %t", id, s.silent(id))
		}
	}
	if _, err := hide(silent); err != nil {
		t.Fatal(err)
	}
	if n := len(readBundles(state)); n != 2 {
		t.Errorf("%d bundles are seen", n)
	}
	if err := showAll(state); err != nil {
		t.Fatal(err)
	}
	if n := len(readBundles(state)); n != 4 {
		t.Errorf("%d bundles are seen again", n)
	}
	for _, b := range readBundles(state) {
		if b.id == "dead" || b.id == "gone" {
			if err := ask(t.Context(), b); err == nil || errors.Is(err, errSilent) {
				t.Errorf("%s: %v", b.id, err)
			}
		}
	}
}

// shimServer is a directory with the socket "shim" of one that knows no request, and takes none before serve. It ends with the test.
func shimServer(t *testing.T) (dir string, serve func()) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "shims") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "shim"))
	if err != nil {
		t.Fatal(err)
	}
	shim, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shim.Close() })
	return dir, func() { shim.Serve(t.Context(), listener) } //nolint:errcheck // it ends with the test
}

// A shim that was being started when Solopod was killed waits for a reader of its log, and answers when it has one.
func TestShimAwaitsReader(t *testing.T) {
	dir, serve := shimServer(t)
	path := filepath.Join(namespaceDir(dir), "begins")
	put(t, filepath.Join(path, "bootstrap.json"), fmt.Sprintf(`{"version":3,"address":"unix://%s/shim","protocol":"ttrpc"}`, dir))
	if err := unix.Mkfifo(filepath.Join(path, "log"), 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		log, err := os.OpenFile(filepath.Join(path, "log"), os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer log.Close()
		serve()
	}()
	if silent := newSleepers(dir, "").find(t.Context(), readBundles(dir)); len(silent) > 0 {
		t.Errorf("it does not answer: %v", silent)
	}
}

// A shim that answers again and cannot be loaded at first, as on a full disk, is loaded when that works: one of its containers after the
// other.
func TestLoadedLater(t *testing.T) {
	dir, serve := shimServer(t)
	go serve()
	s, tries := newSleepers(dir, ""), map[string]int{}
	s.load = func(_ context.Context, b bundle) error {
		if tries[b.id]++; b.id == "second" && tries[b.id] < 3 {
			return unix.ENOSPC
		}
		return nil
	}
	list := []bundle{}
	for _, id := range []string{"first", "second"} {
		s.ids[id] = true
		list = append(list, bundle{id: id, Version: 3, Address: "unix://" + filepath.Join(dir, "shim"), Protocol: "ttrpc"})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s.await(ctx, list)
	if tries["first"] != 1 || tries["second"] != 3 || s.silent("first") || s.silent("second") {
		t.Errorf("tried %v, silent still: %v", tries, s.ids)
	}
	if len(s.woken) != 1 {
		t.Error("nobody was told")
	}
}
