package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// What a pod is called, and what it calls others.
func TestNames(t *testing.T) {
	b := newBox(t, embedded)
	own := func(name, extra string) string {
		return strings.Replace(shell(name, "hostname; cat /etc/hosts", "restartPolicy: Never\n"+extra), "  hostNetwork: true\n", "", 1)
	}
	for name, c := range map[string]struct {
		extra string
		want  []string
	}{
		"plain":    {"", []string{"plain\n", "\tplain\n"}},
		"domain":   {"hostname: host\nsubdomain: sub", []string{"host\n", "\thost.sub.default.svc.cluster.local\thost\n"}},
		"full":     {"hostname: host\nsubdomain: sub\nsetHostnameAsFQDN: true", []string{"host.sub.default.svc.cluster.local\n", "\thost.sub.default.svc.cluster.local\n"}},
		"override": {"hostname: host\nsubdomain: sub\nhostnameOverride: any.name.example", []string{"any.name.example\n", "\tany.name.example\n"}},
		"aliases":  {"hostAliases: [{ip: 192.0.2.7, hostnames: [db, db.example]}]", []string{"192.0.2.7\tdb\tdb.example\n"}},
	} {
		b.apply(name+".yaml", own(name, c.extra))
		b.waitPhase(name, v1.PodSucceeded)
		out := b.run("logs", name)
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s lacks %q:\n%s", name, want, out)
			}
		}
	}
	long := strings.Repeat("a", 40)
	b.apply("long.yaml", own("long", "hostname: "+long+"\nsubdomain: sub\nsetHostnameAsFQDN: true"))
	const tooLong = "host name is %s.sub.default.svc.cluster.local, of 70 characters, and the kernel takes 64"
	b.waitPod("long", "held back by its name", func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return p.Status.Phase == v1.PodPending && strings.Contains(p.Status.Message, fmt.Sprintf(tooLong, long)) && w != nil && w.Reason == "ContainerCreating"
	})
	b.eventually("an event says so", func() error {
		return b.eventSays("cannot set the pod up: with setHostnameAsFQDN the pod's " + fmt.Sprintf(tooLong, long))
	})
	if out := b.run("check", b.path("manifests/long.yaml")); !strings.Contains(out, "spec.setHostnameAsFQDN: the pod will not start") {
		t.Errorf("check says %s", out)
	}
	b.apply("long.yaml", own("long", "hostname: "+long+"\nsubdomain: sub"))
	b.waitPhase("long", v1.PodSucceeded)
	if out := b.run("logs", "long"); !strings.HasPrefix(out, long+"\n") {
		t.Errorf("the host name is %s", out)
	}
	out := b.once("host", "cat /etc/hosts", "hostAliases: [{ip: 192.0.2.7, hostnames: [db]}]", "")
	if !strings.Contains(out, "192.0.2.7\tdb\n") || !strings.HasPrefix(out, readFile(t, "/etc/hosts")) {
		t.Errorf("with the host's network: %s", out)
	}
}

// Two pods that want the same port of the host: the second waits, is told for whom, and goes on when it is free. So does one whose port a
// program of the host listens on.
func TestHostPortConflict(t *testing.T) {
	b := newBox(t, embedded)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	program, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	withPort := func(name string, port int) string {
		return strings.Replace(web(name, ""), "containerPort: 8080}", fmt.Sprintf("containerPort: 8080, hostPort: %d}", port), 1)
	}
	b.apply("third.yaml", withPort("third", program.Addr().(*net.TCPAddr).Port))
	third := b.waitPod("third", "refused", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, "a program of the machine listens") })
	if name := fmt.Sprintf("e2e.test (pid %d)", os.Getpid()); !strings.Contains(third.Status.Message, name) {
		t.Errorf("the program's name is %s: %s", name, third.Status.Message)
	}
	b.eventOf("third", "HostPortConflict", fmt.Sprintf("(pid %d)", os.Getpid()))
	program.Close()
	ports := fmt.Sprintf("    ports: [{containerPort: %d}]\n", port)
	b.apply("first.yaml", shell("first", forever, "")+ports)
	b.waitReady("first")
	b.apply("second.yaml", withPort("second", port))
	b.waitPod("second", "waiting for the port", func(p *v1.Pod) bool {
		return strings.Contains(p.Status.Message, fmt.Sprintf("%d/TCP belongs to pod default/first", port))
	})
	b.crash()
	b.start()
	b.waitPod("second", "waiting for the port", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, "belongs to pod default/first") })
	b.delete("first.yaml")
	b.waitReady("second")
	b.eventually("the port answers", func() error {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
		if err == nil {
			resp.Body.Close()
		}
		return err
	})
	b.waitReady("third")
}
