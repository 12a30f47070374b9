package cli

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/workload"
)

// jobs lists Jobs, or CronJobs.
func (s *selection) jobs(cmd *cobra.Command, c *api.Client, kind string, t func(*selection, []workload.Status) table) error {
	list, err := c.Workloads(cmd.Context())
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(w workload.Status) bool { return w.Kind != kind || !s.all && w.Namespace != s.namespace })
	names := make([]string, len(list))
	for i, w := range list {
		names[i] = fmt.Sprintf("%s/%s", kindName(kind), w.Name)
	}
	return s.print(cmd.OutOrStdout(), list, t(s, list), names...)
}

func kindName(kind string) string {
	if kind == "CronJob" {
		return "cronjob"
	}
	return "job"
}

func jobTable(s *selection, list []workload.Status) table {
	t := table{header: []string{"NAME", "STATUS", "ACTIVE", "SUCCEEDED", "FAILED", "MESSAGE"}}
	for _, w := range list {
		status := string(w.Outcome)
		if status == "" {
			status = "Running"
		}
		t.rows = append(t.rows, []string{w.Name, status, fmt.Sprint(w.Active), fmt.Sprint(w.Succeeded), fmt.Sprint(w.Failed), w.Message})
	}
	return s.withNamespace(t, list)
}

func cronJobTable(s *selection, list []workload.Status) table {
	t := table{header: []string{"NAME", "SCHEDULE", "ACTIVE", "LAST SCHEDULE", "NEXT", "SUCCEEDED", "FAILED"}}
	for _, w := range list {
		next := "<suspended>"
		if !w.Next.IsZero() {
			next = duration.HumanDuration(time.Until(w.Next))
		}
		t.rows = append(t.rows, []string{w.Name, w.Schedule, fmt.Sprint(w.Active), age(metav1.NewTime(w.Last)), next, fmt.Sprint(w.Succeeded), fmt.Sprint(w.Failed)})
	}
	return s.withNamespace(t, list)
}

func (s *selection) withNamespace(t table, list []workload.Status) table {
	if !s.all {
		return t
	}
	t.header = append([]string{"NAMESPACE"}, t.header...)
	for i := range t.rows {
		t.rows[i] = append([]string{list[i].Namespace}, t.rows[i]...)
	}
	return t
}
