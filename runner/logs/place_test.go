package logs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/logs/logfile"
	"github.com/solopod/solopod/runner/logs/reader"
)

// What a pod with a mount of the log directory puts there leads Solopod nowhere else, neither to write nor to read.
func TestForeignFiles(t *testing.T) {
	const secret = "2026-01-01T00:00:00Z stdout F secret\n"
	for name, plant := range map[string]func(outside, log string) error{
		"a link":      func(outside, log string) error { return os.Symlink(outside, log) },
		"a dead link": func(outside, log string) error { return os.Symlink(outside+"-new", log) },
		"a FIFO":      func(_, log string) error { return unix.Mkfifo(log, 0o666) },
		"a directory": func(_, log string) error { return os.MkdirAll(filepath.Join(log, "full"), 0o777) },
		"a socket":    func(_, log string) error { return unix.Mknod(log, unix.S_IFSOCK|0o666, 0) },
		"another's file": func(_, log string) error {
			return errors.Join(os.WriteFile(log, []byte(secret), 0o666), os.Chown(log, 1000, 1000))
		},
		"a link of a directory": func(outside, log string) error {
			return errors.Join(os.Remove(filepath.Dir(log)), os.Symlink(filepath.Dir(outside), filepath.Dir(log)))
		},
		"a link of the pod's": func(outside, log string) error {
			pod := filepath.Dir(filepath.Dir(log))
			return errors.Join(os.RemoveAll(pod), os.Symlink(filepath.Dir(filepath.Dir(outside)), pod))
		},
	} {
		t.Run(name, func(t *testing.T) {
			host := filepath.Join(t.TempDir(), "pod", "c")
			log := filepath.Join(t.TempDir(), "pods", "pod", "c", "0.log")
			for _, dir := range []string{host, filepath.Dir(log)} {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			outside := filepath.Join(host, "0.log")
			if err := os.WriteFile(outside, []byte(secret), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := plant(outside, log); err != nil {
				t.Fatal(err)
			}
			for _, follow := range []bool{false, true} {
				ctx := within(5 * time.Second)
				var out bytes.Buffer
				err := reader.Read(ctx, log, reader.Options{Tail: -1, Follow: follow}, &out, nil)
				if !errors.Is(err, logfile.ErrForeign) && !errors.Is(err, os.ErrNotExist) || out.Len() > 0 || ctx.Err() != nil {
					t.Errorf("following %t: %v, read %q", follow, err, out.String())
				}
			}
			if err := logfile.PruneAttempts(filepath.Dir(log), 5); err != nil && !errors.Is(err, logfile.ErrForeign) && !errors.Is(err, unix.EISDIR) {
				t.Error(err)
			}
			p, w := start(t, filepath.Join(t.TempDir(), "io"), log, Streams{})
			fmt.Fprintln(w, "mine")
			w.Close()
			if err := finish(p); err != nil {
				t.Fatal(err)
			}
			if got := texts(t, log); got != "mine\n" {
				t.Errorf("the log: %q", got)
			}
			if b, err := os.ReadFile(outside); err != nil || string(b) != secret {
				t.Errorf("the host's file: %q, %v", b, err)
			}
			if _, err := os.Stat(outside + "-new"); err == nil {
				t.Error("a file was made outside")
			}
		})
	}
}

// Who removes a log while it is written loses what was in it, and no more.
func TestRemovedLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "pod", "c", "0.log")
	p, w := start(t, filepath.Join(t.TempDir(), "io"), log, Streams{})
	for i := range 3 {
		fmt.Fprintf(w, "line %d\n", i)
		appears(t, log, fmt.Sprintf("line %d\n", i))
		if err := os.RemoveAll(filepath.Dir(filepath.Dir(log))); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Fprintln(w, "last")
	w.Close()
	if err := finish(p); err != nil {
		t.Fatal(err)
	}
	if got := texts(t, log); got != "last\n" {
		t.Errorf("the log: %q", got)
	}
}

func TestLinks(t *testing.T) {
	id := func(c string) string { return strings.Repeat(c, 64) }
	name := func(pod, ns, container, id string) string {
		return pod + "_" + ns + "_" + container + "-" + id + ".log"
	}
	all := []string{
		name("web", "default", "web", id("a")), name("web", "default", "web-log", id("b")), name("web", "other", "web", id("c")),
		name("web-1", "default", "web", id("d")), name("web", "default", "we", id("e")), name("web.x", "default", "web", id("f")),
		"web_default_web-short.log", "web_default_web-" + strings.Repeat("x", 64) + ".log", "note",
	}
	without := func(drop ...int) map[string]bool {
		out := map[string]bool{"web_default_file-" + id("9") + ".log": true}
		for _, n := range all {
			out[n] = true
		}
		for _, i := range drop {
			delete(out, all[i])
		}
		return out
	}
	next := func(container string) func(Links) error {
		return func(l Links) error { return l.Link("web", "default", container, id("8"), "/target") }
	}
	for what, c := range map[string]struct {
		do   func(Links) error
		want map[string]bool
		made string
	}{
		"a container's next":     {next("web"), without(0), name("web", "default", "web", id("8"))},
		"its suffixed's next":    {next("web-log"), without(1), name("web", "default", "web-log", id("8"))},
		"another pattern":        {next("[w]eb"), without(), name("web", "default", "[w]eb", id("8"))},
		"a shorter name's next":  {next("we"), without(4), name("web", "default", "we", id("8"))},
		"the same again":         {func(l Links) error { return l.Link("web", "default", "web", id("a"), "/target") }, without(), all[0]},
		"unlink a pod":           {func(l Links) error { return l.UnlinkPod("web", "default", "/logs") }, without(0, 1, 4), ""},
		"another of its name":    {func(l Links) error { return l.UnlinkPod("web", "default", "/log") }, without(), ""},
		"a pattern is none":      {func(l Links) error { return l.UnlinkPod("*", "default", "/logs") }, without(), ""},
		"a directory is missing": {func(l Links) error { return Links{l.Root + "/none"}.UnlinkPod("web", "default", "/logs") }, without(), ""},
	} {
		root := t.TempDir()
		for _, n := range all {
			if err := os.Symlink("/logs/0.log", filepath.Join(root, n)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(root, "web_default_file-"+id("9")+".log"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if c.made != "" {
			c.want[c.made] = true
		}
		if err := c.do(Links{root}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		entries, err := os.ReadDir(root)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, e := range entries {
			got[e.Name()] = true
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s:\ngot  %v\nwant %v", what, got, c.want)
		}
		if strings.Contains(what, "again") {
			if target, err := os.Readlink(filepath.Join(root, all[0])); err != nil || target != "/target" {
				t.Errorf("%s: it leads to %s, %v", what, target, err)
			}
		}
	}
}
