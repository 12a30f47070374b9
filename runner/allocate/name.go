package allocate

import (
	"errors"
	"fmt"
)

// ErrNameTaken says that a pod of the same name and another UID has not ended yet. The two never run at once, as with a kubelet
// (pkg/kubelet/pod_workers.go, allowStaticPodStart): both would write to the same volumes, and answer under the same name.
var ErrNameTaken = errors.New("a pod of this name has not ended yet")

// nameFree says which other pod has the name, and remembers that it is waited for. The lock is held.
func (c *Claims) nameFree(uid, name string) error {
	for other, h := range c.pods {
		if other != uid && h.pod == name {
			c.awaited[name] = true
			return fmt.Errorf("%w: %s with the UID %s; the one with the UID %s begins when that is gone", ErrNameTaken, name, other, uid)
		}
	}
	return nil
}
