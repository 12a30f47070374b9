package runner

import (
	"errors"
	"hash/fnv"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/solopod/solopod/manifests"
)

// The host's ids that pods with hostUsers: false get, as ranges of manifests.IDsPerPod. Nobody else on a machine takes ids
// from there: useradd's subordinate ids end at 600100000, those of systemd-nspawn at 1879048191, sssd's at 2000200000, and
// systemd begins again with 2147352576 (login.defs(5), systemd's UIDS-GIDS, sssd-ldap(5)).
const (
	firstUserRange = 2013265920
	userRangeCount = (2147352576 - firstUserRange) / manifests.IDsPerPod
)

// userRanges knows which pod has which range.
type userRanges struct {
	begin int // where the search begins: daemons of one machine that know nothing of each other seldom meet
	mu    sync.Mutex
	pods  map[string]uint32 // by UID: the range's first id
}

func newUserRanges(instance string) userRanges {
	h := fnv.New32a()
	h.Write([]byte(instance))
	return userRanges{begin: int(h.Sum32() % userRangeCount), pods: map[string]uint32{}}
}

// claim gives the pod a range. had is the one that it has, or zero.
func (u *userRanges) claim(uid string, had uint32) (uint32, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := map[uint32]bool{}
	for other, first := range u.pods {
		taken[first] = other != uid
	}
	for n := range userRangeCount {
		first := uint32(firstUserRange + (u.begin+n)%userRangeCount*manifests.IDsPerPod)
		if n == 0 && had != 0 {
			first = had
		}
		if !taken[first] {
			u.pods[uid] = first
			return first, nil
		}
	}
	return 0, errors.New("all user ids that pods with hostUsers: false may have are taken")
}

func (u *userRanges) release(uid string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.pods, uid)
}

// idMapping is how the pod's users and groups appear on the host; nil where they are the host's.
func (w *worker) idMapping() *specs.LinuxIDMapping {
	if w.rec.FirstID == 0 {
		return nil
	}
	return &specs.LinuxIDMapping{ContainerID: 0, HostID: w.rec.FirstID, Size: manifests.IDsPerPod}
}
