package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Services that name what others have: the address of another service, of a pod, of the DNS server, the machine's gateway, the daemon's own
// port. Who has it keeps it, and an event says so.
func TestServicesOfOthersAddresses(t *testing.T) {
	t.Parallel()
	machine, neighbor := newSpaces(t, "4")
	command(t, "nsenter", "--net="+machine, "ip", "route", "add", "default", "via", there4)
	b := prepareBox(t, embedded)
	b.namespaces = []string{"nsenter", "--net=" + machine, "--"}
	b.flags = []string{"--listen", here4 + ":10350"}
	b.link(imageArchive, "images/box.tar")
	b.start()
	b.apply("web.yaml", strings.Replace(webService, "  ipFamilyPolicy: PreferDualStack\n", "", 1)+"---\n"+served("web-a", "app: web")+"---\n"+served("client", "app: client"))
	client, a := b.waitReady("client"), b.waitReady("web-a")
	address := b.service("web").Spec.ClusterIP
	four := "http://" + address + "/"
	right := func() error {
		for _, url := range []string{four, "http://web/", "http://" + a.Status.PodIP + ":8080/"} {
			if who, err := b.fetches(client, url); err != nil || who != "web-a" {
				return fmt.Errorf("%s: %q, %w", url, who, err)
			}
		}
		body, err := fetchIn(neighbor, "http://"+here4+":10350/healthz")
		if err == nil && body != "ok" {
			err = fmt.Errorf("the daemon's port answers %q", body)
		}
		return err
	}
	b.eventually("the service is served", right)
	dns := strings.Fields(b.mustInside(client, "grep nameserver /etc/resolv.conf"))[1]
	// It comes before the others by its namespace, and leads to a port where nobody listens.
	thief := func(name, spec, port string) string {
		return fmt.Sprintf("---\napiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: aaa}\nspec:\n  selector: {app: thief}\n  %s\n  ports: [{port: %s, targetPort: 9}]\n", name, spec, port)
	}
	b.apply("thief.yaml", strings.Replace(served("thief", "app: thief"), "{name: thief,", "{name: thief, namespace: aaa,", 1)+
		thief("service", "externalIPs: ["+address+"]", "80")+thief("pod", "externalIPs: ["+a.Status.PodIP+"]", "8080")+
		thief("names", "externalIPs: ["+dns+"]", "53, protocol: UDP")+thief("daemon", "type: LoadBalancer", "10350")+
		thief("gateway", "clusterIP: "+there4, "80")+thief("twin", "clusterIP: "+address, "80")+thief("server", "clusterIP: "+dns, "53, protocol: UDP"))
	b.waitPodIn("aaa", "thief", "ready", isReady)
	for name, says := range map[string]string{
		"service": "AddressTaken", "pod": "AddressTaken", "names": "AddressTaken", "daemon": "PortTaken", "gateway": "AddressTaken", "twin": "AddressTaken", "server": "AddressTaken",
	} {
		b.eventOf(says, "service/"+name)
	}
	b.eventually("with services that name what others have", right)
	if out := command(t, "nsenter", "--net="+machine, "ip", "route", "get", there4); strings.Contains(out, "svc") {
		t.Errorf("the gateway is at %s", out)
	}
}

// Services over kills of the daemon at any moment of rollouts and edits, and of type: afterwards all are served as the manifests say, the kernel
// has nothing else, and with the manifests everything goes.
func TestServicesOverKills(t *testing.T) {
	t.Parallel()
	kills := 8
	if *slow {
		kills = 50
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // moments, not secrets
	machine, _ := newSpaces(t, "4", "6")
	b := startIn(t, machine, "")
	b.apply("client.yaml", served("client", "app: client"))
	kinds := []string{"type: ClusterIP", "type: NodePort", "clusterIP: None", "type: LoadBalancer", "sessionAffinity: ClientIP"}
	edit := func(all string, version int) {
		var services strings.Builder
		for i := range 6 {
			spec := all
			if spec == "" {
				spec = kinds[chance.IntN(len(kinds))]
			}
			if all == "" && chance.IntN(5) == 0 {
				continue
			}
			port := 80 + i
			if all == "" {
				port += 10 * chance.IntN(2)
			}
			fmt.Fprintf(&services, "---\napiVersion: v1\nkind: Service\nmetadata: {name: s%d}\nspec:\n  ipFamilyPolicy: PreferDualStack\n  selector: {app: web}\n  %s\n  ports: [{port: %d, targetPort: http}]\n", i, spec, port)
		}
		b.apply("services.yaml", services.String())
		_, spec, _ := strings.Cut(served("x", "app: web"), "spec:\n")
		b.apply("web.yaml", fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app: web}}\n  template:\n"+
			"    metadata: {labels: {app: web}, annotations: {version: \"%d\"}}\n    spec:\n%s", version, strings.ReplaceAll("    "+strings.TrimSuffix(spec, "\n"), "\n", "\n    ")+"\n"))
	}
	for i := range kills {
		edit("", i)
		<-time.After(time.Duration(chance.IntN(1500)) * time.Millisecond) // any moment
		if chance.IntN(2) == 0 {
			edit("", i+1)
		}
		<-time.After(time.Duration(chance.IntN(200)) * time.Millisecond)
		b.crash()
		if chance.IntN(4) == 0 {
			edit("", i+2)
		}
		b.start()
	}
	edit("type: NodePort", kills+10)
	b.eventually("the pods have the last version", func() error {
		for _, name := range []string{"web-0", "web-1"} {
			if p := b.pod(v1.NamespaceDefault, name); p == nil || !isReady(p) || p.Annotations["version"] != fmt.Sprint(kills+10) {
				return fmt.Errorf("%s is not ready with it", name)
			}
		}
		if p := b.pod(v1.NamespaceDefault, "web-2"); p != nil {
			return errors.New("the one beside them is still there")
		}
		return nil
	})
	var wanted []string
	b.eventually("all services are shown", func() error {
		wanted = nil
		for i := range 6 {
			out, err := b.try("get", "services", fmt.Sprintf("s%d", i), "-o", "jsonpath={.spec.clusterIPs[0]} {.spec.clusterIPs[1]} {.spec.ports[0].port} {.spec.ports[0].nodePort}")
			f := strings.Fields(out)
			if err != nil || len(f) != 4 || f[2] != fmt.Sprint(80+i) {
				return fmt.Errorf("s%d: %w: %s", i, err, out)
			}
			wanted = append(wanted, "http://"+f[0]+":"+f[2]+"/", "http://["+f[1]+"]:"+f[2]+"/", "http://"+here4+":"+f[3]+"/", "http://["+here6+"]:"+f[3]+"/")
		}
		return nil
	})
	b.eventually("each service leads to both pods", func() error {
		for _, url := range wanted {
			err := answered(func() (string, error) {
				body, err := fetchIn(machine, url)
				name, _, _ := strings.Cut(strings.TrimPrefix(body, "Hello from "), ",")
				return name, err
			}, "web-0", "web-1")
			if err != nil {
				return fmt.Errorf("%s: %w", url, err)
			}
		}
		return nil
	})
	for _, family := range []string{"ip", "ip6"} { // one element for each service and family, and no other
		for _, set := range []string{"services", "nodes"} {
			out := command(t, "nsenter", "--net="+machine, "nft", "list", "map", family, b.bridge()+"-services", set)
			if n := strings.Count(out, " : goto "); n != 6 {
				t.Errorf("%s of %s has %d elements:\n%s", set, family, n, out)
			}
		}
	}
	for _, name := range []string{"services.yaml", "web.yaml"} {
		b.delete(name)
	}
	b.waitGone("web-0")
	b.waitGone("web-1")
	b.eventually("nothing of services is left", func() error {
		left := command(t, "nsenter", "--net="+machine, "nft", "list", "ruleset") + command(t, "nsenter", "--net="+machine, "ip", "address") + command(t, "nsenter", "--net="+machine, "ip", "route")
		for _, of := range []string{"services", "svc", "10.96."} {
			if strings.Contains(left, of) {
				return fmt.Errorf("there is still %q:\n%s", of, left)
			}
		}
		return nil
	})
}

// What others do to the kernel while services are edited, and families that go: what the manifests say is served when they have ended.
func TestServicesWhileOthersWrite(t *testing.T) {
	t.Parallel()
	machine, _ := newSpaces(t, "4", "6")
	b := startIn(t, machine, "")
	b.apply("web.yaml", served("web-a", "app: web"))
	b.apply("service.yaml", webService)
	b.waitReady("web-a")
	nft := func(args ...string) error {
		if out, err := exec.Command("nsenter", append([]string{"--net=" + machine, "nft"}, args...)...).CombinedOutput(); err != nil {
			return fmt.Errorf("nft %v: %w: %s", args, err, out)
		}
		return nil
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			case <-time.After(30 * time.Millisecond):
			}
			if err := nft("flush", "ruleset"); err != nil {
				stopped <- err
				return
			}
		}
	}()
	for i := range 40 {
		b.apply("service.yaml", strings.Replace(webService, "port: 80,", fmt.Sprintf("port: %d,", 1000+i), 1))
		<-time.After(50 * time.Millisecond) // as the flushes go on
	}
	b.apply("service.yaml", webService)
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	s := b.service("web")
	four, six := "http://"+s.Spec.ClusterIPs[0]+"/", "http://["+s.Spec.ClusterIPs[1]+"]/"
	reached := func(urls ...string) func() error {
		return func() error {
			for _, url := range urls {
				if body, err := fetchIn(machine, url); err != nil || !strings.HasPrefix(body, "Hello from web-a,") {
					return fmt.Errorf("%s: %q, %w", url, body, err)
				}
			}
			return nil
		}
	}
	b.eventually("after the flushes both families lead to the pod", reached(four, six))
	sysctl := func(value string) {
		command(t, "nsenter", "--net="+machine, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6="+value)
	}
	sysctl("1")
	b.eventOf("NetworkBroken")
	b.apply("other.yaml", strings.ReplaceAll(webService, "name: web}", "name: other}"))
	b.eventually("without IPv6 there is a new service", func() error {
		out, err := b.try("get", "services", "other", "-o", "jsonpath={.spec.clusterIPs[0]}")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return reached(four, "http://"+out+"/")()
	})
	b.stop(syscall.SIGTERM)
	b.start()
	b.eventually("so after a restart", reached(four))
	sysctl("0")
	edits := 0
	b.within(2*patience, "with IPv6 both services have both families again", func() error {
		edits++ // families are looked at when manifests or pods change
		b.apply("third.yaml", strings.Replace(strings.ReplaceAll(webService, "name: web}", "name: third}"), "port: 80,", fmt.Sprintf("port: %d,", 1000+edits), 1))
		other := b.service("other")
		if len(other.Spec.ClusterIPs) != 2 || !slices.Equal(b.service("web").Spec.ClusterIPs, s.Spec.ClusterIPs) {
			return fmt.Errorf("they have %v and %v", b.service("web").Spec.ClusterIPs, other.Spec.ClusterIPs)
		}
		return reached(four, six, "http://["+other.Spec.ClusterIPs[1]+"]/")()
	})
}
