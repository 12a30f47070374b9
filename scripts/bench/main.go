// Command bench measures Solopod side by side with podman kube play, ctr run and runc run, in turn, on this machine, and what Services cost. Its
// figures are medians, and what counts are the ratios: machines differ and are noisy.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

var (
	rounds = flag.Int("rounds", 11, "how often each thing is measured")
	idle   = flag.Duration("idle", time.Minute, "how long idleness is measured")
	pods   = flag.Int("pods", 50, "how many pods make a full box")
	settle = flag.Duration("settle", 30*time.Second, "how long to wait until the daemon has come to rest")
	parts  = flag.String("parts", "starts,restarts,box,services", "what is measured")

	weighings    = flag.Int("weighings", 3, "how often memory with services is compared with that without")
	serviceCount = flag.Int("services", 100, "how many services there are")
	bridgeNF     = flag.Bool("bridge-nf", false, "measure services with net.bridge.bridge-nf-call-iptables=1, as with Docker")
)

func main() {
	flag.Parse()
	b, err := prepare()
	if err == nil {
		err = b.run()
	}
	if b != nil {
		b.remove()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run() error {
	all := map[string]func() error{"starts": b.starts, "restarts": b.restarts, "box": b.box, "services": b.services}
	for name := range strings.SplitSeq(*parts, ",") {
		part := all[name]
		if part == nil {
			return fmt.Errorf("there is no part %q", name)
		}
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// starts measures from the manifest's appearance, or the command's start, to a running process.
func (b *bench) starts() error {
	if err := b.startDaemon(); err != nil {
		return err
	}
	if err := b.preparePeers(); err != nil {
		return err
	}
	contenders := []struct {
		name    string
		measure func(n int) (time.Duration, error)
	}{
		{"solopod, host network", func(n int) (time.Duration, error) { return b.solopod(n, true) }},
		{"solopod, own bridge", func(n int) (time.Duration, error) { return b.solopod(n, false) }},
		{"podman kube play, host network", func(n int) (time.Duration, error) { return b.podman(n, true) }},
		{"podman kube play, bridge", func(n int) (time.Duration, error) { return b.podman(n, false) }},
		{"ctr run, host network", b.ctr},
		{"runc run", b.runc},
	}
	times := map[string][]time.Duration{}
	for n := range *rounds + 1 {
		for _, c := range contenders {
			d, err := c.measure(n)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if n > 0 { // the first warms up
				times[c.name] = append(times[c.name], d)
			}
		}
		progress("round %d of %d", n, *rounds)
	}
	progress("")
	fmt.Printf("file or command -> process runs, medians of %d\n", *rounds)
	host, bridge := median(times["podman kube play, host network"]), median(times["podman kube play, bridge"])
	for _, c := range contenders {
		m, peer := median(times[c.name]), host
		if strings.Contains(c.name, "bridge") {
			peer = bridge
		}
		fmt.Printf("  %-32s %7.1f ms   %.2f of podman   %.2f of ctr run\n", c.name, ms(m), m.Seconds()/peer.Seconds(),
			m.Seconds()/median(times["ctr run, host network"]).Seconds())
	}
	if err := b.cni(); err != nil {
		return err
	}
	return nil
}

// cni measures with the CNI plugins instead of Solopod's own bridge.
func (b *bench) cni() error {
	b.stopDaemon()
	conf := `{"cniVersion":"0.4.0","name":"bench","plugins":[{"type":"bridge","bridge":"` + benchBridge + `","isGateway":true,` +
		`"ipam":{"type":"host-local","dataDir":"` + b.path("ipam") + `","ranges":[[{"subnet":"10.217.0.0/24"}]]}}]}`
	if err := b.write("cni/10-bench.conflist", conf); err != nil {
		return err
	}
	if err := b.startDaemon(); err != nil {
		return err
	}
	var times []time.Duration
	for n := range *rounds + 1 {
		d, err := b.solopod(n, false)
		if err != nil {
			return err
		}
		if n > 0 {
			times = append(times, d)
		}
	}
	fmt.Printf("  %-32s %7.1f ms\n", "solopod, CNI bridge plugin", ms(median(times)))
	b.stopDaemon()
	return os.Remove(b.path("cni/10-bench.conflist"))
}

// restarts measures from a container's end to its next process. Each pod is new: a second restart would be held back.
func (b *bench) restarts() error {
	if err := b.startDaemon(); err != nil {
		return err
	}
	defer b.stopDaemon()
	var times []time.Duration
	for n := range *rounds {
		d, err := b.restart(n)
		if err != nil {
			return err
		}
		times = append(times, d)
	}
	fmt.Printf("exit -> running again, median of %d\n  %-32s %7.1f ms\n", *rounds, "solopod", ms(median(times)))
	return nil
}

// box measures a full box: all pods at once, memory, idleness and a scrape.
func (b *bench) box() error {
	if err := b.startDaemon(); err != nil {
		return err
	}
	defer b.stopDaemon()
	var marks []string
	for n := range *pods {
		marks = append(marks, b.mark(fmt.Sprintf("box%d", n)))
	}
	from := time.Now()
	for n, mark := range marks {
		name := fmt.Sprintf("box%d", n)
		if err := b.apply(name, manifest(name, mark, true)); err != nil {
			return err
		}
	}
	for _, mark := range marks {
		if _, err := b.await(mark); err != nil {
			return err
		}
	}
	fmt.Printf("%d pods at once\n  %-32s %7.2f s\n", *pods, "all run after", time.Since(from).Seconds())
	// What follows a start, up to giving its memory back, is not idleness.
	progress("settling")
	time.Sleep(*settle) //nolint:forbidigo // the time is what is measured
	before, err := b.cpu()
	if err != nil {
		return err
	}
	progress("%s of idleness", *idle)
	time.Sleep(*idle) //nolint:forbidigo // the time is what is measured
	progress("")
	after, err := b.cpu()
	if err != nil {
		return err
	}
	daemon, shims, keeper, err := b.memory()
	if err != nil {
		return err
	}
	fmt.Printf("  %-32s %7.3f %% of a core\n", fmt.Sprintf("CPU over %s of idleness", *idle), 100*(after-before).Seconds()/idle.Seconds())
	fmt.Printf("  %-32s %7.1f MiB\n  %-32s %7.1f MiB (%.1f for each pod)\n  %-32s %7.1f MiB\n",
		"PSS of Solopod with containerd", mib(daemon), "PSS of its shims", mib(shims), mib(shims)/float64(*pods), "PSS of the keeper", mib(keeper))
	for _, path := range []string{"/metrics/cadvisor", "/metrics/resource", "/metrics/state", "/stats/summary", "/metrics"} {
		cost, took, err := b.scrape(path)
		if err != nil {
			return err
		}
		fmt.Printf("  %-32s %7.1f ms of CPU, %.1f ms\n", "scrape of "+path, ms(cost), ms(took))
	}
	// The kernel's files stay open until five minutes after the last scrape.
	if daemon, _, _, err = b.memory(); err != nil {
		return err
	}
	fmt.Printf("  %-32s %7.1f MiB\n", "PSS of Solopod, being scraped", mib(daemon))
	for n := range *pods {
		if err := os.Remove(b.path(fmt.Sprintf("manifests/box%d.yaml", n))); err != nil {
			return err
		}
	}
	return b.awaitEmpty()
}

// scrapes is how many are made for one figure.
const scrapes = 50

// scrape measures what a scrape costs Solopod, and the median of how long one takes.
func (b *bench) scrape(path string) (cost, took time.Duration, err error) {
	if _, err := b.get(path); err != nil { // the first one opens files
		return 0, 0, err
	}
	before, err := b.cpu()
	if err != nil {
		return 0, 0, err
	}
	var times []time.Duration
	for range scrapes {
		start := time.Now()
		if _, err := b.get(path); err != nil {
			return 0, 0, err
		}
		times = append(times, time.Since(start))
	}
	after, err := b.cpu()
	return (after - before) / scrapes, median(times), err
}

func median[T cmp.Ordered](d []T) T {
	s := slices.Clone(d)
	slices.Sort(s)
	return s[len(s)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
func mib(bytes int64) float64    { return float64(bytes) / (1 << 20) }

// progress shows what is being done, on a terminal only.
func progress(format string, args ...any) {
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(os.Stderr, "\r\x1b[K"+format, args...)
	}
}

func (b *bench) path(elem ...string) string {
	return filepath.Join(append([]string{b.dir}, elem...)...)
}
