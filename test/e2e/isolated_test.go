package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// Who reaches the pods web, in the namespace default: nobody but the pods with the label app: client, on their port; and what pods may ask
// is names, and each other.
const webPolicies = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: names}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
  - to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]
    ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
  - to: [{podSelector: {}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: client}}}, {namespaceSelector: {matchLabels: {team: friends}}}]
    ports: [{port: http}]
`

// asker asks for the page of the service web as the first thing that it does, again and again, and says when it has got it.
func asker(namespace, name, labels string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, labels: {%s}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: solopod.example/box:1
    command: ["/bin/sh", "-c", "while true; do timeout 1 wget -qO- http://web.default/ && echo reached; sleep 0.2; done"]
`, name, namespace, labels)
}

// NetworkPolicies: pods are kept apart from the first packet on, by service and address, in both families, whatever becomes of the daemon and
// of the rules; and probes pass.
func TestNetworkPolicies(t *testing.T) {
	t.Parallel()
	machine, neighbor := newSpaces(t, "4", "6")
	b := startIn(t, machine, "")
	b.apply("policies.yaml", webPolicies)
	b.apply("friends.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: friends, labels: {team: friends}}\n")
	b.apply("web.yaml", webService+"---\n"+withHostPort(strings.Replace(served("web", "app: web"), "exec: {command: [test, -f, /tmp/ready]}", "httpGet: {port: http}", 1), 8099))
	b.apply("pods.yaml", served("client", "app: client")+"---\n"+served("other", "app: other"))
	client, other, web := b.waitReady("client"), b.waitReady("other"), b.waitReady("web")
	s := b.service("web")
	urls := []string{"http://web/", "http://" + s.Spec.ClusterIPs[0] + "/", "http://[" + s.Spec.ClusterIPs[1] + "]/", "http://" + web.Status.PodIPs[0].IP + ":8080/", "http://[" + web.Status.PodIPs[1].IP + "]:8080/"}
	reaches := func(pod *v1.Pod) error {
		for _, url := range urls {
			if out, err := b.inside(pod, "timeout 2 wget -qO- "+url); err != nil {
				return fmt.Errorf("%s does not reach %s: %w: %s", pod.Name, url, err, out)
			}
		}
		return nil
	}
	isKept := func(pod *v1.Pod) error {
		for _, url := range urls {
			if out, err := b.inside(pod, "timeout 1 wget -qO- "+url); err == nil {
				return fmt.Errorf("%s reaches %s: %s", pod.Name, url, out)
			}
		}
		return nil
	}
	apart := func() error {
		_, err := fetchIn(neighbor, "http://192.0.2.1:8099/")
		if err == nil {
			return errors.New("another machine reaches the host port")
		}
		if _, err := fetchIn(machine, urls[1]); err != nil {
			return fmt.Errorf("the machine does not reach the service: %w", err)
		}
		return errors.Join(reaches(client), isKept(other))
	}
	b.eventually("the pods are kept apart", apart)
	b.apply("askers.yaml", asker("default", "stranger", "app: other")+"---\n"+asker("friends", "friend", "app: any"))
	b.eventually("who is allowed by the namespace reaches it", func() error {
		if out, err := b.try("logs", "-n", "friends", "friend"); err != nil || !strings.Contains(out, "reached") {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	for _, end := range []func(){func() { b.stop(syscall.SIGTERM) }, b.crash} {
		pids := map[bool]int{true: b.pid(client, "main"), false: b.pid(other, "main")}
		end()
		for may, pid := range pids {
			out, err := exec.Command("nsenter", "-t", fmt.Sprint(pid), "-a", "-r", "-w", "--", "/bin/sh", "-c", "timeout 2 wget -qO- "+urls[1]).CombinedOutput()
			if may != (err == nil) {
				t.Errorf("without the daemon a pod that may reach the service (%t): %v: %s", may, err, out)
			}
		}
		b.start()
		if err := isKept(other); err != nil {
			t.Error(err)
		}
	}
	if out := b.run("logs", "stranger"); strings.Contains(out, "reached") { // with its first packet, or since
		t.Errorf("a pod that may not has reached the service:\n%s", out)
	}
	command(t, "nsenter", "--net="+machine, "nft", "flush", "ruleset")
	b.eventually("the rules are there again", apart)
	b.delete("policies.yaml")
	b.eventually("nobody is kept apart any more", func() error { return reaches(other) })
	if out, err := exec.Command("nsenter", "--net="+machine, "nft", "list", "ruleset").CombinedOutput(); err != nil || strings.Contains(string(out), "-policies") {
		t.Errorf("tables are left behind: %v\n%s", err, out)
	}
}
