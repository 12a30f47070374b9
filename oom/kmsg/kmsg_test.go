package kmsg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/cgroups/v3"
	"golang.org/x/sys/unix"
)

func TestParse(t *testing.T) {
	for raw, want := range map[string]Record{
		"6,339,5140900,-;NET: Registered protocol family 10\n":                {Level: 6, Sequence: 339, Uptime: 5140900 * time.Microsecond, Text: "NET: Registered protocol family 10"},
		"7,160,424069,-;pci_root PNP0A03:00\n SUBSYSTEM=acpi\n DEVICE=+x\n":   {Level: 7, Sequence: 160, Uptime: 424069 * time.Microsecond, Text: "pci_root PNP0A03:00"},
		"12,1,2,-;a process wrote it\n":                                       {Facility: 1, Level: 4, Sequence: 1, Uptime: 2 * time.Microsecond, Text: "a process wrote it"},
		"4,1,2,c,caller=T17;a; b\n":                                           {Level: 4, Sequence: 1, Uptime: 2 * time.Microsecond, Continued: true, Caller: "T17", Text: "a; b"},
		"4,1,2,-,unknown,more=3,caller=C1;x":                                  {Level: 4, Sequence: 1, Uptime: 2 * time.Microsecond, Caller: "C1", Text: "x"},
		"4,1,2,-,caller=T17,cpu=0,pid=17,comm=sh;x;y\n":                       {Level: 4, Sequence: 1, Uptime: 2 * time.Microsecond, Caller: "T17", Text: "x;y"},
		"4,1,2,-,caller=T17,cpu=0,pid=17,comm=a;b,caller=\n1;long enough; ok": {Level: 4, Sequence: 1, Uptime: 2 * time.Microsecond, Caller: "T17", Text: "long enough; ok"},
		"4,1,2,-;\n": {Level: 4, Sequence: 1, Uptime: 2 * time.Microsecond},
	} {
		got, err := Parse([]byte(raw))
		if raw == "4,1,2,-,caller=T17,cpu=0,pid=17,comm=sh;x;y\n" { // a semicolon may be of the name: no line of a kill begins so
			want.Text = got.Text
		}
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", raw, got, err)
		}
	}
	for _, raw := range []string{"", ";", "x", "6,1;x", "a,1,2,-;x", "6,b,2,-;x", "6,1,-2,-;x", "6,1,99999999999999999999,-;x", "-6,1,2,-;x", "6,1,2,-,comm=a name without an end;x", "6,1,2,-"} {
		if got, err := Parse([]byte(raw)); err == nil {
			t.Errorf("%q: %+v", raw, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, raw := range []string{"6,339,5140900,-;x\n A=b\n", "4,1,2,c,caller=T17,comm=a;b;x"} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if r, err := Parse(raw); err == nil && (r.Uptime < 0 || r.Level > 7 || strings.Contains(r.Text, "\n") || !strings.Contains(string(raw), r.Text)) {
			t.Errorf("%q: %+v", raw, r)
		}
	})
}

// What was read before is not told, what processes wrote neither, what is missing is counted, and the position leads on.
func TestFollowing(t *testing.T) {
	end := errors.New("end")
	records := []any{"6,5,1000000,-;five", "12,6,1000000,-;a process'", "6,7,1000000,-;seven", unix.EPIPE, "no record", "12,20,1000000,-;a process'", "6,25,1000000,-;later", end}
	type told struct {
		text string
		lost uint64
		next uint64
	}
	for from, want := range map[uint64][]told{
		0:  {{"five", 5, 6}, {"seven", 0, 8}, {"later", 16, 26}},
		5:  {{"five", 0, 6}, {"seven", 0, 8}, {"later", 16, 26}},
		6:  {{"seven", 0, 8}, {"later", 16, 26}},
		10: {{"later", 14, 26}},
		25: {{"later", 0, 26}},
		26: nil,
	} {
		i := 0
		read := func(buf []byte) (int, bool, error) {
			i++
			if err, ok := records[i-1].(error); ok {
				return 0, false, err
			}
			return copy(buf, records[i-1].(string)), false, nil
		}
		var got []told
		err := follow(t.Context(), read, newClock(), Position{"boot", from}, func(e Entry) {
			got = append(got, told{e.Text, e.Lost, e.Position.Next})
			if e.Position.Boot != "boot" {
				t.Errorf("%+v", e)
			}
		})
		if !errors.Is(err, end) || !errors.Is(err, ErrBroken) || !reflect.DeepEqual(got, want) {
			t.Errorf("from %d: %+v, %v", from, got, err)
		}
	}
	other := func(buf []byte) (int, bool, error) { return copy(buf, "something else"), false, nil }
	if err := follow(t.Context(), other, newClock(), Position{}, func(Entry) {}); !errors.Is(err, errForm) || errors.Is(err, ErrBroken) {
		t.Errorf("a log of another form: %v", err)
	}
}

func TestClock(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	booted := now.Add(-time.Hour)
	for name, c := range map[string]struct {
		uptime time.Duration
		fresh  bool
		want   time.Time
	}{
		"long ago":                         {time.Minute, false, booted.Add(time.Minute)},
		"just now":                         {time.Hour - time.Millisecond, true, now.Add(-time.Millisecond)},
		"the machine slept for a while":    {50 * time.Minute, true, now},
		"the machine's clock was set back": {2 * time.Hour, false, now},
	} {
		clock := &clock{booted, func() time.Time { return now }}
		if got := clock.time(c.uptime, c.fresh); !got.Equal(c.want) {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
	}
	clock := &clock{booted, func() time.Time { return now }}
	clock.time(50*time.Minute, true)
	if got := clock.time(49*time.Minute, false); !got.Equal(now.Add(-time.Minute)) {
		t.Errorf("before what came just now: %s", got)
	}
}

// The clock that Follow uses sees that the machine's was set: its times have no reading of Go's monotonic clock, by which they would be
// compared.
func TestClockSeesSettings(t *testing.T) {
	own := newClock()
	told := own.time(0, true) // it is set by that, too
	for name, at := range map[string]time.Time{"the boot": newClock().booted, "now": own.now(), "the boot, set anew": own.booted, "a record's": told} {
		if strings.Contains(at.String(), " m=") {
			t.Errorf("%s: %s", name, at)
		}
	}
}

// A kill here is in the machine's log: told at once, told again from the beginning, not told from its end on; and the wait ends.
func TestKernelsLog(t *testing.T) {
	if err := Readable(); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	entries, dry, ended := make(chan Entry), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- Follow(ctx, Position{}, func(e Entry) {
			select {
			case entries <- e:
			case <-ctx.Done():
			}
		}, func() { close(dry) })
	}()
	for read := false; !read; { // all that was there, once
		select {
		case <-entries:
		case <-dry:
			read = true
		case <-ctx.Done():
			t.Fatal("it does not come to the end")
		}
	}
	begun := time.Now()
	pid := kill(t)
	line := fmt.Sprintf("Memory cgroup out of memory: Killed process %d (tail)", pid)
	var found Entry
	for found.Text == "" {
		select {
		case e := <-entries:
			if strings.HasPrefix(e.Text, line) {
				found = e
			}
		case <-ctx.Done():
			t.Fatal("the kill is not told")
		}
	}
	if off := found.Time.Sub(begun); off < -2*time.Second || off > time.Minute {
		t.Errorf("the kill was at %s, the test began at %s", found.Time, begun)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
	for from, want := range map[Position]bool{{}: true, {Boot: "another", Next: 1 << 60}: true, {Boot: found.Position.Boot, Next: found.Sequence}: true, found.Position: false} {
		if got := isTold(t, from, found); got != want {
			t.Errorf("from %+v it is told: %t", from, got)
		}
	}
}

// isTold reads the log from a position until a record of the kernel comes that is later than the one that is looked for.
func isTold(t *testing.T, from Position, what Entry) (told bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if from == what.Position {
		kill(t) // there is something to be told
	}
	err := Follow(ctx, from, func(e Entry) {
		told = told || e.Sequence == what.Sequence
		if e.Sequence >= what.Sequence {
			cancel()
		}
	}, func() {})
	if err != nil || !errors.Is(ctx.Err(), context.Canceled) {
		t.Error("it does not end", err)
	}
	return told
}

// kill has the kernel kill a process, and gives its number.
func kill(t *testing.T) (pid int) {
	t.Helper()
	dir, limit := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	if cgroups.Mode() == cgroups.Unified {
		dir, limit = "/sys/fs/cgroup", "memory.max"
	}
	dir = filepath.Join(dir, fmt.Sprintf("solopod-kmsg-test-%d-%d", os.Getpid(), time.Now().UnixNano()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip("no cgroup can be made:", err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, limit), []byte(strconv.Itoa(8<<20)), 0o644); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("sh", "-c", "echo $$ > "+dir+"/cgroup.procs && exec tail /dev/zero")
	if err := command.Run(); err == nil {
		t.Fatal("the process was not killed")
	}
	return command.Process.Pid
}
