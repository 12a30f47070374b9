package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/solopod/solopod/api/objects"
	"github.com/solopod/solopod/internal/shop"
)

// daemonOf serves a shop at a socket, with some pods and events, and returns how commands are run against it.
func daemonOf(t *testing.T, from *shop.Shop, more ...func(*http.ServeMux)) (run func(args ...string) (out, errs string, err error), socket string) {
	t.Helper()
	mux := http.NewServeMux()
	objects.Served{Source: from, Traffic: from.Traffic}.Readers(mux)
	for _, add := range more {
		add(mux)
	}
	answer := func(path string, v any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			if err := json.NewEncoder(w).Encode(v); err != nil {
				t.Error(err)
			}
		})
	}
	pod := func(namespace, name, app string, host bool) v1.Pod {
		return v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": app}}, Spec: v1.PodSpec{HostNetwork: host}}
	}
	answer("/pods", v1.PodList{Items: []v1.Pod{pod("default", "web-0", "web", false), pod("default", "db-0", "db", false), pod("default", "agent", "web", true), pod("far", "web-9", "web", false)}})
	event := func(kind, namespace, name, message string) v1.Event {
		return v1.Event{InvolvedObject: v1.ObjectReference{Kind: kind, Namespace: namespace, Name: name}, Type: "Warning", Reason: "NoEndpoints", Message: message, Count: 1}
	}
	answer("/events", v1.EventList{Items: []v1.Event{
		event("Service", "far", "api", "nothing serves it"), event("Service", "default", "api", "of another namespace"), event("Pod", "far", "api", "of another kind"),
	}})
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Serve(l) //nolint:errcheck // it ends with the test
	}()
	t.Cleanup(func() {
		server.Close()
		<-ended
	})
	return func(args ...string) (string, string, error) {
		var out, errs bytes.Buffer
		err := command(t.Context(), socket, &out, &errs, args...)
		return out.String(), errs.String(), err
	}, socket
}

func command(ctx context.Context, socket string, out, errs io.Writer, args ...string) error {
	c := Command()
	c.SetOut(out)
	c.SetErr(errs)
	c.SetArgs(append([]string{"--socket", socket}, args...))
	return c.ExecuteContext(ctx)
}

var (
	anAge  = regexp.MustCompile(`(?m)\b(\d+y)?\d+d\b`)
	blanks = regexp.MustCompile(`(?m) +$`)
)

// steady is an output without the ages in it, and without blanks at the ends of lines.
func steady(out string) string {
	return blanks.ReplaceAllString(anAge.ReplaceAllString(out, "AGE"), "")
}

// The tables have kubectl's columns and words.
func TestGetServices(t *testing.T) {
	run, _ := daemonOf(t, shop.New())
	for args, want := range map[string]string{
		"get services": `NAME     TYPE           CLUSTER-IP   EXTERNAL-IP       PORT(S)           AGE
db       ClusterIP      None         <none>            5432/TCP          AGE
dns      NodePort       10.96.0.21   192.0.2.9         53:30053/UDP      AGE
public   LoadBalancer   10.96.0.22   192.0.2.7         8080:30080/TCP    AGE
web      ClusterIP      10.96.0.20   <none>            80/TCP,9090/TCP   AGE
world    ExternalName   <none>       www.example.com   <none>            AGE
`,
		"get svc web db -o wide": `NAME   TYPE        CLUSTER-IP   EXTERNAL-IP   PORT(S)           AGE    SELECTOR
db     ClusterIP   None         <none>        5432/TCP          AGE   app=db
web    ClusterIP   10.96.0.20   <none>        80/TCP,9090/TCP   AGE   a=b,app=web
`,
		"get service -A -l tier=front": `NAMESPACE   NAME   TYPE        CLUSTER-IP   EXTERNAL-IP   PORT(S)           AGE
default     web    ClusterIP   10.96.0.20   <none>        80/TCP,9090/TCP   AGE
`,
		"get services -n far -o name":                                     "service/api\n",
		"get services web -o jsonpath={.kind}/{.spec.clusterIPs[1]}":      "Service/fd00:96::20",
		"get services -A -o custom-columns=N:.metadata.name,K:.kind -n a": "N        K\ndb       Service\ndns      Service\npublic   Service\nweb      Service\nworld    Service\napi      Service\n",
		"get endpointslices": `NAME       ADDRESSTYPE   PORTS       ENDPOINTS                       AGE
db-ipv4    IPv4          5432        10.85.0.9                       AGE
web-ipv4   IPv4          8080,9100   10.85.0.5,10.85.0.6,10.85.0.7   AGE
web-ipv6   IPv6          8080,9100   fd00::5                         AGE
`,
		"get endpointslice -n far": `NAME       ADDRESSTYPE   PORTS     ENDPOINTS   AGE
api-ipv4   IPv4          <unset>   <unset>     AGE
`,
		"get endpointslices -l kubernetes.io/service-name=db -o name": "endpointslice.discovery.k8s.io/db-ipv4\n",
		"get networkpolicies": `NAME   POD-SELECTOR   AGE
deny   <none>         AGE
web    app=web        AGE
`,
		"get netpol deny -o name": "networkpolicy.networking.k8s.io/deny\n",
		"get netpol -n far":       "",
		"__complete get svc w":    "web\tClusterIP\nworld\tExternalName\n:4\n",
	} {
		got, errs, err := run(strings.Fields(args)...)
		if err != nil {
			t.Errorf("solopod %s: %v", args, err)
			continue
		}
		if strings.HasPrefix(args, "__complete") { // cobra leaves it to the shell to pick what begins with w
			got = strings.Join(regexp.MustCompile(`(?m)^(w|:).*\n`).FindAllString(got, -1), "")
		}
		if got = steady(got); squeeze(got) != squeeze(want) {
			t.Errorf("solopod %s prints\n%s\nnot\n%s", args, got, want)
		}
		if args == "get netpol -n far" && errs != "No networkpolicies found in namespace far (2 in other namespaces: use -A).\n" {
			t.Errorf("of nothing it says %q", errs)
		}
	}
	for args, want := range map[string]string{
		"get svc api":           `services "api" not found in namespace default; there is one in namespace far: use -n far`,
		"get netpol none":       `networkpolicies "none" not found in namespace default`,
		"describe svc none":     `services "none" not found`,
		"get services -l a=b=c": "-l:",
		"get services -o table": "-o takes",
	} {
		if out, _, err := run(strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("solopod %s: %v, %s", args, err, out)
		}
	}
}

// squeeze makes the blanks between columns one: an age is as wide as it is old.
func squeeze(text string) string { return regexp.MustCompile(` +`).ReplaceAllString(text, " ") }

// What programs read is whole: an object, or a list of them, that kubectl could apply.
func TestGetServicesAsYAML(t *testing.T) {
	from := shop.New()
	run, _ := daemonOf(t, from)
	out, _, err := run("get", "service", "web", "-o", "yaml")
	var web v1.Service
	if err := yaml.UnmarshalStrict([]byte(out), &web); err != nil {
		t.Fatal(err, out)
	}
	if want := from.Services()[3]; err != nil || web.Kind != "Service" || web.APIVersion != "v1" || web.Spec.String() != want.Spec.String() {
		t.Errorf("%v:\n%s", err, out)
	}
	out, _, err = run("get", "endpointslices", "-A", "-o", "json")
	var list discoveryv1.EndpointSliceList
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err, out)
	}
	if err != nil || list.Kind != "List" || len(list.Items) != 4 || list.Items[1].Kind != "EndpointSlice" || *list.Items[1].Endpoints[2].Conditions.Ready {
		t.Errorf("%v:\n%s", err, out)
	}
}

// Addresses of load balancers, ports and lists are shortened as kubectl does.
func TestServiceCells(t *testing.T) {
	balancer := func(external []string, ingress ...v1.LoadBalancerIngress) *v1.Service {
		return &v1.Service{Spec: v1.ServiceSpec{Type: v1.ServiceTypeLoadBalancer, ExternalIPs: external}, Status: v1.ServiceStatus{LoadBalancer: v1.LoadBalancerStatus{Ingress: ingress}}}
	}
	a, b, name := v1.LoadBalancerIngress{IP: "192.0.2.10"}, v1.LoadBalancerIngress{IP: "192.0.2.11"}, v1.LoadBalancerIngress{Hostname: "lb.example"}
	for _, c := range []struct {
		service      *v1.Service
		narrow, wide string
	}{
		{balancer(nil), "<pending>", "<pending>"},
		{balancer(nil, a, a), "192.0.2.10", "192.0.2.10"},
		{balancer(nil, b, a), "192.0.2.10,19...", "192.0.2.10,192.0.2.11"},
		{balancer([]string{"203.0.113.1"}), "203.0.113.1", "203.0.113.1"},
		{balancer([]string{"203.0.113.1"}, a), "192.0.2.10,203.0.113.1", "192.0.2.10,203.0.113.1"},
		{balancer(nil, name), "lb.example", "lb.example"},
		{&v1.Service{Spec: v1.ServiceSpec{Type: v1.ServiceTypeClusterIP}}, "<none>", "<none>"},
	} {
		if narrow, wide := externalIP(c.service, false), externalIP(c.service, true); narrow != c.narrow || wide != c.wide {
			t.Errorf("%+v is %s and wide %s", c.service, narrow, wide)
		}
	}
	for want, list := range map[string][]string{"<unset>": nil, "1,2,3": {"1", "2", "3"}, "1,2,3 + 2 more...": {"1", "2", "3", "4", "5"}} {
		if got := firstThree(list); got != want {
			t.Errorf("%v is %s", list, got)
		}
	}
	for want, p := range map[string]discoveryv1.EndpointPort{"80": {Name: ptr.To("http"), Port: ptr.To[int32](80)}, "http": {Name: ptr.To("http")}, "*": {}} {
		if got := slicePort(&p); got != want {
			t.Errorf("%+v is %s", p, got)
		}
	}
}

// A service's description has kubectl's lines, and says of each selected pod whether it serves, and why not.
func TestDescribeService(t *testing.T) {
	from := shop.New()
	run, _ := daemonOf(t, from)
	for args, want := range map[string]string{
		"describe service web": `Name:                       web
Namespace:                  default
Labels:                     app.kubernetes.io/name=web
                            tier=front
Annotations:                solopod.io/manifest: shop.yaml
Selector:                   a=b,app=web
Type:                       ClusterIP
IP Family Policy:           PreferDualStack
IP Families:                IPv4,IPv6
IP:                         10.96.0.20
IPs:                        10.96.0.20,fd00:96::20
Port:                       http  80/TCP
TargetPort:                 http/TCP
Endpoints:                  10.85.0.5:8080,10.85.0.6:8080,[fd00::5]:8080
Port:                       metrics  9090/TCP
TargetPort:                 9100/TCP
Endpoints:                  10.85.0.5:9100,10.85.0.6:9100,[fd00::5]:9100
Session Affinity:           ClientIP for 10m0s
Internal Traffic Policy:    Cluster
Traffic:                    12 packets, 3.4Ki
Pods:
  NAME    SERVES   ADDRESSES           WHY NOT
  web-0   yes      10.85.0.5,fd00::5
  web-1   yes      10.85.0.6
  web-2   no       10.85.0.7           it is not ready: the readiness probe failed: connection refused
Events: <none>
`,
		"describe svc svc/public": `Name:                       public
Namespace:                  default
Labels:                     <none>
Annotations:                <none>
Selector:                   app=web
Type:                       LoadBalancer
IP Families:                IPv4
IP:                         10.96.0.22
IPs:                        10.96.0.22
LoadBalancer Ingress:       192.0.2.7
Port:                       http  8080/TCP
TargetPort:                 http/TCP
NodePort:                   http  30080/TCP
Endpoints:                  <none>
Session Affinity:           None
External Traffic Policy:    Local
HealthCheck NodePort:       30999
LoadBalancer Source Ranges: 192.0.2.0/24
Traffic:                    0 packets, 0.0Ki
Pods: <none> (no pod of the namespace has the selector's labels)
Events: <none>
`,
		"describe service world": `Name:                       world
Namespace:                  default
Labels:                     <none>
Annotations:                <none>
Selector:                   <none>
Type:                       ExternalName
IP Families:                <none>
IP:                         <none>
IPs:                        <none>
External Name:              www.example.com
Session Affinity:           None
Events: <none>
`,
		"describe svc api -n far": `Name:                       api
Namespace:                  far
Labels:                     <none>
Annotations:                <none>
Selector:                   app=api
Type:                       ClusterIP
IP Families:                IPv4
IP:                         10.96.0.23
IPs:                        10.96.0.23
Port:                       <unset>  7/SCTP
TargetPort:                 7/SCTP
Endpoints:                  <none>
Session Affinity:           None
Traffic:                    0 packets, 0.0Ki
Pods:
  NAME    SERVES   ADDRESSES   WHY NOT
  api-0   no       <none>      it has no address yet
Events:
  TYPE      REASON        AGE      MESSAGE
  Warning   NoEndpoints   <none>   nothing serves it
`,
	} {
		if got, _, err := run(strings.Fields(args)...); err != nil || steady(got) != want {
			t.Errorf("solopod %s: %v, prints\n%s\nnot\n%s", args, err, steady(got), want)
		}
	}
	from.LoseCounters()
	for args, want := range map[string]string{
		"describe svc web": "Traffic:                    unknown\n", "describe svc dns": "(it has no selector: its Endpoints or EndpointSlices say what serves)\n",
	} {
		if got, _, err := run(strings.Fields(args)...); err != nil || !strings.Contains(got, want) {
			t.Errorf("solopod %s: %v, %s", args, err, got)
		}
	}
	if got, _, err := run("describe", "svc", "db"); err != nil || strings.Contains(got, "Traffic:") || !strings.Contains(got, "IP:                         None\n") {
		t.Errorf("a headless service: %v, %s", err, got)
	}
}

// A policy's description has kubectl's lines, and the pods that it is for.
func TestDescribeNetworkPolicy(t *testing.T) {
	run, _ := daemonOf(t, shop.New())
	for args, want := range map[string]string{
		"describe networkpolicy deny": `Name:            deny
Namespace:       default
Labels:          <none>
Annotations:     <none>
Created on:      CREATED
Spec:
  PodSelector:     <none> (all pods of the namespace)
  Allowing ingress traffic:
    <none> (Selected pods are isolated for ingress connectivity)
  Allowing egress traffic:
    <none> (Selected pods are isolated for egress connectivity)
  Policy Types: Ingress, Egress
Pods:            web-0, db-0
Events: <none>
`,
		"describe netpol web": `Name:            web
Namespace:       default
Labels:          tier=front
Annotations:     <none>
Created on:      CREATED
Spec:
  PodSelector:     app=web
  Allowing ingress traffic:
    To Port: http/TCP
    To Port Range: 8000-8100/TCP
    From:
      IPBlock:
        CIDR: 192.0.2.0/24
        Except: 192.0.2.7/32
    From:
      NamespaceSelector: <none> (all namespaces)
      PodSelector: app=proxy
    ----------
    To Port: <any> (traffic allowed to all ports)
    From:
      PodSelector: app=web
  Not affecting egress traffic
  Policy Types: Ingress
Pods:            web-0
Events: <none>
`,
	} {
		want = strings.Replace(want, "CREATED", metav1.NewTime(shop.Created).Local().Format(time.RFC1123Z), 1) // as the machine's clock has it
		if got, _, err := run(strings.Fields(args)...); err != nil || got != want {
			t.Errorf("solopod %s: %v, prints\n%s\nnot\n%s", args, err, got, want)
		}
	}
}

// A watch prints a row for what a table shows otherwise, and for nothing else.
func TestWatchServices(t *testing.T) {
	from := shop.New()
	_, socket := daemonOf(t, from)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	in, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := command(ctx, socket, out, io.Discard, "get", "svc", "-w", "web", "world")
		out.CloseWithError(io.EOF)
		ended <- err
	}()
	all := from.Services()
	unseen, seen, renamed := all[3].DeepCopy(), all[3].DeepCopy(), all[4].DeepCopy()
	unseen.Spec.SessionAffinity = v1.ServiceAffinityNone
	seen.Spec.Ports = seen.Spec.Ports[:1]
	renamed.Spec.ExternalName = "example.org"
	steps := []struct {
		want string // a row
		then func()
	}{
		{"NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE", nil},
		{"web ClusterIP 10.96.0.20 <none> 80/TCP,9090/TCP AGE", nil},
		{"world ExternalName <none> www.example.com <none> AGE", func() { from.SetServices(all[0], unseen, renamed) }},
		{"world ExternalName <none> example.org <none> AGE", func() { from.SetServices(all[0], seen, renamed) }},
		{"web ClusterIP 10.96.0.20 <none> 80/TCP AGE", func() { from.SetServices(all[0], seen) }},
		{"world ExternalName <none> example.org <none> AGE", cancel},
	}
	lines := bufio.NewScanner(in)
	for _, s := range steps {
		if got := lines.Scan() && squeeze(steady(lines.Text())) == s.want; !got {
			t.Fatalf("printed is %q, not %q", lines.Text(), s.want)
		}
		if s.then != nil {
			s.then()
		}
	}
	for lines.Scan() {
		t.Errorf("printed is %q too", lines.Text())
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
