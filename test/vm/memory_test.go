package vm

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// small is what a machine of 512 MiB is given: a hog is evicted well before the kernel has to choose, and comes back soon.
const small = `evictionHard:
  memory.available: 48Mi
evictionPressureTransitionPeriod: 30s
systemReserved:
  memory: 96Mi
memoryQoS: true
`

// hog is a pod that fills a file system in memory, some MiB a second, for as long as it is let.
const hog = `apiVersion: v1
kind: Pod
metadata: {name: hog}
spec:
  terminationGracePeriodSeconds: 1
  hostNetwork: true
  volumes: [{name: own, emptyDir: {medium: Memory, sizeLimit: 480Mi}}]
  containers:
  - name: main
    image: solopod.example/box:1
    imagePullPolicy: Never
    volumeMounts: [{name: own, mountPath: /own}]
    command: ["/bin/sh", "-c"]
    args:
    - |
      echo hog; n=0
      while true; do dd if=/dev/zero of=/own/$n bs=1M count=4 2>/dev/null; n=$((n + 1)); sleep 1; done
`

// guaranteed is a pod that answers, and has all of its memory requested.
const guaranteed = `apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  priority: 1000
  containers:
  - name: web
    image: solopod.example/web:1
    imagePullPolicy: Never
    readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 10, timeoutSeconds: 10}
    resources: {limits: {cpu: "1", memory: 32Mi}}
`

// burstable is a pod whose memory is held back before its limit.
const burstable = `apiVersion: v1
kind: Pod
metadata: {name: burst}
spec:
  hostNetwork: true
  containers:
  - name: main
    image: solopod.example/box:1
    imagePullPolicy: Never
    command: ["/bin/sleep", "12345"]
    resources: {requests: {cpu: "100m", memory: 16Mi}, limits: {memory: 64Mi}}
`

// TestMemory is a machine of 512 MiB with ten small pods: what is reserved and held back stands in the kernel, a hog is evicted before the
// kernel kills, again and again for as long as it is told to, the others do not feel it, and it comes back when there is room.
func TestMemory(t *testing.T) {
	t.Parallel()
	b := newBoxOf(t, 512)
	b.run("mkdir -p /etc/solopod")
	b.install()
	b.run("cp /mnt/images/*.tar /var/lib/solopod/images/")
	b.run("cat >>/etc/solopod/config.yaml <<'END'\n" + small + "END\nsystemctl restart solopod")
	b.apply("web", guaranteed)
	b.apply("burst", burstable)
	for i := range 8 {
		b.apply(fmt.Sprintf("small%d", i), shell(fmt.Sprintf("small%d", i), forever, ""))
	}
	b.ready(10)
	if *minutes > 1 {
		b.reboots()
		b.ready(10)
	}
	b.inKernel()
	before := b.containers()

	evictions := 0
	for begin := time.Now(); evictions == 0 || time.Since(begin) < time.Duration(*minutes)*time.Minute; evictions++ {
		evicted := b.evicted()
		b.apply("hog", hog)
		b.eventually("the hog is evicted", func() error { return b.shows("hog", "Evicted") })
		b.expect("solopod get node -o jsonpath='{.items[*].status.conditions[?(@.type==\"MemoryPressure\")].status}'", "True")
		if event := newLines(evicted, b.evicted()); !strings.Contains(event, "memory") {
			b.t.Errorf("no new event tells of memory, but %q", event)
		}
		b.eventually("the hog is back", func() error { return b.shows("hog", "Running") })
		b.run("rm /etc/solopod/manifests/hog.yaml")
		b.eventually("the hog is gone", func() error {
			_, err := b.try("! solopod get pods -A | grep hog")
			return err
		})
	}
	b.t.Logf("%d evictions in %d min; memory: %s", evictions, *minutes, b.run("free -m | sed -n '2p'"))
	b.ready(10)
	if now := b.containers(); now != before {
		b.t.Errorf("beside the hog the containers became\n%s\nof\n%s", now, before)
	}
	b.expect("sed -n 's/^oom_kill //p' /proc/vmstat", "0")
}

// evicted are the events of evictions, with how often each was: a new one is a line that was not there before.
func (b *box) evicted() string {
	b.t.Helper()
	return b.run(`solopod get events -o jsonpath='{range .items[?(@.reason=="Evicted")]}{.count}{" "}{.message}{"\n"}{end}'`)
}

// reboots has the machine boot again by itself.
func (b *box) reboots() {
	b.t.Helper()
	if _, err := b.try("systemctl --no-block reboot"); err != nil {
		b.t.Logf("the command was cut off: %v", err)
	}
	if err := b.m.WaitOff(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.boot()
}

// shows looks for a word in what is shown of a pod.
func (b *box) shows(pod, word string) error {
	out, err := b.try("solopod get pods " + pod)
	if err == nil && !strings.Contains(out, word) {
		err = fmt.Errorf("it is\n%s", out)
	}
	return err
}

// inKernel reads what the settings have made of the pods' cgroups.
func (b *box) inKernel() {
	b.t.Helper()
	of := func(process, file string) string {
		return fmt.Sprintf("cat /sys/fs/cgroup$(cut -d: -f3 /proc/$(%s)/cgroup)/%s", process, file)
	}
	b.expect(of("pgrep -x web", "memory.min"), fmt.Sprint(32<<20))
	b.expect(of("pgrep -x web", "memory.high"), "max")
	burst := "pgrep -f 'sleep 12345' | head -1"
	b.expect(of(burst, "memory.min"), fmt.Sprint(16<<20))
	// 16Mi, and nine tenths of what lies between that and the limit, in whole pages.
	b.expect(of(burst, "memory.high"), fmt.Sprint(62074880))
	// All of the machine but what is reserved.
	total := b.run("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")
	b.expect("echo $(( ($(cat /sys/fs/cgroup/solopod.slice/memory.max) >> 10) + 96 * 1024 ))", total)
	b.expect("cat /proc/$(systemctl show -p MainPID --value solopod)/oom_score_adj", "-999")
	b.expect("cat /proc/$(pgrep -x web)/oom_score_adj", "-997")
	b.expect("systemctl show -p MemoryMin --value solopod", fmt.Sprint(64<<20))
}
