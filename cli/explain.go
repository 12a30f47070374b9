package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/solopod/solopod/cli/explain"
)

func newExplain() *cobra.Command {
	recursive := false
	cmd := &cobra.Command{
		Use:   "explain KIND[.FIELD...]",
		Short: "Say what a field of a manifest means, and what Solopod does with it",
		Long: "Print the Kubernetes API's own text about a kind or a field, and whether Solopod implements it, ignores it or refuses it, and why. It needs\n" +
			"no daemon.",
		Example: "  solopod explain pod.spec.containers.livenessProbe\n  solopod explain deploy.spec.strategy --recursive",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			answer, err := explain.Look(args[0])
			if err != nil {
				return err
			}
			return answer.Write(cmd.OutOrStdout(), recursive)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var out []cobra.Completion
			for _, path := range explain.Complete(begun) {
				if strings.HasPrefix(path, begun) {
					out = append(out, path)
				}
			}
			return out, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().BoolVar(&recursive, "recursive", false, "the names of all fields below")
	return cmd
}
