package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/foreign"
)

// CheckCommand is the program's argument for CheckDatabases.
const CheckCommand = "check-database"

// setAside looks at containerd's databases. When one is damaged or missing, everything of containerd's is moved aside, as its parts
// make no sense without each other, and it starts from nothing: images come from their archives or registries, and
// containers from manifests; what still runs is ended by engine.Connect. It returns a message that says so, or nothing.
//
// After an orderly end the databases are not read. state keeps the mark of one; it goes with a reboot.
func setAside(c Config) (message string, err error) {
	inOrder := os.Remove(mark(c.State)) == nil
	damage := misshapen(c.Root)
	if damage == "" && !inOrder {
		databases, err := databasesOf(c.Root)
		if err != nil {
			return "", err
		}
		damage = c.check(databases)
	}
	if damage == "" {
		return "", nil
	}
	aside, err := moveAside(c.Root)
	if err != nil {
		return "", fmt.Errorf("cannot set a damaged database aside: %w", err)
	}
	return fmt.Sprintf("what containerd keeps is damaged (%s). All of it is set aside in %s, and images are imported or "+
		"pulled anew; remove that directory when it is of no use to you", damage, aside), nil
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
	cmd := exec.Command(c.Self, append([]string{CheckCommand}, databases...)...) //nolint:noctx // bounded by its own limits
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &exit):
		return "" // it could not be looked at, which says nothing about it
	}
	first, _, _ := strings.Cut(strings.TrimSpace(out.String()), "\n")
	if first == "" {
		first = err.Error()
	}
	return first
}

// Limits of the process that looks: a good database of a thousand containers needs some megabytes and a tenth of a second.
const (
	checkMemory  = 2 << 30 // of address space, most of which Go only reserves
	checkSeconds = 60      // of CPU time
)

// CheckDatabases reads every page of databases. It may end the process, or make it end, and bounds its memory and time: it is
// for a process of its own.
func CheckDatabases(paths []string) error {
	for kind, limit := range map[int]uint64{unix.RLIMIT_AS: checkMemory, unix.RLIMIT_CPU: checkSeconds, unix.RLIMIT_CORE: 0} {
		if err := unix.Setrlimit(kind, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return nil //nolint:nilerr // better not looked at than without a bound
		}
	}
	for _, path := range paths {
		if err := checkDatabase(path); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(path), err)
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
