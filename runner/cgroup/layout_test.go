package cgroup

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

func TestLayout(t *testing.T) {
	const uid = "0a1b-22"
	for _, c := range []struct {
		root                       string
		driver                     Driver
		pod, container, oci, shims string
	}{
		{
			"/solopod", Cgroupfs, "/solopod/burstable/pod0a1b-22", "/solopod/burstable/pod0a1b-22/c1",
			"/solopod/burstable/pod0a1b-22/c1", "/solopod/shims/pod0a1b-22",
		},
		{
			"boxes/one-2", Cgroupfs, "/boxes/one-2/burstable/pod0a1b-22", "/boxes/one-2/burstable/pod0a1b-22/c1",
			"/boxes/one-2/burstable/pod0a1b-22/c1", "/boxes/one-2/shims/pod0a1b-22",
		},
		{
			"/solopod", Systemd, "/solopod.slice/solopod-burstable.slice/solopod-burstable-pod0a1b_22.slice",
			"/solopod.slice/solopod-burstable.slice/solopod-burstable-pod0a1b_22.slice/solopod-c1.scope",
			"solopod-burstable-pod0a1b_22.slice:solopod:c1", "/solopod.slice/solopod-shims.scope/pod0a1b-22",
		},
		{
			"/boxes/one-2", Systemd,
			"/boxes.slice/boxes-one_2.slice/boxes-one_2-burstable.slice/boxes-one_2-burstable-pod0a1b_22.slice",
			"/boxes.slice/boxes-one_2.slice/boxes-one_2-burstable.slice/boxes-one_2-burstable-pod0a1b_22.slice/solopod-c1.scope",
			"boxes-one_2-burstable-pod0a1b_22.slice:solopod:c1", "/boxes.slice/boxes-one_2.slice/boxes-one_2-shims.scope/pod0a1b-22",
		},
		{
			"/x/pods", Systemd,
			"/x.slice/x-pods.slice/x-pods-burstable.slice/x-pods-burstable-pod0a1b_22.slice",
			"/x.slice/x-pods.slice/x-pods-burstable.slice/x-pods-burstable-pod0a1b_22.slice/solopod-c1.scope",
			"x-pods-burstable-pod0a1b_22.slice:solopod:c1", "/x.slice/x-pods.slice/x-pods-shims.scope/pod0a1b-22",
		},
	} {
		l := NewLayout(c.root, c.driver)
		pod := l.Pod(v1.PodQOSBurstable, uid)
		for what, pair := range map[string][2]string{
			"pod": {pod, c.pod}, "container": {l.Container(pod, "c1"), c.container}, "oci": {l.OCI(pod, "c1"), c.oci},
			"shim": {l.Shim(uid), c.shims}, "uid": {l.uidOf(pod), uid},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s with %s: %s is %s, not %s", c.root, c.driver, what, pair[0], pair[1])
			}
		}
	}
}
