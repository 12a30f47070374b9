package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
)

const (
	roleText    = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: reader}\nrules: [{apiGroups: [\"\"], resources: [pods], verbs: [get]}]\n"
	ingressText = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: front}\nspec: {rules: []}\n"
	widgetText  = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n"
)

// Objects that only a cluster serves are left out beside a pod that runs, and told of; a setting has them refused.
func TestClusterKinds(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.link(imageArchive, "images/box.tar")
	b.configure("unknownFields: strict\n")
	b.start()
	b.apply("mixed.yaml", roleText+"---\n"+ingressText+"---\n"+shell("beside", forever, ""))
	b.apply("only.yaml", widgetText)
	b.apply("slip.yaml", strings.Replace(shell("slip", forever, ""), "kind: Pod", "kind: Pode", 1))
	b.apply("guard.yaml", "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: g}\nspec: {}\n---\n"+shell("guarded", forever, ""))
	b.waitReady("beside")
	for name, state := range map[string]string{"mixed.yaml": "Active", "only.yaml": "Active", "slip.yaml": "Invalid", "guard.yaml": "Invalid"} {
		b.eventually(name+" is "+state, func() error { return b.fileIs(name, state) })
	}
	if b.pod(v1.NamespaceDefault, "guarded") != nil {
		t.Error("a pod runs without what should guard it")
	}
	const told = "only.yaml:2:7: warning: kind: Widget w is not used: it is a custom resource"
	out := b.run("get", "manifests")
	for _, part := range []string{told, "mixed.yaml:2:7: warning: kind: ClusterRole reader is not used: there is no API server to talk to (and 1 more)", `did you mean "Pod"?`, "would open doors"} {
		if !strings.Contains(out, part) {
			t.Errorf("get manifests does not say %q:\n%s", part, out)
		}
	}
	if log := b.daemonOutput(); !strings.Contains(log, "Ingress front is not used: it needs an ingress controller") {
		t.Error("the log does not say what was left out")
	}
	if err := b.events("KindWithoutEffect"); err != nil {
		t.Error(err)
	}
	if out := b.run("check", b.path("manifests/mixed.yaml"), b.path("manifests/only.yaml")); !strings.Contains(out, told) {
		t.Errorf("check says %q", out)
	}
	b.writeFile("config.yaml", "clusterKinds: refuse\n")
	if out, err := b.try("check", "--config", b.path("config.yaml"), b.path("manifests/only.yaml")); err == nil || !strings.Contains(out, "Widget w is not for Solopod, and clusterKinds: refuse does not leave it out") {
		t.Errorf("check says %q, %v", out, err)
	}
	before := b.waitReady("beside")
	b.stop(syscall.SIGTERM)
	b.start()
	for _, name := range []string{"mixed.yaml", "only.yaml"} {
		b.eventually(name+" is refused", func() error { return b.fileIs(name, "Invalid") })
	}
	if now := b.waitReady("beside"); status(now, "main").ContainerID != status(before, "main").ContainerID {
		t.Error("the pod that ran was replaced")
	}
}

// The daemon and check say the same of the same files, by the same configuration: what is wrong, in the same words, and how bad it is.
func TestCheckSaysWhatTheDaemonSays(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.link(imageArchive, "images/box.tar")
	b.configure("manifests: " + b.path("manifests") + "\npolicy: {privileged: false, registries: [solopod.example]}\npodSecurity: {warn: restricted}\nunknownFields: warn\n")
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: NAME}\nstringData: {a: b}\n"
	for name, f := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"good.yaml":       {shell("good", "true", "restartPolicy: Never"), 0o644},
		"privileged.yaml": {shell("privileged", "true", "") + "    securityContext: {privileged: true}\n", 0o644},
		"registry.yaml":   {strings.Replace(shell("registry", "true", ""), "solopod.example", "other.example", 1), 0o644},
		"reference.yaml":  {strings.Replace(shell("reference", "true", ""), "solopod.example/box:1", "solopod.example/box@sha256:12", 1), 0o644},
		"open.yaml":       {strings.Replace(secret, "NAME", "open", 1), 0o644},
		"closed.yaml":     {strings.Replace(secret, "NAME", "closed", 1), 0o600},
		"everyone.yaml":   {shell("everyone", "true", ""), 0o666},
		"kinds.yaml":      {roleText + "---\n" + widgetText, 0o644},
		"fields.yaml":     {shell("fields", "true", "foo: 1\nhostPID: true\nhostPID: false\nrestartPolicy: Never"), 0o644},
		"again.yaml":      {shell("good", "true", "restartPolicy: Never"), 0o644},
		"compose.yaml":    {"services: {web: {image: nginx}}\n", 0o644},
		"empty.yaml":      {"", 0o644},
	} {
		b.writeFile("manifests/"+name, f.text)
		if err := os.Chmod(b.path("manifests/"+name), f.mode); err != nil {
			t.Fatal(err)
		}
	}
	type problem struct {
		File, Path, Message, Control string
		Line, Column                 int
		Warning                      bool
	}
	sorted := func(problems []problem) string {
		var lines []string
		for _, p := range problems {
			p.File = filepath.Base(p.File)
			p.Message = strings.ReplaceAll(p.Message, b.path("manifests")+"/", "")
			line, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, string(line))
		}
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	check := func(code int, args ...string) string {
		t.Helper()
		cmd := exec.Command(binary, append([]string{"check", "--config", b.path("config.yaml"), "-o", "json"}, args...)...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) || cmd.ProcessState.ExitCode() != code {
			t.Fatalf("check %v: exit code %d, %v\n%s%s", args, cmd.ProcessState.ExitCode(), err, out, errs.String())
		}
		var problems []problem
		if len(out) == 0 { // it could not be looked at all
			return errs.String()
		}
		if err := json.Unmarshal(out, &problems); err != nil {
			t.Fatal(err)
		}
		return sorted(problems)
	}
	want := check(1, b.path("manifests"))
	for _, part := range []string{"policy/privileged", "policy/registries", "can be read by everyone", "can be written by everyone", "clusterKinds/Widget", "duplicate key", "is already defined by again.yaml", "docker compose"} {
		if !strings.Contains(want, part) {
			t.Errorf("check does not say %q:\n%s", part, want)
		}
	}
	if named := check(1, b.matches("manifests/*.yaml")...); named != want {
		t.Errorf("of files that are named check says\n%s\nand of the directory\n%s", named, want)
	}
	b.start()
	b.eventually("the daemon says the same", func() error {
		var answer struct {
			Files []struct{ Problems []problem }
		}
		if err := json.Unmarshal([]byte(b.run("get", "manifests", "-o", "json")), &answer); err != nil {
			return err
		}
		var all []problem
		for _, f := range answer.Files {
			all = append(all, f.Problems...)
		}
		if got := sorted(all); got != want {
			return errors.New("the daemon says\n" + got + "\nand check\n" + want)
		}
		return nil
	})
	if out := check(2, b.path("none")); !strings.Contains(out, b.path("none")) {
		t.Errorf("of a file that is not there it says %s", out)
	}
}
