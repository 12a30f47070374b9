package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/cli/visible"
	"github.com/solopod/solopod/manifests"
)

// table is text in columns, as kubectl prints it.
type table struct {
	header []string
	rows   [][]string
	// fixed: rows are printed one by one, so that columns get a width of their own.
	fixed bool
	// painted is the column whose words get a colour on a terminal, and colour says which one; empty means none.
	painted int
	colour  func(word string) string
}

// write lays the table out and writes it.
func (t table) write(w io.Writer) error {
	t = t.visible()
	if t.colour != nil && onTerminal(w) && os.Getenv("NO_COLOR") == "" { // https://no-color.org
		return t.writePainted(w)
	}
	return t.writePlain(w)
}

// visible is the table with cells of one line, whatever they hold, so that none can look like another row.
func (t table) visible() table {
	rows := make([][]string, len(t.rows))
	for i, row := range t.rows {
		for _, cell := range row {
			rows[i] = append(rows[i], visible.Line(cell))
		}
	}
	t.rows = rows
	return t
}

// writePainted colours one column. The columns are laid out first: a colour takes no room.
func (t table) writePainted(w io.Writer) error {
	var plain bytes.Buffer
	if err := t.writePlain(&plain); err != nil {
		return err
	}
	column := t.painted
	for i, line := range strings.SplitAfter(plain.String(), "\n") {
		row := i
		if t.header != nil {
			row--
		}
		if row >= 0 && row < len(t.rows) {
			word := t.rows[row][column]
			if code := t.colour(word); code != "" {
				// The words of this column are told from equal ones before it by the blanks around them.
				if strings.HasPrefix(line, word+" ") && column == 0 {
					if err := paint(w, "", code, word); err != nil {
						return err
					}
					line = line[len(word):]
				} else if at := strings.LastIndex(line, " "+word+" "); at >= 0 {
					if err := paint(w, line[:at+1], code, word); err != nil {
						return err
					}
					line = line[at+1+len(word):]
				}
			}
		}
		if _, err := io.WriteString(w, line); err != nil {
			return err
		}
	}
	return nil
}

// paint writes a word in a colour, behind what comes before it.
func paint(w io.Writer, before, code, word string) error {
	_, err1 := io.WriteString(w, before)
	err2 := control(w, code)
	_, err3 := io.WriteString(w, word)
	return errors.Join(err1, err2, err3, control(w, resetColour))
}

// Colours of the eight that every terminal has.
const (
	red, green, yellow, grey = "\033[31m", "\033[32m", "\033[33m", "\033[90m"
	resetColour              = "\033[0m"
)

// statusColour is for a pod's status: what is well, what is on its way, what is over, and what is wrong.
func statusColour(word string) string {
	switch {
	case word == "Running":
		return green
	case word == "Completed" || word == "Succeeded":
		return grey
	case slices.Contains([]string{"Pending", "ContainerCreating", "PodInitializing", "Terminating"}, word) || strings.HasPrefix(word, "Init:") && strings.Contains(word, "/"):
		return yellow
	}
	return red
}

func (t table) writePlain(w io.Writer) error {
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

func podHeader(s *selection) []string {
	header := []string{"NAME", "READY", "STATUS", "RESTARTS", "AGE"}
	if s.output == "wide" {
		header = append(header, "IP", "NODE", "QOS", "MANIFEST")
	}
	return header
}

func podTable(s *selection, pods []*v1.Pod) table {
	t := table{header: podHeader(s)}
	wide := s.output == "wide"
	for _, pod := range pods {
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
		t.rows = append(t.rows, row)
	}
	t.painted, t.colour = slices.Index(t.header, "STATUS"), statusColour
	return t
}

func orNone(s string) string {
	if s == "" {
		return "<none>"
	}
	return s
}

func eventTable(_ *selection, events []*v1.Event) table {
	t := table{header: []string{"LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"}}
	for _, e := range events {
		object := strings.ToLower(e.InvolvedObject.Kind) + "/" + e.InvolvedObject.Name
		t.rows = append(t.rows, []string{lastSeen(e), e.Type, e.Reason, object, strings.ReplaceAll(e.Message, "\n", " ")})
	}
	return t
}

// lastSeen is how long ago an event was, and of one that was repeated how often.
func lastSeen(e *v1.Event) string {
	if e.Count > 1 {
		return fmt.Sprintf("%s (x%d over %s)", age(e.LastTimestamp), e.Count, age(e.FirstTimestamp))
	}
	return age(e.LastTimestamp)
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

// fewObjects is how many characters the objects of a file get, but with -o wide.
const fewObjects = 30

// objectNames are those of a file, the first ones and how many more there are.
func objectNames(f *manifests.File, wide bool) string {
	all := slices.Concat(f.Pods, f.Objects)
	for n, length := 0, 0; n < len(all) && !wide; n++ {
		if length += len(all[n]) + 1; length > fewObjects && n > 0 {
			return fmt.Sprintf("%s + %d more", strings.Join(all[:n], ","), len(all)-n)
		}
	}
	return orNone(strings.Join(all, ","))
}

func manifestTable(s *selection, files []manifests.File) table {
	t := table{header: []string{"FILE", "STATE", "OBJECTS", "SINCE", "PROBLEM"}}
	for _, f := range files {
		said, told := "", f.Problems.Errors()
		if len(told) == 0 {
			told = f.Problems // warnings
		}
		if len(told) > 0 {
			said = told[0].Error()
			if len(told) > 1 {
				said += fmt.Sprintf(" (and %d more)", len(told)-1)
			}
		}
		t.rows = append(t.rows, []string{manifests.PrintableName(f.Name), f.State, objectNames(&f, s.output == "wide"), age(metav1.NewTime(f.Since)), said})
	}
	return t
}
