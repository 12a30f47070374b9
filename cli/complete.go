package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// completePods completes the names of living pods, one to a command. A daemon that does not answer completes nothing.
func (g *global) completePods(namespace *string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
		defer cancel()
		pods, err := g.client().Pods(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []cobra.Completion
		for i := range pods {
			if pods[i].Namespace == *namespace {
				names = append(names, cobra.CompletionWithDesc(pods[i].Name, podStatus(&pods[i])))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
