package e2e

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asUser runs f in a thread of another user and group of the machine: what it opens and connects is that user's.
func asUser(t *testing.T, uid, gid int, f func()) {
	t.Helper()
	ended := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		for _, call := range [][4]uintptr{
			{unix.SYS_SETGROUPS}, {unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)}, {unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
		} {
			if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
				ended <- errno
				return
			}
		}
		f()
		ended <- nil
	}()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// client is one connection with its answers.
type client struct {
	net.Conn
	r *bufio.Reader
}

// begin sends a GET and returns the answer's status, 0 where there is none. Its body goes on, or was read.
func (c client) begin(path, header string) int {
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n"+header+"\r\n"); err != nil {
		return 0
	}
	resp, err := http.ReadResponse(c.r, nil) //nolint:bodyclose // it may go on
	if err != nil {
		return 0
	}
	if resp.ContentLength >= 0 {
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return 0
		}
	}
	return resp.StatusCode
}

// connect opens connections; each gets the whole patience of the tests for what it waits for.
func connect(t *testing.T, network, address string, n int, secure *tls.Config) (out []client) {
	t.Helper()
	for range n {
		c, err := net.Dial(network, address)
		if err != nil {
			t.Error(err)
			return out
		}
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Error(err)
		}
		if secure != nil {
			s := tls.Client(c, secure)
			if err := s.Handshake(); err != nil {
				t.Error(err)
			}
			c = s
		}
		out = append(out, client{c, bufio.NewReader(c)})
	}
	return out
}

// count begins something on each connection and counts the answers.
func count(all []client, path string) map[int]int {
	out := map[int]int{}
	for _, c := range all {
		out[c.begin(path, "")]++
	}
	return out
}

// lasting checks that a client of root's gets what goes on: it ends with the test's patience only.
func (b *box) lasting(what string, args ...string) {
	b.t.Helper()
	cmd := b.command(nil, args...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	said := make(chan error, 1)
	go func() {
		_, err := bufio.NewReader(out).ReadString('\n')
		said <- err
	}()
	select {
	case err := <-said:
		if err != nil {
			b.t.Errorf("%s: %v", what, err)
		}
	case <-time.After(patience):
		b.t.Errorf("%s says nothing", what)
	}
	cmd.Process.Kill() //nolint:errcheck // it may have ended
	cmd.Wait()         //nolint:errcheck // it was killed
}

// Nobody takes from others what a port or the socket has: neither streams nor connections.
func TestFairShares(t *testing.T) {
	t.Parallel()
	const group, token = 4321, "admin-token-0123456789"
	plain, secure := freePort(t), freePort(t)
	b := prepareBox(t, embedded, "--listen", plain, "--tls-listen", secure)
	b.writeFile("tokens", token+",root,admin\n")
	if err := os.Chmod(b.path("tokens"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.configure(fmt.Sprintf("plainPort: read\nsocketGroup: \"%d\"\nauthTokenFile: %s\n", group, b.path("tokens")))
	b.link(imageArchive, "images/box.tar")
	b.start()
	b.apply("pod.yaml", shell("pod", "while true; do echo word; sleep 1; done", ""))
	b.waitReady("pod")

	// Streams: of the port by another user, of the socket by a member of its group.
	var ofPort, ofSocket []client
	asUser(t, nobody, nobody, func() { ofPort = connect(t, "tcp", plain, 64, nil) })
	asUser(t, nobody, group, func() { ofSocket = connect(t, "unix", b.path("socket"), 64, nil) })
	for where, all := range map[string][]client{"port": ofPort, "socket": ofSocket} {
		if got := count(all, "/containerLogs/default/pod/main?follow=true"); got[200] != 32 || got[429] != 32 {
			t.Errorf("one client's streams of the %s: %v", where, got)
		}
	}
	if out := b.run("exec", "pod", "--", "echo", "ran"); out != "ran\n" {
		t.Errorf("exec: %q", out)
	}
	b.lasting("logs -f", "logs", "-f", "pod")
	b.lasting("get -w", "get", "pods", "-w")
	b.run("cp", "pod:/bin/busybox", b.path("copy"))
	if code := connect(t, "tcp", plain, 1, nil)[0].begin("/pods?watch=true", ""); code != 200 {
		t.Errorf("another user's stream of the port: %d", code)
	}
	for _, c := range append(ofPort, ofSocket...) {
		c.Close()
	}

	// Connections that do nothing, to each port: 300 of one client.
	anybody := &tls.Config{InsecureSkipVerify: true}
	ask := func(where, address string, config *tls.Config, header string) client {
		t.Helper()
		begun := time.Now()
		c := connect(t, "tcp", address, 1, config)[0]
		if code := c.begin("/healthz", header); code != 200 {
			t.Errorf("another client of %s: %d", where, code)
		}
		if took := time.Since(begun); took > 8*time.Second {
			t.Errorf("another client of %s has waited for %s", where, took)
		}
		return c
	}
	for where, c := range map[string]struct {
		address string
		config  *tls.Config
		header  string
	}{"the plain port": {plain, nil, ""}, "the TLS port": {secure, anybody, "Authorization: Bearer " + token + "\r\n"}} {
		first := ask(where, c.address, c.config, c.header)
		begun := time.Now()
		var idle []client
		asUser(t, nobody, nobody, func() {
			for range 300 {
				one := connect(t, "tcp", c.address, 1, c.config)
				if code := one[0].begin("/healthz", ""); code != 200 && code != 401 {
					t.Errorf("a connection of %s: %d", where, code)
				}
				idle = append(idle, one...)
			}
		})
		opened := time.Now()
		ask(where, c.address, c.config, c.header)
		if first.begin("/healthz", c.header) != 200 && opened.Sub(begun) < 8*time.Second {
			t.Errorf("another client's connection to %s was closed for those of one that has its share", where)
		}
		// All are closed: most at once for others of the same client, the last after ten seconds.
		for i, one := range idle {
			if n, err := one.r.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("idle connection %d to %s is not closed: %d bytes, %v", i, where, n, err)
			}
		}
		if took := time.Since(opened); took < 5*time.Second || took > 25*time.Second {
			t.Errorf("idle connections to %s end after %s", where, took)
		}
		if c.config != nil {
			if code := first.begin("/healthz", c.header); code != 200 {
				t.Errorf("an idle connection of a client that is known was closed, too: %d", code)
			}
		}
	}
}

// reply is what an answer has beside its body.
type reply struct {
	StatusCode int
	Status     string
	Header     http.Header
}

// headed is an answer with its headers.
func headed(t *testing.T, c *http.Client, method, address string, change func(*http.Request)) (reply, string) {
	t.Helper()
	req, err := http.NewRequest(method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Status, resp.Header}, string(body)
}

// The plain port shows health and metrics, to those who call the machine by a name of its own; the rest is behind the socket, or a token.
func TestPlainPort(t *testing.T) {
	t.Parallel()
	const token, value = "admin-token-0123456789", "hunter2"
	plain := freePort(t)
	b := prepareBox(t, embedded, "--listen", plain, "--node-name", "node-1")
	b.writeFile("tokens", token+",root,admin\n")
	if err := os.Chmod(b.path("tokens"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.configure(fmt.Sprintf("authTokenFile: %s\nallowedHosts: [box.example.com]\n", b.path("tokens")))
	b.link(imageArchive, "images/box.tar")
	b.start()
	b.apply("pod.yaml", shell("pod", "echo word-of-the-log; "+forever, "")+"    env: [{name: DB_PASSWORD, value: "+value+"}]\n")
	pod := b.waitReady("pod")
	client := &http.Client{Timeout: time.Minute}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	for _, path := range []string{"/healthz", "/readyz", "/version", "/metrics", "/metrics/state", "/metrics/cadvisor", "/metrics/resource", "/metrics/probes", "/stats/summary"} {
		resp, body := headed(t, client, "GET", "http://"+plain+path, nil)
		if resp.StatusCode != 200 || strings.Contains(body, value) || strings.Contains(body, "word-of-the-log") {
			t.Errorf("%s: %s, %s", path, resp.Status, body)
		}
	}
	refused := []string{"/", "/page.js", "/pods", "/pods?watch=true", "/runningpods/", "/containerLogs/default/pod/main", "/events", "/ooms", "/manifests", "/images", "/claims",
		"/workloads", "/node", "/logs/", "/configz", "/exec/default/pod/main?command=id&output=1"}
	for _, path := range refused {
		resp, body := headed(t, client, "GET", "http://"+plain+path, nil)
		if resp.StatusCode != 403 || !strings.Contains(body, "plainPort: read") || !strings.Contains(body, "--unix-socket "+b.path("socket")) {
			t.Errorf("%s: %s, %s", path, resp.Status, body)
		}
	}
	// The advice works.
	out, err := exec.Command("curl", "-sf", "--unix-socket", b.path("socket"), "http://localhost/pods").CombinedOutput()
	if err != nil || !strings.Contains(string(out), value) {
		t.Errorf("curl: %v, %s", err, out)
	}
	// A token shows more, and lets nobody change a thing.
	with := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	for path, want := range map[string]int{"/pods": 200, "/containerLogs/default/pod/main": 200, "/configz": 403, "/exec/default/pod/main?command=id&output=1": 403} {
		if resp, body := headed(t, client, "GET", "http://"+plain+path, with(token)); resp.StatusCode != want {
			t.Errorf("%s with a token: %s, %s", path, resp.Status, body)
		}
	}
	if resp, _ := headed(t, client, "GET", "http://"+plain+"/healthz", with("wrong-token-0123456789")); resp.StatusCode != 401 {
		t.Errorf("a wrong token: %s", resp.Status)
	}

	// A page whose name leads to this machine gets nothing, also through a socket that was forwarded, as ssh -L does.
	forwarded := b.tcp()
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]int{
		"attacker.example:10255": {403, 403}, "attacker.example": {403, 403}, "localhost.attacker.example": {403, 403}, "node-1.attacker.example": {403, 403},
		"198.51.100.7": {403, 403}, "localhost:10255": {200, 200}, plain: {200, 200}, "127.0.0.1": {200, 200}, "node-1": {200, 200}, machine + ":10255": {200, 200},
		"box.example.com": {200, 200}, "solopod": {403, 200},
	} {
		for i, address := range []string{plain, forwarded} {
			path := []string{"/healthz", "/pods"}[i]
			if resp, body := headed(t, client, "GET", "http://"+address+path, host(name)); resp.StatusCode != want[i] {
				t.Errorf("Host %s: %s, %s", name, resp.Status, body)
			}
		}
	}
	b.eventually("a refused host is told once", func() error {
		if n := strings.Count(b.daemonOutput(), "host=attacker.example:10255"); n != 1 {
			return fmt.Errorf("%d times", n)
		}
		return nil
	})
	// What comes through carries what keeps a browser from more.
	for _, address := range []string{"http://" + plain + "/metrics", "http://" + plain + "/nothing", "http://" + plain + "/pods", "http://" + forwarded + "/", "http://" + forwarded + "/pods",
		"http://" + forwarded + "/containerLogs/default/pod/main", "http://" + forwarded + "/logs/", "http://" + forwarded + "/logs/none"} {
		resp, _ := headed(t, client, "GET", address, nil)
		h := resp.Header
		if h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || h.Get("X-Frame-Options") != "DENY" ||
			h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") == "" {
			t.Errorf("%s: %v", address, h)
		}
	}
	if page := b.chromium("http://"+forwarded+"/", ""); !strings.Contains(page, "default/pod") {
		t.Errorf("the page through the forwarded socket:\n%s", page)
	}

	// What lies in the log directory is text, whatever it says; what is no file of the log's is not shown, nor waited for.
	for name, text := range map[string]string{"x.html": "<script>alert(1)</script>", "plain.log": "<html>", "old.gz": "\x1f\x8b"} {
		b.writeFile("log/"+name, text)
	}
	b.link("/etc/passwd", "log/link")
	if err := unix.Mkfifo(b.path("log/fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		code int
		kind string
	}{
		"x.html": {200, "text/plain; charset=utf-8"}, "plain.log": {200, "text/plain; charset=utf-8"}, "old.gz": {200, "application/octet-stream"},
		"link": {403, "application/json"}, "fifo": {403, "application/json"}, "none": {404, "application/json"}, "pods/": {200, "text/html; charset=utf-8"},
	} {
		resp, body := headed(t, b.http, "GET", "http://solopod/logs/"+name, nil)
		if resp.StatusCode != want.code || resp.Header.Get("Content-Type") != want.kind || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("/logs/%s: %s, %v, %s", name, resp.Status, resp.Header, body)
		}
	}
	log := b.path(fmt.Sprintf("log/pods/default_pod_%s/main/0.log", pod.UID))
	for what, plant := range map[string]func() error{
		"a link": func() error { return os.Symlink("/etc/passwd", log) },
		"a FIFO": func() error { return unix.Mkfifo(log, 0o600) },
		"another's file": func() error {
			return errors.Join(os.WriteFile(log, []byte("2026-01-01T00:00:00Z stdout F planted\n"), 0o644), os.Chown(log, 65534, 65534))
		},
	} {
		if err := errors.Join(os.Remove(log), plant()); err != nil {
			t.Fatal(err)
		}
		if out, err := b.try("logs", "pod"); err == nil || !strings.Contains(out, "not a log file of Solopod's") {
			t.Errorf("%s in place of a log: %v, %s", what, err, out)
		}
	}
}

// Certificates, authorities and tokens are looked at again when they change, and none that others could have changed count.
func TestRenewal(t *testing.T) {
	t.Parallel()
	const token = "admin-token-0123456789"
	secure := freePort(t)
	b := prepareBox(t, embedded, "--tls-listen", secure)
	b.writeFile("tokens", token+",root,admin\n")
	if err := os.Chmod(b.path("tokens"), 0o600); err != nil {
		t.Fatal(err)
	}
	operator := clientCertificate(t, b.path("ca.crt"), "solopod:admin")
	b.configure(fmt.Sprintf("authTokenFile: %s\nclientCAFile: %s\n", b.path("tokens"), b.path("ca.crt")))
	b.start()
	answers := func() error {
		c, err := net.Dial("tcp", secure)
		if err == nil {
			c.Close()
		}
		return err
	}
	b.eventually("the TLS port answers", answers)
	shown := func() string {
		t.Helper()
		c, err := tls.Dial("tcp", secure, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := shown(); got != "solopod" {
		t.Errorf("at first it is %s", got)
	}
	fresh := func(name string) {
		t.Helper()
		out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", b.path("root/tls/server.key"),
			"-out", b.path("root/tls/server.crt"), "-subj", "/CN="+name, "-days", "1").CombinedOutput()
		if err != nil {
			t.Fatalf("openssl: %v: %s", err, out)
		}
	}
	fresh("second")
	if got := shown(); got != "second" {
		t.Errorf("after a renewal it is %s", got)
	}
	b.writeFile("root/tls/server.crt", "no certificate")
	if got := shown(); got != "second" {
		t.Errorf("after a broken one it is %s", got)
	}
	b.eventually("the broken one is told", func() error {
		if said := b.daemonOutput(); !strings.Contains(said, "what was read before is used on") {
			return errors.New(said)
		}
		return nil
	})
	fresh("third")
	if got := shown(); got != "third" {
		t.Errorf("after the next renewal it is %s", got)
	}

	// The authority of clients: whom it has let in is out at the next request, on the same connection too.
	withCertificate := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{operator}}}}
	if code, body := ask(withCertificate, "GET", "https://"+secure+"/configz", ""); code != 200 {
		t.Errorf("a client's certificate: %d, %s", code, body)
	}
	other := clientCertificate(t, b.path("new.crt"), "solopod:admin")
	if err := os.Rename(b.path("new.crt"), b.path("ca.crt")); err != nil {
		t.Fatal(err)
	}
	if code, body := ask(withCertificate, "GET", "https://"+secure+"/configz", ""); code != 401 {
		t.Errorf("a certificate of an authority that is trusted no more: %d, %s", code, body)
	}
	withOther := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{other}}}}
	if code, body := ask(withOther, "GET", "https://"+secure+"/configz", ""); code != 200 {
		t.Errorf("a certificate of the new authority: %d, %s", code, body)
	}

	// Tokens: with the same time and size, but others' rights.
	anybody := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for _, c := range []struct {
		mode os.FileMode
		uid  int
		code int
	}{{0o600, 0, 200}, {0o666, 0, 401}, {0o600, 0, 200}, {0o600, 65534, 401}, {0o400, 0, 200}} {
		if err := errors.Join(os.Chmod(b.path("tokens"), c.mode), os.Chown(b.path("tokens"), c.uid, -1)); err != nil {
			t.Fatal(err)
		}
		if code, body := ask(anybody, "GET", "https://"+secure+"/pods", token); code != c.code || strings.Contains(body, b.path("tokens")) {
			t.Errorf("tokens of mode %o and uid %d: %d, %s", c.mode, c.uid, code, body)
		}
	}
	// A name that is in the certificate is the machine's, another is not.
	for name, want := range map[string]int{"attacker.example": 403, "localhost": 200} {
		if resp, body := headed(t, anybody, "GET", "https://"+secure+"/pods", func(r *http.Request) {
			r.Host = name
			r.Header.Set("Authorization", "Bearer "+token)
		}); resp.StatusCode != want {
			t.Errorf("Host %s on the TLS port: %s, %s", name, resp.Status, body)
		}
	}

	// At a start what others could change is refused, with advice.
	b.stop(syscall.SIGTERM)
	for _, c := range []struct {
		file, says string
		mode       os.FileMode
		uid        int
	}{
		{"tokens", "chown root", 0o600, 65534}, {"tokens", "chmod 600", 0o640, 0}, {"config.yaml", "chown root", 0o644, 65534}, {"config.yaml", "chmod go-w", 0o664, 0},
		{"root/tls/server.key", "chmod 640", 0o644, 0}, {"ca.crt", "chown root", 0o644, 65534}, {"", "others can write to the directory", 0o777, 0},
	} {
		path := b.path(c.file)
		info, err := os.Stat(path)
		if err == nil {
			err = errors.Join(os.Chmod(path, c.mode), os.Chown(path, c.uid, -1))
		}
		if err != nil {
			t.Fatal(err)
		}
		b.launch()
		daemon := b.daemon
		b.daemon = nil
		if err := daemon.Wait(); exitCode(err) != 1 {
			t.Errorf("%s of mode %o and uid %d: %v", c.file, c.mode, c.uid, err)
		}
		if said := b.daemonOutput(); !strings.Contains(said[max(0, len(said)-2000):], c.says) {
			t.Errorf("%s of mode %o and uid %d: %s", c.file, c.mode, c.uid, said)
		}
		if err := errors.Join(os.Chmod(path, info.Mode()), os.Chown(path, 0, -1)); err != nil {
			t.Fatal(err)
		}
	}
	b.start()
	b.eventually("the TLS port answers again", answers)
	if got := shown(); got != "third" {
		t.Errorf("after a restart it is %s", got)
	}
}
