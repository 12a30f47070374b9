package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// orders counts what is ordered in the shop by several clients, one after the other each.
type orders struct {
	accepted, failed atomic.Int64
	// first is the first order that failed.
	first atomic.Pointer[string]
	stop  chan struct{}
	wg    sync.WaitGroup
}

// order begins to order from within a network namespace, with a connection for each order, or one for all.
func (o *orders) order(space, url string, keep bool) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: !keep, Dial: func(network, address string) (net.Conn, error) { //nolint:staticcheck // its context is of no use there
		return inSpace(space, func() (net.Conn, error) { return net.DialTimeout(network, address, 5*time.Second) })
	}}}
	o.wg.Go(func() {
		defer client.CloseIdleConnections()
		for {
			select {
			case <-o.stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			resp, err := client.Post(url, "text/plain", nil)
			if err == nil {
				var body []byte
				body, err = io.ReadAll(resp.Body)
				if err = errors.Join(err, resp.Body.Close()); err == nil && resp.StatusCode != http.StatusCreated {
					err = fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(body))
				}
			}
			if err == nil {
				o.accepted.Add(1)
			} else if o.failed.Add(1) == 1 {
				text := time.Now().Format("15:04:05.000 ") + err.Error()
				o.first.Store(&text)
			}
		}
	})
}

// goOn waits until as many more orders have been accepted.
func (o *orders) goOn(b *box, what string, more int64) {
	b.t.Helper()
	before := o.accepted.Load()
	b.eventually(what, func() error {
		if n := o.accepted.Load() - before; n < more {
			return fmt.Errorf("%d orders were accepted, %d have failed", n, o.failed.Load())
		}
		return nil
	})
}

// The example of examples/shop as it is there: it serves other machines, whose addresses it sees, its pods reach each other as its
// policies say and no other, and no order is lost while it is replaced.
func TestShop(t *testing.T) {
	t.Parallel()
	machine, neighbor := newSpaces(t, "4")
	b := startIn(t, machine, "")
	for _, image := range []string{"shop", "redis", "haproxy"} {
		archive, err := filepath.Abs("../../bin/shop/" + image + ".tar")
		if err == nil {
			_, err = os.Stat(archive)
		}
		if err != nil {
			t.Fatalf("%v (make bin/shop makes the images)", err)
		}
		b.link(archive, "images/"+image+".tar")
	}
	manifest := readFile(t, "../../examples/shop/shop.yaml")
	b.applySecret("shop.yaml", manifest)
	b.apply("stranger.yaml", strings.Replace(served("stranger", "app: stranger"), "name: stranger", "namespace: shop, name: stranger", 1))
	ready := func(name string) *v1.Pod { return b.waitPodIn("shop", name, "ready", isReady) }
	database, shop, proxy, stranger := ready("database-0"), ready("shop-0"), ready("proxy-0"), ready("stranger")
	other := ready("shop-1")

	url := "http://" + here4 + ":30080/"
	b.eventually("the shop answers", func() error {
		_, err := fetchIn(neighbor, url)
		return err
	})
	t.Run("source", func(*testing.T) {
		b.eventually("the proxy sees the other machine's address", func() error {
			if log := b.run("logs", "-n", "shop", "proxy-0"); !strings.Contains(log, there4+":") {
				return fmt.Errorf("its log is\n%s", log)
			}
			return nil
		})
	})
	t.Run("machine", func(t *testing.T) {
		for _, address := range []string{"127.0.0.1:30080", b.serviceIn("shop", "proxy").Spec.ClusterIP} {
			if body, err := fetchIn(machine, "http://"+address+"/"); err != nil || !strings.Contains(body, "welcome to the shop, 0 sold so far.") {
				t.Errorf("%s answers %q, %v", address, body, err)
			}
		}
	})
	t.Run("policies", func(t *testing.T) {
		space := func(p *v1.Pod) string {
			name := map[*v1.Pod]string{database: "redis", shop: "shop", proxy: "haproxy", stranger: "main"}[p]
			return fmt.Sprintf("/proc/%d/ns/net", b.pid(p, name))
		}
		service := net.JoinHostPort(b.serviceIn("shop", "shop").Spec.ClusterIP, "80")
		at := func(p *v1.Pod, port string) string { return net.JoinHostPort(p.Status.PodIP, port) }
		for _, c := range []struct {
			what    string
			from    *v1.Pod
			to      string
			reaches bool
		}{
			{"the proxy the shop", proxy, service, true},
			{"the proxy a pod of the shop", proxy, at(shop, "8080"), true},
			{"the proxy the database", proxy, at(database, "6379"), false},
			{"the shop the database", shop, at(database, "6379"), true},
			{"the shop its other pod", shop, at(other, "8080"), false},
			{"a stranger the shop", stranger, service, false},
			{"a stranger a pod of the shop", stranger, at(shop, "8080"), false},
			{"a stranger the database", stranger, at(database, "6379"), false},
			{"a stranger the proxy", stranger, at(proxy, "8080"), true},
			{"a stranger the proxy's node port", stranger, here4 + ":30080", true},
			{"the database the shop", database, service, false},
			{"the database a stranger", database, at(stranger, "8080"), false},
		} {
			conn, err := inSpace(space(c.from), func() (net.Conn, error) { return net.DialTimeout("tcp", c.to, 2*time.Second) })
			if err == nil {
				conn.Close()
			}
			if (err == nil) != c.reaches {
				t.Errorf("%s: %v", c.what, err)
			}
			if !c.reaches && err != nil && !os.IsTimeout(err) {
				t.Errorf("%s: it should not be answered at all: %v", c.what, err)
			}
		}
		// Names are no secret, and the proxy's leads there.
		if out, err := b.inside(stranger, "wget -qO- http://proxy/ && nslookup database-0.database.shop.svc.cluster.local"); err != nil || !strings.Contains(out, "welcome") || !strings.Contains(out, database.Status.PodIP) {
			t.Errorf("a stranger asks for names: %v: %s", err, out)
		}
	})
	t.Run("rollout", func(t *testing.T) {
		o := orders{stop: make(chan struct{})}
		for _, keep := range []bool{false, false, true} {
			o.order(neighbor, url+"orders", keep)
		}
		o.goOn(b, "orders are accepted", 20)
		for version := range 3 {
			b.applySecret("shop.yaml", strings.Replace(manifest, "      - name: shop\n        image: solopod.example/shop:1\n",
				fmt.Sprintf("      - name: shop\n        image: solopod.example/shop:1\n        args: [version-%d]\n", version), 1))
			b.eventually("the pods are replaced", func() error { return b.replaced(fmt.Sprintf("version-%d", version), "shop-0", "shop-1") })
			o.goOn(b, "orders go on", 20)
		}
		b.crash()
		o.goOn(b, "orders go on without the daemon", 20)
		b.start()
		o.goOn(b, "orders go on with the next one", 20)
		close(o.stop)
		o.wg.Wait()
		if n := o.failed.Load(); n > 0 {
			t.Errorf("%d of %d orders have failed; the first: %s", n, n+o.accepted.Load(), *o.first.Load())
		}
		sold := fmt.Sprintf(", %d sold so far.", o.accepted.Load())
		if body, err := fetchIn(neighbor, url); err != nil || !strings.Contains(body, sold) {
			t.Errorf("%d orders were accepted, and the shop says %q, %v", o.accepted.Load(), body, err)
		}
		// The stock is on the database's volume.
		b.killContainer(database, "redis")
		b.waitPodIn("shop", "database-0", "ready again", func(p *v1.Pod) bool { return isReady(p) && status(p, "redis").RestartCount == 1 })
		b.eventually("the shop has its database back, with what was sold", func() error {
			body, err := fetchIn(neighbor, url)
			if err == nil && !strings.Contains(body, sold) {
				err = fmt.Errorf("it says %q", body)
			}
			return err
		})
		t.Logf("%d orders", o.accepted.Load())
	})
	b.stop(syscall.SIGTERM)
	b.start()
	if body, err := fetchIn(neighbor, url); err != nil || !strings.Contains(body, "welcome to the shop") {
		t.Errorf("after a restart the shop says %q, %v", body, err)
	}
}

// applySecret is apply for a manifest with a Secret, which only root may read.
func (b *box) applySecret(file, manifest string) {
	b.t.Helper()
	temporary := b.path("manifests/.secret")
	if err := errors.Join(os.WriteFile(temporary, []byte(manifest), 0o600), os.Rename(temporary, b.path("manifests/"+file))); err != nil {
		b.t.Fatal(err)
	}
}

// replaced says whether there are these pods of the shop, all ready and with an argument of their template.
func (b *box) replaced(argument string, pods ...string) error {
	for _, name := range pods {
		p := b.pod("shop", name)
		if p == nil || !isReady(p) || len(p.Spec.Containers[0].Args) != 1 || p.Spec.Containers[0].Args[0] != argument {
			return fmt.Errorf("%s is not yet", name)
		}
	}
	if surplus := b.pod("shop", fmt.Sprintf("shop-%d", len(pods))); surplus != nil {
		return fmt.Errorf("%s is still there", surplus.Name)
	}
	return nil
}
