package machine

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/solopod/solopod/runner/host"
)

// links tells which network interfaces lead to pods, and to other programs' containers.
type links struct {
	root  string // /sys/class/net
	known map[string]bool
}

// maxLinks bounds how many names are remembered: pods come and go.
const maxLinks = 1024

// ofPods are names that Solopod, and CNI plugins, give the machine's end of a pod's pair of interfaces. What docker0 counts its
// containers' pairs have, as with cAdvisor.
var ofPods = regexp.MustCompile(`^(sp[0-9a-f]{8}$|veth|cali|lxc|docker|nerdctl)`)

// LeadsToPod says whether a network interface of the machine is the machine's end of a pair whose other end is in a pod, or some other
// container: what it counts is the pod's. It is one by its name, or as a port of a bridge.
func (m *Machine) LeadsToPod(name string) bool {
	return m.links.leadToPod(name)
}

func (l *links) leadToPod(name string) bool {
	if ofPods.MatchString(name) {
		return true
	}
	found, ok := l.known[name]
	if !ok {
		found = l.isPort(name)
		if l.known == nil || len(l.known) >= maxLinks {
			l.known = map[string]bool{}
		}
		l.known[name] = found
	}
	return found
}

// isPort says whether an interface is one end of a pair (veth(4)) and a port of a bridge. Others, as a network card, may be ports too.
func (l *links) isPort(name string) bool {
	dir := filepath.Join(l.root, name)
	_, err := os.Stat(filepath.Join(dir, "brport"))
	if err != nil {
		return false
	}
	own, peer := host.Line(filepath.Join(dir, "ifindex")), host.Line(filepath.Join(dir, "iflink"))
	return own != peer && peer != "" && !strings.Contains(host.Line(filepath.Join(dir, "uevent")), "DEVTYPE=")
}
