package allocate

import (
	"errors"
	"hash/fnv"

	"github.com/solopod/solopod/manifests"
)

// The host's ids that pods with hostUsers: false get, as ranges of manifests.IDsPerPod. Nobody else on a machine takes ids
// from there: useradd's subordinate ids end at 600100000, those of systemd-nspawn at 1879048191, sssd's at 2000200000, and
// systemd begins again with 2147352576 (login.defs(5), systemd's UIDS-GIDS, sssd-ldap(5)).
const (
	firstRange = 2013265920
	endOfIDs   = 2147352576
	rangeCount = (endOfIDs - firstRange) / manifests.IDsPerPod
)

// ErrNoIDs says that as many pods have user ids of their own as there are ranges.
var ErrNoIDs = errors.New("all user ids that pods with hostUsers: false may have are taken")

// idRanges chooses ranges of ids. begin is where the search begins: daemons of one machine that know nothing of each other
// seldom meet.
type idRanges struct{ begin int }

func newIDRanges(instance string) idRanges {
	h := fnv.New32a()
	h.Write([]byte(instance))
	return idRanges{int(h.Sum32() % rangeCount)}
}

// choose returns the first id of a range that is not taken: had, if it is one.
func (r idRanges) choose(had uint32, taken map[uint32]bool) (uint32, error) {
	if had >= firstRange && had <= endOfIDs-manifests.IDsPerPod && (had-firstRange)%manifests.IDsPerPod == 0 && !taken[had] {
		return had, nil
	}
	for n := range rangeCount {
		first := uint32(firstRange + (r.begin+n)%rangeCount*manifests.IDsPerPod)
		if !taken[first] {
			return first, nil
		}
	}
	return 0, ErrNoIDs
}

// idsTaken are the first ids of all other pods' ranges.
func (c *Claims) idsTaken(uid string) map[uint32]bool {
	taken := map[uint32]bool{}
	for other, h := range c.pods {
		if other != uid && h.FirstID != 0 {
			taken[h.FirstID] = true
		}
	}
	return taken
}
