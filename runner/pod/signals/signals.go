// Package signals knows the signals of Linux by their names and numbers. It is pure.
package signals

import (
	"fmt"
	"slices"
	"strings"
)

// The signals by their numbers, as Linux has them on x86, ARM and RISC-V (signal(7)).
var names = []string{
	1: "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2",
	"SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU",
	"SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS",
}

const sigterm = 15

// Number reads an image's STOPSIGNAL: a name, with or without SIG, or a number. Anything else means SIGTERM.
func Number(name string) int {
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
	if n := slices.Index(names, name); n > 0 {
		return n
	}
	return sigterm
}

// Name is a signal's name, as the API has it; empty for one that has none.
func Name(number int) string {
	const least, most = 34, 64 // signal(7): the real-time signals that the C library leaves
	switch {
	case number > 0 && number < len(names):
		return names[number]
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
