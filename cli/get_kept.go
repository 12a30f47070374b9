package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/api/objects"
)

func configMapTable(_ *selection, list []*v1.ConfigMap) table {
	t := table{header: []string{"NAME", "DATA", "AGE"}}
	for _, o := range list {
		t.rows = append(t.rows, []string{o.Name, fmt.Sprint(len(o.Data) + len(o.BinaryData)), age(o.CreationTimestamp)})
	}
	return t
}

func secretTable(_ *selection, list []*objects.Secret) table {
	t := table{header: []string{"NAME", "TYPE", "DATA", "AGE"}}
	for _, o := range list {
		t.rows = append(t.rows, []string{o.Name, string(o.Type), fmt.Sprint(len(o.Sizes)), age(o.CreationTimestamp)})
	}
	return t
}

// persistentClaimTable leaves the volume, whose name is long and says nothing here, to -o wide.
func persistentClaimTable(s *selection, list []*v1.PersistentVolumeClaim) table {
	t := table{header: []string{"NAME", "STATUS", "CAPACITY", "ACCESS MODES", "STORAGECLASS", "AGE"}}
	if s.output == "wide" {
		t.header = append(t.header, "VOLUMEMODE", "VOLUME")
	}
	for _, o := range list {
		row := []string{o.Name, string(o.Status.Phase), capacity(o), accessModes(o.Status.AccessModes), storageClass(o), age(o.CreationTimestamp)}
		if s.output == "wide" {
			mode := "<none>"
			if o.Spec.VolumeMode != nil {
				mode = string(*o.Spec.VolumeMode)
			}
			row = append(row, mode, o.Spec.VolumeName)
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func capacity(o *v1.PersistentVolumeClaim) string {
	if q, ok := o.Status.Capacity[v1.ResourceStorage]; ok {
		return q.String()
	}
	return "<none>"
}

func storageClass(o *v1.PersistentVolumeClaim) string {
	if o.Spec.StorageClassName == nil {
		return "<none>"
	}
	return orNone(*o.Spec.StorageClassName)
}

// accessModes are short, as kubectl's are.
func accessModes(modes []v1.PersistentVolumeAccessMode) string {
	short := map[v1.PersistentVolumeAccessMode]string{
		v1.ReadWriteOnce: "RWO", v1.ReadOnlyMany: "ROX", v1.ReadWriteMany: "RWX", v1.ReadWriteOncePod: "RWOP",
	}
	var out []string
	for _, m := range modes {
		if s := short[m]; s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return orNone(strings.Join(out, ","))
}

func namespaceTable(_ *selection, list []*v1.Namespace) table {
	t := table{header: []string{"NAME", "STATUS", "AGE"}}
	for _, o := range list {
		t.rows = append(t.rows, []string{o.Name, string(o.Status.Phase), age(o.CreationTimestamp)})
	}
	return t
}

// labelsText is a,b as labels are written in a column.
func labelsText(labels map[string]string) string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, key+"="+labels[key])
	}
	return orNone(strings.Join(out, ","))
}
