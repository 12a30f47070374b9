package e2e

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// ownServer is where names are answered.
const ownServer = "10.96.0.10"

const namedServices = `---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ipFamilyPolicy: PreferDualStack, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{name: http, port: 8080, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: sub}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: away}
spec: {type: ExternalName, externalName: world.example}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - {name: main, image: "solopod.example/box:1", command: [/web], ports: [{name: http, containerPort: 8080}]}
`

// Pods that run get names with the first service, by their dnsPolicy, and lose them with the last; names of services and pods are those of a
// cluster, and of the world those that the machine's servers know, be some of them silent, and be the daemon away.
func TestServedNames(t *testing.T) {
	t.Parallel()
	machine, neighbor := newSpaces(t, "4", "6")
	world := newWorlds(t, neighbor)
	b := prepareBox(t, embedded)
	b.namespaces = []string{"nsenter", "--net=" + machine, "--"}
	b.writeFile("resolv.conf", "search lan.example\nnameserver "+silent4+"\nnameserver "+there4+"\n")
	b.configure("resolvConf: " + b.path("resolv.conf") + "\nstubDomains: {corp.example: [\"" + corp4 + ":5353\"]}\n")
	b.link(imageArchive, "images/box.tar")
	b.start()
	b.apply("pods.yaml", strings.Replace(voice("web", "app: web", 8080, 1, "hostname: front\nsubdomain: sub"), `["/bin/sh", "-c", "`+forever+`"]`, "[/web]", 1)+
		voice("client", "app: client", 1, 1, "")+voice("more", "app: more", 1, 1, "enableServiceLinks: false\ndnsConfig: {searches: [more.example], nameservers: [192.0.2.9], options: [{name: timeout, value: \"1\"}]}")+
		voice("host", "app: host", 1, 1, "hostNetwork: true")+voice("withhost", "app: host", 2, 2, "hostNetwork: true\ndnsPolicy: ClusterFirstWithHostNet")+
		voice("default", "app: default", 1, 1, "dnsPolicy: Default")+voice("none", "app: none", 1, 1, "dnsPolicy: None\ndnsConfig: {nameservers: [192.0.2.9]}"))
	const ofMachine, none = "search lan.example\nnameserver " + silent4 + "\nnameserver " + there4 + "\n", "nameserver 192.0.2.9\n"
	has := func(server string, want map[string]string) func() error {
		return func() (err error) {
			for name, w := range want {
				if out, e := b.inside(b.waitReady(name), "cat /etc/resolv.conf"); e != nil || out+"\n" != strings.ReplaceAll(w, "SERVER", server) {
					err = errors.Join(err, fmt.Errorf("%s has %q, not %q, %w", name, out, w, e))
				}
			}
			return err
		}
	}
	const more = "nameserver 192.0.2.9\noptions timeout:1\n"
	before := map[string]string{"client": ofMachine, "web": ofMachine, "host": ofMachine, "withhost": ofMachine, "default": ofMachine, "none": none,
		"more": "search lan.example more.example\nnameserver " + silent4 + "\nnameserver " + there4 + "\n" + more}
	b.eventually("without services pods ask whom the machine asks", has("", before))
	client, web := b.waitReady("client"), b.waitReady("web")

	b.apply("services.yaml", namedServices)
	const search, ndots = "search default.svc.cluster.local svc.cluster.local cluster.local lan.example", "options ndots:5"
	first := search + "\nSERVER" + ndots + "\n"
	served := map[string]string{"client": first, "web": first, "withhost": first, "host": ofMachine, "default": ofMachine, "none": none,
		"more": search + " more.example\nSERVERnameserver 192.0.2.9\n" + ndots + " timeout:1\n"}
	var six string
	b.eventually("a server of IPv6", func() error {
		for line := range strings.Lines(b.mustInside(client, "cat /etc/resolv.conf")) {
			if ip, ok := strings.CutPrefix(strings.TrimSpace(line), "nameserver fd"); ok {
				six = "fd" + ip
				return nil
			}
		}
		return errors.New("there is none")
	})
	b.eventually("with services pods ask for names as in a cluster", has("nameserver "+ownServer+"\nnameserver "+six+"\n", served))
	b.waitReady("db-0")
	db1 := b.waitReady("db-1")
	b.eventually("short names are found", func() error {
		for url, want := range map[string]string{"http://db-1.db:8080/": "db-1", "http://web/": "front", "http://front.sub:8080/": "front"} {
			if who, err := b.fetches(client, url); err != nil || who != want {
				return fmt.Errorf("%s: %q answers, %w", url, who, err)
			}
		}
		return nil
	})
	n := &namesOf{box: b, space: b.spaceOf(client), servers: []string{ownServer, six}, web: web, db0: b.waitReady("db-0"), db1: db1, s: b.service("web")}
	if err := n.all(); err != nil {
		t.Error(err)
	}
	if world.silent.Load() == 0 {
		t.Error("the silent server was never asked")
	}
	n.long()
	n.kept(world)
	n.quick()
	if out := b.run("exec", "db-1", "--", "env"); !strings.Contains(out, "WEB_SERVICE_HOST="+n.s.Spec.ClusterIP+"\n") {
		t.Errorf("the environment is\n%s", out)
	}

	b.crash()
	b.eventually("names go on without the daemon", n.all)
	b.start()
	b.waitReady("client")
	if err := n.all(); err != nil {
		t.Error("with the next daemon: ", err)
	}

	// A setting gives pods others' servers.
	b.stop(syscall.SIGTERM)
	config := readFile(t, b.path("config.yaml"))
	b.writeFile("config.yaml", config+"clusterDNS: ["+there4+"]\n")
	b.start()
	b.eventually("pods ask the servers of the setting", has("nameserver "+there4+"\n", served))
	b.eventually("nobody answers for names here", func() error { return quiet(t, machine) })
	if who, err := reachesName(n.space, n.s.Spec.ClusterIP); err != nil {
		t.Errorf("services go on without names: %q %v", who, err)
	}
	b.stop(syscall.SIGTERM)
	b.writeFile("config.yaml", config)
	b.start()
	b.eventually("pods ask Solopod again", has("nameserver "+ownServer+"\nnameserver "+six+"\n", served))
	b.eventually("it answers", n.all)

	b.delete("services.yaml")
	b.eventually("without services pods ask whom the machine asks", has("", before))
	b.eventually("nobody answers for names", func() error { return quiet(t, machine) })
	if p := b.waitReady("client"); status(p, "main").ContainerID != status(client, "main").ContainerID {
		t.Error("a pod was restarted")
	}
}

// reachesName gets the page of a service.
func reachesName(space, ip string) (string, error) { return fetchIn(space, "http://"+ip+"/") }

// quiet says whether nobody listens for questions in the machine.
func quiet(t *testing.T, machine string) error {
	if out := command(t, "nsenter", "--net="+machine, "ss", "-lnutpH"); strings.Contains(out, ":53 ") {
		return errors.New(out)
	}
	return nil
}

// namesOf asks for names, from a pod.
type namesOf struct {
	*box
	space         string
	servers       []string
	web, db0, db1 *v1.Pod
	s             v1.Service
}

// all asks for names of each kind, at each address of the server, by UDP and TCP.
func (n *namesOf) all() (err error) {
	four, six := n.s.Spec.ClusterIPs[0], n.s.Spec.ClusterIPs[1]
	web4, web6, db0, db1 := n.web.Status.PodIPs[0].IP, n.web.Status.PodIPs[1].IP, n.db0.Status.PodIP, n.db1.Status.PodIP
	const domain = ".default.svc.cluster.local."
	for q, want := range map[string]string{
		"A web" + domain: four, "AAAA web" + domain: six, "A WEB" + domain: four, "A nobody" + domain: "NXDOMAIN",
		"A db" + domain: sorted(db0, db1), "A db-0.db" + domain: db0, "AAAA db-0.db" + domain: "NODATA", "A db-2.db" + domain: "NXDOMAIN",
		"A front.sub" + domain:                                 web4,
		"SRV _http._tcp.web" + domain:                          "80 web" + domain,
		"SRV _http._tcp.db" + domain:                           sorted("8080 db-0.db"+domain, "8080 db-1.db"+domain),
		"PTR " + reverse(four):                                 "web" + domain,
		"PTR " + reverse(six):                                  "web" + domain,
		"PTR " + reverse(db1):                                  "db-1.db" + domain,
		"A " + dashed(web4) + ".default.pod.cluster.local.":    web4,
		"AAAA " + dashed(web6) + ".default.pod.cluster.local.": web6,
		"A 203-0-113-7.default.pod.cluster.local.":             "NXDOMAIN",
		"A away" + domain:                                      sorted("world.example.", "198.51.100.1"),
		"A world.example.":                                     "198.51.100.1",
		"AAAA world.example.":                                  "NODATA",
		"A nothing.example.":                                   "NXDOMAIN",
		"A www.corp.example.":                                  "198.51.100.2",
		"TXT dns-version.cluster.local.":                       "1.1.0",
		"A web.default.svc.cluster.local" + domain:             "NXDOMAIN",
	} {
		kind, name, _ := strings.Cut(q, " ")
		for _, server := range n.servers {
			for _, network := range []string{"udp", "tcp"} {
				if got, e := lookUp(n.space, network, server, kind, name); e != nil || got != want {
					err = errors.Join(err, fmt.Errorf("%s at %s, %s: %q, not %q (%w)", q, server, network, got, want, e))
				}
			}
		}
	}
	return err
}

// long asks for what is longer than a packet may be: it is cut by UDP and whole by TCP, and what may be longer is said.
func (n *namesOf) long() {
	n.t.Helper()
	for args, want := range map[string]string{
		"+ignore big.example TXT": `(?s)flags:[^;]* tc[ ;].*EDNS: version: 0, .*udp: 1232`, "+noedns +ignore big.example TXT": `(?s)flags:[^;]* tc[ ;]`,
		"big.example TXT": `(?s)ANSWER: 100,.*"099 x`, "nothing.example A": `(?s)status: NXDOMAIN.*\sSOA\s`,
		"nobody.default.svc.cluster.local A": `(?s)status: NXDOMAIN.*cluster\.local\.\s.*\sSOA\s`,
	} {
		if out, err := dig(n.space, n.servers[0], strings.Fields(args)...); err != nil || !regexp.MustCompile(want).MatchString(out) {
			n.t.Errorf("dig %s: no %s in\n%s\n%v", args, want, tail(out, 5), err)
		}
	}
}

func sorted(list ...string) string { slices.Sort(list); return strings.Join(list, " ") }

// kept asks again for what is known: no other server is asked.
func (n *namesOf) kept(world *worlds) {
	n.t.Helper()
	asked := world.asked.Load()
	for _, name := range []string{"world.example", "nothing.example"} {
		if _, err := dig(n.space, n.servers[0], name, "A"); err != nil {
			n.t.Error(err)
		}
	}
	if again := world.asked.Load(); again != asked {
		n.t.Errorf("for names that are known the world was asked %d times", again-asked)
	}
}

// quick asks for a service's name while a server of the world is silent. The machine may have much else to do: what counts is the faster half.
func (n *namesOf) quick() {
	n.t.Helper()
	c, err := call(n.space, "udp", net.JoinHostPort(n.servers[0], "53"))
	if err != nil {
		n.t.Fatal(err)
	}
	defer c.Close()
	var took []time.Duration
	for range 200 {
		begun := time.Now()
		m, err := exchange(c, "A", "web.default.svc.cluster.local.")
		took = append(took, time.Since(begun))
		if err != nil || len(m.Answers) != 1 {
			n.t.Fatalf("%+v, %v", m, err)
		}
	}
	slices.Sort(took)
	n.t.Logf("an answer takes %s, half of them less than %s", took[0], took[len(took)/2])
	if took[len(took)/2] > time.Millisecond {
		n.t.Errorf("half of the answers take longer than %s", took[len(took)/2])
	}
}
