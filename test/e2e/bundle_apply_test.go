package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// bundled makes a signed bundle of pods, of which each is a name and a script.
func (b *box) bundled(version, key string, pods ...string) (file string) {
	b.t.Helper()
	dir := b.path("of-" + version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	for _, p := range pods {
		name, script, _ := strings.Cut(p, " ")
		b.writeFile("of-"+version+"/"+name+".yaml", shell(name, script, ""))
	}
	file = b.path("app-" + version + ".tar.zst")
	b.run("bundle", "create", "-f", dir, "--images", imageArchive, "--name", "app", "--version", version, "-o", file)
	b.run("bundle", "sign", file, "--key", b.path(key))
	return file
}

// A bundle brings its images and pods onto a box that has neither; the next version takes the place of the first, and what it no longer has
// goes. What is not signed by a known key, older or damaged changes nothing, and a daemon that is killed meanwhile leaves the old version or
// the new one.
func TestBundleApply(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	alice := b.sshSigner("alice", "ed25519")
	b.sshSigner("mallory", "ed25519")
	b.writeFile("bundle-keys", alice.public)
	b.configure("bundleKeyFile: " + b.path("bundle-keys") + "\n")
	b.start()
	first := b.bundled("1.9.0", "alice", "stays "+forever, "goes "+forever)
	b.run("bundle", "apply", first)
	stays := b.waitReady("stays")
	b.waitReady("goes")
	second := b.bundled("1.10.0", "alice", "stays "+forever, "comes "+forever)
	b.run("bundle", "apply", second)
	b.waitReady("comes")
	b.waitGone("goes")
	if now := b.waitReady("stays"); now.Status.ContainerStatuses[0].ContainerID != stays.Status.ContainerStatuses[0].ContainerID {
		t.Error("a pod that is the same in both versions began anew")
	}
	b.apply("mine.yaml", shell("mine", forever, ""))
	b.waitReady("mine")
	for file, says := range map[string]string{
		first: "older than 1.10.0", b.bundled("2.0.0", "mallory", "bad "+forever): "a key that this box does not know",
		b.bundled("2.1.0", "alice", "mine "+forever): "default/mine is defined by mine.yaml",
	} {
		if out, err := b.try("bundle", "apply", file); err == nil || !strings.Contains(out, says) {
			t.Errorf("%v: %s", err, out)
		}
	}
	if out := b.run("bundle", "ls"); !strings.Contains(out, "1.10.0") || !strings.Contains(out, "Applied") {
		t.Errorf("bundles:\n%s", out)
	}
	b.killedWhileApplying(second)
	b.run("bundle", "apply", "--force", first)
	b.waitReady("goes")
	b.waitGone("comes")
}

// killedWhileApplying kills the daemon at several moments of the application of a later version.
func (b *box) killedWhileApplying(before string) {
	b.t.Helper()
	for i := range 4 {
		next := b.bundled(fmt.Sprintf("3.%d.0", i), "alice", "stays "+forever, fmt.Sprintf("next%d %s", i, forever))
		apply := exec.Command(binary, "--socket", b.path("socket"), "bundle", "apply", next)
		if err := apply.Start(); err != nil {
			b.t.Fatal(err)
		}
		b.eventually("the bundle arrives", func() error {
			found, err := filepath.Glob(b.path("root/bundles/*"))
			if err == nil && len(found) < 2 && !strings.Contains(b.readFile("manifests/bundle-app.yaml"), fmt.Sprintf("app 3.%d.0,", i)) {
				err = errors.New("it is not there yet")
			}
			return err
		})
		b.stop(syscall.SIGKILL)
		apply.Wait() //nolint:errcheck // it may be that it was applied
		head, _, _ := strings.Cut(b.readFile("manifests/bundle-app.yaml"), "\n")
		b.start()
		if left, err := filepath.Glob(b.path("root/bundles/incoming-*")); err != nil || len(left) > 0 {
			b.t.Errorf("%v is left, %v", left, err)
		}
		b.run("bundle", "apply", next)
		b.waitReady(fmt.Sprintf("next%d", i))
		b.t.Logf("killed with %s", head)
	}
	if out, err := b.try("bundle", "apply", before); err == nil {
		b.t.Errorf("an older one was applied: %s", out)
	}
}
