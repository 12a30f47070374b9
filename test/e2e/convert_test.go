package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// composeProject is a small application as it is written for docker compose.
const composeProject = `
name: trial
services:
  app_server:
    image: ${IMAGE}
    restart: unless-stopped
    user: "1000:1000"
    command: [sh, -c, "cat /shared/migrated && wget -q -O /scratch/answer http://$$DB_HOST:9090/healthz && mkdir -p /scratch/www && exec sleep 1000"]
    environment: {DB_HOST: my_db, MONEY: "$$5 $$(DB_HOST)"}
    env_file: app.env
    ports: ["127.0.0.1:18080:8080"]
    volumes: ["shared:/shared", "./static:/static:ro,z"]
    tmpfs: ["/scratch:size=4m,mode=1777"]
    secrets: [password]
    configs: [{source: motd, target: /etc/motd}]
    depends_on:
      my_db: {condition: service_healthy}
      migrate: {condition: service_completed_successfully}
    networks: [front, back]
    stop_grace_period: 1s
  helper:
    image: ${IMAGE}
    restart: unless-stopped
    entrypoint: /web
    network_mode: service:app_server
  migrate:
    image: ${IMAGE}
    restart: "no"
    command: sh -c 'echo done >/shared/migrated'
    volumes: ["shared:/shared"]
    networks: [back]
  my_db:
    image: ${IMAGE}
    restart: always
    command: /web
    environment: [LISTEN=:9090]
    healthcheck: {test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:9090/healthz"], interval: 1s}
    networks: {back: {aliases: [database]}}
  stranger:
    image: ${IMAGE}
    restart: always
    command: /web
    networks: [front]
  once:
    image: ${IMAGE}
    restart: "no"
    command: ["true"]
secrets: {password: {file: password.txt}}
configs: {motd: {content: "hello ${WHO:-you}"}}
networks: {front: {}, back: {internal: true}}
volumes: {shared: {}}
`

// podmanByHand is written for podman kube play.
const podmanByHand = `
apiVersion: v1
kind: Pod
metadata: {name: By_Hand, labels: {version: 1}}
spec:
  restartPolicy: always
  terminationGracePeriodSeconds: "1"
  containers:
  - name: main_1
    image: docker://solopod.example/box:1
    command: [sleep, 1000]
    env: [{name: NUMBER, value: 0755}, {name: YES, value: yes}]
    ports: [{containerPort: "80", protocol: tcp}]
    resources: {limits: {memory: 64MB}}
    volumeMounts:
    - {name: kept_data, mountPath: "/data:Z"}
    - {name: static, mountPath: "/static:ro"}
  volumes:
  - {name: kept_data, persistentVolumeClaim: {claimName: Kept_Data}}
  - {name: static, hostPath: {path: ./static}}
`

// convert runs the command and returns what it writes, and what it says.
func (b *box) convert(environ []string, args ...string) (out, notes string, code int) {
	b.t.Helper()
	cmd := exec.Command(binary, append([]string{"convert"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), environ...)
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		b.t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// What was written for docker compose and podman runs as it did there: names, order, volumes, secrets, ports, users and networks.
func TestConvert(t *testing.T) {
	t.Parallel()
	machine, _ := newSpaces(t, "4")
	b := prepareBox(t, embedded)
	b.namespaces = []string{"nsenter", "--net=" + machine, "--"}
	wait := b.path("images/wait.tar")
	command(t, packBinary, "-o", wait, "-name", "solopod.example/wait:1", "-link", "/bin/sh=busybox", "-link", "/bin/ping=busybox", "-link", "/bin/sleep=busybox", "/bin/busybox:/bin/busybox")
	b.link(imageArchive, "images/box.tar")
	b.start()

	project := b.path("project")
	for name, text := range map[string]string{
		"compose.yaml": composeProject, "app.env": "TOKEN='from the file'\n", "password.txt": "open sesame", "static/page": "from the machine",
		"hand.yaml": podmanByHand,
	} {
		path := filepath.Join(project, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, notes, code := b.convert([]string{"IMAGE=solopod.example/box:1"}, "--wait-image", "solopod.example/wait:1", "-o", b.path("manifests"), project)
	if code != 0 || !strings.Contains(notes, "compose.yaml:5: changed: services.app_server: it is named app-server") {
		t.Fatalf("exit code %d:\n%s", code, notes)
	}
	if mode := stat(t, b.path("manifests/secret-password.yaml")); mode != 0o600 {
		t.Errorf("a file with a Secret has the mode %o", mode)
	}
	byHand, notes, code := b.convert(nil, filepath.Join(project, "hand.yaml"))
	if code != 0 || !strings.Contains(notes, `"By_Hand" is "by-hand"`) {
		t.Fatalf("exit code %d:\n%s", code, notes)
	}
	b.apply("hand.yaml", byHand)

	app := b.waitReady("app-server-0")
	b.waitReady("by-hand")
	b.waitPod("once", "ended", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
	for _, c := range []struct{ pod, script, want string }{
		{"app-server-0", "cat /scratch/answer", "ok"},
		{"app-server-0", `echo "$MONEY"`, "$5 $(DB_HOST)"},
		{"app-server-0", `echo "$TOKEN"`, "from the file"},
		{"app-server-0", "id -u; id -g", "1000\n1000"},
		{"app-server-0", "cat /run/secrets/password", "open sesame"},
		{"app-server-0", "cat /etc/motd", "hello you"},
		{"app-server-0", "cat /static/page", "from the machine"},
		{"app-server-0", "touch /static/x 2>/dev/null || echo read-only", "read-only"},
		{"app-server-0", "touch /shared/mine && echo mine", "mine"},
		{"app-server-0", "wget -q -O - http://database:9090/healthz", "ok"},
		{"app-server-0", "wget -q -O - http://127.0.0.1:8080/healthz", "ok"}, // of the service that shares its network
		{"app-server-0", "wget -q -O - http://stranger:8080/healthz", "ok"},
		{"stranger-0", "wget -q -T 1 -O - http://my-db:9090/healthz 2>/dev/null || echo kept apart", "kept apart"},
		{"by-hand", `echo "$NUMBER $YES"`, "0755 yes"},
		{"by-hand", "touch /data/x && cat /static/page", "from the machine"},
	} {
		container := strings.TrimSuffix(c.pod, "-0")
		if c.pod == "by-hand" {
			container = "main-1"
		}
		if got := strings.TrimSpace(b.run("exec", c.pod, "-c", container, "--", "sh", "-c", c.script)); got != c.want {
			t.Errorf("%s in %s says %q, want %q", c.script, c.pod, got, c.want)
		}
	}
	b.eventually("the published port answers", func() error {
		_, err := fetchIn(machine, "http://127.0.0.1:18080/healthz")
		return err
	})
	if app.Spec.TerminationGracePeriodSeconds == nil || *app.Spec.TerminationGracePeriodSeconds != 1 {
		t.Errorf("the grace period is %v", app.Spec.TerminationGracePeriodSeconds)
	}
	if out, err := b.try("check", b.path("manifests")); err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
}

func stat(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// The exit code, standard input and outputs of the command.
func TestConvertCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := &box{t: t}
	good, bad := filepath.Join(dir, "compose.yaml"), filepath.Join(dir, "bad.yaml")
	for path, text := range map[string]string{
		good: "services: {a: {image: \"example.org/a:1\", restart: always}}\nsecrets: {s: {environment: S}}\n",
		bad:  "services: {a: {image: \"example.org/a:1\", restarts: always}}\n",
		filepath.Join(dir, "compose.override.yaml"): "services: {a: {environment: {X: \"1\"}, secrets: [s]}}\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args            []string
		code            int
		output, message string
	}{
		{[]string{good}, 0, "kind: Deployment", "compose.override.yaml lies beside it"},
		{[]string{dir, "-n", "shop"}, 0, "namespace: shop", "chmod 600"},
		{[]string{bad}, 1, "kind: Deployment", `did you mean "restart"?`},
		{[]string{filepath.Join(dir, "away.yaml")}, 2, "", "no such file"},
		{[]string{"/"}, 2, "", "there is no compose.yaml"},
		{[]string{good, "--nonsense"}, 1, "", "unknown flag"},
	} {
		out, notes, code := b.convert([]string{"S=secret"}, c.args...)
		if code != c.code || !strings.Contains(out, c.output) || !strings.Contains(notes, c.message) {
			t.Errorf("convert %v: exit code %d, want %d, with %q and %q\n%s%s", c.args, code, c.code, c.output, c.message, out, notes)
		}
	}
	cmd := exec.Command("sh", "-c", fmt.Sprintf("%s convert - -o %s/out.yaml <%s && %[1]s check %[2]s/out.yaml && %[1]s convert -o %[2]s/parts/ %[2]s", binary, dir, good))
	cmd.Env = append(os.Environ(), "S=secret")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if mode := stat(t, filepath.Join(dir, "parts/secret-s.yaml")); mode != 0o600 {
		t.Errorf("a file with a Secret has the mode %o", mode)
	}
	if mode := stat(t, filepath.Join(dir, "parts/deployment-a.yaml")); mode != 0o644 {
		t.Errorf("a file without a Secret has the mode %o", mode)
	}
	if _, notes, code := b.convert([]string{"S=secret"}, "-o", filepath.Join(dir, "parts"), dir); code != 2 || !strings.Contains(notes, "there already") {
		t.Errorf("files that are there are written over: exit code %d\n%s", code, notes)
	}
}
