package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// The node's conditions are what the machine is like: a disk that fills up, and a network that cannot be used, are seen when they are asked
// for, and told.
func TestNodeConditions(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.smallDisk("root", "64m")
	b.configure("evictionHard: {nodefs.available: 10%, nodefs.inodesFree: 5%}\nevictionPressureTransitionPeriod: 1s\n")
	b.start()
	is := func(kind v1.NodeConditionType, status v1.ConditionStatus, says string) v1.NodeCondition {
		t.Helper()
		var found v1.NodeCondition
		b.eventually(fmt.Sprintf("%s is %s", kind, status), func() error {
			var node v1.Node
			if err := json.Unmarshal([]byte(b.mustGet("/node")), &node); err != nil {
				return err
			}
			for _, c := range node.Status.Conditions {
				if c.Type == kind {
					found = c
				}
			}
			if found.Status != status || !strings.Contains(found.Message, says) || found.LastTransitionTime.IsZero() || found.LastHeartbeatTime.IsZero() {
				return fmt.Errorf("it is %+v", found)
			}
			return nil
		})
		return found
	}
	is(v1.NodeReady, v1.ConditionTrue, "")
	is(v1.NodeMemoryPressure, v1.ConditionFalse, "")
	is(v1.NodePIDPressure, v1.ConditionFalse, "")
	before := is(v1.NodeDiskPressure, v1.ConditionFalse, "")
	is(v1.NodeNetworkUnavailable, v1.ConditionFalse, "")

	b.writeFile("cni/10-net.conflist", "{")
	b.fill("root/fill")
	after := is(v1.NodeDiskPressure, v1.ConditionTrue, "nodefs ("+b.path("root")+"): 0Mi of 64Mi are available, less than 10%")
	if after.LastTransitionTime.Before(&before.LastTransitionTime) {
		t.Errorf("it changed at %s, and was so since %s before", after.LastTransitionTime, before.LastTransitionTime)
	}
	is(v1.NodeNetworkUnavailable, v1.ConditionTrue, "10-net.conflist")
	b.eventOf("NodeHasDiskPressure", "less than 10%")
	b.eventOf("NetworkUnusable", "cannot read the CNI configuration")

	b.free("root/fill")
	if err := os.Remove(b.path("cni/10-net.conflist")); err != nil {
		t.Fatal(err)
	}
	is(v1.NodeDiskPressure, v1.ConditionFalse, "")
	is(v1.NodeNetworkUnavailable, v1.ConditionFalse, "")
	b.eventOf("NodeHasNoDiskPressure")
}

// Every fault of the configuration is told with its place, and the daemon does not start.
func TestConfigurationFaults(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.writeFile("config.yaml", "# a box\nlisten: 7\nlogLevl: info\npodPidsLimit: 0\npolicy:\n  hostPath: []\n")
	out, err := b.command(nil, "run", "--config", b.path("config.yaml"), "--root", b.path("root"), "--state", b.path("state"), "--manifests", b.path("manifests")).CombinedOutput()
	want := strings.ReplaceAll("error: F:2:9: listen: expected a text, in quotes, found a number; it is an address with a port, like 127.0.0.1:10255 or :10255, or \"\" for none\n"+
		"F:3:1: unknown setting \"logLevl\"; did you mean \"logLevel\"?\nF:4:15: podPidsLimit: \"0\" is not a number above 0, or -1 for no bound\n"+
		"F:6:3: policy: unknown field \"hostPath\"; did you mean \"hostPaths\"?\n", "F:", b.path("config.yaml")+":")
	if err == nil || string(out) != want {
		t.Errorf("%v, %s\nwant %s", err, out, want)
	}
}
