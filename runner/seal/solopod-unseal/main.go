// Command solopod-unseal runs an OCI runtime for a container whose spec has values of Secrets, which are sealed (package seal).
//
// containerd's shim calls it by a link that names the runtime, with the runtime's own arguments. For create and exec it opens what is
// sealed, and shows the runtime the result by a descriptor: it stands in no file system. All else is the runtime's from the start.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/seal"
)

// maxSpec bounds a runtime spec.
const maxSpec = 64 << 20

func init() {
	runtime.LockOSThread() // a child that is to end with its parent ends with the thread that made it
}

func main() {
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) //nolint:errcheck // no core file of it, which nobody expects anyway
	dir, name := seal.Called(os.Args[0])
	c := call{dir: dir, args: os.Args[1:]}
	code := 1
	var err error
	if c.program, err = exec.LookPath(name); err == nil {
		code, err = c.run()
	}
	if err != nil {
		c.say(fmt.Errorf("solopod-unseal: cannot run %s: %w", name, err))
	}
	os.Exit(code)
}

// call is one of an OCI runtime.
type call struct {
	dir, program string
	args         []string
}

// run does not return where the runtime takes this process's place.
func (c *call) run() (code int, err error) {
	at, command := c.command()
	switch command {
	case "create", "run", "restore":
		return c.create(at)
	case "exec":
		return 1, c.exec(at)
	}
	return 1, c.become()
}

// command finds the runtime's command behind its global options; those without a value are named here.
func (c *call) command() (at int, name string) {
	for i := 0; i < len(c.args); i++ {
		switch a := c.args[i]; {
		case !strings.HasPrefix(a, "-"):
			return i, a
		case strings.Contains(a, "="), a == "--debug", a == "--systemd-cgroup", a == "--version", a == "-v", a == "--help", a == "-h":
		default:
			i++
		}
	}
	return len(c.args), ""
}

// option finds the value of an option from an argument on.
func (c *call) option(from int, names ...string) *string {
	for i := from; i < len(c.args)-1; i++ {
		for _, n := range names {
			if c.args[i] == n {
				return &c.args[i+1]
			}
		}
	}
	return nil
}

func (c *call) key() (*seal.Key, error) { return seal.ReadKey(c.dir) }

// create makes a container. The runtime reads its spec from the bundle's config.json: meanwhile that is a link to the descriptor.
func (c *call) create(at int) (code int, err error) {
	bundle := "."
	if given := c.option(at, "--bundle", "-b"); given != nil {
		bundle = *given
	}
	config := filepath.Join(bundle, "config.json")
	sealed, err := durable.ReadFile(config, maxSpec)
	if err != nil {
		return 1, err
	}
	plain, err := seal.Unsealed(sealed, c.key)
	if err != nil {
		return 1, err
	}
	if plain == nil {
		return 1, c.become()
	}
	f, err := inMemory(plain)
	if err != nil {
		return 1, err
	}
	defer f.Close() //nolint:errcheck // it is gone with the last descriptor
	if err := seal.Link(inherited, config); err != nil {
		return 1, err
	}
	cmd := exec.Command(c.program, c.args...) //nolint:noctx // the shim bounds it, and ends it by ending this
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stdin, os.Stdout, os.Stderr, []*os.File{f}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.Exited() {
		code, err = exit.ExitCode(), nil // it has said why
	} else if err != nil {
		code = 1
	}
	// The shim reads it again, when the container ends.
	return code, errors.Join(err, durable.Replace(config, sealed, 0o600), c.hideCopy(sealed))
}

// inherited is the first descriptor that a child gets beside its standard ones, as the child names it.
const inherited = "/proc/self/fd/3"

// hideCopy: crun keeps a copy of the spec in its state directory, and reads no environment in it.
func (c *call) hideCopy(sealed []byte) error {
	root := c.option(0, "--root")
	if root == nil {
		return nil
	}
	kept := filepath.Join(*root, c.args[len(c.args)-1], "config.json")
	if _, err := os.Lstat(kept); err != nil {
		return nil //nolint:nilerr // runc has none
	}
	return durable.Replace(kept, sealed, 0o600)
}

// exec runs a further process in a container.
func (c *call) exec(at int) error {
	given := c.option(at, "--process", "-p")
	if given == nil {
		return c.become()
	}
	sealed, err := durable.ReadFile(*given, maxSpec)
	if err != nil {
		return err
	}
	plain, err := seal.UnsealedProcess(sealed, c.key)
	if err != nil {
		return err
	}
	if plain == nil {
		return c.become()
	}
	f, err := inMemory(plain)
	if err != nil {
		return err
	}
	fd := int(f.Fd())
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil { // the runtime keeps it from the container
		return err
	}
	*given = fmt.Sprintf("/proc/self/fd/%d", fd)
	return c.become()
}

// become has the runtime take this process's place.
func (c *call) become() error {
	return unix.Exec(c.program, append([]string{c.program}, c.args...), os.Environ())
}

// inMemory makes a file that is in no directory.
func inMemory(content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("spec", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate("spec", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "spec")
	_, err = f.Write(content)
	return f, err
}

// say tells of an error as an OCI runtime does: the shim reads the last one in the log that it names.
func (c *call) say(problem error) {
	fmt.Fprintln(os.Stderr, problem)
	path := c.option(0, "--log")
	if path == nil {
		return
	}
	line, err := json.Marshal(map[string]string{"level": "error", "msg": problem.Error(), "time": time.Now().Format(time.RFC3339)})
	if err != nil {
		return
	}
	if f, err := durable.OpenFile(*path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err == nil {
		fmt.Fprintln(f, string(line))
		f.Close() //nolint:errcheck // it is a message
	}
}
