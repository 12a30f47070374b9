package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/api/rollouts"
	"github.com/solopod/solopod/cli/visible"
)

func newRolloutHistory(g *global, namespace *string) *cobra.Command {
	var number int64
	selector := ""
	s := &selection{}
	cmd := &cobra.Command{
		Use:   "history TYPE/NAME...|TYPE [-l LABELS]",
		Short: "Show the versions that are kept",
		Long: "Show the versions of a Deployment, StatefulSet or DaemonSet that are kept, as many former ones as revisionHistoryLimit says (10), with\n" +
			"what the annotation kubernetes.io/change-cause of the object said. The last one runs. --revision shows the template of one.",
		Example: "  solopod rollout history deploy/web\n  solopod rollout history deploy/web --revision 2\n  solopod rollout history deploy/web -o yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := s.form(); err != nil {
				return err
			}
			objects, err := rolledObjects(cmd.Context(), g.client(), args, *namespace, selector)
			if err != nil {
				return err
			}
			for i, o := range objects {
				list, err := versionsOf(cmd.Context(), g.client(), *namespace, o)
				if err != nil {
					return err
				}
				if i > 0 && s.output == "" {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				if err := writeVersions(cmd, s, o, list, number); err != nil {
					return err
				}
			}
			return nil
		},
		ValidArgsFunction: completeRolled(g, namespace),
	}
	rolledSelector(cmd, &selector)
	cmd.Flags().Int64Var(&number, "revision", 0, "show the template of this revision")
	cmd.Flags().StringVarP(&s.output, "output", "o", "", "json or yaml")
	return cmd
}

func versionsOf(ctx context.Context, c *api.Client, namespace string, o objectName) (list rollouts.Versions, err error) {
	if _, err := rolloutOf(ctx, c, namespace, o); err != nil {
		return list, err
	}
	err = api.Ask(ctx, c, http.MethodGet, rollouts.Path("rollouts", namespace, o.manifestKind(), o.name), nil, &list)
	return list, err
}

func writeVersions(cmd *cobra.Command, s *selection, o objectName, list rollouts.Versions, number int64) error {
	title := o.kind.resource() + "/" + o.name
	if number != 0 {
		for i := range list.Versions {
			v := &list.Versions[i]
			switch {
			case v.Revision != number:
			case s.output != "":
				return s.print(cmd.OutOrStdout(), v, table{})
			default:
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s with revision #%d\n%s", title, number, templateText(v.Template))
				return err
			}
		}
		return fmt.Errorf("%s has no revision %d any more, or not yet; without --revision those are shown that are kept", o, number)
	}
	if s.output != "" {
		return s.print(cmd.OutOrStdout(), list, table{})
	}
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), title); err != nil {
		return err
	}
	t := table{header: []string{"REVISION", "SINCE", "CHANGE-CAUSE"}}
	for _, v := range list.Versions {
		t.rows = append(t.rows, []string{strconv.FormatInt(v.Revision, 10), v.Since.Local().Format(time.DateTime), visible.Line(orNone(v.ChangeCause))})
	}
	return t.write(cmd.OutOrStdout())
}

// templateText describes a template.
func templateText(t *v1.PodTemplateSpec) string {
	d := &describer{width: wide}
	d.podTemplate(t)
	return d.b.String()
}

func newRolloutUndo(g *global, namespace *string) *cobra.Command {
	var to int64
	selector := ""
	cmd := &cobra.Command{
		Use:   "undo TYPE/NAME...|TYPE [-l LABELS]",
		Short: "Have a former version back",
		Long: "Have the version before run again, or that of --to-revision, rolled out as the strategy says. It runs in place of what the manifest says\n" +
			"until the manifest's template is changed, also over restarts and reboots; rollout status, get and describe say so. The file stays as\n" +
			"it is: change it, too. Replicas, strategy and all beside the template are the manifest's.",
		Example: "  solopod rollout undo deploy/web\n  solopod rollout undo deploy/web --to-revision 3",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to < 0 {
				return errors.New("--to-revision is a number that rollout history shows, or 0 for the version before")
			}
			return eachRolled(cmd, g, args, *namespace, selector, func(o objectName) (string, error) {
				var done rollouts.Undone
				query := url.Values{"toRevision": {strconv.FormatInt(to, 10)}}
				err := api.Ask(cmd.Context(), g.client(), http.MethodPost, rollouts.Path("rolloutUndo", *namespace, o.manifestKind(), o.name), query, &done)
				if done.Skipped {
					return fmt.Sprintf("skipped rollback (current template already matches revision %d)", done.Revision), err
				}
				return "rolled back", err
			})
		},
		ValidArgsFunction: completeRolled(g, namespace),
	}
	rolledSelector(cmd, &selector)
	cmd.Flags().Int64Var(&to, "to-revision", 0, "the revision to go back to; 0 is the one before")
	return cmd
}

func newRolloutPause(g *global, namespace *string) *cobra.Command {
	return switched(g, namespace, "pause", "paused", "Keep a Deployment's pods at the version that they have",
		"Keep the pods of a Deployment at the version that they have, whatever its manifest comes to say of its template, until it is resumed;\n"+
			"also over restarts and reboots. Replicas follow the manifest.")
}

func newRolloutResume(g *global, namespace *string) *cobra.Command {
	return switched(g, namespace, "resume", "resumed", "End a pause",
		"End a pause: the pods of the Deployment get the version that the manifest has by now, as its strategy says.")
}

// switched is a command that pauses or resumes.
func switched(g *global, namespace *string, verb, done, short, long string) *cobra.Command {
	selector := ""
	cmd := &cobra.Command{
		Use: verb + " deployment/NAME...|deployments [-l LABELS]", Short: short, Long: long, Example: "  solopod rollout " + verb + " deploy/web",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return eachRolled(cmd, g, args, *namespace, selector, func(o objectName) (string, error) {
				path := rollouts.Path("rollout"+strings.ToUpper(verb[:1])+verb[1:], *namespace, o.manifestKind(), o.name)
				return done, api.Ask(cmd.Context(), g.client(), http.MethodPost, path, nil, &rollouts.Undone{})
			})
		},
		ValidArgsFunction: completeRolled(g, namespace),
	}
	rolledSelector(cmd, &selector)
	return cmd
}

// eachRolled does something with each of the objects that are named, and says what came of it.
func eachRolled(cmd *cobra.Command, g *global, args []string, namespace, selector string, do func(objectName) (string, error)) error {
	objects, err := rolledObjects(cmd.Context(), g.client(), args, namespace, selector)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if _, err := rolloutOf(cmd.Context(), g.client(), namespace, o); err != nil {
			return err
		}
		done, err := do(o)
		if err != nil {
			return fmt.Errorf("%s: %w", o, err)
		}
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s/%s %s\n", o.kind.resource(), o.name, done); err != nil {
			return err
		}
	}
	return nil
}
