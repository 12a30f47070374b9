package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/manifests/amount"
)

func newTop(g *global) *cobra.Command {
	s := &selection{}
	var containers bool
	var sortBy string
	cmd := &cobra.Command{Use: "top pods|node", Short: "Show what pods and the machine use", Long: "Show the processors and the memory (working set) that pods, containers or the machine use now."}
	pods := &cobra.Command{
		Use: "pods [NAME...]", Aliases: []string{"pod", "po"}, Short: "Show what pods use", Args: cobra.ArbitraryArgs, ValidArgsFunction: g.completePods(&s.namespace),
		Example: "  solopod top pods -A --sort-by=memory\n  solopod top pods web --containers",
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.live(cmd, func(w io.Writer) error { return s.topPods(cmd, w, g.client(), args, containers, sortBy) })
		},
	}
	f := pods.Flags()
	f.StringVarP(&s.namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	f.BoolVarP(&s.all, "all-namespaces", "A", false, "all namespaces")
	f.StringVarP(&s.selector, "selector", "l", "", "only pods with these labels")
	f.BoolVar(&containers, "containers", false, "a line for each container")
	f.StringVar(&sortBy, "sort-by", "", "cpu or memory, the most first")
	node := &cobra.Command{Use: "node", Aliases: []string{"nodes", "no"}, Short: "Show what the machine uses", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.live(cmd, func(w io.Writer) error { return s.topNode(cmd, w, g.client(), args) })
		}}
	cmd.AddCommand(pods, node)
	cmd.PersistentFlags().BoolVarP(&s.watch, "watch", "w", false, "show it again every two seconds, until Ctrl-C")
	cmd.PersistentFlags().BoolVar(&s.noHeaders, "no-headers", false, "no headers above columns")
	return cmd
}

// refreshEvery is how often a live view is shown.
const refreshEvery = 2 * time.Second

// live shows something once, or with -w again and again: on a terminal in place of what was there.
func (s *selection) live(cmd *cobra.Command, show func(io.Writer) error) error {
	out := cmd.OutOrStdout()
	if !s.watch {
		return show(out)
	}
	away := ""
	if onTerminal(out) {
		away = "\033[H\033[2J" // the cursor to the top, and everything away
	}
	for {
		var text bytes.Buffer
		if err := show(&text); err != nil {
			if cmd.Context().Err() != nil {
				return nil
			}
			return err
		}
		if err := control(out, away); err != nil {
			return err
		}
		if _, err := text.WriteTo(out); err != nil {
			return err
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-time.After(refreshEvery):
		}
	}
}

// usage asks for the summary; processors' use is a difference, so that the first answer in a while is asked for twice.
func usage(ctx context.Context, c *api.Client) (*stats.Summary, error) {
	s, err := c.Summary(ctx)
	if err != nil || s.Node.CPU != nil && s.Node.CPU.UsageNanoCores != nil && !slices.ContainsFunc(s.Pods, func(p stats.PodStats) bool { return p.CPU.UsageNanoCores == nil }) {
		return s, err
	}
	select {
	case <-time.After(1100 * time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return c.Summary(ctx)
}

// used is a line of top.
type used struct {
	names       []string
	cpu, memory uint64 // nanocores, bytes
}

func newUsed(cpu *stats.CPUStats, memory *stats.MemoryStats, names ...string) used {
	u := used{names: names}
	if cpu != nil && cpu.UsageNanoCores != nil {
		u.cpu = *cpu.UsageNanoCores
	}
	if memory != nil && memory.WorkingSetBytes != nil {
		u.memory = *memory.WorkingSetBytes
	}
	return u
}

// columns are in kubectl's units: thousandths of a processor, and mebibytes.
func (u used) columns() []string {
	return append(slices.Clone(u.names), fmt.Sprintf("%dm", (u.cpu+999999)/1000000), fmt.Sprintf("%dMi", u.memory>>20))
}

func (s *selection) topPods(cmd *cobra.Command, w io.Writer, c *api.Client, args []string, containers bool, sortBy string) error {
	if sortBy != "" && sortBy != "cpu" && sortBy != "memory" {
		return fmt.Errorf("--sort-by takes cpu or memory, not %q", sortBy)
	}
	pods, err := s.selected(cmd.Context(), c, args)
	if err != nil {
		return err
	}
	summary, err := usage(cmd.Context(), c)
	if err != nil {
		return err
	}
	var list []used
	for _, p := range summary.Pods {
		if !slices.ContainsFunc(pods, func(pod v1.Pod) bool { return string(pod.UID) == p.PodRef.UID }) {
			continue
		}
		names := []string{p.PodRef.Name}
		if s.all {
			names = []string{p.PodRef.Namespace, p.PodRef.Name}
		}
		if !containers {
			list = append(list, newUsed(p.CPU, p.Memory, names...))
			continue
		}
		for _, container := range p.Containers {
			list = append(list, newUsed(container.CPU, container.Memory, append(slices.Clone(names), container.Name)...))
		}
	}
	slices.SortStableFunc(list, func(a, b used) int {
		switch sortBy {
		case "cpu":
			return cmp.Compare(b.cpu, a.cpu)
		case "memory":
			return cmp.Compare(b.memory, a.memory)
		}
		return strings.Compare(strings.Join(a.names, "/"), strings.Join(b.names, "/"))
	})
	t := table{header: []string{"NAME", "CPU(cores)", "MEMORY(bytes)"}}
	if containers {
		t.header = []string{"POD", "NAME", "CPU(cores)", "MEMORY(bytes)"}
	}
	if s.all {
		t.header = slices.Insert(t.header, 0, "NAMESPACE")
	}
	for _, u := range list {
		t.rows = append(t.rows, u.columns())
	}
	if len(list) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "No pod runs there.")
		return nil
	}
	return s.headed(t).write(w)
}

// headed is a table without headers where none are wanted.
func (s *selection) headed(t table) table {
	if s.noHeaders {
		t.header = nil
	}
	return t
}

func (s *selection) topNode(cmd *cobra.Command, w io.Writer, c *api.Client, names []string) error {
	summary, err := usage(cmd.Context(), c)
	if err != nil {
		return err
	}
	node, err := c.Node(cmd.Context())
	if err != nil {
		return err
	}
	for _, name := range names {
		if name != node.Name {
			return fmt.Errorf("nodes %q not found; this machine is %s", name, node.Name)
		}
	}
	u := newUsed(summary.Node.CPU, summary.Node.Memory, summary.Node.NodeName)
	percent := func(part float64, whole int64) string { return fmt.Sprintf("%.0f%%", 100*part/float64(max(whole, 1))) }
	row := u.columns()
	row = slices.Insert(row, 2, percent(float64(u.cpu)/1e6, amount.Milli(*node.Status.Capacity.Cpu())))
	row = append(row, percent(float64(u.memory), amount.Whole(*node.Status.Capacity.Memory())))
	return s.headed(table{header: []string{"NAME", "CPU(cores)", "CPU%", "MEMORY(bytes)", "MEMORY%"}, rows: [][]string{row}}).write(w)
}
