package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/api/objects"
)

// selection is what the commands share that choose objects and show them.
type selection struct {
	namespace string
	named     bool // somebody has named the namespace
	all       bool
	output    string
	template  string
	watch     bool
	selector  string
	fields    string
	// What follows is of tables.
	sortBy      string
	noHeaders   bool
	showLabels  bool
	showKind    bool
	columns     []string // labels that have a column of their own
	ignoreGone  bool
	changeKinds bool // a watch says what kind of change each is
}

func newGet(g *global) *cobra.Command {
	s := &selection{}
	cmd := &cobra.Command{
		Use:   "get TYPE[,TYPE...] [NAME...] | TYPE/NAME...",
		Short: "List pods, deployments, services, jobs, events and whatever else there is",
		Long: "List objects of the manifests and of the machine.\n\n" +
			"Types, in any of these words: " + typesText() + ". The word all means pods, services, and all that makes pods; several\n" +
			"types are joined by commas. Of Secrets no values are shown, but their sizes.",
		Example: "  solopod get pods -A\n  solopod get deploy,sts,svc\n  solopod get all -w\n  solopod get pods web -o yaml\n  solopod get deploy/web job/backup\n" +
			"  solopod get pods -l app=web -o jsonpath='{.items[*].status.podIP}'\n  solopod get pods --sort-by=.status.startTime --show-labels\n" +
			"  solopod get events --field-selector type=Warning\n  solopod get manifests",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			s.named = cmd.Flags().Changed("namespace")
			targets, err := requestedOf(args)
			if err != nil {
				return err
			}
			form, err := s.form()
			if err != nil {
				return err
			}
			if s.watch {
				return s.follow(cmd, g.client(), targets, form)
			}
			return s.get(cmd, g.client(), targets, form)
		},
		ValidArgsFunction: g.completeObjects(&s.namespace, true),
	}
	f := cmd.Flags()
	f.StringVarP(&s.namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	f.BoolVarP(&s.all, "all-namespaces", "A", false, "all namespaces")
	f.StringVarP(&s.output, "output", "o", "", outputHelp)
	f.StringVar(&s.template, "template", "", "the template of -o go-template or jsonpath, or the file of -o go-template-file")
	f.StringVarP(&s.selector, "selector", "l", "", "only what has these labels, for instance app=web,tier!=test")
	f.StringVar(&s.fields, "field-selector", "", "only what has these fields, for instance status.phase=Running or type!=Normal")
	f.StringVar(&s.sortBy, "sort-by", "", "sort by a field, for instance .metadata.creationTimestamp")
	f.BoolVar(&s.noHeaders, "no-headers", false, "no headers above columns")
	f.BoolVar(&s.showLabels, "show-labels", false, "a last column with all labels")
	f.BoolVar(&s.showKind, "show-kind", false, "the type before each name")
	f.StringSliceVarP(&s.columns, "label-columns", "L", nil, "labels that get a column each")
	f.BoolVar(&s.ignoreGone, "ignore-not-found", false, "say nothing of what does not exist, and do not fail")
	f.BoolVarP(&s.watch, "watch", "w", false, "go on with what changes")
	f.BoolVar(&s.changeKinds, "output-watch-events", false, "with -w, say of each change whether something was ADDED, MODIFIED or DELETED")
	f.Int64("chunk-size", 0, "")
	if err := f.MarkHidden("chunk-size"); err != nil { // kubectl's; a list of one machine comes in one piece
		panic(err)
	}
	return cmd
}

// found is what was selected of a kind.
type found struct {
	requested
	selected, all []item
}

// find asks for all targets. What does not exist is an error beside what does.
func (s *selection) find(ctx context.Context, c *api.Client, targets []requested) (out []found, missing []error, err error) {
	for _, t := range targets {
		selected, all, gone, err := s.chosen(ctx, c, t)
		if err != nil {
			return nil, nil, err
		}
		if err := s.sort(selected); err != nil {
			return nil, nil, err
		}
		out = append(out, found{t, selected, all})
		missing = append(missing, gone...)
	}
	return out, missing, nil
}

func (s *selection) get(cmd *cobra.Command, c *api.Client, targets []requested, form output) error {
	all, missing, err := s.find(cmd.Context(), c, targets)
	if err != nil {
		return err
	}
	if err := s.warn(cmd, c, all); err != nil {
		return err
	}
	if form.render != nil && slices.ContainsFunc(all, func(f found) bool { return f.kind.plural == "secrets" && len(f.selected) > 0 }) {
		// A script would take the nothing that a template finds for the value.
		fmt.Fprintln(cmd.ErrOrStderr(), "Values of Secrets are not shown, not by templates either; .sizes has how long they are.")
	}
	failed := error(nil)
	if !s.ignoreGone {
		failed = errors.Join(missing...)
	}
	n := 0
	for _, f := range all {
		n += len(f.selected)
	}
	if n == 0 && len(missing) > 0 {
		return failed // and nothing on standard output
	}
	if n == 0 && form.forPeople() {
		s.sayNothing(cmd.ErrOrStderr(), all)
		return nil
	}
	return errors.Join(s.show(cmd, c, all, form), failed)
}

// warn says what is to be said beside lists.
func (s *selection) warn(cmd *cobra.Command, c *api.Client, all []found) error {
	for _, f := range all {
		if f.kind.warnings == nil {
			continue
		}
		warnings, err := f.kind.warnings(cmd.Context(), c)
		if err != nil {
			return err
		}
		for _, w := range warnings {
			fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
		}
	}
	return nil
}

// sayNothing says that nothing was found, and what was asked for.
func (s *selection) sayNothing(w io.Writer, all []found) {
	if s.ignoreGone {
		return
	}
	if len(all) == 1 {
		fmt.Fprintf(w, "No %s%s found%s.\n", all[0].kind.plural, s.asked(), s.where(all[0].kind, all[0].all))
		return
	}
	names := make([]string, len(all))
	for i, f := range all {
		names[i] = f.kind.plural
	}
	where := " in namespace " + s.namespace
	if s.all {
		where = " in any namespace"
	}
	fmt.Fprintf(w, "Nothing found%s%s; looked for %s.\n", where, s.asked(), strings.Join(names, ", "))
}

// show prints what was found: tables of each kind for people, else one object or one list.
func (s *selection) show(cmd *cobra.Command, c *api.Client, all []found, form output) error {
	w := cmd.OutOrStdout()
	if form.table() {
		return s.tables(w, all)
	}
	var names []string
	var list []any
	for _, f := range all {
		for _, i := range f.selected {
			names, list = append(names, f.kind.name(i)), append(list, i.object)
		}
	}
	var v any = objects.List[any]{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "List"}, Items: append([]any{}, list...)}
	switch {
	case len(list) == 1 && len(all) == 1 && len(all[0].names) == 1 && !s.all:
		v = list[0]
	case len(all) == 1 && all[0].kind.whole != nil:
		whole, err := all[0].kind.whole(cmd.Context(), c, all[0].selected)
		if err != nil {
			return err
		}
		v = whole
	}
	return form.print(w, v, names)
}

func (s *selection) tables(w io.Writer, all []found) error {
	several := len(all) > 1
	first := true
	for _, f := range all {
		if len(f.selected) == 0 {
			continue
		}
		if !first {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		first = false
		t := s.rows(f.kind, f.selected, several)
		if s.noHeaders {
			t.header = nil
		}
		if err := t.write(w); err != nil {
			return err
		}
	}
	return nil
}

// rows is the table of a kind, with the columns that were asked for.
func (s *selection) rows(k *kind, list []item, several bool) table {
	t := k.table(s, list)
	if at := slices.Index(t.header, "NAME"); at >= 0 && (several || s.showKind) {
		for i := range t.rows {
			t.rows[i][at] = k.resource() + "/" + t.rows[i][at]
		}
	}
	for _, label := range s.columns {
		t.header = append(t.header, strings.ToUpper(label[strings.LastIndex(label, "/")+1:]))
		for i := range t.rows {
			t.rows[i] = append(t.rows[i], orNone(list[i].meta.Labels[label]))
		}
	}
	if s.showLabels {
		t.header = append(t.header, "LABELS")
		for i := range t.rows {
			t.rows[i] = append(t.rows[i], labelsText(list[i].meta.Labels))
		}
	}
	if s.all && !k.cluster {
		t.header = append([]string{"NAMESPACE"}, t.header...)
		for i := range t.rows {
			t.rows[i] = append([]string{orNone(list[i].meta.Namespace)}, t.rows[i]...)
		}
		t.painted++
	}
	return t
}

// selected are the pods that are.
func (s *selection) selected(ctx context.Context, c *api.Client, args []string) ([]v1.Pod, error) {
	chosen, _, missing, err := s.chosen(ctx, c, requested{podKind, args})
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, missing[0]
	}
	out := make([]v1.Pod, len(chosen))
	for i := range chosen {
		out[i] = *chosen[i].object.(*v1.Pod)
	}
	return out, nil
}
