package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/solopod/solopod/api"
)

// selection is what the get commands share.
type selection struct {
	namespace string
	all       bool
	output    string
	watch     bool
	selector  string
}

func newGet(g *global) *cobra.Command {
	s := &selection{}
	cmd := &cobra.Command{
		Use:   "get pods|containers|jobs|cronjobs|events|images|manifests|nodes [NAME...]",
		Short: "List pods, containers, jobs, events, images, manifest files or the node",
		Example: "  solopod get pods -A\n  solopod get pods web -o yaml\n  solopod get pods -w\n  solopod get pods -l app=web -o jsonpath='{.items[*].status.podIP}'\n" +
			"  solopod get containers -A\n" +
			"  solopod get manifests",
	}
	f := cmd.PersistentFlags()
	f.StringVarP(&s.namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	f.BoolVarP(&s.all, "all-namespaces", "A", false, "all namespaces")
	f.StringVarP(&s.output, "output", "o", "", outputHelp)
	f.StringVarP(&s.selector, "selector", "l", "", "only pods with these labels, for instance app=web,tier!=test")
	f.BoolVarP(&s.watch, "watch", "w", false, "go on with what changes")
	cmd.AddCommand(
		&cobra.Command{Use: "pods [NAME...]", Aliases: []string{"pod", "po"}, Short: "List pods", Args: cobra.ArbitraryArgs, ValidArgsFunction: g.completePods(&s.namespace),
			RunE: func(cmd *cobra.Command, args []string) error { return s.pods(cmd, g.client(), args) }},
		&cobra.Command{Use: "containers [POD...]", Aliases: []string{"container"}, Short: "List the containers of pods", Args: cobra.ArbitraryArgs, ValidArgsFunction: g.completePods(&s.namespace),
			RunE: func(cmd *cobra.Command, args []string) error { return s.containers(cmd, g.client(), args) }},
		&cobra.Command{Use: "nodes", Aliases: []string{"node", "no"}, Short: "Show this machine", Args: cobra.MaximumNArgs(1),
			RunE: func(cmd *cobra.Command, _ []string) error { return s.nodes(cmd, g.client()) }},
		&cobra.Command{Use: "events", Aliases: []string{"event", "ev"}, Short: "List events, the newest last", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return s.events(cmd, g.client()) }},
		&cobra.Command{Use: "images", Aliases: []string{"image"}, Short: "List images", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return s.images(cmd, g.client()) }},
		&cobra.Command{Use: "jobs", Aliases: []string{"job"}, Short: "List Jobs", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return s.jobs(cmd, g.client(), "Job", jobTable) }},
		&cobra.Command{Use: "cronjobs", Aliases: []string{"cronjob", "cj"}, Short: "List CronJobs and when they run next", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return s.jobs(cmd, g.client(), "CronJob", cronJobTable) }},
		&cobra.Command{Use: "manifests", Aliases: []string{"manifest"}, Short: "List manifest files and what is wrong with them", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return s.manifests(cmd, g.client()) }},
	)
	return cmd
}

// filter says which pods are selected, by namespace, name and labels.
func (s *selection) filter(args []string) (func(*v1.Pod) bool, error) {
	selector, err := labels.Parse(s.selector)
	if err != nil {
		return nil, fmt.Errorf("-l: %w", err)
	}
	return func(pod *v1.Pod) bool {
		return (s.all || pod.Namespace == s.namespace) && (len(args) == 0 || slices.Contains(args, pod.Name)) && selector.Matches(labels.Set(pod.Labels))
	}, nil
}

// selected are the pods that are.
func (s *selection) selected(ctx context.Context, c *api.Client, args []string) (selected, all []v1.Pod, err error) {
	matches, err := s.filter(args)
	if err != nil {
		return nil, nil, err
	}
	if all, err = c.Pods(ctx); err != nil {
		return nil, nil, err
	}
	for i := range all {
		if matches(&all[i]) {
			selected = append(selected, all[i])
		}
	}
	for _, name := range args {
		if !slices.ContainsFunc(selected, func(p v1.Pod) bool { return p.Name == name }) {
			return nil, nil, fmt.Errorf("pods %q not found in namespace %s%s", name, s.namespace, elsewhere(all, name))
		}
	}
	return selected, all, nil
}

func (s *selection) pods(cmd *cobra.Command, c *api.Client, args []string) error {
	if s.watch {
		return s.watchPods(cmd, c, args)
	}
	selected, pods, err := s.selected(cmd.Context(), c, args)
	if err != nil {
		return err
	}
	list := v1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "List"}, Items: append([]v1.Pod{}, selected...)}
	if len(args) == 1 && !s.all {
		return s.print(cmd.OutOrStdout(), &list.Items[0], podTable(s, list.Items), "pod/"+list.Items[0].Name)
	}
	if len(list.Items) == 0 && s.output == "" {
		hint := ""
		if len(pods) > 0 {
			hint = fmt.Sprintf(" (%d in other namespaces: use -A)", len(pods))
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "No pods found in namespace %s%s.\n", s.namespace, hint)
		return nil
	}
	names := make([]string, len(list.Items))
	for i := range list.Items {
		names[i] = "pod/" + list.Items[i].Name
	}
	return s.print(cmd.OutOrStdout(), list, podTable(s, list.Items), names...)
}

// elsewhere says in which other namespaces a pod of that name is.
func elsewhere(pods []v1.Pod, name string) string {
	for i := range pods {
		if pods[i].Name == name {
			return fmt.Sprintf("; there is one in namespace %s: use -n %s", pods[i].Namespace, pods[i].Namespace)
		}
	}
	return ""
}

// watchPods prints a line, or an object, for each change.
func (s *selection) watchPods(cmd *cobra.Command, c *api.Client, args []string) error {
	matches, err := s.filter(args)
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	last := map[string]string{}
	header := true
	watch, err := c.WatchPods(cmd.Context())
	if err != nil {
		return err
	}
	return watch.Each(func(e api.WatchEvent) error {
		if !matches(e.Object) {
			return nil
		}
		if s.output != "" && s.output != "wide" {
			return s.print(w, e.Object, table{}, "pod/"+e.Object.Name)
		}
		t := podTable(s, []v1.Pod{*e.Object})
		t.fixed = true
		row := strings.Join(t.rows[0][:len(t.rows[0])-1], "\t")
		if e.Type != "DELETED" && last[string(e.Object.UID)] == row {
			return nil // only something that the table does not show has changed
		}
		last[string(e.Object.UID)] = row
		if !header {
			t.header = nil
		}
		header = false
		return t.write(w)
	})
}

func (s *selection) events(cmd *cobra.Command, c *api.Client) error {
	if s.watch {
		return s.watchEvents(cmd, c)
	}
	events, err := c.Events(cmd.Context())
	if err != nil {
		return err
	}
	list := v1.EventList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "List"}, Items: []v1.Event{}}
	var names []string
	for _, e := range events {
		if s.wants(&e) {
			list.Items = append(list.Items, e)
			names = append(names, "event/"+e.Name)
		}
	}
	return s.print(cmd.OutOrStdout(), list, eventTable(s.all, list.Items), names...)
}

// wants says whether an event is selected. What happens to manifests and to the machine has no namespace; it belongs into every
// answer.
func (s *selection) wants(e *v1.Event) bool {
	return s.all || e.InvolvedObject.Namespace == "" || e.InvolvedObject.Namespace == s.namespace
}

// watchEvents prints a line, or an object, for each event.
func (s *selection) watchEvents(cmd *cobra.Command, c *api.Client) error {
	watch, err := c.WatchEvents(cmd.Context())
	if err != nil {
		return err
	}
	header := true
	return watch.Each(func(e api.EventChange) error {
		if !s.wants(&e.Object) {
			return nil
		}
		t := eventTable(s.all, []v1.Event{e.Object})
		t.fixed = true
		if !header {
			t.header = nil
		}
		header = false
		return s.print(cmd.OutOrStdout(), e.Object, t, "event/"+e.Object.Name)
	})
}

func (s *selection) images(cmd *cobra.Command, c *api.Client) error {
	images, err := c.Images(cmd.Context())
	if err != nil {
		return err
	}
	names := make([]string, len(images))
	for i := range images {
		names[i] = images[i].Name
	}
	return s.print(cmd.OutOrStdout(), api.Images{Images: images}, imageTable(images), names...)
}

func (s *selection) manifests(cmd *cobra.Command, c *api.Client) error {
	m, err := c.Manifests(cmd.Context())
	if err != nil {
		return err
	}
	for _, warning := range []string{m.DirectoryError, m.Unwatched} {
		if warning != "" {
			fmt.Fprintln(cmd.ErrOrStderr(), "warning:", warning)
		}
	}
	names := make([]string, len(m.Files))
	for i := range m.Files {
		names[i] = m.Files[i].Name
	}
	return s.print(cmd.OutOrStdout(), m, manifestTable(m.Files), names...)
}
