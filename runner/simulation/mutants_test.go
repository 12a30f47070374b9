package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mutant is the core with one fault, which the simulation must find. Most are faults that Solopod has had.
type mutant struct {
	name    string
	patches []patch
	// says is what one of the violations must say.
	says string
	// first is the seed to begin with, for a fault that few seeds show.
	first uint64
}

// patch replaces a text that stands once in a file, whose path is from the root of the module.
type patch struct{ file, old, new string }

var mutants = []mutant{
	{
		name: "a worker that ends drops its questions",
		patches: []patch{{
			"runner/pod/worker.go", "for _, ch := range append(w.begun, w.settled...) {\n\t\tclose(ch)\n\t}", "",
		}},
		says: "was not answered",
	},
	{
		name: "a SIGKILL that has failed is not sent again",
		patches: []patch{
			{"runner/pod/state/container.go", "case c.Now.Killed:\n", "case c.Now.Killed && c.Now.Signalled == SIGKILL:\n\t\treturn 0\n\tcase c.Now.Killed:\n"},
			{"runner/pod/step/end.go", "case r.Problem.Failed():\n\t\tc.Now.Signals =", "case r.Problem.Failed():\n\t\tc.Now.Signalled = r.Signal\n\t\tc.Now.Signals ="},
		},
		says: "not what it should be",
	},
	{
		name:    "what was applied is overwritten by what is desired",
		patches: []patch{{"runner/pod/step/desired.go", "s.Pod, s.File = e.Pod, e.File\n", "s.Pod, s.File = e.Pod, e.File\n\tif s.Applied != nil {\n\t\ts.Applied = e.Pod\n\t}\n"}},
		says:    "is signalled before",
	},
	{
		name:    "a container whose image is missing is created again at once",
		patches: []patch{{"runner/pod/step/container.go", "s.lack(p.Lacks, spec.ImagePullPolicy)\n", ""}},
		says:    "was begun",
	},
	{
		name: "a removal waits for a pull that hangs",
		patches: []patch{
			{"runner/pod/state/questions.go", `if f.ID != "" || thing == ThingNetwork`, `if f.ID != "" || f.Kind == KindPull || thing == ThingNetwork`},
		},
		says: "is not removed",
	},
	{
		name:    "an edit does not wait for its images",
		patches: []patch{{"runner/pod/edit/edit.go", "len(r.Missing) == 0 && !r.Problem.Failed(), len", "!r.Problem.Failed(), len"}},
		says:    "is not there",
	},
	{
		name:    "an edit waits for an image that has come",
		patches: []patch{{"runner/pod/step/image.go", "delete(s.Images, ref)\n\tlookAgain(s)\n", "if s.Coming == nil {\n\t\tdelete(s.Images, ref)\n\t}\n"}},
		says:    "an edit waits",
	},
	{
		name:    "a container does not wait for the machine's address",
		patches: []patch{{"runner/pod/plan/follow.go", "reference.NeedsHostAddress(spec) && len(s.Host.IPs) == 0 || ", ""}},
		says:    `shows "" as status.hostIP`,
	},
	{
		name:    "a pod with the host's network keeps an old address",
		patches: []patch{{"runner/pod/step/host.go", "s.Host.IPs, s.Host.Resolver = e.IPs, e.Resolver\n\ts.followHost()", "s.Host.IPs, s.Host.Resolver = e.IPs, e.Resolver"}},
		says:    "not what it should be",
	},
	{
		name:    "a pod that ends has its sidecars' signals sent at once",
		patches: []patch{{"runner/pod/plan/stop.go", "s.EndsPod, s.Awaits = true, slices.Contains(o.Sidecars, s.Name)", "s.EndsPod = true"}},
		says:    "is signalled before",
	},
	{
		name:    "a sidecar that ends waits for what has started since the pod came back",
		patches: []patch{{"runner/pod/plan/stop.go", "s.Running && (s.Stopping || o.Ends)", "s.Running"}},
		says:    "waits for nobody",
		first:   24001, // one seed in some thousands shows it, and two of the first two hundred from here
	},
	{
		name:    "a container does not wait for the hook of the one before",
		patches: []patch{{"runner/pod/plan/rules.go", "return s.Unhealthy == \"\" && (!s.Hooked", "return s.Unhealthy != \"\" && (!s.Hooked"}},
		says:    "while the postStart hook of",
	},
	{
		name:    "a pod has ended while its sidecars run",
		patches: []patch{{"runner/pod/plan/phase.go", `phase != "" && !o.running() && !o.Starting`, `phase != ""`}},
		says:    "runs",
	},
	{
		name:    "what was ended for a probe has ended by its exit code",
		patches: []patch{{"runner/pod/plan/restart.go", `s.ExitCode != 0 || s.Unhealthy != ""`, `s.ExitCode != 0`}},
		says:    "was ended for a probe",
	},
	{
		name:    "a pod does not wait for another one of its name",
		patches: []patch{{"runner/pod/step/sandbox.go", "	if r.Problem.Failed() {\n		if f.Cancelled.IsZero() {\n			s.notPrepared", "	if r.Problem.Failed() && r.Problem.Reason != state.ReasonNameTaken {\n		if f.Cancelled.IsZero() {\n			s.notPrepared"}},
		says:    "is set up without its name",
	},
	{
		name:    "the deletionTimestamp moves",
		patches: []patch{{"runner/pod/step/desired.go", "if s.DeletedAt.IsZero() {", "if e.Pod == nil {"}},
		says:    "deletionTimestamp",
	},
}

// TestMutants puts faults back, one at a time, and expects each to be found.
func TestMutants(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("it compiles the core anew for each fault")
	}
	for _, m := range mutants {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			out := m.run(t)
			t.Logf("%s", firstLines(out))
			if !strings.Contains(out, "--- FAIL: TestSeeds") {
				t.Errorf("%s: the simulation does not find it", m.name)
			}
			if !strings.Contains(out, m.says) {
				t.Errorf("%s: it is found, but not as %q", m.name, m.says)
			}
		})
	}
}

func firstLines(out string) string {
	lines := strings.Split(out, "\n")
	return strings.Join(lines[:min(len(lines), 8)], "\n")
}

// run compiles the simulation with the fault, runs seeds until some fail, and returns what that prints.
func (m *mutant) run(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	binary := filepath.Join(dir, "mutant.test")
	compile := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", m.overlay(t, dir), "-o", binary, ".")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", m.name, err, out)
	}
	out, err := exec.CommandContext(ctx, binary, "-test.run", "^TestSeeds$", "-first", fmt.Sprint(max(m.first, 1)), "-seeds", "30000", "-failures", "2").CombinedOutput()
	if err != nil && ctx.Err() != nil {
		t.Fatalf("%s: %v", m.name, ctx.Err())
	}
	return string(out)
}

// overlay writes the patched files, and what tells the compiler of them (go help build, -overlay).
func (m *mutant) overlay(t *testing.T, dir string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	patched := map[string]string{}
	for _, p := range m.patches {
		path := filepath.Join(root, p.file)
		text, ok := patched[path]
		if !ok {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text = string(data)
		}
		if n := strings.Count(text, p.old); n != 1 {
			t.Fatalf("%s: %q stands %d times in %s", m.name, p.old, n, p.file)
		}
		patched[path] = strings.Replace(text, p.old, p.new, 1)
	}
	replace := map[string]string{}
	for path, text := range patched {
		file := filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(path, root), "/", "_"))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[path] = file
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
