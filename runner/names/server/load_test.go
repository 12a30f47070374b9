package server

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/served"
)

var (
	loadFor = flag.Duration("load", 3*time.Second, "for how long TestLoad asks; the budget is held for a minute")
	rate    = flag.Int("rate", usualRate, "queries in a second of TestLoad")
)

// flooding is what the test's own program does instead, as a process of its own: the server's memory and time are measured alone.
const flooding = "SOLOPOD_TEST_LOAD"

// clients that ask at the same time, each from a port of its own.
const clients = 4

// TestLoad asks for 10 000 names in a second, three of four of the cluster and one of the world. Not one answer is lost or wrong, and
// nothing grows.
func TestLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	table := &served.Table{}
	for i := range 100 {
		table.Services = append(table.Services, served.Service{
			Namespace: "shop", Name: fmt.Sprintf("s%d", i), ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 1, byte(i)})},
			Ports: []served.Port{{Name: "http", Protocol: "TCP", Port: 80}},
		})
	}
	for i := range 50 {
		table.Pods = append(table.Pods, served.Pod{Namespace: "shop", Name: fmt.Sprintf("p%d", i), Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 88, 0, byte(i)})}})
	}
	b := serve(t, Config{Upstreams: elsewhere(t, world)}, table, "127.0.0.1")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	flood := func(d time.Duration) string {
		ctx, cancel := context.WithTimeout(t.Context(), d+time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, self)
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", flooding, b.addr, *rate, d))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	flood(time.Second) // what is kept is there
	heap, before, cpu := live(), runtime.NumGoroutine(), used(t)
	said := flood(*loadFor)
	cpu = used(t) - cpu
	grown, goroutines := live()-heap, runtime.NumGoroutine()-before
	t.Logf("%s; %d have had no room in the socket; %d%% of a processor, %d KiB more on the heap (%d in all), %d goroutines more, resident %s", said, dropped(t, b.addr), int(100*cpu/loadFor.Seconds()), grown>>10, live()>>10, goroutines, resident(t))
	if grown > 256<<10 {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
	if goroutines > 10 {
		t.Errorf("%d goroutines more", goroutines)
	}
}

// live is the heap that is in use.
func live() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// used is the processor's time of this process, in seconds.
func used(t *testing.T) float64 {
	b, err := foreign.ReadKernel("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return float64(user+system) / 100
}

// dropped counts packets that the kernel has not put into the server's socket.
func dropped(t *testing.T, at netip.AddrPort) int {
	b, err := foreign.ReadKernel("/proc/net/udp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); strings.HasSuffix(f[1], fmt.Sprintf(":%04X", at.Port())) {
			n, _ := strconv.Atoi(f[len(f)-1])
			return n
		}
	}
	return -1
}

func resident(t *testing.T) string {
	b, err := foreign.ReadKernel("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "VmRSS:")
	line, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(line)
}

// flood asks, and says what came of it; it fails if an answer is lost or wrong.
func flood(arguments string) int {
	f := strings.Fields(arguments)
	perSecond, _ := strconv.Atoi(f[1])
	d, _ := time.ParseDuration(f[2])
	var all sync.WaitGroup
	found := make([]flooded, clients)
	for i := range found {
		all.Go(func() { found[i] = ask(f[0], time.Second*clients/time.Duration(perSecond), d) })
	}
	all.Wait()
	var sum flooded
	for _, o := range found {
		sum.sent, sum.wrong, sum.answered, sum.took = sum.sent+o.sent, sum.wrong+o.wrong, sum.answered+o.answered, append(sum.took, o.took...)
		if o.err != nil {
			fmt.Fprintln(os.Stderr, o.err)
			return 1
		}
	}
	slices.Sort(sum.took)
	n := len(sum.took)
	fmt.Fprintf(os.Stdout, "%d queries in %s, %d lost, %d wrong; half below %s, 99 of 100 below %s, all below %s\n",
		sum.sent, d, sum.sent-sum.answered, sum.wrong, sum.took[n/2], sum.took[n*99/100], sum.took[n-1])
	if sum.sent != sum.answered || sum.wrong > 0 || sum.sent < int(d.Seconds()*float64(perSecond)*0.99) {
		return 1
	}
	return 0
}

type flooded struct {
	sent, answered, wrong int
	took                  []time.Duration
	err                   error
}

// ask sends a query every so often, whether those before are answered or not.
func ask(server string, every, d time.Duration) (out flooded) {
	conn, err := net.Dial("udp", server)
	if err != nil {
		return flooded{err: err}
	}
	defer conn.Close()
	if raw, err := conn.(*net.UDPConn).SyscallConn(); err == nil {
		widen(raw)
	}
	var queries [][]byte
	for i := range 300 {
		queries = append(queries, query(fmt.Sprintf("s%d.shop.svc.cluster.local.", i%100)))
	}
	for i := range 100 {
		queries = append(queries, query(fmt.Sprintf("w%d.example.com.", i)))
	}
	var sent [1 << 16]time.Time
	var mu sync.Mutex
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1024)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			id := binary.BigEndian.Uint16(buf)
			mu.Lock()
			out.took = append(out.took, time.Since(sent[id]))
			out.answered++
			if n < 40 || buf[3]&0xF != 0 || buf[7] != 1 {
				out.wrong++
			}
			mu.Unlock()
		}
	}()
	began := time.Now()
	for time.Since(began) < d {
		for due := int(time.Since(began) / every); out.sent < due; out.sent++ {
			q := queries[rand.IntN(len(queries))]
			binary.BigEndian.PutUint16(q, uint16(out.sent))
			mu.Lock()
			sent[uint16(out.sent)] = time.Now()
			mu.Unlock()
			if _, err := conn.Write(q); err != nil {
				out.err = err
				return out
			}
		}
		<-time.After(time.Millisecond)
	}
	_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	<-done
	return out
}

func query(name string) []byte {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}
