package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/cli/visible"
)

func newDescribe(g *global) *cobra.Command {
	s := &selection{}
	cmd := &cobra.Command{Use: "describe pod NAME", Short: "Show a pod in detail, with its events"}
	cmd.PersistentFlags().StringVarP(&s.namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	cmd.AddCommand(&cobra.Command{
		Use: "pod NAME", Aliases: []string{"pods", "po"}, Short: "Show a pod in detail, with its events", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.completePods(&s.namespace),
		RunE: func(cmd *cobra.Command, args []string) error {
			pods, _, err := s.selected(cmd.Context(), g.client(), []string{podName(args[0])})
			if err != nil {
				return err
			}
			events, err := g.client().Events(cmd.Context())
			if err != nil {
				return err
			}
			d := &describer{}
			d.pod(&pods[0])
			d.events(&pods[0], events)
			_, err = io.WriteString(cmd.OutOrStdout(), d.b.String())
			return err
		},
	})
	return cmd
}

// describer writes "Name:  value" lines.
type describer struct {
	b      strings.Builder
	indent string
}

func (d *describer) line(name, format string, args ...any) {
	value := fmt.Sprintf(format, args...)
	if value == "" {
		return
	}
	// What containers say may have several lines: all stand in the value's column, where none looks like a line of this program's.
	value = strings.ReplaceAll(visible.Text(strings.TrimRight(value, "\n")), "\n", "\n"+d.indent+strings.Repeat(" ", 17))
	fmt.Fprintf(&d.b, "%s%-16s %s\n", d.indent, name+":", value)
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
	d.line("Command", "%s", strings.Join(c.Command, " "))
	d.line("Args", "%s", strings.Join(c.Args, " "))
	for _, p := range c.Ports {
		host := ""
		if p.HostPort != 0 {
			host = fmt.Sprintf(" (host port %d)", p.HostPort)
		}
		d.line("Port", "%d/%s%s", p.ContainerPort, p.Protocol, host)
	}
	d.state("State", s.State)
	if s.LastTerminationState.Terminated != nil {
		d.state("Last State", s.LastTerminationState)
	}
	d.line("Ready", "%t", s.Ready)
	d.line("Restart Count", "%d", s.RestartCount)
	d.line("Requests", "%s", resources(c.Resources.Requests))
	d.line("Limits", "%s", resources(c.Resources.Limits))
	for name, p := range map[string]*v1.Probe{"Liveness": c.LivenessProbe, "Readiness": c.ReadinessProbe, "Startup": c.StartupProbe} {
		if p != nil {
			d.line(name, "%s", probeText(p))
		}
	}
	for _, m := range c.VolumeMounts {
		access := "rw"
		if m.ReadOnly {
			access = "ro"
		}
		d.line("Mount", "%s from %s (%s)", m.MountPath, m.Name, access)
	}
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

func (d *describer) events(pod *v1.Pod, events []v1.Event) {
	t := table{header: []string{"  TYPE", "REASON", "AGE", "MESSAGE"}}
	for _, e := range events {
		if e.InvolvedObject.UID != pod.UID {
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
