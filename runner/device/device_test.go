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
	"k8s.io/apimachinery/pkg/types"
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
	if err := os.WriteFile(filepath.Join(dir, "unit.yaml"), []byte(description), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := New([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wanting is a pod whose containers want so many units.
func wanting(name string, counts ...int64) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "n", UID: types.UID(name)}}
	for i, n := range counts {
		c := v1.Container{Name: string(rune('a' + i)), Resources: v1.ResourceRequirements{Limits: v1.ResourceList{}}}
		if n > 0 {
			c.Resources.Limits["vendor.example/unit"] = *resource.NewQuantity(n, resource.DecimalSI)
		}
		p.Spec.Containers = append(p.Spec.Containers, c)
	}
	return p
}

// Who gets which device, and who has to wait.
func TestClaim(t *testing.T) {
	all := table(t)
	first, err := all.Claim(wanting("first", 1, 0), nil)
	if err != nil || !slices.Equal(first["a"], []string{"vendor.example/unit=0"}) || len(first["b"]) != 0 {
		t.Fatalf("the first pod has %v, %v", first, err)
	}
	if again, err := all.Claim(wanting("first", 1, 0), first); err != nil || !slices.Equal(again["a"], first["a"]) {
		t.Errorf("the first pod, again, has %v, %v", again, err)
	}
	if _, err := all.Claim(wanting("both", 1, 1), nil); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "used by n/first") {
		t.Errorf("two of one that is left: %v", err)
	}
	second, err := all.Claim(wanting("second", 1), Assignment{"a": {"vendor.example/unit=1"}})
	if err != nil || !slices.Equal(second["a"], []string{"vendor.example/unit=1"}) {
		t.Errorf("the second pod has %v, %v", second, err)
	}
	if !all.Release("first") || all.Release("first") {
		t.Error("the first pod's device was not given back once")
	}
	// What a pod had before comes first.
	if kept, err := all.Claim(wanting("third", 1), Assignment{"a": {"vendor.example/unit=0"}}); err != nil || kept["a"][0] != "vendor.example/unit=0" {
		t.Errorf("the third pod has %v, %v", kept, err)
	}
	named := wanting("named", 0)
	named.Annotations = map[string]string{"cdi.k8s.io/x": "vendor.example/unit=all"}
	shared, err := all.Claim(named, nil)
	if err != nil || !slices.Equal(shared["a"], []string{"vendor.example/unit=all"}) {
		t.Errorf("the pod that names its device has %v, %v", shared, err)
	}
	named.Annotations["cdi.k8s.io/x"] = "vendor.example/unit=2"
	if _, err := all.Claim(named, nil); err == nil || errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "vendor.example/unit=2") {
		t.Errorf("a device that does not exist: %v", err)
	}
	if none, err := all.Claim(wanting("none", 0), nil); err != nil || none != nil {
		t.Errorf("a pod that wants none has %v, %v", none, err)
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

// A description that is a FIFO is told, and nobody waits for it; the devices of the last time stay.
func TestDescriptionFIFO(t *testing.T) {
	table := table(t)
	if _, err := table.Claim(wanting("a", 1), nil); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(table.cache.GetSpecDirectories()[0], "planted.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := table.Claim(wanting("b", 1), nil); err != nil {
			t.Error(err)
		}
		if _, err := table.Claim(wanting("c", 3), nil); err == nil || !strings.Contains(err.Error(), "planted.json is a FIFO") {
			t.Error(err)
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it waits")
	}
}
