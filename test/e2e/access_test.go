package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
)

// freePort is an address on loopback that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// clientCertificate makes an authority, written to path, and a certificate of it.
func clientCertificate(t *testing.T, path, group string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	mine := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "operator", Organization: []string{group}}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	leaf, err := x509.CreateCertificate(rand.Reader, mine, authority, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: key}
}

// ask sends a request and returns the status and the body, or 0 and what went wrong.
func ask(client *http.Client, method, address, token string) (int, string) {
	req, err := http.NewRequest(method, address, nil)
	if err != nil {
		return 0, err.Error()
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// The tokens of portsBox.
const adminToken, readerToken = "admin-token-0123456789", "reader-token-0123456789"

// portsBox is a box with both ports, which is not started yet. It knows two tokens, and certificates of an authority; the one returned is
// an admin's. settings are more of its configuration, in which {dir} is its directory.
func portsBox(t *testing.T, settings string) (b *box, plain, secure string, certificate tls.Certificate) {
	t.Helper()
	plain, secure = freePort(t), freePort(t)
	b = prepareBox(t, embedded, "--listen", plain, "--tls-listen", secure)
	b.flags = append(b.flags, "--config", b.path("config.yaml"))
	b.writeFile("tokens", adminToken+",root,admin\n"+readerToken+",prometheus,read-only\n")
	if err := os.Chmod(b.path("tokens"), 0o600); err != nil {
		t.Fatal(err)
	}
	certificate = clientCertificate(t, b.path("ca.crt"), "solopod:admin")
	b.writeFile("config.yaml", strings.ReplaceAll("authTokenFile: {dir}/tokens\nclientCAFile: {dir}/ca.crt\n"+settings, "{dir}", b.dir))
	b.link(imageArchive, "images/box.tar")
	return b, plain, secure, certificate
}

// Who may do what: the socket everything, the plain port nothing but read where the configuration says so, the TLS port by certificate or
// token.
func TestAccess(t *testing.T) {
	const admin, reader = adminToken, readerToken
	b, plain, secure, certificate := portsBox(t, "socketGroup: \"4321\"\nplainPort: read\n")
	b.start()
	b.applyObject("secret.yaml", secret("keys", "{password: "+secretText+"}"))
	b.apply("pod.yaml", shell("pod", forever, "volumes: [{name: keys, secret: {secretName: keys}}]")+
		"    env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: keys, key: password}}}]\n    volumeMounts: [{name: keys, mountPath: /keys}]\n")
	pod := b.waitReady("pod")

	const days = 24 * 60 * 60
	if left, ok := sample(b.families("/metrics?state=false")["kubelet_certificate_manager_server_ttl_seconds"]); !ok || left < days || left > 10000*days {
		t.Errorf("the certificate holds for %v s, %t", left, ok)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(b.path("socket"), &st); err != nil || st.Gid != 4321 || st.Mode&0o777 != 0o660 {
		t.Errorf("the socket is of group %d, mode %o, %v", st.Gid, st.Mode&0o777, err)
	}
	client := &http.Client{Timeout: time.Minute}
	reads := []string{"/pods", "/runningpods/", "/events", "/ooms", "/manifests", "/images", "/workloads", "/node", "/version", "/metrics", "/metrics/cadvisor",
		"/metrics/state", "/metrics/resource", "/metrics/probes", "/stats/summary", "/containerLogs/default/pod/main", "/healthz", "/readyz"}
	for _, path := range reads {
		code, body := ask(client, "GET", "http://"+plain+path, "")
		if code != 200 || strings.Contains(body, secretText) {
			t.Errorf("GET %s on the plain port: %d, %s", path, code, body)
		}
	}
	mayNot := map[string]string{
		"/exec/default/pod/main?command=env&output=1": "GET", "/run/default/pod/main?cmd=env": "POST", "/attach/default/pod/main?output=1": "GET",
		"/portForward/default/pod": "POST", "/restart/default/pod": "POST", "/drain?timeout=1s": "POST", "/images": "DELETE", "/logs/": "GET", "/configz": "GET",
	}
	for path, method := range mayNot {
		if code, body := ask(client, method, "http://"+plain+path, ""); code != 403 || !strings.Contains(body, "may only read") {
			t.Errorf("%s %s on the plain port: %d, %s", method, path, code, body)
		}
	}

	// The TLS port shows a certificate that was made, and is kept.
	text := readFile(t, b.path("root/tls/server.crt"))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(text))
	withTLS := func(c *tls.Config) *http.Client {
		c.RootCAs = pool
		return &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}}
	}
	stranger, operator := withTLS(&tls.Config{}), withTLS(&tls.Config{Certificates: []tls.Certificate{certificate}})
	for _, c := range []struct {
		client *http.Client
		token  string
		path   string
		method string
		code   int
	}{
		{stranger, "", "/pods", "GET", 401}, {stranger, "wrong-token-0123456789", "/healthz", "GET", 401}, {stranger, reader, "/metrics/cadvisor", "GET", 200},
		{stranger, reader, "/run/default/pod/main?cmd=env", "POST", 403}, {stranger, reader, "/logs/", "GET", 403},
		{stranger, admin, "/run/default/pod/main?cmd=env", "POST", 200}, {stranger, admin, "/logs/pods/", "GET", 200},
		{stranger, admin, "/logs/..%2f..%2fetc%2fpasswd", "GET", 400}, {operator, "", "/run/default/pod/main?cmd=env", "POST", 200},
		{operator, "", "/configz", "GET", 200},
	} {
		code, body := ask(c.client, c.method, "https://"+secure+c.path, c.token)
		if code != c.code && (c.code != 400 || code != 404) {
			t.Errorf("%s %s with %q: %d, want %d: %s", c.method, c.path, c.token, code, c.code, body)
		}
		if strings.HasPrefix(c.path, "/run/") && code == 200 && !strings.Contains(body, "PASSWORD="+secretText) {
			t.Errorf("the environment: %s", body)
		}
	}
	other := withTLS(&tls.Config{Certificates: []tls.Certificate{clientCertificate(t, b.path("other.crt"), "solopod:admin")}})
	if code, body := ask(other, "GET", "https://"+secure+"/pods", admin); code != 0 || !strings.Contains(body, "tls") {
		t.Errorf("a certificate of another authority: %d, %s", code, body)
	}
	// A page of another site cannot use its reader's rights.
	for name, value := range map[string]string{"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"} {
		for path, method := range map[string]string{"/exec/default/pod/main?command=env&output=1": "GET", "/restart/default/pod": "POST"} {
			req, err := http.NewRequest(method, "https://"+secure+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.SetBasicAuth("anyone", admin)
			req.Header.Set(name, value)
			resp, err := stranger.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != 403 {
				t.Errorf("%s with %s: %s", path, name, resp.Status)
			}
		}
	}
	// client-go, as a kube-apiserver uses it with kubelets.
	u, err := url.Parse("https://" + secure + "/exec/default/pod/" + string(pod.UID) + "/main?command=echo&command=entered&output=1")
	if err != nil {
		t.Fatal(err)
	}
	config := &rest.Config{Host: "https://" + secure, BearerToken: admin, TLSClientConfig: rest.TLSClientConfig{CAFile: b.path("root/tls/server.crt")}}
	for _, kind := range []string{"SPDY", "WebSocket"} {
		executor, err := remotecommand.NewSPDYExecutor(config, "POST", u)
		if kind == "WebSocket" {
			executor, err = remotecommand.NewWebSocketExecutor(config, "GET", u.String())
		}
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := executor.StreamWithContext(context.Background(), remotecommand.StreamOptions{Stdout: &out}); err != nil || out.String() != "entered\n" {
			t.Errorf("%s with TLS: %q, %v", kind, out.String(), err)
		}
	}
	if said := b.daemonOutput(); !regexp.MustCompile(`msg=audit stage=end via=tls user=root .* path=/run/default/pod/main `).MatchString(said) || !strings.Contains(said, "user=operator") || strings.Contains(said, admin) {
		t.Errorf("the log does not say who did what, or says too much:\n%s", said)
	}
	// Nobody was let in by what is missing.
	b.stop(syscall.SIGTERM)
	for content, want := range map[string]string{"{}\n": "lets nobody in", "authTokenFile: /none\n": "cannot read the tokens", "tlsCertFile: /none\nauthTokenFile: " + b.path("tokens"): "go together",
		"plainPort: all\n": `plainPort: "all" is not metrics or read`, "allowedHosts: [\"http://box\"]\n": "allowedHosts"} {
		b.writeFile("config.yaml", content)
		out, err := b.command(nil, "run", "--config", b.path("config.yaml"), "--tls-listen", secure, "--listen", "", "--root", b.path("root"), "--state", b.path("state"),
			"--log-dir", b.path("log"), "--manifests", b.path("manifests"), "--images", b.path("images"), "--cgroup-root", b.cgroup).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%q: %v, %s", content, err, out)
		}
	}
	b.writeFile("config.yaml", "authTokenFile: "+b.path("tokens")+"\n")
	b.start()
	if again := readFile(t, b.path("root/tls/server.crt")); again != text {
		t.Error("the certificate was made anew")
	}
}

// Clients cannot take more than their part: slow ones, huge requests, many of them, many open streams.
func TestManyClients(t *testing.T) {
	address := freePort(t)
	b := newBox(t, embedded, "--listen", address)
	b.apply("pod.yaml", shell("pod", "echo hello; "+forever, ""))
	b.waitReady("pod")
	files := func() int {
		entries, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", b.daemon.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := files()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}

	// Those who never say what they want take all connections of the port, and are put off.
	var slow []net.Conn
	for range 300 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET /pods HTTP/1.1\r\nHost: x\r\nX-"); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
	}
	if _, err := b.get("/healthz"); err != nil {
		t.Errorf("the socket, beside slow clients of the port: %v", err)
	}
	if code, body := ask(client, "GET", "http://"+address+"/healthz", ""); code != 200 {
		t.Errorf("the port, after slow clients: %d, %s", code, body)
	}
	for _, c := range slow {
		c.Close()
	}
	req, err := http.NewRequest("GET", "http://"+address+"/pods", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Huge", strings.Repeat("x", 1<<20))
	if resp, err := client.Do(req); err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a huge request: %s", resp.Status)
		}
	}

	// Ten thousand requests, eight at a time.
	var wg sync.WaitGroup
	var failed atomic.Int64
	keep := &http.Client{Timeout: time.Minute}
	for range 8 {
		wg.Go(func() {
			for range 1250 {
				if code, _ := ask(keep, "GET", "http://"+address+"/readyz", ""); code != 200 {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	keep.CloseIdleConnections()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of 10000 requests failed", n)
	}

	// A thousand want to follow a log; some may, the others are told.
	var open, refused, wrong atomic.Int64
	var first atomic.Value
	ctx, cancel := context.WithCancel(context.Background())
	for range 1000 {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(ctx, "GET", "http://solopod/containerLogs/default/pod/main?follow=true", nil)
			if err != nil {
				wrong.Add(1)
				return
			}
			resp, err := b.http.Do(req)
			if err != nil {
				first.CompareAndSwap(nil, err)
				wrong.Add(1)
				return
			}
			defer resp.Body.Close()
			switch resp.StatusCode {
			case 200:
				open.Add(1)
				io.Copy(io.Discard, resp.Body) //nolint:errcheck // until the test ends it
			case http.StatusTooManyRequests:
				refused.Add(1)
			default:
				wrong.Add(1)
			}
		})
	}
	b.eventually("all are answered", func() error {
		if n := open.Load() + refused.Load() + wrong.Load(); n < 1000 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	if open.Load() != 128 || wrong.Load() > 0 {
		t.Errorf("%d streams are open, %d refused, %d failed: %v", open.Load(), refused.Load(), wrong.Load(), first.Load())
	}
	if out := b.run("get", "pods"); !strings.Contains(out, "1/1") {
		t.Errorf("beside all streams:\n%s", out)
	}
	cancel()
	wg.Wait()
	b.eventually("nothing is left open", func() error {
		if n := files(); n > before+10 {
			return fmt.Errorf("%d files, and %d before", n, before)
		}
		return nil
	})
	if out := b.run("exec", "pod", "--", "echo", "still here"); out != "still here\n" {
		t.Errorf("afterwards: %q", out)
	}
}
