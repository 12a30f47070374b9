package device

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const description = `cdiVersion: "0.5.0"
kind: vendor.example/unit
devices:
- {name: "0", containerEdits: {env: [UNIT0=yes]}}
- {name: "1", containerEdits: {env: [UNIT1=yes]}}
- {name: all, containerEdits: {env: [ALL=yes]}}
`

func table(t *testing.T) *Table {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"unit.yaml": description, "bad.yaml": "kind: ["} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return New([]string{dir})
}

// wanting is a pod whose containers want so many units.
func wanting(counts ...int64) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "n"}}
	for i, n := range counts {
		c := v1.Container{Name: string(rune('a' + i)), Resources: v1.ResourceRequirements{Limits: v1.ResourceList{}}}
		if n > 0 {
			c.Resources.Limits["vendor.example/unit"] = *resource.NewQuantity(n, resource.DecimalSI)
		}
		p.Spec.Containers = append(p.Spec.Containers, c)
	}
	return p
}

// Which devices containers get, and which must wait. A description that cannot be read hides no other.
func TestAssign(t *testing.T) {
	const zero, one, every = "vendor.example/unit=0", "vendor.example/unit=1", "vendor.example/unit=all"
	for name, c := range map[string]struct {
		wants  []int64
		named  string
		kept   Assignment
		taken  string
		want   Assignment
		err    string
		isFull bool
	}{
		"the first free one":       {wants: []int64{1, 0}, want: Assignment{"a": {zero}}},
		"one each":                 {wants: []int64{1, 1}, want: Assignment{"a": {zero}, "b": {one}}},
		"what it had before":       {wants: []int64{1}, kept: Assignment{"a": {one}}, want: Assignment{"a": {one}}},
		"what it had is taken":     {wants: []int64{1}, kept: Assignment{"a": {one}}, taken: one, want: Assignment{"a": {zero}}},
		"too many":                 {wants: []int64{1, 1}, taken: zero, err: "used by n/other", isFull: true},
		"shared by name":           {wants: []int64{0}, named: every, want: Assignment{"a": {every}}},
		"shared, though taken":     {wants: []int64{0}, named: zero, taken: zero, want: Assignment{"a": {zero}}},
		"a name that is none":      {wants: []int64{0}, named: "vendor.example/unit=2", err: "no CDI device vendor.example/unit=2"},
		"more than there ever are": {wants: []int64{3}, err: "of which the machine has 2", isFull: true},
	} {
		p := wanting(c.wants...)
		if c.named != "" {
			p.Annotations = map[string]string{"cdi.k8s.io/x": c.named}
		}
		if !Wanted(p) {
			t.Errorf("%s: the pod wants no device", name)
		}
		m, err := table(t).Read()
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Assign(p, c.kept, func(device string) string {
			if device == c.taken {
				return "n/other"
			}
			return ""
		})
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || errors.Is(err, ErrTaken) != c.isFull) {
			t.Errorf("%s: %v", name, err)
		}
		for _, container := range []string{"a", "b"} {
			if !slices.Equal(got[container], c.want[container]) {
				t.Errorf("%s: container %s has %v", name, container, got[container])
			}
		}
	}
	if Wanted(wanting(0)) {
		t.Error("a pod that asks for none wants some")
	}
}

func TestInject(t *testing.T) {
	all, spec := table(t), &specs.Spec{}
	if err := all.Inject(spec, []string{"vendor.example/unit=1"}); err != nil || !slices.Contains(spec.Process.Env, "UNIT1=yes") {
		t.Errorf("injected is %+v, %v", spec.Process, err)
	}
	if err := all.Inject(spec, []string{"vendor.example/unit=9"}); err == nil {
		t.Error("a device that does not exist was injected")
	}
}

// A description that is a FIFO is told, and nobody waits for it.
func TestDescriptionFIFO(t *testing.T) {
	devices := table(t)
	if err := unix.Mkfifo(filepath.Join(devices.dirs[0], "planted.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := devices.Read()
		failed <- err
	}()
	select {
	case err := <-failed:
		if err == nil || !strings.Contains(err.Error(), "planted.json is a FIFO") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits")
	}
}
