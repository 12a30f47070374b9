package allocate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/allocate/device"
)

const description = `cdiVersion: "0.5.0"
kind: vendor.example/unit
devices:
- {name: "0", containerEdits: {env: [UNIT0=yes]}}
- {name: "1", containerEdits: {env: [UNIT1=yes]}}
`

func machine(t *testing.T) *device.Table {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "unit.yaml"), []byte(description), 0o600); err != nil {
		t.Fatal(err)
	}
	return device.New([]string{dir})
}

// wish is what a pod asks for.
type wish struct {
	port     int32
	protocol v1.Protocol
	ip       string
	units    int64
	ownIDs   bool
}

func pod(uid string, w wish) *v1.Pod {
	c := v1.Container{Name: "c", Resources: v1.ResourceRequirements{Limits: v1.ResourceList{}}}
	if w.units > 0 {
		c.Resources.Limits["vendor.example/unit"] = *resource.NewQuantity(w.units, resource.DecimalSI)
	}
	if w.port != 0 {
		protocol := w.protocol
		if protocol == "" {
			protocol = v1.ProtocolTCP
		}
		c.Ports = []v1.ContainerPort{{HostPort: w.port, Protocol: protocol, HostIP: w.ip}}
	}
	host := !w.ownIDs
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid), Name: uid, Namespace: "n"},
		Spec:       v1.PodSpec{Containers: []v1.Container{c}, HostUsers: &host, SecurityContext: &v1.PodSecurityContext{}},
	}
}

func take(t *testing.T, c *Claims, p *v1.Pod, had Grant) Grant {
	t.Helper()
	g, err := c.Take(t.Context(), p, had)
	if err != nil {
		t.Fatalf("pod %s: %v", p.Name, err)
	}
	return g
}

// Which host ports exclude each other: same number and protocol, on addresses that meet.
func TestPorts(t *testing.T) {
	for name, w := range map[string]struct {
		wish
		free bool
	}{
		"the same":            {wish{port: 80, ip: "192.0.2.1"}, false},
		"all addresses":       {wish{port: 80}, false},
		"all, written out":    {wish{port: 80, ip: "0.0.0.0"}, false},
		"another address":     {wish{port: 80, ip: "192.0.2.2"}, true},
		"another protocol":    {wish{port: 80, protocol: v1.ProtocolUDP, ip: "192.0.2.1"}, true},
		"another port":        {wish{port: 81, ip: "192.0.2.1"}, true},
		"no port of the host": {wish{}, true},
	} {
		c := New("solopod", device.New(nil))
		take(t, c, pod("first", wish{port: 80, ip: "192.0.2.1"}), Grant{})
		take(t, c, pod("first", wish{port: 80, ip: "192.0.2.1"}), Grant{}) // its own port is no hindrance
		second := pod("second", w.wish)
		_, err := c.Take(t.Context(), second, Grant{})
		if (err == nil) != w.free || err != nil && (!errors.Is(err, ErrPortTaken) || !strings.Contains(err.Error(), "pod n/first")) {
			t.Errorf("%s: %v", name, err)
		}
		if !c.Release("first") || c.Release("first") {
			t.Errorf("%s: the first pod's ports were not given back once", name)
		}
		take(t, c, second, Grant{})
	}
}

// Two pods of one name and different UIDs do not exist at once, whatever else they have; who waits for a name learns that it is free.
func TestNames(t *testing.T) {
	named := func(uid, name string) *v1.Pod {
		p := pod(uid, wish{})
		p.Name = name
		return p
	}
	c := New("solopod", device.New(nil))
	first, second := named("1", "db"), named("2", "db")
	take(t, c, first, Grant{})
	take(t, c, first, Grant{})
	take(t, c, named("3", "web"), Grant{})
	if c.Release("3") {
		t.Error("nobody waits for the name of the third, and all are told")
	}
	if _, err := c.Take(t.Context(), second, Grant{}); !errors.Is(err, ErrNameTaken) || !strings.Contains(err.Error(), "n/db with the UID 1") {
		t.Errorf("the second beside the first: %v", err)
	}
	if !c.Release("1") || c.Release("1") {
		t.Error("the name was not given back once")
	}
	take(t, c, second, Grant{})
	if err := c.Adopt(first, Grant{}); !errors.Is(err, ErrNameTaken) {
		t.Errorf("two of an earlier run have one name: %v", err)
	}
	c.Release("2")
	if _, err := c.Take(t.Context(), second, Grant{}); !errors.Is(err, ErrNameTaken) {
		t.Errorf("what was taken over does not count: %v", err)
	}
}

// No two pods have the same ids, a pod keeps those that it has, and what is given back can be had again.
func TestIDRanges(t *testing.T) {
	c, own := New("solopod", device.New(nil)), wish{ownIDs: true}
	seen := map[uint32]string{}
	for i := range rangeCount {
		uid := fmt.Sprint(i)
		first := take(t, c, pod(uid, own), Grant{}).FirstID
		if first < firstRange || first > endOfIDs-manifests.IDsPerPod || first%manifests.IDsPerPod != 0 || seen[first] != "" {
			t.Fatalf("pod %s gets %d; it is of %q", uid, first, seen[first])
		}
		seen[first] = uid
	}
	if g, err := c.Take(t.Context(), pod("more", own), Grant{}); !errors.Is(err, ErrNoIDs) {
		t.Errorf("there is one more range: %+v, %v", g, err)
	}
	mine := take(t, c, pod("7", own), Grant{FirstID: c.pods["7"].FirstID})
	if seen[mine.FirstID] != "7" {
		t.Errorf("a pod loses its range: %d", mine.FirstID)
	}
	c.Release("7")
	if first := take(t, c, pod("more", own), Grant{}).FirstID; first != mine.FirstID {
		t.Errorf("a free range is not given: %d, not %d", first, mine.FirstID)
	}
	c.Release("9")
	for _, had := range []uint32{mine.FirstID, 1000, firstRange + 1, 4294901760} { // taken, and what no record of ours holds
		if first := take(t, c, pod("9", own), Grant{FirstID: had}).FirstID; seen[first] != "9" {
			t.Errorf("of a range from %d on the pod gets %d, which is of %s", had, first, seen[first])
		}
	}
}

// A pod gets all or nothing, be it for the first time or when it has something already.
func TestAllOrNothing(t *testing.T) {
	c := New("solopod", machine(t))
	first := take(t, c, pod("first", wish{port: 80, units: 1, ownIDs: true}), Grant{})
	if got := first.Devices["c"]; len(got) != 1 || got[0] != "vendor.example/unit=0" || first.FirstID == 0 {
		t.Fatalf("the first pod gets %+v", first)
	}
	second := take(t, c, pod("second", wish{port: 81}), Grant{})
	before := c.pods["second"]
	for name, refused := range map[string]struct {
		wish
		err error
	}{
		"a port": {wish{port: 80, units: 1, ownIDs: true}, ErrPortTaken},
		"units":  {wish{port: 82, units: 2, ownIDs: true}, device.ErrTaken},
	} {
		if g, err := c.Take(t.Context(), pod("second", refused.wish), second); !errors.Is(err, refused.err) || !reflect.DeepEqual(g, Grant{}) {
			t.Errorf("%s: %+v, %v", name, g, err)
		}
		if !reflect.DeepEqual(c.pods["second"], before) {
			t.Errorf("%s: after a refusal the pod has %+v", name, c.pods["second"])
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Take(ended, pod("third", wish{units: 1}), Grant{}); !errors.Is(err, context.Canceled) || c.Release("third") {
		t.Errorf("what was cancelled has taken something: %v", err)
	}
	if !c.Release("first") {
		t.Error("nothing became free")
	}
	take(t, c, pod("second", wish{port: 80, units: 2, ownIDs: true}), second)
	take(t, c, pod("second", wish{}), second)
	if c.Release("second") {
		t.Error("a pod that asks for nothing had something")
	}
}

// What pods have from an earlier run is theirs, even where two have the same.
func TestAdopt(t *testing.T) {
	c := New("solopod", machine(t))
	had := Grant{
		Devices: device.Assignment{"c": {"vendor.example/unit=1"}}, FirstID: firstRange + 5*manifests.IDsPerPod, SELinuxLevel: "s0:c1,c2",
	}
	all := wish{port: 80, units: 1, ownIDs: true}
	if err := c.Adopt(pod("first", all), had); err != nil {
		t.Fatal(err)
	}
	err := c.Adopt(pod("twin", all), had)
	if !errors.Is(err, ErrPortTaken) || !errors.Is(err, device.ErrTaken) || !strings.Contains(err.Error(), "user ids") || !strings.Contains(err.Error(), "s0:c1,c2") {
		t.Errorf("what two pods have is told as %v", err)
	}
	c.Release("first")
	if _, err := c.Take(t.Context(), pod("third", wish{port: 80}), Grant{}); !errors.Is(err, ErrPortTaken) {
		t.Errorf("the twin's port is free: %v", err)
	}
	if got := take(t, c, pod("third", wish{units: 1, ownIDs: true}), had); got.Devices["c"][0] != "vendor.example/unit=0" || got.FirstID == had.FirstID {
		t.Errorf("the twin's device or ids are given once more: %+v", got)
	}
	if err := keepLevel(had.SELinuxLevel, ""); err == nil {
		t.Error("the twin's level is free")
	}
	c.Release("twin")
	if err := c.Adopt(pod("fourth", wish{}), had); err != nil && strings.Contains(err.Error(), "level") {
		t.Errorf("a level that was given back is not free: %v", err)
	}
	c.Release("fourth")
}

// TestKeeps: an edit waits for a port that another pod has and shall have, and for no other.
func TestKeeps(t *testing.T) {
	c := New("x", nil)
	holder := pod("holder", wish{port: 80})
	own := pod("own", wish{port: 90})
	for _, p := range []*v1.Pod{holder, own} {
		if _, err := c.Take(t.Context(), p, Grant{}); err != nil {
			t.Fatal(err)
		}
	}
	edit := func(port int32) *v1.Pod {
		p := pod("own", wish{port: port})
		p.UID = own.UID
		return p
	}
	becomes := func(port int32, waits, stuck bool) map[string]Future {
		p := pod("holder", wish{port: port})
		return map[string]Future{
			string(holder.UID): {p, waits, stuck}, string(own.UID): {own, false, false}, "waiting": {pod("waiting", wish{port: 90}), false, false},
		}
	}
	for name, test := range map[string]struct {
		port   int32
		wanted map[string]Future
		free   bool
	}{
		"another keeps it":              {80, becomes(80, false, false), false},
		"another gives it up":           {80, becomes(81, false, false), true},
		"another is to give it up":      {80, becomes(81, true, false), true},
		"that one lacks something":      {80, becomes(81, true, true), false},
		"both want the other's":         {80, becomes(90, true, false), true},
		"that one lacks something, too": {80, becomes(90, true, true), false},
		"another is going":              {80, nil, true},
		"another only wants it":         {81, becomes(81, false, false), true},
		"it has that one already":       {90, becomes(80, false, false), true},
		"nobody has it":                 {100, becomes(80, false, false), true},
	} {
		if err := c.Keeps(edit(test.port), test.wanted); (err == nil) != test.free {
			t.Errorf("%s: %v", name, err)
		}
	}
}
