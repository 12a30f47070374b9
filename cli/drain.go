package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func newDrain(g *global) *cobra.Command {
	timeout := 5 * time.Minute
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Stop all pods, for maintenance or before the machine goes down",
		Long: "Stop all pods with their grace periods, those with a system-critical priority last, and let go of their networks and mounts.\n\n" +
			"Manifests, images, logs and histories stay. The pods start again when the daemon is started anew (systemctl restart\n" +
			"solopod). systemd needs no such command: when it shuts the machine down, the daemon does the same by itself.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout <= 0 {
				return fmt.Errorf("--timeout must be more than zero, not %s", timeout)
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "Stopping all pods ...")
			if err := g.client().Drain(cmd.Context(), timeout); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "drained")
			return err
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "after this time what still runs is killed")
	return cmd
}
