package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// tried is a command line that must fail: what it says, and what it has printed to standard output.
func tried(t *testing.T, args ...string) (said, out string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	err := command(t.Context(), filepath.Join(t.TempDir(), "none"), &stdout, &stderr, args...)
	if err == nil {
		t.Errorf("solopod %s succeeds: %s%s", strings.Join(args, " "), stdout.String(), stderr.String())
		return "", ""
	}
	return err.Error() + stderr.String(), stdout.String()
}

// In the whole tree of commands a wrong word, a missing one and an unknown flag are errors, and nothing is printed that a script could take
// for an answer.
func TestWrongWords(t *testing.T) {
	var walk func(c *cobra.Command, path []string)
	n := 0
	walk = func(c *cobra.Command, path []string) {
		n++
		with := func(more ...string) []string { return append(path[:len(path):len(path)], more...) }
		if !c.DisableFlagParsing {
			if said, out := tried(t, with("--gte")...); out != "" || !strings.Contains(said, "unknown flag: --gte") {
				t.Errorf("solopod %s --gte: %s, %s", strings.Join(path, " "), said, out)
			}
		}
		if !c.HasAvailableSubCommands() {
			return
		}
		if said, out := tried(t, path...); out != "" || !strings.Contains(said, "needs a command behind it") {
			t.Errorf("solopod %s: %s, %s", strings.Join(path, " "), said, out)
		}
		if said, out := tried(t, with("qwertyuiop")...); out != "" || !strings.Contains(said, `no command "qwertyuiop"`) {
			t.Errorf("solopod %s qwertyuiop: %s, %s", strings.Join(path, " "), said, out)
		}
		for _, below := range c.Commands() {
			if !strings.HasPrefix(below.Name(), "__") {
				walk(below, with(below.Name()))
			}
		}
	}
	root := Command()
	walk(root, nil)
	if n < 25 {
		t.Errorf("%d commands were tried", n)
	}
	for args, want := range map[string]string{
		"apply -f a.yaml":                  "move the manifest into /etc/solopod/manifests",
		"delete pod web --now":             "remove the manifest's file from /etc/solopod/manifests",
		"scale deploy/web --replicas=3":    "edit the manifest's file",
		"ps -a":                            "solopod get pods -A",
		"help apply":                       `no command "apply"`,
		"top node other":                   "no daemon listens",
		"get pv":                           `there is no type "pv"; did you mean "pvc"?`,
		"get cs":                           `there is no type "cs"; what there is: `,
		"get deploy/":                      `"deploy/" is no TYPE/NAME`,
		"gte":                              `did you mean "get"?`,
		"help gte":                         `did you mean "get"?`,
		"help images lst":                  "did you mean",
		"help get pods":                    "solopod get has no commands below it",
		"get podz":                         `there is no type "podz"; did you mean "pods"?`,
		"get":                              "name a type; what there is: pods (po), containers",
		"describe":                         "name a type",
		"get qwertyuiop":                   "what there is: pods (po)",
		"get pods,podz":                    `there is no type "podz"`,
		"get pods, svc":                    `there is no type ""`,
		"get Podz.v1":                      `there is no type "Podz.v1"`,
		"get deployments.batch":            `there is no type "deployments.batch"`,
		"get pod/a b":                      `"b" is no TYPE/NAME`,
		"get pod/":                         `"pod/" is no TYPE/NAME`,
		"get pods svc/a":                   `"svc/a" is no name of pods`,
		"get pods -o yml":                  `did you mean "yaml"?`,
		"get pods -o yaml=x":               "takes nothing behind it",
		"get pods -o jsonpath={.a":         "jsonpath:",
		"get pods -o go-template={{.a":     "go-template:",
		"get pods -o go-template":          "go-template needs a template",
		"get pods -o custom-columns=A:{.a": "custom-columns: A:",
		"get pods -o go-template-file=/none/file": "cannot read the template",
		"get pods --watc":                         "did you mean --watch?",
		"get pods -w --sort-by=.a":                "leave one of them out",
		"get images -w":                           "cannot be watched",
		"images lst":                              `did you mean "ls"?`,
		"completion bsh":                          `did you mean "bash"?`,
		"top":                                     "needs a command behind it: ",
		"cp":                                      "usage: solopod cp",
	} {
		if said, out := tried(t, strings.Fields(args)...); out != "" || !strings.Contains(said, want) {
			t.Errorf("solopod %s: %s%s, not %s", args, out, said, want)
		}
	}
	for _, args := range []string{"help", "help get", "--help", "--version", "images --help", "completion bash"} {
		var out bytes.Buffer
		if err := command(t.Context(), "none", &out, &out, strings.Fields(args)...); err != nil || out.Len() == 0 {
			t.Errorf("solopod %s: %v, %s", args, err, out.String())
		}
	}
}

// A type may be called in many ways; each means one kind.
func TestKindNames(t *testing.T) {
	for want, words := range map[string]string{
		"pods": "po pod PODS pods.v1", "services": "svc service Services", "deployments": "deploy deployment deployments.apps deployments.v1.apps Deployment",
		"statefulsets": "sts", "daemonsets": "ds", "replicasets": "rs", "jobs": "job jobs.batch jobs.v1.batch", "cronjobs": "cj", "configmaps": "cm", "secrets": "secret",
		"persistentvolumeclaims": "pvc claims persistentvolumeclaim", "namespaces": "ns", "nodes": "no node", "events": "ev event", "endpoints": "ep",
		"endpointslices": "endpointslices.discovery.k8s.io", "networkpolicies": "netpol networkpolicies.networking.k8s.io", "images": "image", "manifests": "manifest",
		"containers": "container",
	} {
		for _, word := range append(strings.Fields(words), want) {
			if k, err := kindNamed(word); err != nil || k.plural != want {
				t.Errorf("%s: %v", word, err)
			}
		}
	}
	used := map[string]string{}
	for _, k := range kinds() {
		for _, name := range k.names() {
			if other := used[name]; other != "" && other != k.plural {
				t.Errorf("%s means %s and %s", name, other, k.plural)
			}
			used[name] = k.plural
		}
	}
	all, err := kindsNamed("All,cm,pods")
	if err != nil || len(all) != 9 || all[0].plural != "pods" || all[8].plural != "configmaps" {
		t.Errorf("all and others: %d, %v", len(all), err)
	}
}
