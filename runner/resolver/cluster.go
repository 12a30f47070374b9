package resolver

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/durable"
)

// Cluster says who answers for the names of services: who asks there need not ask the machine's servers, which are asked in turn.
type Cluster struct {
	// Servers are the addresses, in the order in which pods get them; none means that nobody answers.
	Servers []netip.Addr `json:"servers,omitempty"`
	// Domain ends the names; empty means that there is nothing to search in.
	Domain string `json:"domain,omitempty"`
}

func (c Cluster) serves() bool { return len(c.Servers) > 0 }

func (c Cluster) equal(o Cluster) bool {
	return slices.Equal(c.Servers, o.Servers) && (c.Domain == o.Domain || !c.serves())
}

// clusterFirst: the pod is to ask the cluster's servers. One with the host's network has to say so by its policy's name.
func clusterFirst(pod *v1.Pod) bool {
	switch pod.Spec.DNSPolicy {
	case v1.DNSClusterFirstWithHostNet:
		return true
	case v1.DNSClusterFirst, "":
		return !pod.Spec.HostNetwork
	}
	return false
}

// config is that of a pod in a namespace, as by the kubelet (pkg/kubelet/network/dns): of the machine's configuration only the search list
// is in it. With five dots a name counts as a full one, so that all names of a cluster are searched for.
func (c Cluster) config(namespace string, searches []string) config {
	out := config{searches: searches, options: []string{"ndots:5"}}
	for _, s := range c.Servers {
		out.nameservers = append(out.nameservers, s.String())
	}
	if c.Domain != "" {
		out.searches = unique([]string{namespace + ".svc." + c.Domain, "svc." + c.Domain, c.Domain}, searches)
	}
	return out
}

// Bounds of what resolvers look at, as the kubelet has them (pkg/apis/core/validation): glibc takes three nameservers (resolv.conf(5),
// MAXNS), and aborts, in old versions, at a search domain that is no name.
const (
	mostNameservers   = 3
	mostSearches      = 32
	mostSearchChars   = 2048
	mostSearchOfThese = 253
)

// fit is the configuration without what is too much, and says what was left out.
func (c config) fit() (config, string) {
	var said []string
	if len(c.nameservers) > mostNameservers {
		c.nameservers = c.nameservers[:mostNameservers]
		said = append(said, "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "+strings.Join(c.nameservers, " "))
	}
	var fitting []string
	chars := 0
	for _, s := range c.searches {
		if len(s) > mostSearchOfThese {
			continue
		}
		if chars += len(s); len(fitting) == mostSearches || chars > mostSearchChars {
			break
		}
		chars++ // the blank before the next
		fitting = append(fitting, s)
	}
	if len(fitting) < len(c.searches) {
		said = append(said, "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "+strings.Join(fitting, " "))
	}
	c.searches = fitting
	return c, strings.Join(said, "; ")
}

// mostRecord bounds what is read of the record of a Cluster, in bytes.
const mostRecord = 1 << 16

// Remember has the Resolver begin with the Cluster that an earlier one was told of, and note changes in the same file: pods that run on must
// not lose the names of services, and get them back, while a daemon that has just begun does not know yet what is served.
func (r *Resolver) Remember(file string) {
	var c Cluster
	text, err := durable.ReadFile(file, mostRecord)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		slog.Warn("it is not known whether names of services were answered; pods get the machine's servers until they are", "err", err)
		c = Cluster{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record, r.cluster = file, c
}

// Serve says who answers for the names of services from now on, and returns whether that has changed. An error says that a later start may
// not know it; it is so all the same, and the next call, be it with the same, notes it.
func (r *Resolver) Serve(c Cluster) (changed bool, err error) {
	r.mu.Lock()
	changed, file := !r.cluster.equal(c), r.record
	r.cluster = Cluster{slices.Clone(c.Servers), c.Domain}
	note := file != "" && (changed || r.unnoted)
	r.unnoted = note // as long as it is not there
	r.mu.Unlock()
	if !note {
		return changed, nil
	}
	text, err := json.Marshal(c)
	if err == nil {
		err = durable.Replace(file, text, 0o600)
	}
	r.mu.Lock()
	r.unnoted = err != nil
	r.mu.Unlock()
	if err != nil {
		return changed, fmt.Errorf("cannot note who answers for the names of services; after a restart pods may be without for a moment: %w", err)
	}
	return changed, nil
}
