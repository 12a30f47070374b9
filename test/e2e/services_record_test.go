package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// nodePort is a service that is also answered on a port of the machine.
func nodePort(name string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec:\n  type: NodePort\n  selector: {app: web}\n  ports: [{name: http, port: 80, targetPort: 8080}]\n", name)
}

// addresses are those of all services, with their node ports.
func (b *box) addresses() (map[string]string, error) {
	text, err := b.get("/services")
	if err != nil {
		return nil, err
	}
	var list v1.ServiceList
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for i := range list.Items {
		s := &list.Items[i]
		out[s.Name] = fmt.Sprintf("%s %d", s.Spec.ClusterIP, s.Spec.Ports[0].NodePort)
	}
	return out, nil
}

// have waits until services are as they were, and there are so many.
func (b *box) have(were map[string]string, n int) (now map[string]string) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("%d services have their addresses", n), func() (err error) {
		if now, err = b.addresses(); err != nil {
			return err
		}
		if len(now) != n {
			return fmt.Errorf("there are %d", len(now))
		}
		for name, had := range were {
			if got, is := now[name]; is && got != had {
				return fmt.Errorf("%s has %s, and had %s", name, got, had)
			}
		}
		return nil
	})
	return now
}

// A daemon that is killed at any moment while services come and go leaves a record that the next one can use, and each service keeps what
// it has.
func TestServicesOfKilledDaemon(t *testing.T) {
	t.Parallel()
	machine, _ := newSpaces(t, "4")
	b := startIn(t, machine, "")
	b.apply("pods.yaml", served("web-a", "app: web"))
	b.waitReady("web-a")
	were := map[string]string{}
	for round := range 6 {
		n := 5 + 7*round
		var many strings.Builder
		for i := range n {
			many.WriteString("---\n" + nodePort(fmt.Sprintf("web-%d", i)))
		}
		b.apply("services.yaml", many.String())
		<-time.After(time.Duration(round) * 25 * time.Millisecond) // when the daemon is killed: while it reads, decides, writes, or has written
		b.crash()
		b.start()
		maps.Copy(were, b.have(were, n))
	}
	if said := b.daemonOutput(); strings.Contains(said, "damaged") {
		t.Errorf("a record was damaged:\n%s", said)
	}
	b.eventually("the first one answers", func() error {
		who, err := fetchIn(machine, "http://"+strings.Fields(were["web-0"])[0]+"/")
		if err == nil && !strings.Contains(who, "web-a") {
			err = errors.New(who)
		}
		return err
	})
}

// Services come and go, and keep their addresses, while the root's disk is full, also over a crash; what is to be recorded is when there is room.
func TestServicesOnFullDisk(t *testing.T) {
	t.Parallel()
	machine, _ := newSpaces(t, "4")
	b := prepareBox(t, embedded)
	b.namespaces = []string{"nsenter", "--net=" + machine, "--"}
	b.smallDisk("root", "64m")
	b.link(imageArchive, "images/box.tar")
	b.start()
	b.apply("pods.yaml", served("web-a", "app: web"))
	before := b.waitReady("web-a")
	b.apply("first.yaml", nodePort("first"))
	were := b.have(nil, 1)
	b.eventually("it is recorded", func() error { return recorded(b, "first") })
	free := b.keepFull("root/fill")
	defer free()
	answers := func(name string) {
		t.Helper()
		b.eventually(name+" answers", func() error {
			_, err := fetchIn(machine, "http://"+strings.Fields(were[name])[0]+"/")
			return err
		})
	}
	b.apply("second.yaml", nodePort("second"))
	were = b.have(were, 2)
	answers("second")
	b.crash()
	b.start()
	b.have(were, 2)
	answers("first")
	answers("second")
	b.endsPromptly()
	b.start()
	b.have(were, 2)
	free()
	b.eventually("both are recorded", func() error { return errors.Join(recorded(b, "first"), recorded(b, "second")) })
	if after := b.waitReady("web-a"); status(after, "main").ContainerID != status(before, "main").ContainerID {
		t.Error("the pod did not live on")
	}
}

func recorded(b *box, name string) error {
	text, err := os.ReadFile(b.path("root/services.json"))
	if err == nil && !strings.Contains(string(text), `"default/`+name+`":{`) {
		err = fmt.Errorf("%s is not recorded: %.200s", name, text)
	}
	return err
}

// The root's disk has become read-only: services that come are served, and keep their addresses in a Solopod that is started then, and when
// the disk was repaired.
func TestServicesOnReadOnlyRoot(t *testing.T) {
	t.Parallel()
	machine, _ := newSpaces(t, "4")
	b := prepareBox(t, embedded)
	b.namespaces = []string{"nsenter", "--net=" + machine, "--"}
	b.loopDisk("root")
	b.link(imageArchive, "images/box.tar")
	b.start()
	b.apply("pods.yaml", served("web-a", "app: web"))
	before := b.waitReady("web-a")
	b.apply("first.yaml", nodePort("first"))
	were := b.have(nil, 1)
	b.breakDisk("root")
	b.apply("second.yaml", nodePort("second"))
	were = b.have(were, 2)
	for range 2 {
		b.crash()
		b.start()
		b.have(were, 2)
		for name := range were {
			b.eventually(name+" answers", func() error {
				_, err := fetchIn(machine, "http://"+strings.Fields(were[name])[0]+"/")
				return err
			})
		}
		if after := b.waitReady("web-a"); status(after, "main").ContainerID != status(before, "main").ContainerID {
			t.Error("the pod did not live on")
		}
	}
	b.repair("root")
	b.have(were, 2)
	b.waitReady("web-a")
	b.eventually("both are recorded", func() error { return errors.Join(recorded(b, "first"), recorded(b, "second")) })
}
