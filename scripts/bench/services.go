package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Budgets of Services: what they may cost.
const (
	budgetConnect    = 1.1
	budgetThroughput = 0.97
	budgetMemory     = 3 << 20
	budgetChange     = 20 * time.Millisecond
)

// Ports of the pod that is asked.
const (
	connectPort = 7000
	iperfPort   = 5201
)

// pause is between two looks at a full box, which cost something themselves.
const pause = 50 * time.Millisecond

// serving is a machine, in a network namespace of its own, with its pods.
type serving struct {
	*bench
	machine, client, server string // network namespaces
	address                 string // of the pod that is asked
	service                 string // its address
	readiness               *readiness
}

// services measures what Services cost: connections and throughput through one beside those to its pod, memory, and how long it takes until
// the kernel leads nobody to a pod that is not ready.
func (b *bench) services() error {
	s := &serving{bench: b, machine: b.path("machine")}
	if s.fillers() < 0 {
		return fmt.Errorf("services are measured with %d pods at least, for %d rounds", 4+*rounds, *rounds)
	}
	if err := s.begin(); err != nil {
		return err
	}
	defer s.finish()
	for _, part := range []func() error{s.startDaemon, s.startPods, s.measure} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// begin makes the machine.
func (s *serving) begin() error {
	if err := s.write("machine", ""); err != nil {
		return err
	}
	// As on a machine that runs nothing else with containers.
	const setUp = "ip link set lo up; for f in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do [ ! -e $f ] || echo %d >$f; done"
	filtered := 0
	if *bridgeNF {
		filtered = 1
	}
	if err := command("unshare", "--net="+s.machine, "sh", "-c", fmt.Sprintf(setUp, filtered)); err != nil {
		return err
	}
	s.space = s.machine
	var err error
	s.readiness, err = newReadiness(s.machine)
	return err
}

// finish removes pods and machine.
func (s *serving) finish() {
	if s.daemon != nil {
		if err := s.stopPods(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
	s.stopDaemon()
	s.space = ""
	s.readiness.end()
	if err := command("umount", s.machine); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
}

// fillers are pods beside those that are measured: one that asks, one that is asked, one that is probed, those that leave, and one of
// whose file they leave, which must not become empty: that would be a file that is being written.
func (s *serving) fillers() int { return *pods - 4 - *rounds }

// leaver is a pod that leaves, and leavers are the manifests of those that are still there after so many have left.
func leaver(n int) string { return fmt.Sprintf("leaver%d", n) }

func (s *serving) leavers(gone int) string {
	text := pod("stays", "app: stays", "")
	for n := gone; n < *rounds; n++ {
		text += "---\n" + pod(leaver(n), fmt.Sprintf("tier: t%d", n%tiers), "")
	}
	return text
}

// pod is one that sleeps.
func pod(name, labels, more string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {%s}}
spec:
  terminationGracePeriodSeconds: 2
  enableServiceLinks: false
  containers:
  - name: main
    image: %s
    imagePullPolicy: Never
    command: ["/bin/sh", "-c", "trap 'exit 0' TERM; /bin/busybox sleep 1000000 & wait"]
%s`, name, labels, image, more)
}

// tiers of pods: as many services lead to each.
const tiers = 10

func (s *serving) startPods() error {
	for n := range s.fillers() {
		if err := s.apply(fmt.Sprintf("box%d", n), pod(fmt.Sprintf("box%d", n), fmt.Sprintf("tier: t%d", n%tiers), "")); err != nil {
			return err
		}
	}
	if err := s.apply("leavers", s.leavers(0)); err != nil {
		return err
	}
	probe := fmt.Sprintf("    readinessProbe: {httpGet: {host: 127.0.0.1, port: %d}, periodSeconds: 1, failureThreshold: 1}\n", s.readiness.port)
	for name, text := range map[string]string{
		"client": pod("client", "app: client", ""), "server": pod("server", "app: server", ""), "probed": pod("probed", "tier: t0", probe),
	} {
		if err := s.apply(name, text); err != nil {
			return err
		}
	}
	err := pollEvery(pause, "all pods are ready", func() bool {
		list, err := s.pods()
		return err == nil && len(list) == *pods && !slices.ContainsFunc(list, func(p v1.Pod) bool { return !ready(&p) })
	})
	if err != nil {
		return err
	}
	list, err := s.pods()
	if err != nil {
		return err
	}
	for _, p := range list {
		switch p.Name {
		case "client":
			s.client, err = s.spaceOf(p.Name)
		case "server":
			s.address = p.Status.PodIP
			s.server, err = s.spaceOf(p.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *serving) stopPods() error {
	files, err := os.ReadDir(s.path("manifests"))
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := os.Remove(s.path("manifests", f.Name())); err != nil {
			return err
		}
	}
	return s.awaitEmpty()
}

func (s *serving) pods() ([]v1.Pod, error) {
	text, err := s.get("/pods")
	if err != nil {
		return nil, err
	}
	var list v1.PodList
	err = json.Unmarshal([]byte(text), &list)
	return list.Items, err
}

func ready(p *v1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c v1.PodCondition) bool {
		return c.Type == v1.PodReady && c.Status == v1.ConditionTrue
	})
}

// pidsOf are the processes of a pod, but those that hold its namespaces.
func (s *serving) pidsOf(pod string) (pids []int, err error) {
	out, err := exec.Command("bin/solopod", "--socket", s.path("socket"), "exec", pod, "--", "/bin/busybox", "readlink", "/proc/self/ns/net").Output()
	if err != nil {
		return nil, fmt.Errorf("cannot look into pod %s: %w", pod, err)
	}
	space := strings.TrimSpace(string(out))
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		is, err := os.Readlink("/proc/" + e.Name() + "/ns/net")
		if err != nil || is != space {
			continue
		}
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err == nil {
			pids = append(pids, pid)
		}
	}
	if len(pids) == 0 {
		err = fmt.Errorf("no process of pod %s is found", pod)
	}
	return pids, err
}

func (s *serving) spaceOf(pod string) (string, error) {
	pids, err := s.pidsOf(pod)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("/proc/%d/ns/net", pids[0]), nil
}

// manifestOf are so many services: the first one leads to the pod that is asked, the others each to the pods of a tier.
func manifestOf(services int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Service\nmetadata: {name: server}\nspec: {selector: {app: server}, ports: [{name: connect, port: %d}, {name: iperf, port: %d}]}\n", connectPort, iperfPort)
	for n := 1; n < services; n++ {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Service\nmetadata: {name: s%d}\nspec: {selector: {tier: t%d}, ports: [{port: 80}]}\n", n, (n-1)%tiers)
	}
	return b.String()
}

// serve has services served, or none.
func (s *serving) serve(services int) error {
	if services == 0 {
		if err := os.Remove(s.path("manifests/services.yaml")); err != nil {
			return err
		}
		return pollEvery(pause, "nothing of services is left", func() bool { return s.left() == nil })
	}
	if err := s.apply("services", manifestOf(services)); err != nil {
		return err
	}
	err := pollEvery(pause, "the services have addresses", func() bool {
		text, err := s.get("/services")
		var list v1.ServiceList
		if err != nil || json.Unmarshal([]byte(text), &list) != nil {
			return false
		}
		for _, service := range list.Items {
			if service.Name == "server" {
				s.service = service.Spec.ClusterIP
			}
		}
		return len(list.Items) == services && s.service != ""
	})
	if err != nil {
		return err
	}
	return pollEvery(pause, "services lead to pods", func() bool {
		rules, err := s.inMachine("nft", "list", "ruleset")
		return err == nil && strings.Contains(rules, s.service)
	})
}

// left says what there is of services in the machine.
func (s *serving) left() error {
	for _, look := range [][]string{{"nft", "list", "tables"}, {"ip", "link"}, {"ip", "route", "show", "table", "all"}, {"ss", "-Hlntu"}} {
		out, err := s.inMachine(look...)
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			for _, of := range []string{"-services", "-routed", "-policies", "-svc", "10.96.", ":53 "} {
				if strings.Contains(line, of) {
					return fmt.Errorf("%s shows %s", strings.Join(look, " "), line)
				}
			}
		}
	}
	return nil
}

func (s *serving) inMachine(args ...string) (string, error) {
	out, err := exec.Command("nsenter", append([]string{"--net=" + s.machine, "--"}, args...)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// rest is how much memory a daemon that has found its pods, and the keeper, have when they have come to rest.
func (s *serving) rest() (int64, error) {
	s.stopDaemon()
	if err := s.startDaemon(); err != nil {
		return 0, err
	}
	progress("settling")
	time.Sleep(*settle) //nolint:forbidigo // the time is what is measured
	progress("")
	daemon, _, keeper, err := s.memory()
	return daemon + keeper, err
}

func (s *serving) measure() error {
	if err := s.left(); err != nil {
		return fmt.Errorf("without services there is something of them: %w", err)
	}
	paths, err := newPaths(s.server, s.client)
	if err != nil {
		return err
	}
	defer paths.end()
	alone, err := paths.measure(target{"pod to pod, no service exists", s.address})
	if err != nil {
		return err
	}
	if err := s.serve(*serviceCount); err != nil {
		return err
	}
	beside, err := paths.measure(target{"pod to pod", s.address}, target{"pod to service", s.service})
	if err != nil {
		return err
	}
	fmt.Printf("%d services, %d pods\n", *serviceCount, *pods)
	for _, m := range append(alone, beside...) {
		fmt.Printf("  %-32s %7.1f µs to connect, %5.1f Gbit/s, %5.1f Gbit for a second of CPU\n", m.name, float64(m.connect.Nanoseconds())/1000, m.throughput/1e9,
			m.perCPU/1e9)
	}
	judge("connection, of a direct one", beside[1].connect.Seconds()/beside[0].connect.Seconds(), budgetConnect, false)
	judge("throughput for CPU, of direct", beside[1].beside, budgetThroughput, true)
	if err := s.changes(); err != nil {
		return err
	}
	return s.weigh()
}

// weigh compares the memory with services and without.
func (s *serving) weigh() error {
	var with, without []int64
	for range *weighings {
		w, err := s.rest()
		if err != nil {
			return err
		}
		if err := s.serve(0); err != nil {
			return err
		}
		wo, err := s.rest()
		if err != nil {
			return err
		}
		if err := s.serve(*serviceCount); err != nil {
			return err
		}
		with, without = append(with, w), append(without, wo)
	}
	fmt.Printf("  %-32s %7.2f MiB with services, %.2f without, medians of %d\n", "PSS of Solopod and the keeper", mib(median(with)), mib(median(without)), *weighings)
	judge("MiB more with services", mib(median(with)-median(without)), mib(budgetMemory), false)
	return s.serve(0)
}

// changes measures from the cause of a change until the kernel's table has it.
func (s *serving) changes() error {
	table, err := newMonitor(s.machine)
	if err != nil {
		return err
	}
	defer table.end()
	times := map[string][]time.Duration{}
	note := func(what string, cause func() (time.Time, error)) error {
		table.drain()
		from, err := cause()
		if err != nil {
			return err
		}
		at, err := table.next(from)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		times[what] = append(times[what], at.Sub(from))
		return nil
	}
	const unready, again, killed, removed = "its probe fails", "its probe succeeds", "its process is killed", "it is taken out of its file"
	for n := range *rounds {
		progress("change %d of %d", n+1, *rounds)
		err := note(unready, func() (time.Time, error) { return s.readiness.set(false) })
		if err == nil {
			err = note(again, func() (time.Time, error) { return s.readiness.set(true) })
		}
		if err == nil {
			err = note(killed, func() (time.Time, error) { return s.kill(leaver(n)) })
		}
		if err == nil {
			err = pollEvery(pause, "the killed pod is back", func() bool {
				list, err := s.pods()
				return err == nil && slices.ContainsFunc(list, func(p v1.Pod) bool { return p.Name == leaver(n) && ready(&p) })
			})
		}
		if err == nil {
			err = note(removed, func() (time.Time, error) {
				if err := s.write("manifests/.leavers", s.leavers(n+1)); err != nil {
					return time.Time{}, err
				}
				from := time.Now()
				return from, os.Rename(s.path("manifests/.leavers"), s.path("manifests/leavers.yaml"))
			})
		}
		if err != nil {
			return err
		}
	}
	progress("")
	fmt.Printf("  a pod leaves its services, or comes, medians of %d\n", *rounds)
	for _, what := range []string{unready, again, killed, removed} {
		judge("ms since "+what, ms(median(times[what])), ms(budgetChange), false)
		fmt.Printf("    %-30s %7.2f\n", "  the fastest", ms(slices.Min(times[what])))
	}
	return nil
}

// kill kills the first process of a pod's container.
func (s *serving) kill(pod string) (time.Time, error) {
	pids, err := s.pidsOf(pod)
	if err != nil {
		return time.Time{}, err
	}
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return time.Time{}, err
		}
		for line := range strings.Lines(string(text)) {
			if ids := strings.Fields(line); ids[0] == "NSpid:" && ids[len(ids)-1] == "1" {
				from := time.Now()
				return from, syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	return time.Time{}, fmt.Errorf("pod %s has no first process", pod)
}

// judge says whether a figure keeps to its budget.
func judge(what string, figure, budget float64, atLeast bool) {
	verdict := "kept"
	if atLeast && figure < budget || !atLeast && figure > budget {
		verdict = "MISSED"
	}
	fmt.Printf("    %-30s %7.2f, budget %.2f: %s\n", what, figure, budget, verdict)
}
