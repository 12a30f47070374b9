package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// lingers is a script that notes its start and its end under a name, and ends when a file go-NAME is there after it was told to.
func lingers(name string) string {
	return fmt.Sprintf("echo %[1]s starts >>/v/order\nend() { while [ ! -e /v/go-%[1]s ]; do sleep 0.1; done; echo %[1]s ends >>/v/order; exit 0; }\n"+
		"trap end TERM\nwhile true; do sleep 1000 & wait; done", name)
}

// Two pods of one name and different UIDs never run at once: the second waits until the first is gone, over restarts of the daemon,
// and shows as the first one, which is going. So do the pods of two versions of a Job.
func TestPodsOfOneName(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	volume := "volumes: [{name: v, hostPath: {path: " + b.path("v") + ", type: DirectoryOrCreate}}]"
	mount := "    volumeMounts: [{name: v, mountPath: /v}]\n"
	const manifest = "db.yaml"
	db := func(uid int, extra string) {
		t.Helper()
		pod := strings.Replace(shell("db", lingers(fmt.Sprint(uid)), volume), "  name: db\n", fmt.Sprintf("  name: db\n  uid: uid-%d\n", uid), 1)
		b.apply(manifest, strings.Replace(pod, "PeriodSeconds: 2", "PeriodSeconds: 300", 1)+mount+extra)
	}
	shown := func() (out []string) {
		t.Helper()
		var list v1.PodList
		if err := json.Unmarshal([]byte(b.mustGet("/pods")), &list); err != nil {
			t.Fatal(err)
		}
		for i := range list.Items {
			if p := &list.Items[i]; p.Name == "db" {
				out = append(out, fmt.Sprintf("%s going:%v", p.UID, p.DeletionTimestamp != nil))
			}
		}
		return out
	}
	waits := func(when string) {
		t.Helper()
		b.eventually("the first is going "+when, func() error {
			if got := shown(); len(got) != 1 || got[0] != "uid-1 going:true" {
				return fmt.Errorf("shown are %v", got)
			}
			return nil
		})
	}
	is := func(uid string) {
		t.Helper()
		b.waitPod("db", uid, func(p *v1.Pod) bool { return string(p.UID) == uid && isReady(p) })
	}
	db(1, "")
	is("uid-1")
	db(2, "")
	b.eventually("it is told", func() error {
		return b.eventSays("default/db with the UID uid-1; the one with the UID uid-2 begins when that is gone")
	})
	waits("")
	if out, err := b.try("restart", "db"); err == nil || !strings.Contains(out, "going away") {
		t.Errorf("a restart of what is going: %s, %v", out, err)
	}
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		b.stop(signal)
		b.start()
		waits(signal.String())
	}
	db(2, "    env: [{name: EDITED, value: 'yes'}]\n") // an edit of what waits
	b.delete(manifest)
	b.eventually("the file is gone", func() error {
		if out := b.run("get", "manifests"); strings.Contains(out, manifest) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	waits("with nothing after it")
	db(3, "")
	b.eventually("the third waits", func() error { return b.eventSays("the one with the UID uid-3 begins") })
	waits("before the third")
	b.writeFile("v/go-1", "")
	is("uid-3")
	order := func(want string) {
		t.Helper()
		b.eventually("the order", func() error { // a container runs before its script has written
			if got := strings.ReplaceAll(strings.TrimSpace(readFile(t, b.path("v/order"))), "\n", ", "); got != want {
				return fmt.Errorf("it is %s, not %s", got, want)
			}
			return nil
		})
	}
	order("1 starts, 1 ends, 3 starts")
	var links []os.DirEntry
	b.eventually("a link to a log", func() (err error) { // it is made soon after the start
		if links, err = os.ReadDir(b.path("log/containers")); err == nil && len(links) == 0 {
			err = errors.New("there is none")
		}
		return err
	})
	if len(links) != 1 {
		t.Errorf("links to logs: %v", links)
	}

	// The first comes back while the second waits for it.
	db(4, "")
	b.eventually("the fourth waits", func() error { return b.eventSays("the one with the UID uid-4 begins") })
	db(3, "")
	b.writeFile("v/go-3", "")
	is("uid-3")
	order("1 starts, 1 ends, 3 starts, 3 ends, 3 starts")
	b.delete(manifest)
	b.waitGone("db")

	// A Job of another template is another Job, and its pod is another pod.
	job := func(word string) {
		t.Helper()
		text := workload("batch/v1", "Job", "job", template(lingers(word), "restartPolicy: Never\n"+volume))
		b.apply("job.yaml", strings.Replace(text, "PeriodSeconds: 2", "PeriodSeconds: 300", 1)+indent(4, mount))
	}
	job("old")
	b.waitReady("job-0")
	job("new")
	b.waitPod("job-0", "going", func(p *v1.Pod) bool { return p.DeletionTimestamp != nil })
	b.crash()
	b.start()
	b.waitPod("job-0", "still going", func(p *v1.Pod) bool { return p.DeletionTimestamp != nil })
	b.writeFile("v/go-old", "")
	b.waitReady("job-0")
	order("1 starts, 1 ends, 3 starts, 3 ends, 3 starts, 3 ends, old starts, old ends, new starts")

	// A drain ends what is going, and begins nothing.
	job("later")
	b.waitPod("job-0", "going", func(p *v1.Pod) bool { return p.DeletionTimestamp != nil })
	b.writeFile("v/go-new", "")
	b.run("drain")
	if n := len(b.containerProcesses()); n != 0 {
		t.Errorf("%d processes of containers run after a drain", n)
	}
}
