package runner

import (
	"errors"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func podWithPort(uid string, port int32, protocol v1.Protocol, ip string) *v1.Pod {
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid), Name: uid, Namespace: "n"}, Spec: v1.PodSpec{
		Containers: []v1.Container{{Ports: []v1.ContainerPort{{HostPort: port, Protocol: protocol, HostIP: ip}}}},
	}}
}

// Which host ports exclude each other: same number and protocol, on addresses that meet.
func TestHostPorts(t *testing.T) {
	for name, c := range map[string]struct {
		port     int32
		protocol v1.Protocol
		ip       string
		free     bool
	}{
		"the same":            {80, v1.ProtocolTCP, "192.0.2.1", false},
		"all addresses":       {80, v1.ProtocolTCP, "", false},
		"all, written out":    {80, v1.ProtocolTCP, "0.0.0.0", false},
		"another address":     {80, v1.ProtocolTCP, "192.0.2.2", true},
		"another protocol":    {80, v1.ProtocolUDP, "192.0.2.1", true},
		"another port":        {81, v1.ProtocolTCP, "192.0.2.1", true},
		"no port of the host": {0, v1.ProtocolTCP, "", true},
	} {
		h := &hostPorts{pods: map[string]portClaim{}}
		if err := h.claim(podWithPort("first", 80, v1.ProtocolTCP, "192.0.2.1")); err != nil {
			t.Fatal(err)
		}
		second := podWithPort("second", c.port, c.protocol, c.ip)
		err := h.claim(second)
		if (err == nil) != c.free || err != nil && (!errors.Is(err, errPortTaken) || !strings.Contains(err.Error(), "pod n/first")) {
			t.Errorf("%s: %v", name, err)
		}
		if !h.release("first") || h.release("first") {
			t.Errorf("%s: the first pod's ports were not given back once", name)
		}
		if err := h.claim(second); err != nil {
			t.Errorf("%s: the port is free, and %v", name, err)
		}
	}
}
