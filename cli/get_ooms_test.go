package cli

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/api/objects"
	"github.com/solopod/solopod/api/ooms"
	"github.com/solopod/solopod/internal/shop"
	"github.com/solopod/solopod/oom/record"
)

// someKills are seven of a pod, of which the last has a name that must not reach a terminal, one of another namespace's, and one of no pod.
func someKills() (list []ooms.Kill) {
	limit := int64(256 << 20)
	add := func(id, namespace, pod, process string, source record.Source) {
		k := ooms.Kill{Record: record.Record{ID: id, Time: time.Now().Add(-3 * time.Minute), Process: process, PID: 17, Owner: record.Unknown, Source: source}, Message: "why: " + process}
		if source == record.Log {
			k.Owner, k.Limit, k.Victim = record.Container, &limit, record.Victim{AnonRSS: 240 << 20}
		}
		if pod != "" {
			k.Pod, k.Container = record.PodName{UID: pod, Namespace: namespace, Name: pod}, "main"
		}
		list = append(list, k)
	}
	add("a-0", "default", "web-0", "", record.Counter)
	for _, id := range []string{"a-1", "a-2", "a-3", "a-4", "a-5"} {
		add(id, "default", "web-0", "java", record.Log)
	}
	add("a-6", "default", "web-0", "\x1b[2Jevil\nRow", record.Log)
	add("a-7", "far", "api", "java", record.Log)
	list[len(list)-1].Command = "java -jar \x1b[2Ja.jar"
	add("a-8", "", "", "cron", record.Log)
	return list
}

func TestGetOOMs(t *testing.T) {
	run, _ := daemonOf(t, shop.New(), func(mux *http.ServeMux) {
		mux.HandleFunc("GET /ooms", func(w http.ResponseWriter, _ *http.Request) {
			if err := json.NewEncoder(w).Encode(objects.List[ooms.Kill]{Items: someKills()}); err != nil {
				t.Error(err)
			}
		})
	})
	spaces := regexp.MustCompile(` {2,}`)
	for args, want := range map[string]string{
		"get ooms --field-selector container=main,process=java,pod.uid=web-0 --no-headers": strings.Repeat("3m web-0 main java container 256Mi 240Mi\n", 5),
		"get ooms a-0": "AGE POD CONTAINER PROCESS LIMIT OF LIMIT USED\n3m web-0 main <none> unknown <none> <none>\n",
		"get ooms a-8": "AGE POD CONTAINER PROCESS LIMIT OF LIMIT USED\n3m <none> <none> cron container 256Mi 240Mi\n",
		"get ooms -n far --field-selector pod.name=api -o wide":                             "AGE POD CONTAINER PROCESS LIMIT OF LIMIT USED ATTEMPT PID COMMAND NAME MESSAGE\n3m api main java container 256Mi 240Mi 0 17 java -jar ^[[2Ja.jar a-7 why: java\n",
		"get ooms -n far -o name":                                                           "oom/a-7\n",
		"get ooms -n default --field-selector process=cron -o custom-columns=ID:.id":        "ID\n",
		"get ooms --field-selector process=cron -o custom-columns=ID:.id":                   "ID\na-8\n",
		"get oom -A --field-selector source=counter -o custom-columns=ID:.id,POD:.pod.name": "ID POD\na-0 web-0\n",
		"get ooms a-7 -n far -o jsonpath={.limit}":                                          "268435456",
	} {
		out, errs, err := run(strings.Fields(args)...)
		if got := spaces.ReplaceAllString(out, " "); err != nil || errs != "" || got != want {
			t.Errorf("%s: %v, %s\n%q, want\n%q", args, err, errs, got, want)
		}
	}
	out, _, err := run("get", "ooms", "-o", "wide")
	if err != nil || strings.Contains(out, "\x1b") || strings.Contains(out, "\nRow") {
		t.Errorf("%v, %q", err, out)
	}
	if _, _, err := run("get", "ooms", "a-8", "-n", "far"); err == nil || !strings.Contains(err.Error(), "leave -n away") {
		t.Errorf("-n: %v", err)
	}
	if _, _, err := run("get", "ooms", "-w"); err == nil || !strings.Contains(err.Error(), "cannot be watched") {
		t.Errorf("-w: %v", err)
	}
}

func TestDescribeKills(t *testing.T) {
	d := &describer{}
	d.kills(someKills(), "web-0")
	got := d.b.String()
	if !strings.HasPrefix(got, "OOM Kills:\n  2 before; solopod get ooms shows them\n  3m ago, main: why: java\n") || strings.Count(got, "\n") != 7 || strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
	d = &describer{}
	d.kills(someKills(), "api")
	if got := d.b.String(); !strings.Contains(got, "why: java\n    its command line: java -jar ") || !strings.Contains(got, "2Ja.jar\n") || strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
	d = &describer{}
	d.kills(someKills(), "db-0")
	if got := d.b.String(); got != "" {
		t.Errorf("%q", got)
	}
}
