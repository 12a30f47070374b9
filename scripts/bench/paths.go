package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// paths are ways from one pod to another. Who listens, and who connects, is this process with a thread in the pod's network: so nothing is
// measured but what the kernel does.
type paths struct {
	server, client string // network namespaces
	listener       int
	iperf          *exec.Cmd
}

// target is what is asked for.
type target struct{ name, address string }

// measured is a target with what it takes to reach it, as medians.
type measured struct {
	target
	connect    time.Duration
	throughput float64 // bits a second
	// perCPU is how many bits get through in a second of CPU time of both iperf3: on a machine where others work, too, this is what can be
	// compared. beside is the median of its ratios to that of the first target in the same round.
	perCPU, beside float64
}

const (
	connections  = 2000            // for a figure
	transfer     = 2 * time.Second // of one measurement of throughput
	connectLimit = 5               // seconds
)

func newPaths(server, client string) (*paths, error) {
	p := &paths{server: server, client: client}
	err := within(server, func() (err error) {
		p.listener, err = listen()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot listen in a pod: %w", err)
	}
	p.iperf = exec.Command("nsenter", "--net="+server, "iperf3", "-s", "-p", fmt.Sprint(iperfPort))
	if err := p.iperf.Start(); err != nil {
		unix.Close(p.listener)
		return nil, err
	}
	err = poll("iperf3 listens", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp6", p.iperf.Process.Pid))
		return err == nil && strings.Contains(string(text), fmt.Sprintf(":%04X 0", iperfPort))
	})
	if err != nil {
		p.end()
	}
	return p, err
}

func (p *paths) end() {
	unix.Close(p.listener)
	p.iperf.Process.Kill() //nolint:errcheck // it may have ended
	p.iperf.Wait()         //nolint:errcheck // it was killed
}

// within has a thread do something in a network namespace, and end.
func within(space string, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocks
		f, err := os.Open(space)
		if err == nil {
			defer f.Close()
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

func listen() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Port: connectPort}); err == nil {
		err = unix.Listen(fd, 128)
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

// measure measures all targets in turn.
func (p *paths) measure(targets ...target) ([]measured, error) {
	out := make([]measured, len(targets))
	connects := make([][]time.Duration, len(targets))
	throughputs, costs, beside := make([][]float64, len(targets)), make([][]float64, len(targets)), make([][]float64, len(targets))
	err := within(p.client, func() error {
		for n := range connections + connections/10 {
			for i := range targets {
				i = (i + n) % len(targets) // none is always the first
				took, err := p.connect(targets[i].address)
				if errors.Is(err, unix.EINTR) { // by Go's runtime
					continue
				}
				if err != nil {
					return fmt.Errorf("%s: %w", targets[i].name, err)
				}
				if n >= connections/10 { // the first ones warm up
					connects[i] = append(connects[i], took)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for n := range *rounds {
		progress("throughput, round %d of %d", n+1, *rounds)
		for i := range targets {
			i = (i + n) % len(targets)
			bits, perCPU, err := p.transfer(targets[i].address)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", targets[i].name, err)
			}
			throughputs[i], costs[i] = append(throughputs[i], bits), append(costs[i], perCPU)
		}
		for i := range targets {
			beside[i] = append(beside[i], costs[i][n]/costs[0][n])
		}
	}
	progress("")
	for i, t := range targets {
		out[i] = measured{t, median(connects[i]), median(throughputs[i]), median(costs[i]), median(beside[i])}
	}
	return out, nil
}

// connect measures one connection, which is taken and reset.
func (p *paths) connect(address string) (time.Duration, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: connectLimit}); err != nil {
		return 0, err
	}
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return 0, err
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return 0, err
	}
	to := &unix.SockaddrInet4{Port: connectPort, Addr: ip.As4()}
	start := time.Now()
	if err := unix.Connect(fd, to); err != nil {
		return 0, fmt.Errorf("cannot connect to %s: %w", address, err)
	}
	took := time.Since(start)
	taken, _, err := unix.Accept4(p.listener, unix.SOCK_CLOEXEC)
	if err != nil {
		return 0, err
	}
	return took, unix.Close(taken)
}

// transfer is how many bits get through in a second, and in a second of CPU time.
func (p *paths) transfer(address string) (bits, perCPU float64, err error) {
	out, failed := exec.Command("nsenter", "--net="+p.client, "iperf3", "-c", address, "-p", fmt.Sprint(iperfPort), "-J",
		"-t", fmt.Sprint(int(transfer.Seconds()))).Output()
	var report struct {
		Error string
		End   struct {
			Received struct {
				Bits float64 `json:"bits_per_second"`
			} `json:"sum_received"`
			CPU struct { // in percent
				Sender   float64 `json:"host_total"`
				Receiver float64 `json:"remote_total"`
			} `json:"cpu_utilization_percent"`
		}
	}
	if e := json.Unmarshal(out, &report); e != nil || failed != nil || report.Error != "" {
		return 0, 0, fmt.Errorf("iperf3 to %s: %w %s", address, errors.Join(failed, e), report.Error)
	}
	bits = report.End.Received.Bits
	return bits, 100 * bits / (report.End.CPU.Sender + report.End.CPU.Receiver), nil
}
