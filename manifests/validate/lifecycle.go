package validate

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

// checkInitContainer: what only makes sense for a container that goes on running is for sidecars.
func checkInitContainer(out *collector, at string, c *v1.Container) {
	if manifests.IsSidecar(c) {
		return
	}
	for name, set := range map[string]bool{
		"lifecycle": c.Lifecycle != nil, "livenessProbe": c.LivenessProbe != nil, "readinessProbe": c.ReadinessProbe != nil,
		"startupProbe": c.StartupProbe != nil,
	} {
		if set {
			out.errorf(at+"."+name, "an init container runs to its end; only a sidecar has this: set restartPolicy: Always")
		}
	}
}

// checkLifecycle checks restart policy, rules and hooks. grace is the pod's grace period in seconds.
func checkLifecycle(out *collector, at string, c *v1.Container, grace int64) {
	if c.RestartPolicy != nil {
		oneOf(out, at+".restartPolicy", *c.RestartPolicy, v1.ContainerRestartPolicyAlways, v1.ContainerRestartPolicyOnFailure, v1.ContainerRestartPolicyNever)
	}
	checkRestartRules(out, at, c)
	if c.Lifecycle == nil {
		return
	}
	checkHook(out, at+".lifecycle.postStart", c.Lifecycle.PostStart, c, grace)
	checkHook(out, at+".lifecycle.preStop", c.Lifecycle.PreStop, c, grace)
	if s := c.Lifecycle.StopSignal; s != nil && !knownSignal(string(*s)) {
		out.errorf(at+".lifecycle.stopSignal", "unknown signal %q; write it like SIGTERM or SIGRTMIN+3", *s)
	}
}

func knownSignal(name string) bool {
	for _, base := range []string{"SIGRTMIN", "SIGRTMAX"} {
		if rest, ok := strings.CutPrefix(name, base); ok {
			return rest == "" || len(rest) < 4 && strings.ContainsAny(rest[:1], "+-") && strings.Trim(rest[1:], "0123456789") == "" && len(rest) > 1
		}
	}
	return strings.HasPrefix(name, "SIG") && unix.SignalNum(name) != 0
}

func checkRestartRules(out *collector, at string, c *v1.Container) {
	if len(c.RestartPolicyRules) > 0 && c.RestartPolicy == nil {
		out.errorf(at+".restartPolicyRules", "rules need a restartPolicy of the container beside them, for what they do not name")
	}
	if len(c.RestartPolicyRules) > 20 {
		out.errorf(at+".restartPolicyRules", "at most 20 rules are allowed")
	}
	for i, r := range c.RestartPolicyRules {
		at := fmt.Sprintf("%s.restartPolicyRules[%d]", at, i)
		oneOf(out, at+".action", r.Action, v1.ContainerRestartRuleActionRestart, v1.ContainerRestartRuleActionRestartAllContainers)
		if r.ExitCodes == nil {
			out.errorf(at+".exitCodes", "a rule needs exit codes to go by")
			continue
		}
		oneOf(out, at+".exitCodes.operator", r.ExitCodes.Operator, v1.ContainerRestartRuleOnExitCodesOpIn, v1.ContainerRestartRuleOnExitCodesOpNotIn)
		if n := len(r.ExitCodes.Values); n == 0 || n > 255 {
			out.errorf(at+".exitCodes.values", "between 1 and 255 exit codes are allowed; there are %d", n)
		}
	}
}

func checkHook(out *collector, at string, h *v1.LifecycleHandler, c *v1.Container, grace int64) {
	if h == nil {
		return
	}
	handlers := 0
	for _, set := range []bool{h.Exec != nil, h.HTTPGet != nil, h.TCPSocket != nil, h.Sleep != nil} {
		if set {
			handlers++
		}
	}
	if handlers != 1 {
		out.errorf(at, "a hook needs exactly one of exec, httpGet, tcpSocket and sleep; this one has %d", handlers)
	}
	switch {
	case h.Exec != nil && len(h.Exec.Command) == 0:
		out.errorf(at+".exec.command", "a command is required")
	case h.HTTPGet != nil:
		if h.HTTPGet.Port.String() != "0" && h.HTTPGet.Port.String() != "" { // 80, as with the kubelet
			checkProbePort(out, at+".httpGet.port", h.HTTPGet.Port, c)
		}
		checkHTTP(out, at+".httpGet", h.HTTPGet)
	case h.TCPSocket != nil:
		checkProbePort(out, at+".tcpSocket.port", h.TCPSocket.Port, c)
	case h.Sleep != nil && (h.Sleep.Seconds < 0 || h.Sleep.Seconds > grace):
		out.errorf(at+".sleep.seconds", "must lie between 0 and terminationGracePeriodSeconds (%d)", grace)
	}
}
