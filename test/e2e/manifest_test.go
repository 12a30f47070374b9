package e2e

import (
	"fmt"
	"strings"
)

// indent puts text below a YAML key.
func indent(n int, text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	pad := strings.Repeat(" ", n)
	return pad + strings.Join(lines, "\n"+pad)
}

// shell is a pod on the host's network with one container "main" that runs a script. extra is added to the pod's spec.
func shell(name, script, extra string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata:
  name: %s
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 2
%s
  containers:
  - name: main
    image: solopod.example/box:1
    command: ["/bin/sh", "-c"]
    args:
    - |
%s
`, name, indent(2, extra), indent(6, script))
}

// forever keeps a shell busy and lets it end at once on SIGTERM.
const forever = "trap 'exit 0' TERM; while true; do sleep 1000 & wait; done"

// web is a pod with an address of its own that serves HTTP on port 8080.
func web(name, extra string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata:
  name: %s
spec:
  containers:
  - name: web
    image: solopod.example/box:1
    command: ["/web"]
    ports:
    - {name: http, containerPort: 8080}
    readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
%s
`, name, indent(4, extra))
}
