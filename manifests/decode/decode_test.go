package decode

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/solopod/solopod/manifests"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Every file of testdata/invalid has a golden file with its problems; every file of testdata/valid one with its pods,
// defaults filled in.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.*")
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, file := range files {
		if strings.HasSuffix(file, ".golden") {
			continue
		}
		tried++
		t.Run(file, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			contents, problems := Decode(filepath.Base(file), data, Options{})
			valid := strings.Contains(file, "/valid/")
			if valid != (len(problems.Errors()) == 0) {
				t.Errorf("problems: %v", problems)
			}
			if len(problems.Errors()) > 0 && len(contents.Pods) > 0 {
				t.Errorf("pods in spite of errors")
			}
			got := problems.Error() + "\n"
			if valid {
				all := map[string]any{"pods": contents.Pods, "warnings": problems}
				if objects := (manifests.Contents{ConfigMaps: contents.ConfigMaps, Secrets: contents.Secrets}); len(objects.ConfigMaps)+len(objects.Secrets) > 0 {
					all["objects"] = objects
				}
				out, err := yaml.Marshal(all)
				if err != nil {
					t.Fatal(err)
				}
				got = string(out)
			}
			golden := file + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
	if tried < 10 {
		t.Errorf("only %d files", tried)
	}
}

const minimal = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers:\n  - name: c\n    image: i\n"

// One line each: what is added to a minimal pod's container or spec, and the problem that must be found.
func TestProblems(t *testing.T) {
	for _, c := range []struct{ add, want string }{
		{"    imagePullPolicy: Allways", `x.yaml:8:5: spec.containers[0].imagePullPolicy: unsupported value "Allways"; did you mean "Always"?`},
		{"    workingdir: /", `unknown field; did you mean "workingDir"?`},
		{"    tty: \"true\"", `expected true or false, found the string "true"`},
		{"    env: {a: b}", "expected a list, found an object"},
		{"    env: [{name: A, value: 1}]", `spec.containers[0].env[0].value: expected a string, found the number 1; quote it: "1"`},
		{"    env: [{name: A, value: yes}]", `found the boolean yes; quote it: "yes"`},
		{"    env: [{name: A, value: 'yes'}]", ""},
		{"    env: [{name: A=B, value: x}]", "spec.containers[0].env[0].name: invalid value"},
		{"    ports: [{containerPort: 70000}]", "spec.containers[0].ports[0].containerPort: invalid value"},
		{"    ports: [{containerPort: 99999999999}]", "does not fit into 32 bits"},
		{"    ports: [{containerPort: 80.5}]", "expected a whole number, found the number 80.5"},
		{"    ports: [{containerPort: 80, protocol: tcp}]", `did you mean "TCP"?`},
		{"    resources: {limits: {memory: 64mi}}", `invalid quantity "64mi"; did you mean "64Mi"?`},
		{"    resources: {limits: {memory: lots}}", "write a number with an optional suffix"},
		{"    resources: {limits: {memory: 1Mi}, requests: {memory: 2Mi}}", "the request 2Mi is above the limit 1Mi"},
		{"    resources: {limits: {memory: 100m}}", "x.yaml:8:26: warning: spec.containers[0].resources.limits.memory: 100m is a fraction of a byte"},
		{"    resources: {limits: {nvidia.com/gpu: 1}}", ""},
		{"    resources: {limits: {nvidia.com/gpu: 500m}}", "is not a whole number of devices"},
		{"    resources: {limits: {disk: 1}}", "this resource is not implemented"},
		{"    volumeMounts: [{name: dat, mountPath: /d}]\n  volumes: [{name: data}]", `there is no volume "dat"; did you mean "data"?`},
		{"    volumeMounts: [{name: data, mountPath: /d}, {name: data, mountPath: /d/}]\n  volumes: [{name: data}]", "already used by another mount"},
		{"    volumeMounts: [{name: data, mountPath: /d, subPath: x}]\n  volumes: [{name: data}]", ""},
		{"  volumes: [{name: a, hostPath: {path: x}}]", "must be an absolute path"},
		{"  volumes: [{name: a, hostPath: {path: /x/../y}}]", "must not contain '..'"},
		{"  volumes: [{name: a, hostPath: {path: /x, type: directory}}]", `did you mean "Directory"?`},
		{"  volumes: [{name: a, configMap: {name: c}}]", ""},
		{"  volumes: [{name: a}, {name: a}]", `duplicate volume name "a"`},
		{"    livenessProbe: {httpGet: {port: http}}", `the container has no port named "http"`},
		{"    livenessProbe: {}", "a probe needs exactly one of exec, httpGet, tcpSocket and grpc; this one has 0"},
		{"    livenessProbe: {exec: {command: [a]}, successThreshold: 2}", "must be 1 for liveness and startup probes"},
		{"    securityContext: {capabilities: {add: [NET_ADMINN]}}", `unknown capability "NET_ADMINN"; did you mean "NET_ADMIN"?`},
		{"    securityContext: {privileged: true, allowPrivilegeEscalation: false}", "cannot be false when privileged is true"},
		{"    securityContext: {seccompProfile: {type: Localhost, localhostProfile: x}}", ""},
		{"    securityContext: {seccompProfile: {type: Localhost, localhostProfile: ../x}}", "must not contain '..'"},
		{"    securityContext: {seccompProfile: {type: Localhost}}", "it goes with type Localhost"},
		{"  securityContext: {sysctls: [{name: kernel.panic, value: \"1\"}]}", "concerns the whole machine"},
		{"  securityContext: {sysctls: [{name: net.core.somaxconn, value: \"1\"}]}", "allowedUnsafeSysctls"},
		{"  securityContext: {sysctls: [{name: net.ipv4.tcp_syncookies, value: \"1\"}]}", ""},
		{"  hostNetwork: true\n  securityContext: {sysctls: [{name: net.ipv4.tcp_syncookies, value: \"1\"}]}", "whose namespace the pod shares"},
		{"  restartPolicy: always", `did you mean "Always"?`},
		{"  hostNetwork: true\n  hostNetwork: false", "duplicate key; it is already set at line 8"},
		{"  evictionResponders: [{name: i}]", "spec.evictionResponders: only a cluster can do this"},
		{"  initContainers: []", ""},
		{"  hostPID: false", ""},
		{"  hostPID: true", ""},
		{"  hostUsers: true", ""},
		{"  hostUsers: false", ""},
		{"  hostUsers: false\n  hostIPC: true", "spec.hostUsers: false excludes"},
		{"  hostUsers: false\n  securityContext: {fsGroup: 65536}", "spec.securityContext.fsGroup: with hostUsers: false there are the ids 0 to 65535"},
		{"  hostUsers: false\n  securityContext: {supplementalGroups: [1, 70000]}", "spec.securityContext.supplementalGroups[1]: with hostUsers"},
		{"    securityContext: {runAsUser: 65536}\n  hostUsers: false", "spec.containers[0].securityContext.runAsUser: with hostUsers"},
		{"  nodeSelector: {a: b}", "warning: spec.nodeSelector: accepted without effect: there is no scheduler"},
		{"  tolerations: [{operator: Exists}]", "accepted without effect"},
		{"  tolerations: [{operater: Exists}]", `did you mean "operator"?`},
		{"  dnsPolicy: None", "dnsPolicy None needs at least one name server"},
		{"  hostname: Bad_Name", "spec.hostname: invalid value"},
		{"  terminationGracePeriodSeconds: -1", "must not be negative"},
		{"  containers: []", "duplicate key"},
		{"status: {phase: Running, whatever: 1}", ""},
		{"\t", "cannot be read as YAML or JSON"},
		{"---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}", "spec.template.spec.containers: a pod needs at least one container"},
		{"---\napiVersion: v1\nkind: Pode\nmetadata: {name: d}", `unknown kind "Pode"; did you mean "Pod"?`},
		{"---\n" + minimal, "pod default/x is already defined at line 1"},
	} {
		_, problems := Decode("x.yaml", []byte(minimal+c.add+"\n"), Options{})
		if c.want == "" && len(problems) > 0 || !strings.Contains(problems.Error(), c.want) {
			t.Errorf("%s\n got  %s\n want %s", c.add, problems.Error(), c.want)
		}
	}
}

func TestUnknownFieldsCanBeWarnings(t *testing.T) {
	annotated := strings.Replace(minimal, "{name: x}", `{name: x, annotations: {solopod.io/unknown-fields: warn}}`, 1)
	for name, c := range map[string]struct {
		text string
		opts Options
	}{"setting": {minimal + "    imag: x\n", Options{WarnUnknownFields: true}}, "annotation": {annotated + "    imag: x\n", Options{}}} {
		contents, problems := Decode("x.yaml", []byte(c.text), c.opts)
		if len(contents.Pods) != 1 || len(problems) != 1 || !problems[0].Warning {
			t.Errorf("%s: %d pods, %v", name, len(contents.Pods), problems)
		}
	}
}

func TestAliases(t *testing.T) {
	text := "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers:\n  - &c\n    name: a\n    image: i\n  - <<: *c\n    name: b\n"
	contents, problems := Decode("x.yaml", []byte(text), Options{})
	if len(problems) > 0 || len(contents.Pods[0].Spec.Containers) != 2 || contents.Pods[0].Spec.Containers[1].Image != "i" || contents.Pods[0].Spec.Containers[1].Name != "b" {
		t.Errorf("%v %+v", problems, contents.Pods)
	}
}

// A file that grows without bound when its aliases are expanded.
func TestAliasBomb(t *testing.T) {
	text := "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  nodeSelector: {}\n  affinity:\n    nodeAffinity:\n" +
		"      preferredDuringSchedulingIgnoredDuringExecution:\n"
	line := "      - &a0 {weight: 1, preference: {matchExpressions: [{key: a, operator: In, values: [x,x,x,x,x,x,x,x,x,x]}]}}\n"
	text += line + strings.Repeat("      - *a0\n", 40_000) + "  containers: [{name: c, image: i}]\n"
	_, problems := Decode("x.yaml", []byte(text), Options{})
	if !strings.Contains(problems.Error(), "too large once its YAML aliases are expanded") {
		t.Errorf("got %d problems", len(problems))
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("<<: *a"))
	f.Add([]byte("&a\napiVersion: v1\nkind: List\nitems: [*a,*a]"))
	f.Add([]byte("&a {<<: *a, apiVersion: v1, kind: Pod}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		contents, problems := Decode("f.yaml", data, Options{})
		if len(contents.Pods) > 0 && len(problems.Errors()) > 0 {
			t.Errorf("pods and errors at once: %v", problems)
		}
		if reflect.DeepEqual(contents, manifests.Contents{}) && len(problems.Errors()) == 0 {
			// An empty List is the only text without objects and without an error.
			if !strings.Contains(string(data), "List") {
				t.Error("neither objects nor errors")
			}
		}
		for _, pod := range contents.Pods {
			again(t, pod)
		}
	})
}

// again: what was accepted is accepted again, and means the same.
func again(t *testing.T, pod *v1.Pod) {
	pod = pod.DeepCopy()
	pod.APIVersion, pod.Kind = "v1", "Pod"
	data, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	contents, problems := Decode("again.json", data, Options{})
	if len(problems.Errors()) > 0 || len(contents.Pods) != 1 {
		t.Fatalf("%s\nis not accepted again: %v", data, problems)
	}
	second, err := json.Marshal(contents.Pods[0])
	if err != nil {
		t.Fatal(err)
	}
	if string(second) != string(data) {
		t.Errorf("changed:\n%s\n%s", data, second)
	}
}
