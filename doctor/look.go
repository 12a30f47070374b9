package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/oom/kmsg"
	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/program"
	"github.com/solopod/solopod/runner/thread"
)

const (
	// lookLimit is how long a program, a disk or a socket may take to answer.
	lookLimit = 5 * time.Second
)

// Probe tries what only packages of the network and containerd can. Their errors say what is wrong.
type Probe struct {
	// Nftables asks the kernel for its tables.
	Nftables func() error
	// CNI is the network that pods would get, and the programs of its plugins; empty where there is no configuration.
	CNI func() (name string, plugins []string, err error)
	// AppArmor says whether the kernel enforces profiles, and which program loads them.
	AppArmor func() (enabled bool, parser string)
}

// Look gathers the facts. It may make directories of its own below root and state, which it removes. What hangs is left behind, and
// counts as what does not work.
func Look(ctx context.Context, c Config, p Probe) *Facts {
	l := &looker{ctx: ctx, facts: &Facts{Config: c, Writable: map[string]error{}, Year: time.Now().Year()}}
	f := l.facts
	l.kernel()
	l.cgroups()
	for _, name := range c.Runtimes {
		f.Runtimes = append(f.Runtimes, l.runtime(name))
	}
	if c.Containerd != "" {
		f.Containerd = l.answers(c.Containerd)
	}
	for _, dir := range []string{c.Root, c.State, c.Logs} {
		f.Writable[dir] = l.do(dir, func() error { return writable(dir) })
	}
	if c.Containerd == "" && f.Writable[c.Root] == nil {
		f.Overlay = l.do("overlayfs in "+c.Root, func() error { return within(c.Root, apart(tryOverlay)) })
	}
	if f.Writable[c.State] == nil {
		f.Shared = l.do("mounts in "+c.State, func() error { return within(c.State, apart(tryShared)) })
		f.StateOnDisk, _ = aside.Do(ctx, &l.places, c.State, lookLimit, func() (bool, error) { return onDisk(c.State), nil })
	}
	f.Nftables = l.do("nftables", p.Nftables)
	f.KernelLog = l.do("the kernel's log", kmsg.Readable)
	l.networks(p.CNI)
	f.AppArmor, f.Parser = p.AppArmor()
	return f
}

type looker struct {
	ctx    context.Context
	places aside.Places
	facts  *Facts
}

// do does what may hang.
func (l *looker) do(what string, f func() error) error {
	_, err := aside.Do(l.ctx, &l.places, what, lookLimit, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// runtime asks an OCI runtime for its version and what it can do.
func (l *looker) runtime(name string) Runtime {
	r := Runtime{Name: name}
	r.Path, r.Err = aside.Do(l.ctx, &l.places, "PATH", lookLimit, func() (string, error) { return exec.LookPath(name) })
	if r.Err != nil {
		return r
	}
	said, err := program.Ask(l.ctx, lookLimit, r.Path, "--version")
	if r.Err = err; err != nil {
		return r
	}
	line, _, _ := strings.Cut(string(said), "\n")
	if fields := strings.Fields(line); len(fields) >= 3 && fields[1] == "version" {
		r.Program, r.Version = fields[0], fields[2]
	}
	if said, err := program.Ask(l.ctx, lookLimit, r.Path, "features"); err == nil {
		r.Features = parseFeatures(said)
	}
	return r
}

// parseFeatures reads what a runtime says of itself (runtime-spec, features.md); nil when that is something else.
func parseFeatures(text []byte) *Features {
	var said struct {
		OCIVersionMax string `json:"ociVersionMax"`
		Linux         struct {
			Seccomp, Apparmor struct {
				Enabled bool `json:"enabled"`
			}
			MountExtensions struct {
				IDMap struct {
					Enabled bool `json:"enabled"`
				} `json:"idmap"`
			} `json:"mountExtensions"`
		} `json:"linux"`
	}
	if json.Unmarshal(text, &said) != nil || said.OCIVersionMax == "" {
		return nil
	}
	return &Features{IDMap: said.Linux.MountExtensions.IDMap.Enabled, Seccomp: said.Linux.Seccomp.Enabled, AppArmor: said.Linux.Apparmor.Enabled}
}

// answers says why a socket does not.
func (l *looker) answers(socket string) error {
	ctx, cancel := context.WithTimeout(l.ctx, lookLimit)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (l *looker) networks(ask func() (string, []string, error)) {
	c := l.facts.Config
	type network struct {
		name    string
		plugins []string
	}
	found, err := aside.Do(l.ctx, &l.places, c.CNIConfDir, lookLimit, func() (n network, err error) {
		n.name, n.plugins, err = ask()
		return n, err
	})
	l.facts.Networks = CNI{Name: found.name, Err: err}
	for _, plugin := range found.plugins {
		isThere := func(dir string) bool { return l.isThere(filepath.Join(dir, plugin)) }
		if !slices.ContainsFunc(c.CNIBinDirs, isThere) {
			l.facts.Networks.Lost = append(l.facts.Networks.Lost, plugin)
		}
	}
}

// isThere: what does not answer counts as not there.
func (l *looker) isThere(path string) bool {
	return l.do(filepath.Dir(path), func() error {
		_, err := os.Stat(path)
		return err
	}) == nil
}

// existing is a directory, or the nearest one above it that is there.
func existing(dir string) (string, error) {
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && info.IsDir():
			return dir, nil
		case err == nil:
			return "", fmt.Errorf("%s is no directory", dir)
		case !errors.Is(err, fs.ErrNotExist) || dir == "/":
			return "", err
		}
		dir = filepath.Dir(dir)
	}
}

// writable says why nothing can be written in a directory. Where it is not there yet, it can be made.
func writable(dir string) error {
	return within(dir, func(string) error { return nil })
}

// made begins the names of directories that are made to try something; the process's number follows.
const made = ".solopod-doctor-"

// within does something in a new directory below one of Solopod's, or where that would be, and removes it, with those of processes that were
// killed meanwhile.
func within(dir string, do func(string) error) (err error) {
	above, err := existing(dir)
	if err != nil {
		return err
	}
	sweep(above)
	dir, err = os.MkdirTemp(above, fmt.Sprintf("%s%d-", made, os.Getpid()))
	if err != nil {
		return errors.Unwrap(err) // without the name, which was made up
	}
	defer func() { err = errors.Join(err, foreign.RemoveAll(dir)) }()
	return do(dir)
}

// sweep removes what processes have left that are no more.
func sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // whoever makes something here says why it cannot
	}
	for _, e := range entries {
		text, ours := strings.CutPrefix(e.Name(), made)
		number, _, _ := strings.Cut(text, "-")
		pid, err := strconv.Atoi(number)
		if !ours || err != nil || pid <= 0 || !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			continue
		}
		if err := foreign.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			slog.Debug("what a look at the machine has left stays", "dir", dir, "name", e.Name(), "err", err)
		}
	}
}

// apart does what mounts something in a mount namespace of its own: that goes with it, also when this process is killed meanwhile.
func apart(do func(dir string) error) func(dir string) error {
	return func(dir string) error {
		return thread.Own(func() error {
			if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
				return fmt.Errorf("no mount namespace can be made: %w", err)
			}
			// In a chroot / is no mount, and what is tried is seen elsewhere, for a moment.
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("mounts cannot be kept to a namespace: %w", err)
			}
			return do(dir)
		})
	}
}

// tryOverlay mounts a layer over another one.
func tryOverlay(dir string) error {
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return err
		}
	}
	target := filepath.Join(dir, "merged")
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir)
	if err := unix.Mount("overlay", target, "overlay", 0, options); err != nil {
		return err
	}
	return unix.Unmount(target, unix.MNT_DETACH) //nolint:forbidigo // it was made here, and nobody else knows of it
}

// tryShared makes a mount that others see, as pods' namespaces are pinned.
func tryShared(dir string) error {
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	err := unix.Mount("", dir, "", unix.MS_SHARED, "")
	return errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH)) //nolint:forbidigo // it was made here, and nobody else knows of it
}

func onDisk(dir string) bool {
	above, err := existing(dir)
	if err != nil {
		return false
	}
	var st unix.Statfs_t
	if unix.Statfs(above, &st) != nil {
		return false
	}
	return st.Type != unix.TMPFS_MAGIC && st.Type != unix.RAMFS_MAGIC
}

// kernelText is what the kernel says in a file of its own, in one line.
func kernelText(path string) string {
	text, err := foreign.ReadKernel(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func kernelNumber(path string) int {
	n, err := strconv.Atoi(kernelText(path))
	if err != nil {
		return 0
	}
	return n
}
