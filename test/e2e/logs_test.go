package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// Logs have no gap and no double line while Solopod is killed over and over.
func TestLogsOverKills(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		const lines = 60_000
		b.apply("writer.yaml", shell("writer", fmt.Sprintf("seq 1 %d; echo the end", lines), "restartPolicy: Never"))
		b.waitPod("writer", "started", func(p *v1.Pod) bool { return status(p, "main").ContainerID != "" })
		for range 6 {
			b.crash()
			b.start()
		}
		b.waitPod("writer", "succeeded", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
		n := 0
		for sc := bufio.NewScanner(strings.NewReader(b.run("logs", "writer"))); sc.Scan(); {
			if n++; n <= lines && sc.Text() != fmt.Sprint(n) || n > lines && sc.Text() != "the end" {
				t.Fatalf("line %d is %q", n, sc.Text())
			}
		}
		if n != lines+1 {
			t.Errorf("%d lines", n)
		}
	})
}

// What a container writes, and how it ends, while nobody is there to see it is known to the next Solopod.
func TestEndWhileDown(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		volume := "restartPolicy: Never\nvolumes: [{name: v, hostPath: {path: " + b.path("v") + ", type: DirectoryOrCreate}}]"
		mount := indent(4, "volumeMounts: [{name: v, mountPath: /v}]")
		b.apply("ends.yaml", shell("ends", "echo first; while [ ! -e /v/go ]; do sleep 0.05; done; seq 1 5000; printf 'last words' >&2; exit 3", volume)+mount)
		pod := b.waitReady("ends")
		pid := b.pid(pod, "main")
		b.crash()
		b.writeFile("v/go", "")
		b.eventually("the container ends", func() error {
			if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
				return fmt.Errorf("it runs: %s", state)
			}
			return nil
		})
		at := time.Now().Add(2 * time.Second) // its shim takes a moment to note the end
		b.eventually("the daemon's start is told from that", func() error {
			if left := time.Until(at); left > 0 {
				return fmt.Errorf("%s are left", left)
			}
			return nil
		})
		b.start()
		pod = b.waitPod("ends", "failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
		end := status(pod, "main").State.Terminated
		if end.ExitCode != 3 || end.Reason != "Error" || end.FinishedAt.After(at) || at.Sub(end.FinishedAt.Time) > time.Minute {
			t.Errorf("it ended with %+v; the time was %s", end, at)
		}
		// Two streams are two pipes: each keeps its order, and nothing says which of them is read first.
		want := []string{"first"}
		for n := 1; n <= 5000; n++ {
			want = append(want, fmt.Sprint(n))
		}
		said := strings.Split(strings.TrimSuffix(b.run("logs", "ends"), "\n"), "\n")
		words := 0
		lines := slices.DeleteFunc(said, func(line string) bool {
			if line == "last words" {
				words++
				return true
			}
			return false
		})
		if words != 1 || !slices.Equal(lines, want) {
			t.Errorf("%d times the last words, and %d lines: the first are %q, the last %q",
				words, len(lines), lines[:min(3, len(lines))], lines[max(0, len(lines)-3):])
		}
	})
}

// The log files are where shippers look for them, in their format, and rotate.
func TestLogFiles(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.writeFile("config.yaml", "containerLogMaxSize: 20Ki\ncontainerLogMaxFiles: 3\n")
	b.flags = []string{"--config", b.path("config.yaml")}
	b.link(imageArchive, "images/box.tar")
	b.start()
	b.apply("talks.yaml", shell("talks", "echo out; echo err >&2; seq 1 50000; echo last\n"+forever, ""))
	pod := b.waitReady("talks")
	dir := b.path("log/pods/default_talks_" + string(pod.UID) + "/main")
	b.eventually("the last line is there", func() error {
		if out := b.run("logs", "--tail", "1", "talks"); out != "last\n" {
			return fmt.Errorf("it is %q", out)
		}
		return nil
	})
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 3 {
		t.Errorf("%d files in %s, %v", len(files), dir, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
			word := strings.Split(line, " ")
			if line == "" { // the current file, just rotated
				continue
			}
			if _, err := time.Parse(time.RFC3339Nano, word[0]); err != nil || len(word) != 4 || word[1] != "stdout" || word[2] != "F" {
				t.Fatalf("a line of the log is %q", line)
			}
		}
	}
	id := strings.TrimPrefix(status(pod, "main").ContainerID, "containerd://")
	if target, err := os.Readlink(b.path("log/containers/talks_default_main-" + id + ".log")); err != nil || target != filepath.Join(dir, "0.log") {
		t.Errorf("the link leads to %q, %v", target, err)
	}
}

// solopod logs: -f, -p, --tail, --since, --timestamps.
func TestLogsCommand(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	volume := "volumes: [{name: v, hostPath: {path: " + b.path("v") + ", type: DirectoryOrCreate}}]"
	mount := indent(4, "volumeMounts: [{name: v, mountPath: /v}]")
	b.apply("talks.yaml", shell("talks", "echo attempt $(cat /v/n 2>/dev/null || echo 1); echo second; while [ ! -e /v/go ]; do sleep 0.05; done; printf third; rm /v/go; echo 2 > /v/n; exit 1", volume)+mount)
	b.waitReady("talks")
	b.eventually("two lines", func() error {
		if out := b.run("logs", "talks"); strings.Count(out, "\n") != 2 {
			return fmt.Errorf("%q", out)
		}
		return nil
	})
	follow := exec.Command(binary, "--socket", b.path("socket"), "logs", "-f", "--tail", "1", "talks")
	pipe, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	output := bufio.NewReader(pipe)
	followed, err := output.ReadString('\n') // it follows from here on
	if err != nil {
		t.Error(err)
	}
	b.writeFile("v/go", "")
	rest, err := io.ReadAll(output)
	if err := errors.Join(err, follow.Wait()); err != nil { // it ends with the container
		t.Fatal(err)
	}
	if followed += string(rest); followed != "second\nthird" {
		t.Errorf("followed %q", followed)
	}
	b.waitPod("talks", "restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 && isReady(p) })
	if out := b.run("logs", "-p", "--tail", "2", "talks"); out != "second\nthird" {
		t.Errorf("the attempt before says %q", out)
	}
	b.eventually("the new attempt's log", func() error {
		if out := b.run("logs", "talks"); out != "attempt 2\nsecond\n" {
			return fmt.Errorf("%q", out)
		}
		return nil
	})
	if out := b.run("logs", "--since", "1h", "--timestamps", "talks"); !strings.HasPrefix(out, time.Now().UTC().Format("2006-")) {
		t.Errorf("with timestamps: %q", out)
	}
	if out, err := b.try("logs", "absent"); err == nil || !strings.Contains(out, `pods "absent" not found in namespace default`) {
		t.Errorf("logs of no pod: %q, %v", out, err)
	}
}

// get and describe, in all their forms.
func TestCommands(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	watch, cancel := context.WithCancel(context.Background())
	defer cancel()
	watcher := exec.CommandContext(watch, binary, "--socket", b.path("socket"), "get", "pods", "-w")
	out, err := watcher.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watcher.Start(); err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 100)
	go func() {
		defer close(seen)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			seen <- sc.Text()
		}
	}()
	b.apply("web.yaml", web("web", "resources: {limits: {cpu: 500m, memory: 64Mi}}"))
	pod := b.waitReady("web")
	for deadline := time.After(patience); ; {
		select {
		case line := <-seen:
			if strings.HasPrefix(line, "web") && strings.Contains(line, "1/1") && strings.Contains(line, "Running") {
				goto watched
			}
			continue
		case <-deadline:
			t.Fatal("get -w never showed the ready pod")
		}
	}
watched:
	cancel()
	watcher.Wait() //nolint:errcheck // it was ended
	for _, c := range []struct {
		args string
		want []string
	}{
		{"get pods", []string{"NAME", "READY", "STATUS", "RESTARTS", "AGE", "web", "1/1", "Running"}},
		{"get po -o wide", []string{"IP", "NODE", "QOS", pod.Status.PodIP, "Guaranteed", "web.yaml"}},
		{"get pods -A", []string{"NAMESPACE", "default"}},
		{"get pods web -o name", []string{"pod/web\n"}},
		{"get images", []string{"solopod.example/box:1"}},
		{"images ls", []string{"solopod.example/box:1"}},
		{"get events", []string{"Started", "pod/web"}},
		{"get manifests", []string{"web.yaml", "Active", "default/web"}},
		{"describe pod web", []string{"Name:", "web", "QoS Class:", "Guaranteed", "Readiness:", "HTTP on the pod port http/healthz", "Ready:", "true", "Events:", "Started container"}},
		{"version", []string{"solopod "}},
	} {
		got := b.run(strings.Fields(c.args)...)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s lacks %q:\n%s", c.args, want, got)
			}
		}
	}
	var fromJSON, fromYAML v1.Pod
	if err := json.Unmarshal([]byte(b.run("get", "pods", "web", "-o", "json")), &fromJSON); err != nil || fromJSON.Status.Phase != v1.PodRunning {
		t.Errorf("-o json: %v, %s", err, fromJSON.Status.Phase)
	}
	if err := yaml.Unmarshal([]byte(b.run("get", "pods", "web", "-o", "yaml")), &fromYAML); err != nil || fromYAML.UID != fromJSON.UID {
		t.Errorf("-o yaml: %v, %s", err, fromYAML.UID)
	}
	for args, want := range map[string]string{
		"get pods absent":                     `pods "absent" not found in namespace default`,
		"get pods -o tabel":                   "-o takes wide, json, yaml, name",
		"logs web -c none":                    `pod default/web has no container "none"; it has web`,
		"get pods --socket " + b.path("none"): "no daemon listens on",
		"images rm none":                      "not found",
	} {
		if got, err := b.try(strings.Fields(args)...); err == nil || !strings.Contains(got, want) {
			t.Errorf("%s says %q, %v", args, got, err)
		}
	}
	if got := b.run("get", "pods", "-n", "other"); !strings.Contains(got, "No pods found in namespace other (1 in other namespaces: use -A)") {
		t.Errorf("an empty namespace: %q", got)
	}
}

// numbered reads the numbers from 0 to last, one a line, and says where they are others. began is closed with the first.
func numbered(r io.Reader, last int, began chan<- struct{}) (problem string) {
	next := 0
	for sc := bufio.NewScanner(r); sc.Scan(); next++ {
		if sc.Text() != fmt.Sprint(next) {
			return fmt.Sprintf("line %d is %q", next, sc.Text())
		}
		if next == 0 {
			close(began)
		}
	}
	if next != last+1 {
		return fmt.Sprintf("%d lines, not %d", next, last+1)
	}
	return ""
}
