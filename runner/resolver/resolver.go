// Package resolver makes pods' /etc/resolv.conf of the machine's, and tells when that has changed.
//
// The machine's configuration is written by others: DHCP clients, NetworkManager, systemd-resolved, people. It may be missing, empty,
// or name servers that answer on the machine only. It is read with limits of size and time.
package resolver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/foreign"
)

// DefaultPath is the system's.
const DefaultPath = "/etc/resolv.conf"

const (
	// most bounds what is read of a configuration, in bytes; real ones have some hundred.
	most = 1 << 20
	// limit is how long a configuration may take to be read.
	limit = 3 * time.Second
)

// Resolver reads the machine's resolver configuration. It is safe for concurrent use.
type Resolver struct {
	path   string
	places aside.Places

	mu      sync.Mutex
	last    Found // that could be read
	cluster Cluster
	record  string // the file that has it; empty when none does
	unnoted bool   // the file has another
}

// New reads nothing yet. An empty path means that there is no configuration, as for the kubelet.
func New(path string) *Resolver { return &Resolver{path: path} }

// Read returns what the configuration says now. When it cannot be read that is what it said last, with the problem.
func (r *Resolver) Read(ctx context.Context) Found {
	if r.path == "" {
		return r.with(Found{known: true, Problem: "resolvConf is empty, so pods have no nameserver but those of their dnsConfig"})
	}
	found, err := aside.Do(ctx, &r.places, r.path, limit, func() (Found, error) { return read(r.path) })
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		found = r.last
		what := "keep the nameservers that it named before"
		if !found.known {
			what += ", and new ones have none"
		}
		found.Problem = fmt.Sprintf("%s cannot be read, so pods %s: %v", r.path, what, err)
	} else {
		r.last = found
	}
	found.cluster = r.cluster
	return found
}

// with notes what the configuration says, and returns it with who answers for the names of services.
func (r *Resolver) with(found Found) Found {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = found
	found.cluster = r.cluster
	return found
}

// Last returns what Read has returned last, with who answers for the names of services now. It waits for nothing.
func (r *Resolver) Last() Found {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := r.last
	found.cluster = r.cluster
	return found
}

func read(path string) (Found, error) {
	text, err := foreign.ReadFollowing(path, most)
	if errors.Is(err, fs.ErrNotExist) {
		f := judge(path, "", nil)
		f.Problem = path + " does not exist, so pods have no nameserver until it does; a setting: resolvConf"
		return f, nil
	}
	if err != nil {
		return Found{}, err
	}
	return judge(path, string(text), func(other string) string {
		text, err := foreign.ReadFollowing(other, most)
		if err != nil {
			return "" // mostly it does not exist
		}
		return string(text)
	}), nil
}
