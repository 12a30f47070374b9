package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/manifests"
)

// table is text in columns, as kubectl prints it.
type table struct {
	header []string
	rows   [][]string
	// fixed: rows are printed one by one, so that columns get a width of their own.
	fixed bool
}

func (t table) write(w io.Writer) error {
	width := 0
	if t.fixed {
		width = 10
	}
	tw := tabwriter.NewWriter(w, width, 8, 3, ' ', 0)
	for _, row := range append([][]string{t.header}, t.rows...) {
		if row == nil {
			continue
		}
		if _, err := fmt.Fprintln(tw, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return tw.Flush()
}

func age(t metav1.Time) string {
	if t.IsZero() {
		return "<none>"
	}
	return duration.HumanDuration(time.Since(t.Time))
}

func podTable(s *selection, pods []v1.Pod) table {
	t := table{header: []string{"NAME", "READY", "STATUS", "RESTARTS", "AGE"}}
	wide := s.output == "wide"
	if wide {
		t.header = []string{"NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "QOS", "MANIFEST"}
	}
	if s.all {
		t.header = append([]string{"NAMESPACE"}, t.header...)
	}
	for i := range pods {
		pod := &pods[i]
		ready, total := readiness(pod)
		started := metav1.Time{}
		if pod.Status.StartTime != nil {
			started = *pod.Status.StartTime
		}
		row := []string{
			pod.Name, fmt.Sprintf("%d/%d", ready, total), podStatus(pod), restarts(pod), age(started),
		}
		if wide {
			row = append(row, orNone(pod.Status.PodIP), pod.Spec.NodeName, string(pod.Status.QOSClass), pod.Annotations["solopod.io/manifest"])
		}
		if s.all {
			row = append([]string{pod.Namespace}, row...)
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func orNone(s string) string {
	if s == "" {
		return "<none>"
	}
	return s
}

func eventTable(all bool, events []v1.Event) table {
	t := table{header: []string{"LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"}}
	if all {
		t.header = append([]string{"NAMESPACE"}, t.header...)
	}
	for _, e := range events {
		seen := age(e.LastTimestamp)
		if e.Count > 1 {
			seen = fmt.Sprintf("%s (x%d over %s)", seen, e.Count, age(e.FirstTimestamp))
		}
		object := strings.ToLower(e.InvolvedObject.Kind) + "/" + e.InvolvedObject.Name
		row := []string{seen, e.Type, e.Reason, object, strings.ReplaceAll(e.Message, "\n", " ")}
		if all {
			row = append([]string{orNone(e.InvolvedObject.Namespace)}, row...)
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func imageTable(images []api.Image) table {
	t := table{header: []string{"NAME", "DIGEST", "SIZE", "AGE"}}
	for _, i := range images {
		digest := strings.TrimPrefix(i.Digest, "sha256:")
		t.rows = append(t.rows, []string{i.Name, digest[:min(len(digest), 12)], size(i.Size), age(metav1.NewTime(i.CreatedAt))})
	}
	return t
}

func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1fGi", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1fMi", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%.1fKi", float64(n)/(1<<10))
	}
}

func manifestTable(files []manifests.File) table {
	t := table{header: []string{"FILE", "STATE", "OBJECTS", "SINCE", "ERROR"}}
	for _, f := range files {
		said := ""
		if errs := f.Problems.Errors(); len(errs) > 0 {
			said = errs[0].Error()
			if len(errs) > 1 {
				said += fmt.Sprintf(" (and %d more)", len(errs)-1)
			}
		}
		t.rows = append(t.rows, []string{f.Name, f.State, orNone(strings.Join(slices.Concat(f.Pods, f.Objects), ",")), age(metav1.NewTime(f.Since)), said})
	}
	return t
}
