package resolver

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// config is the content of a resolver configuration (resolv.conf(5)).
type config struct {
	nameservers, searches, options []string
}

func parse(text string) config {
	var c config
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			c.nameservers = append(c.nameservers, fields[1])
		case "search", "domain":
			c.searches = fields[1:]
		case "options":
			c.options = append(c.options, fields[1:]...)
		}
	}
	return c
}

func (c config) String() string {
	var b strings.Builder
	if len(c.searches) > 0 {
		b.WriteString("search " + strings.Join(c.searches, " ") + "\n")
	}
	for _, ns := range c.nameservers {
		b.WriteString("nameserver " + ns + "\n")
	}
	if len(c.options) > 0 {
		b.WriteString("options " + strings.Join(c.options, " ") + "\n")
	}
	return b.String()
}

// Found is what the machine's resolver configuration says.
type Found struct {
	// host is the configuration as it is; pods is what pods with a network of their own can use of it.
	host, pods config
	known      bool
	cluster    Cluster
	// Problem says what is wrong with it, and what to do; empty when nothing is.
	Problem string
	// Note says what is used instead of what the configuration names; empty when nothing is.
	Note string
}

// Known says whether the configuration could be read, now or before.
func (f Found) Known() bool { return f.known }

// Revision identifies what pods get.
func (f Found) Revision() string {
	text := f.host.String() + "\x00" + f.pods.String()
	if f.cluster.serves() {
		text += "\x00" + fmt.Sprint(f.cluster)
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// For is a pod's /etc/resolv.conf. Its policy means what it means for a kubelet; where nobody serves a cluster's names, ClusterFirst and
// ClusterFirstWithHostNet mean Default, as for one without --cluster-dns. None starts from nothing. dnsConfig is merged in as the API says.
func (f Found) For(pod *v1.Pod) string {
	c, _ := f.merged(pod).fit()
	return c.String()
}

// Omitted says what a pod does not get as there is too much of it; empty when it gets all.
func (f Found) Omitted(pod *v1.Pod) string {
	_, omitted := f.merged(pod).fit()
	return omitted
}

// merged is what a pod is to get, be it too much or not.
func (f Found) merged(pod *v1.Pod) config {
	var c config
	switch {
	case pod.Spec.DNSPolicy == v1.DNSNone:
	case f.cluster.serves() && clusterFirst(pod):
		c = f.cluster.config(pod.Namespace, f.ofMachine(pod).searches)
	default:
		c = f.ofMachine(pod)
	}
	extra := pod.Spec.DNSConfig
	if extra == nil {
		return c
	}
	c.nameservers = unique(c.nameservers, extra.Nameservers)
	c.searches = unique(c.searches, extra.Searches)
	for _, o := range extra.Options {
		text := o.Name
		if o.Value != nil {
			text += ":" + *o.Value
		}
		c.options = append(withoutOption(c.options, o.Name), text)
	}
	return c
}

// ofMachine is what a pod can use of the machine's configuration.
func (f Found) ofMachine(pod *v1.Pod) config {
	if pod.Spec.HostNetwork {
		return f.host
	}
	return f.pods
}

// Lacks says why a pod has no nameserver; empty when it has one, or wants none.
func (f Found) Lacks(pod *v1.Pod) string {
	if pod.Spec.DNSPolicy == v1.DNSNone || len(f.merged(pod).nameservers) > 0 {
		return ""
	}
	return f.Problem
}

func withoutOption(options []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(options), func(o string) bool {
		n, _, _ := strings.Cut(o, ":")
		return n == name
	})
}

func unique(lists ...[]string) (out []string) {
	for _, s := range slices.Concat(lists...) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// local: a server that answers on the machine only. In a pod's own network that address is the pod's, or nobody's. Link-local addresses of
// IPv4 are routed in some clouds.
func local(server string) bool {
	ip, err := netip.ParseAddr(server)
	ip = ip.Unmap()
	return err == nil && (ip.IsLoopback() || ip.IsUnspecified() || ip.Is6() && ip.IsLinkLocalUnicast())
}

// Where the programs that answer on the machine itself keep the servers that they ask.
const (
	ofResolved       = "/run/systemd/resolve/resolv.conf"
	ofNetworkManager = "/run/NetworkManager/no-stub-resolv.conf"
	ofDnsmasq        = "/run/dnsmasq/resolv.conf"
)

// behind are the files that may have the servers behind local ones, the likeliest first.
func behind(servers []string) []string {
	if slices.Contains(servers, "127.0.0.53") || slices.Contains(servers, "127.0.0.54") { // systemd-resolved's stubs
		return []string{ofResolved, ofNetworkManager}
	}
	return []string{ofNetworkManager, ofDnsmasq, ofResolved}
}

// judge says what pods get of a configuration. path is its name, look reads another file.
func judge(path, text string, look func(path string) string) Found {
	f := Found{known: true, host: parse(text)}
	f.pods = f.host
	f.pods.nameservers = slices.DeleteFunc(slices.Clone(f.host.nameservers), local)
	names := strings.Join(f.host.nameservers, " ")
	switch {
	case names == "":
		f.Problem = path + " names no nameserver, so pods have none until it does"
		return f
	case len(f.pods.nameservers) == len(f.host.nameservers):
		return f
	case len(f.pods.nameservers) > 0:
		f.Note = fmt.Sprintf("of the nameservers in %s pods with a network of their own get those that they can reach: %s",
			path, strings.Join(f.pods.nameservers, " "))
		return f
	}
	for _, other := range behind(f.host.nameservers) {
		c := parse(look(other))
		if c.nameservers = slices.DeleteFunc(c.nameservers, local); len(c.nameservers) == 0 || other == path {
			continue
		}
		if len(c.searches) == 0 {
			c.searches = f.host.searches
		}
		f.pods = c
		f.Note = fmt.Sprintf("%s names %s, which answers on this machine only; pods with a network of their own get the nameservers of %s", path, names, other)
		return f
	}
	f.Problem = fmt.Sprintf("%s names only %s, which pods with a network of their own cannot reach, so they have no nameserver; "+
		"set resolvConf in the configuration to a file that names the servers behind it, or give pods a dnsConfig", path, names)
	return f
}
