package pressure

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/eviction/threshold"
)

const gibi = 1 << 30

func TestJudge(t *testing.T) {
	room := Disk{Size: 100 * gibi, Available: 50 * gibi, Files: 1000, FilesFree: 900}
	list, wrong := threshold.Parse(threshold.Text{})
	if wrong != nil {
		t.Fatal(wrong)
	}
	soft, _ := threshold.Parse(threshold.Text{Soft: map[string]string{"memory.available": "1Gi"}, SoftGracePeriod: map[string]string{"memory.available": "1m"}})
	pids, _ := threshold.Parse(threshold.Text{Hard: map[string]string{"pid.available": "1000"}})
	root, images := disk{"nodefs", "/d", threshold.NodeSpace, threshold.NodeFiles}, disk{"imagefs", "/i", threshold.ImageSpace, threshold.ImageFiles}
	with := func(change func(*Disk)) Disk {
		d := room
		change(&d)
		return d
	}
	for name, c := range map[string]struct {
		found finding
		want  v1.ConditionStatus
		says  string
	}{
		"memory is left":               {judgeMemory(list, 4*gibi, gibi), "False", "there is enough memory"},
		"just enough of it":            {judgeMemory(list, 4*gibi, 100<<20), "False", ""},
		"too little":                   {judgeMemory(list, 4*gibi, 100<<20-1), "True", "99Mi of 4096Mi are available, less than 100Mi"},
		"a machine that is too small":  {judgeMemory(list, 64<<20, 60<<20), "True", "60Mi of 64Mi"},
		"room on the disk":             {judgeDisk(list, root, room), "False", "there is room on the disks"},
		"a tenth":                      {judgeDisk(list, root, with(func(d *Disk) { d.Available = 10 * gibi })), "False", ""},
		"less than a tenth":            {judgeDisk(list, root, with(func(d *Disk) { d.Available = 10*gibi - 1 })), "True", "nodefs (/d): 10239Mi of 102400Mi are available, less than 10%"},
		"a tenth for images":           {judgeDisk(list, images, with(func(d *Disk) { d.Available = 10 * gibi })), "True", "less than 15%"},
		"few files":                    {judgeDisk(list, root, with(func(d *Disk) { d.FilesFree = 49 })), "True", "it can have 49 files more of 1000, less than 5%"},
		"a file system without inodes": {judgeDisk(list, root, with(func(d *Disk) { d.Files, d.FilesFree = 0, 0 })), "False", ""},
		"one without a size":           {judgeDisk(list, root, Disk{}), "False", ""},
		"few processes":                {judgeProcesses(list, 100, 4000), "False", "there can be more"},
		"nearly all":                   {judgeProcesses(list, 3801, 4000), "True", "there are 3801 processes and threads of 4000"},
		"more than there can be":       {judgeProcesses(list, 5000, 4000), "True", ""},
		"without a bound":              {judgeProcesses(list, 5000, 0), "False", ""},
		"by a soft threshold, at once": {judgeMemory(soft, 4*gibi, gibi-1), "True", "less than 1Gi"},
		"without a threshold":          {judgeMemory(nil, 4*gibi, 0), "False", ""},
		"a disk without one":           {judgeDisk(nil, root, with(func(d *Disk) { d.Available, d.FilesFree = 0, 0 })), "False", ""},
		"files of imagefs":             {judgeDisk(list, images, with(func(d *Disk) { d.FilesFree = 49 })), "True", "imagefs (/i): it can have 49 files more"},
		"processes by a threshold":     {judgeProcesses(pids, 3001, 4000), "True", "less than 1000 are left"},
		"and enough of them":           {judgeProcesses(pids, 3000, 4000), "False", ""},
		"a network":                    {judgeNetwork(nil), "False", "pods can have a network"},
		"none":                         {judgeNetwork(errors.New("it is broken")), "True", "it is broken"},
	} {
		if c.found.status != c.want || !strings.Contains(c.found.message, c.says) || c.found.message == "" || c.found.reason == "" {
			t.Errorf("%s: %+v", name, c.found)
		}
	}
}

// kubelets are the kubelet's thresholds.
var kubelets, _ = threshold.Parse(threshold.Text{})

// A condition that held goes on for a while, also one that somebody else has found.
func TestHold(t *testing.T) {
	b := newBox(t)
	var told []string
	c := New(b, Config{Root: "/root", Thresholds: kubelets, Hold: 5 * time.Minute}, func(_, reason, _ string) { told = append(told, reason) })
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c.now = func() time.Time { return at }
	step := func(after time.Duration, want v1.ConditionStatus, says string, events ...string) {
		t.Helper()
		at, told = at.Add(after), nil
		got := c.Get()[0]
		if got.Status != want || !strings.Contains(got.Message, says) || !reflect.DeepEqual(told, events) {
			t.Errorf("%s (%s), told %q; want %s, %q", got.Status, got.Message, told, want, events)
		}
	}
	step(0, v1.ConditionFalse, "")
	b.available = 0
	step(time.Minute, v1.ConditionTrue, "0Mi of 4096Mi", "NodeHasInsufficientMemory")
	b.available = gibi
	step(time.Minute, v1.ConditionTrue, "0Mi of 4096Mi are available, less than 100Mi; that was so 1m0s ago, and it counts as over after 5m0s")
	step(3*time.Minute+50*time.Second, v1.ConditionTrue, "4m50s ago")
	step(10*time.Second, v1.ConditionFalse, "", "NodeHasSufficientMemory")
	if !c.Note(v1.NodeMemoryPressure, "53Mi are available") || c.Note(v1.NodeNetworkUnavailable, "no") {
		t.Error("what was noted was known")
	}
	step(time.Second, v1.ConditionTrue, "53Mi are available", "NodeHasInsufficientMemory")
	if c.Note(v1.NodeMemoryPressure, "52Mi are available") {
		t.Error("what is known was noted as new")
	}
	step(5*time.Minute, v1.ConditionFalse, "", "NodeHasSufficientMemory")
	at = at.Add(-time.Hour) // the clock is set back
	step(0, v1.ConditionFalse, "")
}

// box is a machine of a test; a method that hang names waits until the test ends.
type box struct {
	mu        sync.Mutex
	available uint64
	disk      Disk
	network   error
	hang      map[string]bool
	asked     int
	ended     <-chan struct{}
}

func (b *box) look(what string) {
	b.mu.Lock()
	hangs := b.hang[what]
	b.asked++
	b.mu.Unlock()
	if hangs {
		<-b.ended
	}
}

func (b *box) Memory() (uint64, uint64, error) {
	b.look("memory")
	b.mu.Lock()
	defer b.mu.Unlock()
	return 4 * gibi, b.available, nil
}

func (b *box) Disk(dir string) (Disk, error) {
	b.look(dir)
	b.mu.Lock()
	defer b.mu.Unlock()
	if dir == "/gone" {
		return Disk{}, errors.New("there is none")
	}
	return b.disk, nil
}

func (b *box) Processes() (uint64, uint64, error) { b.look("processes"); return 10, 1000, nil }

func (b *box) Network() error {
	b.look("network")
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.network
}

func newBox(t *testing.T) *box {
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	return &box{available: gibi, disk: Disk{Size: gibi, Available: gibi}, hang: map[string]bool{}, ended: ended}
}

func statuses(list []v1.NodeCondition) (out string) {
	for _, c := range list {
		out += fmt.Sprintf("%s=%s ", c.Type, c.Status)
	}
	return strings.TrimSpace(out)
}

func TestConditions(t *testing.T) {
	b := newBox(t)
	var told []string
	c := New(b, Config{Root: "/root", Images: "/images", Thresholds: kubelets}, func(eventType, reason, _ string) { told = append(told, eventType+" "+reason) })
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c.now = func() time.Time { return at }
	step := func(want string, events ...string) []v1.NodeCondition {
		t.Helper()
		told = nil
		got := c.Get()
		if statuses(got) != want || !reflect.DeepEqual(told, events) {
			t.Errorf("%s, told %q; want %s, %q", statuses(got), told, want, events)
		}
		return got
	}
	fine := "MemoryPressure=False DiskPressure=False PIDPressure=False NetworkUnavailable=False"
	step(fine)
	if asked := b.asked; asked != 5 {
		t.Errorf("asked %d times", asked)
	}
	b.available = 1 << 20
	at = at.Add(fresh - time.Second)
	step(fine) // it is known well enough
	at = at.Add(time.Second)
	first := step(strings.Replace(fine, "MemoryPressure=False", "MemoryPressure=True", 1), "Warning NodeHasInsufficientMemory")
	at = at.Add(time.Minute)
	b.disk.Available = 0
	second := step("MemoryPressure=True DiskPressure=True PIDPressure=False NetworkUnavailable=False", "Warning NodeHasDiskPressure")
	if !second[0].LastTransitionTime.Equal(&first[0].LastTransitionTime) || second[0].LastHeartbeatTime.Time != at || second[1].LastTransitionTime.Time != at {
		t.Errorf("%+v", second)
	}
	b.available, b.disk.Available, b.network = gibi, gibi, errors.New("the bridge is gone")
	at = at.Add(time.Minute)
	step("MemoryPressure=False DiskPressure=False PIDPressure=False NetworkUnavailable=True",
		"Normal NodeHasSufficientMemory", "Normal NodeHasNoDiskPressure", "Warning NetworkUnusable")
	at = at.Add(-time.Hour) // the clock is set back: what is known is of the future
	b.network = nil
	step(fine, "Normal NetworkReady")
}

// What hangs is Unknown within its limit and a moment, holds up nothing else, and is not asked again while it does.
func TestHanging(t *testing.T) {
	b := newBox(t)
	b.hang["/root"] = true
	c := New(b, Config{Root: "/root", Images: "", Thresholds: kubelets}, func(string, string, string) {})
	at := time.Now()
	c.now = func() time.Time { return at }
	want := "MemoryPressure=False DiskPressure=Unknown PIDPressure=False NetworkUnavailable=False"
	if got := statuses(c.Get()); got != want {
		t.Error(got)
	}
	at = at.Add(fresh)
	began := time.Now()
	got := c.Get()
	if statuses(got) != want || time.Since(began) > limit || !strings.Contains(got[1].Message, "does not answer") {
		t.Errorf("%s after %s: %s", statuses(got), time.Since(began), got[1].Message)
	}
}

func TestGone(t *testing.T) {
	b := newBox(t)
	c := New(b, Config{Root: "/gone", Images: "/images", Thresholds: kubelets}, func(string, string, string) {})
	if got := c.Get(); got[1].Status != v1.ConditionUnknown || !strings.Contains(got[1].Message, "there is none") {
		t.Errorf("%+v", got[1])
	}
}

// Many ask at the same time: all get an answer, and it is measured once.
func TestMany(t *testing.T) {
	b := newBox(t)
	c := New(b, Config{Root: "/root", Images: "", Thresholds: kubelets}, func(string, string, string) {})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got := c.Get(); len(got) != 4 {
				t.Errorf("%+v", got)
			}
		})
	}
	wg.Wait()
	if b.asked != 4 {
		t.Errorf("asked %d times", b.asked)
	}
}

func TestLinux(t *testing.T) {
	total, available, err := Linux{}.Memory()
	if err != nil || available == 0 || available > total {
		t.Error(total, available, err)
	}
	disk, err := Linux{}.Disk(t.TempDir())
	if err != nil || disk.Available == 0 || disk.Available > disk.Size {
		t.Errorf("%+v, %v", disk, err)
	}
	if _, err := (Linux{}).Disk("/none/such"); err == nil {
		t.Error("a directory that there is not has room")
	}
	if got := meminfo([]byte("MemTotal:  10 kB\nHugePages_Total: 4\nMemFree: x kB\nInactive(file):  3 kB\n")); !reflect.DeepEqual(got, map[string]uint64{"MemTotal": 10240, "Inactive(file)": 3072}) {
		t.Errorf("%v", got)
	}
}
