package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/solopod/solopod/api/streaming"
)

func newAttach(g *global) *cobra.Command {
	t := &terminal{}
	cmd := &cobra.Command{
		Use:   "attach POD|TYPE/NAME [-c CONTAINER] [-it]",
		Short: "Connect to a container's main process",
		Long: "Connect to what a container's main process writes from now on and, with -i, reads: its manifest must have stdin: true.\n" +
			"With stdinOnce the end of the session is the end of its input, if it has no terminal.",
		Example: "  solopod attach web\n  solopod attach -it shell",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.session(cmd, g, args[0], func(ctx context.Context, pod, container string, s streaming.Streams) error {
				if t.stdin && t.tty && !t.quiet {
					fmt.Fprint(verbatim(cmd.ErrOrStderr()), "If you don't see a command prompt, try pressing enter.\r\n")
				}
				return g.client().Attach(ctx, t.namespace, pod, container, s)
			})
		},
		ValidArgsFunction: g.completePods(&t.namespace),
	}
	t.register(cmd.Flags())
	return cmd
}
