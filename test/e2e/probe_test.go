package e2e

import (
	"os"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// Every kind of probe: readiness follows, liveness restarts, startup holds the others back.
func TestProbes(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		volume := "volumes: [{name: v, hostPath: {path: " + b.path("v") + ", type: DirectoryOrCreate}}]"
		mount := "volumeMounts: [{name: v, mountPath: /v}]\n"
		// exec, as readiness: Ready comes and goes with a file.
		b.apply("exec.yaml", shell("exec", forever, volume)+indent(4, mount+"readinessProbe: {exec: {command: [test, -e, /v/ready]}, periodSeconds: 1, failureThreshold: 1}"))
		b.waitPod("exec", "running and not ready", func(p *v1.Pod) bool { return status(p, "main").State.Running != nil && !isReady(p) })
		b.writeFile("v/ready", "")
		b.waitReady("exec")
		if err := os.Remove(b.path("v/ready")); err != nil {
			t.Fatal(err)
		}
		pod := b.waitPod("exec", "no longer ready", func(p *v1.Pod) bool { return !isReady(p) })
		if status(pod, "main").RestartCount != 0 {
			t.Error("a readiness probe restarted the container")
		}
		// exec, as liveness.
		b.writeFile("v/alive", "")
		b.apply("live.yaml", shell("live", forever, volume)+indent(4, mount+"livenessProbe: {exec: {command: [cat, /v/alive]}, periodSeconds: 1, failureThreshold: 2}"))
		b.waitReady("live")
		if err := os.Remove(b.path("v/alive")); err != nil {
			t.Fatal(err)
		}
		b.waitPod("live", "restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount > 0 })
		out := b.run("get", "events")
		for _, want := range []string{"Liveness probe failed: command", "can't open '/v/alive'", "failed its liveness probe"} {
			if !strings.Contains(out, want) {
				t.Errorf("the events lack %q:\n%s", want, out)
			}
		}
		// A startup probe holds the liveness probe, which would fail, back.
		b.apply("slow.yaml", shell("slow", forever, volume)+indent(4, mount+
			"startupProbe: {exec: {command: [test, -e, /v/started]}, periodSeconds: 1, failureThreshold: 100}\nlivenessProbe: {exec: {command: [test, -e, /v/started]}, periodSeconds: 1, failureThreshold: 1}"))
		b.waitPod("slow", "running and not started", func(p *v1.Pod) bool {
			c := status(p, "main")
			return c.State.Running != nil && c.Started != nil && !*c.Started
		})
		b.eventually("the startup probe has failed", func() error { return b.eventSays("Startup probe failed") })
		b.writeFile("v/started", "")
		if pod := b.waitReady("slow"); status(pod, "main").RestartCount != 0 || !*status(pod, "main").Started {
			t.Errorf("it is %+v", status(pod, "main"))
		}
		// HTTP with headers and named port, TCP.
		b.apply("http.yaml", web("http", "livenessProbe: {httpGet: {path: /healthz, port: http, httpHeaders: [{name: Host, value: x.example}]}}\nstartupProbe: {tcpSocket: {port: 8080}}"))
		b.waitReady("http")
		b.apply("missing.yaml", strings.Replace(web("missing", ""), "path: /healthz", "path: /missing", 1))
		b.eventually("the status is reported", func() error { return b.eventSays("HTTP probe failed with status 404") })
	})
}

func (b *box) eventSays(text string) error {
	b.t.Helper()
	if out := b.run("get", "events", "-A"); !strings.Contains(out, text) {
		return metricError{"event " + text, "absent"}
	}
	return nil
}
