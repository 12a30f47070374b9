package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// check says of Services what the daemon would, file by file and together, and by the configuration what the machine does not allow.
func TestCheckServices(t *testing.T) {
	t.Parallel()
	b := &box{t: t, dir: t.TempDir()}
	if err := os.Mkdir(b.path("manifests"), 0o755); err != nil {
		t.Fatal(err)
	}
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {selector: {app: web}, %s}\n"
	b.writeFile("config.yaml", "serviceNodePortRange: 30000-31000\npolicy: {hostPorts: [{min: 30080}, {min: 31234}], serviceAddresses: []}\n")
	for name, c := range map[string]struct {
		files map[string]string
		ok    bool
		says  []string // and nothing else where it is empty
	}{
		"allowed": {map[string]string{"a.yaml": fmt.Sprintf(service, "a", "type: NodePort, ports: [{port: 80, nodePort: 30080}]")}, true, nil},
		"what policy does not allow": {map[string]string{"a.yaml": fmt.Sprintf(service, "a", "type: LoadBalancer, clusterIP: 192.0.2.1, ports: [{port: 80}]")}, false, []string{
			"a.yaml:4:50: spec.clusterIP: policy.serviceAddresses does not allow it: 192.0.2.1", "spec.ports[0].port: policy.hostPorts does not allow it", "spec.ports[0].nodePort: policy.hostPorts does not allow it: name a node port"}},
		"a slip": {map[string]string{"a.yaml": fmt.Sprintf(service, "a", "typ: NodePort, ports: [{port: 80}]")}, false, []string{`a.yaml:4:30: spec.typ: unknown field; did you mean "type"?`}},
		"a node port of no service": {map[string]string{"a.yaml": fmt.Sprintf(service, "a", "type: NodePort, ports: [{port: 80, nodePort: 31234}]")}, false, []string{
			"spec.ports[0].nodePort: node ports lie between 30000 and 31000 (serviceNodePortRange of the configuration), and this is 31234"}},
		"one name in two files": {map[string]string{"a.yaml": fmt.Sprintf(service, "a", "ports: [{port: 80}]"), "b.yaml": fmt.Sprintf(service, "a", "ports: [{port: 81}]")}, false, []string{
			"b.yaml: metadata.name: service/default/a is already defined by "}},
		"one node port in two files": {map[string]string{"a.yaml": fmt.Sprintf(service, "a", "type: NodePort, ports: [{port: 80, nodePort: 30080}]"), "b.yaml": fmt.Sprintf(service, "b", "type: NodePort, ports: [{port: 80, nodePort: 30080}]")}, true, []string{
			"b.yaml: warning: spec.ports: service/default/b wants the node port 30080/TCP, as service/default/a does; only one of them can have it"}},
		"endpoints of another file": {map[string]string{"a.yaml": "apiVersion: v1\nkind: Endpoints\nmetadata: {name: b}\nsubsets: [{addresses: [{ip: 192.0.2.1}], ports: [{port: 1}]}]\n",
			"b.yaml": strings.Replace(fmt.Sprintf(service, "b", "ports: [{port: 80}]"), "selector: {app: web}, ", "", 1)}, true, nil},
		"endpoints that nothing leads to": {map[string]string{"a.yaml": "apiVersion: v1\nkind: Endpoints\nmetadata: {name: b}\nsubsets: [{addresses: [{ip: 192.0.2.1}], ports: [{port: 1}]}]\n"}, true, []string{
			"a.yaml: warning: metadata.name: endpoints/default/b has no effect: there is no service of its name in its namespace"}},
		"a namespace in each file": {map[string]string{"a.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n", "b.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"}, true, nil},
		"a policy": {map[string]string{"a.yaml": "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: shop}\nspec: {podSelector: {app: web}}\n"}, false, []string{
			"a.yaml:4:22: spec.podSelector.app: unknown field; labels go into matchLabels"}},
	} {
		for file, text := range c.files {
			b.writeFile("manifests/"+file, text)
		}
		out, err := b.try("check", "--config", b.path("config.yaml"), b.path("manifests"))
		if (err == nil) != c.ok || len(c.says) == 0 && out != "" {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		for _, part := range c.says {
			if !strings.Contains(out, part) {
				t.Errorf("%s: it does not say %q:\n%s", name, part, out)
			}
		}
		for file := range c.files {
			b.delete(file)
		}
	}
}

// The daemon shows what a file has of Services, tells of it like of all others, and takes nothing that the policy forbids.
func TestManifestsOfServices(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.configure("auditLog: " + b.path("log/audit.log") + "\npolicy: {hostPorts: []}\n")
	b.start()
	objects := func(file string) []string {
		t.Helper()
		var m struct {
			Files []struct {
				Name    string
				Objects []string
			}
		}
		if err := json.Unmarshal([]byte(b.mustGet("/manifests")), &m); err != nil {
			t.Fatal(err)
		}
		for _, f := range m.Files {
			if f.Name == file {
				return f.Objects
			}
		}
		return nil
	}
	const namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: %s}}\n"
	const slice = "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: db, namespace: shop}\naddressType: IPv4\nendpoints: [{addresses: [192.0.2.1]}]\n"
	b.apply("shop.yaml", fmt.Sprintf(namespace, "a")+slice)
	l := b.audited("the file is taken", func(l auditLine) bool { return l.File == "shop.yaml" })
	if want := []string{"endpointslice/shop/db", "namespace/shop"}; l.Outcome != "accepted" || !slices.Equal(l.Added, want) {
		t.Errorf("%+v", l)
	}
	if has := objects("shop.yaml"); !slices.Equal(has, []string{"endpointslice/shop/db", "namespace/shop"}) {
		t.Errorf("it has %v", has)
	}
	if err := b.problemIs("shop.yaml", "accepted without effect: the label kubernetes.io/service-name"); err != nil {
		t.Error(err)
	}

	b.apply("shop.yaml", fmt.Sprintf(namespace, "b")+slice)
	b.audited("an edit", func(l auditLine) bool { return slices.Equal(l.Edited, []string{"namespace/shop"}) })
	b.apply("shop.yaml", fmt.Sprintf(namespace, "b c")+slice)
	b.audited("a bad version", func(l auditLine) bool { return l.File == "shop.yaml" && l.Outcome == "refused" })
	if has := objects("shop.yaml"); len(has) != 2 {
		t.Errorf("a bad version leaves %v", has)
	}
	b.apply("shop.yaml", fmt.Sprintf(namespace, "b"))
	b.audited("a removal", func(l auditLine) bool { return slices.Equal(l.Removed, []string{"endpointslice/shop/db"}) })

	b.apply("port.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: NodePort, ports: [{port: 80}]}\n")
	b.eventually("the service is refused", func() error { return b.problemIs("port.yaml", "policy.hostPorts does not allow it") })
	if has := objects("port.yaml"); len(has) != 0 {
		t.Errorf("what is refused has %v", has)
	}
}
