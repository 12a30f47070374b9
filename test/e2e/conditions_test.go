package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// The lastTransitionTime of a condition moves when the condition does, and not when the daemon is stopped, or killed, and started
// again: neither afterwards, nor for a moment.
func TestTransitionTimes(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	const startup = "    startupProbe: {exec: {command: ['true']}, periodSeconds: 1}\n"
	const readiness = "    readinessProbe: {exec: {command: ['true']}, periodSeconds: 1}\n"
	second := strings.SplitAfter(shell("", forever, ""), "  containers:\n")[1]
	sidecar := "initContainers: [{name: car, image: 'solopod.example/box:1', restartPolicy: Always, command: [sleep, '1000'], startupProbe: {exec: {command: ['true']}, periodSeconds: 1}}]"
	pods := map[string]string{
		"plain":   shell("plain", forever, ""),
		"startup": shell("startup", forever, "") + startup + strings.Replace(second, "name: main", "name: beside", 1) + startup,
		"probed":  shell("probed", forever, "") + readiness,
		"sidecar": shell("sidecar", forever, sidecar) + startup + readiness,
		"own":     strings.Replace(shell("own", forever, ""), "  hostNetwork: true\n", "", 1),
		"unready": shell("unready", forever, "") + strings.Replace(readiness, "true", "false", 1),
		"ended":   shell("ended", "true", "restartPolicy: Never"),
	}
	for name, manifest := range pods {
		b.apply(name+".yaml", manifest)
	}
	for name := range pods {
		switch name {
		case "ended":
			b.waitPhase(name, v1.PodSucceeded)
		case "unready":
			b.waitPod(name, "running", func(p *v1.Pod) bool { return status(p, "main").State.Running != nil })
		default:
			b.waitReady(name)
		}
	}
	times := func() map[string]string {
		t.Helper()
		var list v1.PodList
		if err := json.Unmarshal([]byte(b.mustGet("/pods")), &list); err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for i := range list.Items {
			for _, c := range list.Items[i].Status.Conditions {
				out[list.Items[i].Name+" "+string(c.Type)] = string(c.Status) + " since " + c.LastTransitionTime.UTC().Format(time.RFC3339)
			}
		}
		return out
	}
	b.eventually("the sandbox of what has ended is gone", func() error {
		if got := times()["ended "+string(v1.PodReadyToStartContainers)]; !strings.HasPrefix(got, "False") {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
	before := times()
	b.eventually("a moved time would show", func() error { // they have seconds
		for of, at := range before {
			if strings.HasSuffix(at, time.Now().UTC().Format(time.RFC3339)) {
				return fmt.Errorf("%s is %s", of, at)
			}
		}
		return nil
	})
	same := func(when string) {
		t.Helper()
		for of, at := range times() {
			if at != before[of] {
				t.Errorf("%s: %s was %s, and is %s", when, of, before[of], at)
			}
		}
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		b.stop(signal)
		b.launch()
		b.eventually("the daemon answers", func() error {
			_, err := b.get("/pods")
			return err
		})
		taken := false
		b.eventually("the pods are taken up", func() error {
			same(signal.String())
			if t.Failed() || taken {
				return nil
			}
			_, err := b.get("/readyz")
			taken = err == nil
			return fmt.Errorf("once more afterwards: %w", err)
		})
		for name := range pods {
			if name != "ended" && name != "unready" {
				b.waitReady(name)
			}
		}
		same("after " + signal.String())
	}
}
