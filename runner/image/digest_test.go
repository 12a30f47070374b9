package image

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/internal/testbox"
)

func digestOf(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

// shop is a Store with some images, whose digests consist of one digit.
func shop(t *testing.T) (*Store, *testbox.Engine) {
	t.Helper()
	e := testbox.NewEngine()
	for name, digit := range map[string]string{
		"docker.io/library/app:1": "1", "docker.io/library/app:latest": "1", "docker.io/library/app:2": "2", "docker.io/other/app:1": "3",
		"docker.io/library/pulled@" + digestOf("4"): "4", "docker.io/library/liar@" + digestOf("5"): "6",
	} {
		e.AddImage(testbox.Image{Image: engine.Image{Name: name, Digest: digestOf(digit)}})
	}
	e.AddImage(testbox.Image{Image: engine.Image{Name: "docker.io/library/half:1", Digest: digestOf("7")}, Unsynced: true})
	s := NewStore(e, t.TempDir(), Settings{Outside: true}, func([]engine.Image) {}, func(string, error) {}, func(string, time.Time, error) {})
	return s, e
}

// An image has digest names, from wherever it came. Another digest than it has is told, and so is what there is instead.
func TestGetByDigest(t *testing.T) {
	s, _ := shop(t)
	for ref, want := range map[string]struct{ name, digit, err string }{
		"app":                                      {name: "docker.io/library/app:latest", digit: "1"},
		"app@" + digestOf("1"):                     {name: "docker.io/library/app:1", digit: "1"},
		"app:1@" + digestOf("1"):                   {name: "docker.io/library/app:1", digit: "1"},
		"app:2@" + digestOf("2"):                   {name: "docker.io/library/app:2", digit: "2"},
		"app:never@" + digestOf("2"):               {name: "docker.io/library/app:2", digit: "2"}, // the tag is for people
		"docker.io/library/app:1@" + digestOf("1"): {name: "docker.io/library/app:1", digit: "1"},
		"other/app@" + digestOf("3"):               {name: "docker.io/other/app:1", digit: "3"},
		"pulled:1@" + digestOf("4"):                {name: "docker.io/library/pulled@" + digestOf("4"), digit: "4"},
		"liar@" + digestOf("6"):                    {name: "docker.io/library/liar@" + digestOf("5"), digit: "6"},
		"app:2@" + digestOf("0"):                   {err: "image docker.io/library/app@" + digestOf("0") + " is not present; there is docker.io/library/app:2 with the digest " + digestOf("2")},
		"app@" + digestOf("3"):                     {err: "there is docker.io/library/app:1 with the digest " + digestOf("1")},
		"liar@" + digestOf("5"):                    {err: "there is docker.io/library/liar@" + digestOf("5") + " with the digest " + digestOf("6")},
		"none@" + digestOf("1"):                    {err: "not found"},
		"half@" + digestOf("7"):                    {err: "import it again"},
		"half:1@" + digestOf("7"):                  {err: "import it again"},
		"app@sha256:1":                             {err: "invalid image reference"},
	} {
		got, err := s.Get(t.Context(), ref)
		switch {
		case want.err == "" && (err != nil || got.Name != want.name || got.Digest != digestOf(want.digit)):
			t.Errorf("%s: %s %s, %v", ref, got.Name, got.Digest, err)
		case want.err != "" && (err == nil || !strings.Contains(err.Error(), want.err)):
			t.Errorf("%s: %v, want %q", ref, err, want.err)
		case want.err != "" && !strings.Contains(want.err, "invalid") && !errors.Is(err, engine.ErrNotFound):
			t.Errorf("%s: %v does not mean that it is not there", ref, err)
		case strings.Contains(want.err, "there is ") != (Instead(err) != ""):
			t.Errorf("%s: instead there is %q", ref, Instead(err))
		}
	}
}

// A digest name goes with the images that it means, and they with it.
func TestRemoveByDigest(t *testing.T) {
	for ref, want := range map[string]struct {
		gone, stays []string
		err         string
	}{
		"app:1":                      {gone: []string{"app:1"}, stays: []string{"app@" + digestOf("1"), "app:latest"}},
		"app:2":                      {gone: []string{"app:2", "app@" + digestOf("2"), "app:2@" + digestOf("2")}, stays: []string{"app@" + digestOf("1")}},
		"app@" + digestOf("1"):       {gone: []string{"app:1", "app:latest", "app@" + digestOf("1")}, stays: []string{"app:2", "other/app:1"}},
		"app:1@" + digestOf("1"):     {gone: []string{"app:1"}, stays: []string{"app:latest", "app@" + digestOf("1")}},
		"pulled:x@" + digestOf("4"):  {gone: []string{"pulled@" + digestOf("4")}},
		"app:2@" + digestOf("1"):     {err: "not found", stays: []string{"app:1", "app:2"}},
		"app@" + digestOf("0"):       {err: "not found", stays: []string{"app:1"}},
		"other/app@" + digestOf("3"): {gone: []string{"other/app:1", "other/app@" + digestOf("3")}},
	} {
		s, _ := shop(t)
		for _, ref := range append(want.gone, want.stays...) { // as a pod has asked before
			if _, err := s.Get(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Remove(t.Context(), ref); want.err == "" && err != nil || want.err != "" && (err == nil || !strings.Contains(err.Error(), want.err)) {
			t.Errorf("%s: %v, want %q", ref, err, want.err)
		}
		for _, gone := range want.gone {
			if _, err := s.Get(t.Context(), gone); !errors.Is(err, engine.ErrNotFound) {
				t.Errorf("after %s: %s: %v", ref, gone, err)
			}
		}
		for _, stays := range want.stays {
			if _, err := s.Get(t.Context(), stays); err != nil {
				t.Errorf("after %s: %v", ref, err)
			}
		}
	}
}

// The name of an image in an archive is completed, and loses a digest that only the archive says of it.
func TestNameOf(t *testing.T) {
	for ref, want := range map[string]string{
		"app":                     "docker.io/library/app:latest",
		"example.org:5000/app:1":  "example.org:5000/app:1",
		"app:1@" + digestOf("1"):  "docker.io/library/app:1",
		"docker.io/library/app:1": "docker.io/library/app:1",
		"app@" + digestOf("1"):    "docker.io/library/app@" + digestOf("1"),
	} {
		if got, err := nameOf(ref); got != want || err != nil {
			t.Errorf("%s: %s, not %s: %v", ref, got, want, err)
		}
	}
	for _, ref := range []string{"not a reference", "app:1@sha256:what is a digest", "../../etc/x", "app\x1b[31m", "/app", strings.Repeat("a", 100_000)} {
		if got, err := nameOf(ref); !errors.Is(err, engine.ErrInvalidName) {
			t.Errorf("%.50q is a name: %.50s, %v", ref, got, err)
		}
	}
}

// Who cannot pull an image by its digest is told what there is.
func TestPullOfAnotherDigest(t *testing.T) {
	s, e := shop(t)
	e.Fail("Pull", errors.New("no route to host"))
	_, err := s.Pull(t.Context(), "app:2@"+digestOf("0"), nil)
	if want := "no route to host; there is docker.io/library/app:2 with the digest " + digestOf("2"); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v", err)
	}
	if got, err := s.Pull(t.Context(), "app:2@"+digestOf("2"), nil); err != nil || got.Name != "docker.io/library/app:2" {
		t.Errorf("what is there is pulled: %s, %v", got.Name, err)
	}
}
