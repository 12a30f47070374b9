package layout

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The names are a contract: an update must find what an earlier version left, and log shippers know a kubelet's.
func TestPaths(t *testing.T) {
	d := Dirs{Root: "/r", State: "/s", Logs: "/l"}
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", UID: "u1"}}
	for _, c := range [][2]string{
		{d.RecordPath("u1"), "/r/pods/u1/pod.json"},
		{d.Checkpoints(), "/r/checkpoints"},
		{d.StateDir("u1"), "/s/pods/u1"},
		{d.NetworkNamespace("u1"), "/s/pods/u1/ns/net"},
		{d.SharedMemory("u1"), "/s/pods/u1/shm"},
		{d.ContainerDir("u1", "c", 2), "/s/pods/u1/containers/c/2"},
		{d.StreamDir("u1", "c", 2), "/s/pods/u1/containers/c/2/io"},
		{d.ExecDir("u1", "c", 2), "/s/pods/u1/containers/c/2/exec"},
		{d.Files("u1"), "/s/pods/u1/volumes/..files"},
		{d.TerminationFile("u1", "c", 2), "/s/pods/u1/volumes/..files/termination-log.c.2"},
		{d.OldTerminationFile("u1", "c", 2), "/s/pods/u1/containers/c/2/termination-log"},
		{d.LogDir(pod), "/l/pods/ns_web_u1"},
		{d.LogFile(pod, "c", 2), "/l/pods/ns_web_u1/c/2.log"},
		{d.LinkPath(pod, "c", "id"), "/l/containers/web_ns_c-id.log"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s is not %s", c[0], c[1])
		}
	}
}
