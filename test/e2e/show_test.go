package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	v1 "k8s.io/api/core/v1"
)

// labelled gives a manifest's pod a label.
func labelled(manifest, name, label string) string {
	return strings.Replace(manifest, "  name: "+name+"\n", "  name: "+name+"\n  labels: {"+label+"}\n", 1)
}

const shownServices = `---
apiVersion: v1
kind: Service
metadata: {name: front, labels: {tier: front}}
spec:
  selector: {app: front}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: names}
spec:
  clusterIP: None
  selector: {app: front}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: nobody, namespace: far}
spec:
  type: NodePort
  selector: {app: nobody}
  ports: [{port: 7, nodePort: 30007, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: world}
spec: {type: ExternalName, externalName: www.example.com}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: open}
spec:
  podSelector: {matchLabels: {app: front}}
  ingress: [{}]
`

// columns are the words of a table's row that begins with name.
func columns(table, name string) []string {
	for line := range strings.Lines(table) {
		if words := strings.Fields(line); len(words) > 0 && words[0] == name {
			return words
		}
	}
	return nil
}

// Commands, HTTP, metrics and the page show services as they are: with their addresses, who serves, who does not and why, and what they carry.
func TestServicesAreShown(t *testing.T) {
	t.Parallel()
	machine, _ := newSpaces(t, "4")
	b := prepareBox(t, embedded, "--listen", "127.0.0.1:10255")
	b.namespaces = []string{"nsenter", "--net=" + machine, "--"}
	b.configure("plainPort: read\n")
	b.link(imageArchive, "images/box.tar")
	b.start()
	for name := range b.families("/metrics") {
		if strings.HasPrefix(name, "kube_service_") || strings.HasPrefix(name, "solopod_service_") || name == "solopod_dns_requests_total" {
			t.Errorf("without services there is %s", name)
		}
	}
	if out := b.run("get", "services", "-A"); out != "No services found.\n" {
		t.Errorf("without services there is %q", out)
	}
	front, broken := web("front", ""), strings.Replace(web("broken", ""), "/healthz", "/nothing", 1)
	b.apply("shop.yaml", labelled(front, "front", "app: front")+"---\n"+labelled(broken, "broken", "app: front")+shownServices)
	pod := b.waitReady("front")
	b.eventually("the service has its endpoint", func() error {
		if out := b.run("describe", "service", "front"); !strings.Contains(out, "Endpoints:                  "+pod.Status.PodIP+":8080\n") {
			return fmt.Errorf("it is\n%s", out)
		}
		return nil
	})
	row := columns(b.run("get", "svc", "-o", "wide"), "front")
	if len(row) != 7 || row[1] != "ClusterIP" || row[3] != "<none>" || row[4] != "80/TCP" || !regexp.MustCompile(`^(\d+m)?\d+s$`).MatchString(row[5]) || row[6] != "app=front" {
		t.Fatalf("get svc -o wide prints %v", row)
	}
	if _, err := netip.ParseAddr(row[2]); err != nil {
		t.Error(err)
	}
	for args, want := range map[string][]string{
		"get svc -A":                                  {"default names ClusterIP None <none> 80/TCP ", "default world ExternalName <none> www.example.com <none> ", "far nobody NodePort 10.", " <none> 7:30007/UDP "},
		"get endpointslices":                          {" IPv4 8080 ", pod.Status.PodIP},
		"get netpol":                                  {"NAME POD-SELECTOR AGE", "open app=front "},
		"describe netpol open":                        {"Allowing ingress traffic:\n To Port: <any>", "From: <any>", "Pods: broken, front\n"},
		"describe service front":                      {" front yes " + pod.Status.PodIP, " broken no ", "Type: ClusterIP\n", "IP: " + row[2] + "\n"},
		"get svc -l tier=front -o name":               {"service/front\n"},
		"get svc front -o jsonpath={.spec.clusterIP}": {row[2]},
	} {
		out := strings.Join(strings.FieldsFunc(b.run(strings.Fields(args)...), func(r rune) bool { return r == ' ' }), " ")
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("solopod %s prints no %q:\n%s", args, w, out)
			}
		}
	}
	b.eventually("a service that nothing serves is told", func() error {
		if out := b.run("describe", "svc", "nobody", "-n", "far"); !strings.Contains(out, "NoEndpoints") || !strings.Contains(out, "no pod of the namespace has the selector's labels") {
			return fmt.Errorf("it is\n%s", out)
		}
		return nil
	})
	var list v1.ServiceList
	if err := json.Unmarshal([]byte(b.mustGet("/services")), &list); err != nil || list.Kind != "ServiceList" || len(list.Items) != 4 || list.Items[0].Spec.ClusterIP != row[2] {
		t.Errorf("/services is %+v, %v", list, err)
	}
	// What is sent through it is counted, and so are questions for its name.
	b.eventually("the service answers", func() error {
		body, err := fetchIn(machine, "http://"+row[2]+"/")
		if err == nil && !strings.Contains(body, "Hello from front") {
			err = fmt.Errorf("it answers %q", body)
		}
		return err
	})
	b.run("exec", "front", "--", "/bin/nslookup", "front.default.svc.cluster.local")
	told := b.families("/metrics")
	for name, labels := range map[string][]string{
		"kube_service_info":                     {"namespace", "default", "service", "front", "cluster_ip", row[2]},
		"kube_service_created":                  {"namespace", "far", "service", "nobody"},
		"kube_endpointslice_created":            {"namespace", "default"},
		"kube_networkpolicy_created":            {"networkpolicy", "open"},
		"kube_service_labels":                   {"service", "front", "label_tier", "front"},
		"kube_endpointslice_endpoints":          {"namespace", "default", "address", pod.Status.PodIP, "ready", "true", "targetref_name", "front"},
		"kube_networkpolicy_spec_ingress_rules": {"networkpolicy", "open"},
		"solopod_service_packets_total":         {"namespace", "default", "service", "front"},
		"solopod_service_bytes_total":           {"namespace", "default", "service", "front"},
		"solopod_dns_requests_total":            {"protocol", "udp", "family", "ipv4", "type", "A"},
		"solopod_dns_responses_total":           {"rcode", "NOERROR", "source", "cluster"},
		"solopod_dns_request_duration_seconds":  {"source", "cluster"},
	} {
		if got, ok := sample(told[name], labels...); !ok || got <= 0 {
			t.Errorf("%s %v is %v, %v", name, labels, got, ok)
		}
	}
	if f := told["solopod_dns_request_duration_seconds"]; f == nil || f.GetType() != dto.MetricType_HISTOGRAM {
		t.Errorf("latencies are %v", f)
	}
	b.promtoolTakes("/metrics")
	if out := b.run("describe", "svc", "front"); strings.Contains(out, "Traffic:                    0 packets") || strings.Contains(out, "unknown") {
		t.Errorf("what was sent is not shown:\n%s", out)
	}
	page := b.chromium("http://127.0.0.1:10255/#service=default/front", "")
	for _, want := range []string{
		"default/front", row[2], "http 80/TCP", "1 of 2 ready", "0 of 0 ready", "7:30007/UDP", "headless", "www.example.com", "app=front", "1 rule allows", "NoEndpoints",
		`<span id="selected-name">default/front</span>`, "it is not ready",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	b.watchesServices(row[2])
	// The addresses of services are no other machine's way to this one.
	if out := b.run("get", "events"); strings.Contains(out, "NodeIPChanged") {
		t.Errorf("the machine has got another address:\n%s", out)
	}
}

// watchesServices edits a service while a command watches.
func (b *box) watchesServices(ip string) {
	b.t.Helper()
	watch := exec.CommandContext(b.t.Context(), binary, "--socket", b.path("socket"), "get", "svc", "-w", "front")
	out, err := watch.StdoutPipe()
	if err == nil {
		err = watch.Start()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	defer watch.Wait()         //nolint:errcheck // it is killed
	defer watch.Process.Kill() //nolint:errcheck // it runs
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(io.Reader(out)); s.Scan(); {
			lines <- s.Text()
		}
	}()
	b.expect(lines, "NAME TYPE CLUSTER-IP")
	b.expect(lines, "front ClusterIP "+ip+" <none> 80/TCP")
	b.apply("shop.yaml", strings.Replace(readFile(b.t, b.path("manifests/shop.yaml")), "port: 80, targetPort: http", "port: 81, targetPort: http", 1))
	b.expect(lines, "front ClusterIP "+ip+" <none> 81/TCP")
	b.delete("shop.yaml")
	b.expect(lines, "front ClusterIP "+ip)
}

// expect waits for the next line, whose words must begin with these.
func (b *box) expect(lines <-chan string, words string) {
	b.t.Helper()
	select {
	case line, ok := <-lines:
		if got := strings.Join(strings.Fields(line), " "); !ok || !strings.HasPrefix(got, words) {
			b.t.Fatalf("the next line is %q, not %q", got, words)
		}
	case <-time.After(patience):
		b.t.Fatalf("there is no line %q", words)
	}
}
