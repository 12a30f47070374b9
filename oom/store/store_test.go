package store

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/internal/stuck"
	"github.com/solopod/solopod/oom/record"
)

func kill(pod string, n int) record.Record {
	return record.Record{
		ID: fmt.Sprintf("%s-%d", pod, n), Time: time.Unix(int64(n), 0).UTC(), Pod: record.PodName{UID: pod, Name: pod}, Process: "java \x1b[2J\n", Source: record.Log,
	}
}

func ids(list []record.Record) string {
	var out []string
	for _, r := range list {
		out = append(out, r.ID)
	}
	return strings.Join(out, " ")
}

type place struct{ At int }

// opened is a store that writes a mark, until the test's end or Close.
func opened(t *testing.T, path string, at int) *Store {
	t.Helper()
	s, _ := Open(path)
	s.Begin(func() any { return place{at} }, nil)
	return s
}

// expect says whether the file is as it should be.
func expect(t *testing.T, path string, good func(records []record.Record, mark json.RawMessage) bool) {
	t.Helper()
	if s, mark := Open(path); !good(s.List(), mark) {
		t.Errorf("the file has %s, and the mark %s", ids(s.List()), mark)
	}
}

// What was added is there after a kill, without an end.
func TestKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ooms.jsonl")
	s, _ := Open(path)
	s.mark = func() any { return place{7} }
	s.Add(kill("a", 1))
	s.Add(kill("b", 2))
	s.write(false)
	s.Add(kill("a", 1)) // as after a restart
	s.Add(kill("b", 3))
	s.Remove("b-2")
	s.write(false)
	expect(t, path, func(list []record.Record, mark json.RawMessage) bool {
		return ids(list) == "a-1 b-3" && string(mark) == `{"At":7}` && list[0].Process == "java \x1b[2J\n"
	})
	// The next one goes on while nobody has closed the first.
	again := opened(t, path, 8)
	again.Add(kill("c", 4))
	again.Close()
	expect(t, path, func(list []record.Record, mark json.RawMessage) bool {
		return ids(list) == "a-1 b-3 c-4" && string(mark) == `{"At":8}`
	})
}

// Of each pod the last ones are kept, and one pod's storm pushes out none of another's; with many pods the largest gives way.
func TestBounds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ooms.jsonl")
	s := opened(t, path, 1)
	s.Add(kill("quiet", 1))
	for n := range 60 {
		s.Add(kill("storm", n+2))
	}
	check := func(list []record.Record) bool {
		return len(list) == 1+ofPod && list[0].ID == "quiet-1" && list[1].ID == "storm-12" && list[ofPod].ID == "storm-61"
	}
	if list := s.List(); !check(list) {
		t.Errorf("there are %s", ids(list))
	}
	s.Close()
	expect(t, path, func(list []record.Record, _ json.RawMessage) bool { return check(list) })

	s, _ = Open(path)
	for pod := range 40 {
		for n := range 40 {
			s.Add(kill(fmt.Sprint("pod", pod), 100+n))
		}
	}
	count := map[string]int{}
	for _, r := range s.List() {
		count[r.Pod.UID]++
	}
	if len(s.List()) != inAll || count["quiet"] != 1 || count["storm"] < 20 || count["storm"] > 30 || count["pod0"] < 20 {
		t.Errorf("there are %d: %v", len(s.List()), count)
	}
}

// A storm is written in pieces, and the file does not grow without end.
func TestStorm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ooms.jsonl")
	s, _ := Open(path)
	marks := 0
	s.Begin(func() any { marks++; return place{1} }, nil)
	large := strings.Repeat("x", 2000)
	for n := range 3000 {
		r := kill("storm", n)
		r.Command = large
		s.Add(r)
	}
	s.Close()
	if marks > 10 {
		t.Errorf("it was written %d times", marks)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > 2*maxFile {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
	expect(t, path, func(list []record.Record, _ json.RawMessage) bool {
		return len(list) == ofPod && list[ofPod-1].ID == "storm-2999"
	})
}

// What a crash or others have left in the file's place costs no more than what cannot be read.
func TestDamaged(t *testing.T) {
	line := func(n int) string {
		r := kill("a", n)
		text, err := json.Marshal(line{Record: &r})
		if err != nil {
			t.Fatal(err)
		}
		return string(text) + "\n"
	}
	for name, c := range map[string]struct{ text, want string }{
		"good": {line(1) + `{"mark":{"At":1}}` + "\n" + line(2), "a-1 a-2"}, "torn": {line(1) + line(2)[:40], "a-1"}, "torn at its end": {line(1) + strings.TrimSpace(line(2)), "a-1"},
		"in the middle": {line(1) + "\x00\x00\x00" + line(2) + line(3), "a-1 a-3"}, "junk": {"junk\nmore\n", ""}, "empty": {"", ""}, "no time": {`{"record":{"id":"x"}}` + "\n" + line(1), "a-1"},
		"null": {"null\n" + line(1), "a-1"}, "a list": {"[1]\n" + line(1), "a-1"}, "gone": {line(1) + line(2) + `{"gone":"a-1"}` + "\n", "a-2"},
	} {
		path := filepath.Join(t.TempDir(), "ooms.jsonl")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := opened(t, path, 1)
		if got := ids(s.List()); got != c.want {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
		s.Add(kill("b", 9))
		s.Close()
		expect(t, path, func(list []record.Record, _ json.RawMessage) bool {
			return ids(list) == strings.TrimSpace(c.want+" b-9")
		})
	}
	path := filepath.Join(t.TempDir(), "ooms.jsonl")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	s := opened(t, path, 1)
	s.Add(kill("b", 9))
	s.Close()
	expect(t, path, func(list []record.Record, _ json.RawMessage) bool { return ids(list) == "b-9" })
}

// A full disk costs nothing while Solopod runs, and nothing at all when there is room again.
func TestFullDisk(t *testing.T) {
	dir := stuck.Small(t, 64)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 48<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ooms.jsonl")
	s, _ := Open(path)
	s.mark = func() any { return place{1} }
	for n := range 40 {
		r := kill("a", n)
		r.Command = strings.Repeat("x", 1000)
		s.Add(r)
	}
	s.write(true)
	if len(s.List()) != 40 || !s.file.told || !s.anew {
		t.Errorf("there are %d, told: %t", len(s.List()), s.file.told)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.write(true)
	if s.file.told {
		t.Error("it is not written when there is room")
	}
	expect(t, path, func(list []record.Record, mark json.RawMessage) bool { return len(list) == 40 && mark != nil })
}

// Times of this boot follow the clock.
func TestMove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ooms.jsonl")
	s := opened(t, path, 1)
	s.Add(kill("before", 1))
	s.Add(kill("now", 2))
	s.Move(time.Hour, func(r record.Record) bool { return r.Pod.UID == "now" })
	s.Close()
	expect(t, path, func(list []record.Record, _ json.RawMessage) bool {
		return len(list) == 2 && list[0].Time.Unix() == 1 && list[1].Time.Unix() == 3602
	})
}

// What is gone gives way to what is there, however many pods that was, and who reads the file keeps the same.
func TestGoneFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ooms.jsonl")
	s, _ := Open(path)
	s.mark, s.pods = func() any { return place{1} }, func() map[string]bool { return map[string]bool{"web": true} }
	for n := range 20 {
		s.Add(kill("web", n))
	}
	s.write(false)
	for n := range 1200 {
		s.Add(kill(fmt.Sprint("job", n), 100))
		if n%500 == 499 {
			s.write(false)
		}
	}
	s.write(false)
	good := func(list []record.Record) bool {
		web := 0
		for _, r := range list {
			if r.Pod.UID == "web" {
				web++
			}
		}
		return len(list) == inAll && web == 20 && list[inAll-1].ID == "job1199-100"
	}
	if list := s.List(); !good(list) {
		t.Errorf("%d are there: %s", len(list), ids(list))
	}
	expect(t, path, func(list []record.Record, _ json.RawMessage) bool { return good(list) })
}

// A storm's records that nobody will see are not written, and a file that takes another's place waits for the disk.
func TestWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ooms.jsonl")
	s, _ := Open(path)
	s.mark = func() any { return place{1} }
	s.file.waited = time.Now()
	for n := range 500 {
		s.Add(kill("storm", n))
	}
	s.write(false)
	text, err := os.ReadFile(path)
	if lines := strings.Count(string(text), "\n"); err != nil || lines != ofPod+1 {
		t.Errorf("%d lines, %v", lines, err)
	}
	if !s.file.behind {
		t.Error("it waits for the disk in a storm")
	}
	s.anew = true
	s.write(false)
	if s.file.behind {
		t.Error("a new file is not waited for")
	}
}
