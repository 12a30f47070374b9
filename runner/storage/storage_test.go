package storage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/internal/stuck"
	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/foreign"
)

func TestPlaces(t *testing.T) {
	source := func(name string, s v1.VolumeSource) v1.Volume { return v1.Volume{Name: name, VolumeSource: s} }
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p", UID: "u"}, Spec: v1.PodSpec{Volumes: []v1.Volume{
		source("disk", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}),
		source("memory", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}}),
		source("data", v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "db"}}),
		source("config", v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{}}),
		source("host", v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/"}}),
		source("image", v1.VolumeSource{Image: &v1.ImageVolumeSource{}}),
	}}}
	volumes := map[string]string{"disk": "/root/disk", "memory": "/state/memory", "data": "/root/claims/n/db/data", "config": "/state/config", "host": "/", "image": "/state/image"}
	got := Places(pod, volumes, []Container{{Name: "c", ID: "id", LogDir: "/logs/c", ImageVolumes: "/root/v"}}, Dirs{"/root", "/state", "/logs"})
	place := func(k Kind, name, path, disk string, ephemeral bool) [6]any {
		return [6]any{"n/p/u", k, name, path, disk, ephemeral}
	}
	want := [][6]any{
		place(Volume, "disk", "/root/disk", "/root", true),
		place(Volume, "memory", "/state/memory", "/state", false),
		place(Volume, "data", "/root/claims/n/db/data", "/root/claims/n/db/data", false),
		place(Volume, "config", "/state/config", "/state", false),
		place(Layer, "c", "/root", "/root", true),
		place(Logs, "c", "/logs/c", "/logs", true),
		place(ImageVolumes, "c", "/root/v", "/root", true),
	}
	var have [][6]any
	keys := map[string]bool{}
	for _, p := range got {
		have = append(have, [6]any{p.Namespace + "/" + p.Pod + "/" + p.UID, p.Kind, p.Name, p.Path, p.Disk, p.Ephemeral()})
		keys[p.Key()] = true
	}
	if !reflect.DeepEqual(have, want) {
		t.Errorf("got %v\nwant %v", have, want)
	}
	if len(keys) != len(want) {
		t.Errorf("keys: %v", keys)
	}
	other := pod.DeepCopy()
	other.Name, other.UID = "q", "v"
	for i, p := range Places(other, volumes, nil, Dirs{}) {
		if shared := p.Key() == got[i].Key(); shared != (p.Claim == "db") {
			t.Errorf("volume %s of two pods is the same place: %t", p.Name, shared)
		}
	}
}

// layers says what containers have written.
type layers struct{ foreign.Space }

func (l layers) Usage(context.Context, string) (foreign.Space, error) { return l.Space, nil }

func TestMeasure(t *testing.T) {
	s := &Scale{Engine: layers{foreign.Space{Bytes: 5, Inodes: 2}}}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	deep := filepath.Join(t.TempDir(), "deep")
	if err := os.MkdirAll(filepath.Join(deep, strings.Repeat("d/", 500)), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		place          Place
		least, most    int64
		inodes         int64
		fails, nothing bool
	}{
		{place: Place{Kind: Volume, Path: dir, Disk: dir}, least: 1 << 20, most: 1<<20 + 8192, inodes: 2},
		{place: Place{Kind: Volume, Path: deep, Disk: deep}, least: 4096, most: 501 * 4096, inodes: 501},
		{place: Place{Kind: Layer, Path: dir, Disk: dir}, least: 5, most: 5, inodes: 2},
		{place: Place{Kind: Logs, Path: dir + "/none", Disk: dir}, fails: true},
		{place: Place{Kind: ImageVolumes, Path: dir + "/none", Disk: dir}, nothing: true},
	} {
		m, err := s.Measure(t.Context(), c.place, time.Minute)
		if (err != nil) != c.fails {
			t.Errorf("%s: %v", c.place.Path, err)
		}
		if m.Bytes < c.least || m.Bytes > c.most || m.Space.Inodes != c.inodes {
			t.Errorf("%s: %+v", c.place.Path, m.Space)
		}
		if !c.fails && !c.nothing && (m.Capacity == 0 || m.Available > m.Capacity || m.FileSystem.Inodes < m.InodesFree || m.At.IsZero()) {
			t.Errorf("%s lies on %+v", c.place.Path, m)
		}
	}
}

// What does not answer costs its limit once, and later nothing, until it answers.
func TestMeasureHangs(t *testing.T) {
	dir := t.TempDir()
	answer := stuck.FileSystem(t, dir)
	s := &Scale{}
	p := Place{Kind: Volume, Path: dir, Disk: dir}
	if _, err := s.Measure(t.Context(), p, 10*time.Millisecond); !errors.Is(err, aside.ErrHangs) {
		t.Errorf("a disk that does not answer: %v", err)
	}
	if _, err := s.Measure(t.Context(), p, time.Minute); !errors.Is(err, aside.ErrHangs) {
		t.Errorf("the second time: %v", err)
	}
	answer()
}
