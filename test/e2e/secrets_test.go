package e2e

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	bolt "go.etcd.io/bbolt"
	v1 "k8s.io/api/core/v1"
)

// holding lists the files below the box's directories that hold a value, in their content or name, but for the files of mounted Secrets.
func (b *box) holding(values ...string) (found []string) {
	b.t.Helper()
	files := 0
	for _, top := range []string{"root", "state", "log", "output", "containerd-root", "containerd-state"} {
		err := filepath.WalkDir(b.path(top), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a directory of another mode, or one that has just gone
			}
			if err != nil {
				return err
			}
			if inside, _ := filepath.Rel(b.path("state/pods"), path); strings.Count(inside, "/") == 1 && strings.HasSuffix(inside, "/filled") {
				return fs.SkipDir
			}
			text := []byte(path)
			switch {
			case d.Type()&fs.ModeSymlink != 0:
				target, _ := os.Readlink(path)
				text = append(text, target...)
			case d.Type().IsRegular():
				content, err := os.ReadFile(path)
				if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EINVAL) { // a namespace is no text
					return err
				}
				files++
				text = append(text, content...)
			}
			for _, v := range values {
				for _, form := range []string{v, base64.StdEncoding.EncodeToString([]byte(v)), base64.RawURLEncoding.EncodeToString([]byte(v))} {
					if bytes.Contains(text, []byte(form)) {
						found = append(found, path)
						return nil
					}
				}
			}
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	if files < 10 {
		b.t.Fatalf("only %d files were looked at", files)
	}
	return found
}

func (b *box) holdsNone(when string, values ...string) {
	b.t.Helper()
	if found := b.holding(values...); len(found) > 0 {
		b.t.Errorf("%s the value of a Secret stands in %s", when, strings.Join(found, ", "))
	}
}

// secretPod uses a Secret in every way that ends in a process, and shows by lengths alone that it has the values.
const secretPod = `apiVersion: v1
kind: Pod
metadata: {name: pod, annotations: {solopod.io/restart-on-change: all}}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: mounted, secret: {secretName: keys}}]
  containers:
  - name: main
    image: solopod.example/box:1
    command: ["/bin/sh", "-c", "echo lengths ${#0} ${#PASSWORD} ${#P_number} ${#BOTH} ${#TOLD}; while :; do sleep 1000 & wait; done", "$(PASSWORD)"]
    volumeMounts: [{name: mounted, mountPath: /mounted}]
    envFrom: [{prefix: P_, secretRef: {name: keys}}]
    env:
    - {name: PASSWORD, valueFrom: {secretKeyRef: {name: keys, key: password}}}
    - {name: BOTH, value: "<$(PASSWORD)>"}
    - {name: TOLD, value: told}
    lifecycle: {postStart: {exec: {command: [sh, -c, "[ \"<$PASSWORD>\" = \"$BOTH\" ]"]}}}
    readinessProbe: {periodSeconds: 1, timeoutSeconds: 30, exec: {command: [sh, -c, "[ ${#BOTH} -eq 22 ]"]}}
`

// No value of a Secret stands in a file, whatever happens to its pod, container and daemon; and those who should have it do.
func TestSecretsStayOffTheDisk(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		values := []string{secretText, secretNumber}
		b.applyObject("keys.yaml", secret("keys", fmt.Sprintf("{password: %s, number: %q}", secretText, secretNumber)))
		b.apply("pod.yaml", secretPod)
		has := func(when string, attempts int32) {
			t.Helper()
			b.waitPod("pod", "ready "+when, func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == attempts })
			if log := b.run("logs", "pod"); !strings.Contains(log, "lengths 20 20 24 22 4\n") {
				t.Errorf("%s the process has not what it should have: %s", when, log)
			}
			for _, args := range [][]string{{"exec", "pod", "--"}, {"exec", "-t", "pod", "--"}} {
				out := b.run(append(args, "sh", "-c", "echo has ${#PASSWORD} $TOLD $FROM_IMAGE; ls -l /proc/1/fd /proc/self/fd")...)
				if !strings.Contains(out, "has 20 told yes") || !strings.Contains(out, "0 ->") || strings.Contains(out, "memfd") {
					t.Errorf("%s a command has not what it should have, or more: %s", when, out)
				}
			}
			b.holdsNone(when, values...)
		}
		has("at first", 0)
		b.killContainer(b.pod("default", "pod"), "main")
		has("after the container's end", 1)
		b.stop(syscall.SIGTERM)
		b.start()
		has("after a restart of the daemon", 1)
		b.crash()
		b.start()
		has("after a crash of the daemon", 1)
		shown := b.run("describe", "pod", "pod") + b.run("get", "events") + b.mustGet("/pods") + b.mustGet("/metrics")
		if strings.Contains(shown, secretText) || strings.Contains(shown, secretNumber) {
			t.Error("a value of a Secret is shown")
		}
		b.delete("pod.yaml")
		b.waitGone("pod")
		b.holdsNone("after the pod's end", values...)
		if exists(b.path("state/seal")) {
			t.Error("the key is still there")
		}
	})
}

// What an OCI runtime says of a command with a Secret in it does not show that.
func TestSecretsInErrors(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.applyObject("keys.yaml", secret("keys", "{password: "+secretText+"}"))
		b.apply("pod.yaml", `apiVersion: v1
kind: Pod
metadata: {name: pod}
spec:
  containers:
  - name: main
    image: solopod.example/box:1
    command: ["$(PASSWORD)"]
    env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: keys, key: password}}}]
`)
		b.waitPod("pod", "refused", func(p *v1.Pod) bool {
			last := status(p, "main").LastTerminationState.Terminated
			return last != nil && strings.Contains(last.Message, `"$(PASSWORD)"`)
		})
		b.eventually("there is an event", func() error {
			if out := b.run("get", "events"); !strings.Contains(out, "$(PASSWORD)") {
				return errors.New(out)
			}
			return nil
		})
		if shown := b.run("describe", "pod", "pod") + b.run("get", "events") + b.mustGet("/pods"); strings.Contains(shown, secretText) {
			t.Errorf("the value of a Secret is shown:\n%s", shown)
		}
		b.holdsNone("after a refusal", secretText)
	})
}

// With the state directory the key goes: commands have what the image sets, all else goes on, and the next attempt has everything.
func TestSecretsWithoutKey(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.applyObject("keys.yaml", secret("keys", "{password: "+secretText+"}"))
		b.apply("pod.yaml", strings.Replace(shell("pod", "echo length ${#PASSWORD}; "+forever, ""), "    command:",
			"    env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: keys, key: password}}}]\n    command:", 1))
		p := b.waitReady("pod")
		length := func() string {
			return strings.TrimSpace(b.run("exec", "pod", "--", "sh", "-c", "echo ${#PASSWORD} $FROM_IMAGE"))
		}
		if got := length(); got != "20 yes" {
			t.Fatalf("at first: %q", got)
		}
		for _, left := range []string{"runtimes/runc", "runtimes", "key"} {
			if err := os.Remove(b.path("state/seal/" + left)); err != nil {
				t.Fatal(err)
			}
		}
		if got := length(); got != "0 yes" {
			t.Errorf("without the key: %q", got)
		}
		b.crash()
		b.start()
		b.waitReady("pod")
		if got := length(); got != "0 yes" {
			t.Errorf("without the key, after a crash: %q", got)
		}
		b.killContainer(p, "main")
		b.waitPod("pod", "restarted", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 1 })
		if got := length(); got != "20 yes" {
			t.Errorf("after a restart of the container: %q", got)
		}
		b.holdsNone("after the loss of the key", secretText)
	})
}

// A pod without Secrets has nothing to do with all this; ConfigMaps' values are no secrets.
func TestNoSecretNoKey(t *testing.T) {
	b := newBox(t, embedded)
	b.apply("map.yaml", configMap("map", "{one: not-a-secret}"))
	b.apply("pod.yaml", strings.Replace(shell("pod", forever, ""), "    command:", "    envFrom: [{configMapRef: {name: map}}]\n    command:", 1))
	b.waitReady("pod")
	if exists(b.path("state/seal")) {
		t.Error("there is a key")
	}
	if len(b.holding("not-a-secret")) == 0 {
		t.Error("what is searched for is not found where it stands")
	}
}

// The shim writes what a command's process is to a file for a moment, which may be on a disk.
func TestSecretsOfCommands(t *testing.T) {
	b := prepareBox(t, embedded)
	if err := os.Mkdir(b.path("tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.environ = []string{"TMPDIR=" + b.path("tmp")}
	b.link(imageArchive, "images/box.tar")
	b.start()
	b.applyObject("keys.yaml", secret("keys", fmt.Sprintf("{password: %s, number: %q}", secretText, secretNumber)))
	b.apply("pod.yaml", secretPod)
	b.waitReady("pod")
	watch, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Add(b.path("tmp")); err != nil {
		t.Fatal(err)
	}
	var hidden, plain atomic.Int32
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for e := range watch.Events { // until the watch is closed
			content, _ := os.ReadFile(e.Name) // it may have gone
			if bytes.Contains(content, []byte(secretText)) {
				plain.Add(1)
			}
			if bytes.Contains(content, []byte("SOLOPOD_SEALED=")) {
				hidden.Add(1)
			}
		}
	}()
	b.eventually("some files of commands were seen", func() error {
		if b.run("exec", "pod", "--", "true"); hidden.Load() < 3 {
			return fmt.Errorf("%d", hidden.Load())
		}
		return nil
	})
	watch.Close()
	<-watched
	if plain.Load() > 0 {
		t.Errorf("%d times a file had the value of a Secret", plain.Load())
	}
}

// What an earlier version has written in plain sight is hidden at the first start; its containers run on, and commands have everything.
func TestSecretsOfFormerVersion(t *testing.T) {
	t.Run("first upgrade", func(t *testing.T) { secretsOfFormerVersion(t, true) })
	t.Run("after a downgrade", func(t *testing.T) { secretsOfFormerVersion(t, false) })
}

func secretsOfFormerVersion(t *testing.T, first bool) {
	const value = "value-in-plain-sight"
	b := newBox(t, embedded)
	b.apply("map.yaml", configMap("map", "{VALUE: "+value+"}")) // which is written down as Secrets were
	b.apply("pod.yaml", strings.Replace(shell("pod", forever, ""), "    command:", "    envFrom: [{configMapRef: {name: map}}]\n    command:", 1))
	b.apply("gone.yaml", strings.Replace(shell("gone", forever, ""), "    command:", "    envFrom: [{configMapRef: {name: map}}]\n    command:", 1))
	b.waitReady("gone")
	b.delete("gone.yaml")
	b.waitGone("gone")
	id := status(b.waitReady("pod"), "main").ContainerID
	b.crash()
	if len(b.holding(value)) < 2 {
		t.Fatal("the value is not in database and bundle")
	}
	b.dropLabel("io.solopod.sealed") // of which an earlier version knows nothing
	if first {
		if err := os.Remove(b.path("root/containerd/io.containerd.metadata.v1.bolt/sealed")); err != nil {
			t.Fatal(err)
		}
	}
	b.start()
	for range 2 {
		if p := b.waitReady("pod"); status(p, "main").ContainerID != id || status(p, "main").RestartCount != 0 {
			t.Error("the container is another one")
		}
		if out := b.run("exec", "pod", "--", "sh", "-c", "echo $VALUE $FROM_IMAGE"); !strings.Contains(out, value+" yes") {
			t.Errorf("a command has %q", out)
		}
		b.holdsNone("after an upgrade", value)
		b.crash()
		b.start()
	}
	b.delete("pod.yaml")
	b.waitGone("pod")
	if exists(b.path("state/seal")) {
		t.Error("the key is still there")
	}
}

// dropLabel takes a label from all records of containers in the database of the containerd inside, which must not run.
func (b *box) dropLabel(label string) {
	b.t.Helper()
	db, err := bolt.Open(b.path("root/containerd/io.containerd.metadata.v1.bolt/meta.db"), 0o600, &bolt.Options{Timeout: 10 * time.Second, NoFreelistSync: true})
	if err != nil {
		b.t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		records := tx.Bucket([]byte("v1")).Bucket([]byte("solopod")).Bucket([]byte("containers"))
		return records.ForEachBucket(func(id []byte) error { return records.Bucket(id).Bucket([]byte("labels")).Delete([]byte(label)) })
	})
	if err := errors.Join(err, db.Close()); err != nil {
		b.t.Fatal(err)
	}
}
