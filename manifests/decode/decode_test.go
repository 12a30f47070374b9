package decode

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

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
		if strings.HasSuffix(file, ".golden") || strings.HasSuffix(file, ".txt") { // of TestWildManifests
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
				if objects := json.RawMessage(served(t, &contents)); string(objects) != "[]" {
					all["served"] = objects
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
		{"    resources: {limits: {mem: 1Gi}}", "there is no such resource; it is called memory"},
		{"    resources: {limits: {cpus: 1}}", "there is no such resource; it is called cpu"},
		{"    resources: {limits: {cpu: 100mi}}", `did you mean "100m"?`},
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
			// An empty List, and what only a cluster serves, are the only texts without objects and without an error.
			if !strings.Contains(string(data), "List") && !strings.Contains(problems.Error(), " is not used: ") {
				t.Error("neither objects nor errors")
			}
		}
		for _, pod := range contents.Pods {
			again(t, pod)
		}
		roundTrip(t, contents)
		set := manifests.NewSet(nil)
		set.Put("f.yaml", contents, problems, time.Unix(1e9, 0))
		s := set.Snapshot(time.Unix(1e9, 0))
		for _, c := range s.Served() {
			if len(c.Services) != len(s.Services) || len(c.Endpoints) != len(s.Endpoints) || len(c.NetworkPolicies) != len(s.NetworkPolicies) {
				t.Errorf("of one file %+v is kept", c)
			}
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

// Of a key that stands twice the last one counts, where that is allowed at all.
func TestDuplicateKeys(t *testing.T) {
	twice := "apiVersion: v1\nkind: Pod\nmetadata: {name: x, name: z, labels: {a: b, a: c}}\nspec:\n  containers: [{name: c, image: i}]\n  hostNetwork: true\n  hostNetwork: false\n"
	_, problems := Decode("x.yaml", []byte(twice), Options{})
	if len(problems.Errors()) != 3 || !strings.Contains(problems.Error(), "x.yaml:7:3: spec.hostNetwork: duplicate key; it is already set at line 6") {
		t.Errorf("strictly: %v", problems)
	}
	annotated := strings.Replace(twice, "metadata: {", "metadata: {annotations: {solopod.io/unknown-fields: warn}, ", 1)
	for name, c := range map[string]struct {
		text string
		opts Options
	}{"setting": {twice, Options{WarnUnknownFields: true}}, "annotation": {annotated, Options{}}} {
		contents, problems := Decode("x.yaml", []byte(c.text), c.opts)
		if len(problems.Errors()) > 0 || len(problems) != 3 || len(contents.Pods) != 1 {
			t.Fatalf("%s: %v", name, problems)
		}
		if pod := contents.Pods[0]; pod.Name != "z" || pod.Labels["a"] != "c" || pod.Spec.HostNetwork {
			t.Errorf("%s: the last one does not count: %+v", name, pod.ObjectMeta)
		}
		if !strings.Contains(problems.Error(), "x.yaml:7:3: warning: spec.hostNetwork: duplicate key; the one at line 6 has no effect") {
			t.Errorf("%s: %v", name, problems)
		}
	}
	// Two objects without a line between them.
	joined := minimal + strings.Replace(minimal, "name: x", "name: z", 1)
	if _, problems := Decode("x.yaml", []byte(joined), Options{}); !strings.Contains(problems.Error(), "is a line with --- missing between two objects?") {
		t.Errorf("joined: %v", problems)
	}
	if _, problems := Decode("x.yaml", []byte(minimal+"apiVersion: networking.k8s.io/v1\nkind: Ingress\n"), Options{}); len(problems.Errors()) != 2 {
		t.Errorf("joined to what is left out: %v", problems)
	}
}

// Objects that only a cluster serves are left out, or refused; the others of the file are used.
func TestClusterKinds(t *testing.T) {
	const role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r, namespace: n}\nrules: [{verbs: [get]}]\n"
	for name, c := range map[string]struct {
		text string
		pods int
		line int
	}{
		"beside a pod": {role + "---\n" + minimal, 1, 2},
		"alone":        {role, 0, 2},
		"in a list":    {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: r, namespace: n}}\n", 0, 4},
		"as JSON":      {`{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r", "namespace": "n"}}`, 0, 1},
	} {
		contents, problems := Decode("x.yaml", []byte(c.text), Options{})
		if len(problems) != 1 || !problems[0].Warning || problems[0].Control != "clusterKinds/Role" || problems[0].Line != c.line || len(contents.Pods) != c.pods {
			t.Errorf("%s: %d pods, %+v", name, len(contents.Pods), problems)
		}
		if want := "Role n/r is not used: there is no API server to talk to"; len(problems) > 0 && problems[0].Message != want {
			t.Errorf("%s: %s", name, problems[0].Message)
		}
		_, problems = Decode("x.yaml", []byte(c.text), Options{RefuseClusterKinds: true})
		if len(problems.Errors()) != 1 || problems[0].Control != "clusterKinds/Role" || !strings.Contains(problems[0].Message, "clusterKinds: refuse") {
			t.Errorf("refused, %s: %+v", name, problems)
		}
	}
	// A slip of the pen is no kind of a cluster's.
	for _, kind := range []string{"Deploymnt", "deployment", "Config"} {
		if _, problems := Decode("x.yaml", []byte("apiVersion: v1\nkind: "+kind+"\nmetadata: {name: d}\n"), Options{}); len(problems.Errors()) != 1 {
			t.Errorf("%s: %v", kind, problems)
		}
	}
	// Many of them are bounded, and what is in their names stays on its line.
	_, problems := Decode("x.yaml", []byte(strings.Repeat("apiVersion: a.b/v1\nkind: X\nmetadata: {name: \"a\\nb\\e[2J\"}\n---\n", 300)), Options{})
	if len(problems) != maxProblems+1 || len(problems.Errors()) > 0 || strings.ContainsAny(problems[0].Message, "\n\x1b") {
		t.Errorf("%d problems, %q", len(problems), problems[0].Message)
	}
}

// Lists of one kind, as the API gives them, hold objects that do not say their kind.
func TestListsOfOneKind(t *testing.T) {
	item := "{metadata: {name: a}, spec: {containers: [{name: c, image: i}]}}"
	contents, problems := Decode("x.yaml", []byte("apiVersion: v1\nkind: PodList\nmetadata: {resourceVersion: \"1\"}\nitems: ["+item+", "+strings.Replace(item, "name: a", "name: b", 1)+"]\n"), Options{})
	if len(problems) > 0 || len(contents.Pods) != 2 || contents.Pods[1].Kind != "Pod" || contents.Pods[1].APIVersion != "v1" {
		t.Errorf("%d pods, %v", len(contents.Pods), problems)
	}
	contents, problems = Decode("x.yaml", []byte("apiVersion: v1\nkind: ConfigMapList\nitems:\n- {metadata: {name: a}, data: {b: c}}\n- {apiVersion: v1, kind: Secret, metadata: {name: s}}\n"), Options{})
	if len(problems) > 0 || len(contents.ConfigMaps) != 1 || len(contents.Secrets) != 1 {
		t.Errorf("%+v, %v", contents, problems)
	}
	for text, says := range map[string]string{
		"apiVersion: v1\nkind: List\nitems: [" + item + "]":                                           "items[0]: apiVersion and kind are required",
		"apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: PodList, items: []}]":             "a List cannot stand inside a List",
		"apiVersion: apps/v1\nkind: DeploymntList\nitems: []":                                         "unknown kind",
		"apiVersion: networking.k8s.io/v1\nkind: IngressList\nitems: [{metadata: {name: a}}]":         "warning: kind: IngressList is not used",
		"apiVersion: v1\nkind: PodList\nitems: [{metadata: {name: a}, spec: {containers: [], x: 1}}]": "items[0].spec.x: unknown field",
	} {
		if _, problems := Decode("x.yaml", []byte(text+"\n"), Options{}); !strings.Contains(problems.Error(), says) {
			t.Errorf("%s: %v", text, problems)
		}
	}
}
