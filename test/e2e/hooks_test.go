package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Hooks of every kind, inside the grace period; the stop signal; a probe's own grace period.
func TestHooks(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		var asked atomic.Int32
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/ready" && r.UserAgent() == "own/1.0" && r.Header.Get("Accept") == "" && r.Host == "x.example":
				return
			case r.URL.Path == "/stopping" && r.Header.Get("X-From") == "hook" && r.UserAgent() == "own/2.0":
				asked.Add(1)
			}
			w.WriteHeader(http.StatusTeapot) // any answer will do for a hook
		})}
		go server.Serve(listener) //nolint:errcheck // it ends with Close
		t.Cleanup(func() { server.Close() })
		port := listener.Addr().(*net.TCPAddr).Port

		volume := b.path("host")
		if err := os.Mkdir(volume, 0o777); err != nil {
			t.Fatal(err)
		}
		keep := "volumes: [{name: own, hostPath: {path: " + volume + "}}]"
		hooked := func(name, script, lifecycle, extra string) string {
			return strings.Replace(containers(name, "", nil, container{"main", script, "lifecycle:\n" + indent(2, lifecycle) + "\n" + extra}),
				"volumes: [{name: own, emptyDir: {}}]", "os: {name: linux}\n  "+keep, 1)
		}

		// postStart comes before the pod is ready; preStop before the signal, which is the manifest's.
		b.apply("both.yaml", hooked("both", "trap 'echo signal >>/own/both; exit 0' USR1; while true; do sleep 1000 & wait; done",
			`postStart: {exec: {command: [sh, -c, "sleep 1; echo started >>/own/both"]}}
preStop: {exec: {command: [sh, -c, "echo stopping >>/own/both"]}}
stopSignal: SIGUSR1`, ""))
		pod := b.waitPod("both", "running", func(p *v1.Pod) bool { return status(p, "main").State.Running != nil })
		if isReady(pod) {
			t.Error("it is ready before its postStart hook has ended")
		}
		b.waitReady("both")
		if got := readFile(t, volume+"/both"); got != "started\n" {
			t.Errorf("postStart: %q", got)
		}
		b.delete("both.yaml")
		b.waitGone("both")
		if got := readFile(t, volume+"/both"); got != "started\nstopping\nsignal\n" {
			t.Errorf("hooks and signal: %q", got)
		}

		b.apply("http.yaml", hooked("http", forever, fmt.Sprintf(`preStop: {httpGet: {host: 127.0.0.1, port: %d, path: /stopping, httpHeaders: [{name: X-From, value: hook}, {name: User-Agent, value: own/2.0}]}}`, port),
			fmt.Sprintf(`readinessProbe: {httpGet: {host: 127.0.0.1, port: %d, path: /ready, httpHeaders: [{name: User-Agent, value: own/1.0}, {name: Accept, value: ""}, {name: Host, value: x.example}]}}`, port)))
		b.waitReady("http")
		b.delete("http.yaml")
		b.waitGone("http")
		if n := asked.Load(); n != 1 {
			t.Errorf("the HTTP hook asked %d times", n)
		}

		// The server speaks no TLS.
		b.apply("https.yaml", hooked("https", forever, fmt.Sprintf(`preStop: {httpGet: {scheme: HTTPS, host: 127.0.0.1, port: %d, path: /stopping, httpHeaders: [{name: X-From, value: hook}, {name: User-Agent, value: own/2.0}]}}`, port), ""))
		b.waitReady("https")
		b.delete("https.yaml")
		b.waitGone("https")
		if err := b.eventSays("LifecycleHTTPFallback"); err != nil || asked.Load() != 2 {
			t.Errorf("the hook by HTTPS: %v; %d requests by HTTP in all", err, asked.Load())
		}

		// A sleep holds the signal back; TCP to a port that nobody listens on fails, and does no harm.
		b.apply("sleep.yaml", hooked("sleep", "trap 'exit 0' TERM; while true; do sleep 1000 & wait; done", "preStop: {sleep: {seconds: 2}}\npostStart: {tcpSocket: {host: 127.0.0.1, port: "+fmt.Sprint(port)+"}}", ""))
		b.waitReady("sleep")
		b.apply("tcp.yaml", hooked("tcp", forever, "preStop: {tcpSocket: {host: 127.0.0.1, port: 1}}", ""))
		b.waitReady("tcp")
		begin := time.Now()
		b.delete("sleep.yaml")
		b.delete("tcp.yaml")
		b.waitGone("sleep")
		if took := time.Since(begin); took < 2*time.Second {
			t.Errorf("it slept %s", took)
		}
		b.waitGone("tcp")
		if out := b.run("get", "events"); !strings.Contains(out, "FailedPreStopHook") {
			t.Errorf("no event tells of the failed hook:\n%s", out)
		}

		// A hook that does not end is abandoned with the grace period, and the container ended in order.
		b.apply("long.yaml", hooked("long", "trap 'echo signal >>/own/long; exit 0' TERM; while true; do sleep 1000 & wait; done",
			"preStop: {exec: {command: [sleep, \"1000\"]}}", ""))
		b.waitReady("long")
		b.delete("long.yaml")
		b.waitGone("long")
		if got := readFile(t, volume+"/long"); got != "signal\n" {
			t.Errorf("the signal was not sent: %q", got)
		}

		// A failed postStart hook ends the container, and the restart backs off.
		b.apply("bad.yaml", hooked("bad", forever, "postStart: {exec: {command: [sh, -c, \"exit 1\"]}}", ""))
		b.waitPod("bad", "restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount >= 1 })
		if out := b.run("get", "events"); !strings.Contains(out, "FailedPostStartHook") {
			t.Errorf("no event tells of the failed hook:\n%s", out)
		}
		b.delete("bad.yaml")

		// The pod has a minute, the probe one second.
		b.apply("probe.yaml", strings.Replace(hooked("probe", "trap 'echo ignored' TERM; while true; do sleep 1000 & wait; done", "{}",
			"livenessProbe: {exec: {command: [sh, -c, \"exit 1\"]}, periodSeconds: 1, failureThreshold: 1, terminationGracePeriodSeconds: 1}"),
			"terminationGracePeriodSeconds: 5", "terminationGracePeriodSeconds: 3600", 1))
		b.waitPod("probe", "killed and restarted", func(p *v1.Pod) bool {
			last := status(p, "main").LastTerminationState.Terminated
			return last != nil && last.ExitCode == 137
		})
		b.apply("probe.yaml", hooked("probe", forever, "{}", "")) // or it would take an hour to go
		b.waitPod("probe", "edited", func(p *v1.Pod) bool { return isReady(p) && *p.Spec.TerminationGracePeriodSeconds == 5 })
	})
}

// What a container says at its end: from its file, or from its log.
func TestTerminationMessage(t *testing.T) {
	b := newBox(t, embedded)
	ended := func(name, script, policy string) string {
		b.apply(name+".yaml", containers(name, "restartPolicy: Never", nil, container{"main", script, policy}))
		p := b.waitPod(name, "ended with a message", func(p *v1.Pod) bool {
			s := status(p, "main").State.Terminated
			return s != nil && (s.Message != "" || policy == "")
		})
		return status(p, "main").State.Terminated.Message
	}
	if got := ended("file", "echo log; printf 'from the file' >/dev/other; exit 1", "terminationMessagePath: /dev/other\nterminationMessagePolicy: FallbackToLogsOnError"); got != "from the file" {
		t.Errorf("the file: %q", got)
	}
	if got := ended("log", "for i in $(seq 100); do echo line $i; done; exit 1", "terminationMessagePolicy: FallbackToLogsOnError"); !strings.HasPrefix(got, "line 21\n") || !strings.HasSuffix(got, "line 100\n") {
		t.Errorf("the log: %q", got)
	}
	// A last line without an end stays one, wherever it is read.
	if got := ended("open", "echo one; printf DONE; exit 1", "terminationMessagePolicy: FallbackToLogsOnError"); got != "one\nDONE" {
		t.Errorf("a last line without an end: %q", got)
	}
	pod := b.pod("default", "open")
	log := readFile(t, b.path("log/pods/default_open_"+string(pod.UID)+"/main/0.log"))
	if lines := strings.Split(log, "\n"); len(lines) != 3 || !strings.HasSuffix(lines[0], " stdout F one") || !strings.HasSuffix(lines[1], " stdout P DONE") {
		t.Errorf("its log: %q", log)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "one\nDONE"}, {[]string{"-f"}, "one\nDONE"}, {[]string{"--tail", "1"}, "DONE"}, {[]string{"--tail", "2"}, "one\nDONE"},
		{[]string{"--tail", "0"}, ""}, {[]string{"--prefix"}, "[pod/open/main] one\n[pod/open/main] DONE"},
	} {
		if got := b.run(append([]string{"logs", "open"}, c.args...)...); got != c.want {
			t.Errorf("logs %q: %q, want %q", c.args, got, c.want)
		}
	}
	if got := b.run("logs", "open", "--timestamps", "--tail", "1"); !strings.HasPrefix(got, time.Now().UTC().Format("2006-")) || !strings.HasSuffix(got, "Z DONE") {
		t.Errorf("with timestamps: %q", got)
	}
	if got := ended("none", "echo log; exit 1", ""); got != "" {
		t.Errorf("without the policy: %q", got)
	}
}
