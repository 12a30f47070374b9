package e2e

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// What a machine lacks is told by the daemon, once, and by hand without one.
func TestDoctor(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	flags := []string{"--root", b.path("root"), "--state", b.path("state"), "--log-dir", b.path("log"), "--cni-conf-dir", b.path("cni")}
	ask := func(more ...string) (string, int) {
		t.Helper()
		out, err := b.command(nil, append(append([]string{"doctor"}, flags...), more...)...).CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if exit != nil {
			return string(out), exit.ExitCode()
		}
		return string(out), 0
	}
	out, code := ask()
	if code != 0 || !strings.Contains(out, "All is there that pods need.") || !strings.Contains(out, "\nok        overlayfs     works below "+b.path("root")+"\n") {
		t.Errorf("%d: %s", code, out)
	}
	lost := b.path("bin/no-runc")
	if out, code = ask("--runtime", lost); code != 1 || !strings.Contains(out, "missing   runtime       there is no "+lost+", and no container can start\n") ||
		!strings.Contains(out, "1 missing.\nWhat to do:\n  runtime: install it (apt-get install runc), or name another with --runtime\n") {
		t.Errorf("%d: %s", code, out)
	}
	b.writeFile("cni/10-lan.conflist", `{"cniVersion": "1.0.0", "name": "lan", "plugins": [{"type": "no-such-plugin"}]}`)
	out, code = ask("-o", "json")
	var said struct {
		Results []struct{ Check, Verdict, Found, Advice string }
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil || code != 1 {
		t.Fatalf("%d, %v: %s", code, err, out)
	}
	for _, r := range said.Results {
		if bad := r.Check == "network"; bad != (r.Verdict == "missing") || bad && !strings.Contains(r.Found, "no-such-plugin") {
			t.Errorf("%+v", r)
		}
	}
	for _, wrong := range [][]string{{"all"}, {"-o", "yaml"}, {"--listen", "7"}, {"--no-such-flag"}} {
		if out, code := ask(wrong...); code != 2 || !strings.HasPrefix(out, "error: ") {
			t.Errorf("%q: %d: %s", wrong, code, out)
		}
	}
	b.flags = append(b.flags, "--runtime", lost)
	b.start()
	b.eventOf("RequirementMissing", "runtime: there is no "+lost+", and no container can start; install it")
	b.eventOf("RequirementMissing", "network: the CNI network lan names plugins that are nowhere")
}
