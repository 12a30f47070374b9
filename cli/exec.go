package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/solopod/solopod/api/streaming"
)

func newExec(g *global) *cobra.Command {
	t := &terminal{}
	cmd := &cobra.Command{
		Use:   "exec POD|TYPE/NAME [-c CONTAINER] [-it] -- COMMAND [ARGS...]",
		Short: "Run a command in a container",
		Long: "Run a command in a container, as the user of its main process. The exit code is the command's. Of a Deployment, Job, Service or the like\n" +
			"it is the pod that is ready for longest.\n\n" +
			"When the connection is lost, or with Ctrl-C, the command is killed; with a terminal (-it) Ctrl-C and Ctrl-Z go to the command.",
		Example: "  solopod exec web -- ps\n  solopod exec -it deploy/web -- sh\n  solopod exec -i db -c etcd -- tar x -C /restore <backup.tar",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 || cmd.ArgsLenAtDash() > 1 {
				return errors.New("name a pod and, after --, the command: solopod exec POD -- COMMAND [ARGS...]")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.session(cmd, g, args[0], func(ctx context.Context, pod, container string, s streaming.Streams) error {
				return g.client().Exec(ctx, t.namespace, pod, container, args[1:], s)
			})
		},
		ValidArgsFunction: g.completePods(&t.namespace),
	}
	t.register(cmd.Flags())
	return cmd
}

// session runs one with the container that is meant, and gives the terminal back as it was.
func (t *terminal) session(cmd *cobra.Command, g *global, arg string, run func(ctx context.Context, pod, container string, s streaming.Streams) error) error {
	told := cmd.ErrOrStderr()
	if t.quiet {
		told = io.Discard
	}
	pod, container, err := enter(cmd.Context(), g.client(), t.namespace, arg, t.container, told)
	if err != nil {
		return err
	}
	s, restore, err := t.streams(cmd.Context())
	if err != nil {
		return err
	}
	err = exitCode(run(cmd.Context(), pod, container, s))
	restore(err)
	return err
}

// exitCode makes the exit code of a remote command this one's; the command itself has said what is wrong.
func exitCode(err error) error {
	var exit streaming.ExitError
	if errors.As(err, &exit) {
		return exitError{exit.Code, fmt.Errorf("command terminated with exit code %d", exit.Code)}
	}
	if errors.Is(err, context.Canceled) {
		return exitError{130, nil} // as a shell tells of Ctrl-C
	}
	return err
}
