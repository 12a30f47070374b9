// Package environment makes the variables that tell a container where the Services of its namespace are (enableServiceLinks). It is pure.
package environment

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// Service is one that has an address.
type Service struct {
	Name  string
	IP    netip.Addr
	Ports []v1.ServicePort
}

// Variables are those of the services, by name, as the kubelet makes them (pkg/kubelet/envvars), as name=value: NAME_SERVICE_HOST and
// NAME_SERVICE_PORT, NAME_SERVICE_PORT_<PORT> of named ports, and those that Docker's links have made.
func Variables(services []Service) (out []string) {
	services = slices.Clone(services)
	slices.SortFunc(services, func(a, b Service) int { return cmp.Compare(a.Name, b.Name) })
	for _, s := range services {
		if !s.IP.IsValid() || len(s.Ports) == 0 {
			continue
		}
		name, ip := variable(s.Name), s.IP.String()
		set := func(suffix, format string, args ...any) {
			out = append(out, name+suffix+"="+fmt.Sprintf(format, args...))
		}
		set("_SERVICE_HOST", "%s", ip)
		set("_SERVICE_PORT", "%d", s.Ports[0].Port)
		for _, p := range s.Ports {
			if p.Name != "" {
				set("_SERVICE_PORT_"+variable(p.Name), "%d", p.Port)
			}
		}
		for i, p := range s.Ports {
			protocol := cmp.Or(p.Protocol, v1.ProtocolTCP)
			url := strings.ToLower(string(protocol)) + "://" + netip.AddrPortFrom(s.IP, uint16(p.Port)).String()
			if i == 0 {
				set("_PORT", "%s", url)
			}
			prefix := fmt.Sprintf("_PORT_%d_%s", p.Port, protocol)
			set(prefix, "%s", url)
			set(prefix+"_PROTO", "%s", strings.ToLower(string(protocol)))
			set(prefix+"_PORT", "%d", p.Port)
			set(prefix+"_ADDR", "%s", ip)
		}
	}
	return out
}

// variable is a name as those of variables are written.
func variable(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }
