package vm

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Requests for the shop of examples/shop from another host, and from the machine.
const (
	fromOutside = "ip netns exec other busybox wget -T 10 -qO- http://192.0.2.1:30080/"
	fromMachine = "busybox wget -T 10 -qO- http://127.0.0.1:30080/"
)

// asking is a pod that asks for names all the time and writes down what became of it.
var asking = strings.Replace(shell("client", `while true; do
  for name in proxy.shop shop.shop; do
    busybox nslookup $name.svc.cluster.local >/srv/last 2>&1 && echo asked >>/srv/names || { date; cat /srv/last; } >>/srv/failed
  done
  sleep 1
done`, ""), "  hostNetwork: true\n", "", 1)

// ownNetwork is a pod with the machine's network, and its service.
const ownNetwork = `apiVersion: v1
kind: Pod
metadata: {name: machine, labels: {app: machine}}
spec:
  hostNetwork: true
  containers:
  - {name: web, image: solopod.example/web:1, imagePullPolicy: Never}
---
apiVersion: v1
kind: Service
metadata: {name: machine}
spec:
  selector: {app: machine}
  ports: [{port: 80, targetPort: 8080}]
`

// TestShop is the example of several pods on a machine whose firewall lets nothing in and forwards nothing. Its steps build on each other.
func TestShop(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.install()
	b.run(`ip netns add other && ip link add up0 type veth peer name there0 netns other
ip addr add 192.0.2.1/24 dev up0 && ip link set up0 up
ip -n other addr add 192.0.2.2/24 dev there0 && ip -n other link set there0 up && ip -n other link set lo up`)
	b.run("ufw default deny incoming && ufw default deny routed && ufw --force enable")
	b.run("cp /mnt/shop/*.tar /mnt/images/*.tar /var/lib/solopod/images/")
	b.eventually("the images are ready", func() error {
		out, err := b.try("solopod get images")
		if n := strings.Count(out, "solopod.example/"); err == nil && n < 5 {
			err = fmt.Errorf("%d are:\n%s", n, out)
		}
		return err
	})
	// A second is not enough for a probe's answer on an emulated machine.
	b.run("umask 077 && sed 's/periodSeconds: 2/&, timeoutSeconds: 20/' /usr/share/doc/solopod/examples/shop.yaml >/etc/solopod/manifests/.new && mv /etc/solopod/manifests/.new /etc/solopod/manifests/shop.yaml")
	b.apply("client", asking)
	b.apply("machine", ownNetwork)
	b.ready(6)
	for i, step := range []struct {
		name string
		run  func(*box)
	}{{"open", shopIsOpen}, {"names", namesGoOn}} {
		if !t.Run(step.name, func(t *testing.T) { step.run(&box{t, b.m}) }) {
			t.Fatalf("step %d has failed", i)
		}
	}
}

// answers waits until a request has the answer that is wanted.
func (b *box) answers(what, script, want string) {
	b.t.Helper()
	b.eventually(what, func() error {
		out, err := b.try(script)
		if err == nil && !strings.Contains(out, want) {
			err = fmt.Errorf("it prints %q", out)
		}
		return err
	})
}

// shopIsOpen: what pods need and what Services open passes the firewall, as far as its own rules do not forbid it.
func shopIsOpen(b *box) {
	b.answers("the machine reaches the shop", fromMachine, "welcome to the shop")
	b.answers("another host reaches the shop", fromOutside, "welcome to the shop")
	b.answers("the proxy sees its address", "solopod logs -n shop proxy-0", "192.0.2.2:")
	inside := "solopod exec client -- busybox timeout 10 busybox wget -qO- http://"
	b.answers("a pod reaches the proxy by its name", inside+"proxy.shop/", "welcome to the shop")
	if out, err := b.try(inside + "shop.shop/"); err == nil {
		b.t.Errorf("a pod of another namespace reaches the shop, past its policy: %s", out)
	}
	// What ufw forbids in its own rules stays forbidden. They see the pod's address and port.
	b.run("ufw route deny in on up0 to any port 8080 proto tcp")
	if out, err := b.try(fromOutside); err == nil {
		b.t.Errorf("another host reaches the shop, though ufw forbids it: %s", out)
	}
	b.answers("the machine reaches the shop all the same", fromMachine, "welcome to the shop")
	b.run("ufw route delete deny in on up0 to any port 8080 proto tcp")
	b.answers("another host reaches the shop again", fromOutside, "welcome to the shop")
	// A pod with the machine's network is the machine: what comes to it ufw has to let in.
	if out, err := b.try(inside + "machine/"); err == nil {
		b.t.Errorf("a pod reaches what listens on the machine, though ufw lets nothing in: %s", out)
	}
	b.run("ufw allow in on solopod0 to any port 8080 proto tcp")
	b.answers("a pod reaches one with the machine's network", inside+"machine/", "Hello from box")
}

// namesGoOn: not a question for a name fails while the daemon is restarted, killed or away, and while ufw loads its rules anew.
func namesGoOn(b *box) {
	asked := func() int {
		n, err := strconv.Atoi(b.run("wc -l </srv/names"))
		if err != nil {
			b.t.Fatal(err)
		}
		return n
	}
	back := func() {
		b.eventually("the daemon is back", func() error {
			_, err := b.try("solopod get pods -A")
			return err
		})
	}
	before := b.containers()
	b.run("rm -f /srv/failed") // the pod was there before the services' names
	for _, step := range []struct {
		what, script string
		then         func()
	}{
		{"systemctl restart", "systemctl restart solopod", back},
		{"kill -9", "systemctl kill -s KILL solopod", back},
		{"ufw reload", "ufw reload", nil},
		{"ufw reload without the daemon", "systemctl stop solopod && ufw reload", func() {
			b.answers("another host reaches the shop without the daemon", fromOutside, "welcome to the shop")
		}},
		{"start", "systemctl start solopod", back},
	} {
		n := asked()
		b.run(step.script)
		if step.then != nil {
			step.then()
		}
		b.eventually("names are asked for after "+step.what, func() error {
			if now := asked(); now < n+6 {
				return fmt.Errorf("%d questions were answered", now-n)
			}
			return nil
		})
		if failed, err := b.try("cat /srv/failed"); err == nil {
			b.t.Errorf("with %s names were not answered:\n%s", step.what, failed)
			b.run("rm /srv/failed")
		}
	}
	b.ready(6)
	b.answers("another host reaches the shop at the end", fromOutside, "welcome to the shop")
	b.run("iptables -S INPUT | tail -n 1 | grep Solopod && iptables -S FORWARD | tail -n 1 | grep Solopod")
	if now := b.containers(); now != before {
		b.t.Errorf("the containers are\n%s\nnot\n%s", now, before)
	}
}
