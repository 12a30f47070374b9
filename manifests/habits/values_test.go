package habits

import (
	"strings"
	"testing"
)

// Short forms of other tools, and what is written in their place.
func TestObject(t *testing.T) {
	for _, c := range []struct{ owner, text, want string }{
		{"ContainerPort", "80", "write {containerPort: 80}"},
		{"ContainerPort", "8080:80/tcp", "write {containerPort: 80, hostPort: 8080, protocol: TCP}"},
		{"ContainerPort", "127.0.0.1:8080:80", `write {containerPort: 80, hostPort: 8080, hostIP: "127.0.0.1"}`},
		{"ContainerPort", "8000-8010", "write {containerPort: 80, hostPort: 8080}"},
		{"EnvVar", "A=b=c", `write {name: A, value: "b=c"}`},
		{"EnvVar", "A", `write {name: A, value: ""}`},
		{"VolumeMount", "/data", "write {name: data, persistentVolumeClaim: {claimName: data}} into volumes of the pod's spec, and {name: data, mountPath: /data} into the container's volumeMounts"},
		{"Volume", "./conf:/etc/app:ro", "write {name: data, hostPath: {path: /an/absolute/path}} into volumes of the pod's spec, and {name: data, mountPath: /etc/app, readOnly: true} into the container's volumeMounts"},
		{"Volume", "data", "write {name: data, persistentVolumeClaim: {claimName: data}}"},
		{"HostAlias", "db:10.0.0.1", `write {ip: "10.0.0.1", hostnames: [db]}`},
		{"HostAlias", "db", ""},
		{"ExecAction", "test -f /x && true", `write {command: ["sh", "-c", "test -f /x && true"]}`},
		{"Container", "{a}", ""}, {"EnvVar", "a\x1b[2J", ""}, {"EnvVar", "", ""}, {"EnvVar", strings.Repeat("a", 300), ""}, {"Affinity", "a", ""},
	} {
		if got := Object(c.owner, c.text); got != c.want {
			t.Errorf("%s %q: %s", c.owner, c.text, got)
		}
	}
	for text, want := range map[string]string{"10": "write it without quotes: 10", "10s": "it is in seconds: write 10", "2m": "it is in seconds: write 120", "x": "", "1.5s": "", "": ""} {
		if got := Number(text); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
	if got := List("EnvVar", "", "A") + List("string", "", "A") + List("EnvVar", "", "\n"); got != "write [{name: A, value: ...}]" {
		t.Errorf("lists: %s", got)
	}
}
