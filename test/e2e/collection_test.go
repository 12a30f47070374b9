package e2e

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// largeImage packs an image of the given name that takes up some 40 MiB: packed and unpacked.
func (b *box) largeImage(name, archive string) {
	b.t.Helper()
	data := make([]byte, 20<<20) // which does not get smaller
	if _, err := rand.Read(data); err != nil {
		b.t.Fatal(err)
	}
	file := filepath.Join(b.t.TempDir(), "data")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		b.t.Fatal(err)
	}
	out, err := exec.Command(packBinary, "-o", archive, "-name", "solopod.example/"+name+":1", "-link", "/bin/sh=busybox", "-link", "/bin/sleep=busybox",
		"/bin/busybox:/bin/busybox", file+":/data").CombinedOutput()
	if err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
}

// listed are the images that there are, by their names alone.
func (b *box) listed() (names []string) {
	b.t.Helper()
	for line := range strings.Lines(b.run("images", "ls", "-o", "name")) {
		name := strings.TrimSuffix(strings.TrimSpace(line), ":1")
		names = append(names, strings.TrimPrefix(name[strings.LastIndex(name, "solopod.example/"):], "solopod.example/"))
	}
	slices.Sort(names)
	return names
}

func (b *box) lists(want ...string) {
	b.t.Helper()
	slices.Sort(want)
	b.eventually("the images are "+strings.Join(want, ", "), func() error {
		if got := b.listed(); !slices.Equal(got, want) {
			return fmt.Errorf("they are %q", got)
		}
		return nil
	})
}

// occupy has a file take up room.
func (b *box) occupy(name string, mib int) {
	b.t.Helper()
	if err := os.WriteFile(b.path(name), make([]byte, mib<<20), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// ofImage is a pod of another image than most tests use, which is not pulled.
func ofImage(pod, image string) string {
	return strings.Replace(shell(pod, forever, ""), "solopod.example/box:1", "solopod.example/"+image+":1\n    imagePullPolicy: Never", 1)
}

// As the disk gets full images go that nobody uses, those first that were used the longest ago; what is used, named or pinned stays. What
// lies in the images directory comes back when a pod needs it, and not before. A kill in the middle leaves no halves.
func TestImageCollection(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.smallDisk("root", "400m")
	b.link(imageArchive, "images/box.tar")
	if err := os.Mkdir(b.path("elsewhere"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.largeImage("first", b.path("elsewhere/first.tar"))
	b.link(b.path("elsewhere/first.tar"), "images/first.tar")
	b.configure("imageGCHighThresholdPercent: 80\nimageGCLowThresholdPercent: 70\nimageMinimumGCAge: 0s\npinnedImages: ['solopod.example/pinned:1']\n")
	b.start()
	b.apply("night.yaml", "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: night}\nspec:\n  schedule: '0 0 1 1 *'\n  suspend: true\n  jobTemplate:\n    spec:\n"+
		"      template:\n        spec:\n          restartPolicy: Never\n          containers: [{name: main, image: 'solopod.example/named:1'}]\n")
	b.apply("user.yaml", shell("user", forever, ""))
	b.waitReady("user")
	b.lists("box", "first")
	for _, name := range []string{"named", "pinned", "second", "third"} {
		b.largeImage(name, b.path("import.tar"))
		b.run("images", "import", b.path("import.tar"))
	}
	b.lists("box", "first", "named", "pinned", "second", "third")
	if out := b.run("images", "prune", "--dry-run"); !strings.Contains(out, "would go") || !strings.Contains(out, "stays: used by CronJob default/night") ||
		!strings.Contains(out, "stays: used by pod default/user") || !strings.Contains(out, "stays: used by whoever has pinned it") || !strings.Contains(out, "3 of 6 images would go") {
		t.Errorf("a dry run says\n%s", out)
	}
	if out, err := b.try("images", "rm", "solopod.example/named:1"); err == nil || !strings.Contains(out, "used by CronJob default/night") {
		t.Errorf("what is used was removed: %v, %s", err, out)
	}

	b.occupy("root/fill", 120)
	b.lists("box", "named", "pinned", "third")
	b.eventOf("ImagesCollected", "solopod.example/first:1, solopod.example/second:1")
	own := b.families("/metrics")
	if n, ok := sample(own["solopod_images_collected_total"], "reason", "space"); !ok || n != 2 {
		t.Errorf("counted were %v images", n)
	}
	if n, ok := sample(own["solopod_images_collected_bytes_total"], "reason", "space"); !ok || n < 60<<20 {
		t.Errorf("counted were %v bytes", n)
	}
	b.occupy("root/more", 100)
	b.lists("box", "named", "pinned")
	b.eventOf("FreeDiskSpaceFailed", "used by CronJob default/night")
	for _, file := range []string{"root/fill", "root/more"} {
		if err := os.Remove(b.path(file)); err != nil {
			t.Fatal(err)
		}
	}
	b.crash()
	b.start()
	b.waitReady("user")
	b.lists("box", "named", "pinned")
	b.apply("first.yaml", ofImage("first", "first"))
	b.waitReady("first")
	b.lists("box", "first", "named", "pinned")
	b.delete("first.yaml")
	b.waitGone("first")

	names := []string{"box", "first", "named", "pinned"}
	for n := range 3 {
		name := fmt.Sprintf("more%d", n)
		b.largeImage(name, b.path("import.tar"))
		b.run("images", "import", b.path("import.tar"))
		names = append(names, name)
	}
	b.lists(names...)
	pruning := exec.Command(binary, "images", "prune", "--socket", b.path("socket"))
	if err := pruning.Start(); err != nil {
		t.Fatal(err)
	}
	b.eventually("the first has gone", func() error {
		if left := b.listed(); len(left) == len(names) {
			return fmt.Errorf("there are %q", left)
		}
		return nil
	})
	b.crash()
	if err := pruning.Wait(); err == nil {
		t.Log("it was done before the kill")
	}
	b.start()
	left := b.listed()
	t.Logf("after the kill there are %q", left)
	for _, name := range left {
		if name != "box" {
			b.apply(name+".yaml", ofImage(name, name))
			b.waitReady(name)
		}
	}
}

// Before a pod is evicted because of the disk the images go that nobody uses; that is enough here.
func TestImagesGoBeforePods(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.smallDisk("root", "300m")
	b.link(imageArchive, "images/box.tar")
	b.configure("evictionHard: {nodefs.available: 40%}\nevictionPressureTransitionPeriod: 5s\nimageGCHighThresholdPercent: 100\nimageMinimumGCAge: 0s\n")
	b.start()
	b.apply("writer.yaml", shell("writer", "dd if=/dev/zero of=/data/fill bs=1M count=30\n"+forever, "volumes:\n- {name: data, emptyDir: {}}")+
		"    volumeMounts: [{name: data, mountPath: /data}]\n")
	before := b.waitReady("writer")
	for _, name := range []string{"one", "two"} {
		b.largeImage(name, b.path("import.tar"))
		b.run("images", "import", b.path("import.tar"))
	}
	b.occupy("root/fill", 60)
	b.lists("box")
	b.eventOf("ImagesCollected", "before a pod is evicted 2 unused images were removed")
	b.eventually("the disk is not short any more", func() error {
		var node v1.Node
		if err := json.Unmarshal([]byte(b.mustGet("/node")), &node); err != nil {
			return err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == v1.NodeDiskPressure && c.Status == v1.ConditionFalse {
				return nil
			}
		}
		return fmt.Errorf("its conditions are %+v", node.Status.Conditions)
	})
	if n := b.countEvents("Evicted"); n != 0 {
		t.Errorf("%d pods were evicted", n)
	}
	if after := b.pod("default", "writer"); status(after, "main").ContainerID != status(before, "main").ContainerID || after.Status.Phase != v1.PodRunning {
		t.Errorf("the pod was disturbed: %+v", after.Status)
	}
}
