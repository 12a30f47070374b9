package versions

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/solopod/solopod/internal/stuck"
)

func path(t *testing.T) string { return filepath.Join(t.TempDir(), "versions.json") }

// A story is a row of files, each its objects, version and content, and what must be said of it; "restart" opens the record anew.
func TestAccept(t *testing.T) {
	for name, story := range map[string]string{
		"versions rise": `
			web 1 a ->
			web 3 b ->
			web 2 a -> is older: it has version 2, and this box has had version 3 of web
			restart
			web 2 a -> is older
			web 3 b ->
			web 4 c ->`,
		"one content of a version": `
			web 1 a ->
			web 1 b -> has version 1, of which this box has had another content with web
			web 1 a ->`,
		"without a version": `
			web 0 a ->
			web 0 b ->
			restart
			web 1 c ->
			web 0 a -> has no version, and this box has had version 1 of web
			db 0 a ->`,
		"each object has its own": `
			web,db 2 a ->
			web 5 b ->
			db 3 c ->
			web,db 4 d -> is older: it has version 4, and this box has had version 5 of web
			web,db 2 a -> is older
			web,db 6 e ->
			db 3 c -> is older`,
		"what is refused leaves nothing": `
			web 5 a ->
			db,web 4 b -> is older
			restart
			db 1 c ->`,
		"no object": ` 0 a ->`,
	} {
		t.Run(name, func(t *testing.T) {
			at := path(t)
			r, told := Open(at)
			for line := range strings.Lines(strings.TrimSpace(story)) {
				if strings.TrimSpace(line) == "restart" {
					r, told = Open(at)
					continue
				}
				say, want, _ := strings.Cut(line, "->")
				var objects []string
				var version uint64
				var content string
				words := strings.Fields(say)
				if len(words) == 3 {
					objects = strings.Split(words[0], ",")
					words = words[1:]
				}
				if _, err := fmt.Sscan(strings.Join(words, " "), &version, &content); err != nil {
					t.Fatal(err)
				}
				refused, err := r.Accept(objects, version, content)
				if want = strings.TrimSpace(want); err != nil || told != "" || (refused == "") != (want == "") || !strings.HasPrefix(refused, want) {
					t.Fatalf("%s: %q, %v, %q", line, refused, err, told)
				}
			}
		})
	}
}

// What was accepted is on the disk before it is said; what changes nothing writes nothing.
func TestWrites(t *testing.T) {
	at := path(t)
	r, _ := Open(at)
	if _, err := r.Accept([]string{"web"}, 0, "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(at); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file without a version was noted: %v", err)
	}
	if _, err := r.Accept([]string{"web"}, 1, "a"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(at)
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if again, told := Open(at); told != "" || again.objects["web"] != (had{1, "a"}) {
		t.Errorf("%v %q", again.objects, told)
	}
	if _, err := r.Accept([]string{"web"}, 1, "a"); err != nil {
		t.Fatal(err)
	}
	if later, err := os.Stat(at); err != nil || !os.SameFile(info, later) {
		t.Errorf("the same was written again: %v", err)
	}
}

// A record that is full takes no more objects, and goes on for those that it has.
func TestFull(t *testing.T) {
	r, _ := Open(path(t))
	objects := make([]string, maxObjects)
	for i := range objects {
		objects[i] = fmt.Sprintf("persistentvolumeclaim/%063d/%0253d", 1, i) // as long as they can be
	}
	if refused, err := r.Accept(objects, 1<<62, strings.Repeat("c", 43)); refused != "" || err != nil {
		t.Fatal(refused, err)
	}
	if refused, err := r.Accept([]string{"web"}, 1, "a"); err != nil || !strings.Contains(refused, "remembers the versions of 16384 objects") {
		t.Error(refused, err)
	}
	if refused, err := r.Accept(objects[:1], 1<<62+1, "b"); refused != "" || err != nil {
		t.Error(refused, err)
	}
	if again, told := Open(r.path); told != "" || len(again.objects) != maxObjects {
		t.Errorf("%d objects, %q", len(again.objects), told)
	}
}

func TestDamaged(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "half": `{"objects": {"web"`, "null": "null", "nothing": "{}", "no version": `{"objects": {"web": {"content": "a"}}}`,
		"negative": `{"objects": {"web": {"version": -1}}}`,
	} {
		at := path(t)
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r, told := Open(at)
		if !strings.Contains(told, "is set aside as versions.json.damaged") {
			t.Errorf("%s: %q", name, told)
		}
		if refused, err := r.Accept([]string{"web"}, 1, "a"); refused != "" || err != nil {
			t.Errorf("%s: %q %v", name, refused, err)
		}
		if kept, err := os.ReadFile(at + ".damaged"); err != nil || string(kept) != text {
			t.Errorf("%s: %q %v", name, kept, err)
		}
	}
}

// What cannot be written is an error, changes nothing, and is taken when it can.
func TestFullDisk(t *testing.T) {
	dir := stuck.Small(t, 64)
	r, _ := Open(filepath.Join(dir, "versions.json"))
	if _, err := r.Accept([]string{"web"}, 1, "a"); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("a megabyte found room")
	}
	if refused, err := r.Accept([]string{"web"}, 2, "b"); err == nil || !strings.Contains(err.Error(), "cannot note the version in "+r.path) {
		t.Errorf("%q %v", refused, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if refused, err := r.Accept([]string{"web"}, 1, "a"); refused != "" || err != nil {
		t.Errorf("what was not noted counts: %q %v", refused, err)
	}
	if refused, err := r.Accept([]string{"web"}, 2, "b"); refused != "" || err != nil {
		t.Errorf("%q %v", refused, err)
	}
}

// Many at once: all are on the disk, and of two contents of one version one is refused. Who waits for a write that hangs is told.
func TestAtOnce(t *testing.T) {
	r, _ := Open(path(t))
	var all sync.WaitGroup
	said := make([]string, 40)
	for i := range said {
		all.Go(func() {
			refused, err := r.Accept([]string{fmt.Sprint("own", i), "shared"}, 7, fmt.Sprint(i%2))
			said[i] = fmt.Sprint(refused, err)
		})
	}
	all.Wait()
	accepted := 0
	for _, s := range said {
		if s == "<nil>" {
			accepted++
		} else if !strings.Contains(s, "another content with shared;") {
			t.Error(s)
		}
	}
	again, _ := Open(r.path)
	if accepted != 20 || len(again.objects) != 21 {
		t.Errorf("%d were accepted, %d are noted", accepted, len(again.objects))
	}
	give, ok := r.turn.Try()
	if !ok {
		t.Fatal("the turn is not given back")
	}
	began := time.Now()
	if _, err := r.Accept([]string{"web"}, 1, "a"); err == nil || !strings.Contains(err.Error(), "the disk does not answer") || time.Since(began) > 2*patience {
		t.Error(err)
	}
	give()
	if !slices.Contains([]string{"0", "1"}, again.objects["shared"].Content) {
		t.Error(again.objects["shared"])
	}
}
