package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/foreign"
)

// CheckCommand is the program's argument for CheckDatabases.
const CheckCommand = "check-database"

// setAside looks at containerd's databases. When one of root's is damaged or missing, everything there is moved aside, as its parts
// make no sense without each other, and containerd starts from nothing: images come from their archives or registries, and
// containers from manifests; what still runs is ended by engine.Connect. Of what lies in the state directory only what is damaged is
// made anew. It returns a message that says so, or nothing.
//
// After an orderly end the databases are not read. state keeps the mark of one; it goes with a reboot.
func setAside(c Config) (message string, err error) {
	inOrder := os.Remove(mark(c.State)) == nil
	damage, mounts, err := c.look(inOrder)
	if err != nil {
		return "", err
	}
	var told []string
	if damage != "" {
		aside, err := moveAside(c.Root)
		if err != nil {
			return "", fmt.Errorf("cannot set a damaged database aside: %w", err)
		}
		told = append(told, fmt.Sprintf("what containerd keeps is damaged (%s). All of it is set aside in %s, and images are imported or "+
			"pulled anew; remove that directory when it is of no use to you", damage, aside))
	}
	if mounts != "" {
		message, err := mountsAnew(c.State, mounts)
		if err != nil {
			return "", err
		}
		told = append(told, message)
	}
	bundles, err := clearBundles(c.State)
	if err != nil {
		return "", err
	}
	if bundles != "" {
		told = append(told, bundles)
	}
	return strings.Join(told, ". "), nil
}

// look says what of root is damaged, and what of the mount manager's database.
func (c Config) look(inOrder bool) (root, mounts string, err error) {
	root, mounts = misshapen(c.Root), misshapenMounts(c.State)
	if inOrder {
		return root, mounts, nil
	}
	var databases, mountDatabases []string
	if root == "" {
		if databases, err = databasesOf(c.Root); err != nil {
			return "", "", err
		}
	}
	if _, err := os.Lstat(mountDatabase(c.State)); mounts == "" && err == nil {
		mountDatabases = []string{mountDatabase(c.State)}
	}
	if c.check(slices.Concat(databases, mountDatabases)) == "" { // one process does, as a rule
		return root, mounts, nil
	}
	if damage := c.check(databases); damage != "" {
		root = damage
	}
	if damage := c.check(mountDatabases); damage != "" {
		mounts = damage
	}
	return root, mounts, nil
}

// databasesOf lists the databases of containerd's plugins, without what was set aside beside them.
func databasesOf(root string) ([]string, error) {
	return filepath.Glob(filepath.Join(root, "io.containerd.*", "*.db"))
}

// moveAside renames root, and returns where it is then. A root that is a link to a directory, or a mount point, stays what it is: the
// disk was chosen by the operator. What it holds is moved into a directory in it.
func moveAside(root string) (aside string, err error) {
	aside = root + durable.AsideSuffix
	if err := foreign.RemoveAll(aside); err != nil { // an earlier one: flash is small
		return "", err
	}
	info, err := os.Lstat(root)
	if err != nil {
		return "", err
	}
	if info.Mode()&os.ModeSymlink == 0 || !isDirectory(root) {
		if err := os.Rename(root, aside); !errors.Is(err, unix.EBUSY) {
			return aside, err
		}
	}
	return filepath.Join(root, filepath.Base(aside)), moveEntries(root, filepath.Base(aside))
}

// moveEntries moves what is in dir into a directory of that name in it; of a part that is a mount point itself, what that holds.
func moveEntries(dir, name string) error {
	aside := filepath.Join(dir, name)
	if err := foreign.RemoveAll(aside); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if err := os.Mkdir(aside, 0o700); err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == "lost+found" { // it belongs to the file system
			continue
		}
		err := os.Rename(filepath.Join(dir, e.Name()), filepath.Join(aside, e.Name()))
		if errors.Is(err, unix.EBUSY) && e.IsDir() {
			err = moveEntries(filepath.Join(dir, e.Name()), name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func mark(state string) string { return filepath.Join(state, "ended-in-order") }

// check has another process look at the databases: what a damaged one leads to cannot be caught in this one (a page number
// far outside of the file, a list that is longer than memory, a tree that contains itself).
func (c Config) check(databases []string) (damage string) {
	if len(databases) == 0 {
		return ""
	}
	for range 2 {
		out, err := exec.Command(c.Self, append([]string{CheckCommand}, databases...)...).CombinedOutput() //nolint:noctx // bounded by its own limits
		var exit *exec.ExitError
		switch {
		case err == nil:
			return ""
		case !errors.As(err, &exit):
			slog.Warn("containerd's databases cannot be looked at, and are taken for good", "err", err)
			return "" // it says nothing about them
		case killed(exit, databases):
			continue // perhaps there is more memory the next time
		}
		first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		if first == "" {
			first = err.Error()
		}
		return first
	}
	slog.Warn("what looks at containerd's databases was killed twice, for want of memory perhaps; they are taken for good")
	return ""
}

// maxResident is how much memory of its own the process that looks may have in use and be killed for somebody else's need.
const maxResident = 256 << 20

// killed says whether the process was killed from outside, which says nothing about the databases: the machine, or the daemon's cgroup,
// was short of memory. Its own limits make it end in another way as a rule, and a cgroup's may be below them: where the process itself had
// grown that large, or had used up its time, a database was the reason, and the daemon would fare like it.
func killed(exit *exec.ExitError, databases []string) bool {
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != unix.SIGKILL {
		return false
	}
	if exit.UserTime()+exit.SystemTime() >= checkSeconds*time.Second {
		return false
	}
	room := int64(maxResident)
	for _, path := range databases { // they are mapped
		if info, err := os.Stat(path); err == nil {
			room += info.Size()
		}
	}
	usage, ok := exit.SysUsage().(*syscall.Rusage)
	return !ok || usage.Maxrss<<10 <= room
}

// Limits of the process that looks: a good database of a thousand containers needs some megabytes and a tenth of a second.
const (
	checkMemory  = 2 << 30 // of address space, most of which Go only reserves
	checkSeconds = 60      // of CPU time
)

// CheckDatabases reads every page of databases. It may end the process, or make it end, and bounds its memory and time: it is
// for a process of its own.
func CheckDatabases(paths []string) error {
	if err := bound(checkSeconds); err != nil {
		return nil //nolint:nilerr // better not looked at than without a bound
	}
	for _, path := range paths {
		if err := checkDatabase(path); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	}
	return nil
}

// bound bounds the process. At the lower limit of CPU time it gets SIGXCPU, which Go ignores by itself, and ends with a message; at the
// upper one it would get SIGKILL, which others send too.
func bound(seconds uint64) error {
	over := make(chan os.Signal, 1)
	signal.Notify(over, unix.SIGXCPU)
	go func() {
		<-over
		fmt.Fprintf(os.Stderr, "it cannot be looked through within %d s of CPU time\n", seconds)
		os.Exit(1)
	}()
	for kind, limit := range map[int]unix.Rlimit{
		unix.RLIMIT_AS: {Cur: checkMemory, Max: checkMemory}, unix.RLIMIT_CPU: {Cur: seconds, Max: seconds + 10}, unix.RLIMIT_CORE: {},
	} {
		if err := unix.Setrlimit(kind, &limit); err != nil {
			return err
		}
	}
	return nil
}

func checkDatabase(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return errors.New("it is empty")
	}
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // only read from
	return db.View(func(tx *bolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("it is cut off: %d bytes of %d", info.Size(), tx.Size())
		}
		return <-tx.Check() // the first finding is enough, and no finding is nil
	})
}
