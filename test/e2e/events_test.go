package e2e

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Events outlive Solopod, and warnings the machine; repetitions are counted; get events -w tells of what comes.
func TestEvents(t *testing.T) {
	b := newBox(t, embedded)
	b.apply("crash.yaml", shell("crash", "exit 3", ""))
	b.waitPod("crash", "restarted, and ended again", func(p *v1.Pod) bool {
		return status(p, "main").RestartCount >= 1 && status(p, "main").State.Waiting != nil
	})
	before := b.run("get", "events")
	for _, want := range []string{"Pulled", "Created", "Started", "Exited", "BackOff", "(x2 over"} {
		if !strings.Contains(before, want) {
			t.Errorf("there is no %s:\n%s", want, before)
		}
	}
	b.crash()
	b.start()
	if after := b.run("get", "events"); strings.Count(after, "\n") < strings.Count(before, "\n") || !strings.Contains(after, "Exited") || !strings.Contains(after, "Created") {
		t.Errorf("after a kill:\n%s\nand before it:\n%s", after, before)
	}
	// Warnings reach the disk by themselves.
	b.within(time.Minute, "the warning is on the disk", func() error {
		text, err := os.ReadFile(b.path("root/events.jsonl"))
		if err == nil && !strings.Contains(string(text), `"reason":"Exited"`) {
			err = fmt.Errorf("%s", text)
		}
		return err
	})
	b.reboot()
	b.start()
	if out := b.run("get", "events"); !strings.Contains(out, "Exited") || !strings.Contains(out, "BackOff") {
		t.Errorf("after a reboot:\n%s", out)
	}
	watch := b.command(nil, "get", "events", "-w")
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		watch.Process.Kill() //nolint:errcheck // it may have ended
		watch.Wait()         //nolint:errcheck // it was killed
	})
	lines := bufio.NewScanner(out)
	for seen := false; lines.Scan(); {
		if !seen && strings.Contains(lines.Text(), "BackOff") {
			seen = true
			b.apply("new.yaml", shell("new", forever, ""))
		}
		if seen && strings.Contains(lines.Text(), "pod/new") {
			return
		}
	}
	t.Errorf("the watch ended: %v", lines.Err())
}
