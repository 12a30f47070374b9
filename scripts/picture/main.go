// Picture makes the README's pictures from a real run: a session on a terminal, as SVG, and the page, as PNG.
//
//	picture docs/pictures
//
// It starts a daemon of its own, in a directory that goes at the end, and needs bin/ as make builds it, and Chromium.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/solopod/solopod/runner/foreign"
)

// columns of the terminal.
const columns = 86

// limit of each wait, and of each command.
const limit = time.Minute

// session is what is typed. What stands in hidden is run after the line and not shown: it waits until there is something to see.
var session = []struct{ typed, hidden string }{
	{"cp web.yaml manifests/", "solopod wait web"},
	{"solopod get pods", ""},
	{"curl $(solopod get pods web -o jsonpath={.status.podIP}):8080", ""},
	{"curl -X POST $(solopod get pods web -o jsonpath={.status.podIP}):8080/exit", "solopod wait --for=jsonpath='{.status.containerStatuses[0].restartCount}'=1 web; solopod wait web"},
	{"solopod get pods   # it has come back", ""},
	{"solopod top pods", ""},
	{"sed s/readinessProbe/readynessProbe/ web.yaml >manifests/web.yaml", "until solopod get manifests | grep -q Invalid; do sleep 0.1; done"},
	{"solopod get manifests   # a bad file never touches a pod that runs", ""},
	{"rm manifests/web.yaml", "solopod wait --for=delete web"},
	{"solopod get pods", ""},
}

// shown is what runs when the picture of the page is made.
const shown = `apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - name: shop
        image: solopod.example/web:1
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  selector: {app: shop}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: v1
kind: Pod
metadata: {name: hungry}
spec:
  containers:
  - name: main
    image: solopod.example/web:1
    resources: {limits: {memory: 32Mi}}
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
`

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: picture DIRECTORY")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, os.Args[1]); err != nil {
		log.Fatal("picture: ", err)
	}
}

func run(ctx context.Context, to string) (err error) {
	b, err := newBox()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.remove()) }()
	ctx, err = b.start(ctx)
	if err != nil {
		return err
	}
	lines, err := b.play(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(to, "terminal.svg"), []byte(terminal(lines, columns, "A session with Solopod on a terminal")), 0o644); err != nil {
		return err
	}
	return b.photograph(ctx, filepath.Join(to, "page.png"))
}

// box is a daemon of its own.
type box struct {
	bin, dir, address string
	daemon            *exec.Cmd
	ended             chan struct{}
}

func newBox() (*box, error) {
	bin, err := filepath.Abs("bin")
	if err != nil {
		return nil, err
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if err := free.Close(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "solopod-picture.")
	return &box{bin: bin, dir: dir, address: free.Addr().String(), ended: make(chan struct{})}, err
}

// start starts the daemon. The context that it returns ends with it.
func (b *box) start(ctx context.Context) (context.Context, error) {
	if err := b.prepare(ctx); err != nil {
		return ctx, err
	}
	output, err := os.Create(filepath.Join(b.dir, "output"))
	if err != nil {
		return ctx, err
	}
	defer output.Close()
	args := []string{"run", "--listen", b.address}
	for flag, name := range map[string]string{"config": "config.yaml", "manifests": "manifests", "images": "images", "root": "root", "state": "state", "log-dir": "log",
		"socket": "socket", "cni-conf-dir": "cni"} {
		args = append(args, "--"+flag, filepath.Join(b.dir, name))
	}
	b.daemon = exec.Command(filepath.Join(b.bin, "solopod"), args...)
	b.daemon.Stdout, b.daemon.Stderr = output, output
	b.daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is this program's
	if err := b.daemon.Start(); err != nil {
		b.daemon = nil
		return ctx, err
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		defer close(b.ended)
		b.daemon.Wait() //nolint:errcheck // its output tells
	}()
	return ctx, b.sh(ctx, "until curl -sf http://"+b.address+"/readyz; do sleep 0.1; done")
}

// prepare makes the daemon's directories.
func (b *box) prepare(ctx context.Context) error {
	for _, name := range []string{"manifests", "images", "log", "cni"} {
		if err := os.Mkdir(filepath.Join(b.dir, name), 0o755); err != nil {
			return err
		}
	}
	manifest, err := os.ReadFile("examples/manifests/web.yaml")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "web.yaml"), manifest, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "config.yaml"), []byte("plainPort: read\nnodeName: box\n"), 0o644); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, filepath.Join(b.bin, "pack"), "-o", filepath.Join(b.dir, "images/web.tar"), "-name", "solopod.example/web:1",
		"-entrypoint", "/web", filepath.Join(b.bin, "web")+":/web").CombinedOutput(); err != nil {
		return fmt.Errorf("pack: %w: %s", err, out)
	}
	return nil
}

func (b *box) socket() string { return filepath.Join(b.dir, "socket") }

// sh runs a line of the shell in the box's directory.
func (b *box) sh(ctx context.Context, line string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if out, err := b.command(ctx, "bash", "-c", line).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, out)
	}
	return nil
}

func (b *box) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "PATH="+b.bin+":"+os.Getenv("PATH"), "SOLOPOD_SOCKET="+b.socket(), "TERM=xterm-256color", "LC_ALL=C.UTF-8")
	return cmd
}

// play types the session and returns what the terminal shows, with its escapes.
func (b *box) play(ctx context.Context) ([]string, error) {
	var lines []string
	for _, s := range session {
		limited, cancel := context.WithTimeout(ctx, limit)
		// script gives the command a terminal.
		cmd := b.command(limited, "script", "-qec", fmt.Sprintf("stty cols %d rows 50; %s", columns, strings.Replace(s.typed, "curl ", "curl -s ", 1)), "/dev/null")
		out, err := cmd.Output()
		cancel()
		if err != nil && !strings.Contains(s.typed, "POST") { // whoever is told to end does not answer
			return nil, fmt.Errorf("%s: %w: %s", s.typed, err, out)
		}
		lines = append(lines, prompt+s.typed)
		if text := strings.TrimRight(strings.ReplaceAll(string(out), "\r\n", "\n"), "\n"); text != "" {
			lines = append(lines, strings.Split(text, "\n")...)
		}
		if s.hidden != "" {
			if err := b.sh(ctx, s.hidden); err != nil {
				return nil, err
			}
		}
	}
	return lines, nil
}

// photograph has a browser open the page while something is to be seen there.
func (b *box) photograph(ctx context.Context, file string) error {
	file, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "shop.yaml"), []byte(shown), 0o644); err != nil {
		return err
	}
	browser, err := exec.LookPath("chromium-headless-shell")
	if err != nil {
		if browser, err = exec.LookPath("chromium"); err != nil {
			return err
		}
	}
	profile := filepath.Join(b.dir, "profile")
	for _, line := range []string{
		"cp web.yaml shop.yaml manifests/; solopod wait web hungry $(until solopod get pods -l app=shop -o name | grep shop; do sleep 0.2; done)",
		"curl -s --max-time 20 -X POST $(solopod get pods hungry -o jsonpath={.status.podIP}):8080/allocate || true",
		"until solopod get events | grep -q OOMKilling; do sleep 0.2; done; solopod wait hungry; curl -sf http://" + b.address + "/stats/summary >summary",
		browser + " --headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run --user-data-dir=" + profile + " --hide-scrollbars --window-size=1100,900 --screenshot=" + file +
			" --virtual-time-budget=12000 http://" + b.address + "/",
	} {
		if err := b.sh(ctx, line); err != nil {
			return err
		}
	}
	return shrink(file)
}

// remove ends the pods, then the daemon, and removes the directory.
func (b *box) remove() error {
	var errs []error
	if b.daemon != nil {
		select {
		case <-b.ended:
			output, err := os.ReadFile(filepath.Join(b.dir, "output"))
			errs = append(errs, err, fmt.Errorf("the daemon has ended: %s", output))
		default:
			ctx := context.Background() // also after Ctrl-C
			errs = append(errs, b.sh(ctx, `rm -f manifests/*; until pods=$(solopod get pods -A -o name) && [ -z "$pods" ]; do sleep 0.2; done`),
				b.daemon.Process.Signal(syscall.SIGTERM))
			select {
			case <-b.ended:
			case <-time.After(limit):
				errs = append(errs, fmt.Errorf("the daemon did not end within %s", limit), b.daemon.Process.Kill())
				<-b.ended
			}
		}
	}
	return errors.Join(append(errs, foreign.RemoveAll(b.dir))...)
}
