package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/solopod/solopod/api/streaming"
)

func newExec(g *global) *cobra.Command {
	t := &terminal{}
	cmd := &cobra.Command{
		Use:   "exec POD [-c CONTAINER] [-it] -- COMMAND [ARGS...]",
		Short: "Run a command in a container",
		Long: "Run a command in a container, as the user of its main process. The exit code is the command's.\n\n" +
			"When the connection is lost, or with Ctrl-C, the command is killed.",
		Example: "  solopod exec web -- ps\n  solopod exec -it web -- sh\n  solopod exec -i db -c etcd -- tar x -C /restore <backup.tar",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 || cmd.ArgsLenAtDash() > 1 {
				return errors.New("name a pod and, after --, the command: solopod exec POD -- COMMAND [ARGS...]")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, restore, err := t.streams(cmd.Context())
			if err != nil {
				return err
			}
			defer restore()
			return exitCode(g.client().Exec(cmd.Context(), t.namespace, podName(args[0]), t.container, args[1:], s))
		},
		ValidArgsFunction: g.completePods(&t.namespace),
	}
	t.register(cmd.Flags())
	return cmd
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

// podName takes the kind that kubectl's users put before a name away: pod/web.
func podName(arg string) string {
	for _, kind := range []string{"pod/", "pods/", "po/"} {
		if name, ok := strings.CutPrefix(arg, kind); ok {
			return name
		}
	}
	return arg
}
