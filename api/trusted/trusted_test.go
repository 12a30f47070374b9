package trusted

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Only what root alone could have made, and nobody else can change, is read.
func TestTrusted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run the tests as root: files of others are made")
	}
	type place struct{ dir, file string }
	for name, c := range map[string]struct {
		change func(p place) error
		kind   Kind
		says   string
	}{
		"root's":                      {func(place) error { return nil }, Secret, ""},
		"another owner's":             {func(p place) error { return os.Chown(p.file, 65534, 65534) }, Public, "belongs to uid 65534"},
		"a group's":                   {func(p place) error { return os.Chown(p.file, 0, 65534) }, Secret, ""},
		"readable by others, public":  {func(p place) error { return os.Chmod(p.file, 0o644) }, Public, ""},
		"readable by others, a key":   {func(p place) error { return os.Chmod(p.file, 0o644) }, Key, "others can read the private key"},
		"readable by others, tokens":  {func(p place) error { return os.Chmod(p.file, 0o604) }, Secret, "chmod 600"},
		"readable by a group, a key":  {func(p place) error { return os.Chmod(p.file, 0o640) }, Key, ""},
		"readable by a group, tokens": {func(p place) error { return os.Chmod(p.file, 0o640) }, Secret, "chmod 600"},
		"writable by a group, public": {func(p place) error { return os.Chmod(p.file, 0o664) }, Public, "others can change"},
		"writable by others, tokens":  {func(p place) error { return os.Chmod(p.file, 0o666) }, Secret, "others can change"},
		"in a directory for all":      {func(p place) error { return os.Chmod(p.dir, 0o777) }, Public, "others can write to the directory"},
		"in a sticky one":             {func(p place) error { return os.Chmod(p.dir, 0o777|os.ModeSticky) }, Public, ""},
		"in a directory of another's": {func(p place) error { return os.Chown(p.dir, 65534, 0) }, Public, "the directory"},
		"below a directory for all":   {func(p place) error { return os.Chmod(filepath.Dir(p.dir), 0o775) }, Public, "others can write to the directory"},
		"by a link":                   {func(p place) error { return link(p.file, "other", 0) }, Public, ""},
		"by an absolute link":         {func(p place) error { return link(p.file, filepath.Join(p.dir, "other"), 0) }, Public, ""},
		"by a link up":                {func(p place) error { return link(p.file, "../dir/other", 0) }, Public, ""},
		"by a link of another's":      {func(p place) error { return link(p.file, "other", 65534) }, Public, "the link"},
		"by a link through what is for all": {func(p place) error {
			return errors.Join(os.Mkdir(p.dir+"/open", 0o755), os.Chmod(p.dir+"/open", 0o777), os.Rename(p.file, p.dir+"/open/file"), os.Symlink("open/file", p.file))
		}, Public, "others can write to the directory"},
		"by a ring of links": {func(p place) error { return errors.Join(os.Remove(p.file), os.Symlink("file", p.file)) }, Public, "too many levels"},
		"missing":            {func(p place) error { return os.Remove(p.file) }, Public, "no such file"},
		"a FIFO":             {func(p place) error { return errors.Join(os.Remove(p.file), unix.Mkfifo(p.file, 0o600)) }, Public, "FIFO"},
	} {
		t.Run(name, func(t *testing.T) {
			p := place{dir: filepath.Join(t.TempDir(), "dir")}
			p.file = filepath.Join(p.dir, "file")
			if err := errors.Join(os.Mkdir(p.dir, 0o755), os.WriteFile(p.file, []byte("text"), 0o600), c.change(p)); err != nil {
				t.Fatal(err)
			}
			data, err := Read(p.file, c.kind, 100)
			if c.says == "" && (err != nil || string(data) != "text") || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%q, %v", data, err)
			}
			if _, lerr := Look(p.file, c.kind); name != "a FIFO" && (lerr == nil) != (err == nil) {
				t.Errorf("read: %v, looked at: %v", err, lerr)
			}
		})
	}
}

// What is read is what was looked at: ".." behind a link does not lead to a directory that nobody has looked at.
func TestDotsBehindLink(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
	if err := errors.Join(
		os.Mkdir(ours, 0o755), os.MkdirAll(theirs+"/below", 0o755), os.Chmod(theirs, 0o777), os.Symlink(theirs+"/below", ours+"/link"),
		os.WriteFile(ours+"/file", []byte("ours"), 0o600), os.WriteFile(theirs+"/file", []byte("theirs"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	if data, err := Read(ours+"/link/../file", Secret, 100); err != nil || string(data) != "ours" {
		t.Errorf("%q, %v", data, err)
	}
}

// link moves the file away and leaves a link in its place.
func link(file, target string, uid int) error {
	return errors.Join(os.Rename(file, filepath.Join(filepath.Dir(file), "other")), os.Symlink(target, file), os.Lchown(file, uid, uid))
}

// A change that leaves time and size as they are shows, too.
func TestStamp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	at := time.Now().Add(-time.Hour)
	write := func(text string) Stamp {
		t.Helper()
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.Chtimes(file, at, at)); err != nil {
			t.Fatal(err)
		}
		s, err := Look(file, Secret)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := write("a")
	if again, err := Look(file, Secret); err != nil || again != first {
		t.Errorf("without a change: %s, %s, %v", first, again, err)
	}
	if second := write("b"); second == first {
		t.Error("a change does not show")
	}
}
