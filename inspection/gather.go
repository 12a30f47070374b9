package inspection

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/program"
)

// Limits of a look.
const (
	// lookLimit is how long a file system, or a runtime, may take to answer.
	lookLimit = 3 * time.Second
	// maxNames of a directory are looked at, maxFile bytes of a file read.
	maxNames = 4096
	maxFile  = 4 << 20
)

// looker gathers facts. What hangs is left behind, and told.
type looker struct {
	ctx    context.Context
	places aside.Places
	facts  *Facts
	seen   map[string]bool
}

// Look gathers the facts of this machine, for a configuration. programs are Solopod's own.
func Look(ctx context.Context, settings Settings, configFile string, programs []string) *Facts {
	l := &looker{ctx: ctx, facts: &Facts{Now: time.Now(), Settings: settings}, seen: map[string]bool{}}
	l.directories()
	l.manifests()
	l.files(configFile, programs)
	l.socket()
	l.tokens()
	l.certificates()
	l.runtimes()
	l.kernel()
	return l.facts
}

// try does what may hang. It says whether it worked; what does not exist is no failure.
func try[T any](l *looker, what string, f func() (T, error)) (T, bool) {
	v, err := aside.Do(l.ctx, &l.places, what, lookLimit, f)
	if err == nil {
		return v, true
	}
	if !errors.Is(err, fs.ErrNotExist) {
		l.facts.Unseen = append(l.facts.Unseen, fmt.Sprintf("%s: %v", what, err))
	}
	return v, false
}

// path looks at a file or directory, and those above it.
func (l *looker) path(role Role, name, what string) (Path, bool) {
	if name == "" {
		return Path{}, false
	}
	type chain struct {
		self  Path
		above []Path
	}
	c, ok := try(l, name, func() (chain, error) {
		self, target, err := stat(name)
		if err != nil {
			return chain{}, err
		}
		c := chain{self: self}
		for dir := filepath.Dir(target); ; dir = filepath.Dir(dir) {
			above, _, err := stat(dir)
			if err != nil {
				return c, err
			}
			c.above = append(c.above, above)
			if dir == "/" {
				return c, nil
			}
		}
	})
	if !ok {
		return Path{}, false
	}
	c.self.Role, c.self.What = role, what
	for _, p := range c.above {
		if !l.seen[p.Name] {
			l.seen[p.Name] = true
			p.Role, p.What = Above, "directory"
			l.facts.Paths = append(l.facts.Paths, p)
		}
	}
	return c.self, true
}

// add looks at a file or directory and takes it up.
func (l *looker) add(role Role, name, what string) {
	if p, ok := l.path(role, name, what); ok {
		l.facts.Paths = append(l.facts.Paths, p)
	}
}

// stat is what a name leads to, and where that lies.
func stat(name string) (Path, string, error) {
	found, err := foreign.FindFollowing(name)
	if err != nil {
		return Path{}, "", err
	}
	defer found.Close() //nolint:errcheck // only looked at
	info, err := found.Stat()
	if err != nil {
		return Path{}, "", err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Path{}, "", errors.New("it has no owner")
	}
	target, err := filepath.EvalSymlinks(name)
	return Path{
		Name: name, UID: st.Uid, GID: st.Gid, Mode: uint32(info.Mode().Perm()), Sticky: info.Mode()&fs.ModeSticky != 0,
	}, target, err
}

// directories looks at those of Solopod.
func (l *looker) directories() {
	s := l.facts.Settings
	l.add(Trusted, s.Text("root"), "root directory")
	l.add(Trusted, s.Text("state"), "state directory")
	if state := s.Text("state"); state != "" {
		l.facts.OnDisk, _ = try(l, state, func() (bool, error) {
			var st unix.Statfs_t
			err := unix.Statfs(state, &st)
			return err == nil && st.Type != unix.TMPFS_MAGIC && st.Type != unix.RAMFS_MAGIC, err
		})
	}
	l.add(Trusted, s.Text("manifests"), "manifests directory")
	l.add(Trusted, s.Text("images"), "images directory")
	l.add(Open, s.Text("logDir"), "log directory")
	for setting, names := range map[string][]string{"root": {"pods", "claims", "checkpoints", "tls", "containerd"}, "state": {"pods", "seal"}} {
		if dir := s.Text(setting); dir != "" {
			for _, name := range names {
				role := Private
				if name == "containerd" { // containerd makes it, and what lies below is its own
					role = Trusted
				}
				l.add(role, filepath.Join(dir, name), "directory of pods' data")
			}
		}
	}
}

// hasSecret finds a Secret in a manifest, in YAML and JSON.
var hasSecret = regexp.MustCompile(`(?m)["']?kind["']?\s*:\s*["']?Secret\b`)

// manifests looks at the files of the manifests directory.
func (l *looker) manifests() {
	dir := l.facts.Settings.Text("manifests")
	names, ok := try(l, dir, func() ([]string, error) {
		f, err := foreign.OpenDirectoryFollowing(dir)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // only read from
		names, err := f.Readdirnames(maxNames)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return names, err
	})
	if !ok {
		return
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasPrefix(name, ".") || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) {
			continue
		}
		path, role, what := filepath.Join(dir, name), Trusted, "manifest"
		if data, ok := try(l, path, func() ([]byte, error) { return foreign.ReadFollowing(path, maxFile) }); ok && hasSecret.Match(data) {
			role, what = Private, "manifest with a Secret"
		}
		l.add(role, path, what)
	}
}

// files looks at those that the configuration names, and at programs.
func (l *looker) files(configFile string, programs []string) {
	s := l.facts.Settings
	l.add(Trusted, configFile, "configuration")
	l.add(Private, s.Text("authTokenFile"), "file of tokens")
	l.add(Private, s.Text("tlsPrivateKeyFile"), "TLS key")
	l.add(Trusted, s.Text("tlsCertFile"), "certificate")
	l.add(Trusted, s.Text("clientCAFile"), "clients' authorities")
	l.add(Trusted, s.Text("manifestKeyFile"), "keys of manifests")
	l.add(Private, s.Text("auditLog"), "audit file")
	if root := s.Text("root"); root != "" {
		l.add(Private, filepath.Join(root, "tls", "server.key"), "TLS key")
	}
	for _, program := range programs {
		l.add(Trusted, program, "program")
	}
}

// socket looks at the socket and its group.
func (l *looker) socket() {
	group := uint32(0)
	if name := l.facts.Settings.Text("socketGroup"); name != "" {
		g, ok := try(l, "/etc/group", func() (groupEntry, error) { return findGroup(name) })
		if !ok {
			return
		}
		group = g.id
		if group != 0 {
			own, _ := try(l, "/etc/passwd", func() ([]string, error) { return usersWith(group) })
			for _, user := range own {
				if !slices.Contains(g.members, user) {
					g.members = append(g.members, user)
				}
			}
			l.facts.SocketGroup = []string{fmt.Sprintf("group %s: %s", name, orNobody(g.members))}
		}
	}
	if p, ok := l.path(Control, l.facts.Settings.Text("socket"), "socket"); ok {
		p.Group = group
		l.facts.Paths = append(l.facts.Paths, p)
	}
}

func orNobody(members []string) string {
	if len(members) == 0 {
		return "no members by name"
	}
	return strings.Join(members, ", ")
}

// usersWith finds the users whose own group it is (passwd(5)): they are no members by name.
func usersWith(group uint32) (out []string, err error) {
	data, err := foreign.ReadFollowing("/etc/passwd", maxFile)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Split(line, ":"); len(fields) > 3 && fields[3] == strconv.FormatUint(uint64(group), 10) {
			out = append(out, fields[0])
		}
	}
	return out, nil
}

type groupEntry struct {
	id      uint32
	members []string
}

// findGroup finds a group by name or number (group(5)).
func findGroup(name string) (groupEntry, error) {
	data, err := foreign.ReadFollowing("/etc/group", maxFile)
	if err != nil {
		return groupEntry{}, err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) != 4 || fields[0] != name && fields[2] != name {
			continue
		}
		id, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil {
			return groupEntry{}, err
		}
		g := groupEntry{id: uint32(id)}
		for _, member := range strings.Split(fields[3], ",") {
			if member != "" {
				g.members = append(g.members, member)
			}
		}
		return g, nil
	}
	if id, err := strconv.ParseUint(name, 10, 32); err == nil {
		return groupEntry{id: uint32(id)}, nil
	}
	return groupEntry{}, fmt.Errorf("it has no group %q", name)
}

// runtimes asks those of the configuration for their versions.
func (l *looker) runtimes() {
	names := []string{l.facts.Settings.Text("runtime")}
	if classes, ok := l.facts.Settings["runtimeClasses"].(map[string]any); ok {
		for _, v := range classes {
			if name, ok := v.(string); ok {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if name == "" {
			continue
		}
		path, ok := try(l, "runtime "+name, func() (string, error) { return exec.LookPath(name) })
		if !ok {
			continue
		}
		l.add(Trusted, path, "OCI runtime")
		said, ok := try(l, path, func() (string, error) {
			out, err := program.Ask(l.ctx, lookLimit, path, "--version")
			return string(out[:min(len(out), 4096)]), err
		})
		if ok {
			l.facts.Runtimes = append(l.facts.Runtimes, parseRuntime(name, said))
		}
	}
}

// kernel asks the kernel.
func (l *looker) kernel() {
	k := &l.facts.Kernel
	k.Sysctls = map[string]string{}
	for _, name := range sysctls {
		if text, ok := kernelText("/proc/sys/" + strings.ReplaceAll(name, ".", "/")); ok {
			k.Sysctls[name] = text
		}
	}
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	k.CgroupV2 = err == nil
	actions, _ := kernelText("/proc/sys/kernel/seccomp/actions_avail")
	k.Seccomp = actions != ""
	if text, ok := kernelText("/sys/module/apparmor/parameters/enabled"); ok && text == "Y" {
		k.Module = "apparmor"
	} else if text, ok := kernelText("/sys/fs/selinux/enforce"); ok && text == "1" {
		k.Module = "selinux"
	}
	if text, ok := kernelText("/proc/sys/kernel/osrelease"); ok {
		k.Major, k.Minor = parseRelease(text)
	}
	if text, ok := kernelText("/proc/swaps"); ok {
		for _, area := range parseSwaps(text) {
			if !isSafe(area) {
				k.Swap = append(k.Swap, area)
			}
		}
	}
	settings, err := filepath.Glob("/proc/sys/net/ipv4/conf/*/route_localnet")
	if err != nil {
		return // the pattern is good
	}
	for _, path := range settings {
		if text, ok := kernelText(path); ok && text == "1" {
			k.RouteLocalnet = append(k.RouteLocalnet, filepath.Base(filepath.Dir(path)))
		}
	}
}

// kernelText is a file of the kernel, without its end.
func kernelText(path string) (string, bool) {
	data, err := foreign.ReadKernel(path)
	return strings.TrimSpace(string(data)), err == nil
}

// isSafe says whether a swap area is encrypted, or memory (zram).
func isSafe(area string) bool {
	target, err := filepath.EvalSymlinks(area)
	if err != nil {
		return false
	}
	name := filepath.Base(target)
	if strings.HasPrefix(name, "zram") {
		return true
	}
	uuid, ok := kernelText("/sys/class/block/" + name + "/dm/uuid")
	return ok && strings.HasPrefix(uuid, "CRYPT-")
}
