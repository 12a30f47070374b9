package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// What secrets hold: neither may show anywhere, nor happen to be part of a time or an id that does.
const (
	secretText   = "hunter2-of-the-tests"
	secretNumber = "471108154711081547110815"
)

// applyObject writes a file that only root can read.
func (b *box) applyObject(file, manifest string) {
	b.t.Helper()
	b.writeFile("manifests/.new", manifest)
	if err := os.Chmod(b.path("manifests/.new"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(b.path("manifests/.new"), b.path("manifests/"+file)); err != nil {
		b.t.Fatal(err)
	}
}

func configMap(name, data string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: %s\n", name, data)
}

func secret(name, data string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s}\nstringData: %s\n", name, data)
}

// Everything that an environment can refer to; what is missing is waited for, with its name.
func TestReferences(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.apply("env.yaml", `apiVersion: v1
kind: Pod
metadata: {name: env, labels: {app: box}, annotations: {note: hello}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 2
  volumes: [{name: files, emptyDir: {}}]
  initContainers:
  - name: writer
    image: solopod.example/box:1
    volumeMounts: [{name: files, mountPath: /files}]
    command: ["/bin/sh", "-c", "printf \"# comment\\nFROM_FILE='of a file'\\n\" >/files/env"]
  containers:
  - name: main
    image: solopod.example/box:1
    command: ["/bin/sh", "-c", "cat /proc/1/environ; echo; echo args: $0 $1", "$(NAME)", "$(cm-key)"]
    resources: {requests: {memory: 64Mi}, limits: {cpu: 500m}}
    envFrom:
    - {prefix: P_, configMapRef: {name: all}}
    - {secretRef: {name: keys}}
    - {configMapRef: {name: absent, optional: true}}
    env:
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: LABEL, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: "metadata.labels['app']"}}}
    - {name: NOTE, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['note']"}}}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
    - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
    - {name: REQUEST, valueFrom: {resourceFieldRef: {containerName: main, resource: requests.memory, divisor: 1Mi}}}
    - {name: NODE_MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
    - {name: cm-key, valueFrom: {configMapKeyRef: {name: all, key: one}}}
    - {name: OPTIONAL, valueFrom: {configMapKeyRef: {name: all, key: none, optional: true}}}
    - {name: SECRET, valueFrom: {secretKeyRef: {name: keys, key: password}}}
    - {name: FILE, valueFrom: {fileKeyRef: {volumeName: files, path: env, key: FROM_FILE}}}
    - {name: NO_FILE, valueFrom: {fileKeyRef: {volumeName: files, path: none, key: X, optional: true}}}
    - {name: BOTH, value: $(cm-key)-$(P_two)}
`)
		p := b.waitPod("env", "waiting for its ConfigMap", func(p *v1.Pod) bool {
			w := status(p, "main").State.Waiting
			return w != nil && w.Reason == "CreateContainerConfigError"
		})
		if m := status(p, "main").State.Waiting.Message; !strings.Contains(m, `ConfigMap "all"`) {
			t.Errorf("what is it waiting for? %s", m)
		}
		b.apply("a.yaml", configMap("all", `{one: "1", two: "2"}`))
		b.applyObject("z.yaml", secret("keys", "{password: "+secretText+"}"))
		p = b.waitPhase("env", v1.PodSucceeded)
		out := strings.ReplaceAll(b.run("logs", "env", "-c", "main"), "\x00", "\n")
		for _, want := range []string{
			"NAME=env", "LABEL=box", "NOTE=hello", "IP=" + p.Status.PodIP, "HOST=" + p.Status.HostIP, "CPU=500", "REQUEST=64", "P_one=1", "P_two=2",
			"cm-key=1", "SECRET=" + secretText, "password=" + secretText, "FILE=of a file", "BOTH=1-2", "FROM_IMAGE=yes", "args: env 1",
		} {
			if !strings.Contains(out, want+"\n") {
				t.Errorf("the environment lacks %s:\n%s", want, out)
			}
		}
		if strings.Contains(out, "OPTIONAL=") || strings.Contains(out, "NO_FILE=") || strings.Contains(out, "NODE_MEMORY=0\n") {
			t.Errorf("optional or node values:\n%s", out)
		}

		// A container is restarted for a change where the pod asks for it, and only then.
		b.apply("rests.yaml", strings.Replace(shell("rests", forever, ""), "    command:", "    env: [{name: A, valueFrom: {configMapKeyRef: {name: all, key: one}}}]\n    command:", 1))
		b.apply("restarts.yaml", strings.Replace(strings.Replace(shell("restarts", forever, ""), "    command:", "    env: [{name: A, valueFrom: {configMapKeyRef: {name: all, key: one}}}]\n    command:", 1),
			"  name: restarts", "  name: restarts\n  annotations: {solopod.io/restart-on-change: environment}", 1))
		b.waitReady("rests")
		b.waitReady("restarts")
		b.apply("a.yaml", configMap("all", `{one: "11", two: "2"}`))
		b.waitPod("restarts", "restarted", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 1 })
		if n := status(b.pod("default", "rests"), "main").RestartCount; n != 0 {
			t.Errorf("what did not ask for it was restarted %d times", n)
		}

		// A bad version, and none at all, change nothing.
		b.apply("a.yaml", configMap("all", `{one: 1}`))
		b.eventually("the file is refused", func() error {
			if out := b.run("get", "manifests"); !strings.Contains(out, "Invalid") {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
		b.crash()
		b.start()
		b.waitReady("restarts")
		b.delete("a.yaml")
		b.crash()
		b.start()
		if n := status(b.waitReady("restarts"), "main").RestartCount; n != 1 {
			t.Errorf("it was restarted %d times", n)
		}

		// A Secret's file is nobody's business, and its value never shows.
		b.apply("open.yaml", secret("open", "{password: "+secretText+"}"))
		b.eventually("the readable file is refused", func() error {
			if out := b.run("get", "manifests"); !strings.Contains(out, "chmod 0600") {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
		b.applyObject("typo.yaml", secret("typo", "{password: "+secretText+", number: "+secretNumber+"}"))
		b.eventually("the bad value is refused", func() error {
			if out := b.run("get", "manifests"); !strings.Contains(out, "typo") {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
		for name, text := range map[string]string{
			"describe": b.run("describe", "pod", "env"), "get": b.run("get", "pods", "-o", "yaml"), "events": b.run("get", "events"),
			"manifests": b.run("get", "manifests"), "metrics": b.mustGet("/metrics"), "the log": b.daemonOutput(),
		} {
			if strings.Contains(text, secretText) || strings.Contains(text, secretNumber) {
				t.Errorf("%s shows a secret:\n%s", name, text)
			}
		}
	})
}

// A registry that wants a password gets it from the pod's pull secret.
func TestImagePullSecrets(t *testing.T) {
	b := newBox(t, embedded)
	reference := registryWith(t, "private")
	host, rest, _ := strings.Cut(reference, "/")
	behind := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: host})
	guard := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "me" || password != secretText {
			w.Header().Set("WWW-Authenticate", `Basic realm="tests"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		behind.ServeHTTP(w, r)
	}))
	defer guard.Close()
	guarded := strings.TrimPrefix(guard.URL, "http://")
	manifest := func(name, extra string) string {
		return strings.Replace(shell(name, forever, extra), "solopod.example/box:1", guarded+"/"+rest, 1)
	}
	b.apply("none.yaml", manifest("none", ""))
	b.waitPod("none", "refused", func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return w != nil && strings.Contains(w.Reason, "ImagePull")
	})
	auth := base64.StdEncoding.EncodeToString([]byte("me:" + secretText))
	b.applyObject("login.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: login}\ntype: kubernetes.io/dockerconfigjson\nstringData:\n  .dockerconfigjson: '{\"auths\": {\""+guarded+"\": {\"auth\": \""+auth+"\"}}}'\n")
	b.apply("with.yaml", manifest("with", "imagePullSecrets: [{name: login}]"))
	b.waitReady("with")
}
