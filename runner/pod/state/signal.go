package state

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The signals by their numbers, as Linux has them on x86, ARM and RISC-V (signal(7)).
var signals = []string{
	1: "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2",
	"SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU",
	"SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS",
}

const sigterm = 15

// SignalNumber reads an image's STOPSIGNAL: a name, with or without SIG, or a number. Anything else means SIGTERM.
func SignalNumber(name string) int {
	name = strings.ToUpper(strings.TrimSpace(name))
	if name == "" {
		return sigterm
	}
	var number int
	if n, err := fmt.Sscanf(name, "%d", &number); n == 1 && err == nil && number > 0 && number < 65 {
		return number
	}
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if offset, ok := strings.CutPrefix(name, "SIGRTMIN+"); ok {
		if n, err := fmt.Sscanf(offset, "%d", &number); n == 1 && err == nil {
			return 34 + number // signal(7): the C library reserves 32 and 33
		}
	}
	if n := slices.Index(signals, name); n > 0 {
		return n
	}
	return sigterm
}

// SignalName is a signal's name, as the API has it; empty for one that has none.
func SignalName(number int) string {
	const least, most = 34, 64 // signal(7): the real-time signals that the C library leaves
	switch {
	case number > 0 && number < len(signals):
		return signals[number]
	case number < least || number > most:
		return ""
	case number == least:
		return "SIGRTMIN"
	case number == most:
		return "SIGRTMAX"
	case number <= least+15: // the API names them from both ends
		return fmt.Sprintf("SIGRTMIN+%d", number-least)
	}
	return fmt.Sprintf("SIGRTMAX-%d", most-number)
}

// StopSignalOf is the signal that the manifest names; empty when it names none.
func StopSignalOf(c *v1.Container) string {
	if l := c.Lifecycle; l != nil && l.StopSignal != nil {
		return string(*l.StopSignal)
	}
	return ""
}

// StopSignal is what ends a container: the manifest's signal before the image's.
func StopSignal(c *v1.Container, image string) int {
	if named := StopSignalOf(c); named != "" {
		return SignalNumber(named)
	}
	return SignalNumber(image)
}

// HasPostStart says whether a container has a postStart hook.
func HasPostStart(c *v1.Container) bool { return c.Lifecycle != nil && c.Lifecycle.PostStart != nil }

// PreStopOf is the hook as it is kept for the container's end: the manifest may have changed until then, so names of ports
// are resolved now.
func PreStopOf(c *v1.Container) *v1.LifecycleHandler {
	if c.Lifecycle == nil || c.Lifecycle.PreStop == nil {
		return nil
	}
	h := c.Lifecycle.PreStop.DeepCopy()
	resolve := func(p *intstr.IntOrString) {
		if p.Type != intstr.String {
			return
		}
		for _, named := range c.Ports {
			if named.Name == p.StrVal && p.StrVal != "" {
				*p = intstr.FromInt32(named.ContainerPort)
			}
		}
	}
	if h.HTTPGet != nil {
		resolve(&h.HTTPGet.Port)
	}
	if h.TCPSocket != nil {
		resolve(&h.TCPSocket.Port)
	}
	return h
}
