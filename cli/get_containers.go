package cli

import (
	"context"
	"fmt"
	"strconv"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api"
)

// containerRow is a container as get containers shows it.
type containerRow struct {
	Namespace          string `json:"namespace"`
	Pod                string `json:"pod"`
	v1.ContainerStatus `json:",inline"`
	Init               bool `json:"init,omitempty"`
}

// containersKind are the containers of pods, which are chosen by their pods' names, labels and fields.
func containersKind() *kind {
	return &kind{
		plural: "containers", singular: "container",
		list: func(ctx context.Context, c *api.Client) ([]item, error) {
			pods, err := c.Pods(ctx)
			if err != nil {
				return nil, err
			}
			var out []item
			add := func(p *v1.Pod, list []v1.ContainerStatus, init bool) {
				for _, status := range list {
					out = append(out, item{&p.ObjectMeta, &containerRow{p.Namespace, p.Name, status, init}})
				}
			}
			for i := range pods {
				add(&pods[i], pods[i].Status.InitContainerStatuses, true)
				add(&pods[i], pods[i].Status.ContainerStatuses, false)
			}
			return out, nil
		},
		table: containerTable,
		told:  func(item) string { return "" },
		whole: func(_ context.Context, _ *api.Client, list []item) (any, error) {
			return map[string]any{"containers": objectsOf[containerRow](list)}, nil
		},
		nameOf: func(i item) string {
			r := i.object.(*containerRow)
			return fmt.Sprintf("container/%s/%s", r.Pod, r.Name)
		},
	}
}

func containerTable(s *selection, list []item) table {
	t := table{header: []string{"POD", "CONTAINER", "READY", "STATE", "RESTARTS", "AGE", "IMAGE"}}
	if s.output == "wide" {
		t.header = append(t.header, "ID")
	}
	for _, i := range list {
		r := i.object.(*containerRow)
		state, since := containerState(r.State)
		if r.Init {
			state = "init: " + state
		}
		row := []string{r.Pod, r.Name, strconv.FormatBool(r.Ready), state, strconv.Itoa(int(r.RestartCount)), age(since), r.Image}
		if s.output == "wide" {
			row = append(row, orNone(r.ContainerID))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// containerState is a word for a container's state, and since when it is so.
func containerState(s v1.ContainerState) (string, metav1.Time) {
	switch {
	case s.Running != nil:
		return "Running", s.Running.StartedAt
	case s.Terminated != nil:
		return s.Terminated.Reason, s.Terminated.FinishedAt
	case s.Waiting != nil:
		return s.Waiting.Reason, metav1.Time{}
	}
	return "Unknown", metav1.Time{}
}

func nodeTable(s *selection, list []item) table {
	t := table{header: []string{"NAME", "STATUS", "ROLES", "AGE", "VERSION"}}
	if s.output == "wide" {
		t.header = append(t.header, "INTERNAL-IP", "OS-IMAGE", "KERNEL-VERSION", "CONTAINER-RUNTIME")
	}
	for _, i := range list {
		node := i.object.(*v1.Node)
		info := node.Status.NodeInfo
		row := []string{node.Name, nodeStatus(node), "<none>", age(node.CreationTimestamp), info.KubeletVersion}
		if s.output == "wide" {
			row = append(row, orNone(internalIP(node)), info.OSImage, info.KernelVersion, info.ContainerRuntimeVersion)
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func nodeStatus(node *v1.Node) string {
	out := "NotReady"
	for _, condition := range node.Status.Conditions {
		if condition.Type == v1.NodeReady && condition.Status == v1.ConditionTrue {
			out = "Ready"
		}
	}
	if node.Spec.Unschedulable {
		out += ",SchedulingDisabled"
	}
	return out
}

func internalIP(node *v1.Node) string {
	for _, a := range node.Status.Addresses {
		if a.Type == v1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}
