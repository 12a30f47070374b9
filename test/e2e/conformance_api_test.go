package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// logsOf is what a pod's log says with options of the kubelet's path.
func logsOf(query, want string) func(c *trial) {
	return func(c *trial) {
		c.ended()
		c.equal("the output with "+query, c.get("/containerLogs/default/"+c.pod+"/main?"+query), want)
	}
}

// split runs a command in main and returns its two streams.
func (c *trial) split(input string, command ...string) (stdout, stderr string, code int) {
	args := []string{"--socket", c.b.path("socket"), "exec"}
	if input != "" {
		args = append(args, "-i")
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append(append(args, c.pod, "-c", "main", "--"), command...)...)
	var out, problems bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &problems
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		c.fatalf("exec: %v", err)
	}
	return out.String(), problems.String(), cmd.ProcessState.ExitCode()
}

// request asks the daemon, and returns the status and the answer.
func (c *trial) request(method, path string) (int, string) {
	req, err := http.NewRequest(method, "http://solopod"+path, nil)
	if err != nil {
		c.fatalf("%v", err)
	}
	resp, err := c.b.http.Do(req)
	if err != nil {
		c.fatalf("%v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.fatalf("%v", err)
	}
	return resp.StatusCode, string(body)
}

// series are the lines of a metrics page that name the trial's pod.
func (c *trial) series(page, name string) []string {
	var out []string
	for _, line := range strings.Split(c.get(page), "\n") {
		if strings.HasPrefix(line, name+"{") && strings.Contains(line, `pod="`+c.pod+`"`) {
			out = append(out, line)
		}
	}
	return out
}

// serving is logs, sessions, metrics and the rest of what a kubelet serves.
var serving = area{name: "logs, sessions and metrics", behaviours: []behaviour{
	{name: "tailLines gives the last lines", script: "seq 1 10", check: logsOf("tailLines=2", "9\n10\n")},
	{name: "tailLines of nothing gives nothing", script: "seq 1 10", check: logsOf("tailLines=0", "")},
	{name: "tailLines of more than there is gives all", script: "seq 1 3", check: logsOf("tailLines=100", "1\n2\n3\n")},
	{name: "limitBytes cuts the output", script: "echo 0123456789", check: logsOf("limitBytes=4", "0123")},
	{name: "sinceSeconds leaves out what is older", script: "echo old; sleep 3; echo new", check: func(c *trial) {
		c.ended()
		text := c.get("/containerLogs/default/" + c.pod + "/main?sinceSeconds=2")
		c.equal("the output has the old line", strings.Contains(text, "old"), false)
	}},
	{name: "sinceTime leaves out what is older", script: "echo old; sleep 2; echo new", check: func(c *trial) {
		e := c.ended()
		since := url.QueryEscape(e.StartedAt.Add(1500 * time.Millisecond).UTC().Format(time.RFC3339Nano))
		c.equal("the output", c.get("/containerLogs/default/"+c.pod+"/main?sinceTime="+since), "new\n")
	}},
	{name: "timestamps are put before the lines", script: "echo one", check: func(c *trial) {
		c.ended()
		text := c.get("/containerLogs/default/" + c.pod + "/main?timestamps=true")
		stamp, rest, _ := strings.Cut(text, " ")
		c.equal("the line", rest, "one\n")
		if at, err := time.Parse(time.RFC3339Nano, stamp); err != nil || time.Since(at) > time.Minute {
			c.errorf("the time is %s: %v", stamp, err)
		}
	}},
	{name: "follow gives what comes, until the container ends", script: "for i in 1 2 3; do echo $i; sleep 1; done", check: func(c *trial) {
		c.wait("running", func(p *v1.Pod) bool { return status(p, "main").State.Running != nil })
		c.equal("the output", c.get("/containerLogs/default/"+c.pod+"/main?follow=true"), "1\n2\n3\n")
	}},
	{name: "both streams are in the log", script: "echo out; echo err >&2", check: func(c *trial) {
		c.ended()
		text := c.logs("main")
		c.contains("the output", text, "out\n", "err\n")
		c.equal("the length", len(text), 8)
	}},
	{name: "a line of 100,000 characters comes back as one", script: "head -c 100000 /dev/zero | tr '\\0' x; echo", check: func(c *trial) {
		c.ended()
		text := c.logs("main")
		c.equal("its length", len(text), 100001)
		c.equal("its lines", strings.Count(text, "\n"), 1)
	}},
	{name: "the log file has the form of CRI", script: "echo out; echo err >&2", check: func(c *trial) {
		p := c.phase(v1.PodSucceeded)
		data, err := os.ReadFile(c.b.path(fmt.Sprintf("log/pods/default_%s_%s/main/0.log", c.pod, p.UID)))
		if err != nil {
			c.fatalf("%v", err)
		}
		for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
			if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\S+ (stdout F out|stderr F err)$`).MatchString(line) {
				c.errorf("a line is %q", line)
			}
		}
	}},
	{name: "the log file of a restarted container has the next number", spec: countingSpec("OnFailure"), main: mountedAt, script: counting, check: func(c *trial) {
		p := c.phase(v1.PodSucceeded)
		dir := c.b.path(fmt.Sprintf("log/pods/default_%s_%s/main", c.pod, p.UID))
		for _, name := range []string{"0.log", "1.log"} {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				c.errorf("%v", err)
			}
		}
	}},
	{name: "the directory of containers' logs has a link", script: forever, check: func(c *trial) {
		p := c.ready()
		id := strings.TrimPrefix(status(p, "main").ContainerID, "containerd://")
		c.until("it leads to the file", func() error {
			target, err := os.Readlink(c.b.path(fmt.Sprintf("log/containers/%s_default_main-%s.log", c.pod, id)))
			if err == nil && !strings.HasSuffix(target, "/main/0.log") {
				err = fmt.Errorf("it leads to %q", target)
			}
			return err
		})
	}},
	{name: "the log of a container that waits is refused with a reason", main: "image: solopod.example/none:1\nimagePullPolicy: Never", script: "true", check: func(c *trial) {
		c.waiting("ErrImageNeverPull")
		code, text := c.request(http.MethodGet, "/containerLogs/default/"+c.pod+"/main")
		c.equal("the status", code/100, 4)
		c.contains("the answer", text, "main")
	}},
	{name: "the log of a container that is none is refused", script: forever, check: func(c *trial) {
		c.ready()
		code, text := c.request(http.MethodGet, "/containerLogs/default/"+c.pod+"/none")
		c.equal("the status", code/100, 4)
		c.contains("the answer", text, "none")
	}},
	{name: "previous of a container that was not restarted is refused", script: forever, check: func(c *trial) {
		c.ready()
		code, _ := c.request(http.MethodGet, "/containerLogs/default/"+c.pod+"/main?previous=true")
		c.equal("the status", code/100, 4)
	}},

	{name: "exec gives the output of a command", script: forever, check: func(c *trial) {
		c.ready()
		out, problems, code := c.split("", "echo", "remote", "execution")
		c.equal("what came", fmt.Sprint(out, problems, code), "remote execution\n0")
	}},
	{name: "exec keeps the streams apart and tells the exit code", script: forever, check: func(c *trial) {
		c.ready()
		out, problems, code := c.split("", "sh", "-c", "echo out; echo err >&2; exit 42")
		c.equal("the output", out, "out\n")
		c.contains("the errors", problems, "err\n")
		c.equal("the exit code", code, 42)
	}},
	{name: "exec passes input through", script: forever, check: func(c *trial) {
		c.ready()
		out, _, _ := c.split("some input\n", "cat")
		c.equal("the output", out, "some input\n")
	}},
	{name: "exec of a command that is not there is told", script: forever, check: func(c *trial) {
		c.ready()
		_, problems, code := c.split("", "no-such-command")
		c.contains("the errors", problems, "no-such-command")
		if code == 0 {
			c.errorf("it succeeded")
		}
	}},
	{name: "exec has the container's working directory and environment", main: "workingDir: /tmp/here\nenv: [{name: A, value: given}]", script: forever, check: func(c *trial) {
		c.ready()
		out, _, _ := c.split("", "sh", "-c", "pwd; echo $A")
		c.equal("the output", out, "/tmp/here\ngiven\n")
	}},
	{name: "exec reaches the container that is named", script: forever, beside: item("other", "echo other >/which; "+forever, ""), check: func(c *trial) {
		c.ready()
		c.until("it is there", func() error {
			if out, _ := c.exec("other", "cat", "/which"); out != "other\n" {
				return fmt.Errorf("%q", out)
			}
			return nil
		})
		if _, code := c.exec("main", "cat", "/which"); code == 0 {
			c.errorf("main has the file, too")
		}
	}},
	{name: "exec reaches a sidecar", init: item("side", forever, "restartPolicy: Always"), script: forever, check: func(c *trial) {
		c.ready()
		out, code := c.exec("side", "echo", "in side")
		c.equal("the output", fmt.Sprint(out, code), "in side\n0")
	}},
	{name: "exec into a container that has ended is refused", script: "true", check: func(c *trial) {
		c.ended()
		out, code := c.exec("main", "true")
		c.contains("the answer", out, "not running")
		if code == 0 {
			c.errorf("it succeeded")
		}
	}},
	{name: "what exec starts is in the container's namespaces", script: forever, check: func(c *trial) {
		c.ready()
		c.equal("the difference", c.sh("for n in pid mnt net ipc uts; do [ $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) ] || echo $n; done"), "")
	}},
	{name: "POST /run gives the output of a command", script: forever, check: func(c *trial) {
		c.ready()
		code, text := c.request(http.MethodPost, "/run/default/"+c.pod+"/main?cmd=hostname")
		c.equal("the status", code, http.StatusOK)
		c.equal("the answer", text, c.sh("hostname")+"\n")
	}},
	{name: "POST /run takes the words of a command apart", script: forever, check: func(c *trial) {
		c.ready()
		_, text := c.request(http.MethodPost, "/run/default/"+c.pod+"/main?cmd="+url.QueryEscape("echo one two"))
		c.equal("the answer", text, "one two\n")
	}},
	{name: "port-forward leads to what listens on the pod's loopback", spec: bridged, script: "mkdir /www; echo forwarded >/www/f; exec httpd -f -p 127.0.0.1:8080 -h /www", check: func(c *trial) {
		c.ready()
		cmd := exec.Command(binary, "--socket", c.b.path("socket"), "port-forward", c.pod, ":8080")
		out, err := cmd.StdoutPipe()
		if err != nil {
			c.fatalf("%v", err)
		}
		if err := cmd.Start(); err != nil {
			c.fatalf("%v", err)
		}
		defer func() {
			cmd.Process.Kill() //nolint:errcheck // it may have ended
			cmd.Wait()         //nolint:errcheck // it was killed
		}()
		line := make([]byte, 200)
		n, err := out.Read(line)
		if err != nil {
			c.fatalf("%v", err)
		}
		port := regexp.MustCompile(`127.0.0.1:(\d+)`).FindSubmatch(line[:n])
		if port == nil {
			c.fatalf("it said %q", line[:n])
		}
		c.until("it answers", func() error {
			if text := httpGet("http://127.0.0.1:" + string(port[1]) + "/f"); text != "200 forwarded\n" {
				return fmt.Errorf("%q", text)
			}
			return nil
		})
	}},
	{name: "attach gives input to the container, and its output back", main: "stdin: true\nstdinOnce: true", script: "read line; echo got $line", check: func(c *trial) {
		c.ready()
		cmd := exec.Command(binary, "--socket", c.b.path("socket"), "attach", "-i", c.pod, "-c", "main")
		cmd.Stdin = strings.NewReader("some words\n")
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != "got some words\n" {
			c.errorf("it gave %q: %v", out, err)
		}
		c.phase(v1.PodSucceeded)
	}},
	{name: "cp brings a file in and out", script: forever, check: func(c *trial) {
		c.ready()
		source, back := filepath.Join(c.host, "in"), filepath.Join(c.host, "out")
		if err := os.WriteFile(source, []byte("content"), 0o640); err != nil {
			c.fatalf("%v", err)
		}
		for _, args := range [][]string{{source, c.pod + ":/tmp-file"}, {c.pod + ":/tmp-file", back}} {
			if out, err := exec.Command(binary, append([]string{"--socket", c.b.path("socket"), "cp"}, args...)...).CombinedOutput(); err != nil {
				c.fatalf("%v: %s", err, out)
			}
		}
		c.equal("the file", c.hostFile("out"), "content")
		c.equal("its mode", c.sh("stat -c %a /tmp-file"), "640")
	}},

	{name: "/pods lists a pod with its spec and status", meta: "labels: {a: b}", script: forever, check: func(c *trial) {
		c.ready()
		var list v1.PodList
		if err := json.Unmarshal([]byte(c.get("/pods")), &list); err != nil {
			c.fatalf("%v", err)
		}
		c.equal("the kind", list.Kind+" "+list.APIVersion, "PodList v1")
		for _, p := range list.Items {
			if p.Name == c.pod {
				c.equal("the pod", p.Labels["a"]+p.Spec.Containers[0].Image+string(p.Status.Phase), "b"+conformanceImage+"Running")
				return
			}
		}
		c.errorf("it is not there")
	}},
	{name: "/runningpods lists what runs, and nothing that has ended", script: "sleep 2", check: func(c *trial) {
		c.ready()
		c.contains("the list", c.get("/runningpods/"), `"`+c.pod+`"`)
		c.phase(v1.PodSucceeded)
		c.until("it is gone from there", func() error {
			if strings.Contains(c.get("/runningpods/"), `"`+c.pod+`"`) {
				return fmt.Errorf("it is there")
			}
			return nil
		})
	}},
	{name: "/stats/summary tells what a container uses", script: "head -c 5000000 /dev/zero >/dev/shm/f; " + forever, check: func(c *trial) {
		c.ready()
		c.until("it is told", func() error {
			var summary struct {
				Pods []struct {
					PodRef     struct{ Name string }
					Containers []struct {
						Name   string
						CPU    struct{ UsageCoreNanoSeconds uint64 }
						Memory struct{ WorkingSetBytes uint64 }
					}
				}
			}
			if err := json.Unmarshal([]byte(c.get("/stats/summary")), &summary); err != nil {
				return err
			}
			for _, p := range summary.Pods {
				if p.PodRef.Name == c.pod && len(p.Containers) == 1 && p.Containers[0].Name == "main" && p.Containers[0].CPU.UsageCoreNanoSeconds > 0 && p.Containers[0].Memory.WorkingSetBytes > 1<<20 {
					return nil
				}
			}
			return fmt.Errorf("not yet")
		})
	}},
	{name: "/metrics/cadvisor has a container's memory and CPU", script: forever, check: func(c *trial) {
		c.ready()
		for _, name := range []string{"container_memory_working_set_bytes", "container_cpu_usage_seconds_total", "container_spec_memory_limit_bytes"} {
			c.until(name, func() error {
				for _, line := range c.series("/metrics/cadvisor", name) {
					if strings.Contains(line, `container="main"`) && strings.Contains(line, `namespace="default"`) && strings.Contains(line, `image="`+conformanceImage+`"`) {
						return nil
					}
				}
				return fmt.Errorf("there is no such series")
			})
		}
	}},
	{name: "/metrics/cadvisor has the network of a pod", spec: bridged, script: forever, check: func(c *trial) {
		c.ready()
		c.until("it is there", func() error {
			for _, line := range c.series("/metrics/cadvisor", "container_network_receive_bytes_total") {
				if strings.Contains(line, `interface="eth0"`) {
					return nil
				}
			}
			return fmt.Errorf("there is no such series")
		})
	}},
	{name: "/metrics/resource has container and pod", script: forever, check: func(c *trial) {
		c.ready()
		for _, name := range []string{"container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "container_start_time_seconds", "pod_cpu_usage_seconds_total", "pod_memory_working_set_bytes"} {
			c.until(name, func() error {
				if len(c.series("/metrics/resource", name)) != 1 {
					return fmt.Errorf("%q", c.series("/metrics/resource", name))
				}
				return nil
			})
		}
	}},
	{name: "/metrics/probes counts results", main: "readinessProbe: {exec: {command: ['true']}, periodSeconds: 1}\nlivenessProbe: {exec: {command: [sh, -c, '[ -e /n ] || { touch /n; false; }']}, periodSeconds: 1}", script: forever, check: func(c *trial) {
		c.ready()
		c.until("both are counted", func() error {
			all := strings.Join(c.series("/metrics/probes", "prober_probe_total"), "\n")
			for _, part := range []string{`probe_type="Readiness",result="successful"`, `probe_type="Liveness",result="failed"`} {
				if !regexp.MustCompile(strings.ReplaceAll(part, ",", "(,[^}]*)?,")).MatchString(all) {
					return fmt.Errorf("%s lacks %s", all, part)
				}
			}
			return nil
		})
	}},
	{name: "a kill for memory is counted", spec: "restartPolicy: Always", main: "resources: {limits: {memory: 16Mi}}", script: "exec tail /dev/zero", check: func(c *trial) {
		c.wait("restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount > 0 })
		c.until("it is counted", func() error {
			for _, line := range c.series("/metrics/cadvisor", "container_oom_events_total") {
				if strings.Contains(line, `container="main"`) && !strings.HasSuffix(line, " 0") {
					return nil
				}
			}
			return fmt.Errorf("it is not")
		})
	}},

	{name: "a manifest in JSON is a pod as one in YAML", script: "true", check: func(c *trial) {
		name := c.pod + "-json"
		c.write(name+".json", `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "`+name+`"}, "spec": {"restartPolicy": "Never", "hostNetwork": true, "containers": [{"name": "main", "image": "`+conformanceImage+`", "command": ["echo", "json"]}]}}`)
		c.waitOther(name, "succeeded", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
		c.equal("the output", c.get("/containerLogs/default/"+name+"/main"), "json\n")
	}},
	{name: "a hidden file is no manifest", script: forever, check: func(c *trial) {
		c.ready()
		if err := os.WriteFile(c.b.path("manifests/."+c.pod+"-hidden.yaml"), []byte(c.text(c.manifest(c.pod+"-hidden"))), 0o600); err != nil {
			c.fatalf("%v", err)
		}
		c.stays(2*time.Second, "alone", func(*v1.Pod) bool { c.lock.Lock(); defer c.lock.Unlock(); return len(c.seen) == 1 })
		if err := os.Remove(c.b.path("manifests/." + c.pod + "-hidden.yaml")); err != nil {
			c.fatalf("%v", err)
		}
	}},
	{name: "a bad edit leaves the pod as it is", script: forever, spec: "restartPolicy: Always", check: func(c *trial) {
		before := c.ready()
		c.write(c.pod+".yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: @pod}\nspec: {containers: [{name: main, imag: x}]}\n")
		c.until("it is refused", func() error {
			if !strings.Contains(c.get("/manifests"), "imag") {
				return fmt.Errorf("not yet")
			}
			return nil
		})
		c.stays(time.Second, "as it was", func(p *v1.Pod) bool { return status(p, "main").ContainerID == status(before, "main").ContainerID })
	}},
	{name: "a pod of another namespace is another pod", script: "true", check: func(c *trial) {
		c.phase(v1.PodSucceeded)
		name := c.pod + "-elsewhere"
		other := c.behaviour
		other.meta, other.script = "namespace: elsewhere", "echo $NS"
		other.main = "env: [{name: NS, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}]"
		c.write(name+".yaml", other.manifest(name))
		p := c.waitOther(name, "succeeded", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
		c.equal("the namespace", p.Namespace, "elsewhere")
		c.equal("the output", c.get("/containerLogs/elsewhere/"+name+"/main"), "elsewhere\n")
	}},
	{name: "a manifest that is written again without a change restarts nothing", spec: "restartPolicy: Always", script: forever, check: func(c *trial) {
		before := c.ready()
		c.apply(c.behaviour)
		c.stays(2*time.Second, "as it was", func(p *v1.Pod) bool { return status(p, "main").ContainerID == status(before, "main").ContainerID })
	}},
	{name: "a pod that has ended is not run again when its manifest is written again", script: "true", check: func(c *trial) {
		before := c.phase(v1.PodSucceeded)
		c.apply(c.behaviour)
		c.stays(2*time.Second, "as it was", func(p *v1.Pod) bool {
			return status(p, "main").State.Terminated != nil && p.UID == before.UID && status(p, "main").RestartCount == 0
		})
	}},
}}
