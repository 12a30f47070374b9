package validate

import (
	"fmt"
	"net/netip"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests/spelling"
	"github.com/solopod/solopod/manifests/validate/findings"
)

func isIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

func checkContainer(out *findings.Collector, at string, c *v1.Container, volumes map[string]*v1.Volume) {
	if c.Name == "" {
		out.Errorf(at+".name", "a container needs a name")
	} else {
		out.All(at+".name", c.Name, validation.IsDNS1123Label(c.Name))
	}
	checkImage(out, at+".image", c.Image)
	findings.OneOf(out, at+".imagePullPolicy", c.ImagePullPolicy, v1.PullAlways, v1.PullIfNotPresent, v1.PullNever)
	findings.OneOf(out, at+".terminationMessagePolicy", c.TerminationMessagePolicy, v1.TerminationMessageReadFile, v1.TerminationMessageFallbackToLogsOnError)
	checkEnv(out, at, c, volumes)
	checkPorts(out, at, c.Ports)
	checkMounts(out, at, c, volumes)
	checkResources(out, at+".resources", c.Resources)
	checkResizePolicy(out, at, c.ResizePolicy)
	checkSecurityContext(out, at+".securityContext", c.SecurityContext)
	checkProbe(out, at+".livenessProbe", c.LivenessProbe, c, true)
	checkProbe(out, at+".readinessProbe", c.ReadinessProbe, c, false)
	checkProbe(out, at+".startupProbe", c.StartupProbe, c, true)
}

func checkPorts(out *findings.Collector, at string, ports []v1.ContainerPort) {
	names := map[string]bool{}
	for i, p := range ports {
		at := fmt.Sprintf("%s.ports[%d]", at, i)
		if p.ContainerPort == 0 {
			out.Errorf(at+".containerPort", "a port between 1 and 65535 is required: that on which the container listens")
		} else {
			out.All(at+".containerPort", fmt.Sprint(p.ContainerPort), validation.IsValidPortNum(int(p.ContainerPort)))
		}
		if p.HostPort != 0 {
			out.All(at+".hostPort", fmt.Sprint(p.HostPort), validation.IsValidPortNum(int(p.HostPort)))
		}
		if p.Name != "" {
			out.All(at+".name", p.Name, validation.IsValidPortName(p.Name))
			if names[p.Name] {
				out.Errorf(at+".name", "duplicate port name %q", p.Name)
			}
			names[p.Name] = true
		}
		if p.HostIP != "" && !isIP(p.HostIP) {
			out.Errorf(at+".hostIP", "%q is not an IP address", p.HostIP)
		}
		findings.OneOf(out, at+".protocol", p.Protocol, v1.ProtocolTCP, v1.ProtocolUDP, v1.ProtocolSCTP)
	}
}

func checkSecurityContext(out *findings.Collector, at string, s *v1.SecurityContext) {
	if s == nil {
		return
	}
	checkIDs(out, at, map[string]*int64{"runAsUser": s.RunAsUser, "runAsGroup": s.RunAsGroup})
	checkSeLinux(out, at+".seLinuxOptions", s.SELinuxOptions)
	checkSeccomp(out, at+".seccompProfile", s.SeccompProfile)
	checkAppArmor(out, at+".appArmorProfile", s.AppArmorProfile)
	if s.ProcMount != nil {
		findings.OneOf(out, at+".procMount", *s.ProcMount, v1.DefaultProcMount, v1.UnmaskedProcMount)
	}
	privileged := s.Privileged != nil && *s.Privileged
	if s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation {
		if privileged {
			out.Errorf(at+".allowPrivilegeEscalation", "cannot be false when privileged is true")
		}
		if s.Capabilities != nil {
			for i, c := range s.Capabilities.Add {
				if c == "CAP_SYS_ADMIN" { // the API server looks for this spelling alone, and SYS_ADMIN is widely used beside false
					out.Errorf(at+".allowPrivilegeEscalation", "cannot be false when capabilities.add[%d] is %s", i, c)
				}
			}
		}
	}
	if s.Capabilities == nil {
		return
	}
	for kind, list := range map[string][]v1.Capability{"add": s.Capabilities.Add, "drop": s.Capabilities.Drop} {
		for i, c := range list {
			if !KnownCapability(string(c)) {
				out.Errorf(fmt.Sprintf("%s.capabilities.%s[%d]", at, kind, i), "unknown capability %q%s", c, capabilityHint(string(c)))
			}
		}
	}
}

func checkProbe(out *findings.Collector, at string, p *v1.Probe, c *v1.Container, onlyOneSuccess bool) {
	if p == nil {
		return
	}
	handlers := 0
	for _, set := range []bool{p.Exec != nil, p.HTTPGet != nil, p.TCPSocket != nil, p.GRPC != nil} {
		if set {
			handlers++
		}
	}
	if handlers != 1 {
		out.Errorf(at, "a probe needs exactly one of exec, httpGet, tcpSocket and grpc; this one has %d", handlers)
	}
	for name, n := range map[string]int32{
		"initialDelaySeconds": p.InitialDelaySeconds, "timeoutSeconds": p.TimeoutSeconds, "periodSeconds": p.PeriodSeconds,
		"successThreshold": p.SuccessThreshold, "failureThreshold": p.FailureThreshold,
	} {
		if n < 0 {
			out.Errorf(at+"."+name, "must not be negative")
		}
	}
	if onlyOneSuccess && p.SuccessThreshold != 1 {
		out.Errorf(at+".successThreshold", "must be 1 for liveness and startup probes")
	}
	if g := p.TerminationGracePeriodSeconds; g != nil {
		switch {
		case !onlyOneSuccess:
			out.Errorf(at+".terminationGracePeriodSeconds", "a readiness probe ends no container; it is for liveness and startup probes")
		case *g < 1:
			out.Errorf(at+".terminationGracePeriodSeconds", "must be at least 1")
		}
	}
	switch {
	case p.Exec != nil && len(p.Exec.Command) == 0:
		out.Errorf(at+".exec.command", "a command is required")
	case p.HTTPGet != nil:
		checkProbePort(out, at+".httpGet.port", p.HTTPGet.Port, c)
		checkHTTP(out, at+".httpGet", p.HTTPGet)
	case p.TCPSocket != nil:
		checkProbePort(out, at+".tcpSocket.port", p.TCPSocket.Port, c)
	case p.GRPC != nil:
		checkProbePort(out, at+".grpc.port", intstr.FromInt32(p.GRPC.Port), c)
		if p.GRPC.Mode != nil {
			findings.OneOf(out, at+".grpc.mode", *p.GRPC.Mode, v1.GRPCProbeModePlaintext, v1.GRPCProbeModeTLS)
		}
	}
}

func checkHTTP(out *findings.Collector, at string, a *v1.HTTPGetAction) {
	if p := a.Protocol; p != nil {
		findings.OneOf(out, at+".protocol", *p, v1.HTTPProtocolHTTP1, v1.HTTPProtocolHTTP2)
		if *p == v1.HTTPProtocolHTTP2 && a.Scheme != v1.URISchemeHTTP {
			out.Errorf(at+".protocol", "HTTP2 is spoken without TLS: it goes with scheme HTTP")
		}
		if *p == v1.HTTPProtocolHTTP2 && a.Host != "" {
			out.Errorf(at+".host", "with protocol HTTP2 the pod itself is asked; remove it")
		}
	}
	findings.OneOf(out, at+".scheme", a.Scheme, v1.URISchemeHTTP, v1.URISchemeHTTPS)
	for i, h := range a.HTTPHeaders {
		out.All(fmt.Sprintf("%s.httpHeaders[%d].name", at, i), h.Name, validation.IsHTTPHeaderName(h.Name))
	}
}

func checkProbePort(out *findings.Collector, at string, port intstr.IntOrString, c *v1.Container) {
	if port.Type == intstr.Int {
		out.All(at, port.String(), validation.IsValidPortNum(port.IntValue()))
		return
	}
	if out.Full() {
		return
	}
	names := make([]string, 0, len(c.Ports))
	for _, p := range c.Ports {
		if p.Name == port.StrVal {
			return
		}
		names = append(names, p.Name)
	}
	hint := ""
	if near := spelling.Nearest(port.StrVal, names); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	out.Errorf(at, "the container has no port named %q%s", port.StrVal, hint)
}

// capabilities of capabilities(7), without the CAP_ prefix.
var capabilities = strings.Fields("AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN " +
	"DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE " +
	"MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_BOOT " +
	"SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG SYSLOG WAKE_ALARM")

// KnownCapability says whether a capability of that name exists; ALL stands for each of them.
func KnownCapability(name string) bool {
	name = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
	if name == "ALL" {
		return true
	}
	for _, c := range capabilities {
		if c == name {
			return true
		}
	}
	return false
}

func capabilityHint(name string) string {
	if near := spelling.Nearest(strings.TrimPrefix(strings.ToUpper(name), "CAP_"), capabilities); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}
