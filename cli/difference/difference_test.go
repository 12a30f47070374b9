package difference

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/api/desired"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
	"github.com/solopod/solopod/runner/pod/state"
)

func objects(t *testing.T, text string) desired.Objects {
	t.Helper()
	if text == "" {
		return desired.Objects{}
	}
	contents, problems := decode.Decode("f.yaml", []byte(text), decode.Options{})
	if len(problems.Errors()) > 0 {
		t.Fatal(problems.Error())
	}
	set := manifests.NewSet(nil)
	set.Put("f.yaml", contents, problems, time.Time{})
	s := set.Snapshot(time.Time{})
	return desired.Of(&s, "a salt of a test", nil)
}

const (
	podOf     = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s, labels: {a: %q}}\nspec:\n  volumes: [{name: v, emptyDir: {medium: %q}}]\n  containers: [{name: one, image: %s}, {name: two, image: other}]\n---\n"
	webOf     = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec:\n  replicas: %d\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}, annotations: {note: %q}}\n    spec: {containers: [{name: c, image: i}]}\n---\n"
	secretOf  = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {same: hunter1, %s: %s}\n---\n"
	settingOf = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: %q}\n---\n"
)

// What differs is shown, and what begins anew is what the daemon would replace.
func TestOf(t *testing.T) {
	pod := func(label, medium, image string) string { return fmt.Sprintf(podOf, "p", label, medium, image) }
	web := func(n int, note string) string { return fmt.Sprintf(webOf, n, note) }
	for name, c := range map[string]struct {
		before, after string
		all           bool
		title         string
		effects       string
		lines, absent []string
	}{
		"the same":           {before: pod("x", "", "i"), after: pod("x", "", "i")},
		"a label":            {before: pod("x", "", "i"), after: pod("y", "", "i"), title: "pod/p", effects: "no container begins anew", lines: []string{"-    a: x", "+    a: \"y\""}},
		"an image":           {before: pod("x", "", "i"), after: pod("x", "", "j"), title: "pod/p", effects: "container one of pod p begins anew", lines: []string{"-  - image: i", "+  - image: j"}},
		"a volume":           {before: pod("x", "", "i"), after: pod("x", "Memory", "j"), title: "pod/p", effects: "pod p begins anew"},
		"another pod":        {before: pod("x", "", "i"), after: fmt.Sprintf(podOf, "q", "x", "", "i"), title: "pod/q", effects: "pod q begins", lines: []string{"@@ -0,0 +1,", "+kind: Pod"}},
		"all files":          {before: pod("x", "", "i"), after: "", all: true, title: "pod/p", effects: "pod p ends", lines: []string{"-kind: Pod"}},
		"some files":         {before: pod("x", "", "i"), after: ""},
		"a template's note":  {before: web(2, "x"), after: web(2, "y"), title: "deployment/web (shop)", effects: "container c of pod web-0 begins anew; container c of pod web-1 begins anew", lines: []string{"-        note: x"}},
		"replicas":           {before: web(2, "x"), after: web(1, "x"), title: "deployment/web (shop)", effects: "pod web-1 ends", lines: []string{"-  replicas: 2", "+  replicas: 1"}},
		"a setting":          {before: fmt.Sprintf(settingOf, "1"), after: fmt.Sprintf(settingOf, "2"), title: "configmap/m", lines: []string{`-  a: "1"`, `+  a: "2"`}},
		"a secret":           {before: fmt.Sprintf(secretOf, "k", "hunter2"), after: fmt.Sprintf(secretOf, "k", "hunter3"), title: "secret/s", lines: []string{"-  k: '*** (before)'", "+  k: '*** (after)'", "   same: '***'"}, absent: []string{"hunter", "aHVudGVy"}},
		"a key of a secret":  {before: fmt.Sprintf(secretOf, "k", "hunter2"), after: fmt.Sprintf(secretOf, "l", "hunter2"), title: "secret/s", lines: []string{"-  k: '***'", "+  l: '***'"}, absent: []string{"hunter"}},
		"a secret as it was": {before: fmt.Sprintf(secretOf, "k", "hunter2"), after: fmt.Sprintf(secretOf, "k", "hunter2")},
	} {
		got, err := Of(objects(t, c.before), objects(t, c.after), c.all)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.title == "" {
			if len(got) != 0 {
				t.Errorf("%s: %+v", name, got)
			}
			continue
		}
		if len(got) != 1 || got[0].Title() != c.title || strings.Join(got[0].Effects, "; ") != c.effects {
			t.Errorf("%s: got %+v, want %s: %s", name, got, c.title, c.effects)
			continue
		}
		for _, line := range c.lines {
			if !strings.Contains("\n"+got[0].Text, "\n"+line) {
				t.Errorf("%s: no line %q in\n%s", name, line, got[0].Text)
			}
		}
		for _, word := range c.absent {
			if strings.Contains(got[0].Text, word) {
				t.Errorf("%s: %q stands in\n%s", name, word, got[0].Text)
			}
		}
	}
}

// With other salts nothing is the same, and no digest tells of a value that two keys share.
func TestDigests(t *testing.T) {
	contents, _ := decode.Decode("f", []byte(strings.ReplaceAll(fmt.Sprintf(secretOf, "k", "hunter1"), "---\n", "")), decode.Options{})
	set := manifests.NewSet(nil)
	set.Put("f", contents, nil, time.Time{})
	s := set.Snapshot(time.Time{})
	one, two := desired.Of(&s, "one", nil).Secrets[0].Data, desired.Of(&s, "two", nil).Secrets[0].Data
	if string(one["k"]) == string(two["k"]) || string(one["k"]) == string(one["same"]) || len(one["k"]) != 64 {
		t.Errorf("%s %s", one, two)
	}
	if got := string(s.Secrets["default/s"].Data["k"]); got != "hunter1" {
		t.Errorf("the state itself has %q", got)
	}
}

// An edit that waits differs from what runs, and it is said what it lacks; taken back, nothing differs. Pods of a Deployment wait unseen in
// its text.
func TestWaiting(t *testing.T) {
	pod := func(image string) string { return fmt.Sprintf(podOf, "p", "x", "", image) }
	web := func(note string) string { return fmt.Sprintf(webOf, 1, note) }
	for name, c := range map[string]struct{ runs, manifest, wanted, effects string }{
		"a pod":             {pod("i"), pod("j"), pod("j"), "container one of pod p begins anew; the edit of pod p waits, and what runs goes on: image j is not present"},
		"a pod, taken back": {pod("i"), pod("j"), pod("i"), ""},
		"a pod, once more":  {pod("i"), pod("j"), pod("k"), "container one of pod p begins anew"},
		"a Deployment":      {web("x"), web("y"), web("y"), "the edit of pod web-0 waits, and what runs goes on: image j is not present"},
	} {
		runs, manifest := objects(t, c.runs), objects(t, c.manifest)
		told := manifest.Pods[0]
		runs.Deployments = manifest.Deployments
		runs.Waiting = []desired.Waiting{{UID: told.UID, Manifest: state.ManifestRevision(told), Lacks: "image j is not present"}}
		got, err := Of(runs, objects(t, c.wanted), false)
		var effects []string
		for _, d := range got {
			effects = append(effects, d.Effects...)
		}
		if err != nil || strings.Join(effects, "; ") != c.effects || len(got) > 0 != (c.effects != "") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
