package names

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/keep"
	"github.com/solopod/solopod/runner/served"
)

// keeper and program are the real ones, as they are installed.
var keeper, program string

// ownNetwork says in the environment that the tests are in a network namespace of their own.
const ownNetwork = "SOLOPOD_TEST_OWN_NETWORK"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == daemonName {
		os.Exit(daemonMain())
	}
	if os.Getenv(ownNetwork) == "" {
		os.Exit(inOwnNetwork())
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	for _, text := range []string{"fd00:96::a/128", "fd00:96::b/128", "2001:db8::53/128"} { // of 127.0.0.0/8 all are there
		if addr, e := netlink.ParseAddr(text); e != nil {
			err = errors.Join(err, e)
		} else {
			err = errors.Join(err, netlink.AddrAdd(lo, addr))
		}
	}
	dir, e := os.MkdirTemp("", "names")
	if err = errors.Join(err, e); err != nil {
		panic(err)
	}
	keeper, program = filepath.Join(dir, "solopod-keep"), filepath.Join(dir, "solopod-names")
	for path, of := range map[string]string{keeper: "../keep/solopod-keep", program: "./solopod-names"} {
		cmd := exec.Command("go", "build", "-trimpath", "-tags", "small", "-ldflags", "-s -w", "-o", path, of)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			panic(fmt.Sprintf("cannot build %s: %v\n%s", of, err, out))
		}
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// inOwnNetwork runs the tests where the addresses, and port 53 of them, are their own.
func inOwnNetwork() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), ownNetwork+"=yes")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		panic(err)
	}
	return 0
}

// daemonName is what the test's own binary is called as to be a daemon that may be killed.
const daemonName = "test-daemon"

// order is what a daemon of the test is to do; it lies in its directory.
type order struct {
	Keeper, Program string
	Addresses       []netip.Addr
	ResolvConf      string
	Table           *served.Table
}

// daemonMain publishes what the order says, again with SIGHUP, says a line each time, and ends with SIGTERM as a daemon does.
func daemonMain() int {
	dir := os.Args[1]
	signals := make(chan os.Signal, 10)
	signal.Notify(signals, unix.SIGHUP, unix.SIGTERM)
	var o order
	k := keep.New(dir, read(dir, &o).Keeper)
	n := New(Config{
		Domain: "cluster.local", Addresses: func() []netip.Addr { return o.Addresses }, ResolvConf: o.ResolvConf, Keeper: k, Program: o.Program, State: dir,
		Warn: func(reason, message string) { fmt.Println("warning", reason, message) },
	})
	k.Only() // as after pods were taken up
	for {
		read(dir, &o)
		fmt.Println("published", n.Publish(context.Background(), o.Table))
		if <-signals == unix.SIGTERM {
			n.Close()
			k.Close()
			return 0
		}
	}
}

func read(dir string, o *order) *order {
	text, err := os.ReadFile(filepath.Join(dir, "order"))
	if err == nil {
		*o = order{}
		err = json.Unmarshal(text, o)
	}
	if err != nil {
		panic(err)
	}
	return o
}

// eventually waits for what becomes so.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !check(); time.Sleep(5 * time.Millisecond) { //nolint:forbidigo // a poll with a deadline
		if time.Now().After(deadline) {
			t.Fatal("not in time: ", what)
		}
	}
}
