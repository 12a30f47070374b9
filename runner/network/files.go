package network

import (
	"errors"
	"fmt"
	"os"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/foreign"
)

// HostsFile is a pod's /etc/hosts, as the kubelet writes it. domainName comes before the short name; it may be empty.
func HostsFile(hostname, domainName string, ips []string) string {
	var b strings.Builder
	b.WriteString("# Written by Solopod.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
		"fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n")
	for _, ip := range ips {
		b.WriteString(ip)
		if domainName != "" && domainName != hostname {
			b.WriteString("\t" + domainName)
		}
		fmt.Fprintf(&b, "\t%s\n", hostname)
	}
	return b.String()
}

// HostAliases are the lines that a manifest adds to /etc/hosts.
func HostAliases(aliases []v1.HostAlias) string {
	var b strings.Builder
	for _, a := range aliases {
		fmt.Fprintf(&b, "%s\t%s\n", a.IP, strings.Join(a.Hostnames, "\t"))
	}
	return b.String()
}

// HostHosts is the /etc/hosts of a pod with hostNetwork: the host's own. A host without the file gets the names of
// loopback.
func HostHosts() string {
	if host, err := foreign.ReadFollowing("/etc/hosts", maxHostFile); err == nil {
		return string(host)
	}
	return HostsFile("", "", nil)
}

// maxHostFile bounds what is read of the host's /etc/hosts and resolver configuration, in bytes: lists of blocked names are long.
const maxHostFile = 8 << 20

// HostResolvConf is the host's resolver configuration at path, usually /etc/resolv.conf, which is a link on many systems. A host without
// one has an empty one.
func HostResolvConf(path string) (string, error) {
	host, err := foreign.ReadFollowing(path, maxHostFile)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return string(host), err
}

// resolvConf is the content of a resolver configuration (resolv.conf(5)).
type resolvConf struct {
	nameservers, searches, options []string
}

func parseResolvConf(text string) resolvConf {
	var c resolvConf
	for _, line := range strings.Split(text, "\n") {
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

func (c resolvConf) String() string {
	var b strings.Builder
	if len(c.searches) > 0 {
		b.WriteString("search " + strings.Join(c.searches, " ") + "\n")
	}
	for _, ns := range c.nameservers[:min(len(c.nameservers), 3)] {
		b.WriteString("nameserver " + ns + "\n")
	}
	if len(c.options) > 0 {
		b.WriteString("options " + strings.Join(c.options, " ") + "\n")
	}
	return b.String()
}

// ResolvConf is a pod's /etc/resolv.conf. There is no cluster DNS, so ClusterFirst and ClusterFirstWithHostNet mean
// Default, as the kubelet does without --cluster-dns; None starts from nothing. dnsConfig is merged in as the API says.
func ResolvConf(host string, policy v1.DNSPolicy, config *v1.PodDNSConfig) string {
	var c resolvConf
	if policy != v1.DNSNone {
		c = parseResolvConf(host)
	}
	if config == nil {
		return c.String()
	}
	c.nameservers = unique(append(c.nameservers, config.Nameservers...))
	c.searches = unique(append(c.searches, config.Searches...))
	for _, o := range config.Options {
		text := o.Name
		if o.Value != nil {
			text += ":" + *o.Value
		}
		c.options = append(withoutOption(c.options, o.Name), text)
	}
	return c.String()
}

func withoutOption(options []string, name string) []string {
	var out []string
	for _, o := range options {
		if n, _, _ := strings.Cut(o, ":"); n != name {
			out = append(out, o)
		}
	}
	return out
}

func unique(list []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
