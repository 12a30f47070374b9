package container

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
)

func declares(name string, volumes ...string) engine.Image {
	image := engine.Image{Name: name, Config: ocispec.ImageConfig{Entrypoint: []string{"/app"}, Volumes: map[string]struct{}{}}}
	for _, v := range volumes {
		image.Config.Volumes[v] = struct{}{}
	}
	return image
}

func TestVolumePaths(t *testing.T) {
	w := plan.Create{Spec: &v1.Container{VolumeMounts: []v1.VolumeMount{{MountPath: "/mounted/"}, {MountPath: "relative"}}}}
	for name, c := range map[string]struct {
		declared, want []string
	}{
		"none":                      {nil, nil},
		"sorted":                    {[]string{"/b", "/a", "/a/c"}, []string{"/a", "/a/c", "/b"}},
		"in one form":               {[]string{"data", "/data/", "/data/../data"}, []string{"/data"}},
		"mounted":                   {[]string{"/mounted", "/relative", "/mounted/below"}, []string{"/mounted/below"}},
		"Solopod's":                 {[]string{"/", "", "/dev", "/dev/shm", "/proc", "/sys", "/etc/hosts"}, nil},
		"that lead out of the root": {[]string{"../../etc/x"}, []string{"/etc/x"}},
	} {
		if got := volumePaths(w, declares("x", c.declared...), map[string]string{"/etc/hosts": "hosts"}); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
	}
}

// A volume that an image declares is a directory of the attempt's own, with what the image has there; it is there to be written to, and
// goes with the attempt.
func TestImageVolumes(t *testing.T) {
	l := newLab(t)
	l.engine.AddImage(testbox.Image{Image: declares("docker.io/library/db:latest", "/data", "/fresh", "/own"), Files: map[string]string{"data/seed": "seed", "own/hidden": "x"}})
	pod := l.pod("db", `volumes: [{name: own, emptyDir: {}}]
containers: [{name: c, image: db, volumeMounts: [{name: own, mountPath: /own}], securityContext: {readOnlyRootFilesystem: true, runAsUser: 0}}]`, state.Grant{})
	w := l.create(pod, "c", "id-0")
	var dirs []string
	for attempt := range 2 {
		w.Attempt, w.ID = attempt, []string{"id-0", "id-1"}[attempt]
		l.run(w)
		r, _ := l.engine.Request(w.ID)
		sources := map[string]string{}
		for _, m := range r.Spec.Mounts {
			sources[m.Destination] = m.Source
			if (m.Destination == "/data" || m.Destination == "/fresh") && !slices.Contains(m.Options, "rw") {
				t.Errorf("%s cannot be written to: %v", m.Destination, m.Options)
			}
		}
		if text, err := os.ReadFile(filepath.Join(sources["/data"], "seed")); err != nil || string(text) != "seed" {
			t.Errorf("attempt %d: %q, %v", attempt, text, err)
		}
		if entries, err := os.ReadDir(sources["/fresh"]); err != nil || len(entries) != 0 {
			t.Errorf("attempt %d: what the image does not have: %v, %v", attempt, entries, err)
		}
		if sources["/own"] != l.Volumes.Find(pod)["own"] || slices.Contains(dirs, sources["/data"]) {
			t.Errorf("attempt %d: %v", attempt, sources)
		}
		if err := os.WriteFile(filepath.Join(sources["/data"], "seed"), []byte("written"), 0o600); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, sources["/data"])
	}
	if got := l.Delete(t.Context(), plan.Delete{Target: plan.Target{Pod: pod, Name: "c", ID: "id-0"}, Kill: true}); got != (state.LeftoverGone{}) {
		t.Errorf("%+v", got)
	}
	_, first := os.Stat(dirs[0])
	if _, second := os.Stat(dirs[1]); !errors.Is(first, os.ErrNotExist) || second != nil {
		t.Errorf("after the end of the first attempt: %v, %v", first, second)
	}
	if got := l.Delete(t.Context(), plan.Delete{Target: w.Target, Kill: true}); got != (state.LeftoverGone{}) {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(dirs[1]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the end of the second: %v", err)
	}

	l.engine.Fail("CopyDirs", errors.New("no space left on device"))
	if made := l.Create(t.Context(), w); made.Problem.Reason != "CreateContainerConfigError" || !strings.Contains(made.Problem.Message, "no space left") || !made.LeftBehind {
		t.Errorf("a full disk: %+v", made)
	}
	l.Delete(t.Context(), plan.Delete{Target: w.Target, Kill: true})
	var many []string
	for i := range mostImageVolumes + 1 {
		many = append(many, "/v"+strings.Repeat("x", i))
	}
	l.engine.AddImage(testbox.Image{Image: declares("docker.io/library/db:latest", many...)})
	if made := l.Create(t.Context(), w); !strings.Contains(made.Problem.Message, "declares 129 volumes; a container can have 128") {
		t.Errorf("too many: %+v", made)
	}
	l.Delete(t.Context(), plan.Delete{Target: w.Target, Kill: true})
}
