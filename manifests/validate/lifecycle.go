package validate

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate/findings"
)

// checkInitContainer: what only makes sense for a container that goes on running is for sidecars.
func checkInitContainer(out *findings.Collector, at string, c *v1.Container) {
	if manifests.IsSidecar(c) {
		return
	}
	for i, p := range c.ResizePolicy {
		if p.RestartPolicy == v1.RestartContainer {
			out.Errorf(fmt.Sprintf("%s.resizePolicy[%d].restartPolicy", at, i), "an init container runs once; only a sidecar has this: set restartPolicy: Always")
		}
	}
	for name, set := range map[string]bool{
		"lifecycle": c.Lifecycle != nil, "livenessProbe": c.LivenessProbe != nil, "readinessProbe": c.ReadinessProbe != nil,
		"startupProbe": c.StartupProbe != nil,
	} {
		if set {
			out.Errorf(at+"."+name, "an init container runs to its end; only a sidecar has this: set restartPolicy: Always")
		}
	}
}

// checkLifecycle checks restart policy, rules and hooks. grace is the pod's grace period in seconds.
func checkLifecycle(out *findings.Collector, at string, c *v1.Container, grace int64) {
	if c.RestartPolicy != nil {
		findings.OneOf(out, at+".restartPolicy", *c.RestartPolicy, v1.ContainerRestartPolicyAlways, v1.ContainerRestartPolicyOnFailure, v1.ContainerRestartPolicyNever)
	}
	checkRestartRules(out, at, c)
	if c.Lifecycle == nil {
		return
	}
	checkHook(out, at+".lifecycle.postStart", c.Lifecycle.PostStart, c, grace)
	checkHook(out, at+".lifecycle.preStop", c.Lifecycle.PreStop, c, grace)
	if s := c.Lifecycle.StopSignal; s != nil && !knownSignal(string(*s)) {
		out.Errorf(at+".lifecycle.stopSignal", "unknown signal %q; write it like SIGTERM or SIGRTMIN+3", *s)
	}
}

// knownSignal: beside those with names there are SIGRTMIN to SIGRTMIN+15 and SIGRTMAX-14 to SIGRTMAX.
func knownSignal(name string) bool {
	for base, most := range map[string]int{"SIGRTMIN": 15, "SIGRTMAX": 14} {
		if rest, ok := strings.CutPrefix(name, base); ok {
			sign := map[string]string{"SIGRTMIN": "+", "SIGRTMAX": "-"}[base]
			n, err := strconv.Atoi(strings.TrimPrefix(rest, sign))
			return rest == "" || err == nil && n > 0 && n <= most && rest == sign+strconv.Itoa(n)
		}
	}
	return strings.HasPrefix(name, "SIG") && unix.SignalNum(name) != 0
}

func checkRestartRules(out *findings.Collector, at string, c *v1.Container) {
	if len(c.RestartPolicyRules) > 0 && c.RestartPolicy == nil {
		out.Errorf(at+".restartPolicyRules", "rules need a restartPolicy of the container beside them, for what they do not name")
	}
	if len(c.RestartPolicyRules) > 20 {
		out.Errorf(at+".restartPolicyRules", "at most 20 rules are allowed")
	}
	for i, r := range c.RestartPolicyRules {
		at := fmt.Sprintf("%s.restartPolicyRules[%d]", at, i)
		findings.OneOf(out, at+".action", r.Action, v1.ContainerRestartRuleActionRestart, v1.ContainerRestartRuleActionRestartAllContainers)
		if r.ExitCodes == nil {
			out.Errorf(at+".exitCodes", "a rule needs exit codes to go by")
			continue
		}
		findings.OneOf(out, at+".exitCodes.operator", r.ExitCodes.Operator, v1.ContainerRestartRuleOnExitCodesOpIn, v1.ContainerRestartRuleOnExitCodesOpNotIn)
		switch n := len(r.ExitCodes.Values); {
		case n > 255:
			out.Errorf(at+".exitCodes.values", "at most 255 exit codes are allowed; there are %d", n)
		case n == 0:
			out.Warnf(at+".exitCodes.values", "there are none: operator In never has one of them, NotIn always")
		}
	}
}

func checkHook(out *findings.Collector, at string, h *v1.LifecycleHandler, c *v1.Container, grace int64) {
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
		out.Errorf(at, "a hook needs exactly one of exec, httpGet, tcpSocket and sleep; this one has %d", handlers)
	}
	switch {
	case h.Exec != nil && len(h.Exec.Command) == 0:
		out.Errorf(at+".exec.command", "a command is required")
	case h.HTTPGet != nil:
		checkProbePort(out, at+".httpGet.port", h.HTTPGet.Port, c)
		checkHTTP(out, at+".httpGet", h.HTTPGet)
	case h.TCPSocket != nil:
		checkProbePort(out, at+".tcpSocket.port", h.TCPSocket.Port, c)
	case h.Sleep != nil && (h.Sleep.Seconds < 0 || h.Sleep.Seconds > grace):
		out.Errorf(at+".sleep.seconds", "must lie between 0 and terminationGracePeriodSeconds (%d)", grace)
	}
}
