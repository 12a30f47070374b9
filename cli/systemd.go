package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"

	"github.com/solopod/solopod/runner"
	"github.com/solopod/solopod/runner/foreign"
)

// supervisor is systemd, where it has started the daemon with Type=notify; else nobody listens (sd_notify(3)).
type supervisor struct {
	conn net.Conn
	// watchdog is how often systemd wants to hear of progress; zero when it does not.
	watchdog time.Duration
	// unit is the daemon's own; empty when it is run by something else.
	unit string
}

// ownUnit is the unit that runs this process: the cgroup's name, where systemd has started just this process.
func ownUnit() string {
	text, err := foreign.ReadKernel("/proc/self/cgroup")
	if err != nil || os.Getenv("SYSTEMD_EXEC_PID") != strconv.Itoa(os.Getpid()) {
		return ""
	}
	_, cgroup, _ := strings.Cut(strings.TrimSpace(string(text)), "0::") // one line with cgroup v2
	if unit := path.Base(cgroup); strings.HasSuffix(unit, ".service") {
		return unit
	}
	return ""
}

// notifyVariables are for the daemon alone: an OCI runtime that inherits the socket would wait for the container to be ready.
var notifyVariables = []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID"}

// newSupervisor takes systemd's variables out of the environment, before any child is started. The caller must Close it.
func newSupervisor(ctx context.Context) *supervisor {
	s := &supervisor{unit: ownUnit()}
	socket, interval, pid := os.Getenv("NOTIFY_SOCKET"), os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	for _, name := range notifyVariables {
		os.Unsetenv(name) //nolint:errcheck // it cannot fail for these names
	}
	if socket == "" {
		return s
	}
	if name, abstract := strings.CutPrefix(socket, "@"); abstract {
		socket = "\x00" + name
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unixgram", socket)
	if err != nil {
		slog.Warn("cannot tell systemd when the daemon is ready", "err", err)
		return s
	}
	s.conn = conn
	usec, err := strconv.ParseInt(interval, 10, 64)
	if err == nil && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		s.watchdog = time.Duration(usec) * time.Microsecond
	}
	return s
}

func (s *supervisor) Close() {
	if s.conn != nil {
		s.conn.Close() //nolint:errcheck // only written to
	}
}

// tellLimit is how long systemd may take to make room for a message.
const tellLimit = time.Second

func (s *supervisor) tell(lines ...string) {
	if s.conn == nil {
		return
	}
	err := s.conn.SetWriteDeadline(time.Now().Add(tellLimit))
	if err == nil {
		_, err = s.conn.Write([]byte(strings.Join(lines, "\n")))
	}
	if err != nil {
		slog.Warn("cannot tell systemd about the daemon", "err", err)
	}
}

// supervise says when the daemon is ready, and from then on feeds the watchdog while it makes progress. Without progress
// nothing is fed; systemd ends the daemon with SIGABRT, which prints what every goroutine does, and starts it again. The
// pods run on meanwhile.
func (s *supervisor) supervise(ctx context.Context, r *runner.Runner) error {
	if s.conn == nil {
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case <-r.Reconciled():
	}
	s.tell("READY=1", fmt.Sprintf("STATUS=Running %d pods", len(r.Pods())))
	if s.watchdog == 0 {
		return nil
	}
	ticker := time.NewTicker(s.watchdog / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := r.Stuck(s.watchdog)
		if err != nil && ctx.Err() == nil {
			slog.Error("no progress; the watchdog is not fed", "err", err)
			continue
		}
		s.tell("WATCHDOG=1")
	}
}

// underSystemd says whether systemd is the init (sd_booted(3)).
func underSystemd() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

// goingDown says whether the machine is about to halt or reboot.
func goingDown(ctx context.Context) bool {
	if !underSystemd() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := dbus.NewWithContext(ctx)
	if err != nil {
		slog.Warn("cannot ask systemd whether the machine goes down; pods are left as they are", "err", err)
		return false
	}
	defer conn.Close()
	// "stopping" from the moment on in which a shutdown is wanted (org.freedesktop.systemd1(5), SystemState).
	state, err := conn.SystemStateContext(ctx)
	if err != nil {
		slog.Warn("cannot ask systemd whether the machine goes down; pods are left as they are", "err", err)
		return false
	}
	return state.Value.Value() == "stopping"
}

// askAtEnd asks systemd, as soon as ctx has ended, whether the machine goes down: the answer comes while other things end. answer
// waits for it, and asks itself where ctx has not ended; forget is for who does not want to know any more.
func askAtEnd(ctx context.Context, ask func(context.Context) bool) (answer func() bool, forget func() bool) {
	answers := make(chan bool, 1)
	forget = context.AfterFunc(ctx, func() { answers <- ask(context.Background()) })
	return func() bool {
		if forget() {
			return ask(context.Background())
		}
		return <-answers
	}, forget
}

// end stops the pods when the machine goes down, and leaves them alone otherwise. The daemon's own context has ended.
func (s *supervisor) end(c config, r *runner.Runner, goingDown func() bool, b *backstop) {
	down := false
	if b.during("the question to systemd", func() { down = goingDown() }); !down {
		s.tell("STOPPING=1")
		return
	}
	total := c.ShutdownGracePeriod.Duration
	if total == 0 { // as the kubelet: switched off
		s.tell("STOPPING=1")
		slog.Info("the machine goes down; shutdownGracePeriod is 0, so the pods are left to systemd")
		return
	}
	const margin = time.Minute // for what the processes' end leaves to do, on a slow machine
	b.extend(total + margin/2)
	s.tell("STOPPING=1", "STATUS=The machine goes down: stopping the pods", fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (total+margin).Microseconds()))
	slog.Info("the machine goes down; stopping the pods", "within", total)
	b.during("pods that are stopped", func() { r.Drain(context.Background(), total, c.ShutdownGracePeriodCriticalPods.Duration) })
}
