package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// template is a pod template that runs a script.
func template(script, extra string) string {
	return "template:\n  metadata: {labels: {app: x}}\n  spec:\n    hostNetwork: true\n    terminationGracePeriodSeconds: 2\n" + indent(4, extra) +
		"\n    containers:\n    - name: main\n      image: solopod.example/box:1\n      command: [\"/bin/sh\", \"-c\"]\n      args:\n      - |\n" + indent(8, script) + "\n"
}

func workload(apiVersion, kind, name, spec string) string {
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s}\nspec:\n%s\n", apiVersion, kind, name, indent(2, spec))
}

// Objects that stand for pods which are always restarted.
func TestReplicas(t *testing.T) {
	b := newBox(t, embedded)
	selector := "selector: {matchLabels: {app: x}}\n"
	b.apply("deployment.yaml", workload("apps/v1", "Deployment", "web", "replicas: 2\n"+selector+template(forever, "")))
	b.apply("replicaset.yaml", workload("apps/v1", "ReplicaSet", "set", "selector: {matchExpressions: [{key: app, operator: In, values: [x]}]}\n"+template(forever, "")))
	b.apply("daemonset.yaml", workload("apps/v1", "DaemonSet", "agent", selector+template(forever, "")))
	b.apply("statefulset.yaml", workload("apps/v1", "StatefulSet", "db", "replicas: 2\nserviceName: dbs\nordinals: {start: 1}\nvolumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]\n"+selector+
		strings.Replace(strings.Replace(template("hostname; echo here >/data/file; "+forever, ""), "    hostNetwork: true\n", "", 1), "      command:", "      volumeMounts: [{name: data, mountPath: /data}]\n      command:", 1)))
	for _, name := range []string{"web-0", "web-1", "set-0", "agent-0", "db-1", "db-2"} {
		b.waitReady(name)
	}
	if out := b.run("claims", "ls"); !strings.Contains(out, "data-db-1") || !strings.Contains(out, "data-db-2") || !strings.Contains(out, "1Gi") {
		t.Errorf("claims:\n%s", out)
	}
	if out := b.run("logs", "db-2"); out != "db-2\n" {
		t.Errorf("the host name is %q", out)
	}
	b.apply("deployment.yaml", workload("apps/v1", "Deployment", "web", "replicas: 1\n"+selector+template("echo edited; "+forever, "")))
	b.waitGone("web-1")
	b.waitPod("web-0", "replaced", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 1 })
	for _, file := range []string{"deployment", "replicaset", "daemonset", "statefulset"} {
		b.delete(file + ".yaml")
	}
	for _, name := range []string{"web-0", "set-0", "agent-0", "db-1", "db-2"} {
		b.waitGone(name)
	}
	b.run("claims", "rm", "data-db-1")
}

// Jobs: completions, retries, indexes, deadline and ttl, over crashes and reboots.
func TestJob(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		jobs := func(want string) {
			t.Helper()
			b.eventually("jobs show "+want, func() error {
				if out := b.run("get", "jobs"); !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
					return fmt.Errorf("%s", out)
				}
				return nil
			})
		}
		b.apply("many.yaml", workload("batch/v1", "Job", "many", "completions: 3\nparallelism: 2\ncompletionMode: Indexed\n"+template("echo index $JOB_COMPLETION_INDEX", "restartPolicy: Never")))
		jobs("many Complete 3/3")
		var indexes []string
		for n := range 3 {
			indexes = append(indexes, strings.TrimSpace(b.run("logs", fmt.Sprintf("many-%d", n))))
		}
		if got := strings.Join(indexes, ", "); got != "index 0, index 1, index 2" {
			t.Errorf("indexes: %s", got)
		}
		b.apply("bad.yaml", workload("batch/v1", "Job", "bad", "backoffLimit: 0\n"+template("exit 3", "restartPolicy: Never")))
		jobs("bad Failed 0/1")
		if out := b.run("describe", "job", "bad"); !strings.Contains(out, "BackoffLimitExceeded: Job has reached the specified backoff limit") {
			t.Errorf("describe job:\n%s", out)
		}
		b.apply("deadline.yaml", workload("batch/v1", "Job", "deadline", "activeDeadlineSeconds: 2\n"+template(forever, "restartPolicy: OnFailure")))
		jobs("deadline Failed")
		b.waitGone("deadline-0")
		b.apply("gone.yaml", workload("batch/v1", "Job", "gone", "ttlSecondsAfterFinished: 0\n"+template("true", "restartPolicy: Never")))
		jobs("gone Complete 1/1")
		b.waitGone("gone-0")
		b.apply("runs.yaml", workload("batch/v1", "Job", "runs", template(forever, "restartPolicy: OnFailure")))
		runs := b.waitReady("runs-0")
		b.crash()
		b.start()
		if again := b.waitReady("runs-0"); status(again, "main").ContainerID != status(runs, "main").ContainerID {
			t.Error("a running job was begun anew")
		}
		jobs("many Complete 3/3")
		jobs("gone Complete 1/1")
		b.reboot()
		b.start()
		b.waitPod("runs-0", "running again", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 1 })
		jobs("bad Failed 0/1")
		if p := b.pod("default", "many-0"); p == nil || status(p, "main").RestartCount != 0 {
			t.Errorf("what had succeeded is %+v", p)
		}
		// A bad version of the file changes nothing; another template is another job.
		b.apply("many.yaml", workload("batch/v1", "Job", "many", "completions: -1\n"+template("true", "restartPolicy: Never")))
		b.eventually("the file is refused", func() error {
			if out := b.run("get", "manifests"); !strings.Contains(out, "Invalid") {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
		jobs("many Complete 3/3")
		b.apply("many.yaml", workload("batch/v1", "Job", "many", template("echo edited", "restartPolicy: Never")))
		b.waitPhase("many-3", v1.PodSucceeded)
		b.waitGone("many-0")
		b.delete("many.yaml")
		b.waitGone("many-3")
	})
}

// A Job of more completions than pods that stay: each one runs once, and those that are gone are counted, also by another daemon.
func TestLongJob(t *testing.T) {
	t.Parallel()
	const completions, stay = 68, 64
	b := newBox(t, embedded)
	tally := b.path("tally")
	volume := "restartPolicy: Never\nvolumes: [{name: v, hostPath: {path: " + tally + ", type: FileOrCreate}}]"
	b.apply("long.yaml", workload("batch/v1", "Job", "long", fmt.Sprintf("completions: %d\nparallelism: 16\ncompletionMode: Indexed\n", completions)+
		strings.Replace(template("echo $JOB_COMPLETION_INDEX >>/tally", volume), "      command:", "      volumeMounts: [{name: v, mountPath: /tally}]\n      command:", 1)))
	check := func() {
		t.Helper()
		b.eventually("all have succeeded", func() error {
			out := strings.Join(strings.Fields(b.run("get", "jobs")), " ")
			if !strings.Contains(out, fmt.Sprintf("long Complete %d/%[1]d ", completions)) {
				return fmt.Errorf("%s", out)
			}
			if n := len(strings.Fields(b.run("get", "pods", "-o", "name"))); n != stay {
				return fmt.Errorf("%d pods are there, not %d", n, stay)
			}
			return nil
		})
		lines := strings.Fields(readFile(t, tally))
		slices.Sort(lines)
		if n := len(slices.Compact(lines)); n != completions || len(lines) != completions {
			t.Errorf("%d of %d indexes ran, in %d runs", n, completions, len(lines))
		}
	}
	check()
	b.crash()
	b.start()
	check()
}

// A CronJob runs at its time, keeps its history, and makes up for what it missed while the daemon was off.
func TestCronJob(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.apply("cron.yaml", workload("batch/v1", "CronJob", "tick", "schedule: '* * * * *'\nconcurrencyPolicy: Forbid\nsuccessfulJobsHistoryLimit: 1\njobTemplate:\n  spec:\n"+indent(4, template("echo tick", "restartPolicy: Never"))))
	b.eventually("it is there", func() error {
		if out := b.run("get", "cronjobs"); !strings.Contains(out, "tick") || !strings.Contains(out, "* * * * *") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	ran := func() string {
		var names []string
		for _, line := range strings.Split(b.run("get", "pods"), "\n") {
			if strings.HasPrefix(line, "tick-") && strings.Contains(line, "Completed") {
				names = append(names, strings.Fields(line)[0])
			}
		}
		return strings.Join(names, " ")
	}
	b.within(patience+time.Minute, "it has run once", func() error {
		if got := ran(); strings.Count(got, "tick-") != 1 {
			return fmt.Errorf("ran: %q", got)
		}
		return nil
	})
	first := ran()
	b.crash()
	now := time.Now()
	<-time.After(now.Truncate(time.Minute).Add(time.Minute).Sub(now)) // the moment of a run, which is missed
	b.start()
	b.eventually("it has run again, and the first run is forgotten", func() error {
		if got := ran(); got == first || strings.Count(got, "tick-") != 1 {
			return fmt.Errorf("ran: %q", got)
		}
		return nil
	})
	b.delete("cron.yaml")
	b.eventually("its pods are gone", func() error {
		if got := b.run("get", "pods"); strings.Contains(got, "tick-") {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
}
