package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// auditLine is what tests look for in a line of the audit file.
type auditLine struct {
	Time                                           time.Time
	Stage, Via, User, Subject, From, Process, Verb string
	Path, Namespace, Pod, Container, File, Mode    string
	Outcome, Error                                 string
	UID                                            *int
	PID, Status, Unsaid                            int
	AtStart                                        bool
	Command, Added, Edited, Removed, Ports         []string
}

// auditLines are those of the box's audit file.
func (b *box) auditLines() (out []auditLine) {
	b.t.Helper()
	for line := range bytes.Lines([]byte(readFile(b.t, b.path("log/audit.log")))) {
		var l auditLine
		if err := json.Unmarshal(line, &l); err != nil {
			b.t.Fatalf("%q: %v", line, err)
		}
		if l.Time.IsZero() || time.Since(l.Time) > time.Hour {
			b.t.Errorf("the time of %q", line)
		}
		out = append(out, l)
	}
	return out
}

// audited waits for a line and returns it.
func (b *box) audited(what string, is func(auditLine) bool) (found auditLine) {
	b.t.Helper()
	b.eventually("a line: "+what, func() error {
		lines := b.auditLines()
		i := slices.IndexFunc(lines, is)
		if i < 0 {
			return fmt.Errorf("there are %+v", lines)
		}
		found = lines[i]
		return nil
	})
	return found
}

// Every change has a line that says who, what and what came of it, in the log and in a file of root's, and nothing of Secrets,
// environments and streams; reading has none, and nobody without rights fills the file.
func TestAuditLines(t *testing.T) {
	const admin, reader = adminToken, readerToken
	b, plain, secure, certificate := portsBox(t, "auditLog: {dir}/log/audit.log\n")
	b.start()
	b.applyObject("secret.yaml", secret("keys", "{password: "+secretText+"}"))
	b.apply("pod.yaml", shell("pod", forever, "volumes: [{name: keys, secret: {secretName: keys}}]")+
		"    env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: keys, key: password}}}]\n    volumeMounts: [{name: keys, mountPath: /keys}]\n")
	b.waitReady("pod")

	// Files: who owns them, and what they change.
	l := b.audited("the pod is added", func(l auditLine) bool { return slices.Contains(l.Added, "default/pod") })
	if l.Stage != "file" || l.File != "pod.yaml" || l.UID == nil || *l.UID != 0 || l.Mode != "0644" || l.Outcome != "accepted" || l.Error != "" {
		t.Errorf("the pod's file: %+v", l)
	}
	b.audited("the Secret is added", func(l auditLine) bool { return slices.Contains(l.Added, "secret/default/keys") })

	// The socket: the process, and how its session ended.
	if out, err := b.try("exec", "pod", "--", "sh", "-c", "echo prin''ted $PASSWORD; exit 7"); exitCode(err) != 7 {
		t.Fatalf("%v: %s", err, out)
	}
	begin := b.audited("an exec begins", func(l auditLine) bool { return l.Verb == "exec" && l.Stage == "begin" })
	end := b.audited("the exec ends", func(l auditLine) bool { return l.Verb == "exec" && l.Stage == "end" })
	for _, l := range []auditLine{begin, end} {
		if l.Via != "socket" || l.UID == nil || *l.UID != 0 || l.PID == 0 || l.Process != "solopod" || l.Namespace != "default" || l.Pod != "pod" ||
			!slices.Equal(l.Command, []string{"sh", "-c", "echo prin''ted $PASSWORD; exit 7"}) {
			t.Errorf("the exec: %+v", l)
		}
	}
	if end.Status != 101 || !strings.Contains(end.Error, "exit code 7") {
		t.Errorf("the end of the exec: %+v", end)
	}
	b.run("restart", "pod")
	if l := b.audited("a restart", func(l auditLine) bool { return l.Verb == "restart" }); l.Stage != "done" || l.Status != 200 || l.Pod != "pod" {
		t.Errorf("the restart: %+v", l)
	}
	b.waitReady("pod")
	if out, err := b.try("restart", "none"); err == nil {
		t.Errorf("a pod that does not exist is restarted: %s", out)
	}
	// The command asks which pod is meant before; others just ask.
	if code, out := ask(b.http, "POST", "http://solopod/restart/default/none", ""); code != 404 {
		t.Errorf("a pod that does not exist is restarted: %d, %s", code, out)
	}
	b.audited("a restart of nothing", func(l auditLine) bool {
		return l.Verb == "restart" && l.Pod == "none" && l.Status == 404 && l.Error != ""
	})

	b.apply("web.yaml", web("web", ""))
	b.waitReady("web")
	forwarding := b.command(nil, "port-forward", "web", ":8080")
	said, err := forwarding.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := forwarding.Start(); err != nil {
		t.Fatal(err)
	}
	text, err := bufio.NewReader(said).ReadString('\n')
	address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(text)
	if err != nil || address == "" {
		t.Fatalf("%q, %v", text, err)
	}
	fetch(t, "http://"+address+"/")
	b.audited("a port-forward begins", func(l auditLine) bool { return l.Verb == "port-forward" && l.Stage == "begin" && l.Pod == "web" })
	if err := forwarding.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	forwarding.Wait() //nolint:errcheck // it was ended
	b.audited("it ends", func(l auditLine) bool {
		return l.Verb == "port-forward" && l.Stage == "end" && l.Status == 101 && slices.Equal(l.Ports, []string{"8080"})
	})

	// The TLS port: the token's user, and the certificate's subject.
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	operator := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{certificate}}}}
	const run = "/run/default/pod/main?cmd=sh&cmd=-c&cmd=" + "env%3Bfalse"
	if code, body := ask(client, "POST", "https://"+secure+run, admin); code != 500 || !strings.Contains(body, secretText) {
		t.Errorf("%d, %s", code, body)
	}
	l = b.audited("a token's user", func(l auditLine) bool { return l.Via == "tls" && l.User == "root" && l.Stage == "end" })
	if l.Verb != "run" || l.Status != 500 || !strings.HasPrefix(l.From, "127.0.0.1:") || !strings.Contains(l.Error, "exit code 1") || l.Subject != "" {
		t.Errorf("by a token: %+v", l)
	}
	if code, body := ask(operator, "POST", "https://"+secure+"/run/default/pod/main?cmd=true", ""); code != 200 {
		t.Errorf("%d, %s", code, body)
	}
	b.audited("a certificate's", func(l auditLine) bool {
		return l.User == "operator" && l.Subject == "CN=operator,O=solopod:admin" && l.Status == 200
	})

	// What was refused, whoever asks how often.
	ask(client, "POST", "https://"+secure+"/restart/default/pod?at="+"%1b%5b31m%0aforged", reader)
	l = b.audited("a reader", func(l auditLine) bool { return l.User == "prometheus" })
	if l.Status != 403 || l.Verb != "restart" || !strings.Contains(l.Error, "may only read") {
		t.Errorf("what may only be read: %+v", l)
	}
	for range 200 {
		if code, _ := ask(client, "GET", "https://"+secure+"/pods", "wrong-token-0123456789"); code != 401 {
			t.Fatalf("a wrong token: %d", code)
		}
		if code, _ := ask(client, "DELETE", "http://"+plain+"/nothing", ""); code < 400 {
			t.Fatalf("%d", code)
		}
	}
	lines := b.auditLines()
	strangers, asked := 0, false
	for _, l := range lines {
		if l.Status == 401 || l.Via == "port" {
			strangers++
		}
		asked = asked || l.Status == 401 && l.Path == "/pods" && l.User == "" && l.Error != ""
	}
	if !asked || strangers > 150 {
		t.Errorf("strangers have %d lines of 400, asked: %t", strangers, asked)
	}
	if code, body := ask(operator, "POST", "https://"+secure+"/run/default/pod/main?cmd=true", ""); code != 200 {
		t.Errorf("%d, %s", code, body)
	}
	b.audited("how many of its listener have no line", func(l auditLine) bool { return l.Unsaid > 0 && l.User == "operator" })

	// Files again: a refusal once, an edit, no line for a touch, a removal.
	ofFiles := func() []auditLine {
		return slices.DeleteFunc(b.auditLines(), func(l auditLine) bool { return l.Stage != "file" })
	}
	before := len(ofFiles())
	manifest := readFile(t, b.path("manifests/pod.yaml"))
	b.apply("pod.yaml", "kind: Pod\napiVersion: v1\nmetadata: {name: pod}\nspec: {containerz: []}\n")
	l = b.audited("a bad file", func(l auditLine) bool { return l.File == "pod.yaml" && l.Outcome == "refused" })
	if !strings.Contains(l.Error, "pod.yaml:4") || len(l.Removed) > 0 {
		t.Errorf("a bad file: %+v", l)
	}
	b.apply("pod.yaml", strings.Replace(manifest, "PASSWORD", "PASSPHRASE", 1))
	b.audited("an edit", func(l auditLine) bool {
		return slices.Equal(l.Edited, []string{"default/pod"}) && l.Outcome == "accepted"
	})
	now := time.Now()
	if err := os.Chtimes(b.path("manifests/pod.yaml"), now, now); err != nil {
		t.Fatal(err)
	}
	b.apply("other.yaml", shell("other", forever, ""))
	b.audited("another pod", func(l auditLine) bool { return slices.Contains(l.Added, "default/other") })
	b.delete("other.yaml")
	b.audited("a removal", func(l auditLine) bool {
		return l.Outcome == "removed" && slices.Equal(l.Removed, []string{"default/other"})
	})
	b.waitGone("other")
	b.waitReady("pod")
	if lines := ofFiles(); len(lines) != before+4 {
		t.Errorf("four changes of files have %d lines: %+v", len(lines)-before, lines[before:])
	}

	// A start changes nothing: only what cannot be compared with before is told, and as such.
	b.stop(syscall.SIGTERM)
	before = len(ofFiles())
	b.start()
	b.waitReady("pod")
	b.audited("the Secret is taken up", func(l auditLine) bool { return l.AtStart && slices.Contains(l.Added, "secret/default/keys") })
	if lines := ofFiles(); len(lines) != before+1 {
		t.Errorf("a start has %d lines: %+v", len(lines)-before, lines[before:])
	}

	all, log := readFile(t, b.path("log/audit.log")), b.daemonOutput()
	for _, never := range []string{secretText, "printed", admin, reader, "wrong-token", "\x1b", "PASSPHRASE"} {
		if strings.Contains(all, never) {
			t.Errorf("the file has %q", never)
		}
	}
	for _, verb := range []string{"exec", "restart", "run"} {
		if !regexp.MustCompile(`msg=audit stage=\w+ via=.* verb=` + verb).MatchString(log) {
			t.Errorf("the log has no line of %s", verb)
		}
	}
	if strings.Contains(all, "/healthz") || strings.Contains(all, "watch=true") {
		t.Errorf("reading has lines: %s", all)
	}
	if info, err := os.Stat(b.path("log/audit.log")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if v := b.mustGet("/metrics"); !strings.Contains(v, "\nsolopod_audit_lines_lost_total 0\n") {
		t.Error("lines are lost, or not counted")
	}
}
