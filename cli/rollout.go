package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/workload"
	"github.com/solopod/solopod/workload/revisions"
)

// rolled are the kinds whose pods are replaced step by step.
var rolled = []string{"Deployment", "StatefulSet", "DaemonSet"}

func newRollout(g *global) *cobra.Command {
	namespace := v1.NamespaceDefault
	cmd := &cobra.Command{
		Use:   "rollout",
		Short: "Follow how the pods of a Deployment or the like are replaced, have them replaced, and have former versions back",
		Long: "A rollout replaces the pods of a Deployment, StatefulSet or DaemonSet after an edit of its manifest, as its strategy says. What undo\n" +
			"has come back runs in place of the manifest's version until the manifest's template is changed; the file stays as it is.",
		Example: "  solopod rollout status deploy/web\n  solopod rollout restart statefulset/db -n shop && solopod rollout status statefulset/db -n shop",
	}
	cmd.PersistentFlags().StringVarP(&namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	cmd.AddCommand(newRolloutStatus(g, &namespace), newRolloutRestart(g, &namespace), newRolloutHistory(g, &namespace), newRolloutUndo(g, &namespace),
		newRolloutPause(g, &namespace), newRolloutResume(g, &namespace))
	return cmd
}

// rolledObjects reads the arguments of a rollout command: TYPE/NAME..., or a type, of which it is all, or all with some labels.
func rolledObjects(ctx context.Context, c *api.Client, args []string, namespace, selector string) ([]objectName, error) {
	if len(args) == 1 && !strings.Contains(args[0], "/") {
		kinds, err := kindsNamed(args[0])
		if err != nil {
			return nil, fmt.Errorf("name it as TYPE/NAME, where TYPE is deployment, statefulset or daemonset: deployment/%s", args[0])
		}
		return rolledOfTypes(ctx, c, kinds, args[0], namespace, selector)
	}
	if selector != "" {
		return nil, errors.New("with -l comes one type, and no name: solopod rollout status deployments -l app=web")
	}
	out, err := parseObjects(args)
	if err != nil {
		return nil, err
	}
	return out, areRolled(out)
}

// rolledOfTypes are the objects of types with some labels; at least one.
func rolledOfTypes(ctx context.Context, c *api.Client, kinds []*kind, types, namespace, selector string) (out []objectName, err error) {
	labelled, err := labels.Parse(selector)
	if err != nil {
		return nil, fmt.Errorf("-l: %w", err)
	}
	for _, k := range kinds {
		if !slices.Contains(rolled, podMakers[k.plural]) {
			return nil, fmt.Errorf("%s have no rollouts; deployments, statefulsets and daemonsets have", k.plural)
		}
		all, err := anyKind(k).List(ctx, c)
		if err != nil {
			return nil, err
		}
		for _, o := range all {
			u := unstructured.Unstructured{Object: o}
			if u.GetNamespace() == namespace && labelled.Matches(labels.Set(u.GetLabels())) {
				out = append(out, objectName{k, u.GetName()})
			}
		}
	}
	if len(out) == 0 {
		return nil, errors.New("there are " + noneOf(types, selector, namespace, false))
	}
	return out, nil
}

// areRolled says what has no rollouts.
func areRolled(objects []objectName) error {
	for _, o := range objects {
		if !slices.Contains(rolled, o.manifestKind()) {
			return fmt.Errorf("%s has no rollouts, which a Deployment, StatefulSet or DaemonSet has; solopod restart %[1]s restarts its containers at once", o)
		}
	}
	return nil
}

func newRolloutRestart(g *global, namespace *string) *cobra.Command {
	selector := ""
	cmd := &cobra.Command{
		Use:   "restart TYPE/NAME...|TYPE [-l LABELS]",
		Short: "Replace all pods as the strategy says, without an edit",
		Long: "Replace the pods of a Deployment, StatefulSet or DaemonSet by ones of the same template, as the strategy says. It goes on over a\n" +
			"restart of the daemon. \"solopod restart\" ends all containers at once. A type without a name means all of it in the namespace.",
		Example: "  solopod rollout restart deploy/web\n  solopod rollout restart deployments -l app=shop",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			objects, err := rolledObjects(cmd.Context(), g.client(), args, *namespace, selector)
			if err != nil {
				return err
			}
			for _, o := range objects {
				if _, err := rolloutOf(cmd.Context(), g.client(), *namespace, o); err != nil {
					return err
				}
				if err := api.RestartPods(cmd.Context(), g.client(), o.manifestKind(), *namespace, o.name); err != nil {
					return err
				}
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s/%s restarted\n", o.kind.resource(), o.name); err != nil {
					return err
				}
			}
			return nil
		},
		ValidArgsFunction: completeRolled(g, namespace),
	}
	rolledSelector(cmd, &selector)
	return cmd
}

// rolledSelector adds -l.
func rolledSelector(cmd *cobra.Command, selector *string) {
	cmd.Flags().StringVarP(selector, "selector", "l", "", "all of the type with these labels, for instance app=web")
}

// completeRolled completes TYPE/NAME, and names behind a type.
func completeRolled(g *global, namespace *string) cobra.CompletionFunc {
	named := g.completeObjects(namespace, true)
	return func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 && !strings.Contains(args[0], "/") || strings.Contains(toComplete, "/") {
			return named(cmd, args, toComplete)
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
		defer cancel()
		list, err := g.client().Workloads(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var out []cobra.Completion
		for _, w := range list {
			if slices.Contains(rolled, w.Kind) && w.Namespace == *namespace {
				out = append(out, cobra.CompletionWithDesc(strings.ToLower(w.Kind)+"/"+w.Name, w.Message))
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// readLimit is how long an object is waited for that is not there: its manifest may have been written a moment ago.
const readLimit = 2 * time.Second

// rolloutSoon is rolloutOf an object that may be there in a moment.
func rolloutSoon(ctx context.Context, c *api.Client, namespace string, o objectName) (found *workload.Status, err error) {
	limited, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	watch, err := api.WatchWorkloads(limited, c)
	if err != nil {
		return nil, err
	}
	err = watch.Each(func(now api.Workloads) error {
		if found = statusOf(now.Workloads, namespace, o); found != nil {
			return errReached
		}
		return nil
	})
	if found != nil {
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	return rolloutOf(ctx, c, namespace, o)
}

// rolloutOf is how far an object is.
func rolloutOf(ctx context.Context, c *api.Client, namespace string, o objectName) (*workload.Status, error) {
	list, err := c.Workloads(ctx)
	if err != nil {
		return nil, err
	}
	if s := statusOf(list, namespace, o); s != nil {
		return s, nil
	}
	return nil, missing(ctx, c, namespace, o)
}

// statusOf is an object's row; nil where there is none.
func statusOf(list []workload.Status, namespace string, o objectName) *workload.Status {
	for i := range list {
		if s := &list[i]; s.Kind == o.manifestKind() && s.Namespace == namespace && s.Name == o.name && s.Replicas != nil {
			return s
		}
	}
	return nil
}

func newRolloutStatus(g *global, namespace *string) *cobra.Command {
	var watch bool
	var timeout time.Duration
	selector := ""
	cmd := &cobra.Command{
		Use:   "status TYPE/NAME...|TYPE [-l LABELS]",
		Short: "Wait until all pods have the manifest's version and are available",
		Long: "Tell how far the rollout of a Deployment, StatefulSet or DaemonSet is, until it is complete. The exit code is 1 when it takes longer than\n" +
			"--timeout, or a Deployment's rollout longer than its progressDeadlineSeconds. A manifest that has just been written counts when the\n" +
			"daemon has read it, some milliseconds later.",
		Example: "  solopod rollout status deploy/web --timeout 2m\n  solopod rollout status ds/agent --watch=false\n  solopod rollout status deployments",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			objects, err := rolledObjects(cmd.Context(), g.client(), args, *namespace, selector)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			if timeout > 0 {
				limited, cancel := context.WithTimeout(ctx, timeout)
				defer cancel()
				ctx = limited
			}
			for _, o := range objects {
				s, err := rolloutSoon(ctx, g.client(), *namespace, o)
				if err != nil {
					return err
				}
				if !watch {
					line, _, err := progressOf(s)
					if err != nil {
						return err
					}
					if _, err := fmt.Fprintln(cmd.OutOrStdout(), line); err != nil {
						return err
					}
					continue
				}
				if err := followRollout(ctx, cmd, g.client(), *namespace, o); err != nil {
					if ctx.Err() != nil && cmd.Context().Err() == nil {
						err = fmt.Errorf("timed out after %s waiting for the rollout of %s; solopod get pods and solopod describe pod tell more", timeout, o)
					}
					return err
				}
			}
			return nil
		},
		ValidArgsFunction: completeRolled(g, namespace),
	}
	rolledSelector(cmd, &selector)
	cmd.Flags().BoolVarP(&watch, "watch", "w", true, "go on until the rollout is complete")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "how long at most; 0 is for ever")
	return cmd
}

// followRollout prints each step of a rollout until it is complete.
func followRollout(ctx context.Context, cmd *cobra.Command, c *api.Client, namespace string, o objectName) error {
	watch, err := api.WatchWorkloads(ctx, c)
	if err != nil {
		return err
	}
	last := ""
	err = watch.Each(func(now api.Workloads) error {
		s := statusOf(now.Workloads, namespace, o)
		if s == nil {
			return fmt.Errorf("%s is gone: no manifest has it any more", o)
		}
		line, done, err := progressOf(s)
		if err != nil {
			return err
		}
		if line != last {
			last = line
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), line); err != nil {
				return err
			}
		}
		if done {
			return errReached
		}
		return nil
	})
	if errors.Is(err, errReached) {
		return nil
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// progressOf says how far a rollout is, in kubectl's words.
func progressOf(s *workload.Status) (line string, done bool, err error) {
	r := s.Replicas
	if s.HeldBy == revisions.RolledBack {
		return "", false, fmt.Errorf("%s %q was rolled back: %s", strings.ToLower(s.Kind), s.Name, s.Held)
	}
	if r.Late {
		return "", false, fmt.Errorf("deployment %q exceeded its progress deadline: %s", s.Name, s.Message)
	}
	if s.Kind == "StatefulSet" {
		line, done = setProgress(s.Name, r)
		return line, done, nil
	}
	of, pods := "deployment", "replicas"
	if s.Kind == "DaemonSet" {
		of, pods = "daemon set", "pods"
	}
	waiting := fmt.Sprintf("Waiting for %s %q rollout to finish: ", of, s.Name)
	switch {
	case s.HeldBy == revisions.Paused && !r.Complete:
		return waiting + s.Held, false, nil
	case r.Complete:
		return fmt.Sprintf("%s %q successfully rolled out", of, s.Name), true, nil
	case r.Updated < r.Desired:
		return waiting + fmt.Sprintf("%d out of %d new %s have been updated...", r.Updated, r.Desired, pods), false, nil
	case r.Available < r.Updated:
		return waiting + fmt.Sprintf("%d of %d updated %s are available...", r.Available, r.Updated, pods), false, nil
	}
	return waiting + fmt.Sprintf("%d old %s are pending termination...", max(r.Surge, 1), pods), false, nil
}

// setProgress is progressOf a StatefulSet.
func setProgress(name string, r *workload.Replicas) (line string, done bool) {
	fresh := r.Desired - r.Partition
	switch {
	case r.Complete && r.Partition > 0:
		return fmt.Sprintf("partitioned roll out complete: %d new pods have been updated...", fresh), true
	case r.Complete:
		return fmt.Sprintf("statefulset rolling update complete: %d pods of %s have the manifest's version", r.Updated, name), true
	case r.Updated < fresh && r.Partition > 0:
		return fmt.Sprintf("Waiting for partitioned roll out to finish: %d out of %d new pods have been updated...", r.Updated, fresh), false
	case r.Ready < r.Desired:
		return fmt.Sprintf("Waiting for %d pods to be ready...", r.Desired-r.Ready), false
	}
	return fmt.Sprintf("Waiting for statefulset rolling update to complete: %d of %d pods have the manifest's version...", r.Updated, fresh), false
}
