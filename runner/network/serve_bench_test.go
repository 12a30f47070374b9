package network

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/network/balance"
	"github.com/solopod/solopod/runner/served"
)

// manyServices are so many services of two families, with a port each, each with as many endpoints among so many pods that do not exist.
func manyServices(n, endpoints, pods int) (out []served.Service) {
	for i := range n {
		s := served.Service{
			Namespace: "default", Name: fmt.Sprintf("s%05d", i),
			ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(1 + i/250), byte(i%250 + 1)}), netip.MustParseAddr(fmt.Sprintf("fd96::1:%x", i))},
		}
		p := served.Port{Protocol: v1.ProtocolTCP, Port: 80}
		for j := range endpoints {
			pod := (i + j) % pods
			p.Targets = append(p.Targets, served.Target{Addr: netip.AddrFrom4([4]byte{10, 200, 0, byte(pod + 2)}), Port: 8080}, served.Target{Addr: netip.MustParseAddr(fmt.Sprintf("fd20::%x", pod+2)), Port: 8080})
		}
		s.Ports = []served.Port{p}
		out = append(out, s)
	}
	return out
}

func benchMachine(b *testing.B) *Network {
	b.Helper()
	state := b.TempDir()
	return New(Config{CNIConfDir: state + "/none", CNICacheDir: state + "/cni", StateDir: state, Bridge: "sptbench"})
}

func serveAll(b *testing.B, n *Network, list []served.Service) {
	b.Helper()
	s := Serving{Names: addrs(dns4, dns6), CIDRs: testCIDRs, Table: &served.Table{Services: list}}
	if len(list) == 0 {
		s = Serving{}
	}
	if err := n.Serve(b.Context(), s); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkServe writes 100 services with 50 pods behind them, all anew.
func BenchmarkServe(b *testing.B) {
	n := benchMachine(b)
	list := manyServices(100, 3, 50)
	for b.Loop() {
		serveAll(b, n, list)
		b.StopTimer()
		serveAll(b, n, nil)
		b.StartTimer()
	}
}

// BenchmarkServeEndpoint takes an endpoint of one of 100 services away, and brings it back.
func BenchmarkServeEndpoint(b *testing.B) {
	n := benchMachine(b)
	list, other := manyServices(100, 3, 50), manyServices(100, 3, 50)
	other[50].Ports[0].Targets = other[50].Ports[0].Targets[:4]
	serveAll(b, n, list)
	defer serveAll(b, n, nil)
	for i := 0; b.Loop(); i++ {
		serveAll(b, n, [][]served.Service{other, list}[i%2])
	}
}

// BenchmarkServeAdopt is a daemon's first write where an earlier one has left the same.
func BenchmarkServeAdopt(b *testing.B) {
	n := benchMachine(b)
	list := manyServices(100, 3, 50)
	serveAll(b, n, list)
	defer serveAll(b, n, nil)
	for b.Loop() {
		n.serving.writer = balance.NewWriter(n.config.Bridge)
		serveAll(b, n, list)
	}
}

// BenchmarkServeMemory tells what 100 services with 50 pods keep in the daemon's memory.
func BenchmarkServeMemory(b *testing.B) {
	n := benchMachine(b)
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		list := manyServices(100, 3, 50)
		serveAll(b, n, list)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc), "heap-bytes")
		runtime.KeepAlive(list)
		serveAll(b, n, nil)
	}
}

// BenchmarkConnect sets connections up: from pod to pod, directly and through one service of so many.
func BenchmarkConnect(b *testing.B) {
	for _, c := range []struct {
		name     string
		services int
		through  bool
	}{{"direct, none", 0, false}, {"direct, 10", 10, false}, {"through, 10", 10, true}, {"through, 100", 100, true}, {"through, 1000", 1000, true}} {
		b.Run(c.name, func(b *testing.B) {
			n := benchMachine(b)
			server, client := benchPod(b, n, "server"), benchPod(b, n, "client")
			var l net.Listener
			if err := within(server.space, func() (err error) { l, err = net.Listen("tcp", ":8080"); return err }); err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					conn.Close()
				}
			}()
			to := server.IPs[0] + ":8080"
			if c.services > 0 {
				list := manyServices(c.services, 3, 50)
				list = append(list, served.Service{Namespace: "default", Name: "web", ClusterIPs: addrs(web4), Ports: bothPorts(80, 0, 8080, server)})
				serveAll(b, n, list)
				defer serveAll(b, n, nil)
			}
			if c.through {
				to = web4 + ":80"
			}
			if err := within(client.space, func() error {
				for b.Loop() {
					conn, err := net.Dial("tcp4", to)
					if err != nil {
						return err
					}
					conn.(*net.TCPConn).SetLinger(0) //nolint:errcheck // ports are many, but not endless
					conn.Close()
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func benchPod(b *testing.B, n *Network, name string) *pod {
	b.Helper()
	var space *os.File
	if err := ownSpace(&space); err != nil {
		b.Fatal(err)
	}
	p := &pod{Pod: Pod{UID: name, Namespace: "ns", Name: name, Netns: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), space.Fd())}, space: space}
	var err error
	if p.Attachment, err = n.Attach(b.Context(), p.Pod); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := n.Detach(b.Context(), p.Pod); err != nil && b.Context().Err() == nil {
			b.Error(err)
		}
		space.Close()
	})
	return p
}
