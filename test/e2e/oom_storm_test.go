package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

var stormSeed = flag.Int64("storm.seed", 0, "seed of TestOOMStorm; zero is another one each time")

// cgroupKills is what the kernel has counted of a container of a pod.
func (b *box) cgroupKills(p *v1.Pod, container string) int {
	b.t.Helper()
	counter := "memory.oom_control"
	if unified() {
		counter = "memory.events"
	}
	text := b.cgroupFile(b.containerCgroup(p, container), "memory", counter)
	m := regexp.MustCompile(`(?m)^oom_kill (\d+)$`).FindStringSubmatch(text)
	if m == nil {
		b.t.Fatalf("there is no counter in %q", text)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// killsCounted adds up the metric of a pod's kills.
func (b *box) killsCounted(pod string) (sum int) {
	b.t.Helper()
	series := regexp.MustCompile(`(?m)^solopod_oom_kills_total\{[^}]*pod="`+pod+`"\} (\d+)$`).FindAllStringSubmatch(b.mustGet("/metrics"), -1)
	for _, m := range series {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			b.t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// killEvents are those of a pod's kills.
func (b *box) killEvents(pod string) (of []v1.Event) {
	b.t.Helper()
	var list v1.EventList
	if err := json.Unmarshal([]byte(b.mustGet("/events")), &list); err != nil {
		b.t.Fatal(err)
	}
	for _, e := range list.Items {
		if e.Reason == "OOMKilling" && e.InvolvedObject.Name == pod {
			of = append(of, e)
		}
	}
	return of
}

// A storm of 200 kills in two attempts of a container, while Solopod is killed again and again, also for a while: event, metric and
// what the kernel has counted are equal, and the events of others are all there.
func TestOOMStorm(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	seed := *stormSeed
	if seed == 0 {
		seed = time.Now().UnixNano()
	}
	t.Logf("seed %d: -args -storm.seed %[1]d has it again", seed)
	random := rand.New(rand.NewSource(seed)) //nolint:gosec // to be repeated
	b.apply("quiet.yaml", shell("quiet", forever, ""))
	b.waitReady("quiet")
	if n := strings.Count(b.mustGet("/metrics"), `solopod_oom_kills_total{container="main",kind="container",namespace="default",pod="quiet"} 0`+"\n"); n != 1 {
		t.Errorf("the pod's counter does not begin at zero: %d", n)
	}
	const each = 100
	script := fmt.Sprintf("trap 'exit 0' TERM; i=0; while [ $i -lt %d ]; do %s; i=$((i+1)); done; while true; do sleep 1000 & wait; done", each, hog)
	b.apply("storm.yaml", livesOn("storm", script, "")+"    resources: {limits: {memory: 16Mi}}\n")
	total, crashes := 0, 0
	for attempt := range 2 {
		pod := b.waitPod("storm", "runs", func(p *v1.Pod) bool {
			s := status(p, "main")
			return s.State.Running != nil && int(s.RestartCount) == attempt
		})
		for b.cgroupKills(pod, "main") < each {
			time.Sleep(time.Duration(random.Intn(1500)) * time.Millisecond) //nolint:forbidigo // when Solopod is killed, not a wait for something
			b.crash()
			crashes++
			if random.Intn(3) == 0 {
				time.Sleep(time.Duration(random.Intn(1500)) * time.Millisecond) //nolint:forbidigo // how long it is away
			}
			b.start()
		}
		total += b.cgroupKills(pod, "main")
		b.killContainer(pod, "main")
	}
	t.Logf("%d kills, %d crashes", total, crashes)
	told := func() error {
		events := b.killEvents("storm")
		if len(events) != 1 || int(events[0].Count) != total || !events[0].FirstTimestamp.Before(&events[0].LastTimestamp) {
			return fmt.Errorf("of %d kills the events are %+v", total, events)
		}
		if n := b.killsCounted("storm"); n != total {
			return fmt.Errorf("of %d kills %d are counted", total, n)
		}
		return b.metricIs("/metrics/cadvisor", `container_oom_events_total\{container="main",.*pod="storm"\}`, float64(total))
	}
	// The third attempt kills as well.
	pod := b.waitPod("storm", "runs", func(p *v1.Pod) bool {
		return status(p, "main").State.Running != nil && status(p, "main").RestartCount == 2
	})
	b.within(5*time.Minute, "the last attempt has killed as many", func() error {
		if n := b.cgroupKills(pod, "main"); n < each {
			return fmt.Errorf("they are %d", n)
		}
		return nil
	})
	total += b.cgroupKills(pod, "main")
	b.within(2*time.Minute, "all are counted", told)
	b.crash()
	b.start()
	b.waitOOMRecords("storm", 50)
	b.settledOOMRecords("after", map[string]int{"storm": 50, "quiet": 0})
	if err := told(); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if n := b.killsCounted("quiet"); n != 0 || len(b.killEvents("quiet")) != 0 {
		t.Errorf("of the pod that nobody killed %d are counted, and the events are %+v", n, b.killEvents("quiet"))
	}
	// The counts go with the pod.
	b.delete("storm.yaml")
	b.waitGone("storm")
	if n := b.killsCounted("storm"); n != 0 {
		t.Errorf("of a pod that is gone %d are counted", n)
	}
}
