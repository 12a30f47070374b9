package e2e

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	registryname "github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// exec runs a command in a pod's main container, by its cgroup's process: the tests' own way in.
func (b *box) inside(p *v1.Pod, script string) (string, error) {
	out, err := exec.Command("nsenter", "-t", fmt.Sprint(b.pid(p, "main")), "-a", "-r", "-w", "--", "/bin/sh", "-c", script).CombinedOutput()
	return strings.TrimRight(string(out), "\n"), err
}

func (b *box) mustInside(p *v1.Pod, script string) string {
	b.t.Helper()
	out, err := b.inside(p, script)
	if err != nil {
		b.t.Fatalf("%s: %v: %s", script, err, out)
	}
	return out
}

// Volumes that Solopod fills: their files, modes and owners, and that they change in place.
func TestFilledVolumes(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.apply("pod.yaml", strings.Replace(containers("pod", `securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 2000}`, nil, container{"main", forever, ""}),
			"volumes: [{name: own, emptyDir: {}}]", `volumes:
  - {name: own, emptyDir: {}}
  - {name: config, configMap: {name: config, defaultMode: 0440}}
  - {name: some, configMap: {name: config, items: [{key: a, path: dir/b, mode: 0400, user: 1000}]}}
  - {name: none, configMap: {name: absent, optional: true}}
  - {name: keys, secret: {secretName: keys, defaultMode: 0400}}
  - {name: me, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}, {path: cpu, resourceFieldRef: {containerName: main, resource: limits.cpu, divisor: 1m}}]}}
  - name: all
    projected:
      defaultMode: 0444
      sources:
      - {configMap: {name: config, items: [{key: a, path: c/a}]}}
      - {secret: {name: keys, items: [{key: password, path: s/password}]}}
      - {downwardAPI: {items: [{path: d/name, fieldRef: {fieldPath: metadata.name}}]}}`, 1))
		manifest := strings.Replace(readFile(t, b.path("manifests/pod.yaml")), "volumeMounts: [{name: own, mountPath: /own}]",
			"volumeMounts: [{name: config, mountPath: /config}, {name: some, mountPath: /some}, {name: none, mountPath: /none}, {name: keys, mountPath: /keys}, {name: me, mountPath: /me}, {name: all, mountPath: /all}]\n    resources: {limits: {cpu: 250m}}", 1)
		manifest = strings.Replace(manifest, "metadata: {name: pod}", "metadata: {name: pod, labels: {app: one}}", 1)
		b.apply("pod.yaml", manifest)
		p := b.waitPod("pod", "waiting for its objects", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, `ConfigMap "config"`) })
		if !strings.Contains(p.Status.Message, `Secret "keys"`) || strings.Contains(p.Status.Message, "absent") {
			t.Errorf("what is it waiting for? %s", p.Status.Message)
		}
		b.apply("objects.yaml", configMap("config", `{a: "1", b: "2"}`)+"binaryData: {c: AAE=}\n")
		b.applyObject("secret.yaml", secret("keys", "{password: "+secretText+"}"))
		p = b.waitReady("pod")
		for script, want := range map[string]string{
			"cat /config/a /config/b; ls /config | tr '\\n' ' '": "12a b c ",
			"stat -L -c '%a %u %g' /config/a":                    "440 0 2000",
			"ls /some; cat /some/dir/b":                          "dir\n1",
			"stat -L -c '%a %u %g' /some/dir/b":                  "440 1000 2000",
			"ls /none":                                           "",
			"cat /keys/password":                                 secretText,
			"stat -f -c %T /keys":                                "tmpfs",
			"stat -L -c '%a %u %g' /keys/password":               "440 0 2000",
			"cat /me/labels; echo; cat /me/cpu":                  "app=\"one\"\n250",
			"cat /all/c/a /all/s/password /all/d/name":           "1" + secretText + "pod",
		} {
			if got := b.mustInside(p, script); got != want {
				t.Errorf("%s: %q, want %q", script, got, want)
			}
		}

		// In place: the same container sees new files, changed and removed ones.
		b.apply("objects.yaml", configMap("config", `{a: "new", d: "4"}`))
		b.applyObject("secret.yaml", secret("keys", "{password: other, more: x}"))
		b.apply("pod.yaml", strings.Replace(manifest, "app: one", "app: two", 1))
		b.eventually("the volumes have changed", func() error {
			got, err := b.inside(p, "cat /config/a /config/d; ls /config | tr '\\n' ' '; cat /keys/password /keys/more /me/labels /all/c/a")
			if want := "new4a d otherxapp=\"two\"new"; err == nil && got != want {
				err = errors.New(got)
			}
			return err
		})
		if now := b.waitReady("pod"); status(now, "main").ContainerID != status(p, "main").ContainerID {
			t.Error("the container was restarted")
		}
		// What is needed and goes leaves the volumes as they are, over a crash too, and a reboot waits for it.
		b.delete("objects.yaml")
		b.crash()
		b.start()
		b.waitReady("pod")
		if got := b.mustInside(p, "cat /config/a"); got != "new" {
			t.Errorf("after its ConfigMap went: %q", got)
		}
		b.reboot()
		b.start()
		b.waitPod("pod", "waiting", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, `ConfigMap "config"`) })
		b.apply("objects.yaml", configMap("config", `{a: "back"}`)+"immutable: true\n")
		p = b.waitReady("pod")
		b.apply("objects.yaml", configMap("config", `{a: "changed"}`)+"immutable: true\n")
		b.eventually("the change is refused", func() error {
			if out := b.run("get", "manifests"); !strings.Contains(out, "is immutable") {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
		if got := b.mustInside(p, "cat /config/a"); got != "back" {
			t.Errorf("an immutable ConfigMap changed: %q", got)
		}
	})
}

// Parts of volumes: made where missing, and never outside.
func TestSubPath(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		host := b.path("host")
		if err := os.MkdirAll(host+"/here", 0o755); err != nil {
			t.Fatal(err)
		}
		for name, target := range map[string]string{"inside": "here", "outside": "/etc", "up": "../.."} {
			if err := os.Symlink(target, host+"/"+name); err != nil {
				t.Fatal(err)
			}
		}
		b.writeFile("host/here/file", "of the host")
		pod := func(name, mounts string) string {
			return strings.NewReplacer("volumes: [{name: own, emptyDir: {}}]", "volumes: [{name: own, hostPath: {path: "+host+"}}, {name: cm, configMap: {name: cm}}]",
				"volumeMounts: [{name: own, mountPath: /own}]", "env: [{name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]\n    volumeMounts: ["+mounts+"]").
				Replace(containers(name, "", nil, container{"main", forever, ""}))
		}
		b.apply("cm.yaml", configMap("cm", "{key: value}"))
		b.apply("good.yaml", pod("good", "{name: own, mountPath: /new, subPath: a/b}, {name: own, mountPath: /expr, subPathExpr: logs/$(NAME)}, {name: own, mountPath: /link, subPath: inside}, {name: own, mountPath: /file, subPath: here/file, readOnly: true}, {name: cm, mountPath: /etc/key, subPath: key}"))
		p := b.waitReady("good")
		b.mustInside(p, "echo x >/new/x; echo y >/expr/y")
		for name, want := range map[string]string{"a/b/x": "x\n", "logs/good/y": "y\n"} {
			if got := readFile(t, host+"/"+name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		if got := b.mustInside(p, "cat /link/file /file /etc/key"); got != "of the hostof the hostvalue" {
			t.Errorf("parts: %q", got)
		}
		for name, want := range map[string]string{"outside": "leads out of the volume", "up": "leads out of the volume", "here/file/x": "not a directory"} {
			file := strings.ReplaceAll(name, "/", "-")
			b.apply(file+".yaml", pod(file, "{name: own, mountPath: /bad, subPath: "+name+"}"))
			b.waitPod(file, "refused", func(p *v1.Pod) bool {
				w := status(p, "main").State.Waiting
				return w != nil && strings.Contains(w.Message, want)
			})
		}
		b.apply("unknown.yaml", pod("unknown", "{name: own, mountPath: /bad, subPathExpr: $(NONE)}"))
		b.waitPod("unknown", "refused", func(p *v1.Pod) bool {
			w := status(p, "main").State.Waiting
			return w != nil && strings.Contains(w.Message, `variable "NONE"`)
		})
	})
}

func detach(t *testing.T, target string) {
	t.Helper()
	if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
		t.Errorf("cannot unmount %s: %v", target, err)
	}
}

// What is mounted later, on either side, and how.
func TestMountOptions(t *testing.T) {
	b := newBox(t, embedded)
	host := b.path("host")
	for _, dir := range []string{"", "/below", "/later", "/made"} {
		if err := os.Mkdir(host+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mount := func(target string) {
		if err := unix.Mount("tmpfs", target, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { detach(t, target) })
	}
	if err := unix.Mount(host, host, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { detach(t, host) })
	if err := unix.Mount("", host, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	mount(host + "/below")
	pod := func(name, mounts, extra string) string {
		return strings.NewReplacer("volumes: [{name: own, emptyDir: {}}]", "volumes: [{name: own, hostPath: {path: "+host+"}}]",
			"volumeMounts: [{name: own, mountPath: /own}]", "volumeMounts: ["+mounts+"]").
			Replace(containers(name, "", nil, container{"main", forever, extra}))
	}
	b.apply("slave.yaml", pod("slave", "{name: own, mountPath: /slave, mountPropagation: HostToContainer}, {name: own, mountPath: /private}, {name: own, mountPath: /ro, readOnly: true}, {name: own, mountPath: /rro, readOnly: true, recursiveReadOnly: Enabled}, {name: own, mountPath: /noexec, bindMountOptions: [noexec, nosuid, nodev]}", ""))
	b.apply("shared.yaml", pod("shared", "{name: own, mountPath: /shared, mountPropagation: Bidirectional}", "securityContext: {privileged: true}"))
	slave, shared := b.waitReady("slave"), b.waitReady("shared")
	mount(host + "/later")
	b.mustInside(shared, "mount -t tmpfs tmpfs /shared/made && touch /shared/made/file")
	t.Cleanup(func() { detach(t, host+"/made") })
	if _, err := os.Stat(host + "/made/file"); err != nil {
		t.Errorf("Bidirectional: %v", err)
	}
	mounts := b.mustInside(slave, "cat /proc/mounts")
	for path, want := range map[string]bool{"/slave/later": true, "/slave/made": true, "/private/later": false} {
		if got := strings.Contains(mounts, " "+path+" "); got != want {
			t.Errorf("%s is mounted: %t\n%s", path, got, mounts)
		}
	}
	for script, fails := range map[string]bool{"touch /ro/x": true, "touch /ro/below/x": false, "touch /rro/x": true, "touch /rro/below/x": true} {
		if out, err := b.inside(slave, script); (err != nil) != fails {
			t.Errorf("%s: %v %s", script, err, out)
		}
	}
	if line := b.mustInside(slave, "grep ' /noexec ' /proc/mounts"); !strings.Contains(line, "nosuid,nodev,noexec") {
		t.Errorf("mount options: %s", line)
	}
}

// Images as volumes, from what is present and from a registry.
func TestImageVolume(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		pulled := registryWith(t, "files")
		pod := strings.NewReplacer("volumes: [{name: own, emptyDir: {}}]", "volumes: [{name: own, image: {reference: 'solopod.example/box:1'}}, {name: far, image: {reference: '"+pulled+"', pullPolicy: IfNotPresent}}]",
			"volumeMounts: [{name: own, mountPath: /own}]", "volumeMounts: [{name: own, mountPath: /own}, {name: far, mountPath: /far, subPath: bin}]").
			Replace(containers("pod", "", nil, container{"main", forever, ""}))
		b.apply("pod.yaml", pod)
		p := b.waitReady("pod")
		b.mustInside(p, `[ "$(stat -c %s /own/web)" = "$(stat -c %s /web)" ] && /far/busybox true && ! touch /own/x 2>/dev/null`)
		b.crash()
		b.start()
		b.waitReady("pod")
		b.reboot()
		b.start()
		b.waitPod("pod", "ready again", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 1 })
		b.delete("pod.yaml")
		b.waitGone("pod")
		if views := b.ctr("snapshots", "ls"); strings.Contains(views, "volume-") {
			t.Errorf("a view is left:\n%s", views)
		}
		b.apply("never.yaml", strings.Replace(strings.Replace(pod, "name: pod", "name: never", 1), "pullPolicy: IfNotPresent", "pullPolicy: Never", 1))
		b.waitReady("never") // it is present by now
	})
}

// A volume that an image declares is a directory of the container's own: with what the image has there and its owners, to be written
// to also below a root file system that cannot be, new with each attempt, and gone with the pod.
func TestDeclaredVolumes(t *testing.T) {
	b := newBox(t, embedded)
	var layer bytes.Buffer
	tw := tar.NewWriter(&layer)
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeDir, Name: "data/", Mode: 0o2750, Uid: 1000, Gid: 2000},
		{Typeflag: tar.TypeReg, Name: "data/seed", Mode: 0o640, Uid: 1000, Gid: 2000, Size: 5},
		{Typeflag: tar.TypeSymlink, Name: "data/link", Linkname: "/etc/passwd", Mode: 0o777},
		{Typeflag: tar.TypeFifo, Name: "data/fifo", Mode: 0o600},
		{Typeflag: tar.TypeDir, Name: "mounted/", Mode: 0o755}, {Typeflag: tar.TypeReg, Name: "mounted/hidden", Mode: 0o644},
		{Typeflag: tar.TypeSymlink, Name: "led", Linkname: "../data", Mode: 0o777},
	} {
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte("seed\n")[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	added, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	save := func(name string, volumes ...string) {
		image, err := mutate.AppendLayers(imageIn(t, imageArchive), added)
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config.Config.Volumes = map[string]struct{}{}
		for _, v := range volumes {
			config.Config.Volumes[v] = struct{}{}
		}
		if image, err = mutate.ConfigFile(image, config); err != nil {
			t.Fatal(err)
		}
		tag, err := registryname.NewTag("solopod.example/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := tarball.WriteToFile(b.path("declares.tar"), tag, image); err != nil {
			t.Fatal(err)
		}
		b.run("images", "import", b.path("declares.tar"))
	}
	save("db:1", "/data", "fresh/", "/mounted", "/led")
	save("bad:1", "/data/seed")
	script := `trap 'exit 1' TERM; cat /data/seed && stat -c '%u %g %a' /data /data/seed && readlink /data/link && test -p /data/fifo && cat /led/seed && test -z "$(ls -A /fresh; ls -A /mounted)" && ! touch /root-is-read-only 2>/dev/null &&
touch /fresh/written /mounted/written && echo written >/data/seed && echo all; while [ ! -e /mounted/go ]; do sleep 0.1; done; rm /mounted/*; exit 1`
	pod := func(name, image, extra string) string {
		return strings.NewReplacer("solopod.example/box:1", "solopod.example/"+image, "  hostNetwork: true\n", extra, "mountPath: /own", "mountPath: /mounted").
			Replace(containers(name, "", nil, container{"main", script, "securityContext: {readOnlyRootFilesystem: true}"}))
	}
	const want = "seed\n1000 2000 2750\n1000 2000 640\n/etc/passwd\nseed\nall\n"
	for name, extra := range map[string]string{"db": "  hostNetwork: true\n", "users": "  hostUsers: false\n"} {
		b.apply(name+".yaml", pod(name, "db:1", extra))
		p := b.waitReady(name)
		says := func() error {
			if out := b.run("logs", name); out != want {
				return fmt.Errorf("%s says %q", name, out)
			}
			return nil
		}
		b.eventually("it has all", says)
		b.inside(p, "touch /mounted/go") //nolint:errcheck // the container ends with it, and may take it along; the restart shows that it has worked
		b.waitPod(name, "restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 && isReady(p) })
		b.eventually("the next attempt has all", says)
		left := b.path("root/pods/" + string(p.UID) + "/image-volumes/main")
		b.eventually("the first attempt's are gone", func() error {
			entries, err := os.ReadDir(left)
			if err == nil && len(entries) != 1 {
				err = fmt.Errorf("there are %v", entries)
			}
			return err
		})
		b.delete(name + ".yaml")
		b.waitGone(name)
		if _, err := os.Stat(filepath.Dir(left)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after the pod: %v", err)
		}
	}
	b.apply("bad.yaml", pod("bad", "bad:1", "  hostNetwork: true\n"))
	b.waiting("bad", "its volume /data/seed is not a directory")
}

// Who owns what a group shares, for users that are not root.
func TestFSGroup(t *testing.T) {
	b := newBox(t, embedded)
	b.apply("pod.yaml", strings.NewReplacer("volumes: [{name: own, emptyDir: {}}]", "volumes: [{name: own, emptyDir: {}}, {name: memory, emptyDir: {medium: Memory}}, {name: claim, persistentVolumeClaim: {claimName: data}}]",
		"volumeMounts: [{name: own, mountPath: /own}]", "volumeMounts: [{name: own, mountPath: /own}, {name: memory, mountPath: /memory}, {name: claim, mountPath: /claim}]").
		Replace(containers("pod", "securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 2000, fsGroupChangePolicy: OnRootMismatch}", nil, container{"main", forever, ""})))
	p := b.waitReady("pod")
	for _, dir := range []string{"/own", "/memory", "/claim"} {
		if got := b.mustInside(p, "stat -c '%a %g' "+dir); got != "2777 2000" {
			t.Errorf("%s: %s", dir, got)
		}
	}
	groups := readFile(t, fmt.Sprintf("/proc/%d/status", b.pid(p, "main")))
	if !strings.Contains(groups, "Groups:\t1000 2000") {
		t.Errorf("the process is not of the group:\n%s", groups)
	}
}

// Modes of emptyDir volumes.
func TestEmptyDir(t *testing.T) {
	b := newBox(t, embedded)
	b.apply("pod.yaml", strings.NewReplacer("volumes: [{name: own, emptyDir: {}}]", "volumes: [{name: own, emptyDir: {mode: 0750}}, {name: memory, emptyDir: {medium: Memory, mode: 01777, sizeLimit: 1Mi}}]",
		"volumeMounts: [{name: own, mountPath: /own}]", "volumeMounts: [{name: own, mountPath: /own}, {name: memory, mountPath: /memory}]").
		Replace(containers("pod", "", nil, container{"main", forever, ""})))
	p := b.waitReady("pod")
	if got := b.mustInside(p, "stat -c %a /own /memory"); got != "750\n1777" {
		t.Errorf("modes: %s", got)
	}
	if out, err := b.inside(p, "dd if=/dev/zero of=/memory/x bs=1M count=2 2>&1"); err == nil || !strings.Contains(out, "No space") {
		t.Errorf("the limit does not hold: %v %s", err, out)
	}
}

// A claim is made for its first pod, keeps its data, and goes by command.
func TestClaims(t *testing.T) {
	b := newBox(t, embedded)
	pod := func(name, source string) string {
		return strings.Replace(containers(name, "", nil, container{"main", "echo " + name + " >>/own/log; cat /own/log; " + forever, ""}),
			"volumes: [{name: own, emptyDir: {}}]", "volumes: [{name: own, persistentVolumeClaim: {"+source+"}}]", 1)
	}
	b.apply("claim.yaml", "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n  accessModes: [ReadWriteOnce]\n  storageClassName: fast\n  resources: {requests: {storage: 2Gi}}\n")
	b.apply("one.yaml", pod("one", "claimName: data"))
	b.waitReady("one")
	if out := b.run("claims", "ls"); !strings.Contains(out, "default/one") || !strings.Contains(out, "fast") || !strings.Contains(out, "2Gi") {
		t.Errorf("claims:\n%s", out)
	}
	if out, err := b.try("claims", "rm", "data"); err == nil || !strings.Contains(out, "in use by pod default/one") {
		t.Errorf("a used claim: %v %s", err, out)
	}
	b.delete("one.yaml")
	b.delete("claim.yaml")
	b.waitGone("one")
	b.apply("two.yaml", pod("two", "claimName: data, readOnly: true"))
	two := b.waitReady("two")
	if got := b.mustInside(two, "cat /own/log"); got != "one" {
		t.Errorf("the claim lost its data, or was written to: %q", got)
	}
	b.delete("two.yaml")
	b.waitGone("two")
	b.run("claims", "rm", "data")
	if out := b.run("claims", "ls", "-o", "name"); out != "" {
		t.Errorf("a claim is left: %s", out)
	}
	if out, err := b.try("claims", "rm", "data"); err == nil || !strings.Contains(out, "there is no claim default/data") {
		t.Errorf("a claim that is not there: %v %s", err, out)
	}
}
