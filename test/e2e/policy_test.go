package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// policyBox is a box with a configuration; the daemon does not run yet.
func policyBox(t *testing.T, config string) *box {
	t.Helper()
	b := prepareBox(t, embedded)
	b.flags = []string{"--config", b.path("config.yaml")}
	b.writeFile("config.yaml", config)
	b.link(imageArchive, "images/box.tar")
	return b
}

// restricted is a pod that the restricted level allows; pod and container have more fields of theirs.
func restricted(namespace, name, pod, security, container string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  terminationGracePeriodSeconds: 2
  securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
%s
  containers:
  - name: web
    image: solopod.example/box:1
    command: ["/web"]
    readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
    securityContext:
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL]}
%s
%s
`, name, namespace, indent(2, pod), indent(6, security), indent(4, container))
}

// reload has the daemon begin anew with another configuration.
func (b *box) reload(config string) {
	b.t.Helper()
	b.crash()
	b.writeFile("config.yaml", config)
	b.start()
}

func (b *box) events(part string) error {
	b.t.Helper()
	if out := b.run("get", "events", "-A"); !strings.Contains(out, part) {
		return fmt.Errorf("the events do not tell %q: %s", part, out)
	}
	return nil
}

// What the level forbids is refused where the file is read, with control, field and place, and told as any bad file is; what it only
// warns of runs. A namespace may have another level.
func TestPodSecurity(t *testing.T) {
	t.Parallel()
	b := policyBox(t, "podSecurity: {enforce: baseline, warn: restricted, namespaces: {trusted: privileged}}\n")
	privileged := strings.Replace(shell("bad", forever, ""), "  hostNetwork: true\n", "  hostPID: true\n", 1)
	b.writeFile("manifests/bad.yaml", privileged)
	b.writeFile("manifests/trusted.yaml", strings.Replace(strings.ReplaceAll(privileged, "bad", "trusted"), "name: trusted\n", "name: trusted\n  namespace: trusted\n", 1))
	b.writeFile("manifests/warned.yaml", web("warned", ""))
	b.writeFile("manifests/good.yaml", restricted("default", "good", "", "", ""))
	b.start()
	b.waitReady("good")
	b.waitReady("warned")
	b.waitPodIn("trusted", "trusted", "ready", isReady)

	const refused = "bad.yaml:6:3: spec.hostPID: podSecurity baseline does not allow it (Host Namespaces)"
	if out := b.run("get", "manifests"); !strings.Contains(out, refused) {
		t.Errorf("get manifests says %s", out)
	}
	if err := b.problemIs("warned.yaml", "podSecurity restricted would not allow it (Running as Non-root)"); err != nil {
		t.Error(err)
	}
	for _, told := range []string{refused, "ManifestInvalid", "PodSecurity"} {
		if err := b.events(told); err != nil {
			t.Error(err)
		}
	}
	if metrics := b.mustGet("/metrics"); !strings.Contains(metrics, `solopod_manifest_errors{file="bad.yaml"} 1`) {
		t.Error("the metric does not count it")
	}
	if pod := b.pod("default", "bad"); pod != nil {
		t.Error("it runs all the same")
	}
	if problems := b.manifests(); len(problems.Files) != 4 {
		t.Errorf("the files are %+v", problems)
	}

	// check knows the node's policy, and nothing of it without.
	out, err := b.try("check", "--config", b.path("config.yaml"), b.path("manifests"))
	if err == nil || !strings.Contains(out, refused) || strings.Contains(out, "trusted.yaml:6:3: spec.hostPID") {
		t.Errorf("check says %q, %v", out, err)
	}
	if out := b.run("check", "--config", b.path("config.yaml"), b.path("manifests/warned.yaml")); !strings.Contains(out, "warning: spec.containers[0].securityContext") {
		t.Errorf("check of what is warned of says %q", out)
	}
	if out := b.run("check", b.path("manifests")); out != "" {
		t.Errorf("check without a configuration says %q", out)
	}
	if out, err := b.try("check", "--config", b.path("config.yaml"), "testdata/kubeadm-etcd.yaml"); err == nil || !strings.Contains(out, "spec.volumes[0].hostPath") {
		t.Errorf("check of a control plane's pod says %q", out)
	}
	b.writeFile("plane.yaml", "podSecurity: {enforce: restricted, namespaces: {kube-system: privileged}}\n")
	if out := b.run("check", "--config", b.path("plane.yaml"), "testdata/kubeadm-etcd.yaml"); out != "" {
		t.Errorf("check of a control plane's pod where that is exempt says %q", out)
	}
	out, _ = b.try("check", "--config", b.path("config.yaml"), "-o", "json", b.path("manifests/bad.yaml"))
	var problems []struct {
		Path, Control string
		Line, Column  int
		Warning       bool
	}
	if err := json.Unmarshal([]byte(out), &problems); err != nil || len(problems) == 0 {
		t.Fatalf("check -o json: %s, %v", out, err)
	}
	for _, p := range problems {
		if p.Path == "spec.hostPID" && (p.Control != "podSecurity/hostNamespaces" || p.Line != 6 || p.Column != 3 || p.Warning) {
			t.Errorf("check -o json says %+v", p)
		}
	}

	// An edit that is not allowed changes nothing of what runs; the next good one does.
	good := b.pod("default", "good")
	b.apply("good.yaml", restricted("default", "good", "hostIPC: true", "", ""))
	b.eventually("the edit is refused", func() error { return b.problemIs("good.yaml", "podSecurity baseline") })
	if now := b.pod("default", "good"); !isReady(now) || status(now, "web").ContainerID != status(good, "web").ContainerID {
		t.Error("what ran was touched")
	}
	b.apply("bad.yaml", restricted("default", "bad", "", "", ""))
	b.waitReady("bad")
}

// A configuration that has become stricter takes nothing down, also where a container has to be started anew; what it does not allow does
// not begin anew after a reboot, and begins when it is allowed again.
func TestStricterPolicy(t *testing.T) {
	t.Parallel()
	b := policyBox(t, "")
	data := t.TempDir()
	b.writeFile("manifests/old.yaml", shell("old", forever, fmt.Sprintf("hostPID: true\nvolumes: [{name: v, hostPath: {path: %s}}]", data)))
	b.start()
	before := b.waitReady("old")

	const strict = "podSecurity: baseline\npolicy: {hostPaths: []}\n"
	b.reload(strict)
	b.eventually("its file is refused", func() error { return b.fileIs("old.yaml", "Invalid") })
	after := b.waitReady("old")
	if status(after, "main").ContainerID != status(before, "main").ContainerID || after.Status.StartTime.String() != before.Status.StartTime.String() {
		t.Error("it was not left alone")
	}
	b.killContainer(after, "main")
	b.waitPod("old", "restarted", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 1 })

	b.reboot()
	b.start()
	b.eventually("it does not begin anew", func() error { return b.events("PodForbidden") })
	if pod := b.pod("default", "old"); pod == nil || isReady(pod) {
		t.Errorf("after the reboot it is %+v", pod)
	}
	if out := b.run("describe", "pod", "old"); !strings.Contains(out, "does not allow the pod: spec.hostNetwork: podSecurity baseline") {
		t.Errorf("describe says %s", out)
	}
	b.reload("podSecurity: {enforce: baseline, namespaces: {default: privileged}}\n")
	b.waitReady("old")
}

// The seccomp profile of a container that names none is the runtime's; what runs is left alone when that is set.
func TestSeccompDefault(t *testing.T) {
	t.Parallel()
	b := policyBox(t, "")
	profile := func(name string) string {
		return b.run("exec", name, "--", "grep", "Seccomp:", "/proc/self/status")
	}
	b.writeFile("manifests/old.yaml", shell("old", forever, ""))
	b.start()
	before := b.waitReady("old")
	if out := profile("old"); out != "Seccomp:\t0\n" {
		t.Fatalf("by default a container has %q", out)
	}
	b.reload("seccompDefault: true\n")
	after := b.waitReady("old")
	if status(after, "main").ContainerID != status(before, "main").ContainerID || profile("old") != "Seccomp:\t0\n" {
		t.Error("what ran was touched")
	}
	b.apply("new.yaml", shell("new", forever, ""))
	b.apply("own.yaml", shell("own", forever, "securityContext: {seccompProfile: {type: Unconfined}}"))
	b.apply("privileged.yaml", strings.Replace(shell("privileged", forever, ""), "  - name: main\n", "  - name: main\n    securityContext: {privileged: true}\n", 1))
	for name, want := range map[string]string{"new": "2", "own": "0", "privileged": "0"} {
		b.waitReady(name)
		if out := profile(name); out != "Seccomp:\t"+want+"\n" {
			t.Errorf("%s has %q", name, out)
		}
	}
	b.killContainer(after, "main")
	b.waitPod("old", "restarted", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 1 })
	if out := profile("old"); out != "Seccomp:\t2\n" {
		t.Errorf("its next attempt has %q", out)
	}
}

// A pod that may write into an allowed directory puts a link there, and another pod that mounts it sees nothing of the machine; what the
// rules name is mounted, and only to be read where they say so.
func TestHostPathPolicy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shared, conf, secret := filepath.Join(dir, "shared"), filepath.Join(dir, "conf"), filepath.Join(dir, "secret")
	for _, d := range []string{shared, conf, secret} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{filepath.Join(secret, "key"): "the machine's own", filepath.Join(conf, "key"): "for all"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := policyBox(t, fmt.Sprintf("policy:\n  hostPaths: [{pathPrefix: %s}, {pathPrefix: %s, readOnly: true}]\n", shared, conf))
	b.start()
	mounts := func(name, script, path, fields string) string {
		pod := shell(name, script, fmt.Sprintf("restartPolicy: Never\nvolumes: [{name: v, hostPath: {path: %s}}]", path))
		return strings.Replace(pod, "  - name: main\n", fmt.Sprintf("  - name: main\n    volumeMounts: [{name: v, mountPath: /v%s}]\n", fields), 1)
	}
	ends := func(name string) string {
		b.waitPod(name, "ended", func(p *v1.Pod) bool { return status(p, "main").State.Terminated != nil })
		return b.run("logs", name)
	}
	b.apply("planter.yaml", mounts("planter", fmt.Sprintf("/bin/busybox ln -s %s /v/link && echo planted", secret), shared, ""))
	if out := ends("planter"); out != "planted\n" {
		t.Fatalf("the link is not made: %q", out)
	}
	b.apply("thief.yaml", mounts("thief", "cat /v/key", filepath.Join(shared, "link"), ""))
	b.eventually("the mount is refused", func() error { return b.events("leads out of " + shared) })
	if pod := b.pod("default", "thief"); status(pod, "main").State.Running != nil || status(pod, "main").State.Terminated != nil {
		t.Errorf("it ran: %q", b.run("logs", "thief"))
	}
	b.apply("sub.yaml", mounts("sub", "cat /v/key", shared, ", subPath: link"))
	b.waiting("sub", "leads out of the volume")

	// What is mounted below is read-only, too.
	below := filepath.Join(conf, "below")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", below, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(below, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	b.apply("reader.yaml", mounts("reader", "cat /v/key; (echo x >/v/new) || echo refused; (echo x >/v/below/new) || echo below too", conf, ", readOnly: true"))
	if out := ends("reader"); !strings.Contains(out, "for all") || !strings.Contains(out, "refused") || !strings.Contains(out, "below too") {
		t.Errorf("the reader sees %q", out)
	}
	b.apply("writer.yaml", mounts("writer", "true", conf, ""))
	b.eventually("it must be read-only", func() error { return b.problemIs("writer.yaml", "set readOnly: true") })
	for name, path := range map[string]string{"outside": secret, "dots": shared + "/../secret", "above": dir, "beside": shared + "d"} {
		b.apply(name+".yaml", mounts(name, "true", path, ""))
		b.eventually(path+" is refused", func() error { return b.fileIs(name+".yaml", "Invalid") })
	}
}

// The package's strict example is good, and means what it says.
func TestStrictExample(t *testing.T) {
	t.Parallel()
	text := readFile(t, "../../scripts/deb/strict.yaml")
	// What gives much away is there as a comment. Without that a path of the machine's own is refused, to be read, too.
	whole := regexp.MustCompile(`(?m)^( +)# ( *(?:(?:namespaces|monitoring|privileged|hostNamespaces|hostPaths|registries):.*|- .*))$`).ReplaceAllString(text, "$1$2")
	b := policyBox(t, strings.ReplaceAll(whole, "registry.example.com", "solopod.example"))
	b.writeFile("real.yaml", text)
	for _, path := range []string{"/", "/run", "/run/solopod"} {
		for _, namespace := range []string{"default", "edge", "monitoring", "kube-system"} {
			b.writeFile("root.yaml", strings.ReplaceAll(restricted(namespace, "root", fmt.Sprintf("volumes: [{name: v, hostPath: {path: %s}}]", path), "",
				"volumeMounts: [{name: v, mountPath: /host, readOnly: true}]"), "solopod.example", "registry.example.com"))
			if out, err := b.try("check", "--config", b.path("real.yaml"), b.path("root.yaml")); err == nil || !strings.Contains(out, "policy.hostPaths") {
				t.Errorf("%s in %s: %v, %q", path, namespace, err, out)
			}
		}
	}
	b.writeFile("registry.yaml", strings.ReplaceAll(restricted("default", "web", "", "", ""), "solopod.example", "registry.example.com"))
	if out := b.run("check", "--config", b.path("real.yaml"), b.path("registry.yaml")); out != "" {
		t.Errorf("as it is shipped it says %q", out)
	}
	volume := func(path string) string { return fmt.Sprintf("volumes: [{name: v, hostPath: {path: %s}}]", path) }
	const port = "ports: [{containerPort: 8080, hostPort: %d}]"
	b.apply("web.yaml", restricted("default", "web", "", "", ""))
	b.apply("edge.yaml", restricted("edge", "edge", volume("/srv"), "", fmt.Sprintf(port, 8089)))
	const mount = "volumeMounts: [{name: v, mountPath: /host, readOnly: true}]"
	b.apply("monitor.yaml", restricted("monitoring", "monitor", "hostPID: true\n"+volume("/"), "", mount))
	refused := map[string]struct{ manifest, says string }{
		"monitor-rw":  {restricted("monitoring", "monitor-rw", volume("/"), "", strings.Replace(mount, "true", "false", 1)), "set readOnly: true"},
		"monitor-ipc": {restricted("monitoring", "monitor-ipc", "hostIPC: true", "", ""), "policy.hostNamespaces"},
		"plain":       {web("plain", ""), "podSecurity restricted"},
		"port":        {restricted("default", "port", "", "", fmt.Sprintf(port, 8088)), "Host Ports"},
		"edge-port":   {restricted("edge", "edge-port", "", "", fmt.Sprintf(port, 22)), "policy.hostPorts"},
		"path":        {restricted("edge", "path", volume("/etc"), "", ""), "policy.hostPaths"},
		"certs":       {restricted("edge", "certs", volume("/etc/ssl/certs"), "", "volumeMounts: [{name: v, mountPath: /c}]"), "set readOnly: true"},
		"device":      {restricted("edge", "device", volume("/dev/null"), "", ""), "policy.devices"},
		"network":     {restricted("edge", "network", "hostNetwork: true", "", ""), "policy.hostNamespaces"},
		"privileged":  {strings.Replace(restricted("edge", "privileged", "", "privileged: true", ""), "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", 1), "policy.privileged"},
		"capability":  {strings.Replace(restricted("edge", "capability", "", "", ""), "drop: [ALL]", "add: [NET_ADMIN]", 1), "policy.capabilities"},
		"image":       {strings.Replace(restricted("default", "image", "", "", ""), "solopod.example/box:1", "nginx", 1), "policy.registries"},
	}
	for name, r := range refused {
		b.writeFile("manifests/"+name+".yaml", r.manifest)
	}
	b.start()
	b.waitReady("web")
	b.waitPodIn("edge", "edge", "ready", isReady)
	b.waitPodIn("monitoring", "monitor", "ready", isReady)
	for name, r := range refused {
		if err := b.problemIs(name+".yaml", r.says); err != nil {
			t.Error(err)
		}
	}
}
