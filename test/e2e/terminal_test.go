package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is one of a user's, with a command in it.
type terminal struct {
	t             *testing.T
	b             *box
	master, slave *os.File
	mu            sync.Mutex
	shown         bytes.Buffer
	cmd           *exec.Cmd
	before        unix.Termios
}

// newTerminal makes a pseudo-terminal of a size.
func newTerminal(t *testing.T, b *box, columns, rows uint16) *terminal {
	t.Helper()
	// Where the tests run with SIGHUP ignored (nohup), what they start would ignore it, too: a handler is not inherited.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, unix.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangups) })
	master, slave := openTerminal(t)
	tt := &terminal{t: t, b: b, master: master, slave: slave}
	tt.resize(columns, rows)
	tt.before = tt.settings()
	var reading sync.WaitGroup
	reading.Go(func() {
		part := make([]byte, 4096)
		for {
			n, err := master.Read(part)
			tt.mu.Lock()
			tt.shown.Write(part[:n])
			tt.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		if tt.cmd != nil && tt.cmd.ProcessState == nil { // who has the terminal keeps the reader waiting
			tt.cmd.Process.Kill() //nolint:errcheck // it may have ended
			tt.cmd.Wait()         //nolint:errcheck // it was killed
		}
		slave.Close()
		master.Close()
		reading.Wait()
	})
	return tt
}

func (tt *terminal) resize(columns, rows uint16) {
	tt.t.Helper()
	if err := unix.IoctlSetWinsize(int(tt.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		tt.t.Fatal(err)
	}
}

func (tt *terminal) settings() unix.Termios {
	tt.t.Helper()
	s, err := unix.IoctlGetTermios(int(tt.slave.Fd()), unix.TCGETS)
	if err != nil {
		tt.t.Fatal(err)
	}
	return *s
}

// run starts solopod in the terminal, as the leader of a session of its own.
func (tt *terminal) run(args ...string) {
	tt.t.Helper()
	tt.cmd = tt.b.command(nil, args...)
	tt.cmd.Stdin, tt.cmd.Stdout, tt.cmd.Stderr = tt.slave, tt.slave, tt.slave
	tt.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := tt.cmd.Start(); err != nil {
		tt.t.Fatal(err)
	}
}

func (tt *terminal) types(text string) {
	tt.t.Helper()
	if _, err := tt.master.WriteString(text); err != nil {
		tt.t.Fatal(err)
	}
}

func (tt *terminal) text() string {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	return tt.shown.String()
}

// sees waits until something is shown, from where it has seen before.
func (tt *terminal) sees(what string) {
	tt.t.Helper()
	tt.b.eventually(fmt.Sprintf("the terminal shows %q", what), func() error {
		tt.mu.Lock()
		defer tt.mu.Unlock()
		text := tt.shown.String()
		if i := strings.Index(text, what); i >= 0 {
			tt.shown.Next(i + len(what))
			return nil
		}
		return fmt.Errorf("it shows %q", text)
	})
}

// ends waits for the command's end, and looks whether the terminal is as it was.
func (tt *terminal) ends(code int) {
	tt.t.Helper()
	limit := time.AfterFunc(patience, func() { tt.cmd.Process.Kill() }) //nolint:errcheck // it may have ended
	err := tt.cmd.Wait()
	limit.Stop()
	if got := max(exitCode(err), 0); got != code {
		tt.t.Errorf("it ends with %d (%v), not %d: %q", got, err, code, tt.text())
	}
	if now := tt.settings(); now != tt.before {
		tt.t.Errorf("the terminal is not as it was: %+v, and was %+v", now, tt.before)
	}
}

// stops stops the command by a signal.
func (tt *terminal) stops(by syscall.Signal) {
	tt.t.Helper()
	if err := tt.cmd.Process.Signal(by); err != nil {
		tt.t.Fatal(err)
	}
	tt.b.eventually("solopod is stopped", func() error {
		text := readFile(tt.t, fmt.Sprintf("/proc/%d/stat", tt.cmd.Process.Pid))
		if _, rest, _ := strings.Cut(text, ") "); !strings.HasPrefix(rest, "T") {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
}

// goesOn has the command go on, and waits until it has the terminal again.
func (tt *terminal) goesOn() {
	tt.t.Helper()
	if err := tt.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		tt.t.Fatal(err)
	}
	tt.b.eventually("the terminal passes keys on again", func() error {
		if tt.settings() == tt.before {
			return fmt.Errorf("it is as before")
		}
		return nil
	})
}

// A session with a terminal passes keys and sizes on, and gives the terminal back as it was, however it ends.
func TestTerminal(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.apply("pod.yaml", shell("shell", forever, ""))
	b.apply("ticks.yaml", shell("ticks", "while :; do echo tick; sleep 0.1; done", ""))
	b.waitReady("shell")
	tt := newTerminal(t, b, 80, 24)
	const prompt = "# "
	begin := func() {
		t.Helper()
		tt.run("exec", "-it", "pod/shell", "--", "sh")
		tt.sees(prompt)
	}
	begin()
	if tt.settings() == tt.before {
		t.Error("the terminal still does what keys say by itself")
	}
	tt.types("stty size\n")
	tt.sees("24 80\r\n")
	tt.resize(132, 50)
	if err := tt.cmd.Process.Signal(syscall.SIGWINCH); err != nil { // as the kernel does for the terminal's foreground
		t.Fatal(err)
	}
	tt.types("until stty size | grep -q '50 132'; do sleep 0.1; done; echo resi''zed\n")
	tt.sees("resized\r\n")
	tt.sees(prompt)
	// Ctrl-C ends what runs there, Ctrl-Z stops it; neither does anything to solopod.
	tt.types("sleep 4321\n")
	tt.sees("sleep 4321\r\n")
	b.eventually("it sleeps", func() error {
		if out := b.run("exec", "shell", "--", "ps"); !strings.Contains(out, "sleep 4321") {
			return fmt.Errorf("processes:\n%s", out)
		}
		return nil
	})
	tt.types("\x03")
	tt.sees(prompt)
	tt.types("echo be''gun; cat\n")
	tt.sees("begun\r\n")
	tt.types("awake\n")
	tt.sees("awake\r\nawake\r\n")
	tt.types("\x1a")
	tt.sees("Stopped")
	// Stopped from outside the terminal is the shell's again, and goes on as it was.
	tt.stops(syscall.SIGTSTP)
	if now := tt.settings(); now != tt.before {
		t.Errorf("while it is stopped the terminal is %+v, and was %+v", now, tt.before)
	}
	tt.goesOn()
	// Of this stop it is not told; the shell sets the terminal as it needs it.
	tt.stops(syscall.SIGSTOP)
	if err := unix.IoctlSetTermios(int(tt.slave.Fd()), unix.TCSETS, &tt.before); err != nil {
		t.Fatal(err)
	}
	tt.goesOn()
	tt.types("kill -9 %1; wait; exit 7; exit 7\n") // a shell with stopped jobs may warn first
	tt.ends(7)

	// A hang-up, as when the terminal is closed.
	begin()
	if err := tt.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	tt.ends(0) // by the signal: no code

	// The end of the connection, with a program that has taken the screen.
	begin()
	tt.types("printf '\\033[?1049h\\033[?25l\\033[?1000h'; echo ta''ken\n")
	tt.sees("taken\r\n")
	b.crash()
	tt.ends(1)
	tt.sees("\x1b[?1049l")
	tt.sees("\x1b[?1000l\x1b[?25h\x1b[0m")
	tt.sees("error: ")
	b.start()
	cutOff(t, b)
}

// cutOff: what goes on when the daemon ends in peace is no success either.
func cutOff(t *testing.T, b *box) {
	t.Helper()
	b.waitReady("ticks")
	commands := map[string]*exec.Cmd{
		"the daemon ended the log before its end":                     b.command(nil, "logs", "-f", "ticks", "--tail=1"),
		"the daemon ended the log before its end: ":                   b.command(nil, "logs", "-f", "pod/ticks", "pod/ticks", "--tail=1"),
		"the daemon ended the session, as it ends itself":             b.command(nil, "attach", "ticks"),
		"the daemon ended the session, as it ends itself; the contai": b.command(nil, "exec", "ticks", "--", "sh", "-c", "echo tick; sleep 999"),
	}
	said := map[string]*bytes.Buffer{}
	for want, cmd := range commands {
		said[want] = &bytes.Buffer{}
		cmd.Stderr = said[want]
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if !bufio.NewScanner(out).Scan() {
			t.Errorf("%s prints nothing", cmd)
		}
		t.Cleanup(func() { cmd.Process.Kill() }) //nolint:errcheck // it has ended, or the test has failed
		go io.Copy(io.Discard, out)              //nolint:errcheck // until the command ends
	}
	b.stop(syscall.SIGTERM)
	for want, cmd := range commands {
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(said[want].String(), "error: "+want) {
			t.Errorf("%s ends with %v and says %q, not %q", cmd, err, said[want], want)
		}
	}
	b.start()
}
