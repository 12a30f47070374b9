package spelling_test

import (
	"strings"
	"testing"

	"github.com/solopod/solopod/manifests/spelling"
)

// What is near is found, and what is not has no neighbour at all.
func TestNearest(t *testing.T) {
	fields := strings.Fields("args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe resources restartPolicy " +
		"securityContext startupProbe stdin stdinOnce terminationMessagePath tty volumeMounts workingDir os hostNetwork hostPID hostIPC timeoutSeconds periodSeconds")
	for name, want := range map[string]string{
		"imag": "image", "Image": "image", "iamge": "image", "working_dir": "workingDir", "image-pull-policy": "imagePullPolicy", "evn": "env",
		"livnessProbe": "livenessProbe", "liveness": "livenessProbe", "pullPolicy": "imagePullPolicy", "timeout": "timeoutSeconds", "port": "ports",
		"volumeMount": "volumeMounts", "restartPolicyRule": "restartPolicy", "commands": "command", "tyt": "tty",
		"cmd": "", "foo": "", "user": "", "host": "", "environment": "", "x": "", "": "", "__": "", "build": "", "cpu": "", "links": "",
		strings.Repeat("image", 20): "",
	} {
		if got := spelling.Nearest(name, fields); got != want {
			t.Errorf("%q: %q, not %q", name, got, want)
		}
	}
	if got := spelling.Nearest("ab", []string{"ac", "", "ad"}); got != "ac" {
		t.Errorf("of two as near: %q", got)
	}
	if got := spelling.Same("hostnetwork", fields) + spelling.Same("hostnetwor", fields); got != "hostNetwork" {
		t.Errorf("the same: %q", got)
	}
}
