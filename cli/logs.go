package cli

import (
	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/api"
)

func newLogs(g *global) *cobra.Command {
	var namespace, container string
	o := api.LogOptions{}
	cmd := &cobra.Command{
		Use:   "logs POD [-c CONTAINER]",
		Short: "Print a container's log",
		Example: "  solopod logs web\n  solopod logs -f --tail 20 web\n  solopod logs -p web          the attempt before this one\n" +
			"  solopod logs --since 10m web",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 && container == "" {
				container = args[1]
			}
			return g.client().Logs(cmd.Context(), namespace, args[0], container, o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	f.StringVarP(&container, "container", "c", "", "container; needed when the pod has several")
	f.BoolVarP(&o.Follow, "follow", "f", false, "go on with what is written, until the container ends")
	f.BoolVarP(&o.Previous, "previous", "p", false, "the log of the attempt before this one")
	f.BoolVar(&o.Timestamps, "timestamps", false, "put the time before each line")
	f.Int64Var(&o.Tail, "tail", -1, "only so many of the last lines; -1 for all")
	f.DurationVar(&o.Since, "since", 0, "only what is younger, for instance 10s, 5m or 2h")
	return cmd
}
