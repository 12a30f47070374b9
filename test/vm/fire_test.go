package vm

import (
	"flag"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// minutes is how long machines of 512 MiB are kept short of memory.
var minutes = flag.Int("minutes", 1, "how many minutes pods that take all there is run beside others")

// underFire is what a machine of 512 MiB is given for pods that take all there is: what bounds them in all that pods share.
const underFire = small + `podPidsLimit: 128
containerLogMaxSize: 1Mi
containerLogMaxFiles: 2
`

// critical is a pod of the machine's own, small and with nothing promised.
var critical = shell("critical", forever, "  priorityClassName: system-node-critical")

// killsPerMinute is how many kills the storm is to have.
const killsPerMinute = 200

// taker is a pod that takes all there is of something. own is its emptyDir volume /own, memory the limit of its container; both may be empty.
func taker(name, script, own, memory string) string {
	volumes, mounts, resources := "", "", ""
	if own != "" {
		volumes, mounts = "\n  - {name: own, emptyDir: "+own+"}", "\n    - {name: own, mountPath: /own}"
	}
	if memory != "" {
		resources = "\n    resources: {limits: {memory: " + memory + "}}"
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, annotations: {solopod.io/oom-group: "false"}}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 1
  volumes:
  - {name: data, hostPath: {path: /srv, type: DirectoryOrCreate}}%s
  containers:
  - name: main
    image: solopod.example/box:1
    imagePullPolicy: Never
    volumeMounts:
    - {name: data, mountPath: /srv}%s%s
    command: ["/bin/sh", "-c"]
    args:
    - |
      %s
`, name, volumes, mounts, resources, strings.ReplaceAll(script, "\n", "\n      "))
}

// fire are the pods that take all there is, each of something else.
func fire(kills int) map[string]string {
	// A child that offers itself to the kernel, and takes memory until it is killed.
	const child = "(echo 1000 >/proc/self/oom_score_adj; exec tail </dev/zero)"
	const fill = "n=0\nwhile true; do dd if=/dev/zero of=/own/$n bs=1M count=4 2>/dev/null || sleep 1; n=$((n + 1)); done"
	return map[string]string{
		"bomb":    taker("bomb", "b() { b | b & }; b; "+forever, "", ""),
		"limited": taker("limited", "exec tail </dev/zero", "", "32Mi"),
		"endless": taker("endless", "while true; do "+child+"; done", "", ""),
		"tmpfs":   taker("tmpfs", fill, "{medium: Memory}", ""),
		"shared":  taker("shared", fill, "{medium: Memory, sizeLimit: 64Mi}", "24Mi"),
		"flood":   taker("flood", "while true; do seq 1 100000; done", "", ""),
		"disk":    taker("disk", fill, "{}", ""),
		"storm":   taker("storm", fmt.Sprintf("date +%%s >/srv/begun\nfor i in $(seq 1 %d); do %s; done\ndate +%%s >/srv/done; %s", kills, child, forever), "", "16Mi"),
	}
}

// TestMemoryUnderFire is a machine of 512 MiB on which pods take all there is, at once: processes, memory with a limit and without, file
// systems in memory, the log, the disk, and kills. Those that are protected keep answering, so does Solopod, each kill is counted, and
// afterwards nothing is left of it.
func TestMemoryUnderFire(t *testing.T) {
	t.Parallel()
	b := newBoxOf(t, 512, emptyDisk(t, "768M"))
	b.run("mkdir -p /etc/solopod /var/lib/solopod && echo '/dev/vdc /var/lib/solopod ext4 relatime 0 2' >>/etc/fstab && mount /var/lib/solopod")
	b.install()
	// What asks must itself not wait for its program to be read from the disk again: so an operator keeps sshd.
	b.run("systemctl set-property --runtime system.slice MemoryMin=16M && systemctl set-property --runtime qemu-guest-agent.service MemoryMin=16M")
	b.run("cp /mnt/images/*.tar /var/lib/solopod/images/")
	b.run("cat >>/etc/solopod/config.yaml <<'END'\n" + strings.Replace(underFire, "48Mi", "48Mi\n  nodefs.available: 10%", 1) + "END\nsystemctl restart solopod")
	b.apply("web", guaranteed)
	b.apply("critical", critical)
	b.ready(2)
	web := b.run(`solopod get pods web -o json | sed -n 's/.*"podIP": "\(.*\)".*/\1/p' | head -n 1`)
	before, traces := b.containers(), b.settled()
	b.measure("at rest", web, 20*time.Second)

	kills := killsPerMinute * *minutes
	pods := fire(kills)
	for _, name := range []string{"storm", "limited", "shared", "flood", "bomb", "disk", "endless", "tmpfs"} {
		b.apply(name, pods[name])
	}
	for range *minutes {
		b.measure("under fire", web, time.Minute)
	}
	b.t.Logf("after it:\n%s", b.run("solopod get pods -A; free -m; sed -n '/^oom_kill /p' /proc/vmstat"))
	if now := b.containers(); !containsAll(now, before) {
		b.t.Errorf("under fire the containers became\n%s\nof\n%s", now, before)
	}
	for name := range pods {
		if name != "storm" {
			b.run("rm /etc/solopod/manifests/" + name + ".yaml")
		}
	}
	b.eventually("the storm is over", func() error {
		_, err := b.try("test -e /srv/done")
		return err
	})
	b.t.Logf("%d kills took %s s", kills, b.run("echo $(( $(cat /srv/done) - $(cat /srv/begun) ))"))
	b.eventually("each kill of the storm is counted", func() error {
		got := b.run(`busybox wget -qO- http://127.0.0.1:10255/metrics/cadvisor | sed -n '/^container_oom_events_total.*pod="storm"/s/.* //p'`)
		if got != strconv.Itoa(kills) {
			return fmt.Errorf("of %d kills %q are", kills, got)
		}
		return nil
	})
	b.run("rm /etc/solopod/manifests/storm.yaml")
	b.eventually("what was there before is there alone", func() error {
		if now := b.containers(); now != before {
			return fmt.Errorf("the containers are\n%s\nof\n%s", now, before)
		}
		return nil
	})
	b.ready(2)
	b.nothingLeft(traces)
}

// containsAll: each of the lines is one of text.
func containsAll(text, lines string) bool { return newLines(text, lines) == "" }

// newLines are those of after that before has not.
func newLines(before, after string) string {
	known, out := map[string]bool{}, ""
	for line := range strings.Lines(before) {
		known[strings.TrimSpace(line)] = true
	}
	for line := range strings.Lines(after) {
		if line = strings.TrimSpace(line); line != "" && !known[line] {
			out += line + "\n"
		}
	}
	return out
}

// answering of a hundred questions must be answered in time. A machine that is kept short of everything, on one that others load, may be
// late with single ones.
const answering = 95

// never is how long what was not answered took, in milliseconds.
const never = math.MaxInt

// quantile is within how long so many of a hundred were answered. The list is sorted, and not empty.
func quantile(list []int, ofHundred int) int { return list[min(len(list)*ofHundred/100, len(list)-1)] }

// measure asks for the pods, and the web pod for an answer, again and again, and tells how long that took, and what was not answered. All
// but single ones must be answered, within 20 and 10 s.
func (b *box) measure(when, web string, during time.Duration) {
	b.t.Helper()
	out := b.run(fmt.Sprintf(`cat >/run/measure <<'END'
end=$((SECONDS + %d))
took() {
  local begin=$EPOCHREALTIME
  "${@:2}" >/run/measured 2>&1 && echo "$1 $(( (${EPOCHREALTIME/./} - ${begin/./}) / 1000 ))" || { echo "$1 failed: $(tr '\n' ' ' </run/measured | head -c 200)"; }
}
while [ $SECONDS -lt $end ]; do
  took pods timeout 20 solopod get pods -A
  took web busybox wget -T 10 -q -O- http://%s:8080/healthz
done
END
bash /run/measure`, int(during.Seconds()), web))
	times := map[string][]int{}
	for line := range strings.Lines(out) {
		what, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.Atoi(rest)
		if err != nil {
			b.t.Logf("%s: %s", when, line)
			n = never
		}
		times[what] = append(times[what], n)
	}
	for _, what := range []string{"pods", "web"} {
		list := slices.Sorted(slices.Values(times[what]))
		if len(list) == 0 {
			b.t.Fatalf("%s: nothing answered of %s:\n%s", when, what, out)
		}
		if quantile(list, answering) == never {
			b.t.Errorf("%s, %s: not even %d %% of %d were answered in time", when, what, answering, len(list))
		}
		unanswered := len(list) - slices.Index(append(list, never), never)
		answered := list[:len(list)-unanswered]
		if len(answered) == 0 {
			continue
		}
		b.t.Logf("%s, %s: median %d ms, 99 %% within %d ms, the worst %d ms, of %d; %d were not answered in time", when, what, quantile(answered, 50),
			quantile(answered, 99), answered[len(answered)-1], len(answered), unanswered)
	}
}

// traces are what pods leave behind where something is not tidied up.
type traces struct {
	things                  string // processes, mounts, cgroups, links, directories
	goroutines, files, disk int
}

// look counts what there is, but for the workers that udev has at times.
func (b *box) look() (of traces, err error) {
	of.things, err = b.try(`ps -e -o ppid=,comm= | awk '$1 != 2 && $2 !~ /^(ps|awk|sh|sort|uniq|kthreadd)$|^\(/ {print "process " $2}' | sort | uniq -c
awk '{print "mount " $2}' /proc/mounts | sort
find /sys/fs/cgroup/solopod.slice -type d | sort
ip -o link | awk '{print "link " $2}' | sed 's/@.*//' | sort
ls -d /var/lib/solopod/pods/* /run/solopod/pods/* /var/log/pods/* 2>/dev/null`)
	if err != nil {
		return of, err
	}
	// Files of cgroups stay open once they were measured: so they are, both times.
	out, err := b.try(`busybox wget -qO /dev/null http://127.0.0.1:10255/metrics/cadvisor && busybox wget -qO- http://127.0.0.1:10255/metrics?state=false | sed -n 's/^\(go_goroutines\|process_open_fds\) //p' && df -m --output=used /var/lib/solopod | tail -n 1`)
	if err != nil {
		return of, err
	}
	_, err = fmt.Sscan(out, &of.goroutines, &of.files, &of.disk)
	return of, err
}

// settled looks until two looks are the same.
func (b *box) settled() (of traces) {
	b.t.Helper()
	b.eventually("nothing changes any more", func() error {
		last := of
		var err error
		if of, err = b.look(); err == nil && of.things != last.things {
			err = fmt.Errorf("there is now\n%s", of.things)
		}
		return err
	})
	return of
}

// spare is how many goroutines and files more than before are no leak: those of connections and of work on a timer.
const spare = 8

// nothingLeft compares what there is with what was there before.
func (b *box) nothingLeft(before traces) {
	b.t.Helper()
	b.eventually("nothing is left of it", func() error {
		now, err := b.look()
		switch {
		case err != nil:
			return err
		case now.things != before.things:
			return fmt.Errorf("there is\n%s\nand was\n%s", now.things, before.things)
		case now.goroutines > before.goroutines+spare, now.files > before.files+spare, now.disk > before.disk+16:
			open, err := b.try(`readlink /proc/$(systemctl show -P MainPID solopod)/fd/* | sed -E 's#^/sys/fs/cgroup/.*/#a cgroup: #; s#[0-9a-f]{8,}[^/]*#N#g; s#[0-9]+#N#g' | sort | uniq -c | sort -rn | head -n 40`)
			if err != nil {
				return err
			}
			return fmt.Errorf("%d goroutines, %d files, %d MiB on the disk; there were %d, %d and %d; open are\n%s",
				now.goroutines, now.files, now.disk, before.goroutines, before.files, before.disk, open)
		}
		return nil
	})
}
