package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	clientexec "k8s.io/client-go/util/exec"
)

// command is the program with input; it is not started.
func (b *box) command(input io.Reader, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, append([]string{"--socket", b.path("socket")}, args...)...)
	cmd.Stdin = input
	return cmd
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// The command line enters containers: exec, attach and port-forward.
func TestSessions(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.apply("pods.yaml", shell("shell", forever, "")+"---\n"+web("web", "")+"---\n"+
			shell("input", "while read line; do echo got $line; done; printf over", "restartPolicy: Never")+"    stdin: true\n    stdinOnce: true\n    env: [{name: A, value: b}]\n---\n"+
			shell("terminal", "while read line; do echo got $line; done; echo over", "")+"    stdin: true\n    stdinOnce: true\n    tty: true\n")
		b.waitReady("shell")
		b.waitReady("web")
		b.waitPod("input", "running", isReady)

		var stdout, stderr bytes.Buffer
		cmd := b.command(nil, "exec", "shell", "--", "sh", "-c", "echo $FROM_IMAGE; echo problem >&2; exit 7")
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); exitCode(err) != 7 || stdout.String() != "yes\n" || !strings.HasPrefix(stderr.String(), "problem\n") {
			t.Errorf("exec: %v, %q, %q", err, stdout.String(), stderr.String())
		}
		// More than any buffer holds goes through, both ways and to its end.
		big := bytes.Repeat([]byte("0123456789abcde\n"), 1<<19)
		out, err := b.command(bytes.NewReader(big), "exec", "-i", "pod/shell", "-c", "main", "--", "cat").Output()
		if err != nil || !bytes.Equal(out, big) {
			t.Errorf("8 MiB through cat: %d bytes, %v", len(out), err)
		}
		if out, err := b.command(nil, "exec", "-t", "shell", "--", "sh", "-c", "test -t 1 && echo $TERM").Output(); err != nil || string(out) != "xterm\r\n" {
			t.Errorf("with a terminal: %q, %v", out, err)
		}
		endsOfInput(t, b)
		for want, args := range map[string][]string{
			"not found": {"exec", "none", "--", "true"}, `no container "none"`: {"exec", "shell", "-c", "none", "--", "true"},
			"no-such-program": {"exec", "shell", "--", "no-such-program"}, "name a pod and, after --": {"exec", "shell"},
			"reads no input": {"attach", "-i", "shell"}, "has no port with the name": {"port-forward", "web", "x"}, "is no port": {"port-forward", "web", "70000"},
		} {
			if out, err := b.command(strings.NewReader(""), args...).CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
				t.Errorf("%v: %s, %v", args, out, err)
			}
		}
		// Who goes away leaves nothing running.
		cmd = b.command(nil, "exec", "shell", "--", "sleep", "4321")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		sleeps := func(want bool) func() error {
			return func() error {
				if out := b.run("exec", "shell", "--", "ps"); strings.Contains(out, "sleep 4321") != want {
					return fmt.Errorf("processes:\n%s", out)
				}
				return nil
			}
		}
		b.eventually("the command runs", sleeps(true))
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); exitCode(err) != 130 {
			t.Errorf("after Ctrl-C: %v", err)
		}
		b.eventually("the command is killed", sleeps(false))

		// What is attached sees what is said from then on, and the end of its input is the container's.
		out, err = b.command(strings.NewReader("one\ntwo\n"), "attach", "-i", "input").CombinedOutput()
		if err != nil || string(out) != "got one\ngot two\nover" {
			t.Errorf("attach: %q, %v", out, err)
		}
		b.waitPhase("input", v1.PodSucceeded)
		// A terminal is not hung up when a session ends: the next one finds it as it was.
		for _, word := range []string{"one", "two"} {
			cmd := b.command(strings.NewReader(word+"\n"), "attach", "-it", "terminal")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			b.eventually("the terminal answers", func() error {
				if out := b.run("logs", "terminal"); !strings.Contains(out, "got "+word) {
					return fmt.Errorf("%q", out)
				}
				return nil
			})
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); exitCode(err) != 130 {
				t.Errorf("attach: %v", err)
			}
		}
		if out := b.run("logs", "terminal"); strings.Contains(out, "over") || status(b.pod("default", "terminal"), "main").RestartCount != 0 {
			t.Errorf("the input of a terminal has ended with its session: %q", out)
		}
		if out, err := b.try("exec", "input", "--", "true"); err == nil || !strings.Contains(out, "not running; it has ended") {
			t.Errorf("an ended container: %s, %v", out, err)
		}

		forwarding := b.command(nil, "port-forward", "web", ":8080", ":1")
		said, err := forwarding.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		problems, err := os.Create(b.path("problems"))
		if err != nil {
			t.Fatal(err)
		}
		defer problems.Close()
		forwarding.Stderr = problems
		if err := forwarding.Start(); err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 4096)
		n := 0
		for strings.Count(string(text[:n]), "\n") < 2 {
			more, err := said.Read(text[n:])
			if err != nil {
				t.Fatal(err, readFile(t, problems.Name()))
			}
			n += more
		}
		ports := regexp.MustCompile(`127.0.0.1:(\d+) -> `).FindAllStringSubmatch(string(text[:n]), 2)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if got := httpGet("http://127.0.0.1:" + ports[0][1] + "/healthz"); got != "200 ok\n" {
					t.Errorf("through the forwarded port: %q", got)
				}
			})
		}
		wg.Wait()
		if got := httpGet("http://127.0.0.1:" + ports[1][1]); !strings.Contains(got, "EOF") && !strings.Contains(got, "reset") {
			t.Errorf("a port that nobody listens on: %q", got)
		}
		b.eventually("it is said why", func() error {
			if text := readFile(t, problems.Name()); !strings.Contains(text, "connection refused") {
				return fmt.Errorf("%q", text)
			}
			return nil
		})
		if err := forwarding.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := forwarding.Wait(); err != nil {
			t.Errorf("port-forward: %v", err)
		}
	})
}

// endsOfInput: a command with a terminal goes on when its input ends, and is told of that.
func endsOfInput(t *testing.T, b *box) {
	t.Helper()
	for _, c := range []struct {
		input io.Reader // nil is /dev/null
		args  []string
		code  int
		want  string
	}{
		{nil, []string{"echo", "hi"}, 0, "hi\r\n"},
		{nil, []string{"sh", "-c", "sleep 0.3; echo late; exit 3"}, 3, "late\r\n"},
		{nil, []string{"sh", "-c", "cat; cat; echo over"}, 0, "over\r\n"},
		{strings.NewReader("one\ntwo"), []string{"sh", "-c", "stty -echo; cat"}, 0, "one\r\ntwo"},
		{strings.NewReader("echo $((6 * 7)); cat; exit 5\n"), []string{"sh"}, 5, "42\r\n"},
	} {
		out, err := b.command(c.input, append([]string{"exec", "-it", "shell", "--"}, c.args...)...).Output()
		code := 0
		if err != nil {
			code = exitCode(err)
		}
		// A shell shows prompts, and what is typed.
		if code != c.code || !strings.HasSuffix(string(out), c.want) && (c.args[0] != "sh" || len(c.args) > 1 || !strings.Contains(string(out), c.want)) {
			t.Errorf("%q: code %d, %q (%v); want code %d and %q", c.args, code, out, err, c.code, c.want)
		}
	}
}

// httpGet is the status and the body of an answer, or what went wrong.
func httpGet(address string) string {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	code, body := ask(client, "GET", address, "")
	if code == 0 {
		return body
	}
	return fmt.Sprintf("%d %s\n", code, strings.TrimSpace(body))
}

// tcp makes the socket reachable on loopback, as ssh -L PORT:SOCKET does, for clients that know no unix sockets.
func (b *box) tcp() string {
	b.t.Helper()
	return onLoopback(b.t, func(conn net.Conn) {
		socket, err := net.Dial("unix", b.path("socket"))
		if err != nil {
			return
		}
		go func() {
			io.Copy(socket, conn)               //nolint:errcheck // the other side notices
			socket.(*net.UnixConn).CloseWrite() //nolint:errcheck // the other side notices
		}()
		io.Copy(conn, socket) //nolint:errcheck // the other side notices
	})
}

// onLoopback serves each connection to a port of loopback in a goroutine, and closes it then. It returns the port's address.
func onLoopback(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// sizes is a terminal that is resized once.
type sizes struct{ left []remotecommand.TerminalSize }

func (s *sizes) Next() *remotecommand.TerminalSize {
	if len(s.left) == 0 {
		return nil
	}
	next := s.left[0]
	s.left = s.left[1:]
	return &next
}

// Kubernetes' own client, which a kube-apiserver is built on as well, talks to Solopod: SPDY, and WebSockets of protocol v5.
func TestKubernetesClient(t *testing.T) {
	b := newBox(t, embedded)
	b.apply("pods.yaml", shell("shell", forever, "")+"---\n"+web("web", ""))
	pod := b.waitReady("shell")
	b.waitReady("web")
	config := &rest.Config{Host: "http://" + b.tcp()}
	for _, kind := range []string{"SPDY", "WebSocket"} {
		stream := func(query url.Values, o remotecommand.StreamOptions) error {
			u, err := url.Parse(config.Host + "/exec/default/shell/" + string(pod.UID) + "/main?" + query.Encode())
			if err != nil {
				t.Fatal(err)
			}
			executor, err := remotecommand.NewSPDYExecutor(config, "POST", u)
			if kind == "WebSocket" {
				executor, err = remotecommand.NewWebSocketExecutor(config, "GET", u.String())
			}
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			return executor.StreamWithContext(ctx, o)
		}
		// wc ends when its input does: v5 can say so, as SPDY could.
		var out, errOut bytes.Buffer
		err := stream(url.Values{"command": {"sh", "-c", "wc -c; echo bad >&2; exit 5"}, "input": {"1"}, "output": {"1"}, "error": {"1"}},
			remotecommand.StreamOptions{Stdin: strings.NewReader(strings.Repeat("x", 1<<20)), Stdout: &out, Stderr: &errOut})
		var exit clientexec.CodeExitError
		if !errors.As(err, &exit) || exit.Code != 5 || strings.TrimSpace(out.String()) != "1048576" || errOut.String() != "bad\n" {
			t.Errorf("%s: %v, %q, %q", kind, err, out.String(), errOut.String())
		}
		out.Reset()
		err = stream(url.Values{"command": {"sh", "-c", "until stty size | grep '33 77'; do sleep 0.1; done"}, "output": {"1"}, "tty": {"1"}},
			remotecommand.StreamOptions{Stdout: &out, Tty: true, TerminalSizeQueue: &sizes{[]remotecommand.TerminalSize{{Width: 10, Height: 5}, {Width: 77, Height: 33}}}})
		if err != nil || !strings.HasSuffix(out.String(), "33 77\r\n") {
			t.Errorf("%s: a resized terminal: %q, %v", kind, out.String(), err)
		}
		for range 10 { // the input ends before the command does
			out.Reset()
			err = stream(url.Values{"command": {"sh", "-c", "stty -echo; cat; echo hi; exit 5"}, "input": {"1"}, "output": {"1"}, "tty": {"1"}},
				remotecommand.StreamOptions{Stdin: strings.NewReader(""), Stdout: &out, Tty: true})
			if !errors.As(err, &exit) || exit.Code != 5 || out.String() != "hi\r\n" {
				t.Errorf("%s: a terminal whose input ends: %q, %v", kind, out.String(), err)
			}
		}
		err = stream(url.Values{"output": {"1"}}, remotecommand.StreamOptions{Stdout: &out})
		if err == nil || !strings.Contains(err.Error(), "command is missing") && !strings.Contains(err.Error(), "400") {
			t.Errorf("%s: without a command: %v", kind, err)
		}
	}

	logs := rest.CopyConfig(config)
	logs.ContentConfig = rest.ContentConfig{GroupVersion: &v1.SchemeGroupVersion, NegotiatedSerializer: scheme.Codecs.WithoutConversion()}
	client, err := rest.UnversionedRESTClientFor(logs)
	if err != nil {
		t.Fatal(err)
	}
	b.eventually("client-go reads the log", func() error {
		text, err := client.Get().AbsPath("/containerLogs/default/web/web").Param("tailLines", "1").Do(context.Background()).Raw()
		if err == nil && !strings.Contains(string(text), "listening") {
			err = fmt.Errorf("%q", text)
		}
		return err
	})
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(config.Host + "/portForward/default/web")
	if err != nil {
		t.Fatal(err)
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.New(spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", u), []string{"0:8080"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	if got := httpGet(fmt.Sprintf("http://127.0.0.1:%d/healthz", ports[0].Local)); got != "200 ok\n" {
		t.Errorf("through client-go's port-forward: %q", got)
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if code, body := ask(b.http, "POST", "http://solopod/run/default/shell/main?cmd=echo&cmd=ran", ""); code != 200 || body != "ran\n" {
		t.Errorf("run: %d, %q", code, body)
	}
	if code, body := ask(b.http, "POST", "http://solopod/run/default/shell/main?cmd=/bin/busybox%20echo%20hi", ""); code != 200 || body != "hi\n" {
		t.Errorf("run with blanks: %d, %q", code, body)
	}
}
