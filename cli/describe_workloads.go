package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/manifests"
)

// wide is how much room names have where they are longer than pods'.
const wide = 24

func describeDeployment(ctx context.Context, c *api.Client, d *describer, o *appsv1.Deployment) error {
	d.begin(&o.ObjectMeta)
	d.line("Selector", "%s", metav1.FormatLabelSelector(o.Spec.Selector))
	s := &o.Status
	d.line("Replicas", "%s desired | %d updated | %d total | %d available | %d unavailable", number(o.Spec.Replicas), s.UpdatedReplicas, s.Replicas,
		s.AvailableReplicas, s.UnavailableReplicas)
	d.line("StrategyType", "%s", o.Spec.Strategy.Type)
	d.line("MinReadySeconds", "%d", o.Spec.MinReadySeconds)
	if r := o.Spec.Strategy.RollingUpdate; r != nil {
		d.line("RollingUpdateStrategy", "%s max unavailable, %s max surge", r.MaxUnavailable, r.MaxSurge)
	}
	d.podTemplate(&o.Spec.Template)
	d.b.WriteString("Conditions:\n")
	for _, c := range s.Conditions {
		d.item("%-28s %-6s %s: %s", c.Type, c.Status, c.Reason, c.Message)
	}
	return d.controlled(ctx, c, "Deployment", &o.ObjectMeta)
}

func describeReplicaSet(ctx context.Context, c *api.Client, d *describer, o *appsv1.ReplicaSet) error {
	d.begin(&o.ObjectMeta)
	d.line("Selector", "%s", metav1.FormatLabelSelector(o.Spec.Selector))
	d.line("Replicas", "%d current / %s desired, %d ready, %d available", o.Status.Replicas, number(o.Spec.Replicas), o.Status.ReadyReplicas, o.Status.AvailableReplicas)
	d.podTemplate(&o.Spec.Template)
	return d.controlled(ctx, c, "ReplicaSet", &o.ObjectMeta)
}

func describeStatefulSet(ctx context.Context, c *api.Client, d *describer, o *appsv1.StatefulSet) error {
	d.begin(&o.ObjectMeta)
	d.line("Selector", "%s", metav1.FormatLabelSelector(o.Spec.Selector))
	s := &o.Status
	d.line("Replicas", "%s desired | %d updated | %d total | %d ready | %d available", number(o.Spec.Replicas), s.UpdatedReplicas, s.Replicas, s.ReadyReplicas, s.AvailableReplicas)
	d.line("Service", "%s", orNone(o.Spec.ServiceName))
	d.line("Pod Management", "%s", o.Spec.PodManagementPolicy)
	d.line("Update Strategy", "%s", o.Spec.UpdateStrategy.Type)
	if r := o.Spec.UpdateStrategy.RollingUpdate; r != nil && ptr.Deref(r.Partition, 0) > 0 {
		d.line("Partition", "%d", *r.Partition)
	}
	d.line("Revision", "%s", s.CurrentRevision)
	if s.UpdateRevision != s.CurrentRevision {
		d.line("Update Revision", "%s", s.UpdateRevision)
	}
	d.podTemplate(&o.Spec.Template)
	if len(o.Spec.VolumeClaimTemplates) > 0 {
		d.b.WriteString("Volume Claims:\n")
	}
	for i := range o.Spec.VolumeClaimTemplates {
		claim := &o.Spec.VolumeClaimTemplates[i]
		size := claim.Spec.Resources.Requests[v1.ResourceStorage]
		d.item("%s: %s, %s, class %s", claim.Name, size.String(), accessModes(claim.Spec.AccessModes), storageClass(claim))
	}
	return d.controlled(ctx, c, "StatefulSet", &o.ObjectMeta)
}

func describeDaemonSet(ctx context.Context, c *api.Client, d *describer, o *appsv1.DaemonSet) error {
	d.begin(&o.ObjectMeta)
	d.line("Selector", "%s", metav1.FormatLabelSelector(o.Spec.Selector))
	s := &o.Status
	d.line("Pods wanted", "%d", s.DesiredNumberScheduled)
	d.line("Pods there", "%d (%d updated, %d ready, %d available)", s.CurrentNumberScheduled, s.UpdatedNumberScheduled, s.NumberReady, s.NumberAvailable)
	d.line("Update Strategy", "%s", o.Spec.UpdateStrategy.Type)
	d.podTemplate(&o.Spec.Template)
	return d.controlled(ctx, c, "DaemonSet", &o.ObjectMeta)
}

func describeJob(ctx context.Context, c *api.Client, d *describer, o *batchv1.Job) error {
	d.begin(&o.ObjectMeta)
	if owner := metav1.GetControllerOf(o); owner != nil {
		d.line("Controlled By", "%s/%s", owner.Kind, owner.Name)
	}
	d.line("Parallelism", "%s", number(o.Spec.Parallelism))
	d.line("Completions", "%s", number(o.Spec.Completions))
	d.line("Completion Mode", "%s", ptr.Deref(o.Spec.CompletionMode, ""))
	d.line("Suspend", "%t", ptr.Deref(o.Spec.Suspend, false))
	d.line("Backoff Limit", "%s", number(o.Spec.BackoffLimit))
	if at := o.Status.StartTime; at != nil {
		d.line("Start Time", "%s", at.Local().Format(time.RFC1123Z))
	}
	if at := jobEnd(o); !at.IsZero() {
		d.line("Ended At", "%s", at.Local().Format(time.RFC1123Z))
	}
	d.line("Duration", "%s", jobDuration(o))
	if n := o.Spec.ActiveDeadlineSeconds; n != nil {
		d.line("Active Deadline", "%s", time.Duration(*n)*time.Second)
	}
	if n := o.Spec.TTLSecondsAfterFinished; n != nil {
		d.line("Pods Go After", "%s", time.Duration(*n)*time.Second)
	}
	d.line("Status", "%s", jobStatus(o))
	d.line("Pods Statuses", "%d active (%d ready), %d succeeded, %d failed", o.Status.Active, ptr.Deref(o.Status.Ready, 0), o.Status.Succeeded, o.Status.Failed)
	d.line("Completed Indexes", "%s", o.Status.CompletedIndexes)
	d.podTemplate(&o.Spec.Template)
	if len(o.Status.Conditions) > 0 {
		d.b.WriteString("Conditions:\n")
	}
	for _, c := range o.Status.Conditions {
		d.item("%-28s %-6s %s: %s", c.Type, c.Status, c.Reason, c.Message)
	}
	return d.controlled(ctx, c, "Job", &o.ObjectMeta)
}

func describeCronJob(ctx context.Context, c *api.Client, d *describer, o *batchv1.CronJob) error {
	d.begin(&o.ObjectMeta)
	d.line("Schedule", "%s", o.Spec.Schedule)
	d.line("Time Zone", "%s", ptr.Deref(o.Spec.TimeZone, "<none>"))
	d.line("Concurrency Policy", "%s", o.Spec.ConcurrencyPolicy)
	d.line("Suspend", "%t", suspended(o))
	d.line("Successful Jobs Kept", "%s", number(o.Spec.SuccessfulJobsHistoryLimit))
	d.line("Failed Jobs Kept", "%s", number(o.Spec.FailedJobsHistoryLimit))
	if n := o.Spec.StartingDeadlineSeconds; n != nil {
		d.line("Starting Deadline", "%ds", *n)
	}
	moment := func(name string, at *metav1.Time) {
		if at == nil {
			d.line(name, "<none>")
			return
		}
		d.line(name, "%s", at.Local().Format(time.RFC1123Z))
	}
	moment("Last Schedule Time", o.Status.LastScheduleTime)
	moment("Last Successful Time", o.Status.LastSuccessfulTime)
	if at := nextRun(o); !at.IsZero() {
		d.line("Next Run", "%s", at.Format(time.RFC1123Z))
	}
	var active []string
	for _, r := range o.Status.Active {
		active = append(active, r.Name)
	}
	d.line("Active Jobs", "%s", orNone(strings.Join(active, ", ")))
	d.podTemplate(&o.Spec.JobTemplate.Spec.Template)
	return d.ends(ctx, c, "CronJob", &o.ObjectMeta)
}

// begin writes what all objects have, with room for long names.
func (d *describer) begin(m *metav1.ObjectMeta) {
	d.width = wide
	d.heading(m)
	if !m.CreationTimestamp.IsZero() {
		d.line("CreationTimestamp", "%s", m.CreationTimestamp.Local().Format(time.RFC1123Z))
	}
}

// podTemplate writes the containers of a template.
func (d *describer) podTemplate(t *v1.PodTemplateSpec) {
	d.b.WriteString("Pod Template:\n")
	d.item("Labels: %s", labelsText(t.Labels))
	write := func(title string, list []v1.Container) {
		if len(list) > 0 {
			d.item("%s:", title)
		}
		for i := range list {
			d.templateContainer(&list[i])
		}
	}
	write("Init Containers", t.Spec.InitContainers)
	write("Containers", t.Spec.Containers)
	if len(t.Spec.Volumes) > 0 {
		d.item("Volumes:")
	}
	for i := range t.Spec.Volumes {
		d.item("  %s: %s", t.Spec.Volumes[i].Name, volumeText(&t.Spec.Volumes[i]))
	}
}

func (d *describer) templateContainer(c *v1.Container) {
	d.item("  %s:", c.Name)
	d.indent = "      "
	defer func() { d.indent = "" }()
	d.spec(c)
}

// controlled writes the pods that an object has, and its events.
func (d *describer) controlled(ctx context.Context, c *api.Client, kind string, m *metav1.ObjectMeta) error {
	pods, err := c.Pods(ctx)
	if err != nil {
		return err
	}
	t := table{header: []string{"  NAME", "READY", "STATUS", "RESTARTS", "AGE"}}
	for i := range pods {
		pod := &pods[i]
		if !manifests.OwnedBy(pod, kind, m) {
			continue
		}
		row := podTable(&selection{}, []*v1.Pod{pod}).rows[0]
		row[0] = "  " + row[0]
		t.rows = append(t.rows, row)
	}
	if len(t.rows) == 0 {
		d.b.WriteString("Pods: <none>\n")
	} else {
		d.b.WriteString("Pods:\n")
		t.write(&d.b) //nolint:errcheck // a strings.Builder never fails
	}
	if err := d.awaited(ctx, c, kind, m); err != nil {
		return err
	}
	return d.ends(ctx, c, kind, m)
}

// awaited says what a rollout waits for, which a Deployment's conditions say already.
func (d *describer) awaited(ctx context.Context, c *api.Client, kind string, m *metav1.ObjectMeta) error {
	if kind == "Deployment" || kind == "Job" {
		return nil
	}
	list, err := c.Workloads(ctx)
	if err != nil {
		return err
	}
	for _, w := range list {
		if w.Kind == kind && w.Namespace == m.Namespace && w.Name == m.Name {
			d.line("Message", "%s", w.Message)
		}
	}
	return nil
}

// ends writes an object's events.
func (d *describer) ends(ctx context.Context, c *api.Client, kind string, m *metav1.ObjectMeta) error {
	events, err := c.Events(ctx)
	if err != nil {
		return err
	}
	d.events(events, func(of *v1.ObjectReference) bool {
		return of.Kind == kind && of.Namespace == m.Namespace && of.Name == m.Name
	})
	return nil
}

// spec writes what a container's manifest says.
func (d *describer) spec(c *v1.Container) {
	d.line("Image", "%s", c.Image)
	d.process(c)
	d.demands(c)
}

// process writes what a container runs, and at which ports.
func (d *describer) process(c *v1.Container) {
	d.line("Command", "%s", strings.Join(c.Command, " "))
	d.line("Args", "%s", strings.Join(c.Args, " "))
	for _, p := range c.Ports {
		host := ""
		if p.HostPort != 0 {
			host = fmt.Sprintf(" (host port %d)", p.HostPort)
		}
		d.line("Port", "%d/%s%s", p.ContainerPort, p.Protocol, host)
	}
}

// demands writes the resources, probes and mounts of a container.
func (d *describer) demands(c *v1.Container) {
	d.line("Requests", "%s", resources(c.Resources.Requests))
	d.line("Limits", "%s", resources(c.Resources.Limits))
	probes := map[string]*v1.Probe{"Liveness": c.LivenessProbe, "Readiness": c.ReadinessProbe, "Startup": c.StartupProbe}
	for _, name := range slices.Sorted(maps.Keys(probes)) {
		if p := probes[name]; p != nil {
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
