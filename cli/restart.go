package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
)

func newRestart(g *global) *cobra.Command {
	var namespace, container string
	cmd := &cobra.Command{
		Use:   "restart POD|TYPE/NAME... [-c CONTAINER]",
		Short: "Restart pods' containers",
		Long: "End the containers of pods, with their grace period, and start them anew. A container that waits for its next try starts at once.\n" +
			"Of a Deployment, Job, Service or the like it is all pods, at once; \"solopod rollout restart\" replaces them as its strategy says.",
		Example: "  solopod restart web\n  solopod restart web -c proxy && solopod wait --for=condition=Ready web\n  solopod restart deploy/web",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			objects, err := parseObjects(args)
			if err != nil {
				return err
			}
			for _, o := range objects {
				pods, err := podsOf(cmd.Context(), g.client(), namespace, o)
				if err != nil {
					return err
				}
				for i := range pods {
					if err := g.client().Restart(cmd.Context(), namespace, pods[i].Name, container); err != nil {
						return err
					}
					if _, err := fmt.Fprintf(cmd.OutOrStdout(), "pod/%s restarted\n", pods[i].Name); err != nil {
						return err
					}
				}
			}
			return nil
		},
		ValidArgsFunction: g.completePods(&namespace),
	}
	cmd.Flags().StringVarP(&namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	cmd.Flags().StringVarP(&container, "container", "c", "", "only this container")
	return cmd
}
