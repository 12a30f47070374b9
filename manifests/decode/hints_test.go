package decode

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// What people write who come from elsewhere, or slip a level, and what they are told. Each line is added to a minimal pod.
func TestHints(t *testing.T) {
	for add, want := range map[string]string{
		// docker compose and podman, in a container
		"    cmd: [a]":                      `spec.containers[0].cmd: unknown field; the image's ENTRYPOINT is replaced by command`,
		"    entrypoint: [a]":               "unknown field; the image's ENTRYPOINT is replaced by command, its CMD by args",
		"    environment: {A: b}":           `variables are a list: env: [{name: A, value: "b"}]`,
		"    env_file: .env":                "envFrom: [{configMapRef: {name: settings}}]",
		"    volumes: [\"/a:/b\"]":          "a volume stands in the pod's spec",
		"    restart: always":               "restartPolicy of the pod's spec says it",
		"    cap_add: [NET_ADMIN]":          "securityContext: {capabilities: {add: [NET_ADMIN]}}",
		"    user: \"1000\"":                "runAsUser: 1000",
		"    read_only: true":               "readOnlyRootFilesystem: true",
		"    depends_on: [db]":              "nothing waits for another pod",
		"    healthcheck: {}":               "livenessProbe restarts the container",
		"    mem_limit: 64m":                "resources: {limits:",
		"    network_mode: host":            "hostNetwork: true",
		"    container_name: x":             "it is called name",
		"    tmpfs: /run":                   "emptyDir: {medium: Memory}",
		"    build: .":                      "images are not built here",
		"    stdin_open: true":              "it is called stdin",
		"    working_dir: /":                `did you mean "workingDir"?`,
		"    pull_policy: Always":           `did you mean "imagePullPolicy"?`,
		"    image_pull_policy: Always":     `did you mean "imagePullPolicy"?`,
		"    ports: \"80:80\"":              "spec.containers[0].ports: expected a list, found the string \"80:80\"; write [{containerPort: 80, hostPort: 80}]",
		"    ports: [\"8080:80/udp\"]":      "spec.containers[0].ports[0]: expected an object, found the string \"8080:80/udp\"; write {containerPort: 80, hostPort: 8080, protocol: UDP}",
		"    ports: [\"::1:80:8080\"]":      "write {containerPort: 8080, hostPort: 80}",
		"    ports: [\"1.2.3.4:80:81\"]":    `write {containerPort: 81, hostPort: 80, hostIP: "1.2.3.4"}`,
		"    ports: [80]":                   "write {containerPort: 80}",
		"    ports: [{target: 80}]":         "it is called containerPort",
		"    env: {A: b}":                   "expected a list, found an object; write [{name: A, value: ...}]",
		"    env: [\"A=b\"]":                `write {name: A, value: "b"}`,
		"    volumeMounts: [\"/a:/b:ro\"]":  "write {name: data, hostPath: {path: /a}} into volumes of the pod's spec, and {name: data, mountPath: /b, readOnly: true} into the container's volumeMounts",
		"    volumeMounts: [\"data:/b\"]":   "write {name: data, persistentVolumeClaim: {claimName: data}} into volumes",
		"    command: sleep 1000":           `expected a list, found the string "sleep 1000"; write ["sleep", "1000"]`,
		"    command: echo $HOME | cat":     `write ["sh", "-c", "echo $HOME | cat"]`,
		"    command: [sleep, 1000]":        `expected a string, found the number 1000; quote it: "1000"`,
		"    env: [{name: A, value: true}]": `quote it: "true"`,
		// in the pod's spec
		"  restart: always":                    "write restartPolicy: Always, OnFailure or Never",
		"  services: {}":                       "containers are a list",
		"  replicas: 2":                        "a Deployment has replicas",
		"  environment: {A: b}":                "it is for one of the containers: variables are a list",
		"  volumes: [\"/a:/b\"]":               "write {name: data, hostPath: {path: /a}}",
		"  volumes: [{name: a, hostPath: /a}]": "expected an object, found the string \"/a\"; write {path: /a}",
		"  volumes: [{name: a, persistentVolumeClaim: {name: b}}]": "it is called claimName",
		"  volumes: [{name: a, secret: {name: b}}]":                "it is called secretName",
		"  imagePullSecrets: [key]":                                "write {name: key}",
		"  securityContext: {privileged: true}":                    "it goes into the securityContext of a container",
		"    securityContext: {fsGroup: 1}":                        "it goes into the securityContext of the pod's spec",
		"    securityContext: {capabilities: [NET_ADMIN]}":         "write {add: [...]}",
		// a level too far in, or out
		"    privileged: true":                                          "it belongs into securityContext",
		"    runAsUser: 1":                                              "it belongs into securityContext",
		"    limits: {memory: 64Mi}":                                    "it belongs into resources",
		"    resources: {memory: 64Mi}":                                 "write limits: {memory: 64Mi}",
		"    hostNetwork: true":                                         "it belongs further out, into spec: mind how far the line is indented",
		"    nodeSelector: {a: b}":                                      "it belongs further out, into spec",
		"    terminationGracePeriodSeconds: 1":                          "it belongs further out, into spec",
		"    livenessProbe: {httpGet: {port: 1, periodSeconds: 1}}":     "it belongs further out, into spec.containers[0].livenessProbe",
		"    livenessProbe: {command: [a]}":                             "write exec: {command: [",
		"    livenessProbe: {exec: [a]}":                                "write {command: [...]}",
		"    livenessProbe: {exec: {command: ls -l}}":                   `write ["ls", "-l"]`,
		"    livenessProbe: {interval: 10s}":                            "it is called periodSeconds",
		"    livenessProbe: {exec: {command: [a]}, periodSeconds: 10s}": `expected a whole number, found the string "10s"; it is in seconds: write 10`,
		"    ports: [{containerPort: \"80\"}]":                          "write it without quotes: 80",
		"    tty: \"true\"":                                             "write it without quotes",
		"  image: i":                                                    "it belongs into containers[]",
		"  command: [a]":                                                "it belongs into containers[]",
		"containers: []":                                                "containers: unknown field; it belongs into spec",
		"labels: {a: b}":                                                "labels: unknown field; it belongs into metadata",
		"    tolerations: []":                                           "it belongs further out, into spec",
		"    spec: {}":                                                  "it belongs to the object itself, beside kind",
		"---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {containers: []}":                  "spec.containers: unknown field; it belongs into template.spec",
		"---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {template: {spec: {replicas: 2}}}": "a Deployment has replicas",
		"---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: d}\nspec: {restartPolicy: Never}":                  "spec.restartPolicy: unknown field; it belongs into template.spec",
		"---\napiVersion: v1\nkind: Service\nmetadata: {name: d}\nspec: {ports: [\"80:8080\"]}":                    "write {port: 80, targetPort: 8080}",
		"---\nservices: {web: {image: a}}":        "this looks like a file for docker compose: \"solopod convert FILE\"",
		"---\nkind: Deployment":                   `apiVersion is required; a Deployment has "apiVersion: apps/v1"`,
		"---\napiVersion: apps/v1":                "kind is required; apiVersion apps/v1 has Deployment, for instance",
		"    tty: {{ .Values.tty }}":              "like {{ ... }} of a template, which is to be rendered first",
		"    {{- toYaml .Values.x | nindent 4 }}": "it holds {{ ... }} of a template: render it first",
		// of a type whose values are text
		"    resources: {limits: {}}\n    ports: [{containeremory: 0}]": "unknown field",
		"  volumes: [{name: a, emptyDir: {sizzle: 1}}]":                 "unknown field",
		// nothing near: no neighbour
		"    foo: 1":   "spec.containers[0].foo: unknown field\n",
		"  foo: 1":     "spec.foo: unknown field\n",
		"  xyzzy: 1":   "spec.xyzzy: unknown field\n",
		"    hosts: 1": "spec.containers[0].hosts: unknown field\n",
	} {
		_, problems := Decode("x.yaml", []byte(minimal+add+"\n"), Options{})
		if said := problems.Error() + "\n"; !strings.Contains(said, want) || len(problems.Errors()) == 0 {
			t.Errorf("%s\n got  %s want %s", add, said, want)
		}
	}
}

// Values of a Secret are not told as hints either.
func TestHintsKeepSecrets(t *testing.T) {
	for _, text := range []string{"data: {a: [tops3cret]}", "data: \"tops3cret\"", "immutable: tops3cret", "immutable: \"true\"\nstringData: tops3cret", "stringData: [tops3cret]"} {
		_, problems := Decode("x.yaml", []byte("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"+text+"\n"), Options{})
		if said := problems.Error(); said == "" || strings.Contains(said, "tops3cret") {
			t.Errorf("%s: %s", text, said)
		}
	}
}

// Fields of every type can be looked for in every other.
func TestWithin(t *testing.T) {
	for _, object := range []any{&v1.Pod{}, &appsv1.StatefulSet{}, &batchv1.CronJob{}, &v1.Service{}, &v1.PersistentVolumeClaim{}, &networkingv1.NetworkPolicy{}, &discoveryv1.EndpointSlice{}} {
		var all func(typ reflect.Type, seen map[reflect.Type]bool)
		all = func(typ reflect.Type, seen map[reflect.Type]bool) {
			for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
				typ = typ.Elem()
			}
			if typ.Kind() != reflect.Struct || seen[typ] || scalarTypes[typ] || clustersOwn[typ] {
				return
			}
			seen[typ] = true
			if places := within(typ, "noSuchField"); places != nil {
				t.Errorf("%s: %v", typ, places)
			}
			for _, f := range fieldsOf(typ) {
				all(f.typ, seen)
			}
		}
		all(reflect.TypeOf(object), map[reflect.Type]bool{})
	}
	for name, want := range map[string]string{"image": "[containers[]]", "limits": "[resources]", "runAsNonRoot": "[securityContext]"} {
		if got := fmt.Sprint(within(reflect.TypeFor[v1.PodSpec](), name)); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
