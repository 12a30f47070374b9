package e2e

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// wild is where manifests from elsewhere lie.
var wild = flag.String("wild", "testdata/wild", "directory of pod manifests that TestManifestsFromTheWild runs")

// standIn takes the place of a program that is not here: with -onetime it ends, else it says how it was called and waits.
const standIn = `#!/bin/sh
case "$*" in *-onetime*) exit 0 ;; esac
echo "called with $*"
trap 'exit 0' TERM
while true; do sleep 1000 & wait; done
`

// Manifests that were written for a kubelet pass the check as they are, and run up to the point where their programs would
// answer. Only the host's directories are others.
func TestManifestsFromTheWild(t *testing.T) {
	files, err := filepath.Glob(*wild + "/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests in %s: %v", *wild, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			b := newBox(t, embedded)
			if out, err := b.try("check", file); err != nil {
				t.Fatalf("the check: %s", out)
			}
			pod := &v1.Pod{}
			if err := yaml.Unmarshal([]byte(readFile(t, file)), pod); err != nil {
				t.Fatal(err)
			}
			b.standIns(pod)
			for _, v := range pod.Spec.Volumes {
				if v.HostPath != nil {
					v.HostPath.Path = b.path("host") + v.HostPath.Path
				}
			}
			text, err := json.Marshal(pod)
			if err != nil {
				t.Fatal(err)
			}
			b.apply("wild.json", string(text))
			namespace := pod.Namespace
			if namespace == "" {
				namespace = v1.NamespaceDefault
			}
			b.waitPodIn(namespace, pod.Name, "running in all its containers", func(p *v1.Pod) bool {
				for _, c := range pod.Spec.Containers {
					if status(p, c.Name).State.Running == nil {
						return false
					}
				}
				return p.Status.Phase == v1.PodRunning
			})
			for _, c := range pod.Spec.Containers {
				if out := b.run("logs", "-n", namespace, pod.Name, "-c", c.Name); !strings.Contains(out, "called with "+strings.Join(c.Args, " ")) {
					t.Errorf("%s says %q", c.Name, out)
				}
			}
		})
	}
}

// standIns packs an image for each that the pod names, whose program, and entrypoint, is the stand-in.
func (b *box) standIns(pod *v1.Pod) {
	b.t.Helper()
	b.writeFile("stand-in", standIn)
	if err := os.Chmod(b.path("stand-in"), 0o755); err != nil {
		b.t.Fatal(err)
	}
	programs := map[string][]string{}
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			programs[c.Image] = append(programs[c.Image], "/stand-in")
			if len(c.Command) > 0 {
				program := c.Command[0]
				if !strings.HasPrefix(program, "/") {
					program = "/usr/bin/" + program
				}
				programs[c.Image] = append(programs[c.Image], program)
			}
		}
	}
	for image, paths := range programs {
		archive := b.path("stand-in.tar")
		args := []string{"-o", archive, "-name", image, "-entrypoint", "/stand-in", "-link", "/bin/sh=busybox", "-link", "/bin/sleep=busybox", "/bin/busybox:/bin/busybox"}
		for _, p := range paths {
			args = append(args, b.path("stand-in")+":"+p)
		}
		if out, err := exec.Command("../../bin/pack", args...).CombinedOutput(); err != nil {
			b.t.Fatalf("pack: %v: %s", err, out)
		}
		b.run("images", "import", archive)
	}
}
