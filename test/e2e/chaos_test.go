package e2e

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

var chaosSeed = flag.Int64("chaos.seed", 1, "seed of TestChaos")

// 100 random edits, deletions and returns of 20 manifests while Solopod is killed at random: at the end exactly the
// manifests' pods run, in their last versions, and nothing else exists.
func TestChaos(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		t.Logf("seed %d", *chaosSeed)
		random := rand.New(rand.NewSource(*chaosSeed))
		version := map[int]int{} // of the manifests that exist
		name := func(i int) string { return fmt.Sprintf("pod%02d", i) }
		write := func(i, v int) {
			version[i] = v
			extra, network := "", "  hostNetwork: true\n"
			if v%3 == 0 {
				extra = "volumes: [{name: v}]"
			}
			if i%4 == 0 {
				network = ""
			}
			text := shell(name(i), fmt.Sprintf("echo version %d\n", v)+forever, extra)
			b.apply(name(i)+".yaml", strings.Replace(text, "  hostNetwork: true\n", network, 1))
		}
		for i := range 20 {
			write(i, 0)
		}
		kills := 0
		for n := range 100 {
			i := random.Intn(20)
			if _, exists := version[i]; exists && random.Intn(3) == 0 {
				b.delete(name(i) + ".yaml")
				delete(version, i)
			} else {
				write(i, n+1)
			}
			if random.Intn(6) == 0 {
				kills++
				b.crash()
				b.start()
			}
			time.Sleep(time.Duration(random.Intn(60)) * time.Millisecond) //nolint:forbidigo // the pace of the edits, not a wait for something
		}
		t.Logf("%d kills, %d manifests are left", kills, len(version))
		b.eventually("exactly the manifests' pods run", func() error {
			var list v1.PodList
			if err := json.Unmarshal([]byte(b.mustGet("/pods")), &list); err != nil {
				return err
			}
			if len(list.Items) != len(version) {
				return fmt.Errorf("%d pods, not %d", len(list.Items), len(version))
			}
			for _, p := range list.Items {
				var i int
				if _, err := fmt.Sscanf(p.Name, "pod%d", &i); err != nil {
					return err
				}
				want := fmt.Sprintf("echo version %d\n", version[i])
				if !isReady(&p) || !strings.HasPrefix(p.Spec.Containers[0].Args[0], want) {
					return fmt.Errorf("pod %s is %s with %q", p.Name, p.Status.Phase, p.Spec.Containers[0].Args[0])
				}
			}
			return nil
		})
		// And nothing else: one cgroup, one set of directories, one shell for each.
		b.eventually("nothing else exists", func() error {
			for _, dir := range []string{"root/pods", "state/pods", "log/pods"} {
				entries, err := os.ReadDir(b.path(dir))
				if err != nil || len(entries) != len(version) {
					return errors.Join(err, fmt.Errorf("%s holds %d entries: %s", dir, len(entries), b.strangers(dir)))
				}
			}
			running := map[string]bool{}
			for _, pid := range b.containerProcesses() {
				comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
				args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
				if strings.TrimSpace(string(comm)) == "sh" && strings.Contains(string(args), "echo version") {
					running[fmt.Sprint(pid)] = true
				}
			}
			if len(running) != len(version) {
				return fmt.Errorf("%d shells for %d pods", len(running), len(version))
			}
			return nil
		})
		for i, v := range version {
			if out := b.run("logs", "--tail", "1", name(i)); out != fmt.Sprintf("version %d\n", v) {
				t.Errorf("pod %s says %q, not version %d", name(i), out, v)
			}
		}
	})
}

// strangers are what lies in directories that are named after no pod's uid, in a directory of pods.
func (b *box) strangers(dir string) (files []string) {
	var list v1.PodList
	if err := json.Unmarshal([]byte(b.mustGet("/pods")), &list); err != nil {
		b.t.Fatal(err)
	}
	filepath.WalkDir(b.path(dir), func(path string, _ fs.DirEntry, _ error) error { //nolint:errcheck // it changes meanwhile
		if !slices.ContainsFunc(list.Items, func(p v1.Pod) bool { return strings.Contains(path, string(p.UID)) }) {
			files = append(files, strings.TrimPrefix(path, b.path(dir)))
		}
		return nil
	})
	return files
}
