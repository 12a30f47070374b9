package vm

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var (
	cuts = flag.Int("cuts", 5, "how many times the power is cut")
	seed = flag.Uint64("seed", 0, "of the random moments; 0 takes one from the clock")
)

// work is done on the machine until its power goes: images come and go, manifests are edited, pods end. What has succeeded is
// said through a port, which reaches the other side at once: it must be found after the cut. $1 is the number of the boot.
const work = `#!/bin/bash
exec 3>/dev/virtio-ports/work
say() { echo "$@" >&3; }
boot=$1
RANDOM=$2
manifest() { # manifest NAME POLICY SCRIPT
	cat >/etc/solopod/manifests/.$1 <<END
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec:
  hostNetwork: true
  restartPolicy: $2
  terminationGracePeriodSeconds: 2
  volumes: [{name: data, hostPath: {path: /srv}}, {name: own, emptyDir: {}}]
  containers:
  - name: main
    image: solopod.example/box:1
    imagePullPolicy: Never
    volumeMounts: [{name: data, mountPath: /srv}, {name: own, mountPath: /own}]
    command: ["/bin/sh", "-c", "$3"]
END
	sync /etc/solopod/manifests/.$1
	mv /etc/solopod/manifests/.$1 /etc/solopod/manifests/$1.yaml
	sync /etc/solopod/manifests
}
archive() { # archive NAME: an image of twenty files that tells what they are
	dir=/run/archive
	rm -rf $dir; mkdir -p $dir
	for i in $(seq 20); do head -c $((RANDOM * 8)) /dev/urandom >$dir/$i; done
	(cd $dir && sha256sum $(seq 20) >SUMS)
	/mnt/bin/pack -o /run/$1.tar -name solopod.example/$1:1 $(for f in $(seq 20) SUMS; do echo $dir/$f:/data/$f; done)
}
for n in $(seq 1000); do
	case $((RANDOM % 6)) in
	0) archive i$boot-$n
	   solopod images import /run/i$boot-$n.tar >/dev/null && say image i$boot-$n ;;
	1) archive d$boot-$n
	   cp /run/d$boot-$n.tar /var/lib/solopod/images/.new && sync /var/lib/solopod/images/.new
	   mv /var/lib/solopod/images/.new /var/lib/solopod/images/d$boot-$n.tar && sync /var/lib/solopod/images && say image d$boot-$n ;;
	2) manifest edited Always "echo $boot $n >>/own/log; trap 'exit 0' TERM; while true; do sleep 1000 & wait; done" ;;
	3) manifest once-$boot-$n Never "echo once-$boot-$n; echo ran >>/srv/once-$boot-$n; sync"
	   for i in $(seq 100); do
		   solopod get pods once-$boot-$n 2>/dev/null | grep -q Completed && say once once-$boot-$n && break
		   sleep 0.1
	   done ;;
	4) manifest extra$((n % 3)) Always "trap 'exit 0' TERM; while true; do echo line; sleep 0.05; done" ;;
	5) rm -f /etc/solopod/manifests/extra$((RANDOM % 3)).yaml; sync /etc/solopod/manifests ;;
	esac
done
`

// writer is a pod that writes a file of its own, syncs it, and says so.
const writer = `apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 2
  volumes: [{name: data, hostPath: {path: /srv}}, {name: ports, hostPath: {path: /dev}}, {name: own, emptyDir: {}}]
  containers:
  - name: main
    image: solopod.example/box:1
    imagePullPolicy: Never
    securityContext: {privileged: true}
    volumeMounts: [{name: data, mountPath: /srv}, {name: own, mountPath: /own}, {name: ports, mountPath: /host}]
    command: ["/bin/sh", "-c"]
    args:
    - |
      exec 3>/host/virtio-ports/writer
      n=0; [ -s /own/count ] && n=$(tail -n 1 /own/count)
      while true; do n=$((n + 1)); echo $n | dd of=/own/count oflag=append conv=notrunc,fsync 2>/dev/null && echo $n >&3; sleep 0.02; done
`

// TestPowerCut takes the power away at random moments. After each boot, with no hand, everything that the manifests name must
// be ready again, every image whole, nothing lost that was said to be done, and nothing stale be left.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("%d cuts, seed %d", *cuts, *seed)
	random := rand.New(rand.NewPCG(*seed, 0))
	b := preparePowerCut(t)
	images, completed := map[string]bool{}, map[string]bool{}
	for n := range *cuts {
		b.run(fmt.Sprintf("systemd-run -q --collect --unit work bash /root/work.sh %d %d", n, random.IntN(32768)))
		moment := time.Duration(random.IntN(15_000)) * time.Millisecond
		time.Sleep(moment) //nolint:forbidigo // the moment of the cut is what is drawn
		b.m.Cut()
		counted := b.said(images, completed)
		b.boot()
		begin := time.Now()
		b.recovered(images, completed, counted)
		t.Logf("cut %d after %s: all is well again %s after the boot", n+1, moment, time.Since(begin).Round(time.Second))
	}
}

func preparePowerCut(t *testing.T) *box {
	b := newBox(t)
	b.m.Cut()
	b.m.Ports = []string{"work", "writer"}
	b.boot()
	b.install()
	b.run("cp /mnt/images/*.tar /var/lib/solopod/images/ && mkdir -p /srv")
	b.apply("web", "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: web, image: 'solopod.example/web:1', imagePullPolicy: Never}]}}")
	b.apply("writer", writer)
	b.write("/root/work.sh", work)
	b.ready(2)
	b.run("sync")
	return b
}

// said takes note of what the machine said before the cut: images that were imported, or lie in the images directory, pods that have completed, and the
// writer's last number.
func (b *box) said(images, completed map[string]bool) (count int) {
	b.t.Helper()
	lines := func(port string) []string {
		text, err := b.m.Said(port)
		if err != nil {
			b.t.Fatal(err)
		}
		all := strings.Split(text, "\n")
		return all[:len(all)-1] // the last one may be cut off, or is empty
	}
	for _, line := range lines("work") {
		kind, name, _ := strings.Cut(line, " ")
		switch kind {
		case "image":
			images[name] = true
		case "once":
			completed[name] = true
		}
	}
	for _, line := range lines("writer") {
		fmt.Sscan(line, &count) //nolint:errcheck // zero then
	}
	return count
}

// recovered checks everything after a boot.
func (b *box) recovered(images, completed map[string]bool, counted int) {
	b.t.Helper()
	b.eventually("every pod of the manifests is ready, or has completed", func() error {
		_, err := b.try(`pods=$(solopod get pods -A) || exit 1
want=$(ls /etc/solopod/manifests | wc -l)
good=$(echo "$pods" | grep -cE ' 1/1 +Running |once.* 0/1 +(Completed|ContainerStatusUnknown|Error) ')
[ $want = $good ] || { echo "$good of $want:"; echo "$pods"; exit 1; }`)
		return err
	})
	b.eventually("every image is there", func() error {
		out, err := b.try("solopod images ls -o name")
		for name := range images {
			if err == nil && !strings.Contains(out, "/"+name+":1") {
				err = fmt.Errorf("%s is not among:\n%s", name, out)
			}
		}
		return err
	})
	b.wholeImages()
	for name := range completed {
		b.run("[ \"$(cat /srv/" + name + ")\" = ran ] && solopod get pods " + name + " | grep -q '0/1 *Completed *0 '")
	}
	if counted > 0 {
		b.run(fmt.Sprintf("grep -qx %d $(find /var/lib/solopod/pods -name count)", counted))
	}
	b.run("for p in $(solopod get pods -o name); do solopod logs ${p#pod/} >/dev/null || exit 1; done")
	b.nothingStale()
}

// wholeImages compares the unpacked files of every image with what they were made from.
func (b *box) wholeImages() {
	b.t.Helper()
	b.run(`ctr() { /usr/bin/ctr -a /run/solopod/containerd/containerd.sock -n solopod "$@"; }
mkdir -p /run/look
for image in $(ctr images ls -q); do
	ctr images mount $image /run/look >/dev/null || { echo "cannot mount $image"; exit 1; }
	good=yes
	case $image in
	*/web:1) cmp -s /mnt/bin/web /run/look/web || good=no ;;
	*/box:1) cmp -s /mnt/busybox /run/look/bin/busybox || good=no ;;
	*) (cd /run/look/data && [ $(wc -l <SUMS) = 20 ] && sha256sum --quiet -c SUMS) || good=no ;;
	esac
	ctr images unmount --rm /run/look >/dev/null
	[ $good = yes ] || { echo "$image is damaged"; exit 1; }
done`)
}

// nothingStale compares what exists with the pods that there are.
func (b *box) nothingStale() {
	b.t.Helper()
	b.eventually("nothing stale is left", func() error {
		_, err := b.try(`ctr() { /usr/bin/ctr -a /run/solopod/containerd/containerd.sock -n solopod "$@"; }
pods=$(ls /etc/solopod/manifests | wc -l)
running=$(solopod get pods -A | grep -c ' 1/1 ')
fail() { echo "$1: $2, not $3"; exit 1; }
n=$(ls /var/lib/solopod/pods | wc -l); [ $n = $pods ] || fail "state directories" $n $pods
n=$(ctr tasks ls -q | wc -l); [ $n = $running ] || fail "tasks" $n $running
n=$(ctr containers ls -q | wc -l); [ $n = $running ] || fail "containers" $n $running
n=$(ctr snapshots ls | grep -c Active); [ $n = $running ] || fail "active snapshots" $n $running
n=$(ls -d /sys/fs/cgroup/solopod.slice/*/*/*.scope | wc -l); [ $n = $running ] || fail "scopes" $n $running
n=$(mount | grep -c '/run/solopod/pods/.*/shm'); [ $n -le $pods ] || fail "mounts" $n $pods
n=$(ip -o link show type veth | wc -l); [ $n = 1 ] || fail "interfaces" $n 1`)
		return err
	})
}
