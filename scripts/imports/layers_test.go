package imports

import (
	"slices"
	"strings"
	"testing"
)

// layers, from the top down: a package imports only what lies below it. "x/" stands for what lies below x. runner/foreign is the
// lowest: whoever opens a file needs it, and it knows nothing of the house.
var layers = []string{
	"cli", "convert", "convert/", "api", "api/", "inspection", "doctor", "audit", "bundle/apply", "bundle", "bundle/", "workload", "workload/", "services", "services/", "monitor", "monitor/", "oom", "oom/", "runner", "runner/", "manifests/", "manifests", "runner/foreign",
}

func layer(name string) int {
	for i, l := range layers {
		if name == l {
			return i
		}
	}
	for i := len(layers) - 1; i >= 0; i-- {
		if l := layers[i]; strings.HasSuffix(l, "/") && strings.HasPrefix(name, l) {
			return i
		}
	}
	return -1
}

// upwards finds what a package imports that lies above it.
func upwards(name string, imports []string) (out []string) {
	for _, i := range imports {
		if l, own := layer(i), layer(name); own >= 0 && l >= 0 && l < own {
			out = append(out, i)
		}
	}
	return out
}

func TestImportsRunDownwards(t *testing.T) {
	for name, p := range ours(t) {
		for _, i := range upwards(name, p.ourImports()) {
			t.Errorf("%s imports %s, which lies above it: declare a small interface in %[1]s and have cli hand it in", name, i)
		}
	}
	if len(upwards("runner/pod", []string{"runner", "manifests"})) != 1 || len(upwards("manifests", []string{"cli"})) != 1 ||
		len(upwards("manifests/source", []string{"runner/foreign", "runner/durable"})) != 1 || len(upwards("runner/foreign", []string{"manifests"})) != 1 {
		t.Error("the rule finds nothing")
	}
}

// heart says what the rooms of the heart, and those of the desired state, may import of ours, whole. What is not listed here is a
// room (see TestRooms), or stands above.
var heart = map[string][]string{
	"manifests":                    nil,
	"manifests/amount":             nil,
	"manifests/rollback":           nil,
	"manifests/spelling":           nil,
	"manifests/validate":           {"manifests", "manifests/amount", "manifests/rollback", "manifests/spelling", "manifests/validate/findings", "manifests/validate/metadata", "manifests/validate/placement"},
	"manifests/validate/findings":  {"manifests", "manifests/spelling"},
	"manifests/validate/metadata":  {"manifests/validate/findings"},
	"manifests/validate/network":   {"manifests", "manifests/validate/findings", "manifests/validate/metadata"},
	"manifests/validate/placement": {"manifests/validate/findings", "manifests/validate/metadata"},
	"manifests/policy":             {"manifests", "manifests/spelling"},
	"manifests/kinds":              {"manifests/spelling"},
	"manifests/habits":             nil,
	"manifests/decode/extent":      nil,
	"manifests/decode":             {"manifests", "manifests/decode/extent", "manifests/habits", "manifests/kinds", "manifests/spelling", "manifests/validate", "manifests/validate/network"},
	"manifests/signature":          nil,
	"manifests/source/watch":       {"runner/foreign"}, // it opens what others have put into a directory
	"manifests/source":             {"manifests", "manifests/decode", "manifests/signature", "manifests/source/watch", "runner/foreign"},

	"runner/reference":   {"manifests", "manifests/amount"},
	"runner/pod/signals": nil,
	"runner/pod/backoff": nil,
	"runner/pod/state":   {"manifests", "runner/reference", "runner/pod/backoff", "runner/pod/signals"},
	"runner/pod/kills":   {"manifests", "runner/pod/state"},
	"runner/pod/edit":    {"manifests", "runner/reference", "runner/pod/state"},
	"runner/pod/step":    {"manifests", "runner/pod/edit", "runner/pod/kills", "runner/pod/signals", "runner/pod/state"},
	"runner/pod/plan":    {"manifests", "manifests/amount", "runner/reference", "runner/pod/edit", "runner/pod/state"},
	"runner/pod/status":  {"manifests", "runner/reference", "runner/pod/signals", "runner/pod/state", "runner/pod/plan"},
	"runner/pod":         {"manifests", "runner/pod/state", "runner/pod/step", "runner/pod/plan", "runner/pod/status"},
	"runner/owner":       {"manifests", "runner/reference", "runner/pod", "runner/pod/state"},
	"runner/simulation":  {"manifests", "runner/reference", "runner/pod", "runner/pod/state", "runner/pod/plan", "runner/pod/status", "runner/owner"},
}

// beyond finds what a package of the heart imports that it may not.
func beyond(name string, imports []string) (out []string) {
	for _, i := range imports {
		if allowed, ok := heart[name]; ok && !slices.Contains(allowed, i) {
			out = append(out, i)
		}
	}
	return out
}

func TestHeart(t *testing.T) {
	all := ours(t)
	for name := range heart {
		p, ok := all[name]
		if !ok {
			t.Errorf("%s does not exist: mend the table", name)
		}
		if name == "runner/simulation" { // its code are tests
			p.Imports = append(slices.Clone(p.Imports), p.TestImports...)
		}
		for _, i := range beyond(name, p.ourImports()) {
			t.Errorf("%s imports %s: the heart decides and does nothing; make it an effect (runner/effects.go), or an event", name, i)
		}
	}
	for name := range all {
		if _, ok := heart[name]; !ok && (strings.HasPrefix(name, "manifests/") || strings.HasPrefix(name, "runner/pod/")) {
			t.Errorf("%s is new: say in the table what it may import", name)
		}
	}
	if len(beyond("runner/pod", []string{"runner/engine"})) != 1 {
		t.Error("the rule finds nothing")
	}
}

// above says who alone may import a package; with no names nobody may.
var above = map[string][]string{
	"runner/pod":        {"runner/owner", "runner", "runner/simulation"},
	"runner/pod/status": {"runner/pod", "runner/simulation"},
	"runner/owner":      {"runner", "runner/simulation"},
	"runner/simulation": {},
	"runner/sandbox":    {"runner", "runner/container"},
	"runner/container":  {"runner"},
	"runner/keep/wire":  {"runner/keep", "runner/keep/solopod-keep", "runner/names/solopod-names"},

	"runner/engine/sealing": {"runner/engine", "runner/engine/embedded"},
	"runner/engine/idmap":   {"runner/engine"},
	"cli":                   {"", "scripts/man"},

	"internal/shop":           {}, // for tests
	"internal/stuck":          {}, // for tests
	"internal/sctp":           {},
	"runner/internal/testbox": {}, // for tests
}

func mayImport(name, what string) bool {
	who, ok := above[what]
	return !ok || slices.Contains(who, name)
}

func TestWhoMayImport(t *testing.T) {
	for name, p := range ours(t) {
		for _, i := range p.ourImports() {
			if !mayImport(name, i) {
				t.Errorf("%s imports %s, which only %q may: it speaks with the pods through runner", name, i, above[i])
			}
		}
	}
	if mayImport("monitor", "runner/owner") || mayImport("runner", "runner/simulation") {
		t.Error("the rule finds nothing")
	}
}

// effects are the rooms that do pods' effects: they share the plan's words with the heart and know nothing else of it.
var effects = []string{"runner/sandbox", "runner/container"}

// ofPods are what the rooms know nothing of: they serve whoever asks, and could be used without pods' workers.
var ofPods = []string{"runner", "runner/owner", "runner/pod", "runner/pod/state", "runner/pod/step", "runner/pod/plan", "runner/pod/status", "runner/sandbox", "runner/container", "runner/session"}

// isRoom: a package below runner that is neither of the heart nor does effects.
func isRoom(name string) bool {
	_, ofHeart := heart[name]
	return strings.HasPrefix(name, "runner/") && !ofHeart && !slices.Contains(effects, name)
}

func TestRooms(t *testing.T) {
	rooms := 0
	for name, p := range ours(t) {
		if !isRoom(name) {
			continue
		}
		rooms++
		for _, i := range p.ourImports() {
			if slices.Contains(ofPods, i) {
				t.Errorf("%s imports %s: a room knows nothing of pods' workers and effects; have what it needs handed in", name, i)
			}
		}
	}
	if rooms < 20 || !isRoom("runner/session") || isRoom("runner/pod") {
		t.Errorf("the rule looks at %d rooms", rooms)
	}
}

// containerd finds imports of containerd's client, its services and its API. Its error kinds and log are modules of their own;
// contrib holds tables (the default seccomp profile), no client.
func containerd(imports []string) (out []string) {
	for _, i := range imports {
		if strings.HasPrefix(i, "github.com/containerd/containerd/") && !strings.Contains(i, "/contrib/") {
			out = append(out, i)
		}
	}
	return out
}

func TestOnlyTheEngineKnowsContainerd(t *testing.T) {
	for name, p := range ours(t) {
		if name == "runner/engine" || strings.HasPrefix(name, "runner/engine/") {
			continue
		}
		for _, i := range containerd(p.Imports) {
			t.Errorf("%s imports %s: give runner/engine, or a package below it, a method for what is needed", name, i)
		}
	}
	if len(containerd([]string{"github.com/containerd/containerd/v2/client", "github.com/containerd/containerd/api/events"})) != 2 {
		t.Error("the rule finds nothing")
	}
}
