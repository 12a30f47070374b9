package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/api/objects"
	"github.com/solopod/solopod/cli/visible"
	"github.com/solopod/solopod/manifests"
)

func describeConfigMap(ctx context.Context, c *api.Client, d *describer, o *v1.ConfigMap) error {
	d.begin(&o.ObjectMeta)
	if o.Immutable != nil {
		d.line("Immutable", "%t", *o.Immutable)
	}
	d.b.WriteString("\nData\n====\n")
	for _, key := range slices.Sorted(maps.Keys(o.Data)) {
		fmt.Fprintf(&d.b, "%s:\n----\n%s\n\n", visible.Line(key), visible.Text(o.Data[key]))
	}
	if len(o.BinaryData) > 0 {
		d.b.WriteString("BinaryData\n==========\n")
	}
	for _, key := range slices.Sorted(maps.Keys(o.BinaryData)) {
		fmt.Fprintf(&d.b, "%s: %d bytes\n", visible.Line(key), len(o.BinaryData[key]))
	}
	if err := d.usedBy(ctx, c, o.Namespace, func(pod *v1.Pod) bool { return uses(pod, o.Name, false) }); err != nil {
		return err
	}
	return d.ends(ctx, c, "ConfigMap", &o.ObjectMeta)
}

func describeSecret(ctx context.Context, c *api.Client, d *describer, o *objects.Secret) error {
	d.begin(&o.ObjectMeta)
	d.line("Type", "%s", o.Type)
	if o.Immutable != nil {
		d.line("Immutable", "%t", *o.Immutable)
	}
	d.b.WriteString("\nData\n====\n")
	for _, key := range slices.Sorted(maps.Keys(o.Sizes)) {
		fmt.Fprintf(&d.b, "%s: %d bytes\n", visible.Line(key), o.Sizes[key])
	}
	d.b.WriteString("\n")
	if err := d.usedBy(ctx, c, o.Namespace, func(pod *v1.Pod) bool { return uses(pod, o.Name, true) }); err != nil {
		return err
	}
	return d.ends(ctx, c, "Secret", &o.ObjectMeta)
}

// uses says whether a pod names a ConfigMap, or a Secret, in a volume or in an environment.
func uses(pod *v1.Pod, name string, secret bool) bool {
	for i := range pod.Spec.Volumes {
		if volumeUses(&pod.Spec.Volumes[i], name, secret) {
			return true
		}
	}
	for _, c := range manifests.AllContainers(pod) {
		for _, e := range c.EnvFrom {
			if secret && e.SecretRef != nil && e.SecretRef.Name == name || !secret && e.ConfigMapRef != nil && e.ConfigMapRef.Name == name {
				return true
			}
		}
		for _, e := range c.Env {
			if from := e.ValueFrom; from != nil && (secret && from.SecretKeyRef != nil && from.SecretKeyRef.Name == name ||
				!secret && from.ConfigMapKeyRef != nil && from.ConfigMapKeyRef.Name == name) {
				return true
			}
		}
	}
	return secret && slices.ContainsFunc(pod.Spec.ImagePullSecrets, func(r v1.LocalObjectReference) bool { return r.Name == name })
}

func volumeUses(v *v1.Volume, name string, secret bool) bool {
	if secret && v.Secret != nil && v.Secret.SecretName == name || !secret && v.ConfigMap != nil && v.ConfigMap.Name == name {
		return true
	}
	return v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(p v1.VolumeProjection) bool {
		return secret && p.Secret != nil && p.Secret.Name == name || !secret && p.ConfigMap != nil && p.ConfigMap.Name == name
	})
}

// usedBy writes the pods of a namespace that use something.
func (d *describer) usedBy(ctx context.Context, c *api.Client, namespace string, uses func(*v1.Pod) bool) error {
	pods, err := c.Pods(ctx)
	if err != nil {
		return err
	}
	var names []string
	for i := range pods {
		if pods[i].Namespace == namespace && uses(&pods[i]) {
			names = append(names, pods[i].Name)
		}
	}
	d.line("Used By", "%s", orNone(strings.Join(names, "\n")))
	return nil
}

func describeClaim(ctx context.Context, c *api.Client, d *describer, o *v1.PersistentVolumeClaim) error {
	d.begin(&o.ObjectMeta)
	d.line("StorageClass", "%s", storageClass(o))
	d.line("Status", "%s", o.Status.Phase)
	d.line("Volume", "%s", orNone(o.Spec.VolumeName))
	d.line("Capacity", "%s", capacity(o))
	d.line("Access Modes", "%s", accessModes(o.Status.AccessModes))
	if o.Spec.VolumeMode != nil {
		d.line("VolumeMode", "%s", *o.Spec.VolumeMode)
	}
	claims, err := c.Claims(ctx)
	if err != nil {
		return err
	}
	path := "<none> (it is made for the first pod that names the claim)"
	for _, claim := range claims {
		if claim.Namespace == o.Namespace && claim.Name == o.Name {
			path = claim.Path
		}
	}
	d.line("Directory", "%s", path)
	if err := d.usedBy(ctx, c, o.Namespace, func(pod *v1.Pod) bool {
		return slices.ContainsFunc(pod.Spec.Volumes, func(v v1.Volume) bool {
			return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == o.Name
		})
	}); err != nil {
		return err
	}
	return d.ends(ctx, c, "PersistentVolumeClaim", &o.ObjectMeta)
}

func describeNamespace(ctx context.Context, c *api.Client, d *describer, o *v1.Namespace) error {
	d.begin(&o.ObjectMeta)
	d.line("Status", "%s", o.Status.Phase)
	pods, err := c.Pods(ctx)
	if err != nil {
		return err
	}
	n := 0
	for i := range pods {
		if pods[i].Namespace == o.Name {
			n++
		}
	}
	d.line("Pods", "%d", n)
	return nil
}

func describeManifest(_ context.Context, _ *api.Client, d *describer, i item) error {
	f := i.object.(*manifests.File)
	d.line("File", "%s", manifests.PrintableName(f.Name))
	d.line("State", "%s", f.State)
	d.line("Since", "%s", f.Since.Local().Format(time.RFC1123Z))
	d.line("Objects", "%s", orNone(strings.Join(slices.Concat(f.Pods, f.Objects), "\n")))
	if len(f.Problems) == 0 {
		d.b.WriteString("Problems: <none>\n")
		return nil
	}
	d.b.WriteString("Problems:\n")
	for _, p := range f.Problems {
		d.item("%s", p.Error())
	}
	return nil
}

func describeNode(ctx context.Context, c *api.Client, d *describer, o *v1.Node) error {
	d.begin(&o.ObjectMeta)
	d.line("Unschedulable", "%t", o.Spec.Unschedulable)
	d.b.WriteString("Conditions:\n")
	t := table{header: []string{"  TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"}}
	for _, c := range o.Status.Conditions {
		t.rows = append(t.rows, []string{"  " + string(c.Type), string(c.Status), age(c.LastTransitionTime), orNone(c.Reason), orNone(c.Message)})
	}
	t.write(&d.b) //nolint:errcheck // a strings.Builder never fails
	for _, a := range o.Status.Addresses {
		d.line(string(a.Type), "%s", a.Address)
	}
	d.quantities("Capacity", o.Status.Capacity)
	d.quantities("Allocatable", o.Status.Allocatable)
	info := &o.Status.NodeInfo
	d.b.WriteString("System Info:\n")
	for _, line := range [][2]string{
		{"Machine ID", info.MachineID}, {"Boot ID", info.BootID}, {"Kernel Version", info.KernelVersion}, {"OS Image", info.OSImage},
		{"Operating System", info.OperatingSystem}, {"Architecture", info.Architecture}, {"Container Runtime", info.ContainerRuntimeVersion},
		{"Version", info.KubeletVersion},
	} {
		if line[1] != "" {
			d.item("%-20s %s", line[0]+":", line[1])
		}
	}
	pods, err := c.Pods(ctx)
	if err != nil {
		return err
	}
	d.line("Pods", "%d", len(pods))
	events, err := c.Events(ctx)
	if err != nil {
		return err
	}
	d.events(events, func(of *v1.ObjectReference) bool { return of.Kind == "Node" })
	return nil
}

func (d *describer) quantities(title string, list v1.ResourceList) {
	if len(list) == 0 {
		return
	}
	d.b.WriteString(title + ":\n")
	for _, name := range slices.SortedFunc(maps.Keys(list), cmp.Compare[v1.ResourceName]) {
		q := list[name]
		d.item("%-20s %s", string(name)+":", q.String())
	}
}
