package cli

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
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

func (s *selection) containers(cmd *cobra.Command, c *api.Client, args []string) error {
	pods, _, err := s.selected(cmd.Context(), c, args)
	if err != nil {
		return err
	}
	rows := []containerRow{}
	for _, p := range pods {
		for _, status := range p.Status.InitContainerStatuses {
			rows = append(rows, containerRow{p.Namespace, p.Name, status, true})
		}
		for _, status := range p.Status.ContainerStatuses {
			rows = append(rows, containerRow{p.Namespace, p.Name, status, false})
		}
	}
	t := table{header: []string{"POD", "CONTAINER", "READY", "STATE", "RESTARTS", "AGE", "IMAGE"}}
	if s.output == "wide" {
		t.header = append(t.header, "ID")
	}
	if s.all {
		t.header = slices.Insert(t.header, 0, "NAMESPACE")
	}
	var names []string
	for _, r := range rows {
		state, since := containerState(r.State)
		if r.Init {
			state = "init: " + state
		}
		row := []string{r.Pod, r.Name, strconv.FormatBool(r.Ready), state, strconv.Itoa(int(r.RestartCount)), age(since), r.Image}
		if s.output == "wide" {
			row = append(row, orNone(r.ContainerID))
		}
		if s.all {
			row = slices.Insert(row, 0, r.Namespace)
		}
		t.rows = append(t.rows, row)
		names = append(names, fmt.Sprintf("container/%s/%s", r.Pod, r.Name))
	}
	return s.print(cmd.OutOrStdout(), map[string]any{"containers": rows}, t, names...)
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

func (s *selection) nodes(cmd *cobra.Command, c *api.Client) error {
	node, err := c.Node(cmd.Context())
	if err != nil {
		return err
	}
	ready := "NotReady"
	for _, condition := range node.Status.Conditions {
		if condition.Type == v1.NodeReady && condition.Status == v1.ConditionTrue {
			ready = "Ready"
		}
	}
	info := node.Status.NodeInfo
	t := table{header: []string{"NAME", "STATUS", "ROLES", "AGE", "VERSION"}, rows: [][]string{{node.Name, ready, "<none>", age(node.CreationTimestamp), info.KubeletVersion}}}
	if s.output == "wide" {
		ip := ""
		for _, a := range node.Status.Addresses {
			if a.Type == v1.NodeInternalIP {
				ip = a.Address
			}
		}
		t.header = append(t.header, "INTERNAL-IP", "OS-IMAGE", "KERNEL-VERSION", "CONTAINER-RUNTIME")
		t.rows[0] = append(t.rows[0], orNone(ip), info.OSImage, info.KernelVersion, info.ContainerRuntimeVersion)
	}
	return s.print(cmd.OutOrStdout(), node, t, "node/"+node.Name)
}
