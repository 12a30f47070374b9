package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"
)

// everyKind has something of each kind that get and describe show.
func everyKind() string {
	selector := "selector: {matchLabels: {app: x}}\n"
	return strings.Join([]string{
		workload("apps/v1", "Deployment", "web", "replicas: 2\n"+selector+template(forever, "")),
		workload("apps/v1", "StatefulSet", "db", "replicas: 1\n"+selector+template(forever, "")),
		workload("apps/v1", "DaemonSet", "agent", selector+template(forever, "")),
		workload("apps/v1", "ReplicaSet", "set", selector+template(forever, "")),
		workload("batch/v1", "Job", "once", template("true", "restartPolicy: Never")),
		workload("batch/v1", "CronJob", "nightly", "schedule: 30 3 * * *\njobTemplate:\n  spec:\n"+indent(4, template("true", "restartPolicy: Never"))),
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: one}\n",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: password}\nstringData: {word: very-hidden}\n",
		"apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
		"apiVersion: v1\nkind: Service\nmetadata: {name: front}\nspec: {clusterIP: None, selector: {app: x}, ports: [{port: 80}]}\n",
	}, "---\n")
}

// Every kind of the manifests directory is shown as an API server shows it, and by its names.
func TestGet(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.applyClosed("all.yaml", everyKind())
	ready := func(want string) func() error {
		return func() error {
			out, _ := b.try("get", "deploy", "web", "-o", "jsonpath={.status.readyReplicas}/{.status.availableReplicas}/{.status.conditions[?(@.type=='Available')].status}")
			if out != want {
				return errors.New(out)
			}
			return nil
		}
	}
	b.eventually("the Deployment is available", ready("2/2/True"))
	b.eventually("the Job is complete", func() error {
		if out, _ := b.try("get", "job/once", "-o", "jsonpath={.status.conditions[*].type} {.status.succeeded}"); out != "SuccessCriteriaMet Complete 1" {
			return errors.New(out)
		}
		return nil
	})
	var web appsv1.Deployment
	text := b.run("get", "deployments.apps", "web", "-o", "yaml")
	if err := yaml.UnmarshalStrict([]byte(text), &web); err != nil || web.Kind != "Deployment" || web.APIVersion != "apps/v1" || web.Status.ObservedGeneration != 1 ||
		*web.Spec.RevisionHistoryLimit != 10 || web.Spec.Template.Spec.SchedulerName != "default-scheduler" || web.Annotations["solopod.io/manifest"] != "all.yaml" {
		t.Errorf("the Deployment: %v\n%s", err, text)
	}
	var jobs batchv1.JobList
	if err := json.Unmarshal([]byte(b.mustGet("/jobs")), &jobs); err != nil || jobs.Kind != "JobList" || len(jobs.Items) != 1 || jobs.Items[0].Status.CompletionTime == nil {
		t.Errorf("/jobs: %v %+v", err, jobs)
	}
	// What is shown can be a manifest again.
	b.writeFile("shown.yaml", text)
	if out, err := b.try("check", b.path("shown.yaml")); err != nil {
		t.Errorf("check of what get -o yaml shows: %v\n%s", err, out)
	}
	for _, args := range []string{"get secret password -o yaml", "get secrets -o json", "describe secret password", "get all,cm,secrets,pvc -A -o yaml"} {
		if out := b.run(strings.Fields(args)...); strings.Contains(out, "very-hidden") || strings.Contains(out, "dmVyeS1oaWRkZW4") || !strings.Contains(out, "11") {
			t.Errorf("solopod %s:\n%s", args, out)
		}
	}
	for args, want := range map[string]string{
		"get deploy,sts,ds,rs,job,cj,cm,secret,pvc,svc -o name": "deployment.apps/web\nstatefulset.apps/db\ndaemonset.apps/agent\nreplicaset.apps/set\njob.batch/once\ncronjob.batch/nightly\nconfigmap/settings\nsecret/password\npersistentvolumeclaim/data\nservice/front\n",
		"get ns -o name": "namespace/default\nnamespace/shop\n",
		"get pods --field-selector status.phase=Succeeded -o name":                          "pod/once-0\n",
		"get pods --sort-by=.metadata.name --no-headers -o custom-columns=N:.metadata.name": "agent-0\ndb-0\nonce-0\nset-0\nweb-0\nweb-1\n",
		"get deploy web -o go-template={{.status.replicas}}":                                "2",
		"get pvc data -o jsonpath={.status.phase}/{.status.capacity.storage}":               "Bound/1Gi",
	} {
		if out := b.run(strings.Fields(args)...); out != want {
			t.Errorf("solopod %s prints\n%s\nnot\n%s", args, out, want)
		}
	}
	for args, want := range map[string]string{
		"describe deploy/web": `(?s)Name: +web.*Pods:.*web-0 +1/1 +Running`, "describe job once": `Status: +Complete`, "describe cj nightly": `Next Run: +\w`,
		"describe pvc data": `Directory: +/`, "describe ns default": `Pods: +6`, "describe node": `(?s)Conditions:.*Ready +True`,
		"describe manifest all.yaml": `State: +Active`,
	} {
		if out := b.run(strings.Fields(args)...); !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("solopod %s:\n%s", args, out)
		}
	}
	b.watchAll()
	b.crash()
	created := web.CreationTimestamp
	b.start()
	b.eventually("the Deployment is available again", ready("3/3/True"))
	if err := yaml.Unmarshal([]byte(b.run("get", "deploy", "web", "-o", "yaml")), &web); err != nil || !web.CreationTimestamp.Equal(&created) || web.Generation != 2 {
		t.Errorf("after a restart it was made at %v, not %v, and has the generation %d: %v", web.CreationTimestamp, created, web.Generation, err)
	}
}

// applyClosed moves a manifest that has a Secret into place.
func (b *box) applyClosed(file, manifest string) {
	b.t.Helper()
	b.writeFile("manifests/.new", manifest)
	if err := errors.Join(os.Chmod(b.path("manifests/.new"), 0o600), os.Rename(b.path("manifests/.new"), b.path("manifests/"+file))); err != nil {
		b.t.Fatal(err)
	}
}

// watchAll sees in get all -w what an edit does.
func (b *box) watchAll() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "--socket", b.path("socket"), "get", "all", "-w", "--no-headers", "--output-watch-events")
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	wanted := []*regexp.Regexp{
		regexp.MustCompile(`^ADDED +deployment.apps/web +2/2`), regexp.MustCompile(`^ADDED +service/front`), regexp.MustCompile(`^MODIFIED +deployment.apps/web +3/3`),
		regexp.MustCompile(`^ADDED +pod/web-2`), regexp.MustCompile(`^MODIFIED +pod/web-2 +1/1 +Running`),
	}
	edited := false
	lines := bufio.NewScanner(out)
	for len(wanted) > 0 && lines.Scan() {
		wanted = slices.DeleteFunc(wanted, func(w *regexp.Regexp) bool { return w.MatchString(lines.Text()) })
		if !edited && len(wanted) == 3 {
			edited = true
			b.applyClosed("all.yaml", strings.Replace(everyKind(), "replicas: 2", "replicas: 3", 1))
		}
	}
	cancel()
	cmd.Wait() //nolint:errcheck // it was ended
	for _, w := range wanted {
		b.t.Errorf("get all -w does not print %s", w)
	}
}

// On a terminal of 80 columns no line of a table is broken.
func TestTableWidths(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Fatal("there is no tmux (make deps-test)")
	}
	b := newBox(t, embedded)
	b.applyClosed("all.yaml", everyKind())
	for _, name := range []string{"web-0", "web-1", "db-0", "agent-0", "set-0"} {
		b.waitReady(name)
	}
	server := b.path("tmux")
	tmux := func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		out, err := exec.CommandContext(ctx, "tmux", append([]string{"-S", server, "-f", "/dev/null"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("tmux %q: %v: %s", args, err, out)
		}
		return string(out)
	}
	tmux("new-session", "-d", "-x", "80", "-y", "50", "env", "PS1=", "SOLOPOD_SOCKET="+b.path("socket"), "PATH="+b.path("bin")+":"+os.Getenv("PATH"), "sh")
	defer tmux("kill-server")
	if err := os.Mkdir(b.path("bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, b.path("bin/solopod")); err != nil {
		t.Fatal(err)
	}
	n := 0
	shown := func(command string) (screen []string) {
		t.Helper()
		n++
		end := fmt.Sprintf("end-%d", n)
		tmux("send-keys", "clear; "+command+"; echo end-$(("+fmt.Sprint(n-1)+"+1))", "Enter")
		b.within(patience, command+" is shown", func() error {
			screen = strings.Split(strings.TrimSpace(tmux("capture-pane", "-p")), "\n")
			if screen[len(screen)-1] != end {
				return errors.New(strings.Join(screen, "\n"))
			}
			return nil
		})
		return screen[:len(screen)-1]
	}
	for _, args := range []string{
		"get pods", "get pods -A", "get deploy", "get sts", "get ds", "get rs", "get jobs", "get cj", "get cm", "get secrets", "get pvc", "get ns", "get svc", "get ep",
		"get nodes", "get manifests", "get containers", "get images", "get all", "get pods --show-labels -n none", "describe cm settings",
	} {
		want, err := b.try(strings.Fields(args)...)
		screen := shown("solopod " + args)
		if len(screen) > 0 && strings.HasPrefix(screen[0], "clear;") {
			screen = screen[1:] // what was typed
		}
		lines := strings.Split(strings.TrimSpace(want), "\n")
		if args == "get manifests" { // its last column has sentences
			screen, lines = screen[:1], lines[:1]
		}
		if err != nil || len(screen) != len(lines) || len(strings.Fields(screen[0])) != len(strings.Fields(lines[0])) {
			t.Errorf("solopod %s: %v: on a terminal it is\n%s\nand not of the lines\n%s", args, err, strings.Join(screen, "\n"), want)
		}
	}
	if screen := strings.Join(shown("solopod get podz; echo code $?"), "\n"); !strings.Contains(screen, `did you mean "pods"?`) || !strings.Contains(screen, "code 1") {
		t.Errorf("a wrong word:\n%s", screen)
	}
	if screen := shown("solopod describe deploy web | cat; solopod help | head -n 3"); len(screen) < 10 {
		t.Errorf("a description:\n%s", strings.Join(screen, "\n"))
	}
	// A watch ends with Ctrl-C, and the terminal is as before.
	tmux("send-keys", "clear; solopod get deploy -w; echo ended $((1+1))", "Enter")
	b.within(patience, "the watch is shown", func() error {
		if screen := tmux("capture-pane", "-p"); !strings.Contains(screen, "web") || !strings.Contains(screen, "2/2") {
			return errors.New(screen)
		}
		return nil
	})
	tmux("send-keys", "C-c")
	b.within(patience, "the watch ends", func() error {
		if screen := tmux("capture-pane", "-p"); !strings.Contains(screen, "ended 2") {
			return errors.New(screen)
		}
		return nil
	})
}
