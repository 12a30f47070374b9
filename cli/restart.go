package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
)

func newRestart(g *global) *cobra.Command {
	var namespace, container string
	cmd := &cobra.Command{
		Use:     "restart POD [-c CONTAINER]",
		Short:   "Restart a pod's containers",
		Long:    "End the containers of a pod, with their grace period, and start them anew. A container that waits for its next try starts at once.",
		Example: "  solopod restart web\n  solopod restart web -c proxy && solopod wait --for=condition=Ready web",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := podName(args[0])
			if err := g.client().Restart(cmd.Context(), namespace, name, container); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "pod/%s restarted\n", name)
			return err
		},
		ValidArgsFunction: g.completePods(&namespace),
	}
	cmd.Flags().StringVarP(&namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	cmd.Flags().StringVarP(&container, "container", "c", "", "only this container")
	return cmd
}
