package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/api"
)

// awaited says whether a pod is as is waited for. A nil pod is one that does not exist.
type awaited func(pod *v1.Pod) (bool, error)

// parseAwaited reads what --for takes: condition=Ready, condition=Ready=false, jsonpath={.status.phase}=Running, delete, create.
func parseAwaited(text string) (awaited, error) {
	kind, rest, _ := strings.Cut(text, "=")
	switch kind {
	case "delete":
		return func(pod *v1.Pod) (bool, error) { return pod == nil, nil }, nil
	case "create":
		return func(pod *v1.Pod) (bool, error) { return pod != nil, nil }, nil
	case "condition":
		name, value, given := strings.Cut(rest, "=")
		if !given {
			value = string(v1.ConditionTrue)
		}
		if name == "" {
			break
		}
		return func(pod *v1.Pod) (bool, error) {
			if pod == nil {
				return false, nil
			}
			for _, c := range pod.Status.Conditions {
				if strings.EqualFold(string(c.Type), name) {
					return strings.EqualFold(string(c.Status), value), nil
				}
			}
			return false, nil
		}, nil
	case "jsonpath":
		end := strings.LastIndex(rest, "}=")
		if end < 0 {
			break
		}
		path, value := strings.Trim(rest[:end+1], `'"`), rest[end+2:]
		return func(pod *v1.Pod) (bool, error) {
			if pod == nil {
				return false, nil
			}
			data, err := plain(pod)
			if err != nil {
				return false, err
			}
			got, err := byPath(path, data)
			return got == value, err
		}, nil
	}
	return nil, fmt.Errorf("--for takes condition=NAME[=VALUE], jsonpath={PATH}=VALUE, create or delete, not %q", text)
}

// errReached ends a watch.
var errReached = errors.New("reached")

func newWait(g *global) *cobra.Command {
	var namespace, what string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "wait --for=condition=Ready POD...",
		Short:   "Wait until pods are ready, or as you say",
		Example: "  solopod wait --for=condition=Ready web\n  solopod wait --for=jsonpath='{.status.phase}'=Succeeded job --timeout=5m\n  solopod wait --for=delete web",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			reached, err := parseAwaited(what)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			for _, arg := range args {
				name := podName(arg)
				if err := await(ctx, g.client(), namespace, name, reached); err != nil {
					if ctx.Err() != nil && cmd.Context().Err() == nil {
						err = fmt.Errorf("timed out after %s waiting for %s of pod %s; solopod describe pod %s tells more", timeout, what, name, name)
					}
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "pod/%s condition met\n", name)
			}
			return nil
		},
		ValidArgsFunction: g.completePods(&namespace),
	}
	f := cmd.Flags()
	f.StringVarP(&namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	f.StringVar(&what, "for", "condition=Ready", "condition=NAME[=VALUE], jsonpath={PATH}=VALUE, create or delete")
	f.DurationVar(&timeout, "timeout", 30*time.Second, "how long at most")
	return cmd
}

// await watches until a pod is as is wanted. A pod that does not exist yet is waited for.
func await(ctx context.Context, c *api.Client, namespace, name string, reached awaited) error {
	check := func(pod *v1.Pod) error {
		ok, err := reached(pod)
		if ok {
			err = errReached
		}
		return err
	}
	watch, err := c.WatchPods(ctx)
	if err != nil {
		return err
	}
	defer watch.Close()
	// What is not there sends no event. What goes from here on does.
	pods, err := c.Pods(ctx)
	if err != nil {
		return err
	}
	if err = check(findPod(pods, namespace, name)); err == nil {
		err = watch.Each(func(e api.WatchEvent) error {
			if e.Object.Namespace != namespace || e.Object.Name != name {
				return nil
			}
			if e.Type == "DELETED" {
				return check(nil)
			}
			return check(e.Object)
		})
	}
	if errors.Is(err, errReached) {
		return nil
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}
