package validate

import (
	"fmt"
	"net/netip"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests/spelling"
)

func isIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

func (v *validator) container(at string, c *v1.Container, volumes map[string]*v1.Volume) {
	if c.Name == "" {
		v.errorf(at+".name", "a container needs a name")
	} else {
		v.all(at+".name", c.Name, validation.IsDNS1123Label(c.Name))
	}
	if c.Image == "" {
		v.errorf(at+".image", "a container needs an image")
	} else if strings.TrimSpace(c.Image) != c.Image || strings.ContainsAny(c.Image, " \t\n") {
		v.errorf(at+".image", "%q must not contain blanks", c.Image)
	}
	oneOf(v, at+".imagePullPolicy", c.ImagePullPolicy, v1.PullAlways, v1.PullIfNotPresent, v1.PullNever)
	oneOf(v, at+".terminationMessagePolicy", c.TerminationMessagePolicy, v1.TerminationMessageReadFile, v1.TerminationMessageFallbackToLogsOnError)
	v.env(at, c, volumes)
	v.ports(at, c.Ports)
	v.mounts(at, c, volumes)
	v.resources(at+".resources", c.Resources)
	v.resizePolicy(at, c.ResizePolicy)
	v.securityContext(at+".securityContext", c.SecurityContext)
	v.probe(at+".livenessProbe", c.LivenessProbe, c, true)
	v.probe(at+".readinessProbe", c.ReadinessProbe, c, false)
	v.probe(at+".startupProbe", c.StartupProbe, c, true)
}

func (v *validator) ports(at string, ports []v1.ContainerPort) {
	names := map[string]bool{}
	for i, p := range ports {
		at := fmt.Sprintf("%s.ports[%d]", at, i)
		v.all(at+".containerPort", fmt.Sprint(p.ContainerPort), validation.IsValidPortNum(int(p.ContainerPort)))
		if p.HostPort != 0 {
			v.all(at+".hostPort", fmt.Sprint(p.HostPort), validation.IsValidPortNum(int(p.HostPort)))
		}
		if p.Name != "" {
			v.all(at+".name", p.Name, validation.IsValidPortName(p.Name))
			if names[p.Name] {
				v.errorf(at+".name", "duplicate port name %q", p.Name)
			}
			names[p.Name] = true
		}
		if p.HostIP != "" && !isIP(p.HostIP) {
			v.errorf(at+".hostIP", "%q is not an IP address", p.HostIP)
		}
		oneOf(v, at+".protocol", p.Protocol, v1.ProtocolTCP, v1.ProtocolUDP, v1.ProtocolSCTP)
	}
}

func (v *validator) resources(at string, r v1.ResourceRequirements) {
	for kind, list := range map[string]v1.ResourceList{"limits": r.Limits, "requests": r.Requests} {
		for name, q := range list {
			field := at + "." + kind + "." + string(name)
			limit, limited := r.Limits[name]
			if kind == "requests" && limited && q.Cmp(limit) == 0 {
				continue // what is to be said of it is said of the limit, which may be where it comes from
			}
			huge := strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix)
			switch {
			case name == v1.ResourceCPU, name == v1.ResourceMemory, name == v1.ResourceEphemeralStorage, huge:
			case strings.Contains(string(name), "/"):
				v.device(field, name, r)
			default:
				v.errorf(field, "this resource is not implemented by this version of Solopod; cpu, memory, ephemeral-storage, hugepages-<size> and CDI devices (vendor/class) are")
				continue
			}
			if huge {
				v.hugepages(field, name, r)
			}
			if q.Sign() < 0 {
				v.errorf(field, "must not be negative")
			}
			if kind == "requests" && limited && q.Cmp(limit) > 0 {
				v.errorf(field, "the request %s is above the limit %s", q.String(), limit.String())
			}
			if name == v1.ResourceMemory && q.MilliValue()%1000 != 0 {
				v.warnf(field, "%s is a fraction of a byte; did you mean M or Mi?", q.String())
			}
		}
	}
}

// device: CDI devices are whole, and the request is the limit, as in Kubernetes.
func (v *validator) device(field string, name v1.ResourceName, r v1.ResourceRequirements) {
	v.all(field, string(name), validation.IsQualifiedName(string(name)))
	limit, limited := r.Limits[name]
	if request, ok := r.Requests[name]; !limited || ok && request.Cmp(limit) != 0 {
		v.errorf(field, "set a limit, and no other request than that")
	}
	if limit.MilliValue()%1000 != 0 {
		v.errorf(field, "%s is not a whole number of devices", limit.String())
	}
}

// hugepages: they cannot be shared out in time, so the request is the limit, as in Kubernetes.
func (v *validator) hugepages(field string, name v1.ResourceName, r v1.ResourceRequirements) {
	size, err := resource.ParseQuantity(strings.TrimPrefix(string(name), v1.ResourceHugePagesPrefix))
	if err != nil || size.Sign() <= 0 {
		v.errorf(field, "huge pages are named by their size: hugepages-2Mi, hugepages-1Gi")
		return
	}
	limit, limited := r.Limits[name]
	if request, ok := r.Requests[name]; !limited || ok && request.Cmp(limit) != 0 {
		v.errorf(field, "set a limit, and no other request than that")
	}
	if limit.Value()%size.Value() != 0 {
		v.errorf(field, "%s is not a whole number of pages of %s", limit.String(), size.String())
	}
}

func (v *validator) securityContext(at string, s *v1.SecurityContext) {
	if s == nil {
		return
	}
	v.identity(at, map[string]*int64{"runAsUser": s.RunAsUser, "runAsGroup": s.RunAsGroup})
	v.seLinux(at+".seLinuxOptions", s.SELinuxOptions)
	v.seccomp(at+".seccompProfile", s.SeccompProfile)
	v.appArmor(at+".appArmorProfile", s.AppArmorProfile)
	if s.ProcMount != nil {
		oneOf(v, at+".procMount", *s.ProcMount, v1.DefaultProcMount, v1.UnmaskedProcMount)
	}
	privileged := s.Privileged != nil && *s.Privileged
	if s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation {
		if privileged {
			v.errorf(at+".allowPrivilegeEscalation", "cannot be false when privileged is true")
		}
		if s.Capabilities != nil {
			for i, c := range s.Capabilities.Add {
				if c == "SYS_ADMIN" || c == "CAP_SYS_ADMIN" {
					v.errorf(at+".allowPrivilegeEscalation", "cannot be false when capabilities.add[%d] is %s", i, c)
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
				v.errorf(fmt.Sprintf("%s.capabilities.%s[%d]", at, kind, i), "unknown capability %q%s", c, capabilityHint(string(c)))
			}
		}
	}
}

func (v *validator) probe(at string, p *v1.Probe, c *v1.Container, onlyOneSuccess bool) {
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
		v.errorf(at, "a probe needs exactly one of exec, httpGet, tcpSocket and grpc; this one has %d", handlers)
	}
	for name, n := range map[string]int32{
		"initialDelaySeconds": p.InitialDelaySeconds, "timeoutSeconds": p.TimeoutSeconds, "periodSeconds": p.PeriodSeconds,
		"successThreshold": p.SuccessThreshold, "failureThreshold": p.FailureThreshold,
	} {
		if n < 0 {
			v.errorf(at+"."+name, "must not be negative")
		}
	}
	if onlyOneSuccess && p.SuccessThreshold != 1 {
		v.errorf(at+".successThreshold", "must be 1 for liveness and startup probes")
	}
	if g := p.TerminationGracePeriodSeconds; g != nil {
		switch {
		case !onlyOneSuccess:
			v.errorf(at+".terminationGracePeriodSeconds", "a readiness probe ends no container; it is for liveness and startup probes")
		case *g < 1:
			v.errorf(at+".terminationGracePeriodSeconds", "must be at least 1")
		}
	}
	switch {
	case p.Exec != nil && len(p.Exec.Command) == 0:
		v.errorf(at+".exec.command", "a command is required")
	case p.HTTPGet != nil:
		v.probePort(at+".httpGet.port", p.HTTPGet.Port, c)
		v.http(at+".httpGet", p.HTTPGet)
	case p.TCPSocket != nil:
		v.probePort(at+".tcpSocket.port", p.TCPSocket.Port, c)
	case p.GRPC != nil:
		v.probePort(at+".grpc.port", intstr.FromInt32(p.GRPC.Port), c)
		if p.GRPC.Mode != nil {
			oneOf(v, at+".grpc.mode", *p.GRPC.Mode, v1.GRPCProbeModePlaintext, v1.GRPCProbeModeTLS)
		}
	}
}

func (v *validator) http(at string, a *v1.HTTPGetAction) {
	if p := a.Protocol; p != nil {
		oneOf(v, at+".protocol", *p, v1.HTTPProtocolHTTP1, v1.HTTPProtocolHTTP2)
		if *p == v1.HTTPProtocolHTTP2 && a.Scheme != v1.URISchemeHTTP {
			v.errorf(at+".protocol", "HTTP2 is spoken without TLS: it goes with scheme HTTP")
		}
	}
	oneOf(v, at+".scheme", a.Scheme, v1.URISchemeHTTP, v1.URISchemeHTTPS)
	for i, h := range a.HTTPHeaders {
		v.all(fmt.Sprintf("%s.httpHeaders[%d].name", at, i), h.Name, validation.IsHTTPHeaderName(h.Name))
	}
}

func (v *validator) probePort(at string, port intstr.IntOrString, c *v1.Container) {
	if port.Type == intstr.Int {
		v.all(at, port.String(), validation.IsValidPortNum(port.IntValue()))
		return
	}
	if v.full() {
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
	v.errorf(at, "the container has no port named %q%s", port.StrVal, hint)
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
