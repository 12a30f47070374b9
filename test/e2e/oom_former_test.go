package e2e

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// A kill whose record may not have been on the disk when Solopod was killed is found again in the log while another attempt runs: it is still
// its container's, and of its limit.
func TestOOMFormer(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.apply("former.yaml", livesOn("former", "sleep 2; exec tail /dev/zero", "")+"    resources: {limits: {memory: 16Mi}}\n")
	b.waitPod("former", "runs again", func(p *v1.Pod) bool {
		s := status(p, "main")
		return s.State.Running != nil && s.RestartCount == 1
	})
	b.crash()
	b.start()
	b.eventually("the kill is known", func() error {
		of := b.oomRecords("former")
		if len(of) == 0 {
			return fmt.Errorf("there is no record")
		}
		for _, r := range of {
			if r.Container != "main" || r.ContainerID == "" || r.Owner != "container" || r.Limit == nil || *r.Limit != 16<<20 {
				t.Errorf("a record is %+v", r)
			}
		}
		return nil
	})
}
