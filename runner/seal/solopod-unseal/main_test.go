package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/runner/seal"
)

const secret = "hunter2-of-the-tests"

// box is a bundle, and a runtime that is a script.
type box struct {
	t       *testing.T
	dir     string
	store   *seal.Store
	key     *seal.Key
	command string
}

// newBox makes a runtime that runs script with its arguments. $config is what it reads of its spec.
func newBox(t *testing.T, script string) *box {
	t.Helper()
	b := &box{t: t, dir: t.TempDir()}
	program := filepath.Join(b.dir, "solopod-unseal")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b.store = seal.NewStore(b.path("seal"), program)
	t.Cleanup(func() {
		if err := b.store.Drop(); err != nil {
			t.Error(err)
		}
	})
	b.write("runtime", "#!/bin/sh\n"+script)
	if err := os.Chmod(b.path("runtime"), 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.key, err = b.store.Key(); err == nil {
		b.command, err = b.store.Runtime(b.path("runtime"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *box) path(name string) string { return filepath.Join(b.dir, name) }

func (b *box) write(name, text string) {
	b.t.Helper()
	err := os.MkdirAll(filepath.Dir(b.path(name)), 0o700)
	if err == nil {
		err = os.WriteFile(b.path(name), []byte(text), 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) read(name string) string {
	b.t.Helper()
	text, err := os.ReadFile(b.path(name))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// process is one with a secret, sealed.
func (b *box) process() string {
	b.t.Helper()
	env, err := b.key.Seal(seal.Process{Env: []string{"A=" + secret}, Args: []string{"echo", secret}}, []string{"A=shown"})
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"env": env, "args": []string{"echo", "$(A)"}})
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

func (b *box) run(args ...string) (out string, code int) {
	b.t.Helper()
	text, err := exec.Command(b.command, args...).CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return string(text), exit.ExitCode()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text), 0
}

// nowhere: the secret stands in no file.
func (b *box) nowhere() {
	b.t.Helper()
	out, err := exec.Command("grep", "-rl", secret, b.dir).CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 { // 1: nothing was found
		b.t.Errorf("the secret stands in %s (%v)", out, err)
	}
}

func global(b *box) []string {
	return []string{"--root", b.path("state"), "--log", b.path("bundle/log.json"), "--log-format", "json", "--systemd-cgroup"}
}

func TestCreate(t *testing.T) {
	// As crun it keeps a copy of the spec. What it has read is shown to the test alone.
	b := newBox(t, `cd "${10}" && mkdir -p ../state/id && cp config.json ../state/id/config.json && cat config.json && echo "got $*" && exit 3`)
	config := `{"process":` + b.process() + `}`
	b.write("bundle/config.json", config)
	args := append(global(b), "create", "--bundle", b.path("bundle"), "--pid-file", "pid", "id")
	out, code := b.run(args...)
	if code != 3 || !strings.Contains(out, `"A=`+secret+`"`) || !strings.Contains(out, `["echo","`+secret+`"]`) || strings.Contains(out, "shown") ||
		!strings.Contains(out, "got "+strings.Join(args, " ")) {
		t.Errorf("%d: %s", code, out)
	}
	if b.read("bundle/config.json") != config || b.read("state/id/config.json") != config {
		t.Error("the specs are not as they were")
	}
	b.nowhere()

	b.write("bundle/config.json", `{"process":{"env":["A=1"]}}`) // nothing is sealed
	if out, code := b.run(args...); code != 3 || !strings.Contains(out, "A=1") {
		t.Errorf("%d: %s", code, out)
	}
}

func TestExec(t *testing.T) {
	b := newBox(t, `while [ "$1" != --process ]; do shift; done; cat "$2"; exit 4`)
	b.write("process", b.process())
	args := append(global(b), "exec", "--process", b.path("process"), "--detach", "id")
	out, code := b.run(args...)
	if code != 4 || !strings.Contains(out, `"A=`+secret+`"`) || !strings.Contains(out, `["echo","$(A)"]`) || strings.Contains(out, "shown") {
		t.Errorf("%d: %s", code, out)
	}
	b.nowhere()
	b.write("process", `{"env":["A=1"]}`)
	if out, code := b.run(args...); code != 4 || !strings.Contains(out, "A=1") {
		t.Errorf("nothing is sealed: %d: %s", code, out)
	}
}

// All else is the runtime's, byte for byte.
func TestOthers(t *testing.T) {
	b := newBox(t, `printf '<%s>' "$@"; exit 5`)
	for _, args := range [][]string{
		{"--root", "create", "kill", "id", "9"}, {"--log", "x", "delete", "--force", "id"}, {"--version"}, {}, {"--debug"},
		{"exec", "id", "sh"}, {"state", "exec"}, {"--root=create", "start", "id"}, {"start", ""},
	} {
		want := ""
		for _, a := range args {
			want += "<" + a + ">"
		}
		if len(args) == 0 {
			want = "<>" // printf's own
		}
		if out, code := b.run(args...); code != 5 || out != want {
			t.Errorf("%q: %d: %s", args, code, out)
		}
	}
}

// Without the key nothing is made, and the shim is told why.
func TestNoKey(t *testing.T) {
	b := newBox(t, `echo ran`)
	b.write("bundle/config.json", `{"process":`+b.process()+`}`)
	b.write("process", b.process())
	if err := os.Remove(b.path("seal/key")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"create", "--bundle", b.path("bundle"), "id"}, {"exec", "--process", b.path("process"), "id"}} {
		b.write("bundle/log.json", "")
		out, code := b.run(append(global(b), args...)...)
		var told struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(b.read("bundle/log.json")), &told); err != nil || told.Level != "error" || !strings.Contains(told.Msg, "the key") {
			t.Errorf("the log: %+v, %v", told, err)
		}
		if code != 1 || strings.Contains(out, "ran") {
			t.Errorf("%d: %s", code, out)
		}
	}
}

// However it is killed, nothing that is secret is left, and the runtime ends too.
func TestKilled(t *testing.T) {
	b := newBox(t, `cd "${10}" && cat config.json >/dev/null && echo $$ && exec sleep 1000`)
	b.write("bundle/config.json", `{"process":`+b.process()+`}`)
	cmd := exec.Command(b.command, append(global(b), "create", "--bundle", b.path("bundle"), "id")...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	b.nowhere() // while it runs, too
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() //nolint:errcheck // it was killed
	for deadline := time.Now().Add(time.Minute); ; {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !bytes.Contains(text, []byte("sleep")) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the runtime runs on")
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // a poll with a deadline
	}
	b.nowhere()
}
