package objects

import (
	"slices"
	"strings"

	"github.com/solopod/solopod/monitor/exposition"
)

// Family is a family of metrics, for the documentation. label_NAME stands for an object's own labels.
type Family struct {
	Name, Help string
	Counter    bool
	Labels     []string
}

// Families are all that State may write, sorted by name.
func (s *State) Families() []Family {
	var out []Family
	for _, k := range []interface{ describe() []Family }{
		s.pods, s.node, s.namespaces, s.deployments, s.replicaSets, s.statefulSets, s.daemonSets, s.jobs, s.cronJobs, s.claims, s.services, s.slices, s.policies,
	} {
		out = append(out, k.describe()...)
	}
	of := []string{"namespace", "pod", "uid", "container"}
	out = slices.Concat(out, describeRows(s.containers.Rows(), of), describeRows(s.initContainers.Rows(), of))
	slices.SortFunc(out, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (k *kind[T, P]) describe() []Family {
	var labels []string
	for i, s := range k.name(new(T)) {
		if i%2 == 0 {
			labels = append(labels, s)
		}
	}
	return append(describeRows(k.families.Rows(), labels), describeRows(k.labels.Rows(), append(labels, "label_NAME"))...)
}

func describeRows[S any](rows []exposition.Row[S], labels []string) (out []Family) {
	for _, r := range rows {
		all := slices.Concat(labels, r.Labels)
		slices.Sort(all)
		out = append(out, Family{r.Name, r.Help, r.Counter, all})
	}
	return out
}
