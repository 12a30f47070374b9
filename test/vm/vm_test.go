// Package vm tests Solopod on a real machine: Debian 13 with systemd and cgroup v2, in QEMU. The package is installed as
// a user would, and what is done to the machine is done from outside.
package vm

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/test/vm/machine"
)

// patience bounds every wait: the machine is emulated, some ten times slower than the one it runs on.
var patience = flag.Duration("patience", 3*time.Minute, "how long to wait for what is expected")

// image and payload are shared by all machines: the system's disk, and a disk with what is brought along.
var (
	image   *machine.Image
	payload string
)

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "vm")
	code := 1
	if err == nil {
		err = prepare(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot prepare the machines:", err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// prepare makes the machine's image, and the payload from what make built.
func prepare(ctx context.Context, dir string) (err error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	if image, err = machine.Build(ctx, filepath.Join(root, ".cache/vm"), os.Stdout); err != nil {
		return err
	}
	tree := filepath.Join(dir, "payload")
	payload = filepath.Join(dir, "payload.img")
	script := fmt.Sprintf(`set -e
cd %[1]q
mkdir -p %[2]q/bin %[2]q/test/e2e %[2]q/images
cp bin/solopod.deb bin/solopod-next.deb %[2]q/
cp bin/pack bin/web %[2]q/bin/
cp -r bin/shop %[2]q/
cp /bin/busybox %[2]q/
ln -s /usr/bin/solopod %[2]q/bin/
CGO_ENABLED=0 go test -c -o %[2]q/test/e2e/e2e.test ./test/e2e
cp -r test/e2e/testdata %[2]q/test/e2e/
bin/pack -o %[2]q/images/web.tar -name solopod.example/web:1 -entrypoint /web bin/web:/web
links=; for applet in sh cat echo sleep sync dd date mkdir seq head tail; do links="$links -link /bin/$applet=busybox"; done
bin/pack -o %[2]q/images/box.tar -name solopod.example/box:1 $links /bin/busybox:/bin/busybox
mke2fs -q -t ext4 -d %[2]q %[3]q 768M`, root, tree, payload)
	if out, err := exec.CommandContext(ctx, "sh", "-c", script).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s (make vm-test builds and installs everything)", err, out)
	}
	return nil
}

// emptyDisk is a disk with an empty file system, of a size as mke2fs takes it.
func emptyDisk(t *testing.T, size string) machine.Disk {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.img")
	if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", path, size).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
	return machine.Disk{Path: path}
}

// box is one machine under test.
type box struct {
	t *testing.T
	m *machine.Machine
}

// newBox boots a machine with the payload mounted and Solopod installed. It is switched off at the end of the test.
func newBox(t *testing.T, disks ...machine.Disk) *box {
	t.Helper()
	return newBoxOf(t, 0, disks...)
}

// newBoxOf is newBox with some MiB of memory; zero is what machines have.
func newBoxOf(t *testing.T, memory int, disks ...machine.Disk) *box {
	t.Helper()
	m, err := machine.New(t.Context(), image, t.TempDir(), append([]machine.Disk{{Path: payload, ReadOnly: true}}, disks...)...)
	if err != nil {
		t.Fatal(err)
	}
	m.Memory = memory
	b := &box{t, m}
	t.Cleanup(func() {
		if t.Failed() {
			b.explain()
		}
		m.Cut()
	})
	b.boot()
	return b
}

// boot switches the machine on and makes the payload visible.
func (b *box) boot() {
	b.t.Helper()
	begin := time.Now()
	if err := b.m.Boot(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.t.Logf("booted in %s", time.Since(begin).Round(time.Second))
	b.run("mkdir -p /mnt && mount -o ro /dev/vdb /mnt")
}

// install installs the package, as an administrator would.
func (b *box) install() {
	b.t.Helper()
	b.run("dpkg -i /mnt/solopod.deb")
}

// explain prints what the machine knows of a failure.
func (b *box) explain() {
	console := b.m.Console()
	b.t.Logf("the console:\n%s", console[max(len(console)-8000, 0):])
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, _, err := b.m.Run(ctx, "journalctl --no-pager -u solopod | tail -n 120; solopod get pods -A -o wide; solopod get events; systemctl --failed --no-pager; df -h / | tail -1")
	b.t.Logf("the journal, pods and events (%v):\n%s", err, out)
}

// try runs a script and returns what it printed, with an error when it failed.
func (b *box) try(script string) (string, error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Minute)
	defer cancel()
	out, code, err := b.m.Run(ctx, script)
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d: %s", code, out)
	}
	return strings.TrimRight(out, "\n"), err
}

// run runs a script that must succeed.
func (b *box) run(script string) string {
	b.t.Helper()
	out, err := b.try(script)
	if err != nil {
		b.t.Fatalf("%s\n%v", script, err)
	}
	return out
}

// eventually repeats a check until it holds. Between machines there is no event to wait for.
func (b *box) eventually(what string, check func() error) {
	b.t.Helper()
	deadline := time.Now().Add(*patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || errors.Is(err, machine.ErrOff) {
			b.t.Fatalf("not within %s: %s: %v", *patience, what, err)
		}
		time.Sleep(200 * time.Millisecond) //nolint:forbidigo // a poll with a deadline
	}
}

// write writes a file on the machine and moves it into place.
func (b *box) write(path, content string) {
	b.t.Helper()
	b.run(fmt.Sprintf("cat >%[1]s/.new <<'END OF FILE'\n%[2]s\nEND OF FILE\nmv %[1]s/.new %[3]s", filepath.Dir(path), content, path))
}

// apply puts a manifest into the machine's directory.
func (b *box) apply(name, manifest string) {
	b.t.Helper()
	b.write("/etc/solopod/manifests/"+name+".yaml", manifest)
}

// ready waits until as many pods are ready.
func (b *box) ready(count int) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("%d pods are ready", count), func() error {
		out, err := b.try("solopod get pods -A")
		if n := strings.Count(out, "1/1"); err == nil && n != count {
			err = fmt.Errorf("%d are:\n%s", n, out)
		}
		return err
	})
}

// expect compares what a script prints.
func (b *box) expect(script, want string) {
	b.t.Helper()
	if got := b.run(script); got != want {
		b.t.Errorf("%s\nprints %q, not %q", script, got, want)
	}
}

// shell is a pod on the machine's network that runs a script. extra is added to its spec.
func shell(name, script, extra string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 20
  volumes: [{name: data, hostPath: {path: /srv, type: DirectoryOrCreate}}]
%s
  containers:
  - name: main
    image: solopod.example/box:1
    imagePullPolicy: Never
    volumeMounts: [{name: data, mountPath: /srv}]
    command: ["/bin/sh", "-c"]
    args:
    - |
      %s
`, name, extra, strings.ReplaceAll(script, "\n", "\n      "))
}

// forever waits for the signal to end.
const forever = "trap 'exit 0' TERM; while true; do sleep 1000 & wait; done"
