package network

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/foreign"
)

// HostsFile is a pod's /etc/hosts, as the kubelet writes it. domainName comes before the short name; it may be empty.
func HostsFile(hostname, domainName string, ips []string) string {
	var b strings.Builder
	b.WriteString("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
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

// maxHostFile bounds what is read of the host's /etc/hosts, in bytes: lists of blocked names are long.
const maxHostFile = 8 << 20
