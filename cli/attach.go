package cli

import "github.com/spf13/cobra"

func newAttach(g *global) *cobra.Command {
	t := &terminal{}
	cmd := &cobra.Command{
		Use:   "attach POD [-c CONTAINER] [-it]",
		Short: "Connect to a container's main process",
		Long: "Connect to what a container's main process writes from now on and, with -i, reads: its manifest must have stdin: true.\n" +
			"With stdinOnce the end of the session is the end of its input, if it has no terminal.",
		Example: "  solopod attach web\n  solopod attach -it shell",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, restore, err := t.streams(cmd.Context())
			if err != nil {
				return err
			}
			defer restore()
			return exitCode(g.client().Attach(cmd.Context(), t.namespace, podName(args[0]), t.container, s))
		},
		ValidArgsFunction: g.completePods(&t.namespace),
	}
	t.register(cmd.Flags())
	return cmd
}
