package embedded

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// TestMain is the process that looks at a database when it is started as one, or a shim.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == CheckCommand {
		if how := os.Getenv(checkEnds); how != "" {
			endLike(how, os.Args[2])
		}
		if err := CheckDatabases(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if socket := os.Getenv(shimSocket); socket != "" {
		if err := shim(socket); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// database makes one with nested buckets, as containerd's are.
func database(t *testing.T, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for i := range 50 {
			outer, err := tx.CreateBucket(fmt.Appendf(nil, "bucket %d", i))
			if err != nil {
				return err
			}
			inner, err := outer.CreateBucket([]byte("inner"))
			if err != nil {
				return err
			}
			for j := range 50 {
				if err := inner.Put(fmt.Appendf(nil, "key %d", j), make([]byte, 100)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// usedSize is where the last page ends that was ever used; the file is longer, for what is to come.
func usedSize(t *testing.T, path string) (size int) {
	t.Helper()
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bolt.Tx) error { size = int(tx.Size()); return nil }); err != nil {
		t.Fatal(err)
	}
	return size
}

// checkEnds says how a process that looks at databases ends.
const checkEnds = "SOLOPOD_TEST_CHECK_ENDS"

// endLike ends the process like one that others kill, or that a database has led astray. It notes its run beside the database.
func endLike(how, database string) {
	runs, _ := os.ReadFile(database + ".runs") // there is none at first
	if err := os.WriteFile(database+".runs", append(runs, '.'), 0o600); err != nil {
		panic(err)
	}
	switch {
	case how == "in a loop":
		if bound(1) == nil {
			for {
				runs = runs[:0]
			}
		}
	case how == "grown":
		grown := make([]byte, maxResident+64<<20)
		for i := 0; i < len(grown); i += 4096 {
			grown[i] = 1
		}
	case how == "killed once" && len(runs) > 0:
		return
	}
	if err := unix.Kill(os.Getpid(), unix.SIGKILL); err != nil {
		panic(err)
	}
}

// That what looks at a database was killed says nothing about the database, unless that is why it had to be.
func TestCheckKilled(t *testing.T) {
	for how, want := range map[string]struct {
		damage string
		runs   int
	}{
		"killed once": {"", 2}, "killed": {"", 2}, "grown": {"signal: killed", 1}, "in a loop": {"CPU time", 1},
	} {
		t.Run(how, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "meta.db")
			database(t, path)
			t.Setenv(checkEnds, how)
			damage := Config{Self: self(t)}.check([]string{path})
			if (damage == "") != (want.damage == "") || !strings.Contains(damage, want.damage) {
				t.Errorf("found %q", damage)
			}
			if runs, err := os.ReadFile(path + ".runs"); err != nil || len(runs) != want.runs {
				t.Errorf("looked %d times, %v", len(runs), err)
			}
		})
	}
}

// Whatever is done to a database, looking at it ends with an answer.
func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	database(t, path)
	c := Config{Self: self(t)}
	if damage := c.check([]string{path}); damage != "" {
		t.Fatalf("a good database: %s", damage)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := usedSize(t, path)
	random := rand.New(rand.NewPCG(1, 2))
	found := 0
	const rounds = 60
	for n := range rounds {
		bad := append([]byte{}, good...)
		switch n % 3 {
		case 0:
			bad = bad[:random.IntN(len(bad))]
		case 1: // a block that was never written
			at := random.IntN(len(bad)/4096) * 4096
			clear(bad[at:min(at+4096, len(bad))])
		default:
			for range 1 + random.IntN(50) {
				bad[random.IntN(len(bad))] = byte(random.Uint32())
			}
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if c.check([]string{path}) != "" {
			found++
		} else if len(bad) < used {
			t.Errorf("a database of %d bytes is good when %d are left", len(good), len(bad))
		}
	}
	// A changed value, or a page that is free, is no damage to the structure.
	t.Logf("%d of %d damages were found", found, rounds)
	if found < rounds/3 {
		t.Errorf("only %d of %d damages were found", found, rounds)
	}
}

func TestSetAside(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "containerd")
	c := Config{Root: root, State: dir, Self: self(t)}
	path := filepath.Join(root, "io.containerd.metadata.v1.bolt", "meta.db")
	for range 2 { // an earlier one makes room
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		database(t, path)
		if message, err := setAside(c); err != nil || message != "" {
			t.Fatalf("a good database: %q, %v", message, err)
		}
		if err := os.Truncate(path, 5000); err != nil {
			t.Fatal(err)
		}
		message, err := setAside(c)
		if err != nil || message == "" {
			t.Fatalf("a damaged database: %q, %v", message, err)
		}
		if _, err := os.Stat(root); !os.IsNotExist(err) {
			t.Errorf("it is still in place: %v", err)
		}
	}
	// After an orderly end nobody looks.
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, mark(dir)} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if message, err := setAside(c); err != nil || message != "" {
		t.Errorf("after an orderly end: %q, %v", message, err)
	}
	if message, err := setAside(c); err != nil || message == "" {
		t.Errorf("the mark holds for more than one start: %q, %v", message, err)
	}
}

// A root that was put on another disk stays there, whether it is good or damaged.
func TestRootElsewhere(t *testing.T) {
	for name, place := range map[string]func(t *testing.T, root string){
		"a link": func(t *testing.T, root string) {
			if err := os.Symlink(t.TempDir(), root); err != nil {
				t.Fatal(err)
			}
		},
		"a mount point": func(t *testing.T, root string) {
			mount(t, root)
			if err := os.Mkdir(filepath.Join(root, "lost+found"), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"a part is a mount point": func(t *testing.T, root string) {
			mount(t, root)
			mount(t, filepath.Join(root, contentDir))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := Config{Root: filepath.Join(dir, "containerd"), State: filepath.Join(dir, "state"), Self: self(t)}
			place(t, c.Root)
			before, err := os.Lstat(c.Root)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // an earlier one makes room
				path := filepath.Join(c.Root, metadataDir, "meta.db")
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				database(t, path)
				put(t, filepath.Join(c.Root, contentDir, "blobs", "sha256", "abc"), "blob")
				if root, message, err := usableRoot(c); err != nil || message != "" || root != c.Root {
					t.Fatalf("%s, %q, %v", root, message, err)
				}
				if message, err := setAside(c); err != nil || message != "" {
					t.Fatalf("a good database: %q, %v", message, err)
				}
				if err := os.Truncate(path, 5000); err != nil {
					t.Fatal(err)
				}
				message, err := setAside(c)
				if err != nil || !strings.Contains(message, filepath.Join(c.Root, "containerd.damaged")) {
					t.Fatalf("a damaged database: %q, %v", message, err)
				}
				if _, err := os.Stat(filepath.Join(c.Root, "containerd.damaged", metadataDir, "meta.db")); err != nil {
					t.Error(err)
				}
				if filled(filepath.Join(c.Root, contentDir, "blobs")) {
					t.Error("what it describes is still in place")
				}
				if message, err := setAside(c); err != nil || message != "" {
					t.Errorf("the next start: %q, %v", message, err)
				}
			}
			if after, err := os.Lstat(c.Root); err != nil || !os.SameFile(before, after) {
				t.Errorf("it is another root: %v, %v", after, err)
			}
			if err := makeStandIn(c.Root, filepath.Join(dir, "stand-in")); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(filepath.Join(dir, "stand-in", "containerd.damaged")); !os.IsNotExist(err) {
				t.Errorf("what was set aside is stood in for: %v", err)
			}
		})
	}
	c := Config{Root: filepath.Join(t.TempDir(), "containerd"), State: t.TempDir()}
	if err := os.Symlink("not/mounted", c.Root); err != nil {
		t.Fatal(err)
	}
	if _, _, err := usableRoot(c); err == nil || !strings.Contains(err.Error(), "leads nowhere") {
		t.Errorf("a link that leads nowhere: %v", err)
	}
}

// mount mounts a file system on dir until the test ends.
func mount(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatalf("cannot mount a tmpfs (these tests run as root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
}
