package cli

import (
	"context"
	"net/url"
	"strconv"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/api/ooms"
	"github.com/solopod/solopod/oom/explain"
	"github.com/solopod/solopod/oom/record"
)

// oomsPlural is the type whose objects lie in no namespace where the killed process belonged to no pod.
const oomsPlural = "ooms"

// oomsKind are processes that the kernel killed for memory, each in its pod's namespace.
func oomsKind() *kind {
	return &kind{
		plural: oomsPlural, singular: "oom", fields: []string{"pod.name", "pod.namespace", "pod.uid", "container", "containerID", "process", "owner", "source"},
		list: func(ctx context.Context, c *api.Client) ([]item, error) {
			list, err := oomKind(nil).List(ctx, c)
			var out []item
			for i := range list {
				out = append(out, item{&metav1.ObjectMeta{Namespace: list[i].Pod.Namespace, Name: list[i].ID, CreationTimestamp: metav1.NewTime(list[i].Time)}, &list[i]})
			}
			return out, err
		},
		table: func(s *selection, list []item) table { return oomTable(s, objectsOf[ooms.Kill](list)) },
		told:  func(i item) string { return i.object.(*ooms.Kill).Pod.Name },
	}
}

func oomTable(s *selection, list []ooms.Kill) table {
	t := table{header: []string{"AGE", "POD", "CONTAINER", "PROCESS", "LIMIT OF", "LIMIT", "USED"}}
	if s.output == "wide" {
		t.header = append(t.header, "ATTEMPT", "PID", "COMMAND", "NAME", "MESSAGE")
	}
	for _, k := range list {
		limit, used := "<none>", "<none>"
		if k.Limit != nil {
			limit = explain.Bytes(*k.Limit)
		}
		if k.Source == record.Log {
			used = explain.Bytes(k.Victim.RSS())
		}
		row := []string{age(metav1.NewTime(k.Time)), orNone(k.Pod.Name), orNone(k.Container), orNone(k.Process), string(k.Owner), limit, used}
		if s.output == "wide" {
			row = append(row, strconv.Itoa(k.Attempt), strconv.Itoa(k.PID), orNone(k.Command), k.ID, k.Message)
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// killsOf asks for what was killed of a pod, and of those of its name before it.
func killsOf(ctx context.Context, c *api.Client, pod *v1.Pod) ([]ooms.Kill, error) {
	return oomKind(url.Values{"namespace": {pod.Namespace}, "pod": {pod.Name}}).List(ctx, c)
}

func oomKind(query url.Values) api.Kind[ooms.Kill] { return api.KindAt[ooms.Kill]("/ooms", query) }

// describedKills is how many kills for memory a pod's description has.
const describedKills = 5

// kills writes the last kills for memory of a pod's processes, the oldest first.
func (d *describer) kills(all []ooms.Kill, uid string) {
	var of []ooms.Kill
	for _, k := range all {
		if k.Pod.UID == uid {
			of = append(of, k)
		}
	}
	if len(of) == 0 {
		return
	}
	d.b.WriteString("OOM Kills:\n")
	if more := len(of) - describedKills; more > 0 {
		d.item("%d before; solopod get ooms shows them", more)
		of = of[more:]
	}
	for _, k := range of {
		d.item("%s ago, %s: %s", age(metav1.NewTime(k.Time)), orNone(k.Container), k.Message)
		if k.Command != "" && k.Command != k.Process {
			d.item("  its command line: %s", k.Command)
		}
	}
}
