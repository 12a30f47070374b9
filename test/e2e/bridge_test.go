package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// Addresses of a machine that has a network namespace of its own, and of its neighbour (RFC 5737, RFC 3849).
const (
	here4, there4 = "192.0.2.1", "192.0.2.2"
	here6, there6 = "2001:db8::1", "2001:db8::2"
)

// newSpaces makes network namespaces of a machine and of its neighbour, with a link between them.
func newSpaces(t *testing.T, addresses ...string) (machine, neighbor string) {
	t.Helper()
	dir := t.TempDir()
	machine, neighbor = filepath.Join(dir, "machine"), filepath.Join(dir, "neighbor")
	for _, space := range []string{machine, neighbor} {
		command(t, "touch", space)
		command(t, "unshare", "--net="+space, "ip", "link", "set", "lo", "up")
		t.Cleanup(func() { command(t, "umount", space) })
	}
	command(t, "nsenter", "--net="+neighbor, "ip", "link", "add", "up0", "type", "veth", "peer", "name", "machine0")
	// The machine's end goes where a process of its namespace is.
	mover := exec.Command("nsenter", "--net="+machine, "sleep", "1000")
	if err := mover.Start(); err != nil {
		t.Fatal(err)
	}
	defer mover.Wait()         //nolint:errcheck // it is killed
	defer mover.Process.Kill() //nolint:errcheck // it runs
	waitNet := func() error {
		here, err := exec.Command("readlink", fmt.Sprintf("/proc/%d/ns/net", mover.Process.Pid)).Output()
		if err != nil {
			return err
		}
		want, err := exec.Command("nsenter", "--net="+machine, "readlink", "/proc/self/ns/net").Output()
		if err != nil || string(here) != string(want) {
			return fmt.Errorf("it is in %s, %w", here, err)
		}
		return nil
	}
	for end := time.Now().Add(patience); waitNet() != nil; <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(waitNet())
		}
	}
	command(t, "nsenter", "--net="+neighbor, "ip", "link", "set", "machine0", "netns", fmt.Sprint(mover.Process.Pid))
	for i, end := range []string{machine, neighbor} {
		name := []string{"machine0", "up0"}[i]
		for _, a := range addresses {
			host := map[string][2]string{"4": {here4 + "/24", there4 + "/24"}, "6": {here6 + "/64", there6 + "/64"}}[a][i]
			args := []string{"--net=" + end, "ip", "addr", "add", host, "dev", name}
			if a == "6" {
				args = append(args, "nodad")
			}
			command(t, "nsenter", args...)
		}
		command(t, "nsenter", "--net="+end, "ip", "link", "set", name, "up")
	}
	return machine, neighbor
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// inSpace makes a connection, or a socket, on a thread that is in a network namespace and ends with it.
func inSpace[C any](space string, open func() (C, error)) (c C, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocks
		var f *os.File
		if f, err = os.Open(space); err != nil {
			return
		}
		defer f.Close()
		if err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err == nil {
			c, err = open()
		}
	}()
	<-done
	return c, err
}

// startIn starts a box whose daemon runs in a network namespace, with a configuration file.
func startIn(t *testing.T, machine, config string) *box {
	t.Helper()
	b := prepareBox(t, embedded)
	b.namespaces = []string{"nsenter", "--net=" + machine, "--"}
	b.writeFile("config.yaml", config)
	b.flags = []string{"--config", b.path("config.yaml")}
	b.link(imageArchive, "images/box.tar")
	b.start()
	return b
}

// fetchIn gets a page from within a network namespace, in a second.
func fetchIn(space, url string) (string, error) {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
		return inSpace(space, func() (net.Conn, error) { return net.DialTimeout(network, address, time.Second) })
	}}}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func withHostPort(manifest string, port int) string {
	return strings.Replace(manifest, "containerPort: 8080}", fmt.Sprintf("containerPort: 8080, hostPort: %d}", port), 1)
}

// A machine with both families: what pods and their neighbours see of it, what a firewall does to it, and what a start mends.
func TestBridgeOfTwoFamilies(t *testing.T) {
	t.Parallel()
	machine, neighbor := newSpaces(t, "4", "6")
	b := startIn(t, machine, "")
	both := []string{"http://" + here4 + ":8080/", "http://[" + here6 + "]:8080/"}
	b.apply("web.yaml", withHostPort(web("web", "env:\n- {name: IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}"), 8080))
	pod := b.waitReady("web")
	answer := func(url, want string) error {
		body, err := fetchIn(neighbor, url)
		if err == nil && !strings.Contains(body, "Hello from "+want) {
			err = fmt.Errorf("%s answers %q", url, body)
		}
		return err
	}
	all := func() error {
		for _, url := range both {
			if err := answer(url, "web"); err != nil {
				return err
			}
		}
		return nil
	}
	if err := all(); err != nil {
		t.Error("a pod that is ready is not reached: ", err)
	}
	ips := pod.Status.PodIPs
	if len(ips) != 2 || ips[0].IP != pod.Status.PodIP || !strings.HasPrefix(ips[1].IP, "fd") {
		t.Fatalf("the addresses are %v", ips)
	}
	if out := b.run("exec", "web", "--", "/bin/sh", "-c", "echo $IPS; cat /etc/hosts"); !strings.HasPrefix(out, ips[0].IP+","+ips[1].IP+"\n") || !strings.Contains(out, "\n"+ips[1].IP+"\tweb\n") {
		t.Errorf("the pod sees\n%s", out)
	}
	for what, change := range map[string][]string{
		"the rules are flushed":     {"nft", "flush", "ruleset"},
		"the bridge is removed":     {"ip", "link", "del", b.bridge()},
		"nothing may be forwarded":  {"nft", "add table inet own; add chain inet own forward { type filter hook forward priority 0; policy drop; }"},
		"a firewall is loaded anew": {"nft", "flush ruleset; add table inet own; add chain inet own forward { type filter hook forward priority 0; policy drop; }"},
	} {
		command(t, "nsenter", append([]string{"--net=" + machine}, change...)...)
		b.within(10*time.Second, what, all)
	}
	for _, reason := range []string{"NetworkRestored", "ForwardingBlocked"} {
		b.eventually("it is told: "+reason, func() error {
			if events := b.run("get", "events"); !strings.Contains(events, reason) {
				return fmt.Errorf("the events are\n%s", events)
			}
			return nil
		})
	}
	b.crash()
	command(t, "nsenter", "--net="+machine, "nft", "flush", "ruleset")
	b.start()
	b.within(10*time.Second, "the port answers after a start", all)
	if again := b.waitReady("web"); again.Status.PodIP != pod.Status.PodIP {
		t.Errorf("the address changed to %s", again.Status.PodIP)
	}
}

// A machine without IPv4, whose pods have none either: ports, probes and the way out are IPv6's.
func TestBridgeOfIPv6Only(t *testing.T) {
	t.Parallel()
	machine, neighbor := newSpaces(t, "6")
	b := startIn(t, machine, "podCIDR: none\npodCIDR6: fd00:77::/64\n")
	b.apply("web.yaml", withHostPort(web("web", "livenessProbe: {tcpSocket: {port: http}, periodSeconds: 1, failureThreshold: 1}"), 8080))
	pod := b.waitReady("web")
	if pod.Status.PodIP != "fd00:77::2" || len(pod.Status.PodIPs) != 1 {
		t.Errorf("the addresses are %v", pod.Status.PodIPs)
	}
	if body, err := fetchIn(neighbor, "http://["+here6+"]:8080/"); err != nil || !strings.Contains(body, "Hello from web") {
		t.Errorf("%q, %v", body, err)
	}
	b.apply("client.yaml", strings.Replace(shell("client", "wget -qO- http://["+here6+"]:8080/", "restartPolicy: Never"), "  hostNetwork: true\n", "", 1))
	b.waitPod("client", "succeeded", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
	if out := b.run("logs", "client"); !strings.Contains(out, "Hello from web") {
		t.Errorf("a pod gets %q through the machine's own address", out)
	}
	if again := b.waitReady("web"); status(again, "web").RestartCount != 0 {
		t.Error("the liveness probe has failed")
	}
}

// A pod comes and goes, on few addresses: it is reached as soon as it is ready, and one that stays is reached all the time.
func TestChurn(t *testing.T) {
	t.Parallel()
	rounds := 5
	if *slow {
		rounds = 200
	}
	machine, neighbor := newSpaces(t, "4", "6")
	b := startIn(t, machine, "podCIDR: 10.7.7.0/29\n")
	b.apply("stays.yaml", withHostPort(web("stays", ""), 7070))
	stays := b.waitReady("stays")
	var wg sync.WaitGroup
	stop, failures := make(chan struct{}), make(chan error, 2)
	for _, url := range []string{"http://" + here4 + ":7070/", "http://[" + here6 + "]:7070/"} {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
				if _, err := fetchIn(neighbor, url); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	echoes := newEchoes(t, machine, stays.Status.PodIP)
	seen := map[string]int{}
	for i := range rounds {
		b.apply("web.yaml", withHostPort(web("web", "livenessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 1}"), 8080))
		pod := b.waitReady("web")
		for _, url := range []string{"http://" + here4 + ":8080/", "http://[" + here6 + "]:8080/"} {
			if _, err := fetchIn(neighbor, url); err != nil {
				t.Errorf("round %d: a pod that is ready is not reached: %v", i, err)
			}
		}
		if seen[pod.Status.PodIP]++; i < 4 && seen[pod.Status.PodIP] > 1 {
			t.Errorf("round %d: %s is given out again while others are free", i, pod.Status.PodIP)
		}
		if status(pod, "web").RestartCount != 0 {
			t.Errorf("round %d: the liveness probe has failed", i)
		}
		if i == 1 { // what was given out is known to the next daemon
			b.crash()
			b.start()
			b.waitReady("web")
		}
		b.delete("web.yaml")
		b.waitGone("web")
	}
	close(stop)
	wg.Wait()
	close(failures)
	for err := range failures {
		t.Errorf("a pod that nobody touched: %v", err)
	}
	if sent, lost := echoes.end(); lost > echoesLost {
		t.Errorf("of %d packets to a pod that nobody touched %d were lost one after the other", sent, lost)
	}
}

const (
	echoPause  = 20 * time.Millisecond
	echoesLost = int(200 * time.Millisecond / echoPause) // at most, one after the other
	echoID     = "sp"
)

// echoes sends packets to a pod from the machine, and notes which are answered. A late answer counts: a machine with much to do loses none.
type echoes struct {
	conn      net.PacketConn
	stop      chan struct{}
	wg        sync.WaitGroup
	sent      int
	answered  map[uint16]bool
	listening chan struct{} // closed when nobody listens any more
}

func newEchoes(t *testing.T, space, to string) *echoes {
	t.Helper()
	conn, err := inSpace(space, func() (net.PacketConn, error) { return net.ListenPacket("ip4:icmp", "0.0.0.0") })
	if err != nil {
		t.Fatal(err)
	}
	e := &echoes{conn: conn, stop: make(chan struct{}), answered: map[uint16]bool{}, listening: make(chan struct{})}
	t.Cleanup(func() { conn.Close() })
	pod := &net.IPAddr{IP: net.ParseIP(to)}
	e.wg.Go(func() {
		for ; e.sent < 1<<16; e.sent++ {
			select {
			case <-e.stop:
				return
			case <-time.After(echoPause):
			}
			conn.WriteTo(echoRequest(uint16(e.sent)), pod) //nolint:errcheck // it is not answered, then
		}
	})
	go e.listen()
	return e
}

// listen notes answers until the socket's deadline or end.
func (e *echoes) listen() {
	defer close(e.listening)
	answer := make([]byte, 1500)
	for {
		n, _, err := e.conn.ReadFrom(answer)
		if err != nil {
			return
		}
		if m := answer[:n]; n >= 8 && m[0] == 0 && string(m[4:6]) == echoID {
			e.answered[uint16(m[6])<<8|uint16(m[7])] = true
		}
	}
}

// end returns how many packets were sent, and the most that were lost one after the other.
func (e *echoes) end() (sent, lost int) {
	close(e.stop)
	e.wg.Wait()
	e.conn.SetReadDeadline(time.Now().Add(time.Second)) //nolint:errcheck // it has deadlines
	<-e.listening
	run := 0
	for number := range e.sent {
		if run++; e.answered[uint16(number)] {
			run = 0
		}
		lost = max(lost, run)
	}
	return e.sent, lost
}

// echoRequest is a message of ICMP (RFC 792).
func echoRequest(number uint16) []byte {
	m := []byte{8, 0, 0, 0, echoID[0], echoID[1], byte(number >> 8), byte(number)}
	sum := uint32(0)
	for i := 0; i < len(m); i += 2 {
		sum += uint32(m[i])<<8 | uint32(m[i+1])
	}
	sum = ^(sum&0xffff + sum>>16)
	m[2], m[3] = byte(sum>>8), byte(sum)
	return m
}

// A sender of UDP that was there before the pod, and does not stop, is heard.
func TestUDPSenderWasFirst(t *testing.T) {
	t.Parallel()
	machine, neighbor := newSpaces(t, "4")
	b := startIn(t, machine, "")
	b.apply("web.yaml", withHostPort(web("web", ""), 8080)) // the machine tracks connections
	b.waitReady("web")
	sender, err := inSpace(neighbor, func() (net.Conn, error) {
		from, to := netip.MustParseAddrPort(there4+":5140"), netip.MustParseAddrPort(here4+":15514")
		return net.DialUDP("udp", net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(to))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	flow := func(to string) func() error {
		return func() error {
			sender.Write([]byte("word")) //nolint:errcheck // nobody listens
			flows := command(t, "nsenter", "--net="+machine, "cat", "/proc/net/nf_conntrack")
			for line := range strings.Lines(flows) {
				if _, answer, found := strings.Cut(line, "sport=5140 dport=15514"); found && strings.Contains(answer, "src="+to+" ") {
					return nil
				}
			}
			return fmt.Errorf("the flows are\n%s", flows)
		}
	}
	for range 2 {
		b.eventually("the machine knows the sender", flow(here4))
		b.apply("syslog.yaml", strings.Replace(web("syslog", ""), "- {name: http, containerPort: 8080}", "- {name: http, containerPort: 8080}\n    - {containerPort: 514, hostPort: 15514, protocol: UDP}", 1))
		pod := b.waitReady("syslog")
		b.within(5*time.Second, "the sender is heard", flow(pod.Status.PodIP))
		b.delete("syslog.yaml")
		b.waitGone("syslog")
	}
}
