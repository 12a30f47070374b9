package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestServicesAway: while the daemon is away, stopped or killed, pods find each other by name, and what is removed meanwhile goes with its
// next start.
func TestServicesAway(t *testing.T) {
	t.Parallel()
	machine, _ := newSpaces(t, "4", "6")
	b := startIn(t, machine, "")
	b.apply("service.yaml", webService)
	b.apply("pods.yaml", served("web", "app: web")+"---\n"+served("client", "app: client"))
	client := b.waitReady("client")
	b.waitReady("web")
	finds := func() {
		t.Helper()
		b.eventually("the client finds the service by its name", func() error {
			if who, err := b.fetches(client, "http://web/"); err != nil || who != "web" {
				return fmt.Errorf("%q answers: %w", who, err)
			}
			return nil
		})
	}
	finds()
	answering := func() (out []int) {
		for _, pid := range b.processes() {
			if cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && strings.HasSuffix(string(cmdline), "solopod-names\x00"+b.path("state")+"\x00") {
				out = append(out, pid)
			}
		}
		return out
	}
	none := func() error {
		if pids := answering(); len(pids) != 0 {
			return fmt.Errorf("solopod-names runs as %v", pids)
		}
		return nil
	}
	for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		b.stop(end)
		for range 5 {
			if who, err := b.fetches(client, "http://web/"); err != nil || who != "web" {
				t.Errorf("after %s %q answers: %v", end, who, err)
			}
		}
		if pids := answering(); len(pids) != 1 {
			t.Errorf("solopod-names runs as %v", pids)
		}
		b.start()
		b.eventually("the daemon answers alone", none)
		finds()
	}
	b.stop(syscall.SIGKILL)
	if err := os.Remove(b.path("manifests/service.yaml")); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.eventually("the client asks the machine's servers", func() error {
		if conf, err := b.inside(client, "cat /etc/resolv.conf"); err != nil || strings.Contains(conf, "svc.cluster.local") {
			return fmt.Errorf("%s (%w)", conf, err)
		}
		return nil
	})
	b.eventually("nobody answers for names", none)
	if p := b.waitReady("client"); status(p, "main").RestartCount != 0 {
		t.Error("a container was restarted")
	}
}
