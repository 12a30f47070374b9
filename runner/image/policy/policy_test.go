package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/remote"
	"github.com/solopod/solopod/runner/event"
	"github.com/solopod/solopod/runner/image"
)

const name = "registry.example/app:1"

// shop is a Store with one name, and a registry that may have another image of it.
type shop struct {
	present, registry string // digests; empty: none
	err               error  // of the registry
	asked             []string
}

func (s *shop) Get(context.Context, string) (engine.Image, error) {
	if s.present == "" {
		return engine.Image{}, engine.ErrNotFound
	}
	return engine.Image{Name: name, Digest: s.present}, nil
}

func (s *shop) ask(what string) error {
	s.asked = append(s.asked, what)
	return s.err
}

func (s *shop) Pull(ctx context.Context, ref string, _ image.Credentials) (engine.Image, error) {
	if s.present == "" {
		if err := s.ask("pull"); err != nil {
			return engine.Image{}, err
		}
		s.present = s.registry
	}
	return s.Get(ctx, ref)
}

func (s *shop) Update(ctx context.Context, ref string, _ image.Credentials) (engine.Image, error) {
	if err := s.ask("update"); err != nil {
		return engine.Image{}, err
	}
	s.present = s.registry
	return s.Get(ctx, ref)
}

func (s *shop) Newest(_ context.Context, _ string, present engine.Image, _ image.Credentials) (bool, error) {
	return present.Digest == s.registry, s.ask("newest")
}

func (s *shop) is(t *testing.T, want string) {
	t.Helper()
	if got := strings.Join(s.asked, " "); got != want {
		t.Errorf("asked for: %q, want %q", got, want)
	}
	s.asked = nil
}

func pod(policy v1.PullPolicy) *v1.Pod {
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default", UID: "u"}, Spec: v1.PodSpec{
		Containers: []v1.Container{{Name: "main", Image: name, ImagePullPolicy: policy}},
	}}
}

var (
	errOffline = fmt.Errorf("cannot ask: %w", remote.ErrStalled)
	has        = Known{Had: []string{name}}
	hasNot     = Known{Had: []string{"registry.example/other:1"}}
)

func TestCurrent(t *testing.T) {
	denied := errors.New("403")
	for what, test := range map[string]struct {
		offline  string
		registry string
		err      error
		known    Known
		pull     bool
		event    bool
	}{
		"the same":                        {"", "a", nil, hasNot, false, false},
		"another":                         {Present, "b", nil, has, true, false},
		"offline, has run":                {"", "", errOffline, has, false, true},
		"offline, has not run":            {"", "", errOffline, hasNot, true, false},
		"offline, for all":                {Present, "", errOffline, hasNot, false, true},
		"offline, for none":               {Refuse, "", errOffline, has, true, false},
		"the registry says no, has run":   {Present, "", denied, has, true, false},
		"busy, has run":                   {Ran, "", remote.ErrBusy, has, false, true},
		"offline, has run, nothing known": {Ran, "", errOffline, Known{}, true, false},
	} {
		t.Run(what, func(t *testing.T) {
			s := &shop{present: "a", registry: test.registry, err: test.err}
			events := event.New("node", "", "")
			i := New(s, events, test.offline)
			err := i.Current(t.Context(), pod(v1.PullAlways), name, engine.Image{Name: name, Digest: "a"}, test.known)
			if errors.Is(err, engine.ErrNotFound) != test.pull || err != nil && !test.pull {
				t.Errorf("%v", err)
			}
			if told := len(events.List()) > 0; told != test.event {
				t.Errorf("told: %v", events.List())
			}
		})
	}
}

// That a registry does not answer is told once until it does, and for a while it is not asked again by whom it does not stop.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{present: "a", registry: "a", err: errOffline}
		events := event.New("node", "", "")
		i := New(s, events, Ran)
		p, present := pod(v1.PullAlways), engine.Image{Name: name, Digest: "a"}
		ask := func(known Known) error { return i.Current(t.Context(), p, name, present, known) }
		for range 3 {
			if err := ask(has); err != nil {
				t.Error(err)
			}
		}
		s.is(t, "newest")
		if err := ask(hasNot); !errors.Is(err, remote.ErrStalled) {
			t.Error(err)
		}
		s.is(t, "newest")
		<-time.After(silence)
		if err := ask(has); err != nil {
			t.Error(err)
		}
		s.is(t, "newest")
		if n := count(events); n != 1 {
			t.Errorf("told %d times", n)
		}
		<-time.After(silence)
		s.err = nil
		if err := ask(has); err != nil {
			t.Error(err)
		}
		s.err = errOffline
		if err := ask(has); err != nil {
			t.Error(err)
		}
		s.is(t, "newest newest")
		if n := count(events); n != 2 {
			t.Errorf("told %d times", n)
		}
	})
}

func count(events *event.Log) (n int) {
	for _, e := range events.List() {
		if e.Reason == "ImageNotChecked" {
			n += int(max(e.Count, 1))
		}
	}
	return n
}

func TestPull(t *testing.T) {
	full := errors.New("no space left on device")
	for what, test := range map[string]struct {
		policy           v1.PullPolicy
		present, offline string
		err              error
		known            Known
		asked, advice    string
		is               string
	}{
		"Always, present":                    {v1.PullAlways, "a", "", nil, hasNot, "update", "", "b"},
		"Always, absent":                     {v1.PullAlways, "", "", nil, hasNot, "update", "", "b"},
		"IfNotPresent, present":              {v1.PullIfNotPresent, "a", "", nil, hasNot, "", "", "a"},
		"IfNotPresent, absent":               {v1.PullIfNotPresent, "", "", nil, hasNot, "pull", "", "b"},
		"IfNotPresent, absent, offline":      {v1.PullIfNotPresent, "", Present, errOffline, has, "pull", "solopod images import FILE", ""},
		"Always, absent, offline":            {v1.PullAlways, "", Present, errOffline, has, "update", "solopod images import FILE", ""},
		"Always, present, offline, has run":  {v1.PullAlways, "a", "", errOffline, has, "update", "", "a"},
		"Always, present, offline, has not":  {v1.PullAlways, "a", "", errOffline, hasNot, "update", "imagePullOffline: present", "a"},
		"Always, present, another fault":     {v1.PullAlways, "a", Present, full, has, "update", "imagePullPolicy: IfNotPresent", "a"},
		"Always, present, offline, for none": {v1.PullAlways, "a", Refuse, errOffline, has, "update", "imagePullOffline: present", "a"},
	} {
		t.Run(what, func(t *testing.T) {
			s := &shop{present: test.present, registry: "b", err: test.err}
			i := New(s, event.New("node", "", ""), test.offline)
			err := i.Pull(t.Context(), pod(test.policy), name, test.known)
			s.is(t, test.asked)
			if (err != nil) != (test.advice != "") || err != nil && !strings.Contains(err.Error(), test.advice) || s.present != test.is {
				t.Errorf("%v, present: %q", err, s.present)
			}
			if test.policy != v1.PullAlways || err != nil {
				return
			}
			// The start that follows asks for nothing, the next one does, unless the registry is known to be silent.
			if err := i.Current(t.Context(), pod(test.policy), name, engine.Image{Name: name, Digest: s.present}, test.known); err != nil {
				t.Error(err)
			}
			s.is(t, "")
			if err := i.Current(t.Context(), pod(test.policy), name, engine.Image{Name: name, Digest: s.present}, test.known); err != nil {
				t.Error(err)
			}
			s.is(t, map[bool]string{true: "newest"}[test.err == nil])
		})
	}
}

// An edit is looked at as what follows it: what it would have to pull is missing, and nothing is stopped before it was.
func TestForeseen(t *testing.T) {
	s := &shop{present: "a", registry: "b"}
	i := New(s, event.New("node", "", ""), Ran)
	missing, err := i.Foreseen(t.Context(), pod(v1.PullAlways), []string{name}, has)
	if err != nil || len(missing) != 1 || missing[0].Ref != name {
		t.Errorf("another: %v, %v", missing, err)
	}
	missing, err = i.Foreseen(t.Context(), pod(v1.PullIfNotPresent), []string{name}, has)
	if err != nil || len(missing) != 0 {
		t.Errorf("IfNotPresent: %v, %v", missing, err)
	}
	s.err = errOffline
	missing, err = i.Foreseen(t.Context(), pod(v1.PullAlways), []string{name}, has)
	if err != nil || len(missing) != 0 {
		t.Errorf("offline: %v, %v", missing, err)
	}
}
