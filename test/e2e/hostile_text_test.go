package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	sigsyaml "sigs.k8s.io/yaml"
)

// hostileEcho prints what would set a terminal's title, clear it, write elsewhere, and the like in the other forms that terminals know.
const hostileEcho = `printf '\033]0;owned\007\033[2J\033[1;1HFAKE\r\302\2332J\342\200\256gnp\177\377'`

// obeyed counts what a terminal does not just show, but line ends and tabs.
func obeyed(text string) (n int) {
	for i, r := range text {
		switch {
		case r == '\n' || r == '\t':
		case r < ' ', r >= 0x7f && r <= 0x9f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069,
			r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD"):
			n++
		}
	}
	return n
}

// own are the sequences that commands use on a terminal themselves: colours, a cleared line and screen, the terminal's own line end.
var own = strings.NewReplacer("\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "", "\x1b[90m", "", "\x1b[0m", "", "\r\x1b[K", "", "\r\n", "\n")

// hostileBox has text of others wherever it can be: from containers, manifests, file and image names, a registry and a plugin.
func hostileBox(t *testing.T) (b *box, registry string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"errors":[{"code":"DENIED","message":"\u001b[2J\u009b2J\u202egnp"}]}`)
	}))
	t.Cleanup(server.Close)
	registry = strings.TrimPrefix(server.URL, "http://")
	b = prepareBox(t, embedded)
	b.flags = []string{"--cni-bin-dir", b.path("plugins")}
	if err := os.Mkdir(b.path("plugins"), 0o755); err != nil {
		t.Fatal(err)
	}
	plugin := "#!/bin/sh\ncat >/dev/null\n[ $CNI_COMMAND = DEL ] && exit\nprintf '{\"cniVersion\":\"1.0.0\",\"code\":100,\"msg\":\"\\\\u001b[2J plugin\"}'\nexit 1\n"
	if err := os.WriteFile(b.path("plugins/bad"), []byte(plugin), 0o755); err != nil {
		t.Fatal(err)
	}
	b.writeFile("cni/10-bad.conflist", `{"cniVersion":"1.0.0","name":"bad","plugins":[{"type":"bad"}]}`)
	b.link(imageArchive, "images/box.tar")
	b.start()
	b.apply("a.yaml", shell("a", hostileEcho+" >/dev/termination-log; "+hostileEcho+"; exit 1", "restartPolicy: Never")+"    env: [{name: X, value: \"\\e[2J\"}]\n")
	b.apply("crash\x1b[2J.yaml", shell("crash", hostileEcho+" >/dev/termination-log; exit 1", ""))
	b.apply("probed.yaml", strings.Replace(shell("probed", forever, "volumes: [{name: v, hostPath: {path: \"/tmp/\\e[2J\"}}]"), `"/bin/sh", "-c"]`, `"/bin/sh", "-c", "`+forever+`", "\e[2J"]`, 1)+
		"    readinessProbe: {exec: {command: [sh, -c, \""+strings.ReplaceAll(hostileEcho, `\`, `\\`)+"; exit 1\"]}, periodSeconds: 1}\n"+
		"    lifecycle: {postStart: {exec: {command: [/bin/true, \"\\e[2J\"]}}}\n")
	b.apply("image.yaml", strings.Replace(shell("image", forever, ""), "solopod.example/box:1", `"solopod.example/x\e[2J:1"`, 1))
	b.apply("pull.yaml", strings.Replace(shell("pull", forever, ""), "solopod.example/box:1", registry+"/x:1", 1))
	b.apply("net.yaml", strings.Replace(shell("net", forever, ""), "  hostNetwork: true\n", "", 1))
	b.apply("bad\x1b[2J.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {\"containers\\e[2J\\n\": []}\n")
	b.apply("job.yaml", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: job, annotations: {a: \"\\e[2J\"}}\nspec: {backoffLimit: 0, template: {spec: {restartPolicy: Never, hostNetwork: true, containers: [{name: c, image: \"solopod.example/box:1\", command: [sh, -c, \"exit 1\"]}]}}}\n")
	archive := b.path("x\x1b[2J.tar")
	out, err := exec.Command(packBinary, "-o", archive, "-name", "solopod.example/named:1", "/bin/busybox:/bin/busybox").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	renameImage(t, archive, "solopod.example/named:1", "solopod.example/named\\u001b[2J:1")
	b.waitPod("a", "over", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
	b.waitPod("crash", "restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount > 0 })
	b.eventually("text of others is in events", func() error {
		return errors.Join(b.eventSays("FAKE"), b.eventSays(" plugin"), b.eventSays("denied: ^[[2J"), b.eventSays(`x\x1b[2J:1" is no reference of an image`))
	})
	return b, registry
}

// renameImage gives an archive's image another name, of bytes as JSON has them, by an index that is longer by what the name is.
func renameImage(t *testing.T, archive, from, to string) {
	t.Helper()
	dir := t.TempDir()
	for _, args := range [][]string{{"-xf", archive, "-C", dir}, {"-cf", archive, "-C", dir, "."}} {
		if args[0] == "-cf" {
			data, err := os.ReadFile(dir + "/index.json")
			if err == nil {
				err = os.WriteFile(dir+"/index.json", []byte(strings.ReplaceAll(string(data), from, to)), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if out, err := exec.Command("tar", args...).CombinedOutput(); err != nil {
			t.Fatalf("tar: %v: %s", err, out)
		}
	}
}

// No command but those that show a container's own output prints what a terminal would obey.
func TestHostileText(t *testing.T) {
	b, registry := hostileBox(t)
	commands := [][]string{
		{"describe", "pod", "a"}, {"describe", "pod", "crash"}, {"describe", "pod", "probed"}, {"describe", "pod", "net"}, {"describe", "pod", "pull"},
		{"describe", "pod", "none\x1b[2J"},
		{"get", "pods"}, {"get", "pods", "-A", "-o", "wide"}, {"get", "pods", "-o", "json"}, {"get", "pods", "no\x1b[2J"}, {"get", "pods", "-o", "\x1b[2J"},
		{"get", "pods", "-o", "custom-columns=N:.metadata.name,M:.status.containerStatuses[*].lastState.terminated.message"},
		{"get", "containers", "-A", "-o", "wide"}, {"get", "containers", "-o", "json"},
		{"get", "events", "-A"}, {"get", "events", "-o", "json"}, {"get", "manifests"}, {"get", "manifests", "-o", "json"},
		{"get", "nodes", "-o", "wide"}, {"get", "jobs"}, {"get", "jobs", "-o", "json"}, {"get", "cronjobs"}, {"get", "images"}, {"get", "images", "-o", "json"},
		{"images", "ls"}, {"images", "import", b.path("x\x1b[2J.tar")}, {"images", "ls"}, {"images", "pull", registry + "/y:1"}, {"images", "pull", "\x1b[2J"}, {"images", "rm", "none\x1b[2J"},
		{"claims", "ls"}, {"claims", "rm", "none\x1b[2J"}, {"top", "pods", "-A", "--containers"}, {"top", "node"}, {"top", "pods", "\x1b[2J"},
		{"check", b.path("manifests")}, {"check", "-o", "json", b.path("manifests")}, {"check", b.path("none\x1b[2J")},
		{"wait", "a\x1b[2J", "--timeout=100ms"}, {"wait", "--for=\x1b[2J", "a"}, {"restart", "none\x1b[2J"}, {"restart", "a", "-c", "\x1b[2J"},
		{"port-forward", "none\x1b[2J", "80"}, {"port-forward", "a", "\x1b[2J"}, {"exec", "none\x1b[2J", "--", "true"}, {"attach", "none\x1b[2J"}, {"logs", "none\x1b[2J"},
		{"cp", "a:/\x1b[2J", b.dir}, {"cp", "none\x1b[2J:/x", b.dir}, {"version"}, {"__complete", "exec", ""}, {"\x1b[2J"}, {"get", "pods", "--\x1b[2J"}, {"drain", "--timeout", "\x1b[2J"},
	}
	for _, args := range commands {
		out, _ := b.try(args...) // many of them fail, and say so
		if n := obeyed(out); n > 0 || out == "" && args[0] != "get" {
			t.Errorf("solopod %q prints %d characters that a terminal obeys: %q", args, n, out)
		}
		if args[0] == "describe" && args[2] != "pull" && !strings.Contains(args[2], "none") && !strings.Contains(out, "^[") {
			t.Errorf("solopod %q shows no escape: %s", args, out)
		}
	}
	if n := obeyed(b.daemonOutput()); n > 0 {
		t.Errorf("the daemon's log has %d characters that a terminal obeys", n)
	}
	// Data come as they are, and so does what a container prints.
	var p v1.Pod
	out, err := b.try("get", "pod", "a", "-o", "json")
	if err = errors.Join(err, json.Unmarshal([]byte(out), &p)); err != nil {
		t.Fatal(err)
	}
	message := status(&p, "main").State.Terminated.Message
	if !strings.Contains(message, "\x1b[2J") || !strings.Contains(message, "\u202egnp") {
		t.Errorf("JSON has the message %q", message)
	}
	if out := b.run("get", "pod", "a", "-o", "jsonpath={.status.containerStatuses[0].state.terminated.message}"); out != message {
		t.Errorf("jsonpath prints %q, not %q", out, message)
	}
	yaml := b.run("get", "pod", "a", "-o", "yaml")
	var again v1.Pod
	if err := sigsyaml.Unmarshal([]byte(yaml), &again); err != nil || status(&again, "main").State.Terminated.Message != message {
		t.Errorf("YAML has another message (%v): %s", err, yaml)
	}
	if out := b.run("logs", "a"); !strings.Contains(out, "\x1b[2J") {
		t.Errorf("logs prints %q", out)
	}
}

// On a terminal there are the commands' own sequences and no others, also in what goes on, and in data.
func TestHostileTextOnATerminal(t *testing.T) {
	b, _ := hostileBox(t)
	for _, c := range []struct {
		until string // what was printed when the command is ended
		args  []string
		own   []string // sequences of this command alone
	}{
		{until: "probed", args: []string{"get", "pods", "-o", "wide"}},
		{until: "crash", args: []string{"get", "pods", "-w", "-o", "wide"}},
		{until: "FAKE", args: []string{"get", "events", "-w"}},
		{until: "Events:", args: []string{"describe", "pod", "probed"}},
		{until: "probed", args: []string{"top", "pods", "-w"}, own: []string{"\x1b[H\x1b[2J", ""}},
		{until: "yaml", args: []string{"get", "manifests", "-o", "name"}},
		{until: "gnp", args: []string{"get", "pod", "a", "-o", "yaml"}},
		{until: "gnp", args: []string{"get", "pod", "a", "-o", "jsonpath={.status.containerStatuses[0].state.terminated.message}"}},
		{until: "%", args: []string{"images", "import", b.path("x\x1b[2J.tar")}, own: []string{"\x1b[K", "", "\r", ""}},
	} {
		out := b.onTerminal(c.until, c.args...)
		rest := own.Replace(strings.NewReplacer(c.own...).Replace(out))
		if n := obeyed(rest); n > 0 || !strings.Contains(out, c.until) {
			t.Errorf("solopod %q prints %d characters that the terminal obeys: %q", c.args, n, out)
		}
	}
}

// onTerminal runs a command on a terminal of its own until it ends, or what it printed holds until and it does not end by itself.
func (b *box) onTerminal(until string, args ...string) string {
	b.t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	defer terminal.Close()
	fd := int(terminal.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)); err != nil {
		b.t.Fatal(err)
	}
	side, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"--socket", b.path("socket")}, args...)...)
	cmd.Stdout, cmd.Stderr = side, side
	err = cmd.Start()
	side.Close() // the command has it
	if err != nil {
		b.t.Fatal(err)
	}
	var out strings.Builder
	buffer := make([]byte, 4096)
	for told := false; ; {
		n, err := terminal.Read(buffer)
		out.Write(buffer[:n])
		if err != nil { // EIO when nobody has the other side any more
			break
		}
		if !told && strings.Contains(out.String(), until) && slices.Contains(args, "-w") {
			told = true
			cmd.Process.Signal(syscall.SIGINT) //nolint:errcheck // it may have ended
		}
	}
	cmd.Wait() //nolint:errcheck // what it printed counts
	if ctx.Err() != nil {
		b.t.Errorf("solopod %q prints no %q: %q", args, until, out.String())
	}
	return out.String()
}
