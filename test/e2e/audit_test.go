package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// finding is one of solopod audit.
type finding struct{ ID, Severity, Title, Subject, Advice string }

// audit runs solopod audit and returns what it found, what it could not look at, and its exit code.
func (b *box) audit(args ...string) (findings []finding, unseen []string, code int) {
	b.t.Helper()
	cmd := exec.Command(binary, append([]string{"--socket", b.path("socket"), "audit", "-o", "json"}, args...)...)
	out, err := cmd.Output()
	var report struct {
		Findings []finding
		Unseen   []string
	}
	if jsonErr := json.Unmarshal(out, &report); jsonErr != nil {
		b.t.Fatalf("%v, %v: %s", err, jsonErr, out)
	}
	for _, f := range report.Findings {
		if f.Title == "" || f.Advice == "" || !slices.Contains([]string{"info", "warning", "critical"}, f.Severity) {
			b.t.Errorf("%+v", f)
		}
	}
	if err == nil {
		return report.Findings, report.Unseen, 0
	}
	return report.Findings, report.Unseen, exitCode(err)
}

// ofMachine are checks of what a test cannot change: the kernel and the runtime of this machine, and its disk.
var ofMachine = "--ignore=runtime-holes,runtime-unknown,seccomp,security-module,swap,protected-hardlinks,protected-symlinks,bpf,state-on-disk"

// inspectedPod is a pod that asks for nothing.
func inspectedPod(name string) string {
	return strings.Replace(shell(name, forever, "securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}"),
		"    image:", "    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}\n    image:", 1)
}

// A tidy box has nothing to mend; each fault that is made is found, with its name; without the daemon the rest is looked at.
func TestAudit(t *testing.T) {
	b := prepareBox(t, embedded)
	b.link(imageArchive, "images/box.tar")
	b.start()
	b.apply("pod.yaml", inspectedPod("pod"))
	b.applyObject("secret.yaml", secret("keys", "{password: "+secretText+"}"))
	b.waitReady("pod")
	for _, dir := range []string{"root/pods", "root/claims", "state/pods"} {
		if err := os.Chmod(b.path(dir), 0o700); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if found, unseen, code := b.audit(ofMachine); code != 0 || len(unseen) != 0 || slices.ContainsFunc(found, func(f finding) bool { return f.Severity != "info" }) {
		t.Errorf("a tidy box: %d, %v, %+v", code, unseen, found)
	}
	if out, err := b.try("audit", ofMachine); err != nil || !strings.Contains(out, "info ") || strings.Contains(out, "warning ") || strings.Contains(out, "Not looked at") {
		t.Errorf("a tidy box: %v\n%s", err, out)
	}

	// Faults of files and pods.
	for path, mode := range map[string]os.FileMode{"root": 0o777, "images": 0o775, "manifests/secret.yaml": 0o644, "socket": 0o666} {
		if err := os.Chmod(b.path(path), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(b.path("images"), 0, 1000); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(b.path("manifests/pod.yaml"), 1000, 1000); err != nil {
		t.Fatal(err)
	}
	evil := "\x1b[31mevil"
	b.apply("bad.yaml", strings.Replace(shell("bad", forever, "hostPID: true\nvolumes: [{name: host, hostPath: {path: /}}, {name: run, hostPath: {path: "+b.path("state")+"}}]"),
		"    image:", "    securityContext: {privileged: true}\n    volumeMounts: [{name: host, mountPath: /host, readOnly: true}]\n    image:", 1))
	b.waitReady("bad")
	b.writeFile("manifests/"+evil+".yaml", "")
	if err := os.Chmod(b.path("manifests/"+evil+".yaml"), 0o666); err != nil {
		t.Fatal(err)
	}
	found, _, code := b.audit()
	if code != 1 {
		t.Errorf("the exit code is %d", code)
	}
	for _, want := range []struct{ id, severity, subject string }{
		{"file-writable", "critical", b.path("root") + " (mode 0777"}, {"file-writable", "critical", b.path("images") + " (mode 0775, uid 0, gid 1000)"},
		{"file-writable", "critical", "evil.yaml"},
		{"parent-writable", "critical", b.path("root")}, {"file-owner", "critical", b.path("manifests/pod.yaml")},
		{"file-open", "warning", "manifest with a Secret " + b.path("manifests/secret.yaml")}, {"socket-open", "critical", b.path("socket")},
		{"pod-privileged", "warning", "default/bad/main"}, {"pod-host-processes", "warning", "default/bad: hostPID"}, {"pod-host-root", "warning", "default/bad: /"},
		{"pod-runtime-socket", "critical", "default/bad: " + b.path("state")},
	} {
		if !slices.ContainsFunc(found, func(f finding) bool {
			return f.ID == want.id && f.Severity == want.severity && strings.Contains(f.Subject, want.subject)
		}) {
			t.Errorf("not found: %v in %+v", want, found)
		}
	}
	out, err := b.try("audit")
	if exitCode(err) != 1 || strings.Contains(out, "\x1b") || !strings.Contains(out, `\x1b[31mevil.yaml`) || !strings.Contains(out, "What to do:") {
		t.Errorf("%v\n%s", err, out)
	}
	if slices.ContainsFunc(found, func(f finding) bool { return strings.HasPrefix(f.Subject, "default/pod") && f.Severity != "info" }) {
		t.Errorf("the restricted pod: %+v", found)
	}
	if text := fmt.Sprint(found); strings.Contains(text, secretText) {
		t.Error("a Secret is told")
	}

	// Without the daemon, from a file: listeners and tokens. A FIFO in the place of a file holds nobody up.
	b.delete("bad.yaml")
	b.waitGone("bad")
	b.stop(syscall.SIGTERM)
	b.writeFile("tokens", "aaaaaaaaaaaaaaaaaaaaaaaa,eve,admin\n")
	certificates(t, b.dir)
	if err := syscall.Mkfifo(b.path("authority"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.writeFile("other.yaml", fmt.Sprintf("root: %s\nstate: %s\nmanifests: %s\nlogDir: %s\nlisten: 0.0.0.0:1\ntlsListen: 0.0.0.0:2\nauthTokenFile: %s\nclientCAFile: %s\nlogLevel: error\nsocketGroup: nogroup\n",
		b.path("root"), b.path("state"), b.path("manifests"), b.path("log"), b.path("tokens"), b.path("authority")))
	if err := os.Chmod(b.path("other.yaml"), 0o666); err != nil {
		t.Fatal(err)
	}
	found, unseen, code := b.audit("--config", b.path("other.yaml"))
	if code != 1 || !slices.ContainsFunc(unseen, func(s string) bool { return strings.HasPrefix(s, "pods: no daemon listens") }) ||
		!slices.ContainsFunc(unseen, func(s string) bool { return strings.Contains(s, "authority") && strings.Contains(s, "FIFO") }) {
		t.Errorf("without the daemon: %d, %q", code, unseen)
	}
	for _, want := range []struct{ id, subject string }{
		{"plain-port-exposed", "0.0.0.0:1"}, {"file-open", "file of tokens " + b.path("tokens")}, {"token-weak", "of user eve: 24 characters, 1 different"}, {"audit-nowhere", ""},
		{"socket-group", "nobody"}, // whose own group it is
		{"file-writable", "configuration " + b.path("other.yaml")},
	} {
		if !slices.ContainsFunc(found, func(f finding) bool { return f.ID == want.id && strings.Contains(f.Subject, want.subject) }) {
			t.Errorf("not found: %v in %+v", want, found)
		}
	}

	// What cannot be looked at.
	b.writeFile("broken.yaml", "listen: [\n")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a broken configuration":     {[]string{"audit", "--config", b.path("broken.yaml")}, "broken.yaml"},
		"none":                       {[]string{"audit", "--config", b.path("none.yaml")}, "none.yaml"},
		"a check that is none":       {[]string{"audit", "--ignore", "nothing"}, "file-writable"},
		"a form of output it is not": {[]string{"audit", "-o", "yaml"}, "-o takes json"},
		"an argument":                {[]string{"audit", "all"}, "all"},
		"a flag that is none":        {[]string{"audit", "--strict"}, "--strict"},
	} {
		if out, err := b.try(c.args...); exitCode(err) != 2 || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v, %s", name, err, out)
		}
	}
	nobody := exec.Command(binary, "audit")
	nobody.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	nobody.Dir = "/"
	if out, err := nobody.CombinedOutput(); exitCode(err) != 2 || !strings.Contains(string(out), "run the command as root") {
		t.Errorf("as a user: %v, %s", err, out)
	}
	// A daemon that takes connections and answers nobody.
	l, err := net.Listen("unix", b.path("silent"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	silent := exec.Command(binary, "--socket", b.path("silent"), "audit", "--config", b.path("other.yaml"))
	if out, err := silent.CombinedOutput(); exitCode(err) != 1 || !strings.Contains(string(out), "Not looked at:\n  pods: ") {
		t.Errorf("a daemon that does not answer: %v, %s", err, out)
	}
}
