package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/api/streaming"
	"github.com/solopod/solopod/cli/visible"
	"github.com/solopod/solopod/manifests"
)

func newDescribe(g *global) *cobra.Command {
	s := &selection{}
	cmd := &cobra.Command{
		Use: "describe TYPE[,TYPE...] [NAME...] | TYPE/NAME...", Short: "Show objects in detail, with their events",
		Long: "Show objects in detail, with their events: all of a type, those with a label, or those that are named. Where no object has the name, those\n" +
			"whose names begin with it are shown.\n\nTypes: " + typesText() + ".",
		Example: "  solopod describe pod web\n  solopod describe deploy/web svc/web\n  solopod describe networkpolicy -n shop default-deny\n  solopod describe pods -l app=web",
		Args:    cobra.ArbitraryArgs, ValidArgsFunction: g.completeObjects(&s.namespace, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			targets, err := requestedOf(args)
			if err != nil {
				return err
			}
			return s.describe(cmd, g.client(), targets)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&s.namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	f.BoolVarP(&s.all, "all-namespaces", "A", false, "all namespaces")
	f.StringVarP(&s.selector, "selector", "l", "", "only what has these labels, for instance app=web,tier!=test")
	return cmd
}

func (s *selection) describe(cmd *cobra.Command, c *api.Client, targets []requested) error {
	var all []found
	var failed []error
	n := 0
	for _, t := range targets {
		selected, of, missing, err := s.chosen(cmd.Context(), c, t)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			var gone []error
			if selected, gone = s.begunWith(t, of, selected); len(gone) > 0 {
				failed = append(failed, gone...)
			}
		}
		n += len(selected)
		all = append(all, found{t, selected, of})
	}
	if n == 0 && len(failed) == 0 {
		s.sayNothing(cmd.ErrOrStderr(), all)
		return nil
	}
	first := true
	for _, f := range all {
		for _, i := range f.selected {
			d := &describer{}
			if err := f.kind.describeItem(cmd.Context(), c, d, i); err != nil {
				return err
			}
			text := d.b.String()
			if !first {
				text = "\n\n" + text
			}
			first = false
			if _, err := io.WriteString(cmd.OutOrStdout(), text); err != nil {
				return err
			}
		}
	}
	return errors.Join(failed...)
}

// begunWith adds to what was selected, for each name that no object has, the objects whose names begin with it, as kubectl does.
func (s *selection) begunWith(t requested, all, selected []item) (out []item, missing []error) {
	for _, name := range t.names {
		if slices.ContainsFunc(selected, func(i item) bool { return i.meta.Name == name }) {
			continue
		}
		found := false
		for _, i := range all {
			if s.reaches(t.kind, i) && strings.HasPrefix(i.meta.Name, name) && !slices.Contains(selected, i) {
				selected, found = append(selected, i), true
			}
		}
		if !found {
			missing = append(missing, s.missing(t.kind, all, name))
		}
	}
	return selected, missing
}

// describeItem writes an object down; what has no words of its own as YAML.
func (k *kind) describeItem(ctx context.Context, c *api.Client, d *describer, i item) error {
	if k.describe != nil {
		return k.describe(ctx, c, d, i)
	}
	text, err := toYAML(i.object)
	d.b.Write(text)
	return err
}

func describePod(ctx context.Context, c *api.Client, d *describer, pod *v1.Pod) error {
	events, err := c.Events(ctx)
	if err != nil {
		return err
	}
	kills, err := killsOf(ctx, c, pod)
	if err != nil && !errors.Is(err, streaming.ErrNotFound) { // an earlier version has no such path
		return err
	}
	d.pod(pod)
	d.kills(kills, string(pod.UID))
	d.events(events, func(of *v1.ObjectReference) bool { return of.UID == pod.UID })
	return nil
}

// describer writes "Name:  value" lines.
type describer struct {
	b      strings.Builder
	indent string
	// width is how much room names have; 0 means that of pods'.
	width int
}

func (d *describer) line(name, format string, args ...any) {
	value := fmt.Sprintf(format, args...)
	if value == "" {
		return
	}
	width := cmp.Or(d.width, 16)
	// What containers say may have several lines: all stand in the value's column, where none looks like a line of this program's.
	value = strings.ReplaceAll(visible.Text(strings.TrimRight(value, "\n")), "\n", "\n"+d.indent+strings.Repeat(" ", width+1))
	fmt.Fprintf(&d.b, "%s%-*s %s\n", d.indent, width, name+":", value)
}

// item writes a line of a list.
func (d *describer) item(format string, args ...any) {
	d.b.WriteString("  " + visible.Line(fmt.Sprintf(format, args...)) + "\n")
}

func (d *describer) pod(pod *v1.Pod) {
	d.line("Name", "%s", pod.Name)
	d.line("Namespace", "%s", pod.Namespace)
	d.line("UID", "%s", pod.UID)
	d.line("Manifest", "%s", pod.Annotations["solopod.io/manifest"])
	d.line("Held", "%s", pod.Annotations[manifests.HeldAnnotation])
	for _, o := range pod.OwnerReferences {
		if o.Controller != nil && *o.Controller {
			d.line("Controlled By", "%s/%s", o.Kind, o.Name)
		}
	}
	d.line("Node", "%s/%s", pod.Spec.NodeName, pod.Status.HostIP)
	if pod.Status.StartTime != nil {
		d.line("Start Time", "%s", pod.Status.StartTime.Format(time.RFC1123Z))
	}
	for _, key := range slices.Sorted(maps.Keys(pod.Labels)) {
		d.line("Label", "%s=%s", key, pod.Labels[key])
	}
	d.line("Status", "%s", podStatus(pod))
	d.line("Message", "%s", pod.Status.Message)
	d.line("IP", "%s", pod.Status.PodIP)
	d.line("QoS Class", "%s", pod.Status.QOSClass)
	if len(pod.Spec.InitContainers) > 0 {
		d.b.WriteString("Init Containers:\n")
	}
	for i, c := range pod.Spec.InitContainers {
		d.container(&c, pod.Status.InitContainerStatuses[i])
	}
	d.b.WriteString("Containers:\n")
	for i, c := range pod.Spec.Containers {
		d.container(&c, pod.Status.ContainerStatuses[i])
	}
	d.b.WriteString("Conditions:\n")
	for _, c := range pod.Status.Conditions {
		d.item("%-28s %-6s %s", c.Type, c.Status, c.Message)
	}
	if len(pod.Spec.Volumes) > 0 {
		d.b.WriteString("Volumes:\n")
	}
	for _, v := range pod.Spec.Volumes {
		d.item("%s: %s", v.Name, volumeText(&v))
	}
}

// volumeText says what a volume is; of a Secret no more than its name.
func volumeText(v *v1.Volume) string {
	switch {
	case v.HostPath != nil:
		return fmt.Sprintf("hostPath %s %s", v.HostPath.Path, *v.HostPath.Type)
	case v.EmptyDir != nil:
		return "emptyDir " + string(v.EmptyDir.Medium)
	case v.ConfigMap != nil:
		return "configMap " + v.ConfigMap.Name
	case v.Secret != nil:
		return "secret " + v.Secret.SecretName
	case v.DownwardAPI != nil:
		return "downwardAPI"
	case v.Projected != nil:
		return fmt.Sprintf("projected from %d sources", len(v.Projected.Sources))
	case v.PersistentVolumeClaim != nil:
		return "persistentVolumeClaim " + v.PersistentVolumeClaim.ClaimName
	case v.Image != nil:
		return "image " + v.Image.Reference
	}
	return ""
}

func (d *describer) container(c *v1.Container, s v1.ContainerStatus) {
	d.item("%s:", c.Name)
	d.indent = "    "
	defer func() { d.indent = "" }()
	d.line("Container ID", "%s", s.ContainerID)
	d.line("Image", "%s", c.Image)
	d.line("Image ID", "%s", s.ImageID)
	d.process(c)
	d.state("State", s.State)
	if s.LastTerminationState.Terminated != nil {
		d.state("Last State", s.LastTerminationState)
	}
	d.line("Ready", "%t", s.Ready)
	d.line("Restart Count", "%d", s.RestartCount)
	d.demands(c)
}

func (d *describer) state(name string, s v1.ContainerState) {
	switch {
	case s.Running != nil:
		d.line(name, "Running since %s", s.Running.StartedAt.Format(time.RFC1123Z))
	case s.Waiting != nil:
		d.line(name, "Waiting: %s %s", s.Waiting.Reason, s.Waiting.Message)
	case s.Terminated != nil:
		t := s.Terminated
		if t.FinishedAt.IsZero() { // nobody knows when
			d.line(name, "Terminated: %s, exit code %d %s", t.Reason, t.ExitCode, t.Message)
			return
		}
		d.line(name, "Terminated: %s, exit code %d, %s to %s %s", t.Reason, t.ExitCode,
			t.StartedAt.Format(time.RFC1123Z), t.FinishedAt.Format(time.RFC1123Z), t.Message)
	}
}

func resources(list v1.ResourceList) string {
	var out []string
	for name, q := range list {
		out = append(out, string(name)+"="+q.String())
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func probeText(p *v1.Probe) string {
	what := ""
	switch {
	case p.Exec != nil:
		what = "exec " + strings.Join(p.Exec.Command, " ")
	case p.HTTPGet != nil:
		what = fmt.Sprintf("%s on %s port %s%s", p.HTTPGet.Scheme, orPod(p.HTTPGet.Host), p.HTTPGet.Port.String(), p.HTTPGet.Path)
	case p.TCPSocket != nil:
		what = fmt.Sprintf("TCP on %s port %s", orPod(p.TCPSocket.Host), p.TCPSocket.Port.String())
	case p.GRPC != nil:
		what = fmt.Sprintf("gRPC on port %d", p.GRPC.Port)
	}
	return fmt.Sprintf("%s delay=%ds timeout=%ds period=%ds success=%d failure=%d", what,
		p.InitialDelaySeconds, p.TimeoutSeconds, p.PeriodSeconds, p.SuccessThreshold, p.FailureThreshold)
}

func orPod(host string) string {
	if host == "" {
		return "the pod"
	}
	return host
}

// events writes those of an object.
func (d *describer) events(events []v1.Event, ofIt func(*v1.ObjectReference) bool) {
	t := table{header: []string{"  TYPE", "REASON", "AGE", "MESSAGE"}}
	for _, e := range events {
		if !ofIt(&e.InvolvedObject) {
			continue
		}
		t.rows = append(t.rows, []string{"  " + e.Type, e.Reason, lastSeen(&e), strings.ReplaceAll(e.Message, "\n", " ")})
	}
	if len(t.rows) == 0 {
		d.b.WriteString("Events: <none>\n")
		return
	}
	d.b.WriteString("Events:\n")
	t.write(&d.b) //nolint:errcheck // a strings.Builder never fails
}
